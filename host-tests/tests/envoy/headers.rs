//! Headers that a client must not set: `x-scbte-*` in every spelling.

use crate::support::{Outcome, Own, USERS, assert_admitted, assert_serves, good_call, shared, until};
use scbte_host_tests::fixture::{API_GATEWAY, Listener, Request, Response};
use serde_json::{Map, Value, json};

const EVIL: &str = "spiffe://cluster.local/admin";

/// The headers that reached the upstream and could be taken for the filter's.
fn reserved(response: &Response) -> Map<String, Value> {
    let headers = response.json()["headers"].as_object().cloned().unwrap_or_default();
    let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    headers.into_iter().filter(|(name, _)| folded(name).starts_with("x-scbte-")).collect()
}

#[tokio::test]
async fn a_spoofed_identity_is_removed() -> Outcome {
    let stack = shared().await?;
    for name in ["x-scbte-subject", "X-SCBTE-Subject", "x-scbte-context", "x-scbte-token-id", "x-scbte-anything"] {
        let request = good_call(&stack).await?.header(name, EVIL).header(name, EVIL);
        let response = stack.send(&request).await?;
        assert_admitted(&response, name);
        let found = reserved(&response);
        assert_eq!(found.len(), 3, "{name}: {found:?}");
        assert_eq!(found["x-scbte-context"], "read:users", "{name}");
        assert!(found.values().all(|value| value != EVIL), "{name}: {found:?}");
    }
    // As the shipped configuration says: HEADERS_WITH_UNDERSCORES REJECT_REQUEST.
    for name in ["x_scbte_subject", "X_SCBTE_SUBJECT", "x-scbte_subject", "a_b"] {
        let response = stack.send(&good_call(&stack).await?.header(name, EVIL)).await?;
        assert_eq!(response.status, 400, "{name}");
    }
    assert_serves(&stack, "after spoofed headers").await
}

/// Where Envoy lets headers with underscores pass, the filter removes those that could be taken for its own.
pub(crate) async fn underscores_do_not_hide_a_spoofed_identity(stack: &Own) -> Outcome {
    stack.reload(|config| {
        let options = &mut config.connection_manager(Listener::Data)?["common_http_protocol_options"];
        options["headers_with_underscores_action"] = "ALLOW".into();
        config.edit_filter(Listener::Data, |filter| filter["bypass"] = json!([{"method": "GET", "path": "/open"}]))
    })?;
    let open = Request::get("/open").header("a_b", "kept");
    let response = until(stack, "headers with underscores", &open, |found| found.status == 200).await?;
    assert_eq!(response.upstream_header("a_b").as_deref(), Some("kept"));
    for name in ["x_scbte_subject", "X_SCBTE_SUBJECT", "x-scbte_subject", "x_scbte-subject"] {
        let response = stack.send(&good_call(stack).await?.header(name, EVIL)).await?;
        assert_admitted(&response, name);
        assert_eq!(reserved(&response).len(), 3, "{name}");
        let open = stack.send(&Request::get("/open").header(name, EVIL)).await?;
        assert_eq!((open.status, reserved(&open).len()), (200, 0), "{name} where no token is needed");
    }
    Ok(())
}

#[tokio::test]
async fn the_upstream_learns_who_calls_and_not_how_to_be_him() -> Outcome {
    let stack = shared().await?;
    let response = stack.send(&good_call(&stack).await?).await?;
    let found = reserved(&response);
    assert_eq!(found["x-scbte-subject"], API_GATEWAY);
    assert_eq!(found["x-scbte-context"], "read:users");
    assert!(found["x-scbte-token-id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(response.upstream_header("authorization"), None);
    let seen = response.json();
    assert_eq!((seen["method"].as_str(), seen["path"].as_str()), (Some("GET"), Some(USERS)));
    Ok(())
}
