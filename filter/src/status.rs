//! `GET /v1/status` of the control API: what is in force, and who uses it.

use crate::roots::{self, RootReport};
use crate::store::Store;
use scbte_core::bundle::BundleSet;
use scbte_core::envelope::PolicyPayload;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// The status as JSON.
pub(crate) fn status(
    bundles: &Store<BundleSet>,
    policies: &Store<PolicyPayload>,
    policy_error: Option<&str>,
    target: &str,
    verifier: &str,
    now: Timestamp,
) -> Value {
    let bundle = bundles.current();
    let roots = roots::list(target, now);
    json!({
        "target": target,
        "seq": bundle.map(|envelope| envelope.seq),
        "revision": bundle.map(|envelope| envelope.revision().to_string()),
        "age_seconds": bundle.map(|envelope| envelope.age(now).as_secs()),
        "trust_domains": bundle.map(|envelope| anchors(&envelope.payload)).unwrap_or_default(),
        "policy": policy(policies, policy_error, &roots),
        "oldest_seq": oldest_seq(&roots),
        "roots": roots,
        "verifier": verifier,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn anchors(bundles: &BundleSet) -> Map<String, Value> {
    let mut anchors = Map::new();
    anchors.extend(bundles.iter().map(|(name, bundle)| (name.to_string(), bundle.anchors().len().into())));
    anchors
}

/// What the data roots run, where all run the same, and the envelope that is there for those that take one.
fn policy(policies: &Store<PolicyPayload>, error: Option<&str>, roots: &[RootReport]) -> Value {
    let envelope = policies.current();
    json!({
        "source": common(roots, |root| Some(&root.policy_source)),
        "digest": common(roots, |root| root.policy.as_ref()),
        "seq": envelope.map(|envelope| envelope.seq),
        "revision": envelope.map(|envelope| envelope.revision().to_string()),
        "error": error.or_else(|| roots.iter().find_map(|root| root.policy_error.as_deref())),
    })
}

/// What all roots say alike.
fn common(roots: &[RootReport], what: impl Fn(&RootReport) -> Option<&String>) -> Option<&str> {
    let first = what(roots.first()?);
    first.filter(|_| roots.iter().all(|root| what(root) == first)).map(String::as_str)
}

/// The smallest `seq` in use; nothing while a root has none.
fn oldest_seq(roots: &[RootReport]) -> Option<u64> {
    roots.iter().map(|root| root.seq).min().flatten()
}
