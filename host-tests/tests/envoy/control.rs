//! The control API: what is signed for this filter is taken, everything else refused, and what was in force stays so.

use crate::support::{
    Failure, Outcome, Own, SOON, USERS, assert_admitted, assert_refused, gateway, good_call, shared, start, until,
};
use scbte_core::envelope::sign::Signing;
use scbte_core::time::Timestamp;
use scbte_host_tests::fixture::{
    API_GATEWAY, Authority, Control, EnvelopeKey, Error, Listener, Request, TRUST_DOMAIN, bundle_of, dev_bundle,
    eventually, now, send,
};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// `control.max_body` in these tests.
const MAX_BODY: usize = 64 << 10;

/// A stack whose envelopes the test signs, and which refuses dev trust domains.
async fn pushed_by_hand() -> Result<Own, Failure> {
    start(|builder| {
        builder.without_companion().edit(|config| {
            config.edit_filter(Listener::Data, |filter| filter["trust"]["allow_dev"] = false.into())?;
            config.edit_filter(Listener::Control, |filter| {
                filter["trust"]["allow_dev"] = false.into();
                filter["control"]["max_body"] = MAX_BODY.into();
            })
        })
    })
    .await
}

/// How a production companion would sign now.
fn signing() -> Signing<'static> {
    Signing { dev: false, ..dev_bundle() }
}

fn at(moment: Timestamp) -> Signing<'static> {
    Signing { now: moment, seq: moment.micros(), ..signing() }
}

async fn in_force(control: &Control) -> Result<(Option<u64>, Option<String>), Failure> {
    let status = control.status().await?;
    Ok((status.seq, status.revision))
}

#[tokio::test]
async fn only_what_is_signed_for_this_filter_is_taken() -> Outcome {
    let stack = pushed_by_hand().await?;
    let (control, key) = (stack.control(), stack.envelope_key()?);
    let authority = Authority::new(TRUST_DOMAIN)?;
    let call = Request::get(USERS).bearer(&authority.issue(API_GATEWAY)?.good_token("read:users"));
    let (ours, theirs) = (bundle_of(&[&authority])?, bundle_of(&[&Authority::new(TRUST_DOMAIN)?])?);
    let status = control.status().await?;
    assert_eq!((status.seq, status.trust_domains.len()), (None, 0), "before the first push");

    let good = signing();
    let envelope = key.bundle(&good, &ours);
    let taken = control.put_bundle(&envelope).await?;
    let revision = control.status().await?.revision;
    assert_eq!((taken.status, taken.json()), (200, json!({"seq": good.seq, "revision": revision})));
    assert_admitted(&until(&stack, "the first good call", &call, |response| response.status == 200).await?, "pushed");
    let before = in_force(&control).await?;

    let stranger = EnvelopeKey::generate()?;
    let later = || Signing { seq: now().micros(), ..signing() };
    let huge = json!({TRUST_DOMAIN: {"keys": [], "pad": "a".repeat(2 * MAX_BODY)}});
    let tampered = with_payload_of(&key.bundle(&later(), &theirs), &envelope);
    for (name, envelope, status) in [
        ("the same again", envelope.clone(), 200),
        ("same seq, other bytes", key.bundle(&good, &theirs), 409),
        (
            "same seq, other signature of the same",
            key.bundle(&Signing { kid: Some(&kid(&key)?), ..good.clone() }, &ours),
            409,
        ),
        ("older", key.bundle(&at(good.now.minus(HOUR)), &theirs), 409),
        ("expired", key.bundle(&at(good.now.minus(25 * HOUR)), &theirs), 409),
        ("from the future", key.bundle(&at(good.now.plus(HOUR)), &theirs), 409),
        ("seq from the future", key.bundle(&Signing { seq: good.seq + 3_600_000_000, ..signing() }, &theirs), 409),
        ("another key", stranger.bundle(&later(), &theirs), 401),
        (
            "another key that claims our kid",
            stranger.bundle(&Signing { kid: Some(&kid(&key)?), ..later() }, &theirs),
            401,
        ),
        ("tampered with", tampered, 401),
        ("another target", key.bundle(&Signing { target: "production", ..later() }, &theirs), 401),
        ("a dev trust domain", key.bundle(&Signing { dev: true, ..later() }, &theirs), 401),
        ("a policy", key.policy(&later(), &json!({})), 400),
        ("a token's typ", key.odd("scbte+jwt", &json!({})), 400),
        ("no members", key.odd("scbte-bundle+jwt", &json!({})), 400),
        (
            "a bundle that is none",
            key.bundle(&later(), &json!({TRUST_DOMAIN: {"keys": [{"use": "x509-svid", "x5c": ["AA=="]}]}})),
            400,
        ),
        ("empty", String::new(), 400),
        ("no JWS", "hello".to_owned(), 400),
        ("JSON", ours.to_string(), 400),
        ("two envelopes", format!("{envelope}\n{envelope}"), 400),
        ("oversize", key.bundle(&later(), &huge), 413),
    ] {
        let response = control.put_bundle(&envelope).await?;
        assert_eq!(response.status, status, "{name}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"), "{name}");
        assert_eq!(in_force(&control).await?, before, "{name}");
    }
    assert_admitted(&stack.send(&call).await?, "after all that");

    let newer = key.bundle(&later(), &theirs);
    assert_eq!(control.put_bundle(&newer).await?.status, 200);
    let refused = until(&stack, "the old authority to be gone", &call, |response| response.status == 401).await?;
    assert_refused(&refused, 401, "untrusted_chain", "an authority that is not in the newer bundle");
    assert_eq!(control.put_bundle(&envelope).await?.status, 409, "replayed");
    Ok(())
}

/// Another envelope's payload under this one's signature.
fn with_payload_of(other: &str, envelope: &str) -> String {
    let part = |text: &str, at| text.split('.').nth(at).unwrap_or_default().to_owned();
    format!("{}.{}.{}", part(envelope, 0), part(other, 1), part(envelope, 2))
}

fn kid(key: &EnvelopeKey) -> Result<String, Failure> {
    Ok(key.public()?.thumbprint())
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() -> Outcome {
    let stack = shared().await?;
    let revision = stack.control().status().await?.revision;
    for body in [&b"\xff\xfe"[..], b"a.b.\xff", b"\0"] {
        for response in [stack.control().put_bundle(body).await?, stack.control().put_policy(body).await?] {
            assert_eq!(response.status, 400, "{}", response.text());
        }
    }
    assert_eq!(stack.control().status().await?.revision, revision);
    Ok(())
}

#[tokio::test]
async fn there_is_nothing_else_on_the_control_listener() -> Outcome {
    let stack = shared().await?;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v1/bundle"),
        ("POST", "/v1/bundle"),
        ("DELETE", "/v1/bundle"),
        ("PUT", "/v1/status"),
        ("PUT", "/v1/bundle/"),
        ("PUT", "/v2/bundle"),
        ("GET", "/v1/status?x=y"),
        ("GET", USERS),
    ] {
        let response = send(stack.ports.control, &Request::new(method, path).body("x")).await?;
        assert_eq!(response.status, 404, "{method} {path}: {}", response.text());
    }
    Ok(())
}

#[tokio::test]
async fn the_data_listener_takes_no_envelopes() -> Outcome {
    let stack = shared().await?;
    let revision = stack.control().status().await?.revision;
    let envelope = stack.envelope_key()?.bundle(&dev_bundle(), &bundle_of(&[&Authority::new(TRUST_DOMAIN)?])?);
    for request in [
        Request::new("PUT", "/v1/bundle").body(&envelope),
        Request::new("PUT", "/v1/policy").body(&envelope),
        Request::get("/v1/status"),
    ] {
        let response = stack.send(&request).await?;
        assert_refused(&response, 401, "missing_bearer_token", &request.line());
        let with_token =
            Request::new("PUT", "/v1/bundle").body(&envelope).bearer(&gateway(&stack)?.good_token("read:users"));
        assert_refused(&stack.send(&with_token).await?, 403, "not_permitted", "with a good token");
    }
    assert_eq!(stack.control().status().await?.revision, revision);
    Ok(())
}

#[tokio::test]
async fn policies_are_pushed_the_same_way() -> Outcome {
    let stack = start(|builder| {
        builder.edit(|config| {
            config.edit_filter(Listener::Data, |filter| filter["policy"] = json!({"source": "companion"}))
        })
    })
    .await?;
    let (control, key) = (stack.control(), stack.envelope_key()?);
    let call = good_call(&stack).await?;
    assert_refused(&stack.send(&call).await?, 503, "policy_unavailable", "before the first policy");

    let later = || Signing { seq: now().micros(), ..dev_bundle() };
    let policy = |rego: &str| -> Value {
        json!({"modules": {"a.rego": format!("package scbte\n{rego}")}, "entrypoint": "data.scbte.allow", "rego_version": 1})
    };
    let everybody = policy("allow := true");
    for (name, envelope, status) in [
        ("another key", EnvelopeKey::generate()?.policy(&later(), &everybody), 401),
        ("another target", key.policy(&Signing { target: "production", ..later() }, &everybody), 401),
        ("a bundle", key.bundle(&later(), &json!({})), 400),
        ("no Rego", key.policy(&later(), &policy("allow := ")), 422),
        ("recursion", key.policy(&later(), &policy("allow if deny\ndeny if allow")), 422),
    ] {
        let response = control.put_policy(&envelope).await?;
        assert_eq!(response.status, status, "{name}: {}", response.text());
        assert_refused(&stack.send(&call).await?, 503, "policy_unavailable", name);
    }
    let response = control.put_policy(key.policy(&later(), &everybody)).await?;
    assert_eq!(response.status, 200, "{}", response.text());
    let first = another_policy(&control, None).await?;
    assert_admitted(&stack.send(&call).await?, "by the first policy");

    let nobody = policy("allow := {\"allow\": false, \"reason\": \"closed\"}");
    assert_eq!(control.put_policy(key.policy(&later(), &nobody)).await?.status, 200);
    another_policy(&control, first).await?;
    assert_refused(&stack.send(&call).await?, 403, "closed", "by the next policy");
    assert_eq!(control.put_policy(key.policy(&later(), &policy("allow := "))).await?.status, 422);
    assert_refused(&stack.send(&call).await?, 403, "closed", "after a policy that was refused");
    Ok(())
}

/// Waits until all workers run one policy, other than that of before: its digest.
async fn another_policy(control: &Control, before: Option<String>) -> Result<Option<String>, Error> {
    eventually("one other policy on all workers", SOON, async || {
        let status = control.status().await?;
        let digest = status.roots.first().and_then(|root| root.policy.clone());
        let one = digest.is_some() && status.roots.iter().all(|root| root.policy == digest);
        Ok(if one && digest != before { Ok(digest) } else { Err(format!("{:?}", status.roots)) })
    })
    .await
}
