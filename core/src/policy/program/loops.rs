//! Loops over sets.
//!
//! The machine goes through a set in its own order, in which sets come before objects; in OPA objects come first. So
//! each loop over what could be such a set looks at it first, and ends the evaluation.

use super::super::error::Refusal;
use super::super::functions::{ORDERED, call};
use super::edit::Insertions;
use super::effects::Register;
use super::segment::Segment;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;

/// Collects the looks.
pub(super) fn insert_looks(
    program: &mut Program,
    segments: &[Segment],
    insertions: &mut Insertions,
) -> Result<(), Refusal> {
    for segment in segments {
        for pc in segment.pcs.clone() {
            if let Some(collection) =
                looped(program, pc).filter(|collection| !is_json(program, segment, *collection, pc))
            {
                let look = call(program, ORDERED, collection, &[collection])?;
                insertions.entry(pc).or_default().push(look);
            }
        }
    }
    Ok(())
}

fn looped(program: &Program, pc: usize) -> Option<Register> {
    match *program.instructions.get(pc)? {
        Instruction::LoopStart { params_index } => {
            program.instruction_data.get_loop_params(params_index).map(|params| params.collection)
        }
        _ => None,
    }
}

/// Whether the register can only hold what came as JSON, which has no sets.
fn is_json(program: &Program, segment: &Segment, register: Register, pc: usize) -> bool {
    let origin = segment.origin(program, register, pc);
    matches!(origin, Some(Instruction::LoadInput { .. } | Instruction::LoadData { .. }))
}
