//! Look-ups in the data document by a text where there is an array.
//!
//! OPA finds `data.list[key]` by the key `"1"`, too: it reads the reference as a path. The machine does not, so a policy
//! in which such a key could be a text is refused.

use super::super::admission::Findings;
use super::super::error::Refusal;
use super::effects::Register;
use super::refuse;
use super::segment::Segment;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::LiteralOrRegister;
use regorus::rvm::program::Program;
use std::cell::Cell;

/// Members of the data that are looked at, all look-ups together: they are followed with each admission.
const MAX_LOOKS: usize = 10_000_000;

/// Refuses a program that looks up an array of the data by what may be a text.
pub(super) fn check(program: &Program, segments: &[Segment], data: &Value, found: &mut Findings) {
    let looks = Cell::new(0);
    for segment in segments {
        let lookups = Lookups { program, segment, data, looks: &looks };
        for pc in segment.pcs.clone() {
            if lookups.finds_array_by_text(pc) {
                let refusal = Refusal::Unsupported {
                    construct: "a look-up in an array of the data, by what may be a text, is",
                    advice: "assign the array first, `list := data.…`, and look up in `list`",
                };
                found.add(refuse(program, pc, refusal));
            }
        }
    }
    if looks.get() > MAX_LOOKS {
        let what = "members of the data, over all look-ups";
        found.add(Refusal::TooMuch { what, found: looks.get(), limit: MAX_LOOKS });
    }
}

struct Lookups<'a> {
    program: &'a Program,
    segment: &'a Segment,
    data: &'a Value,
    looks: &'a Cell<usize>,
}

/// A part of a reference.
enum Key<'a> {
    Literal(&'a Value),
    /// A number, or what is not known to be one.
    Computed {
        number: bool,
    },
}

impl Lookups<'_> {
    fn finds_array_by_text(&self, pc: usize) -> bool {
        let Some((root, keys)) = self.lookup(pc) else { return false };
        let mut values = self.values(root, pc);
        for key in keys {
            let text = !matches!(key, Key::Computed { number: true } | Key::Literal(Value::Number(_)));
            if text && values.iter().any(|value| matches!(value, Value::Array(_))) {
                return true;
            }
            values = self.members(values, &key);
        }
        false
    }

    /// What the instruction looks up, and by which keys.
    fn lookup(&self, pc: usize) -> Option<(Register, Vec<Key<'_>>)> {
        let literal = |index: u16| self.program.literals.get(usize::from(index)).map(Key::Literal);
        Some(match *self.program.instructions.get(pc)? {
            Instruction::Index { container, key, .. } => (container, vec![self.computed(key, pc)]),
            Instruction::IndexLiteral { container, literal_idx, .. } => (container, vec![literal(literal_idx)?]),
            Instruction::ChainedIndex { params_index } => {
                let chain = self.program.instruction_data.get_chained_index_params(params_index)?;
                let keys = chain.path_components.iter().map(|component| match component {
                    LiteralOrRegister::Literal(index) => literal(*index),
                    LiteralOrRegister::Register(key) => Some(self.computed(*key, pc)),
                });
                (chain.root, keys.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// What of the data a register may hold without having been assigned.
    fn values(&self, register: Register, pc: usize) -> Vec<&Value> {
        let Some((writer, instruction)) = self.segment.writer(self.program, register, pc) else { return Vec::new() };
        if matches!(instruction, Instruction::LoadData { .. }) {
            return vec![self.data];
        }
        if let Some(collection) = self.looped(&instruction, register) {
            let all = Key::Computed { number: false };
            return self.members(self.values(collection, writer), &all);
        }
        let Some((root, keys)) = self.lookup(writer) else { return Vec::new() };
        keys.iter().fold(self.values(root, writer), |values, key| self.members(values, key))
    }

    /// What the values have at the key. Nothing, once that was too much: the policy is refused for it.
    fn members<'a>(&self, values: Vec<&'a Value>, key: &Key<'_>) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for value in values {
            if self.looks.get() > MAX_LOOKS {
                return Vec::new();
            }
            let before = found.len();
            found.extend(members(value, key));
            self.looks.set(self.looks.get().saturating_add(found.len().saturating_sub(before)).saturating_add(1));
        }
        found
    }

    /// The collection, if the instruction loops over one and the register gets its values.
    fn looped(&self, instruction: &Instruction, register: Register) -> Option<Register> {
        let Instruction::LoopStart { params_index } = *instruction else { return None };
        let params = self.program.instruction_data.get_loop_params(params_index)?;
        (params.value_reg == register && params.key_reg != register).then_some(params.collection)
    }

    fn computed(&self, key: Register, pc: usize) -> Key<'_> {
        Key::Computed { number: self.is_number(key, pc) }
    }

    /// Whether the register can only hold a number, or be undefined.
    fn is_number(&self, register: Register, pc: usize) -> bool {
        use Instruction as I;
        let Some((writer, instruction)) = self.segment.writer(self.program, register, pc) else { return false };
        let tables = &self.program.instruction_data;
        match instruction {
            I::Load { literal_idx, .. } => {
                matches!(self.program.literals.get(usize::from(literal_idx)), Some(Value::Number(_)))
            }
            I::Move { src, .. } => self.is_number(src, writer),
            I::BuiltinCall { params_index } => {
                let call = tables.get_builtin_call_params(params_index);
                let builtin = call.and_then(|call| self.program.get_builtin_info(call.builtin_index));
                builtin.is_some_and(|builtin| NUMERIC.contains(&builtin.name.as_str()))
            }
            // The keys of an array are numbers; where it is the data's, it is known to be an array.
            I::LoopStart { params_index } => tables.get_loop_params(params_index).is_some_and(|params| {
                let values = self.values(params.collection, writer);
                params.key_reg == register
                    && values.iter().all(|value| matches!(value, Value::Array(_)))
                    && !values.is_empty()
            }),
            _ => false,
        }
    }
}

/// Builtins whose result is a number or undefined.
const NUMERIC: [&str; 14] = [
    "abs",
    "bits.and",
    "bits.negate",
    "bits.or",
    "bits.xor",
    "ceil",
    "count",
    "div",
    "floor",
    "indexof",
    "mul",
    "plus",
    "rem",
    "sum",
];

fn members<'a>(value: &'a Value, key: &Key<'_>) -> Vec<&'a Value> {
    match (value, key) {
        (Value::Object(members), Key::Literal(key)) => members.get(key).into_iter().collect(),
        (Value::Object(members), Key::Computed { .. }) => members.iter().map(|(_, member)| member).collect(),
        (Value::Array(items), _) => items.iter().collect(),
        _ => Vec::new(),
    }
}
