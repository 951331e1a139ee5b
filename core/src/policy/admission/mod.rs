//! Which policies may run: the checks on the text, the syntax tree and the data.
//!
//! They run in this order, each in a file of its own, and the first refusal counts:
//!
//! | check | refuses |
//! |---|---|
//! | [`size`] | more modules, bytes or nesting than the limits allow |
//! | [`tokens`] | text whose parsing or compiling would not end or overflow the stack |
//! | [`syntax`] | what is not Rego |
//! | [`language`] | `with`, functions with defaults, dotted rule heads, object patterns, … |
//! | [`negation`] | variables that only a `not` mentions, which OPA calls unsafe |
//! | [`conflicts`] | rules and objects that could get two values at once |
//! | [`builtins`] | functions that are not in its table; arguments that must be literal or bounded |
//! | [`entrypoint`] | an entry point that is missing or cannot decide |
//! | [`data`] | a data document that hides a rule |
//!
//! The compiled program is checked once more ([`super::program`]).

mod builtins;
mod conflicts;
mod data;
mod entrypoint;
mod formats;
mod globs;
mod language;
mod negation;
mod regexes;
mod size;
mod syntax;
mod tokens;
mod tree;

pub(super) use syntax::located;

use super::error::AdmissionError;
use super::limits::Limits;
use super::source::{Module, PolicySource, RegoVersion};
use regorus::Value;

/// A policy that passed the checks, as it is compiled.
pub(super) struct Compilable {
    pub(super) modules: Vec<Module>,
    pub(super) data: Value,
    pub(super) rego_version: RegoVersion,
}

/// Runs the checks.
pub(super) fn check(source: &PolicySource, limits: &Limits) -> Result<Compilable, AdmissionError> {
    size::check(source, limits)?;
    let parsed = syntax::parse(source)?;
    let mut rewrites = Vec::new();
    for module in &parsed {
        language::check(module)?;
        negation::check(module, &parsed)?;
        builtins::check(module, &parsed, &mut rewrites)?;
    }
    conflicts::check(&parsed)?;
    entrypoint::check(&source.entrypoint, &parsed)?;
    let data = data::check(&source.data, &parsed, limits)?;
    Ok(Compilable { modules: regexes::rewrite(&source.modules, rewrites), data, rego_version: source.rego_version })
}
