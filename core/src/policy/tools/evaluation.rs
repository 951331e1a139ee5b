//! Evaluating a policy on an `input` that was written by hand.

use super::super::Policy;
use super::super::decision::Decision;
use super::super::error::PolicyEngineError;
use super::super::functions::{self, sorted_for_people};
use super::super::input::{Input, InputKeys};
use super::super::uses::Uses;
use super::super::value::{self, Unusable};
use crate::json;
use crate::time::Timestamp;
use regorus::Value;
use regorus::rvm::vm::VmError;
use serde_json::{Map, Value as Json};

/// What a policy makes of an input.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The decision, as the filter would read it.
    pub decision: Result<Decision, PolicyEngineError>,
    /// The value of the entry point; none where it is undefined or there is none.
    pub value: Option<Json>,
    /// Instructions of the machine that it took; none where the budget was not enough.
    pub instructions: Option<usize>,
}

/// The document cannot be an `input`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It is nested too deeply.
    #[error("the input is nested more than {0} deep")]
    TooDeep(usize),
    /// It has a number that the filter would not give to a policy.
    #[error("the input has the number `{0}`: only whole numbers of up to 64 bits are supported")]
    Number(String),
}

/// Nesting of an input, at most: the claims in it may be as deep as a token's.
const MAX_DEPTH: usize = json::MAX_DEPTH as usize + 2;

/// A value as JSON, as OPA writes it: sets as arrays, in OPA's order; keys that are no strings as their JSON.
fn json_of(value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Set(items) => sorted_for_people(items.iter()).into_iter().map(json_of).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, member)| match key {
                Value::String(name) => (name.as_ref().to_owned(), json_of(member)),
                key => (json_of(key).to_string(), json_of(member)),
            });
            Json::Object(members.collect())
        }
        scalar => serde_json::to_value(scalar).unwrap_or_default(),
    }
}

/// The whole `input` of a request, as the filter would make it.
///
/// # Errors
/// The claims are nested too deeply.
pub fn document(input: &Input<'_>, now: Timestamp) -> Result<Map<String, Json>, PolicyEngineError> {
    let mut uses = Uses::default();
    uses.add_all();
    let built = InputKeys::new(&uses).build(input, now)?;
    match serde_json::to_value(&built) {
        Ok(Json::Object(members)) => Ok(members),
        _ => Err(PolicyEngineError::Evaluation("the input is no object".to_owned())),
    }
}

/// An object as the machine's value.
pub(super) fn input(members: &Map<String, Json>) -> Result<Value, InputError> {
    value::from_object(members, MAX_DEPTH).map_err(|problem| match problem {
        Unusable::TooDeep => InputError::TooDeep(MAX_DEPTH),
        Unusable::NotWhole(number) => InputError::Number(number),
    })
}

impl Policy {
    /// Evaluates the policy on a whole `input`. The filter makes the same of a request, but only with the members
    /// that the policy uses.
    ///
    /// # Errors
    /// The document is nested too deeply, or has a number that is not whole.
    pub fn evaluate_document(
        &mut self,
        document: &Map<String, Json>,
        now: Timestamp,
    ) -> Result<Evaluation, InputError> {
        let mut evaluation = self.evaluate_document_uncounted(document, now)?;
        if !matches!(evaluation.decision, Err(PolicyEngineError::BudgetExhausted(_))) {
            evaluation.instructions = Some(self.count(&input(document)?, now));
        }
        Ok(evaluation)
    }

    /// The same without the instructions, which take many evaluations to find out.
    ///
    /// # Errors
    /// As above.
    pub fn evaluate_document_uncounted(
        &mut self,
        document: &Map<String, Json>,
        now: Timestamp,
    ) -> Result<Evaluation, InputError> {
        let budget = self.max_instructions;
        let result = self.run(&input(document)?, now, budget);
        let value = result.as_ref().ok().filter(|value| **value != Value::Undefined);
        Ok(Evaluation {
            value: value.map(json_of),
            decision: result.map_err(PolicyEngineError::from).and_then(|value| self.rules.read(&value)),
            instructions: None,
        })
    }

    /// What the filter makes of the entry point's value.
    pub(super) fn decision_of(&self, value: &Value) -> Result<Decision, PolicyEngineError> {
        self.rules.read(value)
    }

    /// The value of the entry point, within a budget.
    pub(super) fn run(&mut self, input: &Value, now: Timestamp, budget: usize) -> Result<Value, VmError> {
        self.machine.set_input(input.clone());
        self.machine.set_max_instructions(budget);
        functions::begin(self.max_instructions, now, &self.regexes);
        let result = self.machine.execute_entry_point_by_index(0);
        self.machine.set_max_instructions(self.max_instructions);
        result
    }

    /// The smallest budget that is enough: the machine does not say how much it used.
    fn count(&mut self, input: &Value, now: Timestamp) -> usize {
        let (mut too_little, mut enough) = (0_usize, self.max_instructions);
        while enough.saturating_sub(too_little) > 1 {
            let middle = too_little.midpoint(enough);
            match self.run(input, now, middle) {
                Err(error) if is_exhausted(&error) => too_little = middle,
                _ => enough = middle,
            }
        }
        enough
    }
}

/// Whether the budget was used up.
pub(super) const fn is_exhausted(error: &VmError) -> bool {
    matches!(error, VmError::InstructionLimitExceeded { .. })
}
