//! How deep the values are that a program can make: arrays, sets and objects inside one another.
//!
//! Values are compared, printed and dropped by functions that call themselves for each level, on a stack of 1 MiB. A
//! program has no recursion, and each register of a body is written by one instruction (or filled by a loop), so how deep
//! its values can be is known beforehand, up to the depth of what a function is given.

use super::super::admission::Findings;
use super::super::error::Refusal;
use super::effects::{Register, effects};
use super::segment::Segment;
use super::{refuse, segments_of};
use crate::json;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;

/// Levels of any value, at most.
const MAX_DEPTH: isize = 128;

/// Levels of the input: those of the claims, and two around them.
const INPUT_DEPTH: isize = json::MAX_DEPTH as isize + 2;

/// Refuses a program that could make deeper values.
pub(super) fn check(program: &Program, segments: &[Segment], data_depth: usize, found: &mut Findings) {
    // Recursion would not end here either.
    if !found.is_empty() {
        return;
    }
    let data = isize::try_from(data_depth).unwrap_or(isize::MAX);
    let mut depths = Depths { program, segments, data, rules: vec![None; program.rule_infos.len()], found };
    for rule in 0..program.rule_infos.len() {
        depths.rule(rule);
    }
}

/// The levels of a value; scalars have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Depth {
    /// Whatever a function is given.
    fixed: isize,
    /// More than the deepest argument of the function, if it comes from one.
    over: Option<isize>,
}

impl Depth {
    const SCALAR: Self = Self::fixed(0);

    const fn fixed(fixed: isize) -> Self {
        Self { fixed, over: None }
    }

    fn or(self, other: Self) -> Self {
        Self { fixed: self.fixed.max(other.fixed), over: self.over.max(other.over) }
    }

    fn plus(self, levels: isize) -> Self {
        let over = self.over.map(|over| over.saturating_add(levels));
        Self { fixed: self.fixed.saturating_add(levels).max(0), over }
    }

    /// The result of a function that is given something of the other depth.
    fn of_call(self, arguments: Self) -> Self {
        self.over.map_or(self, |over| Self::fixed(self.fixed).or(arguments.plus(over)))
    }

    fn is_too_much(self) -> bool {
        self.fixed > MAX_DEPTH || self.over.is_some_and(|over| over > MAX_DEPTH)
    }
}

/// The depths of a body's registers.
type Registers = Vec<Depth>;

struct Depths<'a> {
    program: &'a Program,
    segments: &'a [Segment],
    data: isize,
    /// Of the values of the rules.
    rules: Vec<Option<Depth>>,
    found: &'a mut Findings,
}

impl Depths<'_> {
    /// The depth of a rule's value, or of a function's result.
    fn rule(&mut self, rule: usize) -> Depth {
        if let Some(depth) = self.rules.get(rule).copied().flatten() {
            return depth;
        }
        let depth = self.read_rule(rule);
        if let Some(known) = self.rules.get_mut(rule) {
            *known = Some(depth);
        }
        depth
    }

    fn read_rule(&mut self, rule: usize) -> Depth {
        let (program, segments) = (self.program, self.segments);
        let Some(info) = program.rule_infos.get(rule) else { return Depth::SCALAR };
        let default = info.default_literal_index.and_then(|index| program.literals.get(usize::from(index)));
        let mut depth = Depth::fixed(default.map_or(0, levels));
        let mut start = vec![Depth::SCALAR; usize::from(u8::MAX).saturating_add(1)];
        let arguments = info.function_info.as_ref().map_or(0, |function| function.param_names.len());
        // A function finds its arguments behind its result.
        start.iter_mut().skip(1).take(arguments).for_each(|argument| *argument = Depth { fixed: 0, over: Some(0) });
        let is_arguments = |segment: &Segment| {
            let starts = info.destructuring_blocks.iter().flatten();
            starts.into_iter().any(|start| usize::try_from(*start) == Ok(segment.pcs.start))
        };
        for segment in segments_of(segments, rule).filter(|segment| is_arguments(segment)) {
            start = self.body(segment, start);
        }
        for segment in segments_of(segments, rule).filter(|segment| !is_arguments(segment)) {
            let registers = self.body(segment, start.clone());
            depth = depth.or(of(&registers, info.result_reg));
        }
        depth
    }

    /// The registers at the end of a body.
    fn body(&mut self, segment: &Segment, mut registers: Registers) -> Registers {
        loop {
            let before = registers.clone();
            for pc in segment.pcs.clone() {
                let Some((written, depth)) = self.written(segment, pc, &registers) else { continue };
                for register in written {
                    registers.get_mut(usize::from(register)).into_iter().for_each(|known| *known = known.or(depth));
                }
                if depth.is_too_much() {
                    let limit = usize::try_from(MAX_DEPTH).unwrap_or_default();
                    let what = "arrays, sets and objects inside one another in a value";
                    let refusal = Refusal::TooMuch { what, found: limit.saturating_add(1), limit };
                    self.found.add(refuse(self.program, pc, refusal));
                    return vec![Depth::SCALAR; registers.len()];
                }
            }
            // What is written later in a loop is there when it comes round again.
            if registers == before {
                return registers;
            }
        }
    }

    /// The registers that an instruction writes, and how deep they can be then.
    fn written(&mut self, segment: &Segment, pc: usize, registers: &Registers) -> Option<(Vec<Register>, Depth)> {
        use Instruction as I;
        let program = self.program;
        let instruction = program.instructions.get(pc)?;
        let table = &program.instruction_data;
        let effects = effects(program, instruction).ok()?;
        let all = || effects.reads.iter().fold(Depth::SCALAR, |depth, read| depth.or(of(registers, *read)));
        let depth = match *instruction {
            I::Load { literal_idx, .. } => {
                Depth::fixed(program.literals.get(usize::from(literal_idx)).map_or(0, levels))
            }
            I::LoadInput { .. } => Depth::fixed(INPUT_DEPTH),
            I::LoadData { .. } => Depth::fixed(self.data),
            I::Move { .. } => all(),
            I::CallRule { rule_index, .. } => self.rule(usize::from(rule_index)),
            I::FunctionCall { params_index } => {
                let call = table.get_function_call_params(params_index)?;
                self.rule(usize::from(call.func_rule_index)).of_call(all())
            }
            I::BuiltinCall { params_index } => {
                let call = table.get_builtin_call_params(params_index)?;
                builtin(&program.get_builtin_info(call.builtin_index)?.name, all())
            }
            I::ArrayNew { .. } | I::SetNew { .. } | I::ComprehensionBegin { .. } => Depth::fixed(1),
            I::ArrayCreate { .. }
            | I::SetCreate { .. }
            | I::ObjectCreate { .. }
            | I::ArrayPush { .. }
            | I::SetAdd { .. }
            | I::ObjectSet { .. } => all().plus(1),
            I::Index { container, .. } | I::IndexLiteral { container, .. } => of(registers, container).plus(-1),
            I::ChainedIndex { params_index } => {
                let chain = table.get_chained_index_params(params_index)?;
                let steps = isize::try_from(chain.path_components.len()).ok()?;
                of(registers, chain.root).plus(steps.saturating_neg())
            }
            I::ComprehensionYield { .. } => {
                let result = segment.comprehension_of(program, pc)?.result_reg;
                return Some((vec![result], all().plus(1)));
            }
            I::LoopStart { params_index } => {
                // A key may be as deep as a value.
                of(registers, table.get_loop_params(params_index)?.collection).plus(-1)
            }
            _ => Depth::SCALAR,
        };
        Some((effects.writes, depth))
    }
}

fn of(registers: &Registers, register: Register) -> Depth {
    registers.get(usize::from(register)).copied().unwrap_or(Depth::SCALAR)
}

/// Builtins that give what they are given, or a part of it, or join several of it.
const PASSING: [&str; 17] = [
    "__builtin_sets.intersection",
    "__builtin_sets.union",
    "array.concat",
    "array.reverse",
    "array.slice",
    "intersection",
    "max",
    "min",
    "minus",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.union",
    "object.union_n",
    "sort",
    "union",
];

fn builtin(name: &str, arguments: Depth) -> Depth {
    match name {
        name if PASSING.contains(&name) => arguments,
        "regex.find_all_string_submatch_n" => Depth::fixed(2),
        "regex.find_n" | "regex.split" | "split" => Depth::fixed(1),
        _ => Depth::SCALAR,
    }
}

/// The levels of a literal.
fn levels(value: &Value) -> isize {
    let inside = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Set(items) => items.iter().map(levels).max(),
        Value::Object(members) => members.iter().map(|(key, value)| levels(key).max(levels(value))).max(),
        _ => return 0,
    };
    inside.unwrap_or(0).saturating_add(1)
}
