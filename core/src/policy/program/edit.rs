//! Inserting instructions into a compiled program.

use super::super::error::Refusal;
use super::unknown;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;
use std::collections::BTreeMap;

/// Instructions to insert, each run before the instruction that is at that index now.
pub(super) type Insertions = BTreeMap<usize, Vec<Instruction>>;

/// Inserts, and moves every jump along. A jump to an instruction now goes to what was inserted before it.
pub(super) fn insert(program: &mut Program, insertions: &Insertions) -> Result<(), Refusal> {
    let moved = Moved::new(program.instructions.len(), insertions);
    splice(program, insertions);
    move_instructions(program, &moved)?;
    move_tables(program, &moved)?;
    move_entries(program, &moved)
}

/// The new index of every old instruction, and of the end.
struct Moved {
    first: Vec<usize>,
    own: Vec<usize>,
}

impl Moved {
    fn new(length: usize, insertions: &Insertions) -> Self {
        let mut moved = Self { first: Vec::new(), own: Vec::new() };
        let mut next = 0_usize;
        for pc in 0..=length {
            moved.first.push(next);
            next = next.saturating_add(insertions.get(&pc).map_or(0, Vec::len));
            moved.own.push(next);
            next = next.saturating_add(1);
        }
        moved
    }

    /// Where a jump to `pc` goes now.
    fn target<T: TryInto<usize> + TryFrom<usize>>(&self, pc: T) -> Result<T, Refusal> {
        let target = pc.try_into().ok().and_then(|pc| self.first.get(pc));
        target.and_then(|&pc| pc.try_into().ok()).ok_or_else(|| unknown("a jump out of range"))
    }

    /// Where the instruction at `pc` itself is now.
    fn own(&self, pc: u16) -> Result<u16, Refusal> {
        let own = self.own.get(usize::from(pc));
        own.and_then(|&pc| pc.try_into().ok()).ok_or_else(|| unknown("a jump out of range"))
    }
}

fn splice(program: &mut Program, insertions: &Insertions) {
    let instructions = std::mem::take(&mut program.instructions);
    let mut spans = std::mem::take(&mut program.instruction_spans).into_iter();
    for (pc, instruction) in instructions.into_iter().enumerate() {
        let span = spans.next().flatten();
        for inserted in insertions.get(&pc).into_iter().flatten() {
            program.instructions.push(*inserted);
            program.instruction_spans.push(span.clone());
        }
        program.instructions.push(instruction);
        program.instruction_spans.push(span);
    }
}

fn move_instructions(program: &mut Program, moved: &Moved) -> Result<(), Refusal> {
    for instruction in &mut program.instructions {
        match instruction {
            Instruction::LoopNext { body_start, loop_end } => {
                *body_start = moved.target(*body_start)?;
                *loop_end = moved.target(*loop_end)?;
            }
            // The machine goes on after this index: it names the last instruction that is skipped.
            Instruction::AnyOfNext { end_pc, .. } => *end_pc = moved.own(*end_pc)?,
            _ => {}
        }
    }
    Ok(())
}

fn move_tables(program: &mut Program, moved: &Moved) -> Result<(), Refusal> {
    for params in &mut program.instruction_data.loop_params {
        params.body_start = moved.target(params.body_start)?;
        params.loop_end = moved.target(params.loop_end)?;
    }
    for params in &mut program.instruction_data.comprehension_begin_params {
        params.body_start = moved.target(params.body_start)?;
        params.comprehension_end = moved.target(params.comprehension_end)?;
    }
    Ok(())
}

fn move_entries(program: &mut Program, moved: &Moved) -> Result<(), Refusal> {
    program.main_entry_point = moved.target(program.main_entry_point)?;
    for entry in program.entry_points.values_mut() {
        *entry = moved.target(*entry)?;
    }
    for rule in &mut program.rule_infos {
        let mut definitions = rule.definitions.as_ref().clone();
        for body in definitions.iter_mut().flatten() {
            *body = moved.target(*body)?;
        }
        rule.definitions = definitions.into();
        for block in rule.destructuring_blocks.iter_mut().flatten() {
            *block = moved.target(*block)?;
        }
    }
    Ok(())
}
