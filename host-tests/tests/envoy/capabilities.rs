//! The optional list of what the module may ask of Envoy: with it, everything works as without.

use crate::support::{Outcome, USERS, assert_admitted, assert_refused, good_call, start, until};
use scbte_host_tests::fixture::{Listener, Request};
use serde_json::json;

#[tokio::test]
async fn the_capability_list_has_all_that_the_filter_needs() -> Outcome {
    let policy = "package scbte\n\nallow := {\"allow\": true, \"response_headers\": {\"x-seen\": \"yes\"}}\n";
    let stack = start(|builder| {
        builder
            .render_with(&["--with-capability-list"])
            .watched()
            .edit(move |config| config.edit_filter(Listener::Data, |filter| filter["policy"] = json!({"rego": policy})))
    })
    .await?;
    let call = good_call(&stack).await?;
    let response = stack.send(&call).await?;
    assert_admitted(&response, "with the capability list");
    assert_eq!(response.header("x-seen"), Some("yes"));
    assert_refused(&stack.send(&Request::get(USERS)).await?, 401, "missing_bearer_token", "no token");
    let status = stack.control().status().await?;
    assert_eq!(status.verifier, "verify_signature");
    assert_eq!(stack.control().put_bundle("no envelope").await?.status, 400);
    stack.reload(|config| config.edit_filter(Listener::Data, |filter| filter["audiences"] = json!(["billing"])))?;
    until(&stack, "another configuration", &call, |response| response.status == 401).await?;
    let metrics = stack.envoy()?.prometheus().await?;
    assert!(metrics.contains("scbte_requests_total{"), "no metrics");
    Ok(())
}
