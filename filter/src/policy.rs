//! The policy in force: from the configuration, or from the companion's policy envelopes.
//!
//! A policy that admission refuses never replaces one that runs.

use crate::host;
use crate::store::Store;
use proxy_wasm::types::LogLevel;
use scbte_core::config::{DataConfig, PolicyConfig};
use scbte_core::envelope::PolicyPayload;
use scbte_core::policy::{AdmissionError, Limits, Policy};
use scbte_core::signature::SignatureVerifier;
use scbte_core::time::Timestamp;
use std::time::Duration;

/// The kind of a policy store in shared data.
pub(crate) const KIND: &str = "policy";

/// The policy in force and where the next one comes from.
pub(crate) struct PolicySlot {
    running: Option<Policy>,
    limits: Limits,
    envelopes: Option<Store<PolicyPayload>>,
}

impl PolicySlot {
    /// Admits the configured policy, or waits for one from the companion.
    pub(crate) fn new(config: &DataConfig, signatures: &'static dyn SignatureVerifier) -> Result<Self, AdmissionError> {
        let PolicyConfig { inline, envelopes, .. } = &config.policy;
        let limits = Limits {
            max_instructions: config.policy.max_instructions,
            token_header: config.token_header.name().to_owned(),
            ..Limits::default()
        };
        let running = inline.as_ref().map(|source| Policy::admit(source, &limits)).transpose()?;
        let envelopes = running.is_none().then(|| Store::new(KIND, envelopes.clone(), signatures));
        Ok(Self { running, limits, envelopes })
    }

    /// Takes a newer policy from shared data, if there is one that admission accepts.
    pub(crate) fn look(&mut self, now: Timestamp) {
        let Some(store) = &mut self.envelopes else { return };
        if !store.look(now) {
            return;
        }
        let Some(envelope) = store.current() else { return };
        match Policy::admit(&envelope.payload.source, &self.limits) {
            Ok(policy) => self.running = Some(policy),
            Err(error) => host::log(LogLevel::Error, &format!("policy not taken, the running one stays: {error}")),
        }
    }

    /// The policy to decide with, unless its envelope is too old.
    pub(crate) fn usable(&mut self, max_age: Duration, skew: Duration, now: Timestamp) -> Option<&mut Policy> {
        let envelope = self.envelopes.as_ref().and_then(Store::current);
        let fresh = self.envelopes.is_none() || envelope.is_some_and(|envelope| envelope.is_usable(max_age, skew, now));
        self.running.as_mut().filter(|_| fresh)
    }

    /// Where policies come from, as in the configuration.
    pub(crate) const fn source(&self) -> &'static str {
        if self.envelopes.is_some() { "companion" } else { "inline" }
    }

    /// The digest of the policy in force.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.running.as_ref().map(Policy::digest)
    }
}
