//! The machine's instructions.

use crate::Outcome;
use crate::cases::{Case, NOW, Verdict};
use crate::engine::check;
use crate::round::{Measured, Round};
use scbte_core::policy::Policy;

/// Instructions of each request.
pub(crate) fn play(case: &Case) -> Outcome<Round> {
    let mut policy = Policy::admit(&case.source()?, &case.limits).map_err(|error| error.to_string())?;
    let mut requests = Vec::new();
    for request in &case.requests {
        let found = policy.evaluate_document(&request.document(), NOW).map_err(|error| error.to_string())?;
        let verdict = found.decision.map(Verdict::from).map_err(|error| error.to_string())?;
        check(request.name, &request.verdict, &verdict)?;
        let instructions = found.instructions.ok_or("the budget was not enough")?;
        requests.push(Measured::new(request.name, instructions as f64));
    }
    Ok(Round { requests, ..Round::of(case, "instructions") })
}
