//! Each setting of the filter that changes what becomes of a request, in one Envoy that is given one configuration after
//! the other.

use crate::support::{ORDERS, Outcome, Own, USERS, assert_admitted, assert_refused, gateway, good_call, start, until};
use crate::{headers, paths};
use scbte_host_tests::fixture::{API_GATEWAY, AUDIENCE, Error, Listener, Request, Response};
use serde_json::{Value, json};

fn reload(stack: &Own, edit: impl FnOnce(&mut Value)) -> Result<(), Error> {
    stack.reload(|config| config.edit_filter(Listener::Data, edit))
}

fn says(response: &Response, reason: &str) -> bool {
    response.reason().as_deref() == Some(reason)
}

/// Delivers a configuration and repeats a request until its answer is a wanted one.
async fn with(
    stack: &Own,
    what: &str,
    edit: impl FnOnce(&mut Value),
    request: &Request,
    wanted: impl Fn(&Response) -> bool,
) -> Result<Response, Error> {
    reload(stack, edit)?;
    until(stack, what, request, wanted).await
}

#[tokio::test]
async fn every_setting_does_what_it_says() -> Outcome {
    let stack = start(|builder| builder.watched()).await?;
    bypass(&stack).await?;
    shadow(&stack).await?;
    token_settings(&stack).await?;
    policy_outcomes(&stack).await?;
    errors_without_detail(&stack).await?;
    headers::underscores_do_not_hide_a_spoofed_identity(&stack).await?;
    paths::without_normalisation_the_filter_alone_refuses(&stack).await
}

async fn bypass(stack: &Own) -> Outcome {
    let rules = json!([{"method": "GET", "path": "/healthz"}, {"method": "GET", "path_prefix": "/public"}]);
    let open = Request::get("/healthz").header("x-scbte-subject", "spiffe://cluster.local/admin");
    let response = with(stack, "bypass", |filter| filter["bypass"] = rules, &open, |found| found.status == 200).await?;
    assert_eq!(response.upstream_header("x-scbte-subject"), None, "a bypass gives nobody an identity");
    for path in ["/healthz", "/healthz?x=y", "/public", "/public/a/b"] {
        assert_eq!(stack.send(&Request::get(path)).await?.status, 200, "{path}");
    }
    for (method, path) in
        [("POST", "/healthz"), ("GET", "/healthz/"), ("GET", "/healthz/a"), ("GET", "/publicity"), ("GET", "/Public")]
    {
        let response = stack.send(&Request::new(method, path).body("")).await?;
        assert_refused(&response, 401, "missing_bearer_token", path);
    }
    let climbing = stack.send(&Request::get("/public/../api/v1/users")).await?;
    assert_refused(&climbing, 401, "missing_bearer_token", "out of the open part");
    for path in ["/public/..%2fapi/v1/users", "/public/%zz", "/public%3f/a"] {
        assert_eq!(stack.send(&Request::get(path)).await?.status, 400, "{path}");
    }
    Ok(())
}

async fn shadow(stack: &Own) -> Outcome {
    let spoofed = Request::post(ORDERS).header("x-scbte-subject", API_GATEWAY).bearer("no.good.token");
    let shadow = |filter: &mut Value| filter["mode"] = "shadow".into();
    let response = with(stack, "shadow mode", shadow, &spoofed, |found| found.status == 200).await?;
    assert_eq!(response.upstream_header("x-scbte-subject"), None, "a denied caller has no identity");
    assert_eq!(response.upstream_header("authorization").as_deref(), Some("Bearer no.good.token"));
    assert_eq!(stack.send(&Request::get(USERS)).await?.status, 200, "without a token");
    assert_admitted(&stack.send(&good_call(stack).await?).await?, "a good call");
    let metrics = stack.envoy()?.prometheus().await?;
    assert!(metrics.contains(r#"verdict="shadow_deny""#), "nothing was counted");
    Ok(())
}

async fn token_settings(stack: &Own) -> Outcome {
    let good = good_call(stack).await?;
    let forwards = |found: &Response| found.upstream_header("authorization").is_some();
    let response =
        with(stack, "token.forward", |filter| filter["token"]["forward"] = true.into(), &good, forwards).await?;
    assert_admitted(&response, "token.forward");

    let bound = |filter: &mut Value| filter["token"]["require_binding"] = true.into();
    with(stack, "token.require_binding", bound, &good, |found| says(found, "binding_mismatch")).await?;
    let token = stack.companion()?.bound_token(AUDIENCE, "read:users", "GET", USERS).await?;
    assert_admitted(&stack.send(&Request::get(USERS).bearer(&token)).await?, "a bound token");
    let elsewhere = stack.send(&Request::get("/api/v1/users/1").bearer(&token)).await?;
    assert_refused(&elsewhere, 401, "binding_mismatch", "a token that is bound to another path");

    let peer = |filter: &mut Value| filter["token"]["bind_peer"] = true.into();
    // Without TLS there is no peer.
    with(stack, "token.bind_peer", peer, &good, |found| says(found, "peer_mismatch")).await?;

    let bare = gateway(stack)?.good_token("read:users");
    let elsewhere = Request::get(USERS).header("x-token", &bare).header("authorization", "Basic YTpi");
    let named = |filter: &mut Value| filter["token"]["header"] = "x-token".into();
    let response = with(stack, "token.header", named, &elsewhere, |found| found.status == 200).await?;
    assert_admitted(&response, "token.header");
    assert_eq!(response.upstream_header("x-token"), None);
    assert_eq!(response.upstream_header("authorization").as_deref(), Some("Basic YTpi"), "not the filter's business");
    assert_refused(&stack.send(&good).await?, 401, "missing_bearer_token", "a token in another header");
    Ok(())
}

async fn policy_outcomes(stack: &Own) -> Outcome {
    let good = good_call(stack).await?;
    let rego = |text: &'static str| {
        move |filter: &mut Value| filter["policy"] = json!({"rego": format!("package scbte\n\nallow := {text}\n")})
    };
    let response = with(stack, "a policy without sense", rego("\"yes\""), &good, |found| found.status == 500).await?;
    assert_refused(&response, 500, "policy_engine_error", "a value that is no decision");
    let grpc = stack.send(&good.clone().grpc()).await?;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("2")), "{grpc:?}");

    let teapot = r#"{"allow": false, "reason": "tea", "status": 418, "response_headers": {"x-tea": "green"}}"#;
    let response = with(stack, "a status of its own", rego(teapot), &good, |found| found.status == 418).await?;
    assert_eq!(
        (response.member("error").as_deref(), response.member("detail").as_deref()),
        (Some("policy_denied"), Some("tea"))
    );
    assert_eq!(response.header("x-tea"), Some("green"));

    let enriched = r#"{"allow": true, "headers": {"x-team": "blue"}, "response_headers": {"x-seen": "yes"}}"#;
    let seen = |found: &Response| found.header("x-seen").is_some();
    let response = with(stack, "headers of its own", rego(enriched), &good, seen).await?;
    assert_admitted(&response, "headers of its own");
    assert_eq!((response.upstream_header("x-team").as_deref(), response.header("x-seen")), (Some("blue"), Some("yes")));

    let smuggling = r#"{"allow": true, "headers": {"x-scbte-subject": "spiffe://cluster.local/admin"}}"#;
    let response = with(stack, "a reserved header", rego(smuggling), &good, |found| found.status == 500).await?;
    assert_refused(&response, 500, "policy_engine_error", "a policy that speaks in the filter's name");

    let undefined = "true if input.ctx == \"nothing\"";
    let response = with(stack, "undefined", rego(undefined), &good, |found| found.status == 403).await?;
    assert_refused(&response, 403, "default_deny", "an undefined decision");
    Ok(())
}

async fn errors_without_detail(stack: &Own) -> Outcome {
    let bad = Request::get(USERS).bearer("no.good.token");
    let terse = |filter: &mut Value| filter["errors"] = json!({"expose_detail": false});
    let response = with(stack, "errors.expose_detail", terse, &bad, |found| found.member("detail").is_none()).await?;
    let id = response.member("decision_id");
    assert_eq!((response.status, response.json()), (401, json!({"error": "invalid_token", "decision_id": id})));
    assert_eq!(response.header("www-authenticate"), Some(r#"Bearer realm="scbte", error="invalid_token""#));
    Ok(())
}
