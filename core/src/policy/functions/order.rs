//! The order of values: `<`, `<=`, `>`, `>=`, `sort`, `min`, `max`. In OPA objects come before sets.

use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;
use std::cmp::Ordering;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "lt" => builtin!(lt, 2),
        "lte" => builtin!(lte, 2),
        "gt" => builtin!(gt, 2),
        "gte" => builtin!(gte, 2),
        ORDERED => builtin!(ordered_set, 1),
        "sort" => builtin!(sort, 1),
        "min" => builtin!(min, 1),
        "max" => builtin!(max, 1),
        _ => return None,
    })
}

/// The name of [`ordered_set`], which no policy can call.
pub(in crate::policy) const ORDERED: &str = "internal.ordered";

/// The value itself, about to be iterated over. A set with objects and sets is in another order in OPA.
fn ordered_set(arguments: &[Value]) -> Outcome {
    let [value] = arguments else { return Ok(Value::Undefined) };
    match value {
        Value::Set(items) if items.last().is_some_and(is_collection) && !is_ordered(items.iter_sorted()) => {
            Err(Stop::Order)
        }
        value => Ok(value.clone()),
    }
}

const fn is_collection(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Set(_) | Value::Object(_))
}

fn is_ordered<'a>(items: impl Iterator<Item = &'a Value>) -> bool {
    items.is_sorted_by(|left, right| compare(left, right).is_lt())
}

/// How OPA orders two values.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Object(_), Value::Set(_)) => Ordering::Less,
        (Value::Set(_), Value::Object(_)) => Ordering::Greater,
        (Value::Array(left), Value::Array(right)) => {
            let pairs = left.iter().zip(right.iter());
            first_difference(pairs.map(|(left, right)| compare(left, right)), left.len(), right.len())
        }
        (Value::Set(left), Value::Set(right)) => {
            let pairs = sorted(left.iter()).into_iter().zip(sorted(right.iter()));
            first_difference(pairs.map(|(left, right)| compare(left, right)), left.len(), right.len())
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = sorted_members(left).into_iter().zip(sorted_members(right));
            let pairs = pairs.flat_map(|(left, right)| [compare(left.0, right.0), compare(left.1, right.1)]);
            first_difference(pairs, left.len(), right.len())
        }
        _ => left.cmp(right),
    }
}

fn first_difference(mut pairs: impl Iterator<Item = Ordering>, left: usize, right: usize) -> Ordering {
    pairs.find(|order| order.is_ne()).unwrap_or_else(|| left.cmp(&right))
}

/// In OPA's order.
pub(in crate::policy) fn sorted<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut items: Vec<&Value> = items.collect();
    items.sort_by(|left, right| compare(left, right));
    items
}

/// In the order of the keys.
pub(super) fn sorted_members(members: &regorus::value::Object) -> Vec<(&Value, &Value)> {
    let mut members: Vec<_> = members.iter_sorted().collect();
    members.sort_by(|left, right| compare(left.0, right.0));
    members
}

fn ordered(arguments: &[Value], holds: fn(Ordering) -> bool) -> Outcome {
    match arguments {
        [left, right] => Ok(Value::from(holds(compare(left, right)))),
        _ => Ok(Value::Undefined),
    }
}

fn lt(arguments: &[Value]) -> Outcome {
    ordered(arguments, Ordering::is_lt)
}

fn lte(arguments: &[Value]) -> Outcome {
    ordered(arguments, Ordering::is_le)
}

fn gt(arguments: &[Value]) -> Outcome {
    ordered(arguments, Ordering::is_gt)
}

fn gte(arguments: &[Value]) -> Outcome {
    ordered(arguments, Ordering::is_ge)
}

fn items(arguments: &[Value]) -> Option<Vec<&Value>> {
    match arguments {
        [Value::Array(items)] => Some(sorted(items.iter())),
        [Value::Set(items)] => Some(sorted(items.iter())),
        _ => None,
    }
}

fn sort(arguments: &[Value]) -> Outcome {
    Ok(items(arguments).map_or(Value::Undefined, |items| Value::from(items.into_iter().cloned().collect::<Vec<_>>())))
}

fn min(arguments: &[Value]) -> Outcome {
    Ok(items(arguments).and_then(|items| items.first().copied().cloned()).unwrap_or(Value::Undefined))
}

fn max(arguments: &[Value]) -> Outcome {
    Ok(items(arguments).and_then(|items| items.last().copied().cloned()).unwrap_or(Value::Undefined))
}
