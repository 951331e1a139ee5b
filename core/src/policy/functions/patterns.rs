//! `regex.split`; and `regex.find_n`, `regex.find_all_string_submatch_n`, which take no number beyond 64 bits with sign.

use super::super::admission::compiled_regex;
use super::{Outcome, builtin};
use anyhow::Result;
use regorus::Value;
use regorus::unstable::{BUILTINS, BuiltinFcn, Expr, Ref, Span};

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    match name {
        "regex.split" => Some(builtin!(regex_split, 2)),
        "regex.find_n" => Some((find_n, 3)),
        "regex.find_all_string_submatch_n" => Some((find_all_string_submatch_n, 3)),
        _ => None,
    }
}

fn find_n(span: &Span, params: &[Ref<Expr>], arguments: &[Value], strict: bool) -> Result<Value> {
    with_number("regex.find_n", span, params, arguments, strict)
}

fn find_all_string_submatch_n(span: &Span, params: &[Ref<Expr>], arguments: &[Value], strict: bool) -> Result<Value> {
    with_number("regex.find_all_string_submatch_n", span, params, arguments, strict)
}

fn with_number(name: &str, span: &Span, params: &[Ref<Expr>], arguments: &[Value], strict: bool) -> Result<Value> {
    match (arguments, BUILTINS.get(name)) {
        ([_, _, Value::Number(number)], Some((function, _))) if number.as_i64().is_some() => {
            function(span, params, arguments, strict)
        }
        _ => Ok(Value::Undefined),
    }
}

/// What is between the matches; an empty match at the start separates nothing.
fn regex_split(arguments: &[Value]) -> Outcome {
    let [Value::String(regex), Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    let Some(regex) = compiled_regex(regex) else { return Ok(Value::Undefined) };
    if text.is_empty() && !regex.as_str().is_empty() {
        return Ok(Value::from(vec![Value::from("")]));
    }
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(text) {
        end = found.start();
        if found.end() != 0 {
            parts.push(part(text, begin, end));
        }
        begin = found.end();
    }
    if end != text.len() {
        parts.push(part(text, begin, text.len()));
    }
    Ok(Value::from(parts))
}

fn part(text: &str, begin: usize, end: usize) -> Value {
    Value::from(text.get(begin..end).unwrap_or_default())
}
