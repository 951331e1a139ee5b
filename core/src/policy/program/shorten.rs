//! Fewer instructions that do the same: the machine takes about as long for each, whatever it does.
//!
//! | compiled | here |
//! |---|---|
//! | a literal is loaded, then copied to where it belongs: a rule's value | it is loaded there |
//! | two values are compared, and the result must be true | they must be equal |
//! | something is negated, and the result must be true | it must be false or undefined |
//! | an operand must be defined, and then the result of the call or comparison must be true | that of undefined is not |
//! | a literal that nothing reads: the name of a question to the host, which has become a call | left out |
//!
//! What is inside of loops and comprehensions stays as it is, and so does what is jumped to: where the machine goes on
//! after those is counted from what stands around them.

use super::super::error::Refusal;
use super::edit;
use super::effects::{Register, effects};
use super::segment::{self, Segment};
use regorus::rvm::Instruction;
use regorus::rvm::instructions::GuardMode;
use regorus::rvm::program::Program;
use std::collections::BTreeSet;

/// Shortens the bodies of all rules.
pub(super) fn shorten(program: &mut Program) -> Result<(), Refusal> {
    let targets = edit::targets(program)?;
    let mut removed = BTreeSet::new();
    for segment in segment::all(program)? {
        for change in Body::new(program, &segment, &targets)?.changes() {
            removed.insert(change.removed);
            if let Some((pc, instruction)) = change.replaced {
                program.instructions.get_mut(pc).into_iter().for_each(|old| *old = instruction);
            }
        }
    }
    edit::remove(program, &removed)
}

/// An instruction less, and perhaps another one for its neighbour.
struct Change {
    removed: usize,
    replaced: Option<(usize, Instruction)>,
}

struct Body<'a> {
    program: &'a Program,
    segment: &'a Segment,
    targets: &'a BTreeSet<usize>,
    reads: Vec<Register>,
    writes: Vec<Register>,
}

impl<'a> Body<'a> {
    fn new(program: &'a Program, segment: &'a Segment, targets: &'a BTreeSet<usize>) -> Result<Self, Refusal> {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for instruction in program.instructions.get(segment.pcs.clone()).unwrap_or_default() {
            let effects = effects(program, instruction)?;
            reads.extend(effects.reads);
            writes.extend(effects.writes);
        }
        reads.extend(program.rule_infos.get(segment.rule).map(|rule| rule.result_reg));
        Ok(Self { program, segment, targets, reads, writes })
    }

    fn changes(&self) -> Vec<Change> {
        // What takes a function's arguments apart leaves them to the body, which is another segment.
        if !self.is_body() {
            return Vec::new();
        }
        let mut changes: Vec<Change> = Vec::new();
        for pc in self.segment.pcs.clone() {
            let is_changed = |before: &Change| before.removed >= pc || before.replaced.is_some_and(|(at, _)| at >= pc);
            if !changes.last().is_some_and(is_changed) {
                changes.extend(self.change(pc));
            }
        }
        changes
    }

    fn is_body(&self) -> bool {
        let rule = self.program.rule_infos.get(self.segment.rule);
        let mut starts = rule.into_iter().flat_map(|rule| rule.definitions.iter().flatten());
        starts.any(|start| usize::try_from(*start) == Ok(self.segment.pcs.start))
    }

    fn change(&self, pc: usize) -> Option<Change> {
        use Instruction as I;
        let next = pc.checked_add(1)?;
        let (first, second) = (self.at(pc)?, self.at(next)?);
        let is_pair = self.is_straight(pc, next);
        let change = |removed, replaced| Some(Change { removed, replaced });
        match (first, second) {
            (load, I::Move { dest, src }) if is_pair && self.is_temporary(src) => {
                change(pc, Some((next, loaded_to(load, src, dest)?)))
            }
            (I::Eq { dest, left, right }, I::Guard { register, mode: GuardMode::Condition })
                if is_pair && dest == register && self.is_temporary(dest) =>
            {
                change(next, Some((pc, I::AssertEq { left, right })))
            }
            (I::Not { dest, operand }, I::Guard { register, mode: GuardMode::Condition })
                if is_pair && dest == register && self.is_temporary(dest) =>
            {
                change(next, Some((pc, I::Guard { register: operand, mode: GuardMode::Not })))
            }
            (I::Guard { register, mode: GuardMode::NotUndefined }, _) if self.is_implied(register, next)? => {
                change(pc, None)
            }
            (I::Load { dest, .. }, _) if self.is_straight(pc, pc) && !self.reads.contains(&dest) => change(pc, None),
            _ => None,
        }
    }

    fn at(&self, pc: usize) -> Option<Instruction> {
        self.program.instructions.get(pc).filter(|_| self.segment.pcs.contains(&pc)).copied()
    }

    /// Whether the machine comes here from what stands before, and only so.
    fn is_straight(&self, first: usize, last: usize) -> bool {
        (first..=last).all(|pc| self.segment.nest(pc).is_empty() && !self.targets.contains(&pc))
    }

    /// Whether the register holds something from one instruction to the next, and nothing else.
    fn is_temporary(&self, register: Register) -> bool {
        let count = |registers: &[Register]| registers.iter().filter(|found| **found == register).count();
        (count(&self.writes), count(&self.reads)) == (1, 1)
    }

    /// Whether the condition that begins here fails anyway when the register is undefined.
    fn is_implied(&self, register: Register, start: usize) -> Option<bool> {
        use Instruction as I;
        let is_look = |pc: &usize| matches!(self.at(*pc), Some(I::Guard { mode: GuardMode::NotUndefined, .. }));
        let pc = (start..self.segment.pcs.end).find(|pc| !is_look(pc))?;
        let next = pc.checked_add(1)?;
        let instruction = self.at(pc)?;
        let effects = effects(self.program, &instruction).ok()?;
        let is_asked = match (instruction, self.at(next)?, effects.writes.as_slice()) {
            (I::BuiltinCall { .. } | I::Eq { .. }, I::Guard { register, mode: GuardMode::Condition }, [dest]) => {
                register == *dest && self.is_temporary(register)
            }
            _ => false,
        };
        let from = start.checked_sub(1)?;
        Some(is_asked && effects.reads.contains(&register) && self.is_straight(from, next))
    }
}

/// The same literal to another register.
fn loaded_to(load: Instruction, from: Register, to: Register) -> Option<Instruction> {
    use Instruction as I;
    match load {
        I::Load { dest, literal_idx } if dest == from => Some(I::Load { dest: to, literal_idx }),
        I::LoadBool { dest, value } if dest == from => Some(I::LoadBool { dest: to, value }),
        I::LoadTrue { dest } if dest == from => Some(I::LoadTrue { dest: to }),
        I::LoadFalse { dest } if dest == from => Some(I::LoadFalse { dest: to }),
        I::LoadNull { dest } if dest == from => Some(I::LoadNull { dest: to }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::{Limits, Module, Policy, PolicySource, RegoVersion};
    use regorus::rvm::Instruction;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    /// The names of the instructions of the first body of `allow`.
    fn instructions(rules: &str) -> String {
        let source = PolicySource {
            modules: vec![Module { name: "policy.rego".into(), rego: format!("package scbte\n{rules}\n") }],
            data: json!({}),
            entrypoint: PolicySource::DEFAULT_ENTRYPOINT.into(),
            rego_version: RegoVersion::V1,
        };
        let policy = Policy::admit(&source, &Limits::default()).unwrap_or_else(|error| panic!("{rules}: {error}"));
        let program = policy.machine.get_program();
        let body = program.instructions.iter().skip_while(|one| !matches!(one, Instruction::RuleInit { .. }));
        let body = body.take_while(|one| !matches!(one, Instruction::RuleReturn { .. })).skip(1);
        let name = |one: &Instruction| format!("{one:?}").split(' ').next().unwrap_or_default().to_owned();
        body.map(name).collect::<Vec<_>>().join(" ")
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_not_needed_is_left_out() {
        for (rules, expected) in [
            ("allow := true", "Load"),
            ("allow if input.ctx == \"a\"", "LoadInput IndexLiteral Load AssertEq LoadBool"),
            ("allow if not input.claims.a", "LoadInput ChainedIndex Guard LoadBool"),
            ("allow if input.ctx in input.claims.a", "LoadInput IndexLiteral ChainedIndex BuiltinCall Guard LoadBool"),
            ("allow if time.now_ns() > 5", "BuiltinCall Load BuiltinCall Guard LoadBool"),
            // The guard is not implied: what is undefined must not become true by being negated.
            (
                "allow if not startswith(input.claims.a, \"b\")",
                "LoadInput ChainedIndex Load Guard BuiltinCall Guard LoadBool",
            ),
            // The comparison's result is a value.
            (
                "allow if { x := input.ctx == \"a\"; x != input.claims.a }",
                "LoadInput IndexLiteral Load Eq Guard Move ChainedIndex Ne Guard LoadBool",
            ),
            // Inside of a loop everything stays.
            (
                "allow if { some x in input.claims.a; x == 1 }",
                "LoadInput ChainedIndex LoopStart Guard Move Guard Load Eq Guard LoadBool Move LoopNext Guard",
            ),
        ] {
            assert_eq!(instructions(rules), expected, "{rules}");
        }
    }
}
