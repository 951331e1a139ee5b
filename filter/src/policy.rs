//! The policy in force, from the configuration or from the companion's policy envelopes, and the one to watch beside it.
//!
//! A policy that admission refuses never replaces one that runs. The one to watch (`policy.shadow`) is evaluated on the
//! same input and decides nothing: where it would have decided otherwise is counted and logged.

use crate::host;
use crate::store::{Refused, Store};
use proxy_wasm::types::LogLevel;
use scbte_core::bundle::Revision;
use scbte_core::config::{DataConfig, PolicyConfig};
use scbte_core::envelope::{AuthoredPolicy, Envelope, Order, PolicyPayload};
use scbte_core::policy::{AdmissionError, Decision, Input, Limits, Member, Policy, PolicyEngineError, PolicySource};
use scbte_core::signature::SignatureVerifier;
use scbte_core::time::Timestamp;
use std::time::Duration;

/// The kind of a policy store in shared data.
pub(crate) const KIND: &str = "policy";

/// Which policy decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PolicyVersion<'a> {
    /// What its author calls it.
    pub(crate) revision: Option<&'a str>,
    /// What it is.
    pub(crate) digest: Option<&'a str>,
}

/// How a policy to watch compares with the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShadowResult {
    /// Both allow, or both deny.
    Agrees,
    /// It would have allowed what was denied.
    WouldAllow,
    /// It would have denied what was allowed.
    WouldDeny,
    /// It came to no decision.
    Fails,
}

impl ShadowResult {
    /// The label `result`, and the log's word.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Agrees => "agree",
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
            Self::Fails => "error",
        }
    }
}

/// What a policy to watch would have done otherwise.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// What.
    pub(crate) result: ShadowResult,
    /// Its reason, or its error.
    pub(crate) detail: String,
}

/// Policies that run together.
struct Running {
    policy: Policy,
    shadow: Option<Policy>,
    /// What its author calls it.
    name: Option<String>,
    /// Of the envelope that it came in.
    revision: Option<Revision>,
    /// Why there is no policy to watch, though one was given.
    trouble: Option<String>,
}

impl Running {
    fn admit(policy: &AuthoredPolicy, revision: Option<Revision>, limits: &Limits) -> Result<Self, AdmissionError> {
        let name = policy.revision.clone();
        Ok(Self { policy: Policy::admit(&policy.source, limits)?, shadow: None, name, revision, trouble: None })
    }

    fn watch(&mut self, shadow: &AuthoredPolicy, limits: &Limits) -> Result<(), AdmissionError> {
        self.shadow = Some(Policy::admit(&shadow.source, limits)?);
        Ok(())
    }

    fn version(&self) -> PolicyVersion<'_> {
        PolicyVersion { revision: self.name.as_deref(), digest: Some(self.policy.digest()) }
    }
}

/// Admits policies from envelopes; what it refused last, it does not compile again.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    refused: Option<(Revision, String)>,
    count: u64,
}

impl Admission {
    /// One with the limits of a configuration.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, refused: None, count: 0 }
    }

    /// Whether an envelope's policy may run.
    pub(crate) fn check(&mut self, envelope: &Envelope<PolicyPayload>) -> Result<(), Refused> {
        self.admit(envelope).map(drop)
    }

    fn admit(&mut self, envelope: &Envelope<PolicyPayload>) -> Result<Running, Refused> {
        let revision = envelope.revision();
        if let Some((_, why)) = self.refused.as_ref().filter(|(refused, _)| *refused == revision) {
            return Err(Refused::Policy(why.clone()));
        }
        let PolicyPayload { policy, shadow, .. } = &envelope.payload;
        let mut running =
            Running::admit(policy, Some(revision), &self.limits).map_err(|error| self.refuse(revision, &error))?;
        // One to watch decides nothing, and so it keeps nothing out either.
        if let Some(Err(error)) = shadow.as_ref().map(|shadow| running.watch(shadow, &self.limits)) {
            host::log(LogLevel::Error, &format!("the policy to watch is refused: {error}"));
            running.trouble = Some(format!("the policy to watch: {error}"));
        }
        self.forget();
        Ok(running)
    }

    fn refuse(&mut self, revision: Revision, error: &AdmissionError) -> Refused {
        host::log(LogLevel::Error, &format!("policy not taken, the running one stays: {error}"));
        self.count = self.count.saturating_add(1);
        self.refused = Some((revision, error.to_string()));
        Refused::Policy(error.to_string())
    }

    /// Another policy is the newest now.
    pub(crate) fn forget(&mut self) {
        self.refused = None;
    }

    /// Why the newest policy was refused.
    pub(crate) fn error(&self) -> Option<&str> {
        self.refused.as_ref().map(|(_, why)| why.as_str())
    }
}

/// The policy in force and where the next one comes from.
pub(crate) struct PolicySlot {
    running: Option<Running>,
    envelopes: Option<Store<PolicyPayload>>,
    admission: Admission,
}

impl PolicySlot {
    /// Admits the configured policy, or waits for one from the companion.
    pub(crate) fn new(config: &DataConfig, signatures: &'static dyn SignatureVerifier) -> Result<Self, AdmissionError> {
        let PolicyConfig { inline, shadow, envelopes, limits, .. } = &config.policy;
        let authored = |source: &PolicySource| AuthoredPolicy { source: source.clone(), revision: None };
        let mut running = inline.as_ref().map(|policy| Running::admit(&authored(policy), None, limits)).transpose()?;
        if let (Some(running), Some(shadow)) = (&mut running, shadow) {
            running.watch(&authored(shadow), limits)?;
        }
        let envelopes = running.is_none().then(|| Store::new(KIND, envelopes.clone(), signatures));
        Ok(Self { running, envelopes, admission: Admission::new(limits.clone()) })
    }

    /// Runs the newest policy in shared data, if admission accepts it.
    pub(crate) fn look(&mut self, now: Timestamp) {
        let Some(store) = &mut self.envelopes else { return };
        let news = store.look(now);
        let Some(envelope) = store.current() else { return };
        if is_running(self.running.as_ref(), envelope) {
            if news {
                self.admission.forget();
            }
        } else if let Ok(running) = self.admission.admit(envelope) {
            self.install(running);
        }
    }

    /// Takes a policy that was fetched. One that may not run never gets into shared data, where the one that runs must
    /// be found by VMs that start anew.
    pub(crate) fn offer(&mut self, text: &[u8], now: Timestamp) -> Result<(), Refused> {
        self.look(now);
        let Some(store) = &mut self.envelopes else { return Ok(()) };
        let envelope = store.open(text, now)?;
        let next = match store.order(&envelope, text, now) {
            Order::Newer if !is_running(self.running.as_ref(), &envelope) => Some(self.admission.admit(&envelope)?),
            _ => None,
        };
        store.take(envelope, text, now)?;
        match next {
            Some(running) => self.install(running),
            None => self.admission.forget(),
        }
        Ok(())
    }

    fn install(&mut self, running: Running) {
        let PolicyVersion { revision, digest } = running.version();
        let (revision, digest) = (revision.unwrap_or("none"), digest.unwrap_or_default());
        host::log(LogLevel::Info, &format!("new policy in force: revision {revision}, digest {digest}"));
        self.running = Some(running);
    }

    /// Whether there is a policy to decide with that is not too old.
    pub(crate) fn is_usable(&self, max_age: Duration, skew: Duration, now: Timestamp) -> bool {
        let envelope = self.envelopes.as_ref().and_then(Store::current);
        let fresh = self.envelopes.is_none() || envelope.is_some_and(|envelope| envelope.is_usable(max_age, skew, now));
        self.running.is_some() && fresh
    }

    /// Whether one of the policies refers to this member of the input.
    pub(crate) fn uses(&self, member: Member) -> bool {
        let running = self.running.iter();
        let mut policies = running.flat_map(|running| std::iter::once(&running.policy).chain(&running.shadow));
        policies.any(|policy| policy.uses().has(member))
    }

    /// Decides; nothing, when there is no policy. Whether it may be used, [`Self::is_usable`] says.
    pub(crate) fn evaluate(
        &mut self,
        input: &Input<'_>,
        now: Timestamp,
    ) -> Option<Result<Decision, PolicyEngineError>> {
        self.running.as_mut().map(|running| running.policy.evaluate(input, now))
    }

    /// What the policy to watch says to a decision, where there is one.
    pub(crate) fn watch(
        &mut self,
        input: &Input<'_>,
        decision: &Result<Decision, PolicyEngineError>,
        now: Timestamp,
    ) -> Option<Result<ShadowResult, Disagreement>> {
        let shadow = self.running.as_mut().and_then(|running| running.shadow.as_mut())?;
        Some(compare(decision, shadow.evaluate(input, now)))
    }

    /// Where policies come from, as in the configuration.
    pub(crate) const fn source(&self) -> &'static str {
        if self.envelopes.is_some() { "companion" } else { "inline" }
    }

    /// Which policy is in force.
    pub(crate) fn version(&self) -> PolicyVersion<'_> {
        self.running.as_ref().map(Running::version).unwrap_or_default()
    }

    /// Why the newest policy from the companion does not run, or the one to watch.
    pub(crate) fn error(&self) -> Option<&str> {
        let trouble = self.running.as_ref().and_then(|running| running.trouble.as_deref());
        self.admission.error().or(trouble)
    }

    /// How often shared data held something unverifiable or older.
    pub(crate) fn shared_data_rejected(&self) -> u64 {
        self.envelopes.as_ref().map_or(0, Store::rejected)
    }

    /// How many policies from the companion were refused.
    pub(crate) const fn rejected(&self) -> u64 {
        self.admission.count
    }
}

fn is_running(running: Option<&Running>, envelope: &Envelope<PolicyPayload>) -> bool {
    running.is_some_and(|running| running.revision == Some(envelope.revision()))
}

fn compare(
    decision: &Result<Decision, PolicyEngineError>,
    shadow: Result<Decision, PolicyEngineError>,
) -> Result<ShadowResult, Disagreement> {
    let allows = matches!(decision, Ok(Decision::Allow { .. }));
    let (result, detail) = match (allows, shadow) {
        (true, Ok(Decision::Allow { .. })) | (false, Ok(Decision::Deny { .. })) => return Ok(ShadowResult::Agrees),
        (true, Ok(Decision::Deny { reason, .. })) => (ShadowResult::WouldDeny, reason),
        (false, Ok(Decision::Allow { .. })) => (ShadowResult::WouldAllow, String::new()),
        (_, Err(error)) => (ShadowResult::Fails, error.to_string()),
    };
    Err(Disagreement { result, detail })
}
