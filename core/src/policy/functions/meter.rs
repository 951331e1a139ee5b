//! What functions cost: one call is one instruction, however much it is given. So each call also spends units of work,
//! for what it reads and makes, of a budget that belongs to the evaluation; and what it makes is bounded.
//!
//! The machine hands nothing of an evaluation to a builtin, so the budget is kept beside it, for the thread: it is set
//! when an evaluation begins ([`begin`]), and an evaluation ends before another begins on its thread.

use super::Stop;
use super::patterns::Regexes;
use crate::time::Timestamp;
use regorus::value::{Object, Set};
use regorus::{Rc, Value};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Units of work for each instruction of the budget. A unit is an element that is looked at, or some bytes of text: tens
/// of nanoseconds.
const UNITS_PER_INSTRUCTION: usize = 16;

/// Bytes of text that are one unit.
const BYTES_PER_UNIT: usize = 16;

/// Elements of a collection that a function makes, at most.
pub(super) const MAX_ELEMENTS: usize = 64 * 1024;

/// Bytes of a text that a function makes, at most.
pub(super) const MAX_TEXT: usize = 1024 * 1024;

/// How deep what is compared or printed may be. No program can make deeper values (see `program::depth`), so this is
/// only for what it does not know.
const MAX_DEPTH: usize = 256;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    static REGEXES: RefCell<Option<Arc<Regexes>>> = const { RefCell::new(None) };
}

/// Begins an evaluation on this thread.
#[inline]
pub(in crate::policy) fn begin(max_instructions: usize, now: Timestamp, regexes: &Arc<Regexes>) {
    LEFT.set(max_instructions.saturating_mul(UNITS_PER_INSTRUCTION));
    NOW.set(now.nanos());
    REGEXES.set(Some(Arc::clone(regexes)));
}

/// Units of work that are left to the evaluation.
#[cfg(test)]
pub(in crate::policy) fn left() -> usize {
    LEFT.get()
}

/// The time of the evaluation.
pub(super) fn now() -> Value {
    Value::from(NOW.get())
}

/// The evaluation's regexes.
pub(super) fn with_regexes<T>(read: impl FnOnce(Option<&Regexes>) -> T) -> T {
    REGEXES.with_borrow(|regexes| read(regexes.as_deref()))
}

/// Takes units from the budget.
#[inline]
pub(super) fn spend(units: usize) -> Result<(), Stop> {
    let left = LEFT.get().checked_sub(units);
    LEFT.set(left.unwrap_or(0));
    left.map(drop).ok_or(Stop::Work)
}

/// What is not part of an evaluation costs nothing.
#[cfg(feature = "policy-tools")]
#[inline]
pub(super) fn unpaid<T>(work: impl FnOnce() -> T) -> T {
    let left = LEFT.replace(usize::MAX);
    let result = work();
    LEFT.set(left);
    result
}

/// For going through a text.
pub(super) fn spend_text(bytes: usize) -> Result<(), Stop> {
    spend((bytes / BYTES_PER_UNIT).saturating_add(1))
}

/// For each of some with each of others.
pub(super) fn spend_product(some: usize, others: usize) -> Result<(), Stop> {
    spend(some.saturating_mul(others) / BYTES_PER_UNIT)
}

/// For going through the elements of a value, and not into them.
#[inline]
pub(super) fn spend_flat(value: &Value) -> Result<(), Stop> {
    match value {
        Value::String(text) => spend_text(text.len()),
        Value::Array(items) => spend(items.len()),
        Value::Set(items) => spend_set(items),
        Value::Object(members) => spend_keys(members),
        _ => Ok(()),
    }
}

/// A set finds its elements by comparing them.
#[inline]
fn spend_set(items: &Set) -> Result<(), Stop> {
    spend(items.len())?;
    // Collections come last.
    match items.last() {
        Some(last) if is_collection(last) => items.iter().try_for_each(spend_deep),
        _ => Ok(()),
    }
}

/// An object finds its members by comparing keys.
fn spend_keys(members: &Object) -> Result<(), Stop> {
    spend(members.len())?;
    members.keys().filter(|key| is_collection(key)).try_for_each(spend_deep)
}

/// For going through a whole value.
pub(super) fn spend_deep(value: &Value) -> Result<(), Stop> {
    spend_down(value, MAX_DEPTH)
}

#[inline]
fn spend_down(value: &Value, depth: usize) -> Result<(), Stop> {
    let Some(inner) = depth.checked_sub(1) else { return Err(Stop::TooLarge) };
    match value {
        Value::String(text) => spend_text(text.len()),
        Value::Array(items) => {
            spend(1)?;
            items.iter().try_for_each(|item| spend_down(item, inner))
        }
        Value::Set(items) => {
            spend(1)?;
            items.iter().try_for_each(|item| spend_down(item, inner))
        }
        Value::Object(members) => {
            spend(1)?;
            members.iter().try_for_each(|(key, member)| {
                spend_down(key, inner)?;
                spend_down(member, inner)
            })
        }
        _ => spend(1),
    }
}

pub(super) const fn is_collection(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Set(_) | Value::Object(_))
}

/// Whether two values are the same. Only what is compared is paid for.
pub(super) fn equal(left: &Value, right: &Value) -> Result<bool, Stop> {
    equal_down(left, right, MAX_DEPTH)
}

#[inline]
fn equal_down(left: &Value, right: &Value, depth: usize) -> Result<bool, Stop> {
    let Some(inner) = depth.checked_sub(1) else { return Err(Stop::TooLarge) };
    spend(1)?;
    match (left, right) {
        (Value::String(left), Value::String(right)) if left.len() == right.len() => {
            spend(left.len() / BYTES_PER_UNIT)?;
            Ok(left == right)
        }
        (Value::Array(left), Value::Array(right)) if Rc::ptr_eq(left, right) => Ok(true),
        (Value::Set(left), Value::Set(right)) if Rc::ptr_eq(left, right) => Ok(true),
        (Value::Object(left), Value::Object(right)) if Rc::ptr_eq(left, right) => Ok(true),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            all_equal(left.iter().zip(right.iter()), inner)
        }
        (Value::Set(left), Value::Set(right)) if left.len() == right.len() => {
            all_equal(left.iter().zip(right.iter()), inner)
        }
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            let pairs = left.iter_sorted().zip(right.iter_sorted());
            all_equal(pairs.flat_map(|(left, right)| [(left.0, right.0), (left.1, right.1)]), inner)
        }
        (left, right) => Ok(!is_collection(left) && left == right),
    }
}

#[inline]
fn all_equal<'a>(mut pairs: impl Iterator<Item = (&'a Value, &'a Value)>, depth: usize) -> Result<bool, Stop> {
    let differs = pairs.find_map(|(left, right)| match equal_down(left, right, depth) {
        Ok(true) => None,
        other => Some(other),
    });
    differs.unwrap_or(Ok(true))
}
