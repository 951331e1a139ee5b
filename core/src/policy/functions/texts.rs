//! `concat`, `replace`, `split`, `strings.reverse`, `trim…`, and what looks for one text in another.

use super::meter::{MAX_ELEMENTS, MAX_TEXT, spend_product};
use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "concat" => builtin!([Text, Whole], new concat),
        "contains" => builtin!([Text, Text], regorus "contains"),
        "endswith" => builtin!([Text, Text], regorus "endswith"),
        "indexof" => builtin!([Text, Text], existing indexof),
        "replace" => builtin!([Text, Text, Text], new replace),
        "split" => builtin!([Text, Text], new split),
        "startswith" => builtin!([Text, Text], regorus "startswith"),
        "strings.any_prefix_match" => builtin!([Whole, Whole], existing any_prefix_match),
        "strings.any_suffix_match" => builtin!([Whole, Whole], existing any_suffix_match),
        "strings.reverse" => builtin!([Text], regorus "strings.reverse"),
        "trim" => builtin!([Text, Text], new trim),
        "trim_left" => builtin!([Text, Text], new trim_left),
        "trim_prefix" => builtin!([Text, Text], regorus "trim_prefix"),
        "trim_right" => builtin!([Text, Text], new trim_right),
        "trim_space" => builtin!([Text], regorus "trim_space"),
        "trim_suffix" => builtin!([Text, Text], regorus "trim_suffix"),
        _ => return None,
    })
}

/// The texts of an array or a set, if it has nothing else.
fn texts(collection: &Value) -> Option<Vec<&str>> {
    match collection {
        Value::Array(items) => items.iter().map(as_text).collect(),
        Value::Set(items) => items.iter().map(as_text).collect(),
        _ => None,
    }
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn concat(arguments: &[Value]) -> Outcome {
    let [Value::String(between), collection] = arguments else { return Ok(Value::Undefined) };
    let Some(texts) = texts(collection) else { return Ok(Value::Undefined) };
    at_most(texts.len().saturating_mul(between.len()), MAX_TEXT)?;
    Ok(Value::from(texts.join(between)))
}

/// By characters; -1 where it is not there.
fn indexof(arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(part)] = arguments else { return Ok(Value::Undefined) };
    let before = text.find(part.as_ref()).and_then(|start| text.get(..start));
    Ok(before.map_or_else(|| Value::from(-1), |before| Value::from(before.chars().count())))
}

fn replace(arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(old), Value::String(new)] = arguments else { return Ok(Value::Undefined) };
    if new.len() > old.len() {
        at_most(text.matches(old.as_ref()).count().saturating_mul(new.len()), MAX_TEXT)?;
    }
    Ok(Value::from(text.replace(old.as_ref(), new)))
}

/// By the empty text: its characters.
fn split(arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(delimiter)] = arguments else { return Ok(Value::Undefined) };
    let parts: Vec<&str> = if delimiter.is_empty() {
        at_most(text.len(), MAX_TEXT)?;
        text.split("").filter(|part| !part.is_empty()).take(MAX_ELEMENTS.saturating_add(1)).collect()
    } else {
        text.split(delimiter.as_ref()).take(MAX_ELEMENTS.saturating_add(1)).collect()
    };
    at_most(parts.len(), MAX_ELEMENTS)?;
    Ok(Value::from(parts.into_iter().map(Value::from).collect::<Vec<_>>()))
}

fn at_most(found: usize, limit: usize) -> Result<(), Stop> {
    if found <= limit { Ok(()) } else { Err(Stop::TooLarge) }
}

fn any_prefix_match(arguments: &[Value]) -> Outcome {
    any_match(arguments, |text, other| text.starts_with(other))
}

fn any_suffix_match(arguments: &[Value]) -> Outcome {
    any_match(arguments, |text, other| text.ends_with(other))
}

/// Whether one of some texts, or the text, has one of others.
fn any_match(arguments: &[Value], has: fn(&str, &str) -> bool) -> Outcome {
    let [some, others] = arguments else { return Ok(Value::Undefined) };
    let one_or_many = |value| as_text(value).map_or_else(|| texts(value), |text| Some(vec![text]));
    let (Some(some), Some(others)) = (one_or_many(some), one_or_many(others)) else { return Ok(Value::Undefined) };
    spend_product(some.len(), others.len())?;
    Ok(Value::from(some.iter().any(|text| others.iter().any(|other| has(text, other)))))
}

fn trim(arguments: &[Value]) -> Outcome {
    trimmed(arguments, |text, characters| text.trim_matches(|character| characters.contains(character)))
}

fn trim_left(arguments: &[Value]) -> Outcome {
    trimmed(arguments, |text, characters| text.trim_start_matches(|character| characters.contains(character)))
}

fn trim_right(arguments: &[Value]) -> Outcome {
    trimmed(arguments, |text, characters| text.trim_end_matches(|character| characters.contains(character)))
}

fn trimmed(arguments: &[Value], trim: for<'a> fn(&'a str, &str) -> &'a str) -> Outcome {
    let [Value::String(text), Value::String(characters)] = arguments else { return Ok(Value::Undefined) };
    spend_product(text.len(), characters.len())?;
    Ok(Value::from(trim(text, characters)))
}
