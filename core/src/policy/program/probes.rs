//! A program that can be watched.
//!
//! The machine can stop after each instruction, but does not show what it did when a condition failed. So before each
//! instruction one is inserted that does nothing, at which the machine can be looked at: what it is about to do, and
//! with which values.

use super::super::error::Refusal;
use super::edit::{self, Insertions};
use super::segment::{self, Nest, Segment};
use regorus::rvm::Instruction;
use regorus::rvm::instructions::LoopMode;
use regorus::rvm::program::Program;
use std::sync::Arc;

/// A program with probes.
pub(in crate::policy) struct Probed {
    /// The program.
    pub(in crate::policy) program: Arc<Program>,
    segments: Vec<Segment>,
    /// For each instruction: the number of its segment.
    segment_of: Vec<Option<usize>>,
    inside: Vec<Inside>,
}

/// What an instruction is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Inside {
    /// A condition of a rule.
    Rule,
    /// The body of an `every`: when a condition fails there, the one of the rule fails next.
    Every,
    /// A comprehension: when a condition fails there, the one of the rule does not.
    Comprehension,
}

/// Does nothing.
const PROBE: Instruction = Instruction::Move { dest: 0, src: 0 };

impl Probed {
    /// Puts the probes in.
    pub(in crate::policy) fn new(program: &Program) -> Result<Self, Refusal> {
        let mut insertions = Insertions::new();
        for pc in segment::all(program)?.into_iter().flat_map(|segment| segment.pcs) {
            match program.instructions.get(pc) {
                // The machine expects the one where it is, and goes to the next from before the other; nothing has a
                // value before the last.
                None
                | Some(
                    Instruction::ComprehensionEnd {} | Instruction::LoopNext { .. } | Instruction::RuleInit { .. },
                ) => {}
                Some(_) => {
                    insertions.insert(pc, vec![PROBE]);
                }
            }
        }
        let mut probed = program.clone();
        edit::insert(&mut probed, &insertions)?;
        let segments = segment::all(&probed)?;
        let mut segment_of = vec![None; probed.instructions.len()];
        for (number, segment) in segments.iter().enumerate() {
            segment_of.get_mut(segment.pcs.clone()).unwrap_or_default().fill(Some(number));
        }
        let inside = inside(&probed, &segments);
        Ok(Self { program: Arc::new(probed), segments, segment_of, inside })
    }

    /// The instruction that the machine is about to run when it stops at `pc`, if a probe is there.
    pub(in crate::policy) fn next_at(&self, pc: usize) -> Option<usize> {
        let next = pc.checked_add(1)?;
        let probe = matches!(self.program.instructions.get(pc), Some(Instruction::Move { dest: 0, src: 0 }));
        (probe && self.segment_at(pc).is_some_and(|segment| segment.pcs.contains(&next))).then_some(next)
    }

    /// The run of instructions that this one is in.
    pub(in crate::policy) fn segment_at(&self, pc: usize) -> Option<&Segment> {
        self.segments.get((*self.segment_of.get(pc)?)?)
    }

    /// What the instruction is part of.
    pub(in crate::policy) fn inside(&self, pc: usize) -> Inside {
        self.inside.get(pc).copied().unwrap_or(Inside::Rule)
    }

    /// Whether the instruction takes a function's arguments apart.
    pub(in crate::policy) fn is_arguments(&self, pc: usize) -> bool {
        let Some(segment) = self.segment_at(pc) else { return false };
        let blocks = self.program.rule_infos.get(segment.rule).map(|rule| rule.destructuring_blocks.as_slice());
        let starts =
            |block: &Option<u32>| block.and_then(|start| usize::try_from(start).ok()) == Some(segment.pcs.start);
        blocks.unwrap_or_default().iter().any(starts)
    }
}

fn inside(program: &Program, segments: &[Segment]) -> Vec<Inside> {
    let mut inside = vec![Inside::Rule; program.instructions.len()];
    for instruction in segments.iter().flat_map(|segment| program.instructions.get(segment.pcs.clone())).flatten() {
        let Instruction::LoopStart { params_index } = instruction else { continue };
        let params = program.instruction_data.get_loop_params(*params_index);
        if let Some(every) = params.filter(|params| params.mode == LoopMode::Every) {
            let body = usize::from(every.body_start)..usize::from(every.loop_end);
            inside.get_mut(body).unwrap_or_default().fill(Inside::Every);
        }
    }
    for segment in segments {
        for pc in segment.pcs.clone().filter(|pc| segment.nest(*pc).contains(&Nest::Comprehension)) {
            inside.get_mut(pc).into_iter().for_each(|slot| *slot = Inside::Comprehension);
        }
    }
    inside
}
