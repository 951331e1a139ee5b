//! The decision log, and a policy to watch beside the one in force: told, counted, and never deciding.

use crate::common::NOW;
use crate::common::scene::Scene;
use crate::world::{Envelope, POLICY, Worker, data_config, denial};
use scbte_host_tests::simulator::{Exchange, Request};
use serde_json::{Value, json};

/// Allows only what [`POLICY`] denies, and fails for one context.
const OPPOSITE: &str = r#"
package scbte

allow := "no decision" if {
	input.ctx == "fail:users"
} else := {"allow": true} if {
	input.ctx != "read:users"
}
"#;

fn call(worker: &mut Worker, ctx: &str) -> Exchange {
    let ctx = ctx.to_owned();
    worker.play(&Scene::with(move |scene| scene.claims["ctx"] = json!(ctx)))
}

/// The decision log's lines since the last look.
fn decisions(worker: &Worker) -> Vec<Value> {
    let lines = worker.vm.host().log().take();
    let lines = lines.iter().filter_map(|line| line.message.strip_prefix("decision "));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn shadow_count(worker: &Worker, result: &str) -> u64 {
    worker.vm.host().metrics().counter_with("scbte_policy_shadow_total", &[("result", result)])
}

#[test]
fn a_denial_is_logged_by_the_id_that_its_caller_is_told() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.host().log().take();
    let scene = Scene::with(|scene| {
        scene.claims["ctx"] = json!("write:users");
        scene.path = "/api/v1/users?secret=1";
    });
    let exchange = worker.play(&scene);
    let reply = exchange.local_reply();
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let id = body["decision_id"].as_str().unwrap();
    assert_eq!(reply.headers.text("x-scbte-decision-id"), Some(id));
    assert_eq!(exchange.filter_state("scbte_decision_id"), Some(id));
    let told = decisions(&worker);
    let digest = worker.status()["policy"]["digest"].clone();
    let expected = json!([{
        "decision_id": id, "timestamp": NOW * 1000, "verdict": "deny", "reason": "policy_denied",
        "detail": "context not granted", "sub": scene.claims["sub"], "ctx": "write:users",
        "method": "GET", "path": "/api/v1/users", "policy_digest": digest,
    }]);
    assert_eq!(json!(told), expected);

    let other = call(&mut worker, "write:users");
    let other: Value = serde_json::from_slice(&other.local_reply().body).unwrap();
    assert_ne!(other["decision_id"], body["decision_id"]);
}

#[test]
fn what_may_be_secret_is_not_logged() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.host().log().take();
    for path in ["/users?secret=1", "/users#secret", "/users%3fsecret", "/users%3Fsecret", "/users%23secret"] {
        let scene = Scene::with(move |scene| {
            scene.claims["ctx"] = json!("write:users");
            scene.path = path;
        });
        assert_ne!(worker.play(&scene).status(), 200);
        let lines = worker.vm.host().log().take();
        let text: String = lines.iter().map(|line| line.message.as_str()).collect();
        assert!(text.contains(r#""path":"/users"#), "{path}: {text}");
        assert!(!text.contains("secret") && !text.contains(scene.token().as_str()), "{path}: {text}");
    }
}

#[test]
fn a_line_is_json_whatever_is_in_it() {
    let reason = "Prüfung «nicht» bestanden \u{1f512}";
    let rego = format!("package scbte\n\nallow := {{\"allow\": false, \"reason\": \"{reason}\"}}\n");
    let mut config = data_config();
    config["policy"] = json!({"rego": rego});
    let mut worker = Worker::ready(&config);
    worker.vm.host().log().take();
    assert_eq!(call(&mut worker, "read:users").status(), 403);
    assert_eq!(decisions(&worker)[0]["detail"], reason);
}

#[test]
fn denials_that_come_too_fast_are_only_counted() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.host().log().take();
    for _ in 0..25 {
        assert_eq!(call(&mut worker, "write:users").status(), 403);
    }
    assert_eq!(decisions(&worker).len(), 10);
    worker.second();
    assert!(worker.vm.host().log().lines().iter().any(|line| line.message == "15 more decisions were not logged"));
    call(&mut worker, "write:users");
    assert_eq!(decisions(&worker).len(), 1, "the next second has lines of its own");
}

#[test]
fn who_proves_nothing_hides_nobody_from_the_log() {
    let mut config = data_config();
    config["log"] = json!({"sample_allows": 1});
    let mut worker = Worker::ready(&config);
    worker.vm.host().log().take();
    for _ in 0..25 {
        worker.call(Request::get("/api/v1/users"));
        call(&mut worker, "read:users");
    }
    call(&mut worker, "write:users");
    let told = decisions(&worker);
    let count = |reason: &str| told.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!((count("missing_bearer_token"), count("none"), count("policy_denied")), (4, 3, 1), "{told:?}");
}

#[test]
fn allows_are_logged_only_as_samples() {
    for (sample, expected) in [(0, 0), (1, 8), (4, 2)] {
        let mut config = data_config();
        config["log"] = json!({"sample_allows": sample});
        let mut worker = Worker::ready(&config);
        worker.vm.host().log().take();
        for _ in 0..8 {
            assert_eq!(call(&mut worker, "read:users").status(), 200);
            worker.second();
        }
        let told = decisions(&worker);
        assert_eq!(told.len(), expected, "{sample}: {told:?}");
        assert!(told.iter().all(|line| line["verdict"] == "allow" && line["reason"] == "none"), "{told:?}");
    }
}

#[test]
fn a_policy_to_watch_is_counted_and_decides_nothing() {
    let mut config = data_config();
    config["policy"]["shadow"] = json!({"rego": OPPOSITE});
    let mut worker = Worker::ready(&config);
    worker.vm.host().log().take();
    for (ctx, status, result) in
        [("read:users", 200, "would_deny"), ("write:users", 403, "would_allow"), ("fail:users", 403, "error")]
    {
        assert_eq!(call(&mut worker, ctx).status(), status, "{ctx}");
        let told = decisions(&worker);
        assert_eq!((told.len(), &told[0]["shadow"]["verdict"]), (1, &json!(result)), "{ctx}: {told:?}");
        assert_eq!(shadow_count(&worker, result), 1, "{ctx}");
    }
    assert_eq!(shadow_count(&worker, "agree"), 0);

    config["policy"]["shadow"] = json!({"rego": POLICY});
    let mut worker = Worker::ready(&config);
    worker.vm.host().log().take();
    assert_eq!(call(&mut worker, "read:users").status(), 200);
    assert_eq!((shadow_count(&worker, "agree"), decisions(&worker).len()), (1, 0));

    config["policy"]["shadow"] = json!({"rego": "package scbte\n\nallow := 1\n"});
    let mut worker = Worker::ready(&config);
    assert_eq!(call(&mut worker, "read:users").status(), 200, "whatever fails beside it");
    assert_eq!(shadow_count(&worker, "error"), 1);
}

#[test]
fn a_policy_to_watch_comes_with_the_companions() {
    let mut config = data_config();
    config["policy"] = json!({"source": "companion"});
    let mut worker = Worker::ready(&config);
    let mut put = |signed_at: u64, shadow: &str, revision: &str| {
        let envelope = Envelope::at(signed_at).policy_with(
            POLICY,
            json!({
                "revision": revision,
                "shadow": {"modules": {"next.rego": shadow}, "entrypoint": "data.scbte.allow", "rego_version": 1},
            }),
        );
        let answer = worker.control(Request::put("/v1/policy").body(envelope));
        worker.second();
        worker.vm.host().log().take();
        let status = call(&mut worker, "write:users");
        (answer.0, denial(&status).0, decisions(&worker))
    };
    let (taken, status, told) = put(NOW, OPPOSITE, "v1");
    assert_eq!((taken, status), (200, 403));
    assert_eq!((&told[0]["policy_revision"], &told[0]["shadow"]["verdict"]), (&json!("v1"), &json!("would_allow")));
    let (taken, status, told) = put(NOW + 1, "package scbte\n\nallow if {", "v2");
    assert_eq!((taken, status), (200, 403), "one that is refused keeps nothing out");
    assert_eq!((&told[0]["policy_revision"], told[0].get("shadow")), (&json!("v2"), None));
    let trouble = worker.status()["policy"]["error"].to_string();
    assert!(trouble.contains("the policy to watch: next.rego:3:"), "{trouble}");
}
