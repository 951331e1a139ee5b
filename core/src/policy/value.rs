//! JSON as the policy machine's values.

use regorus::value::{Array, Object};
use regorus::{Rc, Value};
use serde_json::Value as Json;

/// The value is nested deeper than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// Converts JSON whose objects and arrays are at most `depth` deep.
pub(super) fn from_json(json: &Json, depth: usize) -> Result<Value, TooDeep> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => from_number(number),
        Json::String(text) => from_text(text),
        Json::Array(items) => {
            let inner = depth.checked_sub(1).ok_or(TooDeep)?;
            let items: Array = items.iter().map(|item| from_json(item, inner)).collect::<Result<_, _>>()?;
            Value::Array(Rc::new(items))
        }
        Json::Object(members) => from_object(members, depth)?,
    })
}

/// Converts a JSON object whose objects and arrays are at most `depth` deep, itself included.
pub(super) fn from_object(members: &serde_json::Map<String, Json>, depth: usize) -> Result<Value, TooDeep> {
    let inner = depth.checked_sub(1).ok_or(TooDeep)?;
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

fn from_number(number: &serde_json::Number) -> Value {
    if let Some(number) = number.as_u64() {
        Value::from(number)
    } else if let Some(number) = number.as_i64() {
        Value::from(number)
    } else {
        number.as_f64().map_or(Value::Undefined, Value::from)
    }
}
