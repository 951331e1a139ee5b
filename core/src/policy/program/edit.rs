//! Inserting instructions into a compiled program, and removing some.

use super::super::error::Refusal;
use super::unknown;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;
use std::collections::{BTreeMap, BTreeSet};

/// Instructions to insert, each run before the instruction that is at that index now.
pub(super) type Insertions = BTreeMap<usize, Vec<Instruction>>;

/// Inserts, and moves every jump along. A jump to an instruction now goes to what was inserted before it.
pub(super) fn insert(program: &mut Program, insertions: &Insertions) -> Result<(), Refusal> {
    edit(program, insertions, &BTreeSet::new())
}

/// Removes, and moves every jump along. A jump to what was removed now goes to what comes next.
pub(super) fn remove(program: &mut Program, removed: &BTreeSet<usize>) -> Result<(), Refusal> {
    edit(program, &Insertions::new(), removed)
}

fn edit(program: &mut Program, insertions: &Insertions, removed: &BTreeSet<usize>) -> Result<(), Refusal> {
    let moved = Moved::new(program.instructions.len(), insertions, removed);
    splice(program, insertions, removed);
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
    fn new(length: usize, insertions: &Insertions, removed: &BTreeSet<usize>) -> Self {
        let mut moved = Self { first: Vec::new(), own: Vec::new() };
        let mut next = 0_usize;
        for pc in 0..=length {
            moved.first.push(next);
            next = next.saturating_add(insertions.get(&pc).map_or(0, Vec::len));
            if removed.contains(&pc) {
                // The last one before it.
                moved.own.push(next.saturating_sub(1));
            } else {
                moved.own.push(next);
                next = next.saturating_add(1);
            }
        }
        moved
    }

    /// Where a jump to `pc` goes now.
    fn target<T: TryInto<usize> + TryFrom<usize>>(&self, pc: T) -> Result<T, Refusal> {
        let target = pc.try_into().ok().and_then(|pc| self.first.get(pc));
        target.and_then(|&pc| pc.try_into().ok()).ok_or_else(|| unknown("a jump out of range"))
    }

    /// Where the instruction at `pc` itself is now; if it was removed, the one before it.
    fn own(&self, pc: u16) -> Result<u16, Refusal> {
        let own = self.own.get(usize::from(pc));
        own.and_then(|&pc| pc.try_into().ok()).ok_or_else(|| unknown("a jump out of range"))
    }
}

fn splice(program: &mut Program, insertions: &Insertions, removed: &BTreeSet<usize>) {
    let instructions = std::mem::take(&mut program.instructions);
    let mut spans = std::mem::take(&mut program.instruction_spans).into_iter();
    for (pc, instruction) in instructions.into_iter().enumerate() {
        let span = spans.next().flatten();
        for inserted in insertions.get(&pc).into_iter().flatten() {
            program.instructions.push(*inserted);
            program.instruction_spans.push(span.clone());
        }
        if !removed.contains(&pc) {
            program.instructions.push(instruction);
            program.instruction_spans.push(span);
        }
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

/// Every index that an entry, a jump or the end of a loop names; and behind the latter, where some of them lead.
pub(super) fn targets(program: &Program) -> Result<BTreeSet<usize>, Refusal> {
    let table = &program.instruction_data;
    let loops = table.loop_params.iter().flat_map(|params| [params.body_start, params.loop_end]);
    let comprehensions =
        table.comprehension_begin_params.iter().flat_map(|params| [params.body_start, params.comprehension_end]);
    let jumps = program.instructions.iter().flat_map(|instruction| match *instruction {
        Instruction::LoopNext { body_start, loop_end } => vec![body_start, loop_end],
        Instruction::AnyOfNext { end_pc, .. } => vec![end_pc],
        _ => Vec::new(),
    });
    let blocks = program.rule_infos.iter().flat_map(|rule| rule.destructuring_blocks.iter().flatten().copied());
    let bodies = program.rule_infos.iter().flat_map(|rule| rule.definitions.iter().flatten().copied());
    let starts = bodies.chain(blocks).chain([program.main_entry_point]).map(usize::try_from);
    let starts: Vec<usize> = starts.collect::<Result<_, _>>().map_err(|_| unknown("a jump out of range"))?;
    let inside = loops.chain(comprehensions).chain(jumps).map(usize::from);
    let inside = inside.flat_map(|pc| [pc, pc.saturating_add(1)]);
    let mut targets = BTreeSet::new();
    targets.extend(inside.chain(starts).chain(program.entry_points.values().copied()));
    Ok(targets)
}
