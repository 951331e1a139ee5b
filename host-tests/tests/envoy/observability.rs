//! What operators see of each verdict: the filter's metrics as Prometheus reads them from Envoy, and Envoy's access log
//! as the shipped configuration writes it.

use crate::support::{Outcome, Own, SOON, USERS, assert_refused, gateway, good_call, start};
use scbte_host_tests::fixture::{API_GATEWAY, Error, Listener, Request, eventually};
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn every_verdict_is_counted_and_logged() -> Outcome {
    let stack = start(|builder| {
        builder.edit(|config| {
            config.edit_filter(Listener::Data, |filter| filter["bypass"] = json!([{"method": "GET", "path": "/open"}]))
        })
    })
    .await?;
    let secret = gateway(&stack)?.good_token("write:users");
    stack.send(&good_call(&stack).await?).await?;
    stack.send(&Request::get("/open?secret=1")).await?;
    assert_refused(&stack.send(&Request::get(USERS)).await?, 401, "missing_bearer_token", "no token");
    assert_refused(&stack.send(&Request::get(USERS).bearer("a.b.c")).await?, 401, "malformed", "no token either");
    let denied = stack.send(&Request::get(USERS).bearer(&secret)).await?;
    assert_refused(&denied, 403, "context_not_granted", "not granted");
    assert_refused(&stack.send(&Request::get("/a%3fb").bearer(&secret)).await?, 400, "ambiguous_path", "ambiguous");
    the_access_log_tells(&stack, &secret).await?;
    the_metrics_tell(&stack).await
}

async fn the_access_log_tells(stack: &Own, secret: &str) -> Outcome {
    let expected = [
        json!([200, "allow", null, API_GATEWAY, USERS]),
        json!([200, "bypass", null, null, "/open"]),
        json!([401, "deny", "missing_bearer_token", null, USERS]),
        json!([401, "deny", "malformed", null, USERS]),
        json!([403, "deny", "policy_denied", API_GATEWAY, USERS]),
        json!([400, "deny", "ambiguous_path", null, "/a%3fb"]),
    ];
    let log = stack.folder.join("access.log");
    let text = eventually("a line for each request in the access log", SOON, async || {
        let text = fs::read_to_string(&log).map_err(|error| Error::Config(error.to_string()))?;
        Ok(if text.lines().count() >= expected.len() { Ok(text) } else { Err(text) })
    })
    .await?;
    for (line, expected) in text.lines().zip(&expected) {
        let line: Value = serde_json::from_str(line)?;
        let told = ["status", "verdict", "reason", "subject", "path"].map(|member| line[member].clone());
        assert_eq!(&json!(told), expected);
        assert_eq!(line["decision_id"].is_string(), line["verdict"] == "deny", "{line}");
    }
    for hidden in [secret, "secret=1"] {
        assert!(!text.contains(hidden), "{text}");
    }
    Ok(())
}

async fn the_metrics_tell(stack: &Own) -> Outcome {
    let again = good_call(stack).await?;
    // Each worker has a cache of its own: a second call of eight finds what a first one left.
    for _ in 0..8 {
        stack.send(&again).await?;
    }
    let envoy = stack.envoy()?;
    for (sample, expected) in [
        (requests("allow", "none"), 9.0..=9.0),
        (requests("bypass", "none"), 1.0..=1.0),
        (requests("deny", "missing_bearer_token"), 1.0..=1.0),
        (requests("deny", "malformed"), 1.0..=1.0),
        (requests("deny", "policy_denied"), 1.0..=1.0),
        (requests("deny", "ambiguous_path"), 1.0..=1.0),
        (format!(r#"scbte_policy_denial_total{{sub="{API_GATEWAY}",ctx="write:users"}}"#), 1.0..=1.0),
        (r#"scbte_token_cache_total{result="hit"}"#.to_owned(), 6.0..=7.0),
        ("scbte_trust_bundle_age_seconds{}".to_owned(), 0.0..=90.0),
        ("scbte_verification_duration_microseconds_count{}".to_owned(), 11.0..=11.0),
        ("scbte_opa_evaluation_duration_microseconds_count{}".to_owned(), 10.0..=10.0),
    ] {
        // Envoy adds up its workers' histograms every five seconds.
        eventually(&format!("`{sample}` in {expected:?}"), SOON, async || {
            let text = envoy.prometheus().await?;
            let value = text.lines().find_map(|line| line.strip_prefix(&sample)?.trim().parse().ok());
            Ok(if value.is_some_and(|value| expected.contains(&value)) { Ok(()) } else { Err(ours(&text)) })
        })
        .await?;
    }
    Ok(())
}

fn requests(verdict: &str, reason: &str) -> String {
    format!(r#"scbte_requests_total{{verdict="{verdict}",reason="{reason}"}}"#)
}

/// The filter's samples, for the message.
fn ours(text: &str) -> String {
    let ours = text.lines().filter(|line| line.starts_with("scbte_") && !line.contains("_bucket"));
    ours.map(|line| format!("\n{line}")).collect()
}
