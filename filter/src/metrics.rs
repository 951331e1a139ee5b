//! Metrics, in Envoy's statistics. Labels travel in the name (`TAG=.=VALUE;.;…`), as Istio's `extraStatTags` reads them.
//!
//! Histograms hold whole microseconds. Each metric is resolved once; labels that a caller can influence are bounded.

use crate::host;
use crate::policy::ShadowResult;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use scbte_core::reason::Reason;
use scbte_core::time::Timestamp;
use scbte_core::verify::{Caller, Source};
use std::time::Duration;

/// Pairs of `sub` and `ctx` that denials are counted by; those beyond are counted as `other`.
const MAX_DENIED_PAIRS: usize = 128;

/// What was decided about a request, for `scbte_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub(crate) struct Metrics {
    requests: Family<Outcome>,
    /// By `sub` and `ctx`.
    denied: Family<(String, String)>,
    other_denied: Family<()>,
    tokens: Family<Source>,
    pulls: Family<(&'static str, &'static str)>,
    shadow: Family<ShadowResult>,
    verification: Metric,
    evaluation: Metric,
    bundle_age: Metric,
    shared_data_rejected: Metric,
    policies_rejected: Metric,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            denied: Family::default(),
            other_denied: Family::default(),
            tokens: Family::default(),
            pulls: Family::default(),
            shadow: Family::default(),
            verification: Metric::new(MetricType::Histogram, "scbte_verification_duration_microseconds"),
            evaluation: Metric::new(MetricType::Histogram, "scbte_opa_evaluation_duration_microseconds"),
            bundle_age: Metric::new(MetricType::Gauge, "scbte_trust_bundle_age_seconds"),
            shared_data_rejected: Metric::new(MetricType::Counter, "scbte_shared_data_rejected_total"),
            policies_rejected: Metric::new(MetricType::Counter, "scbte_policy_rejected_total"),
        }
    }
}

impl Metrics {
    /// Counts a request.
    pub(crate) fn request(&mut self, outcome: Outcome) {
        let name = || format!("verdict=.={};.;reason=.={};.;scbte_requests_total", outcome.verdict(), outcome.reason());
        self.requests.count(outcome, name);
    }

    /// Counts how a token was verified.
    pub(crate) fn token(&mut self, source: Source) {
        self.tokens.count(source, || format!("result=.={};.;scbte_token_cache_total", source.label()));
    }

    /// Counts a denial by the policy.
    pub(crate) fn policy_denial(&mut self, caller: &Caller) {
        let claims = caller.claims();
        let (sub, ctx) = (claims.sub.as_str(), claims.ctx.as_str());
        let name = |sub: &str, ctx: &str| format!("sub=.={sub};.;ctx=.={ctx};.;scbte_policy_denial_total");
        match self.denied.find(|known| known.1 == ctx && known.0 == sub) {
            Some(id) => increment(id, 1),
            None if self.denied.len() < MAX_DENIED_PAIRS => {
                self.denied.count((sub.to_owned(), ctx.to_owned()), || name(sub, ctx));
            }
            None => self.other_denied.count((), || name("other", "other")),
        }
    }

    /// Records how long a token took to verify.
    pub(crate) fn verification(&mut self, span: Duration) {
        self.verification.record(micros(span));
    }

    /// Records how long the policy took to evaluate.
    pub(crate) fn evaluation(&mut self, span: Duration) {
        self.evaluation.record(micros(span));
    }

    /// Sets the age of the trust bundle in use.
    pub(crate) fn bundle_age(&mut self, age: Duration) {
        self.bundle_age.record(age.as_secs());
    }

    /// Counts values in shared data that were unverifiable or older.
    pub(crate) fn shared_data_rejected(&mut self, count: u64) {
        self.shared_data_rejected.add(count);
    }

    /// Counts policies from the companion that admission refused.
    pub(crate) fn policies_rejected(&mut self, count: u64) {
        self.policies_rejected.add(count);
    }

    /// Counts how the policy to watch compares with the one in force.
    pub(crate) fn shadow(&mut self, result: ShadowResult) {
        self.shadow.count(result, || format!("result=.={};.;scbte_policy_shadow_total", result.label()));
    }

    /// Counts pulls of a `bundle` or a `policy` by result: `ok`, `unchanged`, `refused` or `failed`.
    pub(crate) fn pull(&mut self, kind: &'static str, result: &'static str) {
        self.pulls.count((kind, result), || format!("result=.={result};.;scbte_{kind}_pulls_total"));
    }
}

/// Counters of one name, told apart by labels. There are few, so comparing finds one faster than hashing would.
struct Family<K>(Vec<(K, u32)>);

impl<K> Default for Family<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Family<K> {
    /// Adds one to the counter of `key`, which is called `name`.
    fn count(&mut self, key: K, name: impl FnOnce() -> String) {
        let id = self.find(|known| *known == key).unwrap_or_else(|| {
            let id = define(MetricType::Counter, &name());
            self.0.push((key, id));
            id
        });
        increment(id, 1);
    }

    fn find(&self, is: impl Fn(&K) -> bool) -> Option<u32> {
        self.0.iter().find(|(known, _)| is(known)).map(|(_, id)| *id)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A metric without labels.
struct Metric {
    kind: MetricType,
    name: &'static str,
    id: Option<u32>,
}

impl Metric {
    const fn new(kind: MetricType, name: &'static str) -> Self {
        Self { kind, name, id: None }
    }

    fn id(&mut self) -> u32 {
        *self.id.get_or_insert_with(|| define(self.kind, self.name))
    }

    fn record(&mut self, value: u64) {
        // Metrics are no reason to fail a request.
        let _ = hostcalls::record_metric(self.id(), value);
    }

    fn add(&mut self, count: u64) {
        if count > 0 {
            increment(self.id(), i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Times steps that follow one another by the host's clock, each from where the last one ended: one look a step.
pub(crate) struct Laps(Timestamp);

impl Laps {
    /// From this moment.
    pub(crate) const fn from(now: Timestamp) -> Self {
        Self(now)
    }

    /// The time since the last lap.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = host::now();
        let span = now.since(self.0);
        self.0 = now;
        span
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn define(kind: MetricType, name: &str) -> u32 {
    hostcalls::define_metric(kind, name).unwrap_or_default()
}

fn increment(id: u32, by: i64) {
    let _ = hostcalls::increment_metric(id, by);
}
