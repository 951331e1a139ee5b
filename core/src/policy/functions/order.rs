//! The order of values: `<`, `<=`, `>`, `>=`, `sort`, `min`, `max`. In OPA objects come before sets.

use super::meter::{self, is_collection};
use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;
use std::cmp::Ordering;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "lt" => builtin!([Whole, Whole], existing lt),
        "lte" => builtin!([Whole, Whole], existing lte),
        "gt" => builtin!([Whole, Whole], existing gt),
        "gte" => builtin!([Whole, Whole], existing gte),
        ORDERED => builtin!([Free], existing ordered_set),
        "sort" => builtin!([Whole], new sort),
        "min" => builtin!([Whole], existing min),
        "max" => builtin!([Whole], existing max),
        _ => return None,
    })
}

/// The name of [`ordered_set`], which no policy can call.
pub(in crate::policy) const ORDERED: &str = "internal.ordered";

/// The value itself, about to be iterated over: the machine finds the next element of a set by comparing it with the
/// last. A set with objects and sets is in another order in OPA.
fn ordered_set(arguments: &[Value]) -> Outcome {
    let [value] = arguments else { return Ok(Value::Undefined) };
    match value {
        Value::Set(items) if items.last().is_some_and(is_collection) => {
            meter::spend_flat(value)?;
            if is_ordered(items.iter_sorted()) { Ok(value.clone()) } else { Err(Stop::Order) }
        }
        Value::Object(members) => {
            meter::spend_product(members.len(), 1)?;
            members.keys().filter(|key| is_collection(key)).try_for_each(meter::spend_deep)?;
            Ok(value.clone())
        }
        value => Ok(value.clone()),
    }
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
        [Value::Array(items)] => Some(items.iter().collect()),
        [Value::Set(items)] => Some(items.iter().collect()),
        _ => None,
    }
}

fn sort(arguments: &[Value]) -> Outcome {
    let Some(items) = items(arguments) else { return Ok(Value::Undefined) };
    // The first look at each element is paid for; sorting takes as many as its number has bits.
    let looks = items.len().checked_ilog2().and_then(|bits| usize::try_from(bits).ok()).unwrap_or_default();
    meter::spend_product(items.len(), looks)?;
    Ok(Value::from(sorted(items.into_iter()).into_iter().cloned().collect::<Vec<_>>()))
}

fn min(arguments: &[Value]) -> Outcome {
    let least = items(arguments).and_then(|items| items.into_iter().min_by(|left, right| compare(left, right)));
    Ok(least.cloned().unwrap_or(Value::Undefined))
}

fn max(arguments: &[Value]) -> Outcome {
    let greatest = items(arguments).and_then(|items| items.into_iter().max_by(|left, right| compare(left, right)));
    Ok(greatest.cloned().unwrap_or(Value::Undefined))
}
