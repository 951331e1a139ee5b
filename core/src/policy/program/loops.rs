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
pub(super) fn is_json(program: &Program, segment: &Segment, register: Register, pc: usize) -> bool {
    use Instruction as I;
    let Some((writer, instruction)) = segment.writer(program, register, pc) else { return false };
    match instruction {
        I::LoadInput { .. } | I::LoadData { .. } => true,
        I::Move { src, .. } => is_json(program, segment, src, writer),
        I::Index { container, .. } | I::IndexLiteral { container, .. } => is_json(program, segment, container, writer),
        I::ChainedIndex { params_index } => {
            let chain = program.instruction_data.get_chained_index_params(params_index);
            chain.is_some_and(|chain| is_json(program, segment, chain.root, writer))
        }
        I::LoopStart { params_index } => {
            let params = program.instruction_data.get_loop_params(params_index);
            params.is_some_and(|params| is_json(program, segment, params.collection, writer))
        }
        _ => false,
    }
}
