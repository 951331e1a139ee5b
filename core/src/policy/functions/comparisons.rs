//! What the machine does in one instruction however large the values are: here it is paid for (see `program::cost`).

use super::meter::{self, equal};
use super::{Outcome, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

/// `==`, `!=` and `in`; the value itself, about to be compared; room for many new elements; the time. No policy can
/// call them by these names.
pub(in crate::policy) const EQUAL: &str = "internal.equal";
pub(in crate::policy) const NOT_EQUAL: &str = "internal.not_equal";
pub(in crate::policy) const MEMBER: &str = "internal.member";
pub(in crate::policy) const COMPARED: &str = "internal.compared";
pub(in crate::policy) const ROOM: &str = "internal.room";
pub(in crate::policy) const NOW: &str = "internal.now";

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        EQUAL => builtin!([Free, Free], existing is_equal),
        NOT_EQUAL => builtin!([Free, Free], existing is_not_equal),
        MEMBER => builtin!([Free, Free], existing is_member),
        COMPARED => builtin!([Whole], existing itself),
        ROOM => builtin!([], existing room),
        NOW => builtin!([], existing now),
        _ => return None,
    })
}

fn is_equal(arguments: &[Value]) -> Outcome {
    match arguments {
        [left, right] => equal(left, right).map(Value::from),
        _ => Ok(Value::Undefined),
    }
}

fn is_not_equal(arguments: &[Value]) -> Outcome {
    match arguments {
        [left, right] => equal(left, right).map(|equal| Value::from(!equal)),
        _ => Ok(Value::Undefined),
    }
}

/// Whether the value is among the elements, or the members' values.
fn is_member(arguments: &[Value]) -> Outcome {
    let [value, collection] = arguments else { return Ok(Value::Undefined) };
    let is_value = |item: &Value| match equal(value, item) {
        Ok(false) => None,
        other => Some(other),
    };
    let found = match collection {
        Value::Array(items) => items.iter().find_map(is_value),
        Value::Object(members) => members.values().find_map(is_value),
        Value::Set(items) => {
            meter::spend_deep(value)?;
            Some(Ok(items.contains(value)))
        }
        _ => None,
    };
    found.unwrap_or(Ok(false)).map(Value::from)
}

fn itself(arguments: &[Value]) -> Outcome {
    Ok(arguments.first().cloned().unwrap_or(Value::Undefined))
}

/// As many elements as there are registers.
fn room(_: &[Value]) -> Outcome {
    meter::spend(usize::from(u8::MAX)).map(|()| Value::Null)
}

fn now(_: &[Value]) -> Outcome {
    Ok(meter::now())
}
