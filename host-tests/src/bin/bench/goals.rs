//! What the filter is held to, as ratios to others, and whether it was met.

use crate::contender::Contender;
use crate::statistics::{Measured, Spread};
use serde::{Serialize, Serializer};
use std::fmt;

use Contender::{
    ExtAuthzOpa, MiddlewareOpa, Native, NativeCache, ScbteBadSignature, ScbteFresh, ScbteHot, ScbteNewSvid,
};
use Limit::{AtLeast, AtMost, Below};

/// A goal, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) limit: Limit,
    /// None where a contender is missing.
    pub(crate) measured: Option<Spread>,
    pub(crate) met: Option<bool>,
    pub(crate) stretch: Option<Stretch>,
}

/// What it would be nice to reach.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stretch {
    pub(crate) limit: f64,
    pub(crate) met: bool,
}

/// What a median is held to; as JSON a text, as a reader writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

impl Limit {
    fn holds(self, found: Spread) -> bool {
        match self {
            Self::AtMost(limit) => found.median <= limit,
            Self::Below(limit) => found.median < limit,
            Self::AtLeast(limit) => found.median >= limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit:?}"),
            Self::Below(limit) => write!(f, "< {limit:?}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All of them.
pub(crate) fn goals(measured: &Measured) -> [Goal; 7] {
    let added = |one, other| measured.added_ratio(one, other);
    let p99 = measured.ratio(ScbteHot, ExtAuthzOpa, |one| one.p99_ms);
    let of_one_core = measured.ratio(ScbteHot, MiddlewareOpa, |one| one.requests_per_second);
    [
        goal("added CPU, hot token ÷ native-cache", AtMost(1.0), Some(0.85), added(ScbteHot, NativeCache)),
        goal("added CPU, fresh token of a known SVID ÷ native", AtMost(0.85), Some(0.75), added(ScbteFresh, Native)),
        goal("added CPU, new SVID ÷ native", AtMost(1.6), Some(1.4), added(ScbteNewSvid, Native)),
        goal("added CPU, bad signature ÷ fresh token", AtMost(1.0), None, added(ScbteBadSignature, ScbteFresh)),
        goal("added CPU, ext_authz and OPA ÷ hot token", AtLeast(8.0), None, added(ExtAuthzOpa, ScbteHot)),
        goal("p99, hot token ÷ ext_authz and OPA", Below(1.0), None, p99),
        goal(
            "requests/s of one core, hot token ÷ middleware and OPA (the middleware's server serves the answer, too; \
             Envoy's is a direct response)",
            AtLeast(20.0),
            None,
            of_one_core,
        ),
    ]
}

fn goal(what: &'static str, limit: Limit, stretch: Option<f64>, measured: Option<Spread>) -> Goal {
    let stretch = measured.zip(stretch).map(|(found, limit)| Stretch { limit, met: AtMost(limit).holds(found) });
    Goal { what, limit, measured, met: measured.map(|found| limit.holds(found)), stretch }
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
            assert_eq!(goals.iter().filter(|goal| goal.measured.is_some()).count(), 1);
            (goals[0].met == Some(true), goals[0].stretch.is_some_and(|stretch| stretch.met))
        };
        assert_eq!(rounds([8.0, 8.0, 15.0]), (true, true));
        assert_eq!(rounds([8.0, 9.5, 15.0]), (true, false));
        assert_eq!(rounds([8.0, 10.5, 15.0]), (false, false));
    }
    #[test]
    fn a_limit_is_written_and_held_by_the_same_number() {
        let found = |median| Spread { min: 0.0, median, max: 100.0 };
        for (limit, text, held, broken) in
            [(AtMost(1.0), "≤ 1.0", 1.0, 1.01), (Below(1.0), "< 1.0", 0.99, 1.0), (AtLeast(8.0), "≥ 8", 8.0, 7.99)]
        {
            assert_eq!((limit.to_string(), serde_json::to_value(limit).unwrap()), (text.into(), text.into()));
            assert_eq!((limit.holds(found(held)), limit.holds(found(broken))), (true, false), "{text}");
        }
    }
}
