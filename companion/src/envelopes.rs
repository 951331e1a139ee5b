//! Envelopes: signed when what is in them changes, and every minute so that filters know they are fresh.
//!
//! Signed only while the source is alive, but for policies (see [`crate::subject`]); the identity source is asked before
//! what it said is signed again. Never for an empty set, and never with a `seq` beyond this machine's clock: a filter would refuse it, and a process that answers
//! with a huge `seq` must not draw us there.

use crate::clock;
use crate::envelope_key::EnvelopeKey;
use crate::identity::Check;
use crate::state::{self, StateDir};
use crate::subject::{Kind, Subject};
use scbte_core::bundle::Revision;
use scbte_core::envelope::sign::{Signing, seal};
use scbte_core::time::Timestamp;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

/// How old a signature may get of what did not change.
const REFRESH: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the source may take to say whether it still says what it said.
const CHECKED_WITHIN: Duration = Duration::from_secs(10);
/// Least time between two signatures that answer another companion's.
const CONTEST: Duration = Duration::from_secs(5);
/// A stored `seq` further ahead of the clock than this is of a clock that was wrong.
const MOMENT: Duration = Duration::from_secs(1);

/// A signed envelope.
#[derive(Debug)]
pub(crate) struct SignedEnvelope {
    /// The compact JWS.
    pub(crate) text: String,
    /// Its `seq`.
    pub(crate) seq: u64,
    /// When it was signed.
    pub(crate) iat: Timestamp,
    /// The revision of what is in it.
    pub(crate) revision: Revision,
}

/// What the next `seq` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextSeq {
    /// This.
    Sign(u64),
    /// The clock has to pass the last one first.
    Wait(Duration),
    /// This; the last one cannot be right.
    Reset(u64),
}

/// The clock in microseconds, strictly greater than the last `seq`, and never ahead of the clock.
fn next_seq(last: Option<u64>, now: Timestamp) -> NextSeq {
    let now = now.micros();
    match last.map(|last| Duration::from_micros(last.saturating_sub(now))) {
        _ if last.is_none_or(|last| last < now) => NextSeq::Sign(now),
        Some(ahead) if ahead <= MOMENT => NextSeq::Wait(ahead + Duration::from_micros(1)),
        _ => NextSeq::Reset(now),
    }
}

/// Signs envelopes of one kind.
pub(crate) struct Signer {
    key: Arc<EnvelopeKey>,
    target: String,
    dev: bool,
    seq_file: PathBuf,
    last_seq: Option<u64>,
}

impl Signer {
    /// A signer for one target, which goes on after the `seq` in the state folder. `dev`: of a dev trust domain.
    pub(crate) fn new(key: Arc<EnvelopeKey>, target: String, dev: bool, folder: &StateDir, kind: Kind) -> Self {
        let seq_file = folder.file(kind.seq_file());
        let stored = state::read(&seq_file).ok();
        let last_seq = stored.as_ref().and_then(|text| text.trim().parse().ok());
        if stored.is_some() && last_seq.is_none() {
            // What it says instead is not for a log: somebody may have made it a link to a key.
            warn!(file = %seq_file.display(), "ignored: not a number");
        }
        Self { key, target, dev, seq_file, last_seq }
    }

    /// Signs, or says how long the clock needs to pass the last `seq`.
    fn sign<S: Subject>(
        &mut self,
        (payload, revision): (Value, Revision),
        now: Timestamp,
    ) -> Result<SignedEnvelope, Duration> {
        let seq = match next_seq(self.last_seq, now) {
            NextSeq::Sign(seq) => seq,
            NextSeq::Wait(span) => return Err(span),
            NextSeq::Reset(seq) => {
                warn!(last = self.last_seq, now = seq, "the last `seq` is ahead of the clock: ignored");
                seq
            }
        };
        self.remember(seq);
        let signing = Signing { target: &self.target, now, seq, dev: self.dev, kid: self.key.public().kid() };
        let text = seal::<S::Payload>(&signing, (S::KIND.member(), payload), self.key.signing_key());
        Ok(SignedEnvelope { text, seq, iat: now, revision })
    }

    fn remember(&mut self, seq: u64) {
        self.last_seq = Some(seq);
        // Losing it costs nothing while the clock is right, and waiting for the disk would hold up everybody.
        if let Err(error) = state::write_unsynced(&self.seq_file, &format!("{seq}\n")) {
            warn!(%error, "the last `seq` is not stored; the clock alone orders envelopes after a restart");
        }
    }
}

/// Why something may have to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    /// The source said something.
    Changed,
    /// A second went by.
    Look,
    /// An Envoy has another companion's.
    Contest,
}

impl SignedEnvelope {
    /// Whether it is old, or lies ahead of the clock, which was set back then. By the clock and not by time that went
    /// by: filters judge it so.
    fn is_due(&self, now: Timestamp) -> bool {
        now < self.iat || now.since(self.iat) >= REFRESH
    }
}

/// What is there to sign now, if anything.
fn to_sign<S: Subject>(
    trigger: Trigger,
    subject: &S,
    current: Option<&SignedEnvelope>,
    now: Timestamp,
) -> Option<Revision> {
    let may = if trigger == Trigger::Contest { subject.is_live() } else { subject.may_sign() };
    let revision = subject.revision().filter(|_| may)?;
    let is_current = |current: &SignedEnvelope| current.revision == revision && !current.is_due(now);
    // An SVID was renewed, say.
    (trigger == Trigger::Contest || !current.is_some_and(is_current)).then_some(revision)
}

/// Keeps the newest envelope current.
pub(crate) struct Envelopes<S> {
    signer: Signer,
    subject: watch::Receiver<S>,
    checks: Option<mpsc::Sender<Check>>,
    contests: mpsc::Receiver<()>,
    newest: watch::Sender<Option<Arc<SignedEnvelope>>>,
    last_contest: Option<Instant>,
}

/// Where the newest envelope is found.
pub(crate) type Newest = watch::Receiver<Option<Arc<SignedEnvelope>>>;

impl<S: Subject> Envelopes<S> {
    /// Signs a first envelope; with where the newest one is found, and where to say that an Envoy has another
    /// companion's. `checks`: where to ask whether what was said still holds, if that can change unheard.
    pub(crate) async fn start(
        signer: Signer,
        subject: watch::Receiver<S>,
        checks: Option<mpsc::Sender<Check>>,
    ) -> (Self, Newest, mpsc::Sender<()>) {
        let (newest, receiver) = watch::channel(None);
        let (contest, contests) = mpsc::channel(1);
        let mut envelopes = Self { signer, subject, checks, contests, newest, last_contest: None };
        envelopes.sign(Trigger::Changed).await;
        (envelopes, receiver, contest)
    }

    /// Signs whenever there is a reason to.
    pub(crate) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let trigger = tokio::select! {
                changed = self.subject.changed() => match changed {
                    Ok(()) => Trigger::Changed,
                    Err(_) => return,
                },
                _ = look.tick() => Trigger::Look,
                Some(()) = self.contests.recv() => Trigger::Contest,
            };
            if trigger != Trigger::Contest || self.may_contest() {
                self.act(trigger).await;
            }
        }
    }

    /// Signs what has just been said; what was said before, only if the source says it still. Otherwise one that hangs
    /// would bring back what another companion's has taken out.
    async fn act(&mut self, trigger: Trigger) {
        if trigger == Trigger::Changed || (self.is_wanted(trigger) && self.is_still_so().await) {
            self.sign(trigger).await;
        }
    }

    fn is_wanted(&self, trigger: Trigger) -> bool {
        let (subject, newest) = (self.subject.borrow(), self.newest.borrow());
        to_sign(trigger, &*subject, newest.as_deref(), clock::now()).is_some()
    }

    async fn is_still_so(&self) -> bool {
        let Some(checks) = &self.checks else { return true };
        let (check, answer) = oneshot::channel();
        checks.try_send(check).is_ok() && matches!(timeout(CHECKED_WITHIN, answer).await, Ok(Ok(())))
    }

    /// Two companions that know different things must not outbid each other without pause.
    fn may_contest(&mut self) -> bool {
        let may = self.last_contest.is_none_or(|last| last.elapsed() >= CONTEST);
        if may {
            self.last_contest = Some(Instant::now());
        }
        may
    }

    async fn sign(&mut self, trigger: Trigger) {
        let subject = self.subject.borrow_and_update().clone();
        let current = self.newest.borrow().clone();
        let Some(revision) = to_sign(trigger, &subject, current.as_deref(), clock::now()) else { return };
        let Some(payload) = subject.payload() else { return };
        let envelope = match self.signer.sign::<S>((payload, revision), clock::now()) {
            Ok(envelope) => envelope,
            Err(wait) => {
                tokio::time::sleep(wait).await;
                let Some(payload) = subject.payload() else { return };
                // Whoever set the clock back further than that is answered by the next trigger.
                let Ok(envelope) = self.signer.sign::<S>((payload, revision), clock::now()) else { return };
                envelope
            }
        };
        let what = S::KIND.name();
        match current.is_some_and(|current| current.revision == envelope.revision) {
            true => debug!(seq = envelope.seq, "{what} signed again"),
            false => info!(seq = envelope.seq, revision = %envelope.revision, "new {what} signed"),
        }
        self.newest.send_replace(Some(Arc::new(envelope)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Bundles, Identity};
    use crate::policy_source::{PolicyState, ReadyPolicy};
    use scbte_core::bundle::BundleSet;
    use scbte_core::envelope::{Envelope, Trust};
    use scbte_core::signature::InModule;
    use serde_json::{Map, json};

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn bundles(json: Value) -> Arc<Bundles> {
        Arc::new(Bundles::new(json.as_object().cloned().unwrap_or_else(Map::new)).unwrap())
    }

    fn one() -> Arc<Bundles> {
        bundles(json!({"cluster.local": {"keys": []}}))
    }

    fn one_payload() -> (Value, Revision) {
        (one().json().clone().into(), one().revision())
    }

    fn signer(folder: &StateDir) -> (Signer, Trust) {
        let (key, _) = EnvelopeKey::load_or_create(folder).unwrap();
        let trust = Trust {
            keys: vec![key.public().clone()],
            target: "demo".into(),
            allow_dev: true,
            skew: Duration::from_secs(30),
        };
        (Signer::new(Arc::new(key), "demo".into(), true, folder, Kind::Bundle), trust)
    }

    #[test]
    fn seq_is_the_clock_and_grows() {
        let now = NOW.micros();
        for (last, expected) in [
            (None, NextSeq::Sign(now)),
            (Some(0), NextSeq::Sign(now)),
            (Some(now - 1), NextSeq::Sign(now)),
            (Some(now), NextSeq::Wait(Duration::from_micros(1))),
            (Some(now + 999), NextSeq::Wait(Duration::from_micros(1000))),
            (Some(now + 1_000_000), NextSeq::Wait(Duration::from_micros(1_000_001))),
            (Some(now + 1_000_001), NextSeq::Reset(now)),
            (Some(u64::MAX), NextSeq::Reset(now)),
        ] {
            assert_eq!(next_seq(last, NOW), expected, "{last:?}");
        }
    }

    #[test]
    fn an_envelope_is_one_that_the_filter_takes() {
        let root = tempfile::tempdir().unwrap();
        let folder = StateDir::create(root.path()).unwrap();
        let (mut signer, trust) = signer(&folder);
        let signed = signer.sign::<Identity>(one_payload(), NOW).unwrap();
        let opened: Envelope<BundleSet> = Envelope::open(&signed.text, &trust, &InModule, NOW).unwrap();
        assert_eq!((opened.seq, opened.iat, opened.revision()), (signed.seq, NOW, signed.revision));
        let strict = Trust { allow_dev: false, ..trust };
        assert!(Envelope::<BundleSet>::open(&signed.text, &strict, &InModule, NOW).is_err(), "dev is marked");
    }

    #[test]
    fn seq_goes_on_after_a_restart_and_survives_a_lost_file() {
        let root = tempfile::tempdir().unwrap();
        let folder = StateDir::create(root.path()).unwrap();
        let first = signer(&folder).0.sign::<Identity>(one_payload(), NOW).unwrap();
        assert_eq!(state::read(&folder.file(Kind::Bundle.seq_file())).unwrap().trim(), first.seq.to_string());

        assert_eq!(signer(&folder).0.sign::<Identity>(one_payload(), NOW).unwrap_err(), Duration::from_micros(1));
        let later = NOW.plus(Duration::from_micros(1));
        assert_eq!(signer(&folder).0.sign::<Identity>(one_payload(), later).unwrap().seq, first.seq + 1);

        for text in ["garbage", "", "99999999999999999999", &u64::MAX.to_string()] {
            state::write_unsynced(&folder.file(Kind::Bundle.seq_file()), text).unwrap();
            assert_eq!(signer(&folder).0.sign::<Identity>(one_payload(), NOW).unwrap().seq, NOW.micros(), "{text}");
        }
        state::remove(&folder.file(Kind::Bundle.seq_file())).unwrap();
        assert_eq!(signer(&folder).0.sign::<Identity>(one_payload(), NOW).unwrap().seq, NOW.micros());
    }

    #[test]
    fn only_what_is_live_and_not_empty_is_signed() {
        let root = tempfile::tempdir().unwrap();
        let folder = StateDir::create(root.path()).unwrap();
        let same = signer(&folder).0.sign::<Identity>(one_payload(), NOW).unwrap();
        let other = bundles(json!({"other": {"keys": []}}));
        use Trigger::{Changed, Contest, Look};
        let (soon, later) = (NOW.plus(Duration::from_secs(59)), NOW.plus(Duration::from_secs(60)));
        for (name, trigger, bundles, live, current, signs) in [
            ("first", Changed, Some(one()), true, None, true),
            ("another bundle", Changed, Some(other), true, Some(&same), true),
            ("another SVID", Changed, Some(one()), true, Some(&same), false),
            ("a second", Look, Some(one()), true, Some(&same), false),
            ("a contest", Contest, Some(one()), true, Some(&same), true),
            ("a contest, dead", Contest, Some(one()), false, Some(&same), false),
            ("a change, dead", Changed, Some(one()), false, None, false),
            ("an empty set", Changed, Some(bundles(json!({}))), true, None, false),
            ("nothing yet", Look, None, true, None, false),
        ] {
            let identity = Identity { bundles, live, ..Identity::default() };
            assert_eq!(to_sign(trigger, &identity, current, soon).is_some(), signs, "{name}");
        }
        // A policy whose source is in trouble is kept fresh, and fights for nothing.
        let policy = ReadyPolicy { json: Value::Null, revision: same.revision, digest: String::new() };
        let good = PolicyState { policy: Some(Arc::new(policy)), ..PolicyState::default() };
        let troubled = PolicyState { trouble: Some("away".into()), ..good.clone() };
        let none = PolicyState { policy: None, ..troubled.clone() };
        for (name, trigger, state, now, signs) in [
            ("well", Look, &good, later, true),
            ("well, soon", Look, &good, soon, false),
            ("well, a contest", Contest, &good, soon, true),
            ("in trouble", Look, &troubled, later, true),
            ("in trouble, just now", Changed, &troubled, soon, false),
            ("in trouble, a contest", Contest, &troubled, later, false),
            ("nothing yet", Look, &none, later, false),
        ] {
            assert_eq!(to_sign(trigger, state, Some(&same), now).is_some(), signs, "policy: {name}");
        }
        let live = Identity { bundles: Some(one()), live: true, ..Identity::default() };
        for trigger in [Changed, Look] {
            assert!(to_sign(trigger, &live, Some(&same), later).is_some(), "a minute");
            assert!(
                to_sign(trigger, &live, Some(&same), NOW.minus(Duration::from_secs(1))).is_some(),
                "the clock was set back"
            );
            assert!(
                to_sign(trigger, &Identity { live: false, ..live.clone() }, Some(&same), later).is_none(),
                "a minute, dead"
            );
        }
    }
}
