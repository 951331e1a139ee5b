//! What a caller gets: each row of the design's table, over HTTP and as a gRPC call.

use crate::support::{ORDERS, Outcome, USERS, assert_refused, gateway, shared};
use scbte_core::base64;
use scbte_host_tests::fixture::{
    API_GATEWAY, Authority, Error, ORDER_SERVICE, Request, Response, Stack, TRUST_DOMAIN, Workload, claims, now,
};
use serde_json::{Map, Value, json};

/// One row: a request and the answer to it.
struct Row {
    request: Request,
    status: u16,
    error: &'static str,
    detail: Option<&'static str>,
}

impl Row {
    fn invalid_token(token: &str, detail: &'static str) -> Self {
        Self { request: Request::get(USERS).bearer(token), status: 401, error: "invalid_token", detail: Some(detail) }
    }

    fn challenge(&self) -> Option<String> {
        match (self.status, self.detail) {
            (401, Some(detail)) => {
                Some(format!(r#"Bearer realm="scbte", error="invalid_token", error_description="{detail}""#))
            }
            (401, None) => Some(r#"Bearer realm="scbte""#.to_owned()),
            (403, _) => Some(r#"Bearer realm="scbte", error="insufficient_scope""#.to_owned()),
            _ => None,
        }
    }

    /// Envoy's mapping of HTTP statuses.
    fn grpc_status(&self) -> &'static str {
        match self.status {
            400 => "13",
            401 => "16",
            403 => "7",
            503 => "14",
            _ => "2",
        }
    }

    #[track_caller]
    fn check(&self, response: &Response) {
        let name = self.detail.unwrap_or(self.error);
        // The decision log's name for it, different each time.
        let id = response.member("decision_id").unwrap_or_default();
        assert!(id.len() > 17 && response.header("x-scbte-decision-id") == Some(&id), "{name}: {}", response.text());
        let mut body = json!({"error": self.error, "decision_id": id});
        if let Some(detail) = self.detail {
            body["detail"] = detail.into();
        }
        assert_eq!((response.status, response.json()), (self.status, body), "{name}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"), "{name}");
        assert_eq!(response.header("www-authenticate"), self.challenge().as_deref(), "{name}");
    }

    async fn check_all(&self, stack: &Stack) -> Result<(), Error> {
        self.check(&stack.send(&self.request).await?);
        let response = stack.send(&self.request.clone().grpc()).await?;
        let name = self.detail.unwrap_or(self.error);
        let found = (response.status, response.header("grpc-status"));
        assert_eq!(found, (200, Some(self.grpc_status())), "{name} as a gRPC call: {response:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_caller_learns_the_reason() -> Outcome {
    let stack = shared().await?;
    let caller = gateway(&stack)?;
    for row in token_rows(&caller)? {
        row.check_all(&stack).await?;
    }
    let good = caller.good_token("read:users");
    let denied = Authority::load(&stack.folder)?.issue(ORDER_SERVICE)?.good_token("read:users");
    for (request, status, error, detail) in [
        (Request::get(USERS), 401, "missing_bearer_token", None),
        (Request::get(USERS).header("authorization", "Basic YTpi"), 401, "missing_bearer_token", None),
        (Request::get(USERS).bearer(&denied), 403, "policy_denied", Some("context_not_granted")),
        (Request::post(ORDERS).bearer(&good), 403, "policy_denied", Some("not_permitted")),
        (Request::get("/a%3fb").bearer(&good), 400, "ambiguous_path", None),
    ] {
        Row { request, status, error, detail }.check_all(&stack).await?;
    }
    Ok(())
}

/// A token for each reason code that the usual configuration can give.
fn token_rows(caller: &Workload) -> Result<Vec<Row>, Error> {
    let now = now().secs();
    let with = |changes: &[(&str, Value)]| {
        let mut claims = claims(API_GATEWAY, "read:users");
        claims.extend(changes.iter().map(|(claim, value)| ((*claim).to_owned(), value.clone())));
        caller.token(&claims)
    };
    let good = caller.good_token("read:users");
    let stranger = Authority::new(TRUST_DOMAIN)?.issue(API_GATEWAY)?;
    let foreigner = Authority::new("elsewhere.test")?.issue("spiffe://elsewhere.test/a")?;
    let untyped = |header: &mut Map<String, Value>| drop(header.insert("typ".into(), "JWT".into()));
    let payload = Value::Object(claims(API_GATEWAY, "read:users")).to_string();
    let rows = [
        (with(&[("iat", (now - 600).into()), ("exp", (now - 300).into())]), "expired"),
        (with(&[("nbf", (now + 200).into())]), "not_yet_valid"),
        (with(&[("aud", "billing.production.svc.cluster.local".into())]), "audience_mismatch"),
        (with_signature_of(&caller.good_token("write:users"), &good), "bad_signature"),
        (stranger.good_token("read:users"), "untrusted_chain"),
        (foreigner.good_token("read:users"), "unknown_trust_domain"),
        (with(&[("sub", ORDER_SERVICE.into())]), "subject_mismatch"),
        ("no.token.at.all".to_owned(), "malformed"),
        (unsigned(&good), "unsupported_algorithm"),
        (caller.odd_token(untyped, payload.as_bytes()), "unsupported_type"),
        (with(&[("pad", "a".repeat(8192).into())]), "token_too_large"),
        (with(&[("exp", (now + 3600).into())]), "lifetime_too_long"),
        (with(&[("htm", "POST".into())]), "binding_mismatch"),
    ];
    Ok(rows.iter().map(|(token, detail)| Row::invalid_token(token, detail)).collect())
}

fn with_signature_of(other: &str, token: &str) -> String {
    let signature = other.rsplit('.').next().unwrap_or_default();
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    format!("{signed}.{signature}")
}

/// The old trick: `alg` is `none`, and there is no signature.
fn unsigned(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap_or_default();
    format!("{}.{payload}.", base64::encode_url(r#"{"alg":"none","typ":"scbte+jwt"}"#))
}

/// The row for a filter that nobody has given a trust bundle yet.
pub(crate) async fn without_a_bundle_it_cannot_judge(stack: &Stack) -> Outcome {
    let token = Authority::new(TRUST_DOMAIN)?.issue(API_GATEWAY)?.good_token("read:users");
    let request = Request::get(USERS).bearer(&token);
    Row { request, status: 503, error: "trust_bundle_unavailable", detail: None }.check_all(stack).await?;
    // Who has no token learns that first.
    let response = stack.send(&Request::get(USERS)).await?;
    assert_refused(&response, 401, "missing_bearer_token", "without a token");
    Ok(())
}
