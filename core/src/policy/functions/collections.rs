//! `count`, `object.subset`.

use super::{Outcome, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;
use regorus::value::Object;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "count" => builtin!(count, 1),
        "object.subset" => builtin!(object_subset, 2),
        _ => return None,
    })
}

/// Of a string, its characters.
fn count(arguments: &[Value]) -> Outcome {
    Ok(Value::from(match arguments {
        [Value::Array(items)] => items.len(),
        [Value::Set(items)] => items.len(),
        [Value::Object(members)] => members.len(),
        [Value::String(text)] => text.chars().count(),
        _ => return Ok(Value::Undefined),
    }))
}

/// Objects member by member, sets by their elements, an array as a run of another; an array also against a set.
fn object_subset(arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Array(all), Value::Set(some)] => {
            // As OPA counts: an element that the array has twice counts twice.
            let found = all.iter().filter(|item| some.contains(item)).count();
            Value::from(!all.is_empty() && found >= some.len())
        }
        [all, some] => within(all, some).map_or(Value::Undefined, Value::from),
        _ => Value::Undefined,
    })
}

/// None for values that are not of one kind of collection.
fn within(all: &Value, some: &Value) -> Option<bool> {
    match (all, some) {
        (Value::Object(all), Value::Object(some)) => Some(members_within(all, some)),
        (Value::Set(all), Value::Set(some)) => Some(some.iter().all(|item| all.contains(item))),
        (Value::Array(all), Value::Array(some)) => {
            Some(some.is_empty() || all.as_slice().windows(some.len()).any(|run| run == some.as_slice()))
        }
        _ => None,
    }
}

fn members_within(all: &Object, some: &Object) -> bool {
    some.iter().all(|(key, mine)| {
        let theirs = all.get(key);
        theirs.is_some_and(|theirs| theirs == mine || within(theirs, mine) == Some(true))
    })
}
