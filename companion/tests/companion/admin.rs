//! The admin listener, and the state folder that a run leaves.

use crate::harness::{API_GATEWAY, Companion, get, scbte};
use scbte_core::bundle::BundleSet;
use scbte_core::envelope::{Envelope, Trust};
use scbte_core::signature::InModule;
use scbte_core::time::Timestamp;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> Timestamp {
    Timestamp::from_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap())
}

fn trust(state: &Path, allow_dev: bool) -> Trust {
    let public = std::fs::read_to_string(state.join("envelope.pub.jwk")).unwrap();
    Trust {
        keys: vec![serde_json::from_str(&public).unwrap()],
        target: "demo".to_owned(),
        allow_dev,
        skew: Duration::from_secs(30),
    }
}

#[test]
fn the_envelope_is_one_that_the_filter_takes() {
    let companion = Companion::start(&[]);
    let answer = companion.admin("/v1/bundle");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jose")));
    let open =
        |allow_dev| Envelope::<BundleSet>::open(&answer.body, &trust(&companion.state, allow_dev), &InModule, now());
    let envelope = open(true).unwrap();
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", envelope.seq).as_str()));
    assert_eq!(envelope.payload.iter().count(), 1);
    assert!(open(false).is_err(), "a dev trust domain's is marked");

    let etag = answer.header("etag").unwrap();
    let unchanged = get(&companion.admin_api, "/v1/bundle", &[("if-none-match", etag)]);
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(get(&companion.admin_api, "/v1/bundle", &[("if-none-match", "\"1\"")]).status, 200);
    assert_eq!(companion.admin("/v1/policy").problem(), (404, "not_found".to_owned()));
}

#[test]
fn health_readiness_and_metrics() {
    let companion = Companion::start(&[]);
    assert_eq!(companion.admin("/healthz").status, 200);
    let ready = companion.admin("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
    let report = ready.json();
    assert_eq!(report["ready"], true);
    assert_eq!(report["identity"]["spiffe_id"], API_GATEWAY);
    assert_eq!(report["bundle"]["trust_domains"]["cluster.local"], 1);

    let metrics = companion.admin("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.body.ends_with("# EOF\n"));
    assert_eq!(companion.metric("scbte_identity_live"), 1.0);
    assert!(companion.metric("scbte_svid_remaining_seconds") > 3000.0);
    assert!(metrics.body.contains("scbte_trust_bundle_age_seconds "));
}

#[test]
fn the_state_folder_is_private_and_outlives_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let first = Companion::start_in(&state, &[]);
    let token = first.token();
    let mode = |name: &str| std::fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!([mode("envelope.jwk"), mode("ca.key")], [0o600; 2]);
    let envelope = first.admin("/v1/bundle").body;
    assert_eq!(first.terminate(), Some(0));

    let second = Companion::start_in(&state, &[]);
    let (old, new) = (crate::control::facts(&envelope), crate::control::facts(&second.admin("/v1/bundle").body));
    assert!(new.0 > old.0 && new.1 == old.1, "{old:?} {new:?}");
    let admin = format!("http://{}", second.admin_api);
    scbte(["token", "verify", &token, "--admin", &admin, "--aud", "api.production.svc.cluster.local"]).good();
}

#[test]
fn a_key_that_others_can_read_stops_the_start() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().to_str().unwrap();
    Companion::start_in(root.path(), &[]);
    for name in ["envelope.jwk", "ca.key"] {
        let path = root.path().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let printed = scbte([
            "run",
            "--dev-trust-domain",
            "cluster.local",
            "--spiffe-id",
            API_GATEWAY,
            "--target",
            "demo",
            "--state-dir",
            state,
            "--token-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        assert_eq!(printed.code, 1, "{name}");
        assert!(printed.err.contains(name) && printed.err.contains("0640"), "{}", printed.err);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn it_is_small() {
    let companion = Companion::start(&[]);
    for _ in 0..200 {
        companion.token();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", companion.id())).unwrap();
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap();
    // What it holds, without the pages of a program that is not optimised for size. The goal is 12 MiB for both together.
    assert!(kib < 6 * 1024, "{kib} KiB");
}
