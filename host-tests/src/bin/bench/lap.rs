//! The order of a round: each contender near `none` and near its peer, since what else the machine does drifts. The
//! filter's are beside theirs; those that ask an OPA follow the group of theirs, `scbte-hot`.
//!
//! Every second round runs backwards. What a contender adds is taken over the mean of the two `none` around it.

use crate::contender::Contender;

use Contender::{
    ExtAuthzOpa, MiddlewareOpa, Native, NativeCache, ScbteBadSignature, ScbteFresh, ScbteHot, ScbteNewSvid,
    ScbtePolicyDenied, TrivialWasm,
};

/// Between two groups, and at both ends, runs `none`.
const GROUPS: [&[Contender]; 3] = [
    &[TrivialWasm, NativeCache, ScbteHot, ScbtePolicyDenied],
    &[ExtAuthzOpa, MiddlewareOpa],
    &[ScbteBadSignature, ScbteFresh, Native, ScbteNewSvid],
];

/// What runs in a round, in order.
pub(crate) fn lap(round: usize, wanted: &[Contender]) -> Vec<Contender> {
    let chosen = |group: &[Contender]| group.iter().copied().filter(|one| wanted.contains(one)).collect::<Vec<_>>();
    let groups = GROUPS.iter().map(|group| chosen(group)).filter(|group| !group.is_empty());
    let mut lap = vec![Contender::None];
    for group in groups {
        lap.extend(group);
        lap.push(Contender::None);
    }
    if round % 2 == 1 {
        lap.reverse();
    }
    lap
}

/// What was asked for, with the peers; `none` runs always.
pub(crate) fn with_peers(only: &[Contender]) -> Vec<Contender> {
    let asked = |one: &Contender| only.is_empty() || only.contains(one);
    let peers: Vec<_> = Contender::ALL.into_iter().filter(asked).filter_map(Contender::peer).collect();
    Contender::ALL.into_iter().filter(|one| asked(one) || peers.contains(one) || *one == Contender::None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lap_has_everyone_between_two_nones() {
        let lap = lap(0, &Contender::ALL);
        assert_eq!((lap.first(), lap.last()), (Some(&Contender::None), Some(&Contender::None)));
        for one in Contender::ALL {
            let times = lap.iter().filter(|found| **found == one).count();
            assert_eq!(times, if one == Contender::None { GROUPS.len() + 1 } else { 1 }, "{one:?}");
        }
    }

    #[test]
    fn the_filters_are_beside_their_peers_and_others_near() {
        let lap = lap(1, &Contender::ALL);
        let at = |one| lap.iter().position(|found| *found == one).unwrap();
        for one in Contender::ALL {
            let Some(peer) = one.peer() else { continue };
            let near = if matches!(one, ExtAuthzOpa | MiddlewareOpa) { 4 } else { 1 };
            assert!(at(one).abs_diff(at(peer)) <= near, "{one:?}");
        }
    }

    #[test]
    fn peers_run_with_those_that_were_asked_for() {
        assert_eq!(with_peers(&[ScbteHot]), [Contender::None, ScbteHot, NativeCache]);
        assert_eq!(lap(0, &with_peers(&[ScbteHot])), [Contender::None, NativeCache, ScbteHot, Contender::None]);
    }
}
