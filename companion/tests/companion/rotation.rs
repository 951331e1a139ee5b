//! The dev CA's rotation under a running companion: prepare, activate, revoke; what is trusted at each step.

use crate::control::FakeControl;
use crate::harness::{Companion, eventually, scbte};
use std::time::Duration;

/// The files are looked at four times a second; a busy machine takes longer.
const NOTICED: Duration = Duration::from_secs(3);

fn dev_ca(companion: &Companion, step: &str) -> String {
    scbte(["dev-ca".as_ref(), step.as_ref(), "--state-dir".as_ref(), companion.state.as_os_str()]).good()
}

fn authorities(companion: &Companion) -> u64 {
    companion.admin("/readyz").json()["bundle"]["trust_domains"]["cluster.local"].as_u64().unwrap()
}

/// The exit code and what is wrong with a token.
fn verify(companion: &Companion, token: &str) -> (i32, String) {
    let admin = format!("http://{}", companion.admin_api);
    let printed =
        scbte(["token", "verify", token, "--json", "--admin", &admin, "--aud", "api.production.svc.cluster.local"]);
    let report: serde_json::Value = serde_json::from_str(&printed.out).unwrap();
    (printed.code, report["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_rotation_loses_no_token_before_its_time() {
    let envoy = FakeControl::start();
    let companion = Companion::start(&["--push", &envoy.endpoint()]);
    eventually("served", NOTICED, || envoy.envoy().seq.is_some());
    let old = companion.token();
    let good = (0, String::new());
    assert_eq!(verify(&companion, &old), good);

    assert!(dev_ca(&companion, "prepare").starts_with("prepared"));
    eventually("two authorities", NOTICED, || authorities(&companion) == 2);
    let pushed = || envoy.envoy().pushed.len();
    eventually("pushed at once", NOTICED, || pushed() == 2);
    assert_eq!(verify(&companion, &old), good);

    assert!(dev_ca(&companion, "activate").starts_with("active"));
    companion.wait_for_line("new SVID");
    let chain = |token: &str| scbte(["token", "inspect", token]).good().lines().last().unwrap().to_owned();
    eventually("the new SVID mints", NOTICED, || chain(&companion.token()) != chain(&old));
    let new = companion.token();
    assert_eq!((verify(&companion, &old), verify(&companion, &new)), (good.clone(), good.clone()));
    assert_eq!(pushed(), 2, "the bundle is the same");

    assert!(dev_ca(&companion, "revoke").starts_with("revoked"));
    eventually("one authority", NOTICED, || authorities(&companion) == 1);
    eventually("pushed at once", NOTICED, || pushed() == 3);
    assert_eq!(verify(&companion, &old), (1, "untrusted_chain".to_owned()));
    assert_eq!(verify(&companion, &new), good);
    assert_eq!(companion.admin("/readyz").status, 200);
}

#[test]
fn a_broken_bundle_file_changes_nothing_and_signs_nothing() {
    let companion = Companion::start(&[]);
    let before = companion.admin("/v1/bundle").body;
    let path = companion.state.join("ca.pem");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    companion.wait_for_line("the dev CA's files cannot be used; the last good ones stay in use");
    assert_eq!(companion.admin("/readyz").json()["identity"]["live"], false);
    companion.token();
    assert_eq!(companion.admin("/v1/bundle").body, before);
    std::fs::write(&path, good).unwrap();
    eventually("alive again", NOTICED, || companion.admin("/readyz").json()["identity"]["live"] == true);
}
