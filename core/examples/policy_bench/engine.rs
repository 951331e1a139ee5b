//! What decides, and a round of measuring it.

use crate::Outcome;
use crate::cases::{Case, Verdict};
use crate::memory;
use crate::round::{Measured, Memory, Round};
use crate::stopwatch;
use std::time::{Duration, Instant};

/// An engine with a policy and the requests of a case; those are named by their place in the case.
pub(crate) trait Engine<'a>: Sized {
    const NAME: &'static str;

    /// Makes ready whatever can be made ready before a request comes.
    fn load(case: &'a Case) -> Outcome<Self>;

    fn verdict(&mut self, request: usize) -> Outcome<Verdict>;

    /// Decides, for the time that it takes.
    fn evaluate(&mut self, request: usize);
}

pub(crate) fn play<'a, E: Engine<'a>>(case: &'a Case, time: Duration) -> Outcome<Round> {
    let before = memory::most();
    let start = Instant::now();
    let mut engine = E::load(case)?;
    let load = start.elapsed();
    for (number, request) in case.requests.iter().enumerate() {
        let verdict = engine.verdict(number)?;
        check(request.name, &request.verdict, &verdict)?;
    }
    let times = stopwatch::time(|request| engine.evaluate(request), case.requests.len(), time);
    let requests = case.requests.iter().zip(times);
    Ok(Round {
        requests: requests.map(|(request, time)| Measured::new(request.name, time)).collect(),
        load_ms: Some(load.as_secs_f64() * 1e3),
        memory: Some(Memory { before, most: memory::most() }),
        ..Round::of(case, E::NAME)
    })
}

/// What wrong decisions cost is of no interest.
pub(crate) fn check(request: &str, expected: &Verdict, found: &Verdict) -> Outcome<()> {
    if expected == found {
        return Ok(());
    }
    Err(format!("the request `{request}` was decided {found:?}, expected {expected:?}"))
}
