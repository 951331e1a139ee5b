//! Patterns of arrays.
//!
//! For `[x, y] = value` the machine counts the value's elements and looks them up by `0` and `1`: the set `{0, 1}`, an
//! object with such keys, and with `_` even a text of two letters would match. So it looks first whether the value is
//! an array.

use super::super::error::Refusal;
use super::super::functions::call;
use super::edit::{self, Insertions};
use regorus::rvm::Instruction;
use regorus::rvm::instructions::GuardMode;
use regorus::rvm::program::Program;

/// Puts the looks into the program. Only patterns count: the function `count` is a call.
pub(super) fn insert_looks(program: &mut Program) -> Result<(), Refusal> {
    let mut insertions = Insertions::new();
    for pc in 0..program.instructions.len() {
        let Some(&Instruction::Count { dest, collection }) = program.instructions.get(pc) else { continue };
        let look = [
            call(program, "is_array", dest, &[collection])?,
            Instruction::Guard { register: dest, mode: GuardMode::Condition },
        ];
        insertions.insert(pc, look.to_vec());
    }
    edit::insert(program, &insertions)
}
