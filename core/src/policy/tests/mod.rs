//! Tests of admission and evaluation together.

mod admission;
mod bounds;
mod evaluation;
mod example;
mod semantics;
#[cfg(feature = "policy-tools")]
mod tools;
#[cfg(feature = "policy-tools")]
mod warnings;

use super::{AdmissionError, Decision, Input, Limits, Module, Policy, PolicyEngineError, PolicySource, RegoVersion};
use crate::time::Timestamp;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn source(rego: &str, data: Value) -> PolicySource {
    PolicySource {
        modules: vec![Module { name: "policy.rego".into(), rego: rego.into() }],
        data,
        entrypoint: PolicySource::DEFAULT_ENTRYPOINT.into(),
        rego_version: RegoVersion::V1,
    }
}

/// Admits rules of the package `scbte`; they begin at line 2.
fn admit(rules: &str, data: Value) -> Result<Policy, AdmissionError> {
    Policy::admit(&source(&format!("package scbte\n{rules}\n"), data), &Limits::default())
}

/// Evaluates with these claims.
fn evaluate(policy: &mut Policy, claims: &Value) -> Result<Decision, PolicyEngineError> {
    let claims = claims.to_string();
    let input = Input {
        sub: "spiffe://cluster.local/ns/production/sa/api-gateway",
        ctx: "read:users",
        aud: "api.production.svc.cluster.local",
        method: "GET",
        path: "/api/v1/users",
        trust_domain: "cluster.local",
        query: Some("page=1"),
        host: "api.example",
        headers: &[("x-team", b"red")],
        claims: &claims,
        source_address: Some("10.0.0.7"),
        peer_spiffe_id: None,
    };
    policy.evaluate(&input, NOW)
}

/// Whether these rules allow with these claims.
fn allows(rules: &str, claims: &Value) -> bool {
    let mut policy = admit(rules, json!({})).unwrap_or_else(|error| panic!("{rules}: {error}"));
    matches!(evaluate(&mut policy, claims), Ok(Decision::Allow { .. }))
}
