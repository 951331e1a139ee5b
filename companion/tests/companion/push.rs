//! What the companion does about Envoys: those that come late, restart, refuse, hang, or have another's bundle.

use crate::control::FakeControl;
use crate::harness::{Companion, eventually};
use std::net::TcpListener;
use std::time::Duration;

/// A new Envoy must be served within this (issue: 2 s).
const SERVED: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn state_of(companion: &Companion, index: usize) -> String {
    companion.admin("/readyz").json()["targets"][index]["state"].as_str().unwrap().to_owned()
}

#[test]
fn an_envoy_is_served_whenever_it_starts() {
    let port = free_port();
    let companion = Companion::start(&["--push", &format!("http://127.0.0.1:{port}")]);
    companion.wait_for_line("Envoy does not answer; trying every second");
    assert_eq!(state_of(&companion, 0), "away");
    assert_eq!(companion.admin("/readyz").status, 200, "an Envoy that is away makes nobody less ready");

    for restart in 0..2 {
        let envoy = FakeControl::start_on(port);
        eventually("served", SERVED, || envoy.envoy().seq.is_some());
        eventually("seen", SERVED, || state_of(&companion, 0) == "in_sync");
        assert_eq!(envoy.envoy().pushed.len(), 1, "restart {restart}: pushed once and left alone");
        assert_eq!(
            companion.metric(
                "scbte_push_target_in_sync{target=\"http://127.0.0.1:PORT\"}"
                    .replace("PORT", &port.to_string())
                    .as_str()
            ),
            1.0
        );
        drop(envoy);
        eventually("gone", PATIENCE, || state_of(&companion, 0) == "away");
    }
    let away =
        companion.lines().iter().filter(|line| line["message"] == "Envoy does not answer; trying every second").count();
    assert!(away <= 2, "said once each time, not every second: {away}");
}

#[test]
fn a_newer_envelope_of_the_same_bundle_is_left_alone() {
    let envoy = FakeControl::start();
    let companion = Companion::start(&["--push", &envoy.endpoint()]);
    eventually("served", SERVED, || envoy.envoy().seq.is_some());
    {
        let mut envoy = envoy.envoy();
        envoy.seq = envoy.seq.map(|seq| seq + 10_000_000);
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(envoy.envoy().pushed.len(), 1);
    assert_eq!((state_of(&companion, 0).as_str(), companion.metric("scbte_bundle_conflicts_total")), ("in_sync", 0.0));
}

#[test]
fn another_companions_bundle_is_contested_but_not_without_pause() {
    let envoy = FakeControl::start();
    let companion = Companion::start(&["--push", &envoy.endpoint()]);
    eventually("served", SERVED, || envoy.envoy().seq.is_some());
    let first = envoy.envoy().seq.unwrap();

    // A little ahead, and with another bundle: as another companion's push would be.
    {
        let mut envoy = envoy.envoy();
        (envoy.seq, envoy.revision) = (Some(first + 1000), Some("another".to_owned()));
    }
    eventually("contested", PATIENCE, || envoy.envoy().pushed.len() == 2);
    assert_eq!(companion.metric("scbte_bundle_conflicts_total"), 1.0);
    assert!(envoy.envoy().seq.unwrap() > first + 1000);

    // Far beyond any clock, where an honest filter takes what is offered, and refused all the same: no `seq` gets there,
    // and it is not tried every second.
    {
        let mut envoy = envoy.envoy();
        (envoy.seq, envoy.revision) = (Some(u64::MAX >> 11), Some("another".to_owned()));
    }
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(companion.metric("scbte_bundle_conflicts_total"), 1.0, "nothing to contest");
    let refused = companion.metric(r#"scbte_bundle_pushes_total{result="conflict"}"#);
    assert!((1.0..=2.0).contains(&refused), "{refused}");
    assert_eq!(state_of(&companion, 0), "refuses");
    let newest = crate::control::facts(&companion.admin("/v1/bundle").body).0;
    assert!(newest < u64::MAX >> 12, "{newest}");
}

#[test]
fn a_refusal_is_told_and_not_repeated_every_second() {
    let envoy = FakeControl::start();
    envoy.envoy().refuses = Some(401);
    let companion = Companion::start(&["--push", &envoy.endpoint()]);
    let line = companion.wait_for_line("Envoy refuses the trust bundle");
    assert!(line["why"].as_str().unwrap().contains("untrusted_envelope"), "{line}");
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(envoy.envoy().pushed.len(), 1);
    assert_eq!(state_of(&companion, 0), "refuses");
    envoy.envoy().refuses = None;
    eventually("taken in the end", PATIENCE, || envoy.envoy().seq.is_some());
}

#[test]
fn an_envoy_that_hangs_holds_up_no_other() {
    let (hanging, healthy) = (FakeControl::start(), FakeControl::start());
    hanging.envoy().hangs = true;
    let companion = Companion::start(&["--push", &hanging.endpoint(), "--push", &healthy.endpoint()]);
    eventually("served", SERVED, || healthy.envoy().seq.is_some());
    eventually("told", PATIENCE, || state_of(&companion, 0) == "away");
    companion.token();
    hanging.envoy().hangs = false;
    eventually("served too", PATIENCE, || hanging.envoy().seq.is_some());
}

#[test]
fn a_control_api_on_a_unix_socket_is_reached() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let _companion = Companion::start(&["--push", &format!("unix://{}", path.display())]);
    let mut first = String::new();
    let (stream, _) = listener.accept().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut first).unwrap();
    assert_eq!(first, "GET /v1/status HTTP/1.1\r\n");
}
