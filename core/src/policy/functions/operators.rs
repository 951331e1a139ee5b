//! Operators as calls of functions, as in OPA.
//!
//! A type error in `x + 1` is undefined there as in any builtin; the machine's instruction would end the whole body. And
//! the machine orders sets before objects.

use super::super::error::Refusal;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::BuiltinCallParams;
use regorus::rvm::program::{BuiltinInfo, Program};

/// Arithmetic and comparisons by order become calls; `==` and `!=` stay.
pub(in crate::policy) fn replace(program: &mut Program) -> Result<(), Refusal> {
    let mut instructions = std::mem::take(&mut program.instructions);
    for instruction in &mut instructions {
        let (name, dest, left, right) = match *instruction {
            Instruction::Add { dest, left, right } => ("plus", dest, left, right),
            Instruction::Sub { dest, left, right } => ("minus", dest, left, right),
            Instruction::Mul { dest, left, right } => ("mul", dest, left, right),
            Instruction::Div { dest, left, right } => ("div", dest, left, right),
            Instruction::Mod { dest, left, right } => ("rem", dest, left, right),
            Instruction::Lt { dest, left, right } => ("lt", dest, left, right),
            Instruction::Le { dest, left, right } => ("lte", dest, left, right),
            Instruction::Gt { dest, left, right } => ("gt", dest, left, right),
            Instruction::Ge { dest, left, right } => ("gte", dest, left, right),
            _ => continue,
        };
        *instruction = call(program, name, dest, &[left, right])?;
    }
    program.instructions = instructions;
    Ok(())
}

/// A call of a function.
pub(in crate::policy) fn call(
    program: &mut Program,
    name: &str,
    dest: u8,
    from: &[u8],
) -> Result<Instruction, Refusal> {
    let num_args = u8::try_from(from.len()).unwrap_or(u8::MAX);
    let mut args = [0; 8];
    args.iter_mut().zip(from).for_each(|(arg, from)| *arg = *from);
    let builtin_index = index_of(program, name, num_args.into())?;
    let params = BuiltinCallParams { dest, builtin_index, num_args, args };
    let params_index = program.instruction_data.add_builtin_call_params(params);
    Ok(Instruction::BuiltinCall { params_index })
}

/// The function's place in the program's table.
fn index_of(program: &mut Program, name: &str, num_args: u16) -> Result<u16, Refusal> {
    let table = &mut program.builtin_info_table;
    let known = table.iter().position(|info| info.name == name);
    let index = known.unwrap_or_else(|| {
        table.push(BuiltinInfo { name: name.to_owned(), num_args });
        table.len().saturating_sub(1)
    });
    u16::try_from(index).map_err(|_| Refusal::Compile("too many builtin functions".to_owned()))
}
