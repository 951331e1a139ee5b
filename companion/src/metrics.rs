//! The companion's own metrics, in the OpenMetrics text format, which Prometheus reads.

use crate::subject::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The content type that goes with [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TargetLabel {
    target: String,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushResult {
    /// Taken.
    Ok,
    /// Another envelope is newer.
    Conflict,
    /// Refused for another reason.
    Refused,
    /// Nobody answered.
    Unreachable,
}

impl PushResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What is measured only when somebody asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    /// Age of the newest bundle envelope, seconds.
    pub(crate) bundle_age: Option<u64>,
    /// Whether a policy is there and the newest that was found; nothing where the companion delivers none.
    pub(crate) policy_current: Option<bool>,
    /// Seconds until the SVID expires.
    pub(crate) svid_left: Option<u64>,
    /// Whether the identity source's stream is alive.
    pub(crate) live: bool,
    /// How old what the identity source said last is, seconds.
    pub(crate) identity_age: Option<u64>,
    /// Push targets, and whether each uses the newest trust bundle and policy.
    pub(crate) targets: Vec<(String, bool)>,
}

/// The companion's metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Tokens minted.
    pub(crate) tokens_minted: Counter,
    /// Tokens given out again.
    pub(crate) tokens_reused: Counter,
    token_errors: Family<ReasonLabel, Counter>,
    bundles: Deliveries,
    policies: Deliveries,
}

/// What became of the envelopes of one kind.
#[derive(Debug, Default)]
struct Deliveries {
    conflicts: Counter,
    pushes: Family<ResultLabel, Counter>,
}

impl Metrics {
    /// Counts a token that was not minted.
    pub(crate) fn token_error(&self, reason: &'static str) {
        self.token_errors.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a push.
    pub(crate) fn push(&self, kind: Kind, result: PushResult) {
        self.deliveries(kind).pushes.get_or_create(&ResultLabel { result: result.label() }).inc();
    }

    /// Counts that an Envoy had another companion's.
    pub(crate) fn conflict(&self, kind: Kind) {
        self.deliveries(kind).conflicts.inc();
    }

    const fn deliveries(&self, kind: Kind) -> &Deliveries {
        match kind {
            Kind::Bundle => &self.bundles,
            Kind::Policy => &self.policies,
        }
    }

    /// All metrics as text.
    pub(crate) fn encode(&self, gauges: &Gauges) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::default();
        self.register_counters(&mut registry);
        register_gauges(&mut registry, gauges);
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry)?;
        Ok(encoded)
    }

    fn register_counters(&self, registry: &mut Registry) {
        registry.register("scbte_tokens_minted", "Tokens minted", self.tokens_minted.clone());
        registry.register("scbte_tokens_reused", "Tokens given out again", self.tokens_reused.clone());
        registry.register("scbte_token_errors", "Requests for a token that got none", self.token_errors.clone());
        registry.register("scbte_bundle_pushes", "Pushes of the trust bundle to Envoy", self.bundles.pushes.clone());
        let help = "Times that an Envoy had another companion's trust bundle";
        registry.register("scbte_bundle_conflicts", help, self.bundles.conflicts.clone());
        registry.register("scbte_policy_pushes", "Pushes of the policy to Envoy", self.policies.pushes.clone());
        let help = "Times that an Envoy had another companion's policy";
        registry.register("scbte_policy_conflicts", help, self.policies.conflicts.clone());
    }
}

fn register_gauges(registry: &mut Registry, gauges: &Gauges) {
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        }
    };
    gauge("scbte_trust_bundle_age_seconds", "Age of the newest trust bundle envelope", gauges.bundle_age);
    let help = "Whether the newest policy that was found is delivered; 0: none was, it is refused, or cannot be had";
    gauge("scbte_policy_current", help, gauges.policy_current.map(u64::from));
    gauge("scbte_svid_remaining_seconds", "Time until the SVID expires", gauges.svid_left);
    gauge("scbte_identity_age_seconds", "Time since the identity source was last alive", gauges.identity_age);
    gauge("scbte_identity_live", "Whether the identity source's stream is alive", Some(gauges.live.into()));
    let in_sync: Family<TargetLabel, Gauge> = Family::default();
    for (target, is_in_sync) in &gauges.targets {
        in_sync.get_or_create(&TargetLabel { target: target.clone() }).set((*is_in_sync).into());
    }
    registry.register("scbte_push_target_in_sync", "Whether an Envoy uses the newest trust bundle and policy", in_sync);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_of_the_design() {
        let metrics = Metrics::default();
        metrics.tokens_minted.inc();
        metrics.token_error("forbidden");
        metrics.push(Kind::Bundle, PushResult::Ok);
        metrics.conflict(Kind::Bundle);
        metrics.push(Kind::Policy, PushResult::Refused);
        let targets = vec![("http://127.0.0.1:10001".to_owned(), true)];
        let gauges = Gauges {
            bundle_age: Some(7),
            policy_current: Some(true),
            svid_left: Some(3600),
            live: true,
            identity_age: Some(0),
            targets,
        };
        let text = metrics.encode(&gauges).unwrap();
        for line in [
            "scbte_tokens_minted_total 1",
            "scbte_tokens_reused_total 0",
            "scbte_token_errors_total{reason=\"forbidden\"} 1",
            "scbte_bundle_pushes_total{result=\"ok\"} 1",
            "scbte_bundle_conflicts_total 1",
            "scbte_policy_pushes_total{result=\"refused\"} 1",
            "scbte_policy_conflicts_total 0",
            "scbte_policy_current 1",
            "scbte_trust_bundle_age_seconds 7",
            "scbte_svid_remaining_seconds 3600",
            "scbte_identity_live 1",
            "scbte_identity_age_seconds 0",
            "scbte_push_target_in_sync{target=\"http://127.0.0.1:10001\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let none = metrics.encode(&Gauges::default()).unwrap();
        assert!(!none.contains("scbte_trust_bundle_age_seconds"), "no bundle has no age");
    }
}
