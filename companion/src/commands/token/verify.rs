//! `scbte token verify`: every check that the filter makes, each with its outcome in plain words.
//!
//! The checks are the filter's own functions, in its order; all that can be made are made, even after one failed, so
//! that a person sees everything that is wrong. The first that failed is the reason that the filter gives.

use super::TokenArg;
use crate::clock;
use crate::commands::bundle::DEFAULT_ADMIN;
use crate::commands::trusted::TrustedArgs;
use crate::commands::{Output, Result};
use crate::words::{relative, utc, visible};
use scbte_core::audience::Audience;
use scbte_core::base64;
use scbte_core::bundle::BundleSet;
use scbte_core::certificate::{CertificateError, Leaf};
use scbte_core::chain::{self, ChainError, ValidChain};
use scbte_core::reason::Reason;
use scbte_core::signature::{InModule, verify_es256};
use scbte_core::time::Timestamp;
use scbte_core::token::{Token, TokenError, TokenRules};
use serde_json::{Value, json};

/// Check a token as the filter does, and say what fails. The exit code is 1 when the token is refused
#[derive(clap::Args)]
#[command(after_help = "\
The policy is not asked: it decides in Envoy what an admitted caller may do.

Examples:
  scbte token verify eyJ… --state-dir target/demo --aud api.production.svc.cluster.local
  scbte token mint … |
      scbte token verify --admin http://127.0.0.1:8091 --aud api --method GET --path /api/v1/users")]
pub(crate) struct Verify {
    #[command(flatten)]
    token: TokenArg,

    #[command(flatten)]
    trusted: TrustedArgs,

    /// An audience of the service; repeat for several
    #[arg(long, value_name = "AUDIENCE", required = true)]
    aud: Vec<String>,

    /// The request's method, for a token that is bound to one
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// The request's path without its query, for a token that is bound to one
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Also accept this `typ`, such as JWT; repeat for several
    #[arg(long, value_name = "TYPE")]
    accept_typ: Vec<String>,

    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn execute(self) -> Result<Output> {
        let trusted = self.trusted.load(DEFAULT_ADMIN)?;
        let mut rules = TokenRules::default();
        rules.accept_typ.extend(self.accept_typ);
        let service = Service {
            rules,
            audiences: self.aud.iter().map(|name| Audience::parse(name)).collect::<Result<_, _>>()?,
            method: self.method,
            path: self.path,
        };
        let report = service.check(&self.token.read()?, trusted.bundles.set(), clock::now());
        let text =
            if self.json { report.json() } else { format!("trust bundle from {}\n{}", trusted.origin, report.words()) };
        Ok(Output { text, success: report.reason().is_none() })
    }
}

/// The service that a token is held against.
struct Service {
    rules: TokenRules,
    audiences: Vec<Audience>,
    method: Option<String>,
    path: Option<String>,
}

/// One check.
struct Check {
    name: &'static str,
    outcome: Outcome,
}

enum Outcome {
    Passed(String),
    Failed(Reason, String),
    Impossible(&'static str),
}

/// All checks, in the filter's order.
struct Report {
    checks: Vec<Check>,
}

const CHECKS: [&str; 7] = ["form", "time", "audience", "binding", "chain", "subject", "signature"];

impl Service {
    fn check(&self, text: &str, bundles: &BundleSet, now: Timestamp) -> Report {
        let token = match Token::parse(text, &self.rules) {
            Ok(token) => token,
            Err(error) => return Report::of_no_token(&error),
        };
        let form = format!("an SCBTE token of {} bytes", text.len());
        let chain = validate(&token, bundles, now, &self.rules);
        let outcomes = [
            Outcome::Passed(form),
            self.time(&token, now),
            self.audience(&token),
            self.binding(&token),
            chain_outcome(&chain, now),
            subject(&token, &chain),
            signature(&token),
        ];
        Report { checks: CHECKS.into_iter().zip(outcomes).map(|(name, outcome)| Check { name, outcome }).collect() }
    }

    fn time(&self, token: &Token<'_>, now: Timestamp) -> Outcome {
        let exp = Timestamp::from_secs(token.claims.exp);
        let words = format!("expires {}, {}", utc(exp), relative(exp, now));
        outcome(token.claims.check_time(self.rules.clock_skew, now).map(|()| words))
    }

    fn audience(&self, token: &Token<'_>) -> Outcome {
        let matched = token.claims.check_audience(&self.audiences);
        outcome(matched.map(|audience| format!("for `{}`", visible(audience.as_str()))))
    }

    fn binding(&self, token: &Token<'_>) -> Outcome {
        let claims = &token.claims;
        // A request always has a method and a path; what is not given here matches nothing.
        let (method, path) = (self.method.as_deref().unwrap_or_default(), self.path.as_deref().unwrap_or_default());
        let words = match (&claims.htm, &claims.htp) {
            (None, None) => "not bound to a method or a path",
            _ => "bound to this request",
        };
        outcome(claims.check_binding(method, path, self.rules.require_binding).map(|()| words.to_owned()))
    }
}

fn outcome(result: Result<String, TokenError>) -> Outcome {
    match result {
        Ok(words) => Outcome::Passed(words),
        Err(error) => Outcome::Failed(error.reason(), visible(&error.to_string())),
    }
}

fn validate(
    token: &Token<'_>,
    bundles: &BundleSet,
    now: Timestamp,
    rules: &TokenRules,
) -> Result<ValidChain, ChainError> {
    if token.x5c.len() > chain::MAX_CERTIFICATES {
        return Err(ChainError::Length { found: token.x5c.len() });
    }
    let certificates =
        token.x5c.iter().enumerate().map(|(index, text)| der(index, text)).collect::<Result<Vec<_>, _>>()?;
    chain::validate(&certificates, bundles, &InModule, now, rules.clock_skew)
}

fn der(index: usize, text: &str) -> Result<Vec<u8>, ChainError> {
    base64::decode_standard(text).map_err(|error| ChainError::Certificate {
        position: index + 1,
        source: CertificateError::Unparseable(error.to_string()),
    })
}

fn chain_outcome(chain: &Result<ValidChain, ChainError>, now: Timestamp) -> Outcome {
    match chain {
        Ok(chain) => {
            let ends = relative(chain.not_after, now);
            Outcome::Passed(format!("leads to an authority of `{}`, ends {ends}", chain.id.trust_domain()))
        }
        Err(error) => Outcome::Failed(error.reason(), visible(&error.to_string())),
    }
}

fn subject(token: &Token<'_>, chain: &Result<ValidChain, ChainError>) -> Outcome {
    let Ok(chain) = chain else { return Outcome::Impossible("the chain is not valid") };
    if token.claims.sub == chain.id {
        return Outcome::Passed(format!("`{}`, as in the certificate", chain.id));
    }
    let words = format!("`sub` is `{}`, the certificate is for `{}`", token.claims.sub, chain.id);
    Outcome::Failed(Reason::SubjectMismatch, words)
}

/// Made with the leaf's key, whoever vouches for the leaf: that a token was altered shows even when its chain is bad.
fn signature(token: &Token<'_>) -> Outcome {
    let leaf = token.x5c.first().and_then(|text| base64::decode_standard(text).ok());
    let Some(leaf) = leaf.and_then(|der| Leaf::parse(&der).ok()) else {
        return Outcome::Impossible("the leaf has no usable key");
    };
    match verify_es256(&InModule, &leaf.spki, token.signing_input.as_bytes(), &token.signature) {
        Ok(()) => Outcome::Passed("made with the leaf's key".to_owned()),
        Err(_) => {
            Outcome::Failed(Reason::BadSignature, "not made with the leaf's key, or the token was altered".into())
        }
    }
}

impl Report {
    fn of_no_token(error: &TokenError) -> Self {
        let rest = CHECKS[1..].iter().map(|name| Check { name, outcome: Outcome::Impossible("this is no token") });
        let form = Check { name: CHECKS[0], outcome: Outcome::Failed(error.reason(), visible(&error.to_string())) };
        Self { checks: std::iter::once(form).chain(rest).collect() }
    }

    /// Why the filter refuses the token, if it does.
    fn reason(&self) -> Option<Reason> {
        self.checks.iter().find_map(|check| match check.outcome {
            Outcome::Failed(reason, _) => Some(reason),
            _ => None,
        })
    }

    fn words(&self) -> String {
        let mut text = String::new();
        for Check { name, outcome } in &self.checks {
            text += &match outcome {
                Outcome::Passed(words) => format!("  ok      {name:<10} {words}\n"),
                Outcome::Failed(reason, words) => format!("  FAILED  {name:<10} {words} [{}]\n", reason.code()),
                Outcome::Impossible(why) => format!("  -       {name:<10} not checked: {why}\n"),
            };
        }
        text + &match self.reason() {
            None => "VALID: the filter takes this token; what its caller may do is the policy's to say\n".to_owned(),
            Some(reason) => {
                format!("REFUSED: the filter answers {} {}, {}\n", reason.status(), reason.error(), reason.code())
            }
        }
    }

    fn json(&self) -> String {
        let reason = self.reason();
        let report = json!({
            "valid": reason.is_none(),
            "status": reason.map(Reason::status),
            "error": reason.map(Reason::error),
            "reason": reason.map(Reason::code),
            "checks": self.checks.iter().map(Check::json).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

impl Check {
    fn json(&self) -> Value {
        match &self.outcome {
            Outcome::Passed(words) => json!({"check": self.name, "passed": true, "detail": words}),
            Outcome::Failed(reason, words) => {
                json!({"check": self.name, "passed": false, "reason": reason.code(), "detail": words})
            }
            Outcome::Impossible(why) => json!({"check": self.name, "passed": null, "detail": why}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_ca::{self, Authority, SVID_LIFETIME};
    use crate::identity::{Bundles, Svid};
    use scbte_core::cache::CacheSecret;
    use scbte_core::spiffe_id::{SpiffeId, TrustDomain};
    use scbte_core::token;
    use scbte_core::verify::{Request, Verifier};
    use serde_json::Map;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn authority() -> Authority {
        Authority::generate(&TrustDomain::parse("td").unwrap(), NOW).unwrap()
    }

    fn bundles(trust_domain: &str, authority: &Authority) -> Bundles {
        let bundle = dev_ca::spiffe_bundle(std::slice::from_ref(authority.certificate())).unwrap();
        Bundles::new(Map::from_iter([(trust_domain.to_owned(), bundle)])).unwrap()
    }

    fn service(method: Option<&str>, path: Option<&str>) -> Service {
        Service {
            rules: TokenRules::default(),
            audiences: vec![Audience::parse("api").unwrap()],
            method: method.map(str::to_owned),
            path: path.map(str::to_owned),
        }
    }

    /// What the filter would say.
    fn filters_reason(service: &Service, text: &str, bundles: &BundleSet) -> Option<Reason> {
        let mut verifier =
            Verifier::new(service.rules.clone(), service.audiences.clone(), &InModule, CacheSecret::new([1; 16]));
        let facts = Request {
            method: service.method.as_deref().unwrap_or_default(),
            path: service.path.as_deref().unwrap_or_default(),
            peer: None,
        };
        verifier.verify(text, &facts, bundles, NOW).err().map(|error| error.reason())
    }

    fn token(svid: &Svid, changes: Value) -> String {
        let mut claims = json!({"sub": "spiffe://td/a", "aud": "api", "ctx": "read:users", "jti": "1",
            "iat": NOW.secs(), "exp": NOW.secs() + 300});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        token::sign::token(claims.as_object().unwrap(), svid.chain(), svid.kid(), svid.key())
    }

    #[test]
    fn the_reason_is_the_filters_own() {
        let ca = authority();
        let good = bundles("td", &ca);
        let svid = ca.issue(&SpiffeId::parse("spiffe://td/a").unwrap(), NOW, SVID_LIFETIME).unwrap();
        let plain = token(&svid, json!({}));
        let altered = plain.rsplit_once('.').unwrap().0.to_owned() + "." + &base64::encode_url([1; 64]);
        let bound = token(&svid, json!({"htm": "GET", "htp": "/a"}));
        let past = json!({"iat": NOW.secs() - 900, "exp": NOW.secs() - 600});
        let (any, request) = (service(None, None), service(Some("GET"), Some("/a")));
        for (name, text, service, bundles, expected) in [
            ("good", plain.clone(), &any, &good, None),
            ("bound", bound.clone(), &request, &good, None),
            ("bound, no request given", bound, &any, &good, Some(Reason::BindingMismatch)),
            ("expired", token(&svid, past.clone()), &any, &good, Some(Reason::Expired)),
            ("not yet", token(&svid, json!({"iat": NOW.secs() + 60})), &any, &good, Some(Reason::NotYetValid)),
            ("other audience", token(&svid, json!({"aud": "b"})), &any, &good, Some(Reason::AudienceMismatch)),
            (
                "other subject",
                token(&svid, json!({"sub": "spiffe://td/b"})),
                &any,
                &good,
                Some(Reason::SubjectMismatch),
            ),
            ("altered", altered, &any, &good, Some(Reason::BadSignature)),
            ("other authority", plain.clone(), &any, &bundles("td", &authority()), Some(Reason::UntrustedChain)),
            ("other trust domain", plain.clone(), &any, &bundles("other", &ca), Some(Reason::UnknownTrustDomain)),
            ("too long", token(&svid, json!({"exp": NOW.secs() + 301})), &any, &good, Some(Reason::LifetimeTooLong)),
            ("too large", token(&svid, json!({"x": "a".repeat(9000)})), &any, &good, Some(Reason::TokenTooLarge)),
            ("no token", "a.b.c".to_owned(), &any, &good, Some(Reason::Malformed)),
            ("nothing", String::new(), &any, &good, Some(Reason::Malformed)),
            // The first of several counts.
            (
                "expired, other audience",
                token(&svid, json!({"aud": "b", "iat": 1, "exp": 2})),
                &any,
                &good,
                Some(Reason::Expired),
            ),
        ] {
            let report = service.check(&text, bundles.set(), NOW);
            assert_eq!(report.reason(), expected, "{name}: {}", report.words());
            assert_eq!(filters_reason(service, &text, bundles.set()), expected, "{name}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        let ca = authority();
        let svid = ca.issue(&SpiffeId::parse("spiffe://td/a").unwrap(), NOW, SVID_LIFETIME).unwrap();
        let text = token(&svid, json!({"aud": "b", "iat": NOW.secs() - 900, "exp": NOW.secs() - 600}));
        let report = service(None, None).check(&text, bundles("td", &authority()).set(), NOW);
        let words = report.words();
        for part in ["[expired]", "[audience_mismatch]", "[untrusted_chain]", "ok      signature", "-       subject"] {
            assert!(words.contains(part), "{words}");
        }
        assert!(words.ends_with("REFUSED: the filter answers 401 invalid_token, expired\n"), "{words}");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&json["valid"], &json["reason"], &json["status"]), (&json!(false), &json!("expired"), &json!(401)));
        assert_eq!(json["checks"].as_array().unwrap().len(), CHECKS.len());
    }
}
