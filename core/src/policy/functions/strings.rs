//! `upper`, `lower`, `substring`, `strings.count`.

use super::meter::spend;
use super::{Outcome, builtin, letters};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "upper" => builtin!([Text], new upper),
        "lower" => builtin!([Text], new lower),
        "substring" => builtin!([Text, Number, Number], new substring),
        "strings.count" => builtin!([Text, Text], existing strings_count),
        _ => return None,
    })
}

/// Letter by letter, without what depends on its neighbours or becomes several letters.
fn upper(arguments: &[Value]) -> Outcome {
    map(arguments, letters::upper)
}

fn lower(arguments: &[Value]) -> Outcome {
    map(arguments, letters::lower)
}

fn map(arguments: &[Value], letter: fn(char) -> char) -> Outcome {
    let [Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    if !text.is_ascii() {
        spend(text.len())?;
    }
    Ok(Value::from(text.chars().map(letter).collect::<String>()))
}

/// By characters; a negative length means all the rest.
fn substring(arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::Number(offset), Value::Number(length)] = arguments else {
        return Ok(Value::Undefined);
    };
    let (Some(offset), Some(length)) = (offset.as_i64(), length.as_i64()) else { return Ok(Value::Undefined) };
    let Ok(offset) = usize::try_from(offset) else { return Ok(Value::Undefined) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Value::from(text.chars().skip(offset).take(length).collect::<String>()))
}

/// How often, without overlaps; the empty text is before and after each character.
fn strings_count(arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::String(text), Value::String(part)] => Value::from(text.matches(part.as_ref()).count()),
        _ => Value::Undefined,
    })
}
