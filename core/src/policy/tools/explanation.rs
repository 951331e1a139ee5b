//! Why a policy decided what it decided.
//!
//! The machine is watched while it evaluates the policy once more (see `recording`); what it did is told by rule, body
//! and condition. If the watched run ends differently from the real one, nothing is told but the decision.

use super::super::admission::{self, Findings};
use super::super::error::{AdmissionError, Place, PolicyEngineError, Refusal};
use super::super::functions;
use super::super::program::{Inside, Probed, effects};
use super::super::{Limits, Policy, PolicySource};
use super::evaluation::{self, Evaluation, InputError, is_exhausted};
use super::notes::{Notes, Spot};
use super::outline::{Operands, Outline};
use super::recording::{Moment, Recorder};
use super::shown::Shown;
use crate::time::Timestamp;
use regorus::Value;
use regorus::rvm::Instruction;
use regorus::rvm::instructions::GuardMode;
use regorus::rvm::program::RuleInfo;
use regorus::rvm::vm::VmError;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// A policy that explains itself.
pub struct Explainer {
    policy: Policy,
    recorder: Recorder,
    outline: Outline,
}

/// What a policy decided, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the real evaluation gave.
    pub evaluation: Evaluation,
    /// What the entry point's rule did. None where the machine cannot be watched.
    pub call: Option<Call>,
}

/// The evaluation of one rule, or of a function for some arguments.
#[derive(Clone, Debug)]
pub struct Call {
    /// The rule, for example `data.scbte.granted`.
    pub rule: String,
    /// A function's arguments, by the parameter's name.
    pub arguments: Vec<(String, Shown)>,
    /// Its value.
    pub value: Shown,
    /// Where the value comes from when no body gave it.
    pub default: Option<Place>,
    /// The bodies that were tried, in order. Empty where the rule was evaluated before.
    pub bodies: Vec<Body>,
}

/// One body of a rule: what stands behind `if`, or an `else`.
#[derive(Clone, Debug)]
pub struct Body {
    /// Where it begins.
    pub place: Place,
    /// What stands before the conditions.
    pub head: String,
    /// The author's comment.
    pub about: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Its conditions, as they stand there.
    pub conditions: Vec<Condition>,
    /// The rules and functions that its value asked.
    pub calls: Vec<Call>,
}

/// One condition of a body.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where it begins.
    pub place: Place,
    /// As it stands there.
    pub text: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How often it held and failed: more than once in a loop.
    pub held: usize,
    /// How often it failed.
    pub failed: usize,
    /// Its parts with their values: when it first failed, or last held.
    pub values: Vec<(String, Shown)>,
    /// The rules and functions that it asked.
    pub calls: Vec<Call>,
}

/// What came of a body or a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Held,
    /// It did not hold.
    Failed,
    /// It was not looked at.
    NotReached,
    /// A function's definition for other arguments.
    OtherArguments,
}

/// Calls of functions that are told of one condition.
const MAX_CALLS: usize = 8;

impl Explainer {
    /// Admits a policy, and prepares to watch it.
    ///
    /// # Errors
    /// Up to `most` reasons why the policy may not run.
    pub fn new(source: &PolicySource, limits: &Limits, most: usize) -> Result<Self, Vec<AdmissionError>> {
        let policy = Policy::admit_or_tell(source, limits, most)?;
        let mut found = Findings::new(most);
        let parts = Self::prepare(&policy, source, limits, &mut found);
        found.finish(parts).map(|(recorder, outline)| Self { policy, recorder, outline })
    }

    fn prepare(
        policy: &Policy,
        source: &PolicySource,
        limits: &Limits,
        found: &mut Findings,
    ) -> Option<(Recorder, Outline)> {
        let original = admission::parse(source, found)?;
        let compilable = admission::check(source, limits, found)?;
        let compiled = admission::parse_compilable(&compilable, found)?;
        let probed = found.note(Probed::new(policy.machine.get_program()))?;
        let recorder = Recorder::new(probed, compilable.data).map_err(|error| Refusal::Data(error.to_string()));
        Some((found.note(recorder)?, Outline::new(&compiled, &original)))
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Evaluates the policy on an `input`, and says what the rules made of it.
    ///
    /// # Errors
    /// The document is nested too deeply.
    pub fn explain(&mut self, document: &Map<String, Json>, now: Timestamp) -> Result<Explanation, InputError> {
        let evaluation = self.policy.evaluate_document(document, now)?;
        let input = evaluation::input(document)?;
        let (_, call) = self.watch(&input, now, MAX_CALLS);
        Ok(Explanation { evaluation, call })
    }

    /// The value of the entry point, and how it came about; of each condition, `most` calls.
    pub(super) fn watch(
        &mut self,
        input: &Value,
        now: Timestamp,
        most: usize,
    ) -> (Result<Value, PolicyEngineError>, Option<Call>) {
        let budget = self.policy.max_instructions;
        let real = self.policy.run(input, now, budget);
        let mut story = Story { outline: &self.outline, bodies: HashMap::new(), frames: Vec::new(), entry: None, most };
        functions::begin(budget, now, &self.policy.regexes);
        let watched = self.recorder.run(input.clone(), budget, |probed, moment| story.tell(probed, &moment));
        let entry = story.end(self.recorder.probed(), watched.as_ref().ok());
        let same = match (&real, &watched) {
            (Ok(real), Ok(watched)) => real == watched,
            // The watched run has another budget: what it saw until then is what the real one did.
            (Err(real), _) => is_exhausted(real),
            _ => false,
        };
        (real.map_err(PolicyEngineError::from), entry.filter(|_| same))
    }

    /// Puts another data document in the place of the policy's.
    pub(super) fn set_data(&mut self, data: &Value) -> Result<(), VmError> {
        self.policy.machine.set_data(data.clone())?;
        self.recorder.set_data(data.clone())
    }

    /// Where everything is.
    pub(super) const fn outline(&self) -> &Outline {
        &self.outline
    }
}

/// Makes calls, bodies and conditions of the machine's moments.
struct Story<'a> {
    outline: &'a Outline,
    /// The numbers of bodies, by where they begin in the program.
    bodies: HashMap<u32, Option<usize>>,
    frames: Vec<Frame>,
    entry: Option<Call>,
    /// Calls that are told of one condition.
    most: usize,
}

/// A rule that is being evaluated.
struct Frame {
    rule: usize,
    arguments: Vec<Value>,
    running: Option<Running>,
    bodies: Vec<Body>,
    /// The instruction that was about to run when this rule was last seen.
    last: Option<usize>,
    /// The rule that the last instruction asked, when it has come back.
    returned: Option<Box<Frame>>,
}

/// A body that is being evaluated.
struct Running {
    definition: usize,
    body: usize,
    /// The body in the outline.
    outline: Option<usize>,
    notes: Notes,
    matched: bool,
    yielded: bool,
    conditions: Vec<Told>,
    /// Rules and functions that were asked outside of the conditions.
    calls: Vec<Call>,
    /// The condition that the last moment was in.
    current: Option<usize>,
    /// Whether the last moment was a condition that failed.
    failing: bool,
}

/// What is known of one condition.
#[derive(Clone, Default)]
struct Told {
    entered: bool,
    held: usize,
    failed: usize,
    first_failure: Option<Notes>,
    calls: Vec<Call>,
}

impl Story<'_> {
    fn tell(&mut self, probed: &Probed, moment: &Moment<'_>) {
        self.come_back_to(moment.depth);
        if self.frames.len() < moment.depth {
            self.frames.push(Frame::new(moment));
        }
        let Some(mut frame) = self.frames.pop() else { return };
        self.see(&mut frame, probed, moment);
        self.frames.push(frame);
    }

    /// Rules that are done hand over to the one that asked them.
    fn come_back_to(&mut self, depth: usize) {
        while self.frames.len() > depth.max(1) {
            let done = self.frames.pop();
            if let Some(asking) = self.frames.last_mut() {
                asking.returned = done.map(Box::new);
            }
        }
    }

    fn see(&mut self, frame: &mut Frame, probed: &Probed, moment: &Moment<'_>) {
        let same = |running: &Running| (running.definition, running.body) == (moment.definition, moment.body);
        if frame.running.as_ref().is_some_and(same) {
            self.note_result(frame, probed, moment.registers);
        } else {
            self.end_body(frame);
            frame.running = Some(self.begin_body(probed, moment));
        }
        let place = self.spot(probed, moment.pc);
        if let Some(running) = &mut frame.running {
            running.see(self.outline, probed, moment, place);
        }
        frame.last = Some(moment.pc);
    }

    fn spot(&self, probed: &Probed, pc: usize) -> Option<Spot> {
        Spot::of_instruction(&probed.program, pc, |name| self.outline.module(name))
    }

    fn begin_body(&mut self, probed: &Probed, moment: &Moment<'_>) -> Running {
        let info = probed.program.rule_infos.get(moment.rule);
        let bodies = info.and_then(|info| info.definitions.get(moment.definition));
        let start = bodies.and_then(|bodies| bodies.get(moment.body)).copied();
        let known = start.and_then(|start| self.bodies.get(&start).copied());
        let outline = known.unwrap_or_else(|| {
            let pc = usize::try_from(start?).ok()?;
            self.spot(probed, pc).and_then(|spot| self.outline.body_at(spot))
        });
        self.bodies.extend(start.map(|start| (start, outline)));
        let conditions = outline.and_then(|number| self.outline.body(number)).map_or(0, |body| body.conditions.len());
        Running {
            definition: moment.definition,
            body: moment.body,
            outline,
            notes: Notes::default(),
            matched: false,
            yielded: false,
            conditions: vec![Told::default(); conditions],
            calls: Vec::new(),
            current: None,
            failing: false,
        }
    }

    /// What the last instruction left behind, and the rule that it asked.
    fn note_result(&mut self, frame: &mut Frame, probed: &Probed, registers: &[Value]) {
        let returned = frame.returned.take();
        let (Some(pc), Some(running)) = (frame.last, &mut frame.running) else { return };
        let Some(instruction) = probed.program.instructions.get(pc) else { return };
        let Ok(effects) = effects(&probed.program, instruction) else { return };
        let written = effects.writes.first().and_then(|register| registers.get(usize::from(*register)));
        let place = self.spot(probed, pc);
        // These have the place of what they copy from.
        let copies = matches!(instruction, Instruction::Move { .. } | Instruction::LoopStart { .. });
        if let (Some(spot), Some(value), false) = (place, written, copies) {
            running.notes.set(spot, value.clone());
        }
        if let Some(rule) = asked(probed, instruction) {
            let value = written.unwrap_or(&Value::Undefined);
            let call = match returned {
                Some(returned) => self.end_call(probed, *returned, value),
                None => self.known_call(probed, rule, value),
            };
            self.attach(running, place, call);
        }
    }

    fn attach(&self, running: &mut Running, place: Option<Spot>, call: Option<Call>) {
        let condition = running.outline.zip(place).and_then(|(body, spot)| self.outline.condition_at(body, spot));
        let told = condition.and_then(|index| running.conditions.get_mut(index));
        let calls = told.map_or(&mut running.calls, |told| &mut told.calls);
        calls.extend(call.filter(|_| calls.len() < self.most));
    }

    /// A rule that the machine has the value of already.
    fn known_call(&self, probed: &Probed, rule: usize, value: &Value) -> Option<Call> {
        let name = probed.program.rule_infos.get(rule)?.name.clone();
        Some(Call { rule: name, arguments: Vec::new(), value: Shown::of(value), default: None, bodies: Vec::new() })
    }

    fn end_call(&mut self, probed: &Probed, mut frame: Frame, value: &Value) -> Option<Call> {
        self.end_body(&mut frame);
        let info = probed.program.rule_infos.get(frame.rule)?;
        let given = frame.bodies.iter().any(|body| body.outcome == Outcome::Held);
        Some(Call {
            rule: info.name.clone(),
            arguments: arguments(info, &frame.arguments),
            value: Shown::of(value),
            default: self.outline.default(&info.name).filter(|_| !given).cloned(),
            bodies: frame.bodies,
        })
    }

    fn end_body(&self, frame: &mut Frame) {
        let Some(running) = frame.running.take() else { return };
        let Some(outline) = running.outline.and_then(|number| self.outline.body(number)) else { return };
        let outcome = running.outcome();
        let conditions = outline.conditions.iter().zip(running.conditions).map(|(outline, told)| {
            let notes = told.first_failure.as_ref().filter(|_| told.held == 0).unwrap_or(&running.notes);
            let values =
                outline.parts.iter().filter_map(|(text, spot)| Some((text.clone(), Shown::of(notes.get(*spot)?))));
            Condition {
                place: outline.place.clone(),
                text: outline.text.clone(),
                outcome: told.outcome(),
                held: told.held,
                failed: told.failed,
                values: values.collect(),
                calls: told.calls,
            }
        });
        frame.bodies.push(Body {
            place: outline.place.clone(),
            head: outline.head.clone(),
            about: outline.about.clone(),
            outcome,
            conditions: conditions.collect(),
            calls: running.calls,
        });
    }

    /// The machine is done.
    fn end(mut self, probed: &Probed, value: Option<&Value>) -> Option<Call> {
        self.come_back_to(1);
        if let Some(mut frame) = self.frames.pop() {
            if let (Some(returned), Some(running)) = (frame.returned.take(), &mut frame.running) {
                let place = frame.last.and_then(|pc| self.spot(probed, pc));
                let call = self.end_call(probed, *returned, &Value::Undefined);
                self.attach(running, place, call);
            }
            self.entry = self.end_call(probed, frame, value.unwrap_or(&Value::Undefined));
        } else if let Some(value) = value {
            self.entry = self
                .known_call(probed, 0, value)
                .map(|call| Call { default: self.outline.default(&call.rule).cloned(), ..call });
        }
        self.entry
    }
}

/// The rule or function that an instruction asks.
fn asked(probed: &Probed, instruction: &Instruction) -> Option<usize> {
    match instruction {
        Instruction::CallRule { rule_index, .. } => Some(usize::from(*rule_index)),
        Instruction::FunctionCall { params_index } => {
            let call = probed.program.instruction_data.get_function_call_params(*params_index)?;
            Some(usize::from(call.func_rule_index))
        }
        _ => None,
    }
}

/// A function finds its arguments in the registers behind its result.
fn arguments(info: &RuleInfo, values: &[Value]) -> Vec<(String, Shown)> {
    let Some(function) = &info.function_info else { return Vec::new() };
    function.param_names.iter().cloned().zip(values.iter().map(Shown::of)).collect()
}

impl Frame {
    fn new(moment: &Moment<'_>) -> Self {
        Self {
            rule: moment.rule,
            arguments: moment.registers.iter().skip(1).cloned().collect(),
            running: None,
            bodies: Vec::new(),
            last: None,
            returned: None,
        }
    }
}

impl Running {
    fn see(&mut self, outline: &Outline, probed: &Probed, moment: &Moment<'_>, place: Option<Spot>) {
        if probed.is_arguments(moment.pc) {
            return;
        }
        self.matched = true;
        let Some(instruction) = probed.program.instructions.get(moment.pc) else { return };
        if matches!(instruction, Instruction::RuleReturn {}) {
            return;
        }
        let yields = self.is_yield(probed, moment, instruction);
        let failed = fails(instruction, moment.registers);
        let condition = self.outline.zip(place).and_then(|(body, spot)| outline.condition_at(body, spot));
        self.enter(condition, yields);
        self.yielded |= yields;
        self.note_operands(outline, probed, instruction, moment.registers, place);
        let inside = probed.inside(moment.pc);
        self.failing = failed && inside == Inside::Rule;
        // A comprehension goes on to the next element.
        if !failed || inside == Inside::Comprehension {
            return;
        }
        let notes = self.notes.clone();
        let Some(told) = condition.and_then(|index| self.conditions.get_mut(index)) else { return };
        told.failed = told.failed.saturating_add(usize::from(self.failing));
        told.first_failure.get_or_insert(notes);
    }

    /// A condition held when the machine goes on to something else, and not because it failed.
    fn enter(&mut self, condition: Option<usize>, yields: bool) {
        // What stands before the conditions is not one.
        if !yields && (condition == self.current || condition.is_none()) {
            return;
        }
        let before = self.current.and_then(|index| self.conditions.get_mut(index));
        if let Some(before) = before.filter(|_| !self.failing) {
            before.held = before.held.saturating_add(1);
        }
        if let Some(entered) = condition.and_then(|index| self.conditions.get_mut(index)) {
            entered.entered = true;
        }
        self.current = condition;
    }

    /// Whether the instruction gives the rule its value, or adds to it.
    fn is_yield(&self, probed: &Probed, moment: &Moment<'_>, instruction: &Instruction) -> bool {
        let result = probed.program.rule_infos.get(moment.rule).map(|info| info.result_reg);
        let into = match instruction {
            Instruction::Move { dest, .. }
            | Instruction::Load { dest, .. }
            | Instruction::LoadTrue { dest }
            | Instruction::LoadFalse { dest }
            | Instruction::LoadNull { dest }
            | Instruction::LoadBool { dest, .. } => *dest,
            Instruction::SetAdd { set, .. } => *set,
            Instruction::ObjectSet { obj, .. } => *obj,
            _ => return false,
        };
        Some(into) == result && probed.inside(moment.pc) == Inside::Rule
    }

    fn note_operands(
        &mut self,
        outline: &Outline,
        probed: &Probed,
        instruction: &Instruction,
        registers: &[Value],
        place: Option<Spot>,
    ) {
        let Some(spot) = place else { return };
        let body = self.outline.and_then(|number| outline.body(number));
        let conditions = body.map(|body| body.conditions.as_slice()).unwrap_or_default();
        let Some(operands) = conditions.iter().find_map(|condition| condition.operands.get(&spot)) else { return };
        let Ok(effects) = effects(&probed.program, instruction) else { return };
        let mut read: Vec<&Value> =
            effects.reads.iter().filter_map(|register| registers.get(usize::from(*register))).collect();
        let spots = match (operands, instruction) {
            (Operands::Two(left, right), Instruction::Contains { .. }) => {
                // The machine names the collection first.
                read.reverse();
                vec![*left, *right]
            }
            (Operands::Two(left, right), _) if effects.reads.len() == 2 => vec![*left, *right],
            (Operands::Call(spots), Instruction::BuiltinCall { .. } | Instruction::FunctionCall { .. }) => {
                spots.clone()
            }
            (Operands::Reference(root, keys), Instruction::Index { .. } | Instruction::ChainedIndex { .. }) => {
                let keys = if read.len() == keys.len().saturating_add(1) { keys.as_slice() } else { &[] };
                [&[*root], keys].concat()
            }
            (Operands::Reference(root, _), Instruction::IndexLiteral { .. }) => vec![*root],
            _ => return,
        };
        for (spot, value) in spots.into_iter().zip(read) {
            self.notes.set(spot, value.clone());
        }
    }

    const fn outcome(&self) -> Outcome {
        match (self.matched, self.yielded) {
            (_, true) => Outcome::Held,
            (true, false) => Outcome::Failed,
            (false, false) => Outcome::OtherArguments,
        }
    }
}

impl Told {
    const fn outcome(&self) -> Outcome {
        match (self.entered, self.held) {
            (false, _) => Outcome::NotReached,
            (true, 0) => Outcome::Failed,
            (true, _) => Outcome::Held,
        }
    }
}

/// Whether the instruction is a condition that fails, as the machine has it.
fn fails(instruction: &Instruction, registers: &[Value]) -> bool {
    let value = |register: u8| registers.get(usize::from(register)).unwrap_or(&Value::Undefined);
    match *instruction {
        Instruction::Guard { register, mode } => {
            let value = value(register);
            let holds = match mode {
                GuardMode::Not => matches!(value, Value::Undefined | Value::Bool(false)),
                GuardMode::Condition => !matches!(value, Value::Undefined | Value::Bool(false)),
                GuardMode::NotUndefined => !matches!(value, Value::Undefined),
            };
            !holds
        }
        Instruction::AssertEq { left, right } => {
            let (left, right) = (value(left), value(right));
            *left == Value::Undefined || *right == Value::Undefined || left != right
        }
        _ => false,
    }
}
