//! One protected service: everything that judging its requests needs. The steps are numbered as in the design.

use crate::decision_log::{Decision, DecisionLog};
use crate::host;
use crate::metrics::{Laps, Metrics, Outcome};
use crate::policy::{Disagreement, PolicySlot};
use crate::store::Store;
use proxy_wasm::types::LogLevel;
use scbte_core::bundle::BundleSet;
use scbte_core::cache::CacheSecret;
use scbte_core::config::{DataConfig, Mode};
use scbte_core::path::RequestPath;
use scbte_core::policy::{AdmissionError, Input, Member};
use scbte_core::reason::Reason;
use scbte_core::signature::SignatureVerifier;
use scbte_core::time::Timestamp;
use scbte_core::verdict::{Denial, Verdict};
use scbte_core::verify::{self, Caller, Verifier, VerifyError};
use std::time::Duration;

/// The kind of a bundle store in shared data.
pub(crate) const BUNDLES: &str = "bundle";

/// Looks at shared data that requests may cause, a second: each copies an envelope, which may be megabytes, and callers
/// who proved nothing cause them. Whoever exhausts them can make others wait for the tick, a second at most.
const MAX_LOOKS: u32 = 100;

/// A request as its headers have it.
pub(crate) struct Request<'a> {
    /// `:method`.
    pub(crate) method: &'a str,
    /// `:path`, as it was sent.
    pub(crate) target: &'a [u8],
    /// `:authority`.
    pub(crate) host: &'a str,
    /// All headers, names in lower case.
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
}

/// A verdict, and the decision log's name for it, where it has one: a denial always has.
pub(crate) struct Judged {
    /// What was decided.
    pub(crate) verdict: Verdict,
    /// The decision's ID.
    pub(crate) id: Option<String>,
}

/// What judges requests for one root context.
pub(crate) struct Service {
    /// Its configuration.
    pub(crate) config: DataConfig,
    /// The trust bundles in force.
    pub(crate) bundles: Store<BundleSet>,
    /// The policy in force.
    pub(crate) policy: PolicySlot,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Set when a token named an authority that is not known: a newer bundle may know it.
    pub(crate) misses_authority: bool,
    decisions: DecisionLog,
    verifier: Verifier,
    disagreement: Option<Disagreement>,
    /// The second of the last look, and how many there were in it.
    looks: (u64, u32),
    counted_rejections: u64,
    counted_refused_policies: u64,
    warned_stale: bool,
}

impl Service {
    /// A service with what shared data has; the policy must be admitted. `nonce` tells it from those of other VMs.
    pub(crate) fn new(
        config: DataConfig,
        nonce: &str,
        signatures: &'static dyn SignatureVerifier,
        secret: CacheSecret,
        now: Timestamp,
    ) -> Result<Self, AdmissionError> {
        let mut service = Self {
            bundles: Store::new(BUNDLES, config.trust.envelopes.clone(), signatures),
            policy: PolicySlot::new(&config, signatures)?,
            metrics: Metrics::default(),
            misses_authority: false,
            decisions: DecisionLog::new(nonce.get(..16).unwrap_or(nonce).to_owned(), config.sample_allows),
            disagreement: None,
            looks: (0, 0),
            counted_refused_policies: 0,
            verifier: Verifier::new(config.token.clone(), config.audiences.clone(), signatures, secret),
            counted_rejections: 0,
            warned_stale: false,
            config,
        };
        service.bundles.look(now);
        service.policy.look(now);
        Ok(service)
    }

    /// Judges a request and counts the verdict. In shadow mode a denial is counted and logged all the same; whether it
    /// is enforced is the caller's to see to.
    pub(crate) fn judge(&mut self, request: &Request<'_>) -> Judged {
        let now = host::now();
        let verdict = self.decide(request, now).unwrap_or_else(Verdict::Deny);
        let id = self.record(request, &verdict, now);
        Judged { verdict, id }
    }

    /// What a verdict counts as.
    pub(crate) fn outcome(&self, verdict: &Verdict) -> Outcome {
        match (verdict, self.config.mode) {
            (Verdict::Allow(_), _) => Outcome::Allow,
            (Verdict::Bypass, _) => Outcome::Bypass,
            (Verdict::Deny(denial), Mode::Enforce) => Outcome::Deny(denial.reason),
            (Verdict::Deny(denial), Mode::Shadow) => Outcome::ShadowDeny(denial.reason),
        }
    }

    fn decide(&mut self, request: &Request<'_>, now: Timestamp) -> Result<Verdict, Denial> {
        // 2. The path must be one that everybody reads alike.
        let path = RequestPath::parse(request.target, self.config.allow_encoded_slash)?;
        // 3. Some requests need no identity.
        if self.config.bypass.iter().any(|rule| rule.matches(request.method, path.path())) {
            return Ok(Verdict::Bypass);
        }
        // 4. Exactly one token, and something to check it against.
        let token = self.config.token_header.find(request.headers);
        let token = token.map_err(|error| Denial::new(Reason::MissingBearerToken).because(error))?;
        self.require_bundle(now)?;
        let mut laps = Laps::from(now);
        // 5. and 6. The token proves a caller.
        let caller = self.verify(token, request, &path, now, &mut laps)?;
        // 7. The policy decides what the caller may do.
        self.evaluate(caller, request, &path, now, &mut laps)
    }

    fn require_bundle(&mut self, now: Timestamp) -> Result<(), Denial> {
        if !self.has_usable_bundle(now) && self.may_look(now) {
            self.bundles.look(now);
        }
        if self.has_usable_bundle(now) {
            return Ok(());
        }
        Err(Denial::new(Reason::TrustBundleUnavailable).because("no trust bundle, or it is too old"))
    }

    /// Whether a request may have shared data looked at: [`MAX_LOOKS`] a second. Later ones wait for the tick.
    fn may_look(&mut self, now: Timestamp) -> bool {
        if self.looks.0 != now.secs() {
            self.looks = (now.secs(), 0);
        }
        self.looks.1 = self.looks.1.saturating_add(1);
        self.looks.1 <= MAX_LOOKS
    }

    /// Whether there is no policy to decide with, or it is too old.
    pub(crate) fn lacks_policy(&self, now: Timestamp) -> bool {
        !self.policy.is_usable(self.config.trust.max_age, self.config.token.clock_skew, now)
    }

    /// Whether tokens can be checked.
    pub(crate) fn has_usable_bundle(&self, now: Timestamp) -> bool {
        let (max_age, skew) = (self.config.trust.max_age, self.config.token.clock_skew);
        self.bundles.current().is_some_and(|envelope| envelope.is_usable(max_age, skew, now))
    }

    fn verify(
        &mut self,
        token: &[u8],
        request: &Request<'_>,
        path: &RequestPath<'_>,
        now: Timestamp,
        laps: &mut Laps,
    ) -> Result<Caller, Denial> {
        let malformed = |error| Denial::new(Reason::Malformed).because(error);
        let token = std::str::from_utf8(token).map_err(malformed)?;
        let peer = self.config.bind_peer.then(peer_spiffe_id);
        let facts =
            verify::Request { method: request.method, path: path.path(), peer: peer.as_ref().map(Option::as_deref) };
        let mut result = self.verify_once(token, &facts, now);
        if result.as_ref().is_err_and(VerifyError::is_unknown_authority) {
            // A rotation must cost no request: the newest bundle may be in shared data already.
            if self.may_look(now) && self.bundles.look(now) && self.has_usable_bundle(now) {
                result = self.verify_once(token, &facts, now);
            }
            self.misses_authority |= result.as_ref().is_err_and(VerifyError::is_unknown_authority);
        }
        self.metrics.verification(laps.lap());
        let caller = result?;
        self.metrics.token(caller.source());
        Ok(caller)
    }

    fn verify_once(&mut self, token: &str, facts: &verify::Request<'_>, now: Timestamp) -> Result<Caller, VerifyError> {
        match self.bundles.current() {
            Some(envelope) => self.verifier.verify(token, facts, &envelope.payload, now),
            None => self.verifier.verify(token, facts, &BundleSet::default(), now),
        }
    }

    fn evaluate(
        &mut self,
        caller: Caller,
        request: &Request<'_>,
        path: &RequestPath<'_>,
        now: Timestamp,
        laps: &mut Laps,
    ) -> Result<Verdict, Denial> {
        let unavailable = || Denial::new(Reason::PolicyUnavailable).because("no policy, or its envelope is too old");
        if self.lacks_policy(now) && self.may_look(now) {
            self.policy.look(now);
        }
        if self.lacks_policy(now) {
            return Err(unavailable().of(caller));
        }
        let headers = named_headers(request.headers, &self.config.policy.headers);
        let query = path.query().map(String::from_utf8_lossy);
        let source = Source::of(&self.policy);
        let claims = caller.claims();
        let input = Input {
            sub: claims.sub.as_str(),
            ctx: claims.ctx.as_str(),
            aud: caller.audience(),
            method: request.method,
            path: path.path(),
            trust_domain: claims.sub.trust_domain().as_str(),
            query: query.as_deref(),
            host: request.host,
            headers: &headers,
            claims: &claims.text,
            source_address: source.address.as_deref(),
            peer_spiffe_id: source.peer.as_deref(),
        };
        let Some(decision) = self.policy.evaluate(&input, now) else { return Err(unavailable().of(caller)) };
        self.metrics.evaluation(laps.lap());
        if let Some(shadow) = self.policy.watch(&input, &decision, now) {
            self.metrics.shadow(shadow.as_ref().map_or_else(|disagreement| disagreement.result, |agrees| *agrees));
            self.disagreement = shadow.err();
        }
        match decision {
            Ok(decision) => Ok(Verdict::of(caller, decision)),
            Err(error) => Err(Denial::from(error).of(caller)),
        }
    }

    /// Counts the verdict, and logs it where it is one to be logged; its ID then.
    fn record(&mut self, request: &Request<'_>, verdict: &Verdict, now: Timestamp) -> Option<String> {
        let outcome = self.outcome(verdict);
        self.metrics.request(outcome);
        if let Verdict::Deny(Denial { reason: Reason::PolicyDenied, caller: Some(caller), .. }) = verdict {
            self.metrics.policy_denial(caller);
        }
        let disagreement = self.disagreement.take();
        if !self.decisions.wants(verdict, disagreement.is_some()) {
            return None;
        }
        let (policy, disagreement) = (self.policy.version(), disagreement.as_ref());
        let (method, target) = (request.method, request.target);
        let decision = Decision { verdict, outcome, method, target, policy, disagreement };
        Some(self.decisions.write(&decision, now))
    }

    /// Once a second: newer envelopes, the bundle's age, what was suppressed.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.bundles.look(now);
        self.policy.look(now);
        self.decisions.tell_suppressed();
        let rejected = self.bundles.rejected().saturating_add(self.policy.shared_data_rejected());
        self.metrics.shared_data_rejected(rejected.saturating_sub(self.counted_rejections));
        self.counted_rejections = rejected;
        let refused = self.policy.rejected();
        self.metrics.policies_rejected(refused.saturating_sub(self.counted_refused_policies));
        self.counted_refused_policies = refused;
        if let Some(age) = self.bundles.current().map(|envelope| envelope.age(now)) {
            self.metrics.bundle_age(age);
            self.warn_when_stale(age);
        }
    }

    fn warn_when_stale(&mut self, age: Duration) {
        let stale = age >= self.config.trust.stale_after;
        if stale && !self.warned_stale {
            let limit = self.config.trust.max_age.as_secs();
            let seconds = age.as_secs();
            let message = format!(
                "the trust bundle is {seconds} s old: at {limit} s every request will be refused; is the companion running?"
            );
            host::log(LogLevel::Warn, &message);
        }
        self.warned_stale = stale;
    }
}

/// What a policy may want to know of the connection; asked of the host only when it does.
#[derive(Default)]
struct Source {
    address: Option<String>,
    peer: Option<String>,
}

impl Source {
    fn of(policy: &PolicySlot) -> Self {
        if !policy.uses(Member::Source) {
            return Self::default();
        }
        let address = host::text_property(&["source", "address"]);
        Self { address: address.map(|text| without_port(&text).to_owned()), peer: peer_spiffe_id() }
    }
}

fn peer_spiffe_id() -> Option<String> {
    host::text_property(&["connection", "uri_san_peer_certificate"])
}

/// `10.0.0.1:80` → `10.0.0.1`, `[::1]:80` → `::1`.
fn without_port(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn named_headers<'a>(headers: &[(&'a str, &'a [u8])], names: &[String]) -> Vec<(&'a str, &'a [u8])> {
    headers.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name)).copied().collect()
}
