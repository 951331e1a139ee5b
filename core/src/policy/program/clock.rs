//! The question for the time, as the compiler emits it and as it is needed.
//!
//! A question to the host comes with an array of its arguments, a copy of that, a look whether it is undefined, and the
//! question's name. `time.now_ns()` has no arguments: only the name is kept, by which [`super::verify`] knows it.

use super::super::error::Refusal;
use super::edit;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::InstructionData;
use regorus::rvm::program::Program;
use std::collections::BTreeSet;

/// The builtin that is compiled to a question to the host, which [`super::cost`] replaces by a call.
pub(super) const CLOCK: &str = "time.now_ns";

/// Leaves out the arguments that the clock does not have.
pub(super) fn forget_arguments(program: &mut Program) -> Result<(), Refusal> {
    let mut removed = BTreeSet::new();
    for start in 0..program.instructions.len() {
        if let Some((question, name)) = question(program, start) {
            removed.extend(start..name);
            let asked = name.checked_add(1).and_then(|pc| program.instructions.get_mut(pc));
            asked.into_iter().for_each(|instruction| *instruction = question);
        }
    }
    edit::remove(program, &removed)
}

/// The question that begins here, with its name for an argument, and where that is loaded.
fn question(program: &Program, start: usize) -> Option<(Instruction, usize)> {
    use Instruction as I;
    let name = start.checked_add(4)?;
    let asked = name.checked_add(1)?;
    match *program.instructions.get(start..)?.first_chunk::<6>()? {
        [
            I::ArrayCreate { params_index },
            I::Move { dest: copy, src },
            I::Not { dest: look, operand },
            I::AnyOfNext { check, result, end_pc },
            I::Load { dest: named, literal_idx },
            I::HostAwait { dest, arg, id },
        ] if is_empty(&program.instruction_data, params_index, src)
            && [operand, arg] == [src; 2]
            && [check, result, named, id] == [look; 4]
            && copy == dest
            && usize::from(end_pc) == asked
            && program.literals.get(usize::from(literal_idx)) == Some(&Value::from(CLOCK)) =>
        {
            Some((I::HostAwait { dest, arg: id, id }, name))
        }
        _ => None,
    }
}

/// Whether this makes an array without elements, in that register.
fn is_empty(table: &InstructionData, params_index: u16, dest: u8) -> bool {
    let create = table.get_array_create_params(params_index);
    create.is_some_and(|create| create.dest == dest && create.element_registers().is_empty())
}
