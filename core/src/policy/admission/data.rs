//! The data document.

use super::super::error::{AdmissionError, Refusal};
use super::super::limits::Limits;
use super::super::value;
use super::syntax::{Parsed, head_name};
use regorus::Value;
use serde_json::Value as Json;

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
    if let Some(name) = number_name(data, limits.max_data_depth) {
        let problem = "OPA finds it by a number, too, the machine does not: put a letter before it";
        return Err(Refusal::Data(format!("the member name `{name}` is a number: {problem}")).into());
    }
    let what = "objects and arrays inside one another in the data";
    value::from_json(data, limits.max_data_depth).map_err(|_| {
        let limit = limits.max_data_depth;
        Refusal::TooMuch { what, found: limit.saturating_add(1), limit }.into()
    })
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

/// A member name that a number could be looked up as: `data.denied[42]` is `data.denied["42"]` in OPA.
fn number_name(data: &Json, depth: usize) -> Option<&str> {
    let inner = depth.checked_sub(1)?;
    match data {
        Json::Object(members) => members.iter().find_map(|(name, member)| {
            if name.parse::<f64>().is_ok() { Some(name.as_str()) } else { number_name(member, inner) }
        }),
        Json::Array(items) => items.iter().find_map(|item| number_name(item, inner)),
        _ => None,
    }
}
