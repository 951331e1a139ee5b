//! `sprintf`, as Go's `fmt` prints what OPA hands to it: whole numbers, strings, and all else as Rego text.

use super::meter::{MAX_TEXT, spend};
use super::order::{sorted, sorted_members};
use super::{Outcome, Stop, builtin, letters};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    match name {
        "sprintf" => Some(builtin!([Text, Whole], new sprintf)),
        _ => None,
    }
}

/// Admission has checked the format: `%v`, `%s`, `%d` and `%%`, with as many values.
fn sprintf(arguments: &[Value]) -> Outcome {
    let [Value::String(format), Value::Array(values)] = arguments else { return Ok(Value::Undefined) };
    let mut values = values.iter();
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => match characters.next() {
                Some('%') => text.push('%'),
                Some(verb) => print(&mut text, verb, values.next().unwrap_or(&Value::Undefined))?,
                None => return Ok(Value::Undefined),
            },
            character => text.push(character),
        }
    }
    Ok(Value::from(text))
}

/// Go says so where a verb does not fit the value's type.
fn print(text: &mut String, verb: char, value: &Value) -> Result<(), Stop> {
    match (value, verb) {
        (Value::Number(number), 's') if number.as_i64().is_some() => {
            text.push_str(&format!("%!s(int64={})", number.format_decimal()));
        }
        (Value::String(value), 'd') => text.push_str(&format!("%!d(string={value})")),
        (Value::String(value), _) => text.push_str(value),
        (Value::Number(_), _) => print_rego(text, value)?,
        (value, 'd') => {
            text.push_str("%!d(string=");
            print_rego(text, value)?;
            text.push(')');
        }
        (value, _) => print_rego(text, value)?,
    }
    if text.len() <= MAX_TEXT { Ok(()) } else { Err(Stop::TooLarge) }
}

/// The value as Rego text.
fn print_rego(text: &mut String, value: &Value) -> Result<(), Stop> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.format_decimal()),
        Value::String(value) => print_quoted(text, value)?,
        Value::Array(items) => print_list(text, ["[", "]"], items.iter(), print_rego)?,
        Value::Set(items) if items.is_empty() => text.push_str("set()"),
        Value::Set(items) => print_list(text, ["{", "}"], sorted(items.iter())?, print_rego)?,
        Value::Object(members) => print_list(text, ["{", "}"], sorted_members(members)?, |text, (key, value)| {
            print_rego(text, key)?;
            text.push_str(": ");
            print_rego(text, value)
        })?,
        Value::Undefined => {}
    }
    Ok(())
}

fn print_list<T>(
    text: &mut String,
    [open, close]: [&str; 2],
    items: impl IntoIterator<Item = T>,
    print: impl Fn(&mut String, T) -> Result<(), Stop>,
) -> Result<(), Stop> {
    text.push_str(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        print(text, item)?;
        if text.len() > MAX_TEXT {
            return Err(Stop::TooLarge);
        }
    }
    text.push_str(close);
    Ok(())
}

/// Go's `strconv.Quote`.
fn print_quoted(quoted: &mut String, text: &str) -> Result<(), Stop> {
    if !text.is_ascii() {
        spend(text.len())?;
    }
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            other if letters::is_printable(other) => quoted.push(other),
            other => quoted.push_str(&match u32::from(other) {
                code @ (..0x20 | 0x7f) => format!("\\x{code:02x}"),
                code @ ..0x1_0000 => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    quoted.push('"');
    Ok(())
}
