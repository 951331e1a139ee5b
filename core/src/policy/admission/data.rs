//! The data document.

use super::super::error::{AdmissionError, Refusal};
use super::super::limits::Limits;
use super::super::value::{self, Unusable};
use super::syntax::{Parsed, head_name};
use regorus::Value;
use serde_json::Value as Json;
use std::borrow::Cow;

/// Longest member name in bytes: a look-up compares names, and is one instruction.
const MAX_NAME: usize = 1024;

/// Converts the data, and refuses it where it stands in the place of a rule or package.
pub(super) fn check(data: &Json, modules: &[Parsed], limits: &Limits) -> Result<Value, AdmissionError> {
    if !data.is_object() {
        return Err(Refusal::Data(format!("found {}, expected an object", crate::json::kind(data))).into());
    }
    for module in modules {
        for (rule, head) in module.rules() {
            let Some(name) = head_name(head) else { continue };
            let path: Vec<&str> = module.package.iter().map(String::as_str).chain([name.text()]).collect();
            if let Some(depth) = conflict(data, &path) {
                let part = path.get(..depth).unwrap_or_default().join(".");
                let problem = format!("`{part}` is in the way of the rule `data.{}`", path.join("."));
                return Err(Refusal::Data(problem).at(rule.span()));
            }
        }
    }
    if let Some(name) = find_name(data, limits.max_data_depth, |name| name.len() > MAX_NAME) {
        let what = "bytes in a member name of the data";
        return Err(Refusal::TooMuch { what, found: name.len(), limit: MAX_NAME }.into());
    }
    if let Some(name) = find_name(data, limits.max_data_depth, is_number) {
        let problem = "OPA finds it by a number, too, the machine does not: put a letter before it";
        return Err(Refusal::Data(format!("the member name `{name}` is a number: {problem}")).into());
    }
    let what = "objects and arrays inside one another in the data";
    let limit = limits.max_data_depth;
    let data = if has_doubles(data) { Cow::Owned(integral(data)) } else { Cow::Borrowed(data) };
    value::from_json(&data, limit).map_err(|problem| match problem {
        Unusable::TooDeep => Refusal::TooMuch { what, found: limit.saturating_add(1), limit }.into(),
        Unusable::NotWhole(number) => Refusal::Number(number).into(),
    })
}

/// Whether a copy must be made of the data, which may be most of a filter's memory.
fn has_doubles(data: &Json) -> bool {
    match data {
        Json::Array(items) => items.iter().any(has_doubles),
        Json::Object(members) => members.values().any(has_doubles),
        Json::Number(number) => number.is_f64(),
        _ => false,
    }
}

/// Integral doubles are whole numbers: Istio's configuration is a protobuf Struct, which has doubles only. From 2⁵³ on a
/// double may have been another number, and OPA prints `-0` as it was written.
fn integral(data: &Json) -> Json {
    match data {
        Json::Array(items) => items.iter().map(integral).collect(),
        Json::Object(members) => {
            let mut copy = serde_json::Map::new();
            copy.extend(members.iter().map(|(name, member)| (name.clone(), integral(member))));
            copy.into()
        }
        Json::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|double| is_integral(*double));
            whole.and_then(|double| format!("{double:.0}").parse::<i64>().ok()).map_or_else(|| data.clone(), Json::from)
        }
        other => other.clone(),
    }
}

fn is_integral(double: f64) -> bool {
    let is_exact = double.abs() < 9_007_199_254_740_992.0;
    let is_minus_zero = double == 0.0 && double.is_sign_negative();
    double.fract() == 0.0 && is_exact && !is_minus_zero
}

/// How many parts of the path lead to data where only a rule or package may be.
fn conflict(data: &Json, path: &[&str]) -> Option<usize> {
    let mut current = data;
    for (index, part) in path.iter().enumerate() {
        let Json::Object(members) = current else { return Some(index) };
        current = members.get(*part)?;
    }
    Some(path.len())
}

/// A number could be looked up as it: `data.denied[42]` is `data.denied["42"]` in OPA.
fn is_number(name: &str) -> bool {
    name.parse::<f64>().is_ok()
}

/// A member name of which it is so.
fn find_name(data: &Json, depth: usize, is_sought: fn(&str) -> bool) -> Option<&str> {
    let inner = depth.checked_sub(1)?;
    match data {
        Json::Object(members) => members.iter().find_map(|(name, member)| {
            if is_sought(name) { Some(name.as_str()) } else { find_name(member, inner, is_sought) }
        }),
        Json::Array(items) => items.iter().find_map(|item| find_name(item, inner, is_sought)),
        _ => None,
    }
}
