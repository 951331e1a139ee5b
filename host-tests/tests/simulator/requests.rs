//! What becomes of a request: each step of the request path, each row of "What a caller gets".

use crate::common::NOW;
use crate::common::key::Key;
use crate::common::pki::WORKLOAD;
use crate::common::scene::Scene;
use crate::world::{Worker, data_config, denial, host, request_of};
use scbte_host_tests::simulator::{Request, Response};
use serde_json::json;

#[test]
fn a_good_call_reaches_the_upstream_with_its_identity() {
    let mut worker = Worker::ready(&data_config());
    let exchange = worker.play(&Scene::good());
    let headers = &exchange.continued().headers;
    assert_eq!(headers.text("x-scbte-subject"), Some(WORKLOAD));
    assert_eq!(headers.text("x-scbte-context"), Some("read:users"));
    assert_eq!(headers.text("x-scbte-token-id"), Some("id-1"));
    assert!(!headers.contains("authorization"), "the token ends here");
    assert_eq!(exchange.filter_state("scbte_verdict"), Some("allow"));
    assert_eq!(exchange.filter_state("scbte_subject"), Some(WORKLOAD));
    assert_eq!(exchange.filter_state.len(), 2, "each value costs; an allow has no reason");
}

#[test]
fn each_refusal_has_its_status_code_and_challenge() {
    type Change = fn(&mut Scene);
    let invalid =
        |detail| Some(format!(r#"Bearer realm="scbte", error="invalid_token", error_description="{detail}""#));
    let insufficient = || Some(r#"Bearer realm="scbte", error="insufficient_scope""#.to_owned());
    let cases: [(&str, Change, u16, &str, &str); 17] = [
        (
            "expired",
            |scene| (scene.claims["iat"], scene.claims["exp"]) = (json!(NOW - 400), json!(NOW - 100)),
            401,
            "invalid_token",
            "expired",
        ),
        (
            "from the future",
            |scene| (scene.claims["iat"], scene.claims["exp"]) = (json!(NOW + 100), json!(NOW + 200)),
            401,
            "invalid_token",
            "not_yet_valid",
        ),
        ("for another", |scene| scene.claims["aud"] = json!("orders"), 401, "invalid_token", "audience_mismatch"),
        ("signed by another", |scene| scene.signer = Some(Key::p256(77)), 401, "invalid_token", "bad_signature"),
        (
            "unknown authority",
            |scene| scene.recipe.authority.key = Key::p256(78),
            401,
            "invalid_token",
            "untrusted_chain",
        ),
        (
            "unknown trust domain",
            |scene| {
                scene.recipe.leaf.uris(&["spiffe://other.example/a"]);
                scene.claims["sub"] = json!("spiffe://other.example/a");
            },
            401,
            "invalid_token",
            "unknown_trust_domain",
        ),
        (
            "another's name",
            |scene| scene.claims["sub"] = json!("spiffe://cluster.local/ns/x/sa/y"),
            401,
            "invalid_token",
            "subject_mismatch",
        ),
        (
            "no jti",
            |scene| {
                scene.claims.as_object_mut().unwrap().remove("jti");
            },
            401,
            "invalid_token",
            "malformed",
        ),
        ("none", |scene| scene.header["alg"] = json!("none"), 401, "invalid_token", "unsupported_algorithm"),
        ("JWT", |scene| scene.header["typ"] = json!("JWT"), 401, "invalid_token", "unsupported_type"),
        ("large", |scene| scene.claims["pad"] = json!("x".repeat(9000)), 401, "invalid_token", "token_too_large"),
        ("long-lived", |scene| scene.claims["exp"] = json!(NOW + 301), 401, "invalid_token", "lifetime_too_long"),
        ("bound elsewhere", |scene| scene.claims["htm"] = json!("POST"), 401, "invalid_token", "binding_mismatch"),
        (
            "12 certificates",
            |scene| scene.x5c = |x5c| *x5c = vec![x5c[0].clone(); 12],
            401,
            "invalid_token",
            "token_too_large",
        ),
        (
            "5 certificates",
            |scene| scene.x5c = |x5c| *x5c = vec!["AQ==".to_owned(); 5],
            401,
            "invalid_token",
            "malformed",
        ),
        ("denied", |scene| scene.claims["ctx"] = json!("write:users"), 403, "policy_denied", "context not granted"),
        ("ambiguous", |scene| scene.path = "/a//b", 400, "ambiguous_path", ""),
    ];
    let mut worker = Worker::ready(&data_config());
    for (name, change, status, error, detail) in cases {
        let exchange = worker.play(&Scene::with(change));
        let detail = Some(detail.to_owned()).filter(|detail| !detail.is_empty());
        assert_eq!(denial(&exchange), (status, error.to_owned(), detail.clone()), "{name}");
        let headers = &exchange.local_reply().headers;
        assert_eq!(headers.text("content-type"), Some("application/json"), "{name}");
        let challenge = match status {
            401 => invalid(detail.clone().unwrap()),
            403 => insufficient(),
            _ => None,
        };
        assert_eq!(headers.text("www-authenticate"), challenge.as_deref(), "{name}");
        let reason = if error == "invalid_token" { detail.unwrap() } else { error.to_owned() };
        assert_eq!(exchange.filter_state("scbte_verdict"), Some("deny"), "{name}");
        assert_eq!(exchange.filter_state("scbte_reason"), Some(reason.as_str()), "{name}");
        assert_eq!(worker.play(&Scene::good()).status(), 200, "after {name}");
    }
}

#[test]
fn there_must_be_one_token() {
    let mut worker = Worker::ready(&data_config());
    let token = Scene::good().token();
    let bearer = format!("Bearer {token}");
    for (name, request) in [
        ("none", Request::get("/")),
        ("another scheme", Request::get("/").header("authorization", format!("Basic {token}"))),
        ("bare", Request::get("/").header("authorization", &token)),
        ("two", Request::get("/").header("authorization", &bearer).header("authorization", &bearer)),
        ("empty", Request::get("/").header("authorization", "Bearer ")),
    ] {
        let exchange = worker.call(request);
        assert_eq!(denial(&exchange), (401, "missing_bearer_token".to_owned(), None), "{name}");
        assert_eq!(exchange.local_reply().headers.text("www-authenticate"), Some(r#"Bearer realm="scbte""#), "{name}");
    }
}

#[test]
fn nothing_is_served_before_there_is_a_bundle_or_with_an_old_one() {
    let mut worker = Worker::start(&host(), &data_config());
    let unavailable = (503, "trust_bundle_unavailable".to_owned(), None);
    assert_eq!(denial(&worker.play(&Scene::good())), unavailable);
    assert_eq!(worker.call(Request::get("/healthz")).status(), 200, "bypass needs no bundle");

    let mut worker = Worker::ready(&data_config());
    worker.vm.host().clock().advance(std::time::Duration::from_secs(3599));
    let later =
        Scene::with(|scene| (scene.claims["iat"], scene.claims["exp"]) = (json!(NOW + 3599), json!(NOW + 3700)));
    assert_eq!(worker.play(&later).status(), 200);
    worker.second();
    assert_eq!(denial(&worker.play(&later)), unavailable);
}

#[test]
fn spoofed_headers_never_pass() {
    let mut worker = Worker::ready(&data_config());
    let spoof = |request: Request| {
        ["x-scbte-subject", "x_scbte_subject", "x-scbte-anything", "x-scbte_context"]
            .iter()
            .fold(request, |request, name| request.header(name, "spoofed"))
    };
    for request in [spoof(Request::get("/healthz")), spoof(request_of(&Scene::good()))] {
        let exchange = worker.call(request);
        let lines = exchange.continued().headers.lines();
        assert!(!lines.iter().any(|line| line.contains("spoofed")), "{lines:?}");
    }
}

#[test]
fn spoofed_trailers_never_pass() {
    let mut worker = Worker::ready(&data_config());
    let request = request_of(&Scene::good()).body("x").trailer("x-scbte-subject", "spoofed").trailer("x-checksum", "1");
    let exchange = worker.call(request);
    let trailers = exchange.continued().trailers.clone().unwrap();
    assert_eq!(trailers.names(), ["x-checksum"]);
}

#[test]
fn heavy_claims_do_not_fill_the_memory() {
    let mut worker = Worker::ready(&data_config());
    let heavy = |id: usize| {
        Scene::with(move |scene| {
            scene.claims["jti"] = json!(format!("id-{id}"));
            scene.claims["x"] = json!(vec![json!({"": 0}); 500]);
        })
    };
    for id in 0..20 {
        assert_eq!(worker.play(&heavy(id)).status(), 200);
    }
    let before = worker.vm.memory_bytes();
    for id in 20..120 {
        assert_eq!(worker.play(&heavy(id)).status(), 200);
    }
    // As a tree of values, one token's claims take 200 KB.
    let grown = worker.vm.memory_bytes() - before;
    assert!(grown <= 100 * 8 * 1024, "{grown}");
}

#[test]
fn odd_bytes_are_refused_or_pass_untouched_and_stop_nothing() {
    let mut worker = Worker::ready(&data_config());
    let long = [b"Bearer ", "a".repeat(100_000).as_bytes()].concat();
    for value in [&b"Bearer \xff"[..], b"\xff", b"Bearer \0", b"Bearer ..", b"Bearer a.b.c", &long] {
        let status = worker.call(Request::get("/").header("authorization", value)).status();
        assert_eq!(status, 401);
    }
    let deep =
        |scene: &mut Scene| scene.json = |_, claims| *claims = format!("{}1{}", "[".repeat(900), "]".repeat(900));
    assert_eq!(denial(&worker.play(&Scene::with(deep))).2.as_deref(), Some("malformed"));
    let odd = request_of(&Scene::good()).header("x-odd", b"\xff\xfe").header("cookie", b"\x80=\xff");
    assert_eq!(worker.call(odd).continued().headers.get("x-odd"), Some(&b"\xff\xfe"[..]));
    for path in [&b"/\xff"[..], b"/a?\xff=\xfe", b""] {
        let exchange = worker.call(request_of(&Scene::good()).set_header(":path", path));
        assert!([200, 400].contains(&exchange.status()));
    }
    assert_eq!(worker.play(&Scene::good()).status(), 200);
}

#[test]
fn a_bypass_rule_lets_through_without_an_identity() {
    let mut worker = Worker::ready(&data_config());
    let exchange = worker.call(Request::get("/healthz?full=1"));
    assert!(!exchange.continued().headers.contains("x-scbte-subject"));
    assert_eq!(exchange.filter_state("scbte_verdict"), Some("bypass"));
    for request in [Request::post("/healthz"), Request::get("/healthz/"), Request::get("/healthz%2f..%2fapi")] {
        assert_ne!(worker.call(request).status(), 200);
    }
}

#[test]
fn shadow_mode_counts_and_passes() {
    let mut config = data_config();
    config["mode"] = json!("shadow");
    let mut worker = Worker::ready(&config);
    let denied = worker.play(&Scene::with(|scene| scene.claims["aud"] = json!("orders")));
    let headers = &denied.continued().headers;
    assert!(headers.contains("authorization") && !headers.contains("x-scbte-subject"));
    assert_eq!(denied.filter_state("scbte_verdict"), Some("shadow_deny"));
    assert_eq!(denied.filter_state("scbte_reason"), Some("audience_mismatch"));
    let spoofed = worker.call(Request::get("/a//b").header("x-scbte-subject", "spoofed"));
    assert_eq!(spoofed.continued().headers.get(":path"), Some(&b"/a//b"[..]));
    assert!(!spoofed.continued().headers.contains("x-scbte-subject"));
    let admitted = worker.play(&Scene::good());
    assert_eq!(admitted.continued().headers.text("x-scbte-subject"), Some(WORKLOAD));
    let count = |verdict, reason| {
        let labels = [("verdict", verdict), ("reason", reason)];
        worker.vm.host().metrics().counter_with("scbte_requests_total", &labels)
    };
    assert_eq!((count("shadow_deny", "audience_mismatch"), count("allow", "none")), (1, 1));
}

#[test]
fn the_token_can_be_forwarded_and_come_in_another_header() {
    let mut config = data_config();
    config["token"] = json!({"header": "x-token", "forward": true});
    let mut worker = Worker::ready(&config);
    let token = Scene::good().token();
    let exchange = worker.call(Request::get("/api/v1/users").header("x-token", &token));
    assert_eq!(exchange.continued().headers.text("x-token"), Some(token.as_str()));
    assert_eq!(denial(&worker.play(&Scene::good())).1, "missing_bearer_token");
}

#[test]
fn a_binding_can_be_demanded() {
    let mut config = data_config();
    config["token"] = json!({"require_binding": true});
    let mut worker = Worker::ready(&config);
    assert_eq!(denial(&worker.play(&Scene::good())).2.as_deref(), Some("binding_mismatch"));
    let bound = |scene: &mut Scene| (scene.claims["htm"], scene.claims["htp"]) = (json!("GET"), json!("/api/v1/users"));
    assert_eq!(worker.play(&Scene::with(bound)).status(), 200);
    let query = request_of(&Scene::with(bound)).set_header(":path", "/api/v1/users?page=2");
    assert_eq!(worker.call(query).status(), 200, "the query is not bound");
}

#[test]
fn detail_can_be_kept_back() {
    let mut config = data_config();
    config["errors"] = json!({"expose_detail": false});
    let mut worker = Worker::ready(&config);
    let exchange = worker.play(&Scene::with(|scene| scene.claims["aud"] = json!("orders")));
    assert_eq!(denial(&exchange), (401, "invalid_token".to_owned(), None));
    let challenge = exchange.local_reply().headers.text("www-authenticate").unwrap().to_owned();
    assert!(!challenge.contains("audience"), "{challenge}");
}

#[test]
fn a_remembered_token_is_checked_on_each_request() {
    let mut worker = Worker::ready(&data_config());
    let scene = Scene::good();
    for result in ["miss", "hit", "hit"] {
        assert_eq!(worker.play(&scene).status(), 200, "{result}");
    }
    assert_eq!(worker.play(&Scene::with(|scene| scene.claims["jti"] = json!("id-2"))).status(), 200);
    let count = |worker: &Worker, result| {
        worker.vm.host().metrics().counter_with("scbte_token_cache_total", &[("result", result)])
    };
    assert_eq!((count(&worker, "miss"), count(&worker, "chain_hit"), count(&worker, "hit")), (1, 1, 2));
    worker.vm.host().clock().advance(std::time::Duration::from_secs(330));
    assert_eq!(denial(&worker.play(&scene)).2.as_deref(), Some("expired"));
    assert_eq!(count(&worker, "hit"), 2);
}

#[test]
fn response_headers_of_the_upstream_stay() {
    let mut worker = Worker::ready(&data_config());
    let request = request_of(&Scene::good()).upstream(Response::new(201).header("x-from", "upstream"));
    let exchange = worker.call(request);
    assert_eq!((exchange.status(), exchange.response().headers.text("x-from")), (201, Some("upstream")));
}
