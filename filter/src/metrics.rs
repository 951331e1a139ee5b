//! Metrics, in Envoy's statistics. Labels travel in the name (`TAG=.=VALUE;.;…`), as Istio's `extraStatTags` reads them.
//!
//! Histograms hold whole microseconds. Each metric is resolved once; labels that a caller can influence are bounded.

use crate::policy::ShadowResult;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use scbte_core::reason::Reason;
use scbte_core::time::Timestamp;
use scbte_core::verify::{Caller, Source};
use std::collections::HashMap;
use std::time::Duration;

/// Pairs of `sub` and `ctx` that denials are counted by; those beyond are counted as `other`.
const MAX_DENIED_PAIRS: usize = 128;

/// What was decided about a request, for `scbte_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// Admitted with an identity.
    Allow,
    /// Admitted by a bypass rule.
    Bypass,
    /// Refused.
    Deny(Reason),
    /// Would have been refused in enforce mode.
    ShadowDeny(Reason),
}

impl Outcome {
    /// The label `verdict`.
    pub(crate) const fn verdict(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Bypass => "bypass",
            Self::Deny(_) => "deny",
            Self::ShadowDeny(_) => "shadow_deny",
        }
    }

    /// The label `reason`.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Allow | Self::Bypass => "none",
            Self::Deny(reason) | Self::ShadowDeny(reason) => reason.code(),
        }
    }
}

/// The filter's metrics, resolved when first used.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: HashMap<Outcome, u32>,
    denied: HashMap<(String, String), u32>,
    other_denied: Option<u32>,
    cache: HashMap<&'static str, u32>,
    pulls: HashMap<(&'static str, &'static str), u32>,
    shadow: HashMap<ShadowResult, u32>,
    plain: HashMap<&'static str, u32>,
}

impl Metrics {
    /// Counts a request.
    pub(crate) fn request(&mut self, outcome: Outcome) {
        let name = || format!("verdict=.={};.;reason=.={};.;scbte_requests_total", outcome.verdict(), outcome.reason());
        increment(resolve(&mut self.requests, outcome, MetricType::Counter, name), 1);
    }

    /// Counts how a token was verified.
    pub(crate) fn token(&mut self, source: Source) {
        let name = || format!("result=.={};.;scbte_token_cache_total", source.label());
        increment(resolve(&mut self.cache, source.label(), MetricType::Counter, name), 1);
    }

    /// Counts a denial by the policy.
    pub(crate) fn policy_denial(&mut self, caller: &Caller) {
        let claims = caller.claims();
        let pair = (claims.sub.as_str().to_owned(), claims.ctx.as_str().to_owned());
        let name = |sub: &str, ctx: &str| format!("sub=.={sub};.;ctx=.={ctx};.;scbte_policy_denial_total");
        let id = if self.denied.len() < MAX_DENIED_PAIRS || self.denied.contains_key(&pair) {
            let full = name(&pair.0, &pair.1);
            resolve(&mut self.denied, pair, MetricType::Counter, || full)
        } else {
            *self.other_denied.get_or_insert_with(|| define(MetricType::Counter, &name("other", "other")))
        };
        increment(id, 1);
    }

    /// Records how long a token took to verify.
    pub(crate) fn verification(&mut self, span: Duration) {
        self.record("scbte_verification_duration_microseconds", MetricType::Histogram, micros(span));
    }

    /// Records how long the policy took to evaluate.
    pub(crate) fn evaluation(&mut self, span: Duration) {
        self.record("scbte_opa_evaluation_duration_microseconds", MetricType::Histogram, micros(span));
    }

    /// Sets the age of the trust bundle in use.
    pub(crate) fn bundle_age(&mut self, age: Duration) {
        self.record("scbte_trust_bundle_age_seconds", MetricType::Gauge, age.as_secs());
    }

    /// Counts values in shared data that were unverifiable or older.
    pub(crate) fn shared_data_rejected(&mut self, count: u64) {
        self.count("scbte_shared_data_rejected_total", count);
    }

    /// Counts policies from the companion that admission refused.
    pub(crate) fn policies_rejected(&mut self, count: u64) {
        self.count("scbte_policy_rejected_total", count);
    }

    /// Counts how the policy to watch compares with the one in force.
    pub(crate) fn shadow(&mut self, result: ShadowResult) {
        let name = || format!("result=.={};.;scbte_policy_shadow_total", result.label());
        increment(resolve(&mut self.shadow, result, MetricType::Counter, name), 1);
    }

    /// Counts pulls of a `bundle` or a `policy` by result: `ok`, `unchanged`, `refused` or `failed`.
    pub(crate) fn pull(&mut self, kind: &'static str, result: &'static str) {
        let name = || format!("result=.={result};.;scbte_{kind}_pulls_total");
        increment(resolve(&mut self.pulls, (kind, result), MetricType::Counter, name), 1);
    }

    fn count(&mut self, name: &'static str, by: u64) {
        if by > 0 {
            let id = self.plain(name, MetricType::Counter);
            increment(id, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    fn plain(&mut self, name: &'static str, kind: MetricType) -> u32 {
        resolve(&mut self.plain, name, kind, || name.to_owned())
    }

    fn record(&mut self, name: &'static str, kind: MetricType, value: u64) {
        let id = self.plain(name, kind);
        // Metrics are no reason to fail a request.
        let _ = hostcalls::record_metric(id, value);
    }
}

/// The time since `start`, by the host's clock.
pub(crate) fn elapsed(start: Timestamp) -> Duration {
    crate::host::now().since(start)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn resolve<K: std::hash::Hash + Eq>(
    known: &mut HashMap<K, u32>,
    key: K,
    kind: MetricType,
    name: impl FnOnce() -> String,
) -> u32 {
    *known.entry(key).or_insert_with(|| define(kind, &name()))
}

fn define(kind: MetricType, name: &str) -> u32 {
    hostcalls::define_metric(kind, name).unwrap_or_default()
}

fn increment(id: u32, by: i64) {
    let _ = hostcalls::increment_metric(id, by);
}
