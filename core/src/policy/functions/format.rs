//! `sprintf`, as Go's `fmt` prints what OPA hands to it: whole numbers, strings, and all else as Rego text.

use super::order::{sorted, sorted_members};
use super::{Outcome, builtin, letters};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    match name {
        "sprintf" => Some(builtin!(sprintf, 2)),
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
                Some(verb) => text.push_str(&printed(verb, values.next().unwrap_or(&Value::Undefined))),
                None => return Ok(Value::Undefined),
            },
            character => text.push(character),
        }
    }
    Ok(Value::from(text))
}

/// Go says so where a verb does not fit the value's type.
fn printed(verb: char, value: &Value) -> String {
    match (value, verb) {
        (Value::Number(number), 's') if number.as_i64().is_some() => {
            format!("%!s(int64={})", number.format_decimal())
        }
        (Value::Number(number), _) => number.format_decimal(),
        (Value::String(text), 'd') => format!("%!d(string={text})"),
        (Value::String(text), _) => text.as_ref().to_owned(),
        (other, 'd') => format!("%!d(string={})", rego(other)),
        (other, _) => rego(other),
    }
}

/// The value as Rego text.
fn rego(value: &Value) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.format_decimal(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", list(&mut items.iter().map(rego))),
        Value::Set(items) if items.is_empty() => "set()".to_owned(),
        Value::Set(items) => format!("{{{}}}", list(&mut sorted(items.iter()).into_iter().map(rego))),
        Value::Object(members) => {
            let members = sorted_members(members).into_iter();
            format!("{{{}}}", list(&mut members.map(|(key, value)| format!("{}: {}", rego(key), rego(value)))))
        }
        Value::Undefined => String::new(),
    }
}

/// Go's `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
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
    quoted
}
