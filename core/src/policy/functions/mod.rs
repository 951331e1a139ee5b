//! OPA's builtin functions and operators.
//!
//! The machine calls builtins by a table of function pointers that the program carries; all its entries are ours.
//! Operators become calls, too ([`operators`]).
//!
//! Whatever a policy can call is named in the files here, with what its arguments must be and cost ([`meter`]); regorus'
//! own functions are called where they give OPA's answers in a time that is bounded so.
//!
//! Numbers are whole (see [`super::value`]), so that arithmetic is exact in both. Where OPA would leave the whole
//! numbers, or text that is Unicode, the evaluation ends with an error ([`Stop`]): never with another answer.

mod addresses;
mod arithmetic;
mod bits;
mod collections;
mod comparisons;
mod encodings;
mod format;
mod globs;
mod kinds;
mod letters;
mod meter;
mod numbers;
mod objects;
mod operators;
mod order;
mod patterns;
mod strings;
mod texts;

pub(super) use comparisons::{COMPARED, EQUAL, MEMBER, NOT_EQUAL, NOW, ROOM};
pub(super) use globs::is_supported as is_supported_glob;
pub(super) use meter::begin;
#[cfg(test)]
pub(super) use meter::left;
pub(super) use operators::{call, replace as replace_operators};
pub(super) use order::ORDERED;
#[cfg(feature = "policy-tools")]
pub(super) use order::sorted_for_people;
pub(super) use patterns::{Pattern, Regexes};

use super::error::Refusal;
use anyhow::Result;
use regorus::rvm::program::Program;
use regorus::rvm::vm::VmError;
use regorus::unstable::BuiltinFcn;
use regorus::{LimitError, Value};

/// Why an evaluation ends without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Numbers here are whole.
    #[error("a division left a remainder, and only whole numbers are supported")]
    Remainder,
    /// As above.
    #[error("a text became a number that is not whole or too large, and only whole numbers are supported")]
    NotWhole,
    /// What grows with each operation would fill the memory.
    #[error("a number has more than 1,024 bits, a text more than 1 MiB or a collection more than 65,536 elements")]
    TooLarge,
    /// Strings in OPA hold any bytes.
    #[error("a decoded text is not UTF-8")]
    NotUnicode,
    /// A set of which some elements are sets and some are objects.
    #[error("a loop goes over a set in which sets and objects are mixed, which is not supported")]
    Order,
    /// A glob that is not literal.
    #[error("a glob has `[`, `]`, `{{`, `}}`, `,` or `\\`, or more than 256 bytes, which is not supported")]
    Glob,
    /// What functions read and make counts against the budget of an evaluation, too.
    #[error("its functions and comparisons have more to read or make than its instructions allow")]
    Work,
}

/// The outcome of one of our functions: undefined is a value.
type Outcome = std::result::Result<Value, Stop>;

/// What an argument must be, or the result is undefined, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// Anything, of which no more is looked at than what kind it is.
    Free,
    /// Anything, of which all is looked at.
    Whole,
    /// A text.
    Text,
    /// A number.
    Number,
    /// An array, of which the elements are moved or copied.
    Array,
    /// An object, of which the members are moved or copied.
    Object,
    /// A set, of which the elements are moved or copied.
    Set,
}

impl Argument {
    /// Pays for the argument. Whether it is what it must be.
    fn pay(self, value: &Value) -> std::result::Result<bool, Stop> {
        let fits = match self {
            Self::Free => return Ok(true),
            Self::Whole => return meter::spend_deep(value).map(|()| true),
            Self::Text => matches!(value, Value::String(_)),
            Self::Number => matches!(value, Value::Number(_)),
            Self::Array => matches!(value, Value::Array(_)),
            Self::Object => matches!(value, Value::Object(_)),
            Self::Set => matches!(value, Value::Set(_)),
        };
        if fits {
            meter::spend_flat(value)?;
        }
        Ok(fits)
    }
}

/// Pays for the arguments. Whether they are what they must be.
fn pay(arguments: &[Argument], values: &[Value]) -> std::result::Result<bool, Stop> {
    let mut fit = arguments.len() == values.len();
    for (argument, value) in arguments.iter().zip(values) {
        fit &= argument.pay(value)?;
    }
    Ok(fit)
}

/// Pays for a result, and bounds it.
fn bounded(result: Value) -> Outcome {
    meter::spend_flat(&result)?;
    let fits = match &result {
        Value::String(text) => text.len() <= meter::MAX_TEXT,
        Value::Array(items) => items.len() <= meter::MAX_ELEMENTS,
        Value::Set(items) => items.len() <= meter::MAX_ELEMENTS,
        Value::Object(members) => members.len() <= meter::MAX_ELEMENTS,
        Value::Number(_) => arithmetic::is_small(&result),
        _ => true,
    };
    if fits { Ok(result) } else { Err(Stop::TooLarge) }
}

/// A builtin, as the machine calls it: with what its arguments must be, and the function.
///
/// `new` is a function of ours that makes its result, `existing` one that gives a part of what it got, or something
/// small; `regorus` is one of regorus' own.
macro_rules! builtin {
    ([$($argument:ident),*], new $function:path) => {
        builtin!(@ [$($argument),*], |_, _, values, _| {
            $crate::policy::functions::outcome($function(values).and_then($crate::policy::functions::bounded))
        })
    };
    ([$($argument:ident),*], existing $function:path) => {
        builtin!(@ [$($argument),*], |_, _, values, _| $crate::policy::functions::outcome($function(values)))
    };
    ([$($argument:ident),*], regorus $name:literal) => {
        builtin!(@ [$($argument),*], |span, params, values, strict| {
            static OWN: std::sync::LazyLock<Option<regorus::unstable::BuiltinFcn>> =
                std::sync::LazyLock::new(|| regorus::unstable::BUILTINS.get($name).copied());
            match *OWN {
                Some((function, _)) => {
                    let result = function(span, params, values, strict)?;
                    $crate::policy::functions::outcome($crate::policy::functions::bounded(result))
                }
                None => Ok(regorus::Value::Undefined),
            }
        })
    };
    (@ [$($argument:ident),*], |$span:pat_param, $params:pat_param, $values:ident, $strict:pat_param| $call:expr) => {{
        const ARGUMENTS: &[$crate::policy::functions::Argument] = &[$($crate::policy::functions::Argument::$argument),*];
        #[allow(clippy::cast_possible_truncation, reason = "a handful of arguments")]
        const ARITY: u8 = ARGUMENTS.len() as u8;
        (
            |$span, $params, $values, $strict| match $crate::policy::functions::pay(ARGUMENTS, $values) {
                Ok(true) => $call,
                Ok(false) => Ok(regorus::Value::Undefined),
                Err(stop) => $crate::policy::functions::outcome(Err(stop)),
            },
            ARITY,
        )
    }};
}
use builtin;

/// The function of this name, with what it costs.
fn find(name: &str) -> Option<BuiltinFcn> {
    [
        addresses::find,
        arithmetic::find,
        bits::find,
        collections::find,
        comparisons::find,
        encodings::find,
        format::find,
        globs::find,
        kinds::find,
        numbers::find,
        objects::find,
        order::find,
        patterns::find,
        strings::find,
        texts::find,
    ]
    .into_iter()
    .find_map(|find| find(name))
}

/// Fills the table of functions.
pub(super) fn resolve(program: &mut Program) -> std::result::Result<(), Refusal> {
    let functions = program.builtin_info_table.iter().map(|info| {
        let name = info.name.as_str();
        find(name).ok_or_else(|| Refusal::no_function(name))
    });
    program.resolved_builtins = functions.collect::<std::result::Result<_, _>>()?;
    Ok(())
}

/// Marks an error of ours among the machine's: only those about limits end an evaluation, and none of them is used.
const MARK: u64 = u64::MAX;

const STOPS: [Stop; 7] =
    [Stop::Remainder, Stop::NotWhole, Stop::TooLarge, Stop::NotUnicode, Stop::Order, Stop::Glob, Stop::Work];

fn outcome(outcome: Outcome) -> Result<Value> {
    outcome.map_err(|stop| {
        let index = STOPS.iter().position(|known| *known == stop).unwrap_or_default();
        let usage = u64::try_from(index).unwrap_or_default();
        LimitError::MemoryLimitExceeded { usage, limit: MARK }.into()
    })
}

/// Why the machine stopped, if it was for a reason of ours.
pub(super) fn stop_of(error: &VmError) -> Option<Stop> {
    match error {
        VmError::MemoryLimitExceeded { usage, limit: MARK, .. } => STOPS.get(usize::try_from(*usage).ok()?).copied(),
        _ => None,
    }
}
