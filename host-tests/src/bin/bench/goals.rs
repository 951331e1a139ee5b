//! What the filter is held to, as ratios of neighbours, and whether it was met.

use crate::contender::Contender;
use crate::statistics::{Measured, Spread};
use serde::Serialize;

use Contender::{
    ExtAuthzOpa, MiddlewareOpa, Native, NativeCache, ScbteBadSignature, ScbteFresh, ScbteHot, ScbteNewSvid,
};

/// A goal, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    /// As a reader writes it.
    pub(crate) limit: &'static str,
    pub(crate) measured: Spread,
    pub(crate) met: bool,
    pub(crate) stretch: Option<Stretch>,
}

/// What it would be nice to reach.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stretch {
    pub(crate) limit: f64,
    pub(crate) met: bool,
}

/// Those whose contenders were measured.
pub(crate) fn goals(measured: &Measured) -> Vec<Goal> {
    let added = |one, other| measured.added_ratio(one, other);
    let at_most = |what, limit, value, stretch: Option<f64>, found: Option<Spread>| {
        found.map(|found| Goal {
            what,
            limit,
            measured: found,
            met: found.median <= value,
            stretch: stretch.map(|limit| Stretch { limit, met: found.median <= limit }),
        })
    };
    let at_least = |what, limit, value, found: Option<Spread>| {
        found.map(|found| Goal { what, limit, measured: found, met: found.median >= value, stretch: None })
    };
    [
        at_most("added CPU, hot token ÷ native-cache", "≤ 1.0", 1.0, Some(0.85), added(ScbteHot, NativeCache)),
        at_most(
            "added CPU, fresh token of a known SVID ÷ native",
            "≤ 0.85",
            0.85,
            Some(0.75),
            added(ScbteFresh, Native),
        ),
        at_most("added CPU, new SVID ÷ native", "≤ 1.6", 1.6, Some(1.4), added(ScbteNewSvid, Native)),
        at_most("added CPU, bad signature ÷ fresh token", "≤ 1.0", 1.0, None, added(ScbteBadSignature, ScbteFresh)),
        at_least("added CPU, ext_authz and OPA ÷ hot token", "≥ 8", 8.0, added(ExtAuthzOpa, ScbteHot)),
        at_most(
            "p99, hot token ÷ ext_authz and OPA",
            "< 1.0",
            1.0_f64.next_down(),
            None,
            measured.ratio(ScbteHot, ExtAuthzOpa, |one| one.p99_ms),
        ),
        at_least(
            "requests/s of one core, hot token ÷ middleware and OPA, which serves as well",
            "≥ 20",
            20.0,
            measured.ratio(ScbteHot, MiddlewareOpa, |one| one.requests_per_second),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::measured;

    #[test]
    fn a_goal_is_met_by_the_median() {
        let rounds = |hot: [f64; 3]| {
            let round = |(at, hot): (usize, f64)| {
                [(Contender::None, at, 10.0), (ScbteHot, at, 10.0 + hot), (NativeCache, at, 20.0)]
            };
            let rows: Vec<_> = hot.into_iter().enumerate().flat_map(round).collect();
            let goals = goals(&measured(&rows));
            assert_eq!(goals.len(), 1);
            (goals[0].met, goals[0].stretch.is_some_and(|stretch| stretch.met))
        };
        assert_eq!(rounds([8.0, 8.0, 15.0]), (true, true));
        assert_eq!(rounds([8.0, 9.5, 15.0]), (true, false));
        assert_eq!(rounds([8.0, 10.5, 15.0]), (false, false));
    }
}
