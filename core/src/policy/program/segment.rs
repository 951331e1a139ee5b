//! The straight runs of instructions that make up the rules.

use super::super::error::Refusal;
use super::effects::{Register, effects};
use super::unknown;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::ComprehensionBeginParams;
use regorus::rvm::program::Program;
use std::ops::Range;

/// What an instruction is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Nest {
    /// A loop: `some … in`, `every`, `[_]`.
    Loop,
    /// A comprehension; its own loops nest inside.
    Comprehension,
}

/// One body of a rule (an `else` is one, too), or the part of a function that takes its arguments apart.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Segment {
    /// The index of the rule.
    pub(in crate::policy) rule: usize,
    /// The instructions.
    pub(in crate::policy) pcs: Range<usize>,
    nests: Vec<Vec<Nest>>,
}

impl Segment {
    /// What the instruction is inside of, outermost first.
    pub(in crate::policy) fn nest(&self, pc: usize) -> &[Nest] {
        let inside = pc.checked_sub(self.pcs.start).and_then(|offset| self.nests.get(offset));
        inside.map_or(&[], Vec::as_slice)
    }

    /// The innermost comprehension that an instruction is inside of.
    pub(super) fn comprehension_of<'a>(&self, program: &'a Program, pc: usize) -> Option<&'a ComprehensionBeginParams> {
        let begins = (self.pcs.start..pc).rev().filter_map(|before| match program.instructions.get(before)? {
            Instruction::ComprehensionBegin { params_index } => {
                program.instruction_data.get_comprehension_begin_params(*params_index)
            }
            _ => None,
        });
        begins.into_iter().find(|begin| usize::from(begin.comprehension_end) >= pc)
    }

    /// The instruction that the register's value, or what that is a part of, comes from.
    pub(super) fn origin(&self, program: &Program, register: Register, pc: usize) -> Option<Instruction> {
        use Instruction as I;
        let (writer, instruction) = self.writer(program, register, pc)?;
        let table = &program.instruction_data;
        let from = match instruction {
            I::Move { src, .. } => src,
            I::Index { container, .. } | I::IndexLiteral { container, .. } => container,
            I::ChainedIndex { params_index } => table.get_chained_index_params(params_index)?.root,
            I::LoopStart { params_index } => table.get_loop_params(params_index)?.collection,
            other => return Some(other),
        };
        self.origin(program, from, writer)
    }

    /// The last instruction before `pc` that writes the register. None for a function's argument.
    pub(super) fn writer(&self, program: &Program, register: Register, pc: usize) -> Option<(usize, Instruction)> {
        let mut before = (self.pcs.start..pc).rev();
        before.find_map(|pc| {
            let instruction = program.instructions.get(pc)?;
            let writes = effects(program, instruction).ok()?.writes;
            writes.contains(&register).then_some((pc, *instruction))
        })
    }
}

/// Every segment of a program.
pub(super) fn all(program: &Program) -> Result<Vec<Segment>, Refusal> {
    let mut segments = Vec::new();
    for (rule, info) in program.rule_infos.iter().enumerate() {
        let arguments = info.destructuring_blocks.iter().flatten();
        for &start in info.definitions.iter().flatten().chain(arguments) {
            segments.push(segment(program, rule, start)?);
        }
    }
    Ok(segments)
}

fn segment(program: &Program, rule: usize, start: u32) -> Result<Segment, Refusal> {
    let start = usize::try_from(start).map_err(|_| unknown("a start out of range"))?;
    let mut nests = Vec::new();
    let mut open: Vec<(Nest, usize)> = Vec::new();
    for (pc, instruction) in program.instructions.iter().enumerate().skip(start) {
        open.retain(|&(_, end)| pc < end);
        nests.push(open.iter().map(|&(nest, _)| nest).collect());
        if let Some(opened) = opens(program, instruction)? {
            open.push(opened);
        }
        if matches!(instruction, Instruction::RuleReturn {} | Instruction::DestructuringSuccess {}) {
            let end = pc.saturating_add(1);
            return Ok(Segment { rule, pcs: start..end, nests });
        }
    }
    Err(unknown("a rule without an end"))
}

/// What the instruction opens, and the first instruction after it.
fn opens(program: &Program, instruction: &Instruction) -> Result<Option<(Nest, usize)>, Refusal> {
    let table = &program.instruction_data;
    let missing = || unknown("an index out of range");
    Ok(match *instruction {
        Instruction::LoopStart { params_index } => {
            let params = table.get_loop_params(params_index).ok_or_else(missing)?;
            Some((Nest::Loop, usize::from(params.loop_end)))
        }
        Instruction::ComprehensionBegin { params_index } => {
            let params = table.get_comprehension_begin_params(params_index).ok_or_else(missing)?;
            Some((Nest::Comprehension, usize::from(params.comprehension_end)))
        }
        _ => None,
    })
}
