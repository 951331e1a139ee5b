//! Which policies may run: the checks on the text, the syntax tree and the data.
//!
//! They run in this order, each in a file of its own; everything they find is collected, and any of it refuses the
//! policy. Three of them also say how a policy is to be written for the machine's compiler ([`rewrite`]):
//!
//! | check | refuses |
//! |---|---|
//! | [`size`] | more modules, bytes, definitions, imports or conditions than the limits allow |
//! | [`tokens`] | text whose parsing or compiling would not end or overflow the stack |
//! | [`syntax`] | what is not Rego |
//! | [`names`] | imports, rules and packages that the machine would take for one another; functions that are not called. It writes out the paths of imported packages |
//! | [`language`] | `with`, functions with defaults, dotted rule heads, object patterns, … |
//! | [`sets`] | set literals with computed elements that could be iterated over |
//! | [`variables`] | variables that are declared twice, too late, or for nothing |
//! | [`negation`] | variables that only a `not` mentions, or that a call needs too early, which OPA calls unsafe |
//! | [`builtins`] | functions that are not in its table; arguments that must be literal or bounded ([`formats`], [`globs`], [`regexes`], [`templates`]) |
//! | [`every`] | nothing; it has variables of `every` assigned that regorus would take for unbound |
//! | [`conflicts`] | rules and objects that could get two values at once, or are two things |
//! | [`packages`] | packages without rules |
//! | [`entrypoint`] | an entry point that is missing or cannot decide |
//! | [`data`] | a data document that hides a rule |
//!
//! Some of the text is written anew for the machine's compiler ([`rewrite`]): regexes, and variables of [`every`].
//!
//! The compiled program is checked once more ([`super::program`]).

mod builtins;
mod conflicts;
mod data;
mod entrypoint;
mod every;
mod findings;
mod formats;
mod globs;
mod language;
mod names;
mod negation;
mod packages;
mod regexes;
mod rewrite;
mod scopes;
mod sets;
mod size;
mod syntax;
mod templates;
mod tokens;
mod tree;
mod variables;

pub(super) use findings::Findings;
pub(super) use syntax::{Parsed, head_name, located, parse};
#[cfg(feature = "policy-tools")]
pub(super) use {
    builtins::is_builtin_name,
    language::constant,
    names::import_name,
    syntax::{parse_modules, parse_tests, static_path, string_of},
    tree::{Visitor, children, comprehension, walk_expr, walk_module, walk_rule},
};

use super::functions::Regexes;
use super::limits::Limits;
use super::program::Definitions;
use super::source::{Module, PolicySource, RegoVersion};
use regorus::Value;
use regorus::unstable::Rule;

/// A policy that passed the checks, as it is compiled.
pub(super) struct Compilable {
    pub(super) modules: Vec<Module>,
    /// Paths of all rules that have a value: no functions.
    pub(super) rules: Vec<String>,
    pub(super) definitions: Definitions,
    pub(super) data: Value,
    pub(super) data_depth: usize,
    pub(super) regexes: Regexes,
    pub(super) rego_version: RegoVersion,
}

/// Parses the modules as they are compiled.
#[cfg(feature = "policy-tools")]
pub(super) fn parse_compilable(compilable: &Compilable, found: &mut Findings) -> Option<Vec<Parsed>> {
    // Writing out regexes lengthens lines.
    syntax::parse_lines(&compilable.modules, compilable.rego_version, std::num::NonZeroU32::MAX, found)
}

/// Runs the checks. None where they found something.
pub(super) fn check(source: &PolicySource, limits: &Limits, found: &mut Findings) -> Option<Compilable> {
    found.note(size::check(source, limits))?;
    let parsed = parse(source, found)?;
    size::check_parsed(&parsed, found)?;
    let mut rewrites = Vec::new();
    names::check(&parsed, &mut rewrites, found);
    let mut regexes = regexes::Checked::default();
    for module in &parsed {
        language::check(module, found);
        sets::check(module, found);
        variables::check(module, found);
        negation::check(module, &parsed, found);
        builtins::check(module, &parsed, &mut regexes, &mut rewrites, found);
    }
    every::check(&parsed, &source.modules, &mut rewrites);
    conflicts::check(&parsed, found);
    packages::check(&parsed, found);
    found.note(entrypoint::check(&source.entrypoint, &parsed));
    let data = found.note(data::check(&source.data, &parsed, limits))?;
    let modules = found.note(rewrite::apply(source, &parsed, rewrites))?;
    let rules = entrypoint::all(&parsed).into_iter().collect();
    let definitions = definitions(&parsed);
    let data_depth = limits.max_data_depth;
    let regexes = regexes.into_regexes();
    let rego_version = source.rego_version;
    found.is_empty().then_some(Compilable { modules, rules, definitions, data, data_depth, regexes, rego_version })
}

fn definitions(modules: &[Parsed]) -> Definitions {
    let mut definitions = Definitions::new();
    for module in modules {
        for (_, head) in module.rules().filter(|(rule, _)| matches!(rule, Rule::Spec { .. })) {
            if let Some(name) = head_name(head) {
                definitions.entry(module.path_of(name.text())).or_default().push(module.index);
            }
        }
    }
    definitions
}
