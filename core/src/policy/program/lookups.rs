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
use std::collections::BTreeMap;

/// Refuses a program that looks up an array of the data by what may be a text.
pub(super) fn check(program: &Program, segments: &[Segment], data: &Value, found: &mut Findings) {
    let mut places = Places { sets: vec![Set::new(vec![data])], steps: BTreeMap::new(), looked_at: 0 };
    for segment in segments {
        for pc in segment.pcs.clone() {
            let mut lookups = Lookups { program, segment, places: &mut places };
            if lookups.finds_array_by_text(pc) {
                let refusal = Refusal::Unsupported {
                    construct: "a look-up in an array of the data, by what may be a text, is",
                    advice: "assign the array first, `list := data.…`, and look up in `list`",
                };
                found.add(refuse(program, pc, refusal));
            }
            if places.looked_at > MAX_LOOKED_AT {
                let what = "parts of the data that the policy's references may mean, together";
                let refusal = Refusal::TooMuch { what, found: places.looked_at, limit: MAX_LOOKED_AT };
                return found.add(refuse(program, pc, refusal));
            }
        }
    }
}

/// Values of the data that are looked at, at most: each path once, however often the policy has it.
const MAX_LOOKED_AT: usize = 4_000_000;

/// Sets of values of the data that a register may hold.
struct Places<'a> {
    sets: Vec<Set<'a>>,
    /// From a set, by a literal or by anything, to another.
    steps: BTreeMap<(usize, Option<&'a Value>), usize>,
    looked_at: usize,
}

struct Set<'a> {
    values: Vec<&'a Value>,
    any_array: bool,
    /// And at least one.
    all_arrays: bool,
}

impl<'a> Set<'a> {
    fn new(values: Vec<&'a Value>) -> Self {
        let mut arrays = values.iter().map(|value| matches!(value, Value::Array(_)));
        let any_array = arrays.clone().any(|is_array| is_array);
        let all_arrays = any_array && arrays.all(|is_array| is_array);
        Self { values, any_array, all_arrays }
    }
}

/// The set that is the data itself.
const DATA: usize = 0;

impl<'a> Places<'a> {
    /// The values that are found by a key in those of a set.
    fn step(&mut self, set: usize, key: &Key<'a>) -> usize {
        let literal = match key {
            Key::Literal(literal) => Some(*literal),
            Key::Computed { .. } => None,
        };
        if let Some(known) = self.steps.get(&(set, literal)) {
            return *known;
        }
        let values = self.sets.get(set).map(|set| set.values.as_slice()).unwrap_or_default();
        let room = MAX_LOOKED_AT.saturating_sub(self.looked_at).saturating_add(1);
        let found: Vec<&Value> = values.iter().flat_map(|value| members(value, literal)).take(room).collect();
        self.looked_at = self.looked_at.saturating_add(found.len()).saturating_add(values.len());
        self.sets.push(Set::new(found));
        let next = self.sets.len().saturating_sub(1);
        self.steps.insert((set, literal), next);
        next
    }

    fn any_array(&self, set: usize) -> bool {
        self.sets.get(set).is_some_and(|set| set.any_array)
    }
}

struct Lookups<'a, 'p> {
    program: &'a Program,
    segment: &'a Segment,
    places: &'p mut Places<'a>,
}

/// A part of a reference.
enum Key<'a> {
    Literal(&'a Value),
    /// A number, or what is not known to be one.
    Computed {
        number: bool,
    },
}

impl<'a> Lookups<'a, '_> {
    fn finds_array_by_text(&mut self, pc: usize) -> bool {
        let Some((root, keys)) = self.lookup(pc) else { return false };
        let Some(mut values) = self.values(root, pc) else { return false };
        for (index, key) in keys.iter().enumerate() {
            let text = !matches!(key, Key::Computed { number: true } | Key::Literal(Value::Number(_)));
            if text && self.places.any_array(values) {
                return true;
            }
            if index.saturating_add(1) < keys.len() {
                values = self.places.step(values, key);
            }
        }
        false
    }

    /// What the instruction looks up, and by which keys.
    fn lookup(&mut self, pc: usize) -> Option<(Register, Vec<Key<'a>>)> {
        let program = self.program;
        let literal = |index: u16| program.literals.get(usize::from(index)).map(Key::Literal);
        Some(match *program.instructions.get(pc)? {
            Instruction::Index { container, key, .. } => (container, vec![self.computed(key, pc)]),
            Instruction::IndexLiteral { container, literal_idx, .. } => (container, vec![literal(literal_idx)?]),
            Instruction::ChainedIndex { params_index } => {
                let chain = program.instruction_data.get_chained_index_params(params_index)?;
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
    fn values(&mut self, register: Register, pc: usize) -> Option<usize> {
        let (writer, instruction) = self.segment.writer(self.program, register, pc)?;
        if matches!(instruction, Instruction::LoadData { .. }) {
            return Some(DATA);
        }
        if let Some(collection) = self.looped(&instruction, register) {
            let values = self.values(collection, writer)?;
            return Some(self.places.step(values, &Key::Computed { number: false }));
        }
        let (root, keys) = self.lookup(writer)?;
        let root = self.values(root, writer)?;
        Some(keys.iter().fold(root, |values, key| self.places.step(values, key)))
    }

    /// The collection, if the instruction loops over one and the register gets its values.
    fn looped(&self, instruction: &Instruction, register: Register) -> Option<Register> {
        let Instruction::LoopStart { params_index } = *instruction else { return None };
        let params = self.program.instruction_data.get_loop_params(params_index)?;
        (params.value_reg == register && params.key_reg != register).then_some(params.collection)
    }

    fn computed(&mut self, key: Register, pc: usize) -> Key<'a> {
        Key::Computed { number: self.is_number(key, pc) }
    }

    /// Whether the register can only hold a number, or be undefined.
    fn is_number(&mut self, register: Register, pc: usize) -> bool {
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
            I::LoopStart { params_index } => {
                let params = tables.get_loop_params(params_index).filter(|params| params.key_reg == register);
                let values = params.and_then(|params| self.values(params.collection, writer));
                values.and_then(|set| self.places.sets.get(set)).is_some_and(|set| set.all_arrays)
            }
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

/// What is found in a value by a literal, or by anything.
fn members<'a>(value: &'a Value, key: Option<&Value>) -> Box<dyn Iterator<Item = &'a Value> + 'a> {
    match (value, key) {
        (Value::Object(members), Some(key)) => Box::new(members.get(key).into_iter()),
        (Value::Object(members), None) => Box::new(members.values()),
        (Value::Array(items), _) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}
