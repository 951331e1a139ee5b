//! The checks for undefined values that OPA makes and the machine's compiler leaves out.
//!
//! In OPA every operand of an expression must be defined, or the body (in a loop: the iteration) fails; only what
//! stands directly under `not` may be undefined. The machine passes undefined on, and so `not f(x)` holds when `x` is
//! undefined.

use super::super::error::Refusal;
use super::edit::{self, Insertions};
use super::effects::{Register, effects};
use super::segment::{self, Nest, Segment};
use super::unknown;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::GuardMode;
use regorus::rvm::program::{Program, RuleType};

/// Puts the checks into the program.
pub(super) fn insert(program: &mut Program) -> Result<(), Refusal> {
    let mut insertions = Insertions::new();
    for segment in segment::all(program)? {
        load_roots_first(program, &segment, &mut insertions);
        for pc in segment.pcs.clone() {
            let Some(instruction) = program.instructions.get(pc) else { break };
            guard(program, &segment, pc, instruction, &mut insertions)?;
        }
    }
    edit::insert(program, &insertions)?;
    end_comprehensions(program)
}

/// A condition that fails in a comprehension jumps behind its last instruction, which would have taken it off the
/// stack: the next condition that fails would jump there again, and again. Now it jumps to that instruction.
fn end_comprehensions(program: &mut Program) -> Result<(), Refusal> {
    for params in &mut program.instruction_data.comprehension_begin_params {
        let last = params.comprehension_end.checked_sub(1);
        let instruction = last.and_then(|last| program.instructions.get(usize::from(last)));
        match (last, instruction) {
            (Some(last), Some(Instruction::ComprehensionEnd {})) => params.comprehension_end = last,
            _ => return Err(unknown("a comprehension without an end")),
        }
    }
    Ok(())
}

/// `input` or `data` first named in a loop or comprehension is loaded at the start of the body as well.
fn load_roots_first(program: &Program, segment: &Segment, insertions: &mut Insertions) {
    let nested = segment.pcs.clone().filter(|pc| !segment.nest(*pc).is_empty());
    let loads = nested
        .filter_map(|pc| program.instructions.get(pc))
        .filter(|instruction| matches!(instruction, Instruction::LoadInput { .. } | Instruction::LoadData { .. }));
    // The first instruction of a body resets its result.
    insertions.entry(segment.pcs.start.saturating_add(1)).or_default().extend(loads);
}

fn guard(
    program: &Program,
    segment: &Segment,
    pc: usize,
    instruction: &Instruction,
    insertions: &mut Insertions,
) -> Result<(), Refusal> {
    let (pc, registers) = match *instruction {
        Instruction::Move { src, .. } => (pc, vec![src]),
        Instruction::Contains { collection, value, .. } => (pc, vec![collection, value]),
        Instruction::ComprehensionYield { value_reg, key_reg } => {
            (pc, [value_reg].into_iter().chain(key_reg).collect())
        }
        Instruction::ObjectSet { key, value, .. } => (pc, vec![key, value]),
        Instruction::FunctionCall { .. } => (pc, effects(program, instruction)?.reads),
        // A body whose loop gave nothing has failed, so that `else` is tried.
        Instruction::RuleReturn {} => (pc, result(program, segment)),
        Instruction::Not { operand, .. } => match segment.writer(program, operand, pc) {
            Some((writer, negated)) => (writer, operands(program, segment, writer, &negated)?),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let undefinable = registers.into_iter().filter(|register| !is_constant(program, segment, *register, pc));
    let guards = undefinable.map(|register| Instruction::Guard { register, mode: GuardMode::NotUndefined });
    insertions.entry(pc).or_default().extend(guards);
    Ok(())
}

/// The result of a rule with one value.
fn result(program: &Program, segment: &Segment) -> Vec<Register> {
    let rule = program.rule_infos.get(segment.rule).filter(|rule| rule.rule_type == RuleType::Complete);
    let looped = segment.pcs.clone().any(|pc| segment.nest(pc).contains(&Nest::Loop));
    rule.filter(|_| looped).map(|rule| rule.result_reg).into_iter().collect()
}

/// What must be defined before the result of `instruction` may be negated.
fn operands(
    program: &Program,
    segment: &Segment,
    pc: usize,
    instruction: &Instruction,
) -> Result<Vec<Register>, Refusal> {
    use Instruction as I;
    match instruction {
        // Guarded as such, bound by a loop, or without operands.
        I::Move { .. }
        | I::Contains { .. }
        | I::FunctionCall { .. }
        | I::LoopStart { .. }
        | I::ComprehensionBegin { .. }
        | I::RuleInit { .. }
        | I::LoadInput { .. }
        | I::LoadData { .. }
        | I::CallRule { .. } => Ok(Vec::new()),
        I::Index { .. } | I::IndexLiteral { .. } | I::ChainedIndex { .. } => {
            undefined_keys(program, segment, pc, instruction)
        }
        // Alone among the operators, `==` takes a reference that is undefined.
        I::Eq { left, right, .. } => {
            let mut registers = Vec::new();
            for side in [*left, *right] {
                registers.extend(unless_reference(program, segment, pc, side)?);
            }
            Ok(registers)
        }
        _ => Ok(effects(program, instruction)?.reads),
    }
}

/// A reference may be undefined as a whole; what it starts from and its computed keys may not.
fn undefined_keys(
    program: &Program,
    segment: &Segment,
    pc: usize,
    instruction: &Instruction,
) -> Result<Vec<Register>, Refusal> {
    let reads = effects(program, instruction)?.reads;
    let Some((&root, keys)) = reads.split_first() else { return Ok(reads) };
    let mut registers = keys.to_vec();
    registers.extend(unless_reference(program, segment, pc, root)?);
    Ok(registers)
}

/// The register, or if it holds a reference, what must be defined in that.
fn unless_reference(
    program: &Program,
    segment: &Segment,
    pc: usize,
    register: Register,
) -> Result<Vec<Register>, Refusal> {
    use Instruction as I;
    let Some((writer, instruction)) = segment.writer(program, register, pc) else { return Ok(Vec::new()) };
    match instruction {
        I::LoadInput { .. } | I::LoadData { .. } | I::CallRule { .. } | I::Move { .. } | I::LoopStart { .. } => {
            Ok(Vec::new())
        }
        I::Index { .. } | I::IndexLiteral { .. } | I::ChainedIndex { .. } => {
            undefined_keys(program, segment, writer, &instruction)
        }
        _ => Ok(vec![register]),
    }
}

/// Whether the register holds a literal.
pub(super) fn is_constant(program: &Program, segment: &Segment, register: Register, pc: usize) -> bool {
    use Instruction as I;
    let writer = segment.writer(program, register, pc);
    matches!(
        writer,
        Some((_, I::Load { .. } | I::LoadTrue { .. } | I::LoadFalse { .. } | I::LoadNull { .. } | I::LoadBool { .. }))
    )
}
