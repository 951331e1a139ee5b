//! OPA's builtin functions and operators, where regorus' own give other answers.
//!
//! The machine calls builtins by a table of function pointers that the program carries; here the entries that differ
//! are exchanged for ours. Operators become calls, too ([`operators`]).
//!
//! Numbers are whole (see [`super::value`]), so that arithmetic is exact in both. Where OPA would leave the whole
//! numbers, or text that is Unicode, the evaluation ends with an error ([`Stop`]): never with another answer.

mod addresses;
mod arithmetic;
mod collections;
mod encodings;
mod format;
mod globs;
mod letters;
mod numbers;
mod operators;
mod order;
mod patterns;
mod strings;

pub(super) use globs::is_supported as is_supported_glob;
pub(super) use operators::index_of;
pub(super) use order::ORDERED;
#[cfg(feature = "policy-tools")]
pub(super) use order::sorted;

use super::error::Refusal;
use anyhow::Result;
use regorus::rvm::program::Program;
use regorus::rvm::vm::VmError;
use regorus::unstable::{BUILTINS, BuiltinFcn};
use regorus::{LimitError, Value};

/// Why an evaluation ends: OPA has a value here that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Numbers here are whole.
    #[error("a division left a remainder, and only whole numbers are supported")]
    Remainder,
    /// As above.
    #[error("a text became a number that is not whole or too large, and only whole numbers are supported")]
    NotWhole,
    /// What grows with each operation would fill the memory.
    #[error("a number is too large")]
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
}

/// The outcome of one of our functions: undefined is a value.
type Outcome = std::result::Result<Value, Stop>;

/// A builtin of ours, as the machine calls it.
macro_rules! builtin {
    ($function:path, $arity:literal) => {
        (|_, _, arguments, _| $crate::policy::functions::outcome($function(arguments)), $arity)
    };
}
use builtin;

/// The functions that stand in for regorus' own.
fn ours(name: &str) -> Option<BuiltinFcn> {
    [
        addresses::find,
        arithmetic::find,
        collections::find,
        encodings::find,
        format::find,
        globs::find,
        numbers::find,
        order::find,
        patterns::find,
        strings::find,
    ]
    .into_iter()
    .find_map(|find| find(name))
}

/// Puts our functions in the place of regorus' own.
pub(super) fn replace(program: &mut Program) -> std::result::Result<(), Refusal> {
    operators::replace(program)?;
    resolve(program)
}

/// Fills the table of functions.
pub(super) fn resolve(program: &mut Program) -> std::result::Result<(), Refusal> {
    let functions = program.builtin_info_table.iter().map(|info| {
        let name = info.name.as_str();
        let function = ours(name).or_else(|| BUILTINS.get(name).copied());
        function.ok_or_else(|| Refusal::no_function(name))
    });
    program.resolved_builtins = functions.collect::<std::result::Result<_, _>>()?;
    Ok(())
}

/// Marks an error of ours among the machine's: only those about limits end an evaluation, and none of them is used.
const MARK: u64 = u64::MAX;

const STOPS: [Stop; 6] = [Stop::Remainder, Stop::NotWhole, Stop::TooLarge, Stop::NotUnicode, Stop::Order, Stop::Glob];

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
