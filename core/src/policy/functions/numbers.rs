//! `sum`, `product`, `abs`, `ceil`, `floor`, `round`, `format_int`, `to_number`.

use super::meter::spend_text;
use super::{Outcome, Stop, arithmetic, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "sum" => builtin!([Whole], existing sum),
        "product" => builtin!([Whole], existing product),
        "format_int" => builtin!([Number, Number], existing format_int),
        "to_number" => builtin!([Free], existing to_number),
        "abs" => builtin!([Number], existing abs),
        "ceil" | "floor" => builtin!([Number], existing whole),
        "round" => builtin!([Number], existing round),
        _ => return None,
    })
}

fn sum(arguments: &[Value]) -> Outcome {
    fold(arguments, 0, arithmetic::plus)
}

fn product(arguments: &[Value]) -> Outcome {
    fold(arguments, 1, arithmetic::mul)
}

fn fold(arguments: &[Value], first: i64, operation: fn(&[Value]) -> Outcome) -> Outcome {
    let items: Vec<&Value> = match arguments {
        [Value::Array(items)] => items.iter().collect(),
        [Value::Set(items)] => items.iter().collect(),
        _ => return Ok(Value::Undefined),
    };
    items.into_iter().try_fold(Value::from(first), |result, item| operation(&[result, item.clone()]))
}

/// A whole number, up to where OPA rounds to 64 bits of precision.
fn whole(arguments: &[Value]) -> Outcome {
    match arguments {
        [value @ Value::Number(number)] if number.as_i64().is_some() || number.as_u64().is_some() => Ok(value.clone()),
        [Value::Number(_)] => Err(Stop::TooLarge),
        _ => Ok(Value::Undefined),
    }
}

fn abs(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(number)] if number.as_i64().is_some_and(i64::is_negative) => {
            Ok(number.as_i64().map_or(Value::Undefined, |number| Value::from(number.unsigned_abs())))
        }
        _ => whole(arguments),
    }
}

/// OPA rounds by adding a half, which costs a bit of precision.
fn round(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(number)] if number.as_i64().is_none() => Err(Stop::TooLarge),
        _ => whole(arguments),
    }
}

/// In base 2, 8, 10 or 16.
fn format_int(arguments: &[Value]) -> Outcome {
    let [Value::Number(number), Value::Number(base)] = arguments else { return Ok(Value::Undefined) };
    let Some(big) = number.as_big() else { return Ok(Value::Undefined) };
    let base = base.as_i64().and_then(|base| u32::try_from(base).ok());
    Ok(match base {
        Some(base @ (2 | 8 | 10 | 16)) => Value::from(big.to_str_radix(base)),
        _ => Value::Undefined,
    })
}

fn to_number(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Null | Value::Bool(false)] => Ok(Value::from(0)),
        [Value::Bool(true)] => Ok(Value::from(1)),
        [number @ Value::Number(_)] => Ok(number.clone()),
        [Value::String(text)] => {
            spend_text(text.len())?;
            parse(text)
        }
        _ => Ok(Value::Undefined),
    }
}

/// Whole numbers as JSON writes them. OPA takes what Go's `ParseFloat` takes, but infinities: any other text that could be
/// such a number is an error, also one with `_`, which OPA takes and then cannot print.
fn parse(text: &str) -> Outcome {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    let plain = text.replace('_', "");
    let unsigned = digits.trim_start_matches('+').to_ascii_lowercase();
    match (text.parse::<i64>(), plain.parse::<f64>()) {
        (Ok(number), _) if canonical && text != "-0" => Ok(Value::from(number)),
        (_, Ok(_)) if text.contains(|character: char| character.is_ascii_digit()) => Err(Stop::NotWhole),
        _ if unsigned.starts_with("0x") => Err(Stop::NotWhole),
        _ => Ok(Value::Undefined),
    }
}
