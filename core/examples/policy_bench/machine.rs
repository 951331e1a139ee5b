//! The filter's own engine.

use crate::Outcome;
use crate::cases::{Case, NOW, Verdict};
use crate::engine::Engine;
use scbte_core::policy::{Policy, PolicySource};
use std::hint::black_box;

/// A policy as the filter runs it. The filter makes an input of what it read from the request and the token; so does
/// this, for each evaluation.
pub(crate) struct Machine<'a> {
    policy: Policy,
    case: &'a Case,
    /// The filter keeps it, too: in its configuration or in the newest envelope.
    _source: PolicySource,
}

impl<'a> Engine<'a> for Machine<'a> {
    const NAME: &'static str = "machine";

    fn load(case: &'a Case) -> Outcome<Self> {
        let source = case.source()?;
        let policy = Policy::admit(&source, &case.limits).map_err(|error| error.to_string())?;
        Ok(Self { policy, case, _source: source })
    }

    fn verdict(&mut self, request: usize) -> Outcome<Verdict> {
        let input = self.case.requests[request].input();
        self.policy.evaluate(&input, NOW).map(Verdict::from).map_err(|error| error.to_string())
    }

    fn evaluate(&mut self, request: usize) {
        let input = self.case.requests[request].input();
        drop(black_box(self.policy.evaluate(black_box(&input), NOW)));
    }
}
