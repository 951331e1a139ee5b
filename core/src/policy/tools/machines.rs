//! The policy under test, on the machine.
//!
//! Tests ask not only the entry point, but other rules and functions, too. Each is compiled as if it were the entry
//! point, when it is first asked.

use super::super::{Limits, Module, PolicySource};
use super::explanation::{Call, Explainer, Outcome};
use super::suite::FileCoverage;
use crate::time::Timestamp;
use regorus::Value;
use std::collections::{BTreeSet, HashMap};

/// Machines for the rules of a policy, and what they reached.
pub(super) struct Machines {
    source: PolicySource,
    limits: Limits,
    by_rule: HashMap<String, Result<Explainer, String>>,
    reached: Reached,
}

/// Places that were reached: module and line, and what stands there.
#[derive(Default)]
struct Reached {
    held: BTreeSet<Spot>,
    evaluated: BTreeSet<Spot>,
}

/// Module, line, column.
type Spot = (String, u32, u32);

/// A question to the policy.
pub(super) struct Question<'a> {
    /// The rule, for example `data.scbte.granted`.
    pub(super) rule: &'a str,
    /// A function's arguments.
    pub(super) arguments: Option<&'a [Value]>,
    /// What `input` is, which may be undefined.
    pub(super) input: Value,
    /// The data document.
    pub(super) data: Value,
    /// What the clock says.
    pub(super) now: Timestamp,
}

/// The machine cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}`: {problem}")]
pub(super) struct Unanswered {
    rule: String,
    problem: String,
}

/// The member of the data document in which a function finds its arguments.
const ARGUMENTS: &str = "__scbte_arguments";

impl Machines {
    pub(super) fn new(source: PolicySource, limits: Limits) -> Self {
        Self { source, limits, by_rule: HashMap::new(), reached: Reached::default() }
    }

    /// The value of a rule, or of a function for these arguments.
    pub(super) fn answer(&mut self, question: Question<'_>) -> Result<Value, Unanswered> {
        let rule = question.rule.to_owned();
        let problem = |problem: String| Unanswered { rule: rule.clone(), problem };
        let machine = self
            .by_rule
            .entry(rule.clone())
            .or_insert_with(|| machine(&self.source, &self.limits, &rule, question.arguments.map(<[Value]>::len)));
        let machine = machine.as_mut().map_err(|error| problem(error.clone()))?;
        let mut data = question.data;
        if let (Some(arguments), Ok(members)) = (question.arguments, data.as_object_mut()) {
            members.insert(Value::from(ARGUMENTS), Value::from(arguments.to_vec()));
        }
        machine.set_data(&data).map_err(|error| problem(error.to_string()))?;
        let (result, call) = machine.watch(&question.input, question.now, usize::MAX);
        if let Some(call) = &call {
            self.reached.add(call);
        }
        let value = result.map_err(|error| problem(error.to_string()))?;
        if rule == self.source.entrypoint {
            // What is no decision is an error in the filter.
            machine.policy().decision_of(&value).map_err(|error| problem(error.to_string()))?;
        }
        Ok(value)
    }

    /// Which lines were reached, of each module of the policy.
    pub(super) fn coverage(&self) -> Vec<FileCoverage> {
        let Ok(explainer) = machine(&self.source, &self.limits, &self.source.entrypoint, None) else {
            return Vec::new();
        };
        let modules = self.source.modules.iter();
        modules.map(|module| self.reached.in_module(&module.name, &explainer)).collect()
    }
}

/// A machine whose entry point is this rule; with the number of arguments, this function.
fn machine(source: &PolicySource, limits: &Limits, rule: &str, arguments: Option<usize>) -> Result<Explainer, String> {
    let mut source = source.clone();
    if source.entrypoint != rule {
        let arguments = arguments.map(|number| {
            let arguments: Vec<String> = (0..number).map(|index| format!("data.{ARGUMENTS}[{index}]")).collect();
            format!("({})", arguments.join(", "))
        });
        let rego = format!("package __scbte\nanswer := {rule}{}\n", arguments.unwrap_or_default());
        source.modules.push(Module { name: "__scbte.rego".to_owned(), rego });
        "data.__scbte.answer".clone_into(&mut source.entrypoint);
    }
    Explainer::new(&source, limits, 1).map_err(|errors| {
        let reason = errors.first().map_or_else(String::new, |error| error.refusal.to_string());
        format!("cannot be asked by itself: {reason}")
    })
}

impl Reached {
    fn add(&mut self, call: &Call) {
        for body in &call.bodies {
            let spot = |place: &super::super::Place| (place.module.clone(), place.line, place.column);
            if body.outcome == Outcome::Held {
                self.held.insert(spot(&body.place));
            }
            for condition in &body.conditions {
                if condition.outcome != Outcome::NotReached {
                    self.evaluated.insert(spot(&condition.place));
                }
                condition.calls.iter().for_each(|call| self.add(call));
            }
            body.calls.iter().for_each(|call| self.add(call));
        }
    }

    /// A line is covered when everything that begins on it is: bodies held, conditions were evaluated.
    fn in_module(&self, module: &str, explainer: &Explainer) -> FileCoverage {
        let mut lines = FileCoverage { module: module.to_owned(), ..FileCoverage::default() };
        for body in explainer.outline().bodies().iter().filter(|body| body.place.module == module) {
            let conditions = body.conditions.iter().map(|condition| (&condition.place, &self.evaluated));
            for (place, reached) in conditions.chain([(&body.place, &self.held)]) {
                let spot = (place.module.clone(), place.line, place.column);
                let into = if reached.contains(&spot) { &mut lines.covered } else { &mut lines.not_covered };
                into.insert(place.line);
            }
        }
        lines.covered.retain(|line| !lines.not_covered.contains(line));
        lines
    }
}
