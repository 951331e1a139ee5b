//! Pull: one fetch per interval however many workers there are, verified like a push, never in anybody's way.

use crate::common::NOW;
use crate::common::key::Key;
use crate::common::scene::Scene;
use crate::world::{Envelope, POLICY, TARGET, Worker, data_config, denial, good_bundles, host};
use scbte_host_tests::simulator::{Host, HttpAnswer, Level};
use serde_json::{Value, json};

fn config() -> Value {
    let mut config = data_config();
    config["trust"]["pull"] = json!({"cluster": "companion", "interval": "30s"});
    config
}

fn with_cluster() -> Host {
    let host = host();
    host.add_cluster("companion");
    host
}

/// The calls that the workers have under way: worker and token.
fn calls(workers: &[Worker]) -> Vec<(usize, u32)> {
    let of = |(number, worker): (usize, &Worker)| {
        worker.vm.http_calls().iter().map(move |call| (number, call.token)).collect::<Vec<_>>()
    };
    workers.iter().enumerate().flat_map(of).collect()
}

#[test]
fn one_worker_fetches_for_all() {
    let host = with_cluster();
    let mut workers: Vec<_> = (0..3).map(|_| Worker::start(&host, &config())).collect();
    workers.iter_mut().for_each(|worker| worker.vm.tick_all().unwrap());
    let under_way = calls(&workers);
    assert_eq!(under_way.len(), 1, "{under_way:?}");
    let (number, token) = under_way[0];
    let call = workers[number].vm.http_calls().remove(0);
    assert_eq!((call.headers.text(":path"), call.headers.text("if-none-match")), (Some("/v1/bundle"), None));
    let answer = HttpAnswer::new(200).header("etag", "\"1\"").body(Envelope::at(NOW).bundles(good_bundles()));
    workers[number].vm.answer(token, answer).unwrap();
    for worker in &mut workers {
        worker.vm.tick_all().unwrap();
        assert_eq!(worker.play(&Scene::good()).status(), 200);
    }
    let mut fetches = 0;
    for _ in 0..120 {
        host.clock().advance(std::time::Duration::from_secs(1));
        workers.iter_mut().for_each(|worker| worker.vm.tick_all().unwrap());
        for (number, token) in calls(&workers) {
            fetches += 1;
            workers[number].vm.answer(token, HttpAnswer::new(304)).unwrap();
        }
    }
    assert!((3..=6).contains(&fetches), "{fetches} fetches in 120 s at an interval of 30 s");
}

#[test]
fn without_a_bundle_it_is_tried_each_second_whatever_goes_wrong() {
    let host = host();
    let mut worker = Worker::start(&host, &config());
    worker.vm.tick_all().unwrap();
    assert!(worker.vm.http_calls().is_empty());
    assert!(host.log().contains(Level::Warn, "is there such a cluster?"));
    assert_eq!(denial(&worker.play(&Scene::good())).0, 503);
    host.add_cluster("companion");
    let junk = HttpAnswer::new(200).body("junk");
    for answer in [HttpAnswer::new(500), HttpAnswer::timeout(), HttpAnswer::reset(), HttpAnswer::new(200), junk] {
        worker.second();
        let call = worker.vm.http_calls().pop().expect("a call each second");
        worker.vm.answer(call.token, answer).unwrap();
        assert_eq!(denial(&worker.play(&Scene::good())).0, 503);
    }
    worker.second();
    let call = worker.vm.http_calls().pop().unwrap();
    let good = HttpAnswer::new(200).body(Envelope::at(NOW).bundles(good_bundles()));
    worker.vm.answer(call.token, good).unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200);
}

#[test]
fn an_unknown_authority_fetches_early() {
    let host = with_cluster();
    let mut worker = Worker::start(&host, &config());
    worker.vm.tick_all().unwrap();
    let call = worker.vm.http_calls().pop().unwrap();
    let answer = HttpAnswer::new(200).header("etag", "\"1\"").body(Envelope::at(NOW).bundles(good_bundles()));
    worker.vm.answer(call.token, answer).unwrap();
    for _ in 0..3 {
        worker.second();
        assert!(worker.vm.http_calls().is_empty());
    }
    worker.play(&Scene::with(|scene| scene.recipe.authority.key = Key::p256(50)));
    worker.second();
    let call = worker.vm.http_calls().pop().expect("an early fetch");
    assert_eq!(call.headers.text("if-none-match"), Some("\"1\""));
}

#[test]
fn a_lease_that_reaches_too_far_is_ignored() {
    let host = with_cluster();
    let forever = json!({"nonce": "attacker", "until": (NOW + 86_400) * 1_000_000}).to_string();
    host.shared_data().set("scbte", &format!("scbte.pull.{TARGET}./v1/bundle"), forever.as_bytes(), None).unwrap();
    let mut worker = Worker::start(&host, &config());
    worker.vm.tick_all().unwrap();
    assert_eq!(worker.vm.http_calls().len(), 1);
}

#[test]
fn a_lease_that_is_written_again_and_again_keeps_nobody_without_a_bundle() {
    let host = with_cluster();
    let mut worker = Worker::start(&host, &config());
    let mut fetched_after = None;
    for second in 0..10 {
        let until = (host.clock().unix_seconds() + 30) * 1_000_000;
        let lease = json!({"nonce": "attacker", "until": until}).to_string();
        host.shared_data().set("scbte", &format!("scbte.pull.{TARGET}./v1/bundle"), lease.as_bytes(), None).unwrap();
        worker.second();
        if !worker.vm.http_calls().is_empty() {
            fetched_after = fetched_after.or(Some(second));
        }
    }
    assert!(fetched_after.is_some_and(|second| second <= 6), "{fetched_after:?}");
}

/// A worker that fetches its policy, and has a trust bundle.
fn awaiting_policy(host: &Host, more: impl FnOnce(&mut Value)) -> Worker {
    let mut config = config();
    config["policy"] = json!({"source": "companion"});
    more(&mut config);
    let mut worker = Worker::start(host, &config);
    worker.push(&Envelope::at(NOW).bundles(good_bundles()));
    worker
}

/// The call for the policy that a worker has under way.
fn policy_call(worker: &Worker, path: &str) -> u32 {
    let mut calls = worker.vm.http_calls();
    calls.retain(|call| call.headers.text(":path") == Some(path));
    calls.pop().expect("a call for the policy").token
}

#[test]
fn a_policy_is_fetched_where_it_comes_from_the_companion() {
    let host = with_cluster();
    let mut worker = awaiting_policy(&host, |_| {});
    let fetch = |worker: &mut Worker, answer: HttpAnswer| {
        worker.second();
        let call = policy_call(worker, "/v1/policy");
        worker.vm.answer(call, answer).unwrap();
        worker.play(&Scene::good()).status()
    };
    assert_eq!(fetch(&mut worker, HttpAnswer::new(404)), 503);
    assert_eq!(fetch(&mut worker, HttpAnswer::new(200).body("junk")), 503);
    let envelope = Envelope::at(NOW).policy(POLICY);
    assert_eq!(fetch(&mut worker, HttpAnswer::new(200).header("etag", "\"1\"").body(envelope)), 200);
    let pulls = |result| worker.vm.host().metrics().counter_with("scbte_policy_pulls_total", &[("result", result)]);
    assert_eq!((pulls("ok"), pulls("refused"), pulls("failed")), (1, 1, 1));
}

#[test]
fn a_policy_lies_beside_the_trust_bundle() {
    let host = with_cluster();
    let mut worker = awaiting_policy(&host, |config| config["trust"]["pull"]["path"] = json!("/scbte/v1/bundle"));
    worker.second();
    policy_call(&worker, "/scbte/v1/policy");
}

#[test]
fn an_answer_that_a_newer_policy_overtook_leaves_that_one_in_force() {
    let host = with_cluster();
    let mut worker = awaiting_policy(&host, |_| {});
    worker.second();
    let call = policy_call(&worker, "/v1/policy");
    // Another VM was faster with a newer one: it is in shared data, and this one has not looked yet.
    let newer = Envelope::at(NOW + 1).policy(POLICY);
    host.shared_data().set("scbte", &format!("scbte.policy.{TARGET}"), newer.as_bytes(), None).unwrap();
    let older = Envelope::at(NOW).policy("package scbte\n\nallow := false\n");
    worker.vm.answer(call, HttpAnswer::new(200).body(older)).unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200);
    worker.second();
    assert_eq!(worker.play(&Scene::good()).status(), 200);
}

#[test]
fn a_policy_that_is_refused_leaves_the_one_that_runs_to_workers_that_start_anew() {
    let host = with_cluster();
    let mut worker = awaiting_policy(&host, |_| {});
    worker.second();
    let call = policy_call(&worker, "/v1/policy");
    worker.vm.answer(call, HttpAnswer::new(200).body(Envelope::at(NOW).policy(POLICY))).unwrap();
    for _ in 0..40 {
        worker.second();
        let calls = worker.vm.http_calls();
        if let Some(call) = calls.iter().find(|call| call.headers.text(":path") == Some("/v1/policy")) {
            let bad = Envelope::at(NOW + 1).policy("package scbte\n\nallow if allow\n");
            worker.vm.answer(call.token, HttpAnswer::new(200).body(bad)).unwrap();
        }
    }
    let trouble = worker.status()["roots"][0]["policy_error"].to_string();
    assert!(trouble.contains("recursion"), "{trouble}");
    assert_eq!(worker.play(&Scene::good()).status(), 200);
    let mut anew = awaiting_policy(&host, |_| {});
    anew.vm.tick_all().unwrap();
    assert_eq!(anew.play(&Scene::good()).status(), 200);
    assert_eq!(worker.vm.host().metrics().counter("scbte_policy_rejected_total"), Some(1), "and it is compiled once");
}
