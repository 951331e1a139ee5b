//! Which members of `input` a program can read.

use super::super::error::Refusal;
use super::super::uses::Uses;
use super::effects::{Register, effects};
use super::segment::Segment;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::LiteralOrRegister;
use regorus::rvm::program::Program;

/// Looks at every use of the register that holds `input`; a use other than a look-up by a literal name means all.
pub(super) fn collect(program: &Program, segments: &[Segment]) -> Result<Uses, Refusal> {
    let mut uses = Uses::default();
    for segment in segments {
        let inputs = input_registers(program, segment);
        for instruction in segment.pcs.clone().filter_map(|pc| program.instructions.get(pc)) {
            let reads = effects(program, instruction)?.reads;
            if !reads.iter().any(|register| inputs.contains(register)) {
                continue;
            }
            match member(program, instruction, &inputs) {
                Some(name) => uses.add(&name),
                None => uses.add_all(),
            }
        }
    }
    Ok(uses)
}

fn input_registers(program: &Program, segment: &Segment) -> Vec<Register> {
    let instructions = segment.pcs.clone().filter_map(|pc| program.instructions.get(pc));
    instructions
        .filter_map(|instruction| match instruction {
            Instruction::LoadInput { dest } => Some(*dest),
            _ => None,
        })
        .collect()
}

/// The member that the instruction looks up in `input`, if that is all it does with it.
fn member(program: &Program, instruction: &Instruction, inputs: &[Register]) -> Option<String> {
    let literal = match *instruction {
        Instruction::IndexLiteral { literal_idx, .. } => literal_idx,
        Instruction::ChainedIndex { params_index } => {
            let chain = program.instruction_data.get_chained_index_params(params_index)?;
            let keys = chain.register_numbers();
            match chain.path_components.first()? {
                LiteralOrRegister::Literal(literal) if !keys.iter().any(|key| inputs.contains(key)) => *literal,
                _ => return None,
            }
        }
        _ => return None,
    };
    match program.literals.get(usize::from(literal))? {
        Value::String(name) => Some(name.as_ref().to_owned()),
        _ => None,
    }
}
