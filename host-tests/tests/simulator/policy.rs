//! The policy inside the proxy: what it sees, what it may add, and that nothing of it allows by mistake.

use crate::common::NOW;
use crate::common::pki::WORKLOAD;
use crate::common::scene::{AUDIENCE, Scene};
use crate::world::{Envelope, Worker, data_config, denial, request_of};
use scbte_host_tests::simulator::Request;
use serde_json::{Value, json};

fn worker(rego: &str) -> Worker {
    let mut config = data_config();
    config["policy"] = json!({"rego": rego, "headers": ["x-tenant"]});
    Worker::ready(&config)
}

#[test]
fn the_policy_sees_the_whole_input() {
    let conditions = [
        format!(r#"input.sub == "{WORKLOAD}""#),
        r#"input.ctx == "read:users""#.to_owned(),
        format!(r#"input.aud == "{AUDIENCE}""#),
        r#"input.method == "GET""#.to_owned(),
        r#"input.path == "/api/v1/users""#.to_owned(),
        r#"input.path_segments == ["api", "v1", "users"]"#.to_owned(),
        r#"input.query == {"a": ["1", "2"], "b": ["x y"]}"#.to_owned(),
        r#"input.host == "api.example""#.to_owned(),
        r#"input.headers == {"x-tenant": "blue"}"#.to_owned(),
        r#"input.trust_domain == "cluster.local""#.to_owned(),
        format!("input.timestamp == {}", NOW * 1000),
        format!("time.now_ns() == {}", NOW * 1_000_000_000),
        r#"input.claims.custom.tier == "gold""#.to_owned(),
        r#"input.source.address == "10.1.2.3""#.to_owned(),
        r#"input.source.peer_spiffe_id == "spiffe://cluster.local/peer""#.to_owned(),
    ];
    let scene = Scene::with(|scene| scene.claims["custom"] = json!({"tier": "gold"}));
    let request = || {
        request_of(&scene)
            .set_header(":path", "/api/v1/users?a=1&a=2&b=x+y")
            .set_header(":authority", "api.example")
            .header("x-tenant", "blue")
            .header("x-other", "unseen")
            .property("source.address", "10.1.2.3:4567")
            .property("connection.uri_san_peer_certificate", "spiffe://cluster.local/peer")
    };
    for condition in conditions {
        let mut worker = worker(&format!("package scbte\n\nallow if {condition}\n"));
        assert_eq!(worker.call(request()).status(), 200, "{condition}");
    }
}

#[test]
fn a_decision_document_may_add_headers_and_a_status() {
    let mut worker = worker(
        r#"package scbte

default allow := {"allow": false, "reason": "no such tenant", "status": 404, "response_headers": {"x-why": "tenant"}}

allow := {"allow": true, "headers": {"x-tier": "gold", "x-role": ["reader", "writer"]}, "response_headers": {"x-policy": "yes"}} if input.headers["x-tenant"] == "blue"
"#,
    );
    let admitted = worker.call(request_of(&Scene::good()).header("x-tenant", "blue").header("x-tier", "spoofed"));
    assert_eq!(admitted.continued().headers.get_all("x-tier"), [b"gold"]);
    assert_eq!(admitted.continued().headers.get_all("x-role"), [&b"reader"[..], b"writer"]);
    assert_eq!(admitted.response().headers.text("x-policy"), Some("yes"));
    let denied = worker.play(&Scene::good());
    assert_eq!(denial(&denied), (404, "policy_denied".to_owned(), Some("no such tenant".to_owned())));
    assert_eq!(denied.local_reply().headers.text("x-why"), Some("tenant"));
}

#[test]
fn what_is_no_decision_is_an_error_and_never_an_allow() {
    for (rego, status) in [
        ("allow := \"yes\"", 500),
        ("allow := 1", 500),
        ("allow := null", 500),
        ("allow := {\"allow\": \"true\"}", 500),
        ("allow := {\"reason\": \"x\"}", 500),
        ("allow := {\"allow\": true, \"headers\": {\"x-scbte-subject\": \"spoofed\"}}", 500),
        ("allow := {\"allow\": true, \"headers\": {\"authorization\": \"x\"}}", 500),
        ("allow := {\"allow\": true, \"headers\": {\":path\": \"/x\"}}", 500),
        ("allow := {\"allow\": true, \"headers\": {\"x-a\": \"b\\r\\nc: d\"}}", 500),
        ("allow := {\"allow\": false, \"status\": 200}", 500),
        ("allow if input.nothing == 1", 403),
        ("allow := false", 403),
    ] {
        let exchange = worker(&format!("package scbte\n\n{rego}\n")).play(&Scene::good());
        assert_eq!(denial(&exchange).0, status, "{rego}");
    }
}

#[test]
fn a_policy_from_the_companion_takes_over_when_it_is_admitted() {
    let mut config = data_config();
    config["policy"] = json!({"source": "companion"});
    let mut worker = Worker::ready(&config);
    let put = |worker: &mut Worker, envelope: String| worker.control(Request::put("/v1/policy").body(envelope));
    let call = |worker: &mut Worker| worker.play(&Scene::good());
    assert_eq!(denial(&call(&mut worker)), (503, "policy_unavailable".to_owned(), None));

    assert_eq!(put(&mut worker, Envelope::at(NOW).policy("package scbte\n\nallow := true\n")).0, 200);
    worker.second();
    assert_eq!(call(&mut worker).status(), 200);

    let (status, answer) = put(&mut worker, Envelope::at(NOW + 1).policy("package scbte\n\nallow if {\n"));
    assert_eq!((status, &answer["error"]), (422, &json!("policy_refused")), "{answer}");
    assert_ne!(worker.status()["policy"]["error"], Value::Null);
    worker.second();
    assert_eq!(call(&mut worker).status(), 200, "the running one stays");

    assert_eq!(put(&mut worker, Envelope::at(NOW + 2).policy("package scbte\n\nallow := false\n")).0, 200);
    worker.second();
    assert_eq!(denial(&call(&mut worker)).0, 403);
    assert_eq!(worker.status()["policy"]["error"], Value::Null);
}

#[test]
fn denials_are_counted_by_whom_and_for_what() {
    let mut worker = Worker::ready(&data_config());
    let denied = |ctx: String| Scene::with(move |scene| scene.claims["ctx"] = json!(ctx));
    worker.play(&denied("write:users".to_owned()));
    let count = |worker: &Worker, sub, ctx| {
        worker.vm.host().metrics().counter_with("scbte_policy_denial_total", &[("sub", sub), ("ctx", ctx)])
    };
    assert_eq!(count(&worker, WORKLOAD, "write:users"), 1);
    for number in 0..200 {
        worker.play(&denied(format!("write:{number}")));
    }
    assert_eq!(count(&worker, "other", "other"), 201 - 128);
}
