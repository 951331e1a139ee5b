//! What an instruction costs.
//!
//! The machine compares two values in one instruction, however large they are: to answer `==` and `in`, and to find an
//! element of a set or a member of an object. So what could compare large values becomes a call of a function that pays
//! for it, or is preceded by one; comparisons with what is small stay as they are. The time becomes such a call, too.
//!
//! Look-ups in the data are not paid for: its keys are texts, none of them long.

use super::super::error::Refusal;
use super::super::functions::{COMPARED, EQUAL, MEMBER, NOT_EQUAL, NOW, ROOM, call};
use super::edit::Insertions;
use super::effects::Register;
use super::segment::Segment;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::{ComprehensionMode, LiteralOrRegister};
use regorus::rvm::program::Program;

/// Elements that an instruction makes without paying for them.
const MAX_UNPAID: usize = 16;

/// Bytes of text that take as long as an element.
const BYTES_OF_ELEMENT: usize = 256;

/// Replaces instructions by calls, and collects what is to be inserted.
pub(super) fn insert(program: &mut Program, segments: &[Segment], insertions: &mut Insertions) -> Result<(), Refusal> {
    let mut replacements = Vec::new();
    for segment in segments {
        for pc in segment.pcs.clone() {
            let here = Here { program, segment, pc };
            let Some(cost) = here.cost() else { continue };
            match cost {
                Cost::Replaced { name, dest, from } => replacements.push((pc, call(program, name, dest, &from)?)),
                Cost::Compared(registers) => {
                    for register in registers {
                        let paid = call(program, COMPARED, register, &[register])?;
                        insertions.entry(pc).or_default().push(paid);
                    }
                }
                Cost::Room { dest } => {
                    let room = call(program, ROOM, dest, &[])?;
                    insertions.entry(pc).or_default().push(room);
                }
            }
        }
    }
    for (pc, replacement) in replacements {
        program.instructions.get_mut(pc).into_iter().for_each(|instruction| *instruction = replacement);
    }
    Ok(())
}

/// What is to be done about an instruction.
enum Cost {
    /// A call in its place.
    Replaced { name: &'static str, dest: Register, from: Vec<Register> },
    /// These are compared.
    Compared(Vec<Register>),
    /// It makes many elements, in a register that has nothing yet.
    Room { dest: Register },
}

#[derive(Clone, Copy)]
struct Here<'a> {
    program: &'a Program,
    segment: &'a Segment,
    pc: usize,
}

impl Here<'_> {
    fn cost(self) -> Option<Cost> {
        use Instruction as I;
        let table = &self.program.instruction_data;
        match *self.program.instructions.get(self.pc)? {
            I::HostAwait { dest, .. } => Some(Cost::Replaced { name: NOW, dest, from: Vec::new() }),
            I::Eq { dest, left, right } => self.comparison(EQUAL, dest, left, right),
            I::Ne { dest, left, right } => self.comparison(NOT_EQUAL, dest, left, right),
            I::Contains { dest, collection, value } => {
                let replaced = Cost::Replaced { name: MEMBER, dest, from: vec![value, collection] };
                Some(replaced).filter(|_| !self.is_small(collection))
            }
            I::AssertEq { left, right } => {
                let small = self.is_small(left) || self.is_small(right);
                Some(Cost::Compared(vec![left])).filter(|_| !small)
            }
            I::SetAdd { value, .. } => self.compared([value]),
            I::ObjectSet { key, .. } => self.compared([key]),
            I::Index { container, key, .. } => self.looked_up(container, [key]),
            I::ChainedIndex { params_index } => {
                let chain = table.get_chained_index_params(params_index)?;
                let keys = chain.path_components.iter().filter_map(|component| match component {
                    LiteralOrRegister::Register(key) => Some(*key),
                    LiteralOrRegister::Literal(_) => None,
                });
                self.looked_up(chain.root, keys)
            }
            I::ComprehensionYield { value_reg, key_reg } => self.yielded(value_reg, key_reg),
            I::SetCreate { params_index } => {
                let create = table.get_set_create_params(params_index)?;
                self.compared(create.element_registers().iter().copied())
            }
            I::ObjectCreate { params_index } => {
                let create = table.get_object_create_params(params_index)?;
                let keys = self.compared(create.field_pairs().iter().map(|(key, _)| *key));
                let fields = create.literal_key_field_pairs().len().saturating_add(create.field_pairs().len());
                keys.or_else(|| room(create.dest, fields))
            }
            I::ArrayCreate { params_index } => {
                let create = table.get_array_create_params(params_index)?;
                room(create.dest, create.element_registers().len())
            }
            _ => None,
        }
    }

    fn comparison(self, name: &'static str, dest: Register, left: Register, right: Register) -> Option<Cost> {
        let small = self.is_small(left) || self.is_small(right);
        Some(Cost::Replaced { name, dest, from: vec![left, right] }).filter(|_| !small)
    }

    fn compared(self, registers: impl IntoIterator<Item = Register>) -> Option<Cost> {
        let large: Vec<Register> = registers.into_iter().filter(|register| !self.is_small(*register)).collect();
        Some(Cost::Compared(large)).filter(|cost| !matches!(cost, Cost::Compared(none) if none.is_empty()))
    }

    fn looked_up(self, container: Register, keys: impl IntoIterator<Item = Register>) -> Option<Cost> {
        if self.is_data(container) { None } else { self.compared(keys) }
    }

    /// Into an array, nothing is compared.
    fn yielded(self, value: Register, key: Option<Register>) -> Option<Cost> {
        match (self.segment.comprehension_of(self.program, self.pc).map(|begin| &begin.mode), key) {
            (Some(ComprehensionMode::Array), _) => None,
            (Some(ComprehensionMode::Object), Some(key)) => self.compared([key]),
            _ => self.compared(key.into_iter().chain([value])),
        }
    }

    /// Whether the register holds a part of the data.
    fn is_data(self, register: Register) -> bool {
        matches!(self.segment.origin(self.program, register, self.pc), Some(Instruction::LoadData { .. }))
    }

    /// Whether what is compared with the register takes no longer than another instruction.
    fn is_small(self, register: Register) -> bool {
        self.is_small_at(register, self.pc)
    }

    fn is_small_at(self, register: Register, pc: usize) -> bool {
        use Instruction as I;
        let Some((writer, instruction)) = self.segment.writer(self.program, register, pc) else { return false };
        let literal = |index: u16| self.program.literals.get(usize::from(index));
        match instruction {
            I::Load { literal_idx, .. } => literal(literal_idx).is_some_and(|value| elements(value) <= MAX_UNPAID),
            I::LoadTrue { .. }
            | I::LoadFalse { .. }
            | I::LoadNull { .. }
            | I::LoadBool { .. }
            | I::Eq { .. }
            | I::Ne { .. }
            | I::Not { .. }
            | I::Contains { .. }
            | I::HostAwait { .. } => true,
            I::Move { src, .. } => self.is_small_at(src, writer),
            I::IndexLiteral { container, literal_idx, .. } => {
                self.is_input(container, writer) && literal(literal_idx).is_some_and(is_short_member)
            }
            I::ChainedIndex { params_index } => {
                let chain = self.program.instruction_data.get_chained_index_params(params_index);
                chain.is_some_and(|chain| match chain.path_components.as_slice() {
                    [LiteralOrRegister::Literal(name)] => {
                        self.is_input(chain.root, writer) && literal(*name).is_some_and(is_short_member)
                    }
                    _ => false,
                })
            }
            I::BuiltinCall { params_index } => {
                let call = self.program.instruction_data.get_builtin_call_params(params_index);
                let builtin = call.and_then(|call| self.program.get_builtin_info(call.builtin_index));
                builtin.is_some_and(|builtin| SMALL.contains(&builtin.name.as_str()))
            }
            _ => false,
        }
    }

    fn is_input(self, register: Register, pc: usize) -> bool {
        matches!(self.segment.writer(self.program, register, pc), Some((_, Instruction::LoadInput { .. })))
    }
}

fn room(dest: Register, elements: usize) -> Option<Cost> {
    (elements > MAX_UNPAID).then_some(Cost::Room { dest })
}

/// Members of `input` that are short whatever the client sends.
fn is_short_member(name: &Value) -> bool {
    matches!(name, Value::String(name) if SHORT_MEMBERS.contains(&name.as_ref()))
}

const SHORT_MEMBERS: [&str; 6] = ["aud", "ctx", "method", "sub", "timestamp", "trust_domain"];

/// Builtins whose result is a number, a boolean or a short text.
const SMALL: [&str; 36] = [
    "abs",
    "bits.and",
    "bits.negate",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "contains",
    "count",
    "div",
    "endswith",
    "floor",
    "glob.match",
    "gt",
    "gte",
    "indexof",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "lt",
    "lte",
    "mul",
    "net.cidr_contains",
    "net.cidr_is_valid",
    "plus",
    "regex.match",
    "rem",
    "round",
    "startswith",
    "strings.count",
    "sum",
    "type_name",
];

/// The scalars of a literal, and its collections; a long text is as many as it takes to compare it.
fn elements(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len() / BYTES_OF_ELEMENT,
        Value::Array(items) => items.iter().map(elements).fold(0, usize::saturating_add),
        Value::Set(items) => items.iter().map(elements).fold(0, usize::saturating_add),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| elements(key).saturating_add(elements(value)))
            .fold(0, usize::saturating_add),
        _ => 0,
    };
    inside.saturating_add(1)
}
