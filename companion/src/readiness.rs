//! Whether this companion does its job: it can mint, and it has a trust bundle to hand out, and a policy, where it
//! delivers one.
//!
//! An Envoy that is away makes it no less ready: the two often wait for each other's start. Targets are told of all the
//! same, for people.

use crate::envelopes::{Newest, SignedEnvelope};
use crate::identity::{Bundles, Identity};
use crate::metrics::Gauges;
use crate::minter::Minter;
use crate::policy_source::PolicyState;
use crate::reconciler::TargetState;
use crate::words;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Age at which filters refuse a bundle, where `trust.max_age` does not say otherwise.
const TOO_OLD: Duration = Duration::from_secs(60 * 60);

/// An Envoy that bundles and policies are pushed to.
pub(crate) struct Target {
    /// Where its control API is.
    pub(crate) endpoint: String,
    /// How it stands with its trust bundle.
    pub(crate) state: watch::Receiver<TargetState>,
    /// How it stands with its policy, where one is delivered.
    pub(crate) policy: Option<watch::Receiver<TargetState>>,
}

/// The policy that is delivered.
pub(crate) struct PolicyStatus {
    /// What its source says.
    pub(crate) state: watch::Receiver<PolicyState>,
    /// What was signed last.
    pub(crate) newest: Newest,
}

/// Everything that tells how this companion is.
pub(crate) struct Status {
    /// What the identity source says.
    pub(crate) identity: watch::Receiver<Identity>,
    /// What was signed last.
    pub(crate) newest: Newest,
    /// The policy, where one is delivered.
    pub(crate) policy: Option<PolicyStatus>,
    /// Whether the SVID is valid.
    pub(crate) minter: Arc<Minter>,
    /// The Envoys.
    pub(crate) targets: Vec<Target>,
}

impl Status {
    /// Whether it is ready, and everything that people ask next, as JSON.
    pub(crate) fn report(&self, now: Timestamp) -> (bool, Value) {
        let identity = self.identity.borrow().clone();
        let newest = self.newest.borrow().clone();
        let missing = self.missing(&identity, newest.as_deref(), now);
        let report = json!({
            "ready": missing.is_empty(),
            "missing": missing,
            "identity": identity_report(&identity, now),
            "bundle": newest.as_deref().map(|envelope| bundle_report(envelope, identity.bundles.as_deref(), now)),
            "policy": self.policy.as_ref().map(|policy| policy.report(now)),
            "targets": self.targets.iter().map(Target::report).collect::<Vec<_>>(),
        });
        (missing.is_empty(), report)
    }

    /// What is measured when somebody asks.
    pub(crate) fn gauges(&self, now: Timestamp) -> Gauges {
        let identity = self.identity.borrow();
        let left = |svid: &Arc<crate::identity::Svid>| svid.validity().not_after.since(now).as_secs();
        let is_in_sync = |state: &watch::Receiver<TargetState>| *state.borrow() == TargetState::InSync;
        let in_sync = |target: &Target| {
            let all = is_in_sync(&target.state) && target.policy.as_ref().is_none_or(is_in_sync);
            (target.endpoint.clone(), all)
        };
        Gauges {
            bundle_age: self.newest.borrow().as_ref().map(|envelope| now.since(envelope.iat).as_secs()),
            svid_left: identity.svid.as_ref().map(left),
            policy_current: self.policy.as_ref().map(|policy| policy.state.borrow().is_current()),
            live: identity.live,
            identity_age: identity.age(now),
            targets: self.targets.iter().map(in_sync).collect(),
        }
    }

    fn missing(&self, identity: &Identity, newest: Option<&SignedEnvelope>, now: Timestamp) -> Vec<String> {
        let identity = self.minter.check_identity(identity, now).err().map(|error| error.to_string());
        let bundle = match newest {
            None => Some("no trust bundle was signed yet".to_owned()),
            Some(envelope) if now.since(envelope.iat) >= TOO_OLD => Some("the trust bundle is too old".to_owned()),
            Some(_) => None,
        };
        let policy = self.policy.as_ref().filter(|policy| policy.newest.borrow().is_none());
        let policy = policy.map(|policy| format!("no policy was signed yet: {}", policy.state.borrow().words()));
        identity.into_iter().chain(bundle).chain(policy).collect()
    }
}

impl Target {
    fn report(&self) -> Value {
        let state = self.state.borrow();
        let policy = self.policy.as_ref().map(|policy| {
            let state = policy.borrow();
            json!({"state": state.label(), "detail": state.detail()})
        });
        json!({"endpoint": self.endpoint, "state": state.label(), "detail": state.detail(), "policy": policy})
    }
}

impl PolicyStatus {
    fn report(&self, now: Timestamp) -> Value {
        let (state, newest) = (self.state.borrow(), self.newest.borrow());
        let newest = newest.as_deref();
        json!({
            "seq": newest.map(|envelope| envelope.seq),
            "revision": newest.map(|envelope| envelope.revision.to_string()),
            "age_seconds": newest.map(|envelope| now.since(envelope.iat).as_secs()),
            "digest": state.policy.as_ref().map(|policy| policy.digest.as_str()),
            "error": state.trouble.as_deref(),
        })
    }
}

fn identity_report(identity: &Identity, now: Timestamp) -> Value {
    let svid = identity.svid.as_ref();
    let not_after = svid.map(|svid| svid.validity().not_after);
    json!({
        "live": identity.live,
        "age_seconds": identity.age(now),
        "error": identity.trouble.as_deref(),
        "spiffe_id": svid.map(|svid| svid.id().as_str()),
        "svid_expires": not_after.map(words::utc),
        "svid_remaining_seconds": not_after.map(|at| at.since(now).as_secs()),
    })
}

fn bundle_report(envelope: &SignedEnvelope, bundles: Option<&Bundles>, now: Timestamp) -> Value {
    let anchors = |bundles: &Bundles| -> Map<String, Value> {
        bundles.set().iter().map(|(name, bundle)| (name.to_string(), bundle.anchors().len().into())).collect()
    };
    json!({
        "seq": envelope.seq,
        "revision": envelope.revision.to_string(),
        "age_seconds": now.since(envelope.iat).as_secs(),
        "trust_domains": bundles.map(anchors).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_ca::{self, Authority, SVID_LIFETIME};
    use scbte_core::bundle::Revision;
    use scbte_core::spiffe_id::{SpiffeId, TrustDomain};

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn good() -> Identity {
        let authority = Authority::generate(&TrustDomain::parse("cluster.local").unwrap(), NOW).unwrap();
        let id = SpiffeId::parse("spiffe://cluster.local/a").unwrap();
        let bundle = dev_ca::spiffe_bundle(std::slice::from_ref(authority.certificate())).unwrap();
        let json = Map::from_iter([("cluster.local".to_owned(), bundle)]);
        Identity {
            svid: Some(Arc::new(authority.issue(&id, NOW, SVID_LIFETIME).unwrap())),
            bundles: Some(Arc::new(Bundles::new(json).unwrap())),
            live: true,
            ..Identity::default()
        }
    }

    fn envelope() -> Option<Arc<SignedEnvelope>> {
        let revision = Revision::of(&Value::Null).unwrap();
        Some(Arc::new(SignedEnvelope { text: String::new(), seq: 7, iat: NOW, revision }))
    }

    fn status(identity: Identity, newest: Option<Arc<SignedEnvelope>>) -> Status {
        let identity = watch::channel(identity).1;
        let state = watch::channel(TargetState::Away("refused".into())).1;
        Status {
            minter: Arc::new(Minter::new(identity.clone(), false)),
            identity,
            newest: watch::channel(newest).1,
            targets: vec![Target { endpoint: "http://127.0.0.1:10001".into(), state, policy: None }],
            policy: None,
        }
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let soon = NOW.plus(Duration::from_secs(5));
        let day = NOW.plus(Duration::from_secs(24 * 60 * 60));
        for (name, identity, newest, now, missing) in [
            ("all is well, Envoy is away", good(), envelope(), soon, vec![]),
            ("source dead, material good", Identity { live: false, ..good() }, envelope(), soon, vec![]),
            ("no SVID", Identity { svid: None, ..good() }, envelope(), soon, vec!["no SVID"]),
            ("no bundle", Identity { bundles: None, ..good() }, envelope(), soon, vec!["no trust bundle to check"]),
            ("other CA", Identity { bundles: good().bundles, ..good() }, envelope(), soon, vec!["SVID is not valid"]),
            ("nothing signed", good(), None, soon, vec!["signed yet"]),
            ("nothing at all", Identity::default(), None, soon, vec!["no SVID", "signed yet"]),
            ("a day later", good(), envelope(), day, vec!["SVID is not valid", "too old"]),
        ] {
            let (ready, report) = status(identity, newest).report(now);
            assert_eq!(ready, missing.is_empty(), "{name}: {report}");
            let found: Vec<_> = report["missing"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(found.len(), missing.len(), "{name}: {report}");
            for (found, part) in found.iter().zip(missing) {
                assert!(found.contains(part), "{name}: {report}");
            }
            assert_eq!(report["targets"][0]["state"], "away");
        }
    }
}
