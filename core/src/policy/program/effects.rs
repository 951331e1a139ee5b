//! Which registers an instruction reads and writes.

use super::super::error::Refusal;
use super::unknown;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::LiteralOrRegister;
use regorus::rvm::program::Program;

/// A register of a rule's window.
pub(in crate::policy) type Register = u8;

/// What an instruction does to the registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Effects {
    pub(in crate::policy) reads: Vec<Register>,
    pub(in crate::policy) writes: Vec<Register>,
}

impl Effects {
    fn new(reads: impl IntoIterator<Item = Register>, writes: impl IntoIterator<Item = Register>) -> Self {
        Self { reads: reads.into_iter().collect(), writes: writes.into_iter().collect() }
    }
}

/// The effects of an instruction; one that the compiler for Rego does not emit is refused.
pub(in crate::policy) fn effects(program: &Program, instruction: &Instruction) -> Result<Effects, Refusal> {
    use Instruction as I;
    let table = &program.instruction_data;
    let missing = || unknown("an index out of range");
    Ok(match *instruction {
        I::Load { dest, .. }
        | I::LoadTrue { dest }
        | I::LoadFalse { dest }
        | I::LoadNull { dest }
        | I::LoadBool { dest, .. }
        | I::LoadData { dest }
        | I::LoadInput { dest }
        | I::CallRule { dest, .. }
        | I::ArrayNew { dest }
        | I::SetNew { dest }
        | I::RuleInit { result_reg: dest, .. } => Effects::new([], [dest]),
        I::Move { dest, src } => Effects::new([src], [dest]),
        I::Add { dest, left, right }
        | I::Sub { dest, left, right }
        | I::Mul { dest, left, right }
        | I::Div { dest, left, right }
        | I::Mod { dest, left, right }
        | I::Eq { dest, left, right }
        | I::Ne { dest, left, right }
        | I::Lt { dest, left, right }
        | I::Le { dest, left, right }
        | I::Gt { dest, left, right }
        | I::Ge { dest, left, right } => Effects::new([left, right], [dest]),
        I::Not { dest, operand } => Effects::new([operand], [dest]),
        I::BuiltinCall { params_index } => {
            let call = table.get_builtin_call_params(params_index).ok_or_else(missing)?;
            Effects::new(call.arg_registers().iter().copied(), [call.dest])
        }
        I::FunctionCall { params_index } => {
            let call = table.get_function_call_params(params_index).ok_or_else(missing)?;
            Effects::new(call.arg_registers().iter().copied(), [call.dest])
        }
        I::HostAwait { dest, arg, id } => Effects::new([arg, id], [dest]),
        I::Return { value } => Effects::new([value], []),
        I::ObjectSet { obj, key, value } => Effects::new([key, value], [obj]),
        I::ObjectCreate { params_index } => {
            let create = table.get_object_create_params(params_index).ok_or_else(missing)?;
            let dynamic = create.field_pairs().iter().flat_map(|&(key, value)| [key, value]);
            let fixed = create.literal_key_field_pairs().iter().map(|&(_, value)| value);
            Effects::new(dynamic.chain(fixed), [create.dest])
        }
        I::Index { dest, container, key } => Effects::new([container, key], [dest]),
        I::IndexLiteral { dest, container, .. } => Effects::new([container], [dest]),
        I::ChainedIndex { params_index } => {
            let chain = table.get_chained_index_params(params_index).ok_or_else(missing)?;
            Effects::new([chain.root].into_iter().chain(registers(&chain.path_components)), [chain.dest])
        }
        I::ArrayPush { arr, value } => Effects::new([value], [arr]),
        I::ArrayCreate { params_index } => {
            let create = table.get_array_create_params(params_index).ok_or_else(missing)?;
            Effects::new(create.element_registers().iter().copied(), [create.dest])
        }
        I::SetAdd { set, value } => Effects::new([value], [set]),
        I::SetCreate { params_index } => {
            let create = table.get_set_create_params(params_index).ok_or_else(missing)?;
            Effects::new(create.element_registers().iter().copied(), [create.dest])
        }
        I::Contains { dest, collection, value } => Effects::new([collection, value], [dest]),
        I::Count { dest, collection } => Effects::new([collection], [dest]),
        I::AssertEq { left, right } => Effects::new([left, right], []),
        I::Guard { register, .. } => Effects::new([register], []),
        I::LoopStart { params_index } => {
            let looped = table.get_loop_params(params_index).ok_or_else(missing)?;
            Effects::new([looped.collection], [looped.key_reg, looped.value_reg, looped.result_reg])
        }
        I::AnyOfNext { check, result, .. } => Effects::new([check], [result]),
        I::VirtualDataDocumentLookup { params_index } => {
            let lookup = table.get_virtual_data_document_lookup_params(params_index).ok_or_else(missing)?;
            Effects::new(registers(&lookup.path_components), [lookup.dest])
        }
        I::ComprehensionBegin { params_index } => {
            let begin = table.get_comprehension_begin_params(params_index).ok_or_else(missing)?;
            // As the compiler emits it, a comprehension does not iterate by itself: its loops do.
            if begin.collection_reg != begin.result_reg {
                return Err(unknown("an iterating comprehension"));
            }
            Effects::new([], [begin.result_reg])
        }
        I::ComprehensionYield { value_reg, key_reg } => Effects::new([value_reg].into_iter().chain(key_reg), []),
        I::LoopNext { .. } | I::RuleReturn {} | I::DestructuringSuccess {} | I::ComprehensionEnd {} => {
            Effects::default()
        }
        other => return Err(unknown(&format!("the instruction {other:?}"))),
    })
}

fn registers(components: &[LiteralOrRegister]) -> impl Iterator<Item = Register> + '_ {
    components.iter().filter_map(|component| match component {
        LiteralOrRegister::Register(register) => Some(*register),
        LiteralOrRegister::Literal(_) => None,
    })
}
