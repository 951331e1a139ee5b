//! Policy: Rego that is compiled once, checked before it runs, and safe to evaluate on what a client sends.
//!
//! Policies run on regorus' virtual machine (RVM). The machine is fast, but where it is unsure it answers "undefined",
//! and behind a `not` that opens a door. So a policy is admitted first: [`Policy::admit`] refuses whatever the machine
//! would evaluate differently from OPA, could not bound, or could not evaluate at all (see `admission`), and puts
//! back the checks for undefined values that its compiler leaves out (see `program`).
//!
//! Evaluation never allows by mistake: undefined and `false` deny, and an error, an exhausted instruction budget or a
//! result that is no decision is a [`PolicyEngineError`].

mod admission;
mod decision;
mod error;
mod functions;
mod input;
mod limits;
mod program;
mod query;
mod source;
mod spelling;
#[cfg(feature = "policy-tools")]
pub mod tools;
mod uses;
mod value;

pub use decision::Decision;
pub use error::{AdmissionError, Place, PolicyEngineError, Refusal};
pub use functions::Stop;
pub use input::Input;
pub use limits::Limits;
pub use source::{Module, PolicySource, RegoVersion};
pub use uses::{Member, Uses};

use crate::time::Timestamp;
use admission::Findings;
use decision::DecisionRules;
use functions::Regexes;
use input::InputKeys;
use program::Program;
use regorus::rvm::RegoVM;
use std::sync::Arc;

/// An admitted policy, ready to decide. It belongs to one thread: its machine is reused from request to request.
#[derive(Debug)]
pub struct Policy {
    digest: String,
    uses: Uses,
    regexes: Arc<Regexes>,
    input: InputKeys,
    rules: DecisionRules,
    max_instructions: usize,
    machine: RegoVM,
}

impl Policy {
    /// Checks, compiles and loads a policy.
    ///
    /// # Errors
    /// The first reason why the policy may not run, with its place in the source where there is one.
    pub fn admit(source: &PolicySource, limits: &Limits) -> Result<Self, AdmissionError> {
        let unexplained = || AdmissionError::from(Refusal::Compile("no reason was found".to_owned()));
        Self::admit_or_tell(source, limits, 1).map_err(|found| found.into_iter().next().unwrap_or_else(unexplained))
    }

    /// Checks, compiles and loads a policy, and tells of everything that is wrong with it.
    ///
    /// # Errors
    /// Up to `most` reasons why the policy may not run; the first is the one that [`Self::admit`] gives.
    pub fn admit_or_tell(source: &PolicySource, limits: &Limits, most: usize) -> Result<Self, Vec<AdmissionError>> {
        let mut found = Findings::new(most);
        let policy = Self::load(source, limits, &mut found);
        found.finish(policy)
    }

    fn load(source: &PolicySource, limits: &Limits, found: &mut Findings) -> Option<Self> {
        let compilable = admission::check(source, limits, found)?;
        let Program { bytecode, uses } = program::compile(&compilable, &source.entrypoint, found)?;
        let mut machine = RegoVM::new();
        machine.set_max_instructions(limits.max_instructions);
        machine.load_program(bytecode);
        found.note(machine.set_data(compilable.data).map_err(|error| Refusal::Data(error.to_string())))?;
        Some(Self {
            digest: source.digest(),
            input: InputKeys::new(&uses),
            uses,
            regexes: Arc::new(compilable.regexes),
            rules: DecisionRules::new(&limits.token_header),
            max_instructions: limits.max_instructions,
            machine,
        })
    }

    /// The [`PolicySource::digest`] of what was admitted.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Which members of `input` the policy can read; the others need not be fetched.
    #[must_use]
    pub const fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Decides about one request.
    ///
    /// # Errors
    /// The policy gave no decision. The caller must refuse the request.
    #[inline]
    pub fn evaluate(&mut self, input: &Input<'_>, now: Timestamp) -> Result<Decision, PolicyEngineError> {
        self.machine.set_input(self.input.build(input, now)?);
        functions::begin(self.max_instructions, now, &self.regexes);
        let result = self.machine.execute_entry_point_by_index(0)?;
        self.rules.read(&result)
    }
}

#[cfg(test)]
mod tests;
