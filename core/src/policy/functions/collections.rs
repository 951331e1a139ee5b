//! `count`, `array.…`, `object.subset`.

use super::meter::{equal, spend_text};
use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;
use regorus::value::{Array, Object};

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "count" => builtin!([Free], existing count),
        "array.concat" => builtin!([Array, Array], regorus "array.concat"),
        "array.reverse" => builtin!([Array], regorus "array.reverse"),
        "array.slice" => builtin!([Array, Number, Number], regorus "array.slice"),
        "object.subset" => builtin!([Whole, Whole], existing object_subset),
        _ => return None,
    })
}

/// Of a string, its characters.
fn count(arguments: &[Value]) -> Outcome {
    Ok(Value::from(match arguments {
        [Value::Array(items)] => items.len(),
        [Value::Set(items)] => items.len(),
        [Value::Object(members)] => members.len(),
        [Value::String(text)] => {
            spend_text(text.len())?;
            text.chars().count()
        }
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
        [all, some] => within(all, some)?.map_or(Value::Undefined, Value::from),
        _ => Value::Undefined,
    })
}

/// None for values that are not of one kind of collection.
fn within(all: &Value, some: &Value) -> Result<Option<bool>, Stop> {
    Ok(match (all, some) {
        (Value::Object(all), Value::Object(some)) => Some(members_within(all, some)?),
        (Value::Set(all), Value::Set(some)) => Some(some.iter().all(|item| all.contains(item))),
        (Value::Array(all), Value::Array(some)) => Some(run_within(all, some)?),
        _ => None,
    })
}

fn run_within(all: &Array, some: &Array) -> Result<bool, Stop> {
    for start in 0..=all.len().saturating_sub(some.len()) {
        let mut pairs = all.iter().skip(start).zip(some.iter());
        let differs = pairs.find_map(|(mine, theirs)| Some(equal(mine, theirs)).filter(|same| *same != Ok(true)));
        match differs {
            None if all.len() >= some.len() => return Ok(true),
            Some(Err(stop)) => return Err(stop),
            _ => {}
        }
    }
    Ok(false)
}

fn members_within(all: &Object, some: &Object) -> Result<bool, Stop> {
    for (key, mine) in some.iter() {
        let Some(theirs) = all.get(key) else { return Ok(false) };
        if !equal(theirs, mine)? && within(theirs, mine)? != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}
