//! The control API: what it takes, what it refuses, what it tells.

use crate::common::NOW;
use crate::common::key::Key;
use crate::common::scene::Scene;
use crate::world::{Envelope, Worker, control_config, data_config, denial, good_bundles, host};
use scbte_host_tests::simulator::{Plugin, Request};
use serde_json::{Value, json};

#[test]
fn a_pushed_bundle_is_in_force_for_all_at_the_next_tick() {
    let host = host();
    let mut workers = [Worker::start(&host, &data_config()), Worker::start(&host, &data_config())];
    let envelope = Envelope::at(NOW);
    let (status, body) = workers[0].push(&envelope.bundles(good_bundles()));
    assert_eq!((status, body["seq"].as_u64()), (200, Some(envelope.seq())));
    for worker in &mut workers {
        worker.vm.tick_all().unwrap();
        assert_eq!(worker.play(&Scene::good()).status(), 200);
    }
    let status = workers[1].status();
    assert_eq!(status["seq"], envelope.seq());
    assert_eq!(status["oldest_seq"], envelope.seq());
    assert_eq!(status["revision"], body["revision"]);
    assert_eq!(status["trust_domains"], json!({"cluster.local": 1}));
    assert_eq!(status["verifier"], "verify_signature");
    let roots = status["roots"].as_array().unwrap();
    assert_eq!(roots.len(), 2);
    for root in roots {
        assert_eq!((&root["seq"], &root["mode"]), (&json!(envelope.seq()), &json!("enforce")));
        assert_eq!(root["policy"].as_str().map(str::len), Some(64));
    }
}

#[test]
fn what_is_not_a_newer_envelope_for_here_is_refused() {
    type Make = fn() -> Vec<u8>;
    let with = |change: fn(&mut Envelope)| {
        let mut envelope = Envelope::at(NOW + 1);
        change(&mut envelope);
        envelope
    };
    let cases: [(&str, Make, u16); 16] = [
        ("empty", Vec::new, 400),
        ("not text", || vec![0xff; 10], 400),
        ("not a JWS", || b"hello".to_vec(), 400),
        ("a token", || Scene::good().token().into_bytes(), 400),
        ("a policy envelope", || Envelope::at(NOW + 1).policy("package scbte").into_bytes(), 400),
        (
            "a header that is a heavy tree",
            || {
                let header =
                    format!(r#"{{"alg":"ES256","typ":"scbte-bundle+jwt","x":[{}0]}}"#, r#"{"":0},"#.repeat(500));
                format!("{}.e30.AQ", scbte_core::base64::encode_url(header)).into_bytes()
            },
            400,
        ),
        ("too large", || vec![b'a'; 64 * 1024 + 1], 413),
        ("much too large", || vec![b'a'; 1 << 20], 413),
        (
            "no trust domains object",
            || {
                let mut bundles = good_bundles();
                bundles["cluster.local"] = json!({"keys": 7});
                Envelope::at(NOW + 1).bundles(bundles).into_bytes()
            },
            400,
        ),
        ("replayed", || Envelope::at(NOW - 60).bundles(good_bundles()).into_bytes(), 409),
        ("same seq, other bytes", || Envelope::at(NOW).bundles(serde_json::Map::new()).into_bytes(), 409),
        ("expired", || Envelope::at(NOW - 86_401).bundles(good_bundles()).into_bytes(), 409),
        ("from the future", || Envelope::at(NOW + 31).bundles(good_bundles()).into_bytes(), 409),
        (
            "huge seq",
            || {
                let envelope = Envelope { seq_offset: 3_600_000_000, ..Envelope::at(NOW) };
                envelope.bundles(good_bundles()).into_bytes()
            },
            409,
        ),
        ("same bytes", || Envelope::at(NOW).bundles(good_bundles()).into_bytes(), 200),
        ("newer", || Envelope::at(NOW + 1).bundles(good_bundles()).into_bytes(), 200),
    ];
    let mut worker = Worker::ready(&data_config());
    for (name, body, expected) in cases {
        let before = worker.status();
        let (status, answer) = worker.control(Request::put("/v1/bundle").body(body()));
        assert_eq!(status, expected, "{name}: {answer}");
        if status != 200 {
            assert!(answer["error"].is_string() && answer["detail"].is_string(), "{name}: {answer}");
            assert_eq!(worker.status()["seq"], before["seq"], "{name}");
        }
        assert_eq!(worker.play(&Scene::good()).status(), 200, "after {name}");
    }
    let mut worker = Worker::ready(&data_config());
    for (name, envelope) in [
        ("another key", with(|envelope| envelope.key = Key::p256(99).signing().clone())),
        ("another target", with(|envelope| envelope.target = "staging")),
        ("dev", with(|envelope| envelope.dev = true)),
    ] {
        assert_eq!(worker.push(&envelope.bundles(good_bundles())).0, 401, "{name}");
    }
}

#[test]
fn a_body_in_many_pieces_is_taken_whole() {
    let mut worker = Worker::start(&host(), &data_config());
    let envelope = Envelope::at(NOW).bundles(good_bundles());
    let pieces: Vec<Vec<u8>> = envelope.as_bytes().chunks(100).map(<[u8]>::to_vec).collect();
    assert_eq!(worker.control(Request::put("/v1/bundle").chunks(pieces)).0, 200);
}

#[test]
fn anything_else_is_not_found() {
    let mut worker = Worker::ready(&data_config());
    for request in [
        Request::get("/"),
        Request::get("/v1/bundle"),
        Request::post("/v1/bundle").body("x"),
        Request::put("/v1/status").body("x"),
        Request::get("/v1/status/"),
        Request::get("/v1/status?x"),
    ] {
        assert_eq!(worker.control(request).0, 404);
    }
    let put = Request::put("/v1/bundle").body(Envelope::at(NOW + 1).bundles(serde_json::Map::new()));
    assert_eq!(denial(&worker.call(put)).1, "missing_bearer_token", "a data listener takes no envelope");
    assert_eq!(worker.play(&Scene::good()).status(), 200);
}

#[test]
fn dev_envelopes_need_permission() {
    let mut config = control_config();
    config["trust"]["allow_dev"] = json!(true);
    let mut worker = Worker::start(&host(), &data_config());
    let control = Plugin::new("dev", config.to_string()).allow_on_headers_stop_iteration();
    worker.control = worker.vm.configure(&control).unwrap();
    let dev = Envelope { dev: true, ..Envelope::at(NOW) };
    assert_eq!(worker.push(&dev.bundles(good_bundles())).0, 200);
    worker.vm.tick_all().unwrap();
    assert_eq!(denial(&worker.play(&Scene::good())).0, 503, "the data listener does not allow it");
}

#[test]
fn a_clock_that_jumped_locks_nobody_out() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.host().clock().advance(std::time::Duration::from_secs(3600));
    assert_eq!(worker.push(&Envelope::at(NOW + 3600).bundles(good_bundles())).0, 200);
    worker.vm.tick_all().unwrap();
    worker.vm.host().clock().set(std::time::Duration::from_secs(NOW + 5));
    assert_eq!(worker.push(&Envelope::at(NOW + 5).bundles(good_bundles())).0, 200, "the one ahead orders nothing");
    worker.vm.tick_all().unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200);
}

#[test]
fn without_a_bundle_the_status_says_so() {
    let mut worker = Worker::start(&host(), &data_config());
    worker.vm.tick_all().unwrap();
    let status = worker.status();
    for member in ["seq", "revision", "age_seconds", "oldest_seq"] {
        assert_eq!(status[member], Value::Null, "{member}");
    }
    assert_eq!(status["roots"].as_array().map(Vec::len), Some(1));
}
