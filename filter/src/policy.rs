//! The policy in force, from the configuration or from the companion's policy envelopes, and the one to watch beside it.
//!
//! A policy that admission refuses never replaces one that runs. The one to watch (`policy.shadow`) is evaluated on the
//! same input and decides nothing: where it would have decided otherwise is counted and logged.

use crate::host;
use crate::store::{Refused, Store};
use proxy_wasm::types::LogLevel;
use scbte_core::bundle::Revision;
use scbte_core::config::{DataConfig, PolicyConfig};
use scbte_core::envelope::{AuthoredPolicy, Envelope, PolicyPayload};
use scbte_core::policy::{AdmissionError, Decision, Input, Limits, Member, Policy, PolicyEngineError};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// Policies that were admitted together.
struct Running {
    policy: Policy,
    shadow: Option<Policy>,
    revision: Option<String>,
}

impl Running {
    fn admit(
        policy: &AuthoredPolicy,
        shadow: Option<&AuthoredPolicy>,
        limits: &Limits,
    ) -> Result<Self, AdmissionError> {
        Ok(Self {
            policy: Policy::admit(&policy.source, limits)?,
            shadow: shadow.map(|shadow| Policy::admit(&shadow.source, limits)).transpose()?,
            revision: policy.revision.clone(),
        })
    }

    fn version(&self) -> PolicyVersion<'_> {
        PolicyVersion { revision: self.revision.as_deref(), digest: Some(self.policy.digest()) }
    }
}

/// A decision, and what the policy to watch says to it.
pub(crate) struct Evaluated {
    /// What counts.
    pub(crate) decision: Result<Decision, PolicyEngineError>,
    /// How the policy to watch compares, where there is one.
    pub(crate) shadow: Option<Result<ShadowResult, Disagreement>>,
}

/// The policy in force and where the next one comes from.
pub(crate) struct PolicySlot {
    running: Option<Running>,
    limits: Limits,
    envelopes: Option<Store<PolicyPayload>>,
    /// Why the newest policy from the companion does not run.
    error: Option<String>,
    rejected: u64,
}

impl PolicySlot {
    /// Admits the configured policy, or waits for one from the companion.
    pub(crate) fn new(config: &DataConfig, signatures: &'static dyn SignatureVerifier) -> Result<Self, AdmissionError> {
        let PolicyConfig { inline, shadow, envelopes, limits, .. } = &config.policy;
        let authored = |source: &Option<_>| source.clone().map(|source| AuthoredPolicy { source, revision: None });
        let (policy, shadow) = (authored(inline), authored(shadow));
        let running = policy.map(|policy| Running::admit(&policy, shadow.as_ref(), limits)).transpose()?;
        let envelopes = running.is_none().then(|| Store::new(KIND, envelopes.clone(), signatures));
        Ok(Self { running, limits: limits.clone(), envelopes, error: None, rejected: 0 })
    }

    /// Takes a newer policy from shared data, if there is one that admission accepts.
    pub(crate) fn look(&mut self, now: Timestamp) {
        let Some(store) = &mut self.envelopes else { return };
        let known = store.current().map(Envelope::revision);
        if !store.look(now) {
            return;
        }
        self.adopt(known);
    }

    /// Takes a policy that was fetched.
    pub(crate) fn offer(&mut self, text: &[u8], now: Timestamp) -> Result<(), Refused> {
        let Some(store) = &mut self.envelopes else { return Ok(()) };
        let known = store.current().map(Envelope::revision);
        store.offer(text, now)?;
        self.adopt(known);
        Ok(())
    }

    /// Runs what the newest envelope holds, unless that is what was there before.
    fn adopt(&mut self, known: Option<Revision>) {
        let Some(envelope) = self.envelopes.as_ref().and_then(Store::current) else { return };
        if known == Some(envelope.revision()) {
            return;
        }
        let PolicyPayload { policy, shadow, .. } = &envelope.payload;
        match Running::admit(policy, shadow.as_ref(), &self.limits) {
            Ok(running) => {
                let PolicyVersion { revision, digest } = running.version();
                let (revision, digest) = (revision.unwrap_or("none"), digest.unwrap_or_default());
                host::log(LogLevel::Info, &format!("new policy in force: revision {revision}, digest {digest}"));
                (self.running, self.error) = (Some(running), None);
            }
            Err(error) => {
                host::log(LogLevel::Error, &format!("policy not taken, the running one stays: {error}"));
                self.error = Some(error.to_string());
                self.rejected = self.rejected.saturating_add(1);
            }
        }
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
    pub(crate) fn evaluate(&mut self, input: &Input<'_>, now: Timestamp) -> Option<Evaluated> {
        let running = self.running.as_mut()?;
        let decision = running.policy.evaluate(input, now);
        let shadow = running.shadow.as_mut().map(|shadow| compare(&decision, shadow.evaluate(input, now)));
        Some(Evaluated { decision, shadow })
    }

    /// Where policies come from, as in the configuration.
    pub(crate) const fn source(&self) -> &'static str {
        if self.envelopes.is_some() { "companion" } else { "inline" }
    }

    /// Which policy is in force.
    pub(crate) fn version(&self) -> PolicyVersion<'_> {
        self.running.as_ref().map(Running::version).unwrap_or_default()
    }

    /// Why the newest policy from the companion does not run.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// How often shared data held something unverifiable or older.
    pub(crate) fn shared_data_rejected(&self) -> u64 {
        self.envelopes.as_ref().map_or(0, Store::rejected)
    }

    /// How many policies from the companion were refused.
    pub(crate) const fn rejected(&self) -> u64 {
        self.rejected
    }
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
