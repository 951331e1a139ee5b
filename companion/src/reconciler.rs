//! Keeps one Envoy's trust bundle or policy current, level-triggered: every second, and at once when one was signed, it
//! looks at what the Envoy has and does what brings it closer. Each Envoy has a task for each of the two; none waits for
//! another.

use crate::clock;
use crate::control_client::{ControlClient, ControlError, Held};
use crate::envelopes::{Newest, SignedEnvelope};
use crate::metrics::{Metrics, PushResult};
use crate::subject::Subject;
use axum::http::StatusCode;
use scbte_core::time::Timestamp;
use scbte_core::token::TokenRules;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// How often an Envoy is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an envelope that was refused is not offered again, and least time between two contests.
const PAUSE: Duration = Duration::from_secs(5);

/// What to do about an Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It has what it should have.
    Nothing,
    /// It is behind.
    Push,
    /// It has another companion's, and ours is alive: sign a newer one.
    Contest,
    /// It has another companion's, which may know better: our source was not heard from since.
    Yield,
}

/// How far what we have can be trusted to be the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Knowledge {
    /// Whether our source is alive.
    live: bool,
    /// When our source was last known to have this (microseconds): what was signed since may be newer. None: our own
    /// `seq` decides.
    until: Option<u64>,
}

/// Compares what an Envoy has with our newest envelope. One that lies ahead of the clock orders nothing, neither here nor
/// in the filter: whoever signed it had a clock that was wrong.
fn next_step(own: &SignedEnvelope, theirs: &Held, knowledge: Knowledge, now: Timestamp) -> Step {
    let same = theirs.revision.as_deref() == Some(own.revision.to_string().as_str());
    let horizon = now.plus(TokenRules::default().clock_skew).micros();
    match theirs.seq {
        Some(seq) if seq > horizon => Step::Push,
        Some(seq) if same && seq >= own.seq => Step::Nothing,
        Some(_) if same => Step::Push,
        Some(seq) if knowledge.until.is_some_and(|until| seq >= until) => Step::Yield,
        Some(seq) if seq >= own.seq => {
            if knowledge.live {
                Step::Contest
            } else {
                Step::Yield
            }
        }
        _ => Step::Push,
    }
}

/// How it stands with an Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// Nothing was signed yet.
    #[default]
    Waiting,
    /// It has the newest.
    InSync,
    /// It has another companion's.
    Contested,
    /// It does not answer.
    Away(String),
    /// It refuses the envelope.
    Refuses(String),
}

impl TargetState {
    /// A word for it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InSync => "in_sync",
            Self::Contested => "contested",
            Self::Away(_) => "away",
            Self::Refuses(_) => "refuses",
        }
    }

    /// What exactly is wrong, if something is.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Away(detail) | Self::Refuses(detail) => Some(detail),
            Self::Waiting | Self::InSync | Self::Contested => None,
        }
    }
}

/// Looks after what one Envoy has of one kind.
pub(crate) struct Reconciler<S> {
    client: ControlClient,
    newest: Newest,
    subject: watch::Receiver<S>,
    contest: mpsc::Sender<()>,
    metrics: Arc<Metrics>,
    state: watch::Sender<TargetState>,
    refused: Option<(u64, Instant)>,
    last_contest: Option<Instant>,
}

/// What all reconcilers of one kind share.
#[derive(Clone)]
pub(crate) struct Shared<S> {
    /// Where the newest envelope is found.
    pub(crate) newest: Newest,
    /// What its source says.
    pub(crate) subject: watch::Receiver<S>,
    /// Where to say that an Envoy has another companion's.
    pub(crate) contest: mpsc::Sender<()>,
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
}

impl<S: Subject> Reconciler<S> {
    /// A reconciler, and where to see how it stands.
    pub(crate) fn new(client: ControlClient, shared: Shared<S>) -> (Self, watch::Receiver<TargetState>) {
        let Shared { newest, subject, contest, metrics } = shared;
        let (state, receiver) = watch::channel(TargetState::Waiting);
        (Self { client, newest, subject, contest, metrics, state, refused: None, last_contest: None }, receiver)
    }

    /// Goes on until nobody signs any more.
    pub(crate) async fn run(mut self) {
        loop {
            let newest = self.newest.borrow_and_update().clone();
            if let Some(envelope) = newest {
                let state = self.reconcile(&envelope).await;
                self.tell(state);
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                changed = self.newest.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn reconcile(&mut self, envelope: &SignedEnvelope) -> TargetState {
        let theirs = match self.client.status().await {
            Ok(theirs) => theirs,
            Err(error) => return away(&error),
        };
        let knowledge = self.knowledge();
        let held = S::held(&theirs);
        match next_step(envelope, held, knowledge, clock::now()) {
            Step::Nothing => held.objection().map_or(TargetState::InSync, TargetState::Refuses),
            Step::Push => self.push(envelope).await,
            Step::Contest => {
                self.contest();
                TargetState::Contested
            }
            Step::Yield => TargetState::Contested,
        }
    }

    fn knowledge(&self) -> Knowledge {
        let subject = self.subject.borrow();
        Knowledge { live: subject.is_live(), until: subject.known().map(Timestamp::micros) }
    }

    async fn push(&mut self, envelope: &SignedEnvelope) -> TargetState {
        // An Envoy that refused an envelope will refuse it again: once a second would be noise. One whose VM is just
        // reloading answers 503 and is asked again at once.
        if self.refused.is_some_and(|(seq, at)| seq == envelope.seq && at.elapsed() < PAUSE) {
            return self.state.borrow().clone();
        }
        self.refused = None;
        let (result, state) = match self.client.put(S::KIND, &envelope.text).await {
            Ok(()) => (PushResult::Ok, TargetState::InSync),
            Err(error @ ControlError::Refused { status, .. }) => {
                self.refused = status.is_client_error().then(|| (envelope.seq, Instant::now()));
                let conflict = status == StatusCode::CONFLICT;
                let result = if conflict { PushResult::Conflict } else { PushResult::Refused };
                (result, TargetState::Refuses(error.to_string()))
            }
            Err(error) => (PushResult::Unreachable, away(&error)),
        };
        self.metrics.push(S::KIND, result);
        debug!(target = %self.client.endpoint(), seq = envelope.seq, ?result, "{} pushed", S::KIND.name());
        state
    }

    fn contest(&mut self) {
        if self.last_contest.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.last_contest = Some(Instant::now());
        self.metrics.conflict(S::KIND);
        // When one is waiting already, that one will do.
        let _ = self.contest.try_send(());
    }

    /// Logs a state once, when it begins.
    fn tell(&self, state: TargetState) {
        let was = self.state.send_replace(state.clone());
        if was.label() == state.label() {
            return;
        }
        let (envoy, what) = (self.client.endpoint(), S::KIND.name());
        match &state {
            TargetState::Waiting => {}
            TargetState::InSync => info!(%envoy, "Envoy has the newest {what}"),
            TargetState::Contested => warn!(%envoy, "Envoy has another companion's {what}"),
            TargetState::Away(why) => warn!(%envoy, waiting = what, %why, "Envoy does not answer; trying every second"),
            TargetState::Refuses(why) => warn!(%envoy, %why, "Envoy refuses the {what}"),
        }
    }
}

fn away(error: &ControlError) -> TargetState {
    TargetState::Away(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use scbte_core::bundle::Revision;

    #[test]
    fn what_is_done_about_an_envoy() {
        let revision = Revision::of(&serde_json::json!({"a": 1})).unwrap();
        let own = SignedEnvelope { text: String::new(), seq: 100, iat: Timestamp::default(), revision };
        let (same, other) = (Some(revision.to_string()), Some("other".to_owned()));
        let (live, dead) = (Knowledge { live: true, until: None }, Knowledge { live: false, until: None });
        let since = |until| Knowledge { live: false, until: Some(until) };
        let polled = |until| Knowledge { live: true, until: Some(until) };
        for (name, seq, revision, knowledge, expected) in [
            ("has nothing", None, &None, live, Step::Push),
            ("has nothing, we are stale", None, &None, dead, Step::Push),
            ("behind, same", Some(99), &same, live, Step::Push),
            ("behind, another", Some(99), &other, live, Step::Push),
            ("behind, we are stale", Some(99), &other, dead, Step::Push),
            ("has ours", Some(100), &same, live, Step::Nothing),
            ("ahead, same", Some(101), &same, live, Step::Nothing),
            ("ahead, same, we are stale", Some(101), &same, dead, Step::Nothing),
            ("ahead, another", Some(101), &other, live, Step::Contest),
            ("ahead of the clock", Some(30_000_101), &same, live, Step::Push),
            ("ahead by what clocks may differ", Some(30_000_100), &other, live, Step::Contest),
            ("far ahead, another", Some(u64::MAX), &other, live, Step::Push),
            ("as new, another", Some(100), &other, live, Step::Contest),
            ("ahead, no revision", Some(101), &None, live, Step::Contest),
            ("ahead, another, we are stale", Some(101), &other, dead, Step::Yield),
            // A policy is signed again while its source is in trouble.
            ("in trouble, has nothing", None, &None, since(50), Step::Push),
            ("in trouble, has an older one of ours", Some(99), &same, since(50), Step::Push),
            ("in trouble, signed before", Some(49), &other, since(50), Step::Push),
            ("in trouble, signed since", Some(50), &other, since(50), Step::Yield),
            ("in trouble, signed after ours", Some(101), &other, since(200), Step::Yield),
            // And between two looks at its server.
            ("signed since it was asked", Some(99), &other, polled(50), Step::Yield),
            ("signed after ours, since it was asked", Some(101), &other, polled(50), Step::Yield),
            ("signed after ours, before it was asked", Some(101), &other, polled(200), Step::Contest),
            ("signed before ours and before it was asked", Some(49), &other, polled(50), Step::Push),
        ] {
            let theirs = Held { seq, revision: revision.clone(), ..Held::default() };
            assert_eq!(next_step(&own, &theirs, knowledge, Timestamp::from_micros(100)), expected, "{name}");
        }
    }
}
