//! What a program may not do, because the machine would answer wrongly or not at all.

use super::super::admission::Findings;
use super::super::error::{AdmissionError, Refusal};
use super::clock::CLOCK;
use super::effects::Register;
use super::guards::is_constant;
use super::segment::{Nest, Segment};
use super::{refuse, segments_of, unknown};
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::program::{Program, RuleType};

/// Refuses a program that breaks a rule.
pub(super) fn check(program: &Program, segments: &[Segment], found: &mut Findings) {
    for segment in segments {
        for pc in segment.pcs.clone() {
            let Some(instruction) = program.instructions.get(pc) else { break };
            let result = check_instruction(program, segment, pc, instruction);
            found.note(result.map_err(|refusal| refuse(program, pc, refusal)));
        }
    }
    found.note(check_recursion(program, segments));
}

fn check_instruction(
    program: &Program,
    segment: &Segment,
    pc: usize,
    instruction: &Instruction,
) -> Result<(), Refusal> {
    match *instruction {
        Instruction::Guard { .. } | Instruction::AssertEq { .. } => check_condition(segment.nest(pc)),
        Instruction::Move { dest, src } => check_result(program, segment, pc, dest, src),
        Instruction::VirtualDataDocumentLookup { .. } => Err(Refusal::Unsupported {
            construct: "a reference over the rules of a package is",
            advice: "name the rule",
        }),
        Instruction::HostAwait { id, .. } => check_host_call(program, segment, pc, id),
        _ => Ok(()),
    }
}

/// A failed condition jumps to the innermost loop, even out of a comprehension that stands in it.
fn check_condition(nest: &[Nest]) -> Result<(), Refusal> {
    let comprehension = nest.iter().rposition(|nest| *nest == Nest::Comprehension);
    let Some((outside, inside)) = comprehension.and_then(|index| nest.split_at_checked(index)) else { return Ok(()) };
    let own_loop = inside.contains(&Nest::Loop);
    if own_loop || !outside.contains(&Nest::Loop) {
        return Ok(());
    }
    Err(Refusal::Unsupported {
        construct: "a condition of a comprehension that stands in a loop, outside of the comprehension's own loop, is",
        advice: "put the comprehension into a function",
    })
}

/// A value that a loop sets again replaces the one before, where OPA compares the two.
fn check_result(program: &Program, segment: &Segment, pc: usize, dest: Register, src: Register) -> Result<(), Refusal> {
    let Some(rule) = program.rule_infos.get(segment.rule) else { return Err(unknown("a rule out of range")) };
    let sets_result = rule.rule_type == RuleType::Complete && dest == rule.result_reg;
    if !sets_result || !segment.nest(pc).contains(&Nest::Loop) || is_constant(program, segment, src, pc) {
        return Ok(());
    }
    Err(Refusal::Conflict { rule: rule.name.clone(), advice: "collect the values in a set or array, or pick one" })
}

/// Only the clock is answered; a policy that asks for anything else would get undefined.
fn check_host_call(program: &Program, segment: &Segment, pc: usize, id: Register) -> Result<(), Refusal> {
    let name = match segment.writer(program, id, pc) {
        Some((_, Instruction::Load { literal_idx, .. })) => program.literals.get(usize::from(literal_idx)),
        _ => None,
    };
    if name == Some(&Value::from(CLOCK)) { Ok(()) } else { Err(unknown("a call to the host")) }
}

/// Calls in one another, at most: each takes some KiB of the module's stack, which is 1 MiB.
const MAX_CALL_DEPTH: usize = 64;

/// Refuses rules that depend on themselves, and those that call too deep.
pub(super) fn check_recursion(program: &Program, segments: &[Segment]) -> Result<(), AdmissionError> {
    let mut calls = CallGraph { program, segments, path: Vec::new(), depths: vec![None; program.rule_infos.len()] };
    for rule in 0..program.rule_infos.len() {
        calls.depth(rule)?;
    }
    Ok(())
}

struct CallGraph<'a> {
    program: &'a Program,
    segments: &'a [Segment],
    path: Vec<usize>,
    depths: Vec<Option<usize>>,
}

impl CallGraph<'_> {
    /// How deep the calls of a rule go, itself included.
    fn depth(&mut self, rule: usize) -> Result<usize, AdmissionError> {
        if let Some(depth) = self.depths.get(rule).copied().flatten() {
            return Ok(depth);
        }
        self.path.push(rule);
        let mut depth = 1;
        for (pc, callee) in calls(self.program, self.segments, rule) {
            if self.path.contains(&callee) {
                return Err(refuse(self.program, pc, recursion(self.program, &self.path, callee)));
            }
            let below = if self.path.len() < MAX_CALL_DEPTH { self.depth(callee)? } else { 1 };
            depth = depth.max(below.saturating_add(1));
            let found = depth.max(self.path.len().saturating_add(1));
            if found > MAX_CALL_DEPTH {
                let what = "rules that depend on one another";
                return Err(refuse(self.program, pc, Refusal::TooMuch { what, found, limit: MAX_CALL_DEPTH }));
            }
        }
        self.path.pop();
        if let Some(known) = self.depths.get_mut(rule) {
            *known = Some(depth);
        }
        Ok(depth)
    }
}

fn calls(program: &Program, segments: &[Segment], rule: usize) -> Vec<(usize, usize)> {
    let pcs = segments_of(segments, rule).flat_map(|segment| segment.pcs.clone());
    pcs.filter_map(|pc| match program.instructions.get(pc)? {
        Instruction::CallRule { rule_index, .. } => Some((pc, usize::from(*rule_index))),
        Instruction::FunctionCall { params_index } => {
            let call = program.instruction_data.get_function_call_params(*params_index)?;
            Some((pc, usize::from(call.func_rule_index)))
        }
        _ => None,
    })
    .collect()
}

fn recursion(program: &Program, path: &[usize], callee: usize) -> Refusal {
    let cycle = path.iter().skip_while(|rule| **rule != callee).chain([&callee]);
    let names = cycle.filter_map(|rule| program.rule_infos.get(*rule)).map(|rule| rule.name.as_str());
    Refusal::Recursion(names.collect::<Vec<_>>().join(" → "))
}
