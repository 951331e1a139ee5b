//! JSON as the policy machine's values.

use regorus::value::{Array, Object};
use regorus::{Rc, Value};
use serde_json::Value as Json;

/// Why JSON cannot be a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is nested deeper than asked for.
    TooDeep,
    /// It has this number, which OPA and the machine would calculate with and print differently: OPA keeps it as text
    /// and rounds to 64 bits of precision, the machine to 53.
    NotWhole(String),
}

/// Converts JSON whose objects and arrays are at most `depth` deep, and whose numbers are whole.
pub(super) fn from_json(json: &Json, depth: usize) -> Result<Value, Unusable> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => from_number(number)?,
        Json::String(text) => from_text(text),
        Json::Array(items) => {
            let inner = depth.checked_sub(1).ok_or(Unusable::TooDeep)?;
            let items: Array = items.iter().map(|item| from_json(item, inner)).collect::<Result<_, _>>()?;
            Value::Array(Rc::new(items))
        }
        Json::Object(members) => from_object(members, depth)?,
    })
}

/// Converts a JSON object whose objects and arrays are at most `depth` deep, itself included.
pub(super) fn from_object(members: &serde_json::Map<String, Json>, depth: usize) -> Result<Value, Unusable> {
    let inner = depth.checked_sub(1).ok_or(Unusable::TooDeep)?;
    let members = members.iter().map(|(name, member)| Ok((from_text(name), from_json(member, inner)?)));
    Ok(object(members.collect::<Result<Object, _>>()?))
}

/// A string.
pub(super) fn from_text(text: &str) -> Value {
    Value::String(text.into())
}

/// An object.
pub(super) fn object(members: Object) -> Value {
    Value::Object(Rc::new(members))
}

fn from_number(number: &serde_json::Number) -> Result<Value, Unusable> {
    let whole = number.as_u64().map(Value::from).or_else(|| number.as_i64().map(Value::from));
    whole.ok_or_else(|| Unusable::NotWhole(number.to_string()))
}
