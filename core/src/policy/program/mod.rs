//! From checked Rego to a program for the machine.
//!
//! regorus' compiler for the machine (pinned to 0.14.1) gives programs that can answer differently from OPA. What can
//! be mended is mended in the program, what cannot is refused. Where no file is named, it is [`guards`] and [`verify`]:
//!
//! | in the compiled program | here |
//! |---|---|
//! | `input` and `data` are loaded where first named, perhaps in a loop that never runs; later uses see undefined | loaded at the start |
//! | `not f(x)`, `not x == 1`, `not x in y` hold when `x` is undefined; in OPA the body fails | a guard on `x` |
//! | `x := y` goes on when `y` is undefined | a guard on `y` |
//! | undefined elements are put into arrays and objects | a guard on the element |
//! | `[x, y] := value` matches a set, an object or a text of two | a look whether it is an array ([`arrays`]) |
//! | a failed condition in a comprehension without a loop leaves it on the stack; later ones jump back | mended |
//! | a failed condition in a comprehension inside a loop skips the loop's iteration, not the comprehension | refused |
//! | a type error in arithmetic ends the rule's body, not the iteration of the loop around it | calls of functions ([`super::functions`]) |
//! | a rule with two values in one loop gets the last | refused |
//! | `data.list[key]` by the key `"1"` is undefined | refused ([`lookups`]) |
//! | sets come before objects | comparisons are calls of functions; loops over such sets end in an error ([`loops`]) |
//! | recursion overflows the stack | refused |
//! | so do values that are made very deep | refused ([`depth`]) |
//! | a comparison is one instruction, however much it compares | paid for ([`cost`]) |
//! | the host's answers to `time.now_ns` are prepared, as many as there may be | a call of a function ([`clock`], [`cost`]) |
//! | a reference over a package's rules evaluates rules that are found at run time, or sees data that is not there | refused here as a whole, by a computed name by [`super::admission`] |

mod arrays;
mod clock;
mod cost;
mod depth;
mod edit;
mod effects;
mod guards;
mod lookups;
mod loops;
#[cfg(feature = "policy-tools")]
mod probes;
mod segment;
mod shorten;
mod sources;
mod uses;
mod verify;

pub(super) use sources::Definitions;
#[cfg(feature = "policy-tools")]
pub(super) use {
    effects::effects,
    probes::{Inside, Probed},
};

use super::admission::{Compilable, Findings, located};
use super::error::{AdmissionError, Place, Refusal};
use super::functions;
use super::source::RegoVersion;
use super::uses::Uses;
use clock::CLOCK;
use edit::Insertions;
use regorus::languages::rego::compiler::{Compiler, SpannedCompilerError};
use regorus::rvm::program::Program as Bytecode;
use regorus::{CompiledPolicy, Engine, PolicyLengthConfig, Rc};
use segment::Segment;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A program that may run.
pub(super) struct Program {
    pub(super) bytecode: Arc<Bytecode>,
    pub(super) uses: Uses,
}

/// Compiles, mends and verifies. None where something was found.
pub(super) fn compile(source: &Compilable, entrypoint: &str, found: &mut Findings) -> Option<Program> {
    let policy = found.note(prepare(source, entrypoint))?;
    let mut bytecode = found.note(compile_for_machine(&policy, &[entrypoint]))?;
    sources::mend(&mut bytecode, &source.modules, &source.definitions);
    found.note(clock::forget_arguments(&mut bytecode))?;
    found.note(check_all_rules(&policy, &source.rules));
    found.note(functions::replace_operators(&mut bytecode))?;
    found.note(arrays::insert_looks(&mut bytecode))?;
    found.note(guards::insert(&mut bytecode))?;
    let segments = found.note(segment::all(&bytecode))?;
    verify::check(&bytecode, &segments, found);
    depth::check(&bytecode, &segments, source.data_depth, found);
    lookups::check(&bytecode, &segments, &source.data, found);
    let uses = found.note(uses::collect(&bytecode, &segments))?;
    forget_empty_tables(&mut bytecode);
    found.note(finish(&mut bytecode, &segments))?;
    found.note(bytecode.validate_limits().map_err(Refusal::Compile))?;
    found.is_empty().then(|| Program { bytecode: Arc::new(bytecode), uses })
}

/// What the machine needs besides, last of all: what is known of the program's segments is not true afterwards.
fn finish(program: &mut Bytecode, segments: &[Segment]) -> Result<(), Refusal> {
    let mut insertions = Insertions::new();
    loops::insert_looks(program, segments, &mut insertions)?;
    cost::insert(program, segments, &mut insertions)?;
    edit::insert(program, &insertions)?;
    shorten::shorten(program)?;
    functions::resolve(program)
}

fn prepare(source: &Compilable, entrypoint: &str) -> Result<CompiledPolicy, AdmissionError> {
    let mut engine = Engine::new();
    engine.set_rego_v0(source.rego_version == RegoVersion::V0);
    // The checks' rewriting of regexes lengthens lines that were within the default.
    engine.set_policy_length_config(PolicyLengthConfig { max_col: NonZeroU32::MAX, ..PolicyLengthConfig::default() });
    for module in &source.modules {
        engine.add_policy(module.name.clone(), module.rego.clone()).map_err(compiling)?;
    }
    engine.compile_with_entrypoint(&Rc::from(entrypoint)).map_err(compiling)
}

fn compile_for_machine(policy: &CompiledPolicy, entrypoints: &[&str]) -> Result<Bytecode, AdmissionError> {
    Compiler::compile_from_policy_with_host_await(policy, entrypoints, &[(CLOCK, 0)])
        .map(Arc::unwrap_or_clone)
        .map_err(spanned)
}

/// Rules compiled together: each takes a register.
const AT_ONCE: usize = 128;
/// Instructions of all of them; rules that others ask are compiled with each.
const MAX_INSTRUCTIONS: usize = 250_000;

/// Rules that the entry point never asks must be right, too: OPA refuses them, and another policy may ask them.
fn check_all_rules(policy: &CompiledPolicy, rules: &[String]) -> Result<(), AdmissionError> {
    let mut instructions = 0_usize;
    rules.chunks(AT_ONCE).try_for_each(|rules| {
        let entrypoints: Vec<&str> = rules.iter().map(String::as_str).collect();
        let bytecode = compile_for_machine(policy, &entrypoints)?;
        verify::check_recursion(&bytecode, &segment::all(&bytecode)?)?;
        instructions = instructions.saturating_add(bytecode.instructions.len());
        if instructions <= MAX_INSTRUCTIONS {
            return Ok(());
        }
        let what = "instructions of all rules, each with what it asks";
        Err(Refusal::TooMuch { what, found: instructions, limit: MAX_INSTRUCTIONS }.into())
    })
}

/// The machine copies a rule's tables of `else` bodies and of blocks that take arguments apart at each call: with a
/// thousand definitions, a thousand small lists. What is not in the tables is no `else` and no such block.
fn forget_empty_tables(program: &mut Bytecode) {
    for rule in &mut program.rule_infos {
        if !rule.else_bodies.iter().flatten().any(|is_else| *is_else) {
            rule.else_bodies = Vec::new();
        }
        if rule.destructuring_blocks.iter().all(Option::is_none) {
            rule.destructuring_blocks = Vec::new();
        }
    }
}

/// What the compiler says, and what that means for authors.
const KNOWN: [(&str, &str, &str); 3] = [
    ("Direct access to 'data' root", "`data` as a whole is", "name what is needed of it"),
    (
        "Undefined variable: '_'",
        "`_` in the value of a rule without a body is",
        "look up in a body, and assign the result",
    ),
    (
        "SomeIn should have been hoisted",
        "`some … in` over what is looked up by `_`, or by a variable that is not bound, is",
        "loop over what is around it first",
    ),
];

fn spanned(error: SpannedCompilerError) -> AdmissionError {
    let message = error.error.to_string();
    let known = KNOWN.iter().find(|(part, ..)| message.contains(part));
    // Only recursion through references over a package; the rest is found in the program.
    let refusal = match (message.split_once("recursion detected in rule call chain: "), known) {
        (Some((_, chain)), _) => Refusal::Recursion(chain.replace("->", "→")),
        (None, Some(&(_, construct, advice))) => Refusal::Unsupported { construct, advice },
        (None, None) => Refusal::Compile(message),
    };
    error.span.map_or_else(|| refusal.clone().into(), |span| refusal.clone().at(&span))
}

fn compiling(error: impl Display) -> AdmissionError {
    located(&error, Refusal::Compile)
}

/// Where an instruction comes from.
fn place(program: &Bytecode, pc: usize) -> Option<Place> {
    let span = program.instruction_spans.get(pc)?.as_ref()?;
    let text = span.get_source(&program.sources)?.lines().nth(span.line.checked_sub(1)?)?;
    let module = span.get_source_name(&program.sources)?;
    Some(Place::new(module, u32::try_from(span.line).ok()?, u32::try_from(span.column).ok()?, text))
}

fn refuse(program: &Bytecode, pc: usize, refusal: Refusal) -> AdmissionError {
    AdmissionError { refusal, place: place(program, pc) }
}

/// A program with an instruction or index that the checks do not know is never run.
fn unknown(what: &str) -> Refusal {
    Refusal::Compile(format!("the compiled program has {what}, which the checks do not know"))
}

/// The instructions of one rule, by name.
fn segments_of(segments: &[Segment], rule: usize) -> impl Iterator<Item = &Segment> {
    segments.iter().filter(move |segment| segment.rule == rule)
}
