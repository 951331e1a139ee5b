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
            if is_ordered(items.iter_sorted())? { Ok(value.clone()) } else { Err(Stop::Order) }
        }
        Value::Object(members) => {
            meter::spend_product(members.len(), 1)?;
            members.keys().filter(|key| is_collection(key)).try_for_each(meter::spend_deep)?;
            Ok(value.clone())
        }
        value => Ok(value.clone()),
    }
}

fn is_ordered<'a>(mut items: impl Iterator<Item = &'a Value>) -> Result<bool, Stop> {
    let Some(mut last) = items.next() else { return Ok(true) };
    for item in items {
        if !compare(last, item)?.is_lt() {
            return Ok(false);
        }
        last = item;
    }
    Ok(true)
}

/// How OPA orders two values. Each look is paid for: sets are sorted for it, with all that is in them.
pub(super) fn compare(left: &Value, right: &Value) -> Result<Ordering, Stop> {
    meter::spend(1)?;
    match (left, right) {
        (Value::Object(_), Value::Set(_)) => Ok(Ordering::Less),
        (Value::Set(_), Value::Object(_)) => Ok(Ordering::Greater),
        (Value::Array(left), Value::Array(right)) => {
            let pairs = left.iter().zip(right.iter());
            first_difference(pairs.map(|(left, right)| compare(left, right)), left.len(), right.len())
        }
        (Value::Set(left), Value::Set(right)) => {
            let pairs = sorted(left.iter())?.into_iter().zip(sorted(right.iter())?);
            first_difference(pairs.map(|(left, right)| compare(left, right)), left.len(), right.len())
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = sorted_members(left)?.into_iter().zip(sorted_members(right)?);
            let pairs = pairs.flat_map(|(left, right)| [(left.0, right.0), (left.1, right.1)]);
            first_difference(pairs.map(|(left, right)| compare(left, right)), left.len(), right.len())
        }
        (Value::String(left), Value::String(right)) => {
            meter::spend_text(left.len().min(right.len()))?;
            Ok(left.cmp(right))
        }
        _ => Ok(left.cmp(right)),
    }
}

fn first_difference(
    mut pairs: impl Iterator<Item = Result<Ordering, Stop>>,
    left: usize,
    right: usize,
) -> Result<Ordering, Stop> {
    let difference = pairs.find(|order| order.as_ref().map_or(true, |order| order.is_ne()));
    difference.unwrap_or_else(|| Ok(left.cmp(&right)))
}

/// In OPA's order.
pub(super) fn sorted<'a>(items: impl Iterator<Item = &'a Value>) -> Result<Vec<&'a Value>, Stop> {
    sort_by(items.collect(), |left, right| compare(left, right))
}

/// The same, as far as it is to be shown to people, whatever it costs.
#[cfg(feature = "policy-tools")]
pub(in crate::policy) fn sorted_for_people<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Vec<&'a Value> {
    meter::unpaid(|| sorted(items.clone())).unwrap_or_else(|_| items.collect())
}

/// In the order of the keys.
pub(super) fn sorted_members(members: &regorus::value::Object) -> Result<Vec<(&Value, &Value)>, Stop> {
    meter::spend(members.len())?;
    let members: Vec<_> = members.iter_sorted().collect();
    match members.last() {
        // Only collections are in another order, and they come last.
        Some((key, _)) if is_collection(key) => sort_by(members, |left, right| compare(left.0, right.0)),
        _ => Ok(members),
    }
}

/// Sorts by merging, since a comparison can end it. The library's own sort would take the outcome of a broken one for an
/// order that contradicts itself, and may panic.
fn sort_by<T: Copy>(mut items: Vec<T>, compare: impl Fn(&T, &T) -> Result<Ordering, Stop>) -> Result<Vec<T>, Stop> {
    let mut merged = Vec::with_capacity(items.len());
    let mut run = 1_usize;
    while run < items.len() {
        merged.clear();
        for runs in items.chunks(run.saturating_mul(2)) {
            let (left, right) = runs.split_at_checked(run).unwrap_or((runs, &[]));
            merge(left, right, &mut merged, &compare)?;
        }
        std::mem::swap(&mut items, &mut merged);
        run = run.saturating_mul(2);
    }
    Ok(items)
}

fn merge<T: Copy>(
    left: &[T],
    right: &[T],
    merged: &mut Vec<T>,
    compare: &impl Fn(&T, &T) -> Result<Ordering, Stop>,
) -> Result<(), Stop> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let next = if compare(first, second)?.is_gt() { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left.chain(right));
    Ok(())
}

fn ordered(arguments: &[Value], holds: fn(Ordering) -> bool) -> Outcome {
    match arguments {
        [left, right] => Ok(Value::from(holds(compare(left, right)?))),
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
    Ok(Value::from(sorted(items.into_iter())?.into_iter().cloned().collect::<Vec<_>>()))
}

fn min(arguments: &[Value]) -> Outcome {
    best(arguments, Ordering::is_lt)
}

fn max(arguments: &[Value]) -> Outcome {
    best(arguments, Ordering::is_gt)
}

/// The element that is before, or behind, all others.
fn best(arguments: &[Value], is_better: fn(Ordering) -> bool) -> Outcome {
    let mut items = items(arguments).unwrap_or_default().into_iter();
    let Some(mut best) = items.next() else { return Ok(Value::Undefined) };
    for item in items {
        if is_better(compare(item, best)?) {
            best = item;
        }
    }
    Ok(best.clone())
}
