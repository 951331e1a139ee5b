//! `object.…`, `union`, `intersection`, `|`, `&`.

use super::meter::{self, spend};
use super::{Outcome, Stop, builtin};
use regorus::unstable::BuiltinFcn;
use regorus::value::{Object, Set};
use regorus::{Rc, Value};

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "object.filter" => builtin!([Object, Whole], regorus "object.filter"),
        "object.get" => builtin!([Free, Whole, Free], existing get),
        "object.keys" => builtin!([Object], regorus "object.keys"),
        "object.remove" => builtin!([Object, Whole], regorus "object.remove"),
        "object.union" => builtin!([Object, Object], new union),
        "object.union_n" => builtin!([Array], new union_n),
        "intersection" => builtin!([Whole], regorus "intersection"),
        "union" => builtin!([Whole], new union_of_sets),
        "__builtin_sets.intersection" => builtin!([Set, Set], regorus "__builtin_sets.intersection"),
        "__builtin_sets.union" => builtin!([Set, Set], regorus "__builtin_sets.union"),
        _ => return None,
    })
}

/// By a key, or by an array of keys.
fn get(arguments: &[Value]) -> Outcome {
    let [Value::Object(members), key, default] = arguments else { return Ok(Value::Undefined) };
    let found = match (key, arguments.first()) {
        (Value::Array(path), Some(object)) => {
            path.iter().try_fold(object, |value, key| Some(&value[key]).filter(|value| **value != Value::Undefined))
        }
        (key, _) => members.get(key),
    };
    Ok(found.unwrap_or(default).clone())
}

fn union(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Object(left), Value::Object(right)] => merge(left.clone(), right).map(Value::Object),
        _ => Ok(Value::Undefined),
    }
}

fn union_n(arguments: &[Value]) -> Outcome {
    let [Value::Array(items)] = arguments else { return Ok(Value::Undefined) };
    let mut merged = Rc::new(Object::new());
    for item in items.iter() {
        let Value::Object(members) = item else { return Ok(Value::Undefined) };
        meter::spend_flat(item)?;
        merged = merge(merged, members)?;
    }
    Ok(Value::Object(merged))
}

/// Objects that both have are merged, too; else the right one's member counts.
fn merge(mut left: Rc<Object>, right: &Object) -> Result<Rc<Object>, Stop> {
    if Rc::get_mut(&mut left).is_none() {
        spend(left.len())?;
    }
    let merged = Rc::make_mut(&mut left);
    for (key, theirs) in right.iter() {
        // Finding the place for a member takes longer than looking at one.
        spend(4)?;
        let member = match (merged.get(key), theirs) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => Value::Object(merge(mine.clone(), theirs)?),
            _ => theirs.clone(),
        };
        merged.insert(key.clone(), member);
    }
    Ok(left)
}

fn union_of_sets(arguments: &[Value]) -> Outcome {
    let [Value::Set(sets)] = arguments else { return Ok(Value::Undefined) };
    let mut joined = Set::new();
    for set in sets.iter() {
        let Value::Set(items) = set else { return Ok(Value::Undefined) };
        joined.extend(items.iter().cloned());
    }
    Ok(Value::Set(Rc::new(joined)))
}
