//! Policies that the companion delivers: from files that it watches, and from a bundle server that it polls.

use crate::control::FakeControl;
use crate::harness::{Companion, eventually, scbte};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a bundle server sends: a bundle and its ETag, or an error.
#[derive(Clone, Default)]
struct Served {
    bundle: Vec<u8>,
    etag: String,
    down: bool,
    /// Requests that named the ETag of what they got last.
    unchanged: usize,
}

/// A bundle server on loopback; it ends with the test's process.
fn serve() -> (String, Arc<Mutex<Served>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/bundle.tar.gz", listener.local_addr().unwrap());
    let served = Arc::new(Mutex::new(Served::default()));
    let shared = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &mut shared.lock().unwrap());
        }
    });
    (url, served)
}

fn answer(mut stream: std::net::TcpStream, served: &mut Served) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let knows = String::from_utf8_lossy(&request).contains(&format!("if-none-match: {}", served.etag));
    let (status, body) = match (served.down, knows && !served.etag.is_empty()) {
        (true, _) => ("500 Down", &[][..]),
        (false, true) => ("304 Not Modified", &[][..]),
        (false, false) => ("200 OK", served.bundle.as_slice()),
    };
    served.unchanged += usize::from(status.starts_with("304"));
    let head = format!(
        "HTTP/1.1 {status}\r\netag: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        served.etag,
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

/// A bundle as `scbte policy build` makes it.
fn bundle(folder: &Path, context: &str, revision: &str) -> Vec<u8> {
    let source = folder.join("policy");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("allow.rego"), format!("package scbte\n\nallow if input.ctx == \"{context}\"\n")).unwrap();
    let file = folder.join("bundle.tar.gz");
    let (source, target) = (source.to_str().unwrap(), file.to_str().unwrap());
    scbte(["policy", "build", source, "-o", target, "--revision", revision]).good();
    fs::read(file).unwrap()
}

/// What `/readyz` says of the policy.
fn policy(companion: &Companion) -> serde_json::Value {
    companion.admin("/readyz").json()["policy"].clone()
}

/// What `/readyz` says is wrong with it.
fn error(companion: &Companion) -> String {
    policy(companion)["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_bundle_server_is_polled_and_outlived() {
    let root = tempfile::tempdir().unwrap();
    let (url, served) = serve();
    *served.lock().unwrap() =
        Served { bundle: bundle(root.path(), "a:b", "1"), etag: "\"1\"".into(), ..Served::default() };
    let arguments = ["--policy", &url, "--policy-allow-unsigned", "--policy-interval", "1s"];
    let companion = Companion::start(&arguments);
    eventually("the policy", PATIENCE, || policy(&companion)["digest"].is_string());
    let first = policy(&companion)["digest"].clone();
    eventually("asked with its ETag", PATIENCE, || served.lock().unwrap().unchanged > 0);
    assert_eq!(companion.admin("/v1/policy").status, 200);

    let second = bundle(root.path(), "c:d", "2");
    {
        let mut served = served.lock().unwrap();
        (served.bundle, served.etag) = (second, "\"2\"".into());
    }
    eventually("the new policy", PATIENCE, || policy(&companion)["digest"] != first);
    let second = policy(&companion)["digest"].clone();

    for (name, change, text) in [
        (
            "junk",
            &(|served: &mut Served| served.bundle = b"junk".to_vec()) as &dyn Fn(&mut Served),
            "not a tar archive",
        ),
        ("down", &|served: &mut Served| served.down = true, "500"),
        ("nothing", &|served: &mut Served| served.bundle = Vec::new(), "not a tar archive"),
    ] {
        let good = served.lock().unwrap().clone();
        {
            let mut served = served.lock().unwrap();
            served.etag = format!("\"{name}\"");
            change(&mut served);
        }
        eventually(name, PATIENCE, || error(&companion).contains(text));
        assert_eq!(policy(&companion)["digest"], second, "{name}: the last good one stays");
        assert_eq!(companion.metric("scbte_policy_current"), 0.0, "{name}");
        {
            // Under the name of what was wrong: whoever was lied to once asks again.
            let mut served = served.lock().unwrap();
            *served = Served { etag: served.etag.clone(), ..good };
        }
        eventually("well again", PATIENCE, || policy(&companion)["error"].is_null());
        assert_eq!(companion.metric("scbte_policy_current"), 1.0, "{name}");
    }
}

/// A server that is back and says that nothing changed has said that all is well, or still as bad as it was.
#[test]
fn an_outage_ends_with_the_first_answer() {
    let root = tempfile::tempdir().unwrap();
    let (url, served) = serve();
    *served.lock().unwrap() =
        Served { bundle: bundle(root.path(), "a:b", "1"), etag: "\"1\"".into(), ..Served::default() };
    let url = url.replace("http://", "HTTP://user:hush@") + "?token=hush";
    let companion = Companion::start(&["--policy", &url, "--policy-allow-unsigned", "--policy-interval", "1s"]);
    eventually("the policy", PATIENCE, || policy(&companion)["digest"].is_string());
    assert_eq!(companion.metric("scbte_policy_current"), 1.0);

    let outage = |expected: &str| {
        served.lock().unwrap().down = true;
        eventually("the outage", PATIENCE, || error(&companion).contains("status: 500"));
        assert!(error(&companion).contains(expected), "{}", error(&companion));
        assert!(error(&companion).contains("http://127.0.0.1:") && !error(&companion).contains("hush"));
        assert_eq!(companion.metric("scbte_policy_current"), 0.0);
        let mut served = served.lock().unwrap();
        (served.down, served.unchanged) = (false, 0);
    };
    outage("no policy from");
    eventually("no error", PATIENCE, || policy(&companion)["error"].is_null());
    assert!(served.lock().unwrap().unchanged > 0, "by a 304");
    assert_eq!(companion.metric("scbte_policy_current"), 1.0);

    {
        let mut served = served.lock().unwrap();
        (served.bundle, served.etag) = (b"junk".to_vec(), "\"2\"".into());
    }
    eventually("refused", PATIENCE, || error(&companion).contains("not a tar archive"));
    outage("not a tar archive");
    eventually("the outage is over", PATIENCE, || !error(&companion).contains("500"));
    assert!(error(&companion).contains("not a tar archive"), "what is wrong with the bundle is still told");
}

#[test]
fn a_bundle_counts_where_a_key_is_named_when_its_holder_signed_it() {
    let root = tempfile::tempdir().unwrap();
    let (url, served) = serve();
    served.lock().unwrap().bundle = bundle(root.path(), "a:b", "1");
    let fixture = |name: &str| format!("{}/src/policy_bundle/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("policy.pub.pem");
    let companion = Companion::start(&["--policy", &url, "--policy-key", &key, "--policy-interval", "1s"]);
    for (name, bundle, text) in [
        ("not signed", None, "the bundle is not signed"),
        ("signed by another", Some("es256.tar.gz"), "the bundle's signature is not by this key"),
        ("signed otherwise", Some("rs256.tar.gz"), "signed with RS256"),
    ] {
        if let Some(bundle) = bundle {
            served.lock().unwrap().bundle = fs::read(fixture(bundle)).unwrap();
        }
        eventually(name, PATIENCE, || error(&companion).contains(text));
        assert_eq!(companion.admin("/v1/policy").status, 404, "{name}");
        assert_eq!(companion.admin("/readyz").status, 503, "{name}: it has nothing to deliver");
        assert_eq!(companion.metric("scbte_policy_current"), 0.0, "{name}");
    }

    served.lock().unwrap().bundle = fs::read(fixture("policy.tar.gz")).unwrap();
    eventually("the signed one", PATIENCE, || policy(&companion)["digest"].is_string());
    assert!(policy(&companion)["error"].is_null());
    eventually("an envelope", PATIENCE, || companion.admin("/v1/policy").status == 200);
    assert_eq!(companion.metric("scbte_policy_current"), 1.0);
    let checked = ["policy", "check", "--json", &fixture("policy.tar.gz"), "--verification-key", &key];
    let checked: serde_json::Value = serde_json::from_str(&scbte(checked).good()).unwrap();
    assert_eq!(policy(&companion)["digest"], checked["digest"]);

    // The same in a file.
    let file = Companion::start(&["--policy", &fixture("policy.tar.gz"), "--policy-key", &key]);
    eventually("the signed file", PATIENCE, || policy(&file)["digest"] == checked["digest"]);
    let file = Companion::start(&["--policy", &fixture("es256.tar.gz"), "--policy-key", &key]);
    eventually("the refused file", PATIENCE, || error(&file).contains("not by this key"));
}

#[test]
fn files_are_watched() {
    let root = tempfile::tempdir().unwrap();
    let (allow, next) = (root.path().join("allow.rego"), root.path().join("next.rego"));
    fs::write(&allow, "package scbte\n\nallow := true\n").unwrap();
    fs::write(&next, "package scbte\n\nallow := false\n").unwrap();
    let arguments = ["--policy", allow.to_str().unwrap(), "--shadow-policy", next.to_str().unwrap()];
    let more = ["--policy-entrypoint", "data.scbte.allow", "--policy-max-data", "10KiB"];
    let companion = Companion::start(&[&arguments[..], &more].concat());
    eventually("the policy", PATIENCE, || policy(&companion)["digest"].is_string());
    let first = policy(&companion)["revision"].clone();
    fs::write(&next, "package scbte\n\nallow := {\"allow\": false, \"reason\": \"later\"}\n").unwrap();
    eventually("the policy to watch is part of it", PATIENCE, || policy(&companion)["revision"] != first);
    fs::write(&allow, "package scbte\n\nallow = true {\n").unwrap();
    eventually("what is wrong is told", PATIENCE, || policy(&companion)["error"].to_string().contains("allow.rego:3"));

    fs::write(&allow, "package scbte\n\nallow { input.ctx == \"a:b\" }\n").unwrap();
    let v0 = Companion::start(&["--policy", allow.to_str().unwrap(), "--policy-rego-v0"]);
    eventually("a policy in Rego v0", PATIENCE, || policy(&v0)["digest"].is_string());
}

/// A companion whose policy is spoilt may be behind others.
#[test]
fn one_in_trouble_leaves_the_policies_of_others_alone() {
    let root = tempfile::tempdir().unwrap();
    let allow = root.path().join("allow.rego");
    fs::write(&allow, "package scbte\n\nallow := true\n").unwrap();
    let envoy = FakeControl::start();
    let companion = Companion::start(&["--push", &envoy.endpoint(), "--policy", allow.to_str().unwrap()]);
    let state = || companion.admin("/readyz").json()["targets"][0]["policy"]["state"].clone();
    let another = |seq: Option<u64>| {
        let policy = &mut envoy.envoy().policy;
        (policy.seq, policy.revision) = (seq, Some("another".to_owned()));
        policy.pushes
    };
    eventually("the policy", PATIENCE, || envoy.envoy().policy.seq.is_some());
    let first = envoy.envoy().policy.seq.map(|seq| seq + 1000);
    let pushes = another(first);
    eventually("it stands up for what its source has", PATIENCE, || envoy.envoy().policy.pushes > pushes);
    let conflicts = || companion.metric("scbte_policy_conflicts_total");
    assert!(conflicts() > 0.0);

    fs::write(&allow, "nonsense").unwrap();
    eventually("the trouble", PATIENCE, || error(&companion).contains("allow.rego:1"));
    let (before, now) = (conflicts(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros());
    let pushes = another(u64::try_from(now).ok());
    eventually("it sees that", PATIENCE, || state() == "contested");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((envoy.envoy().policy.pushes, conflicts()), (pushes, before), "left alone");

    // An Envoy that has nothing gets the last good one.
    another(None);
    eventually("its own", PATIENCE, || state() == "in_sync");
    assert_eq!(envoy.envoy().policy.pushes, pushes + 1);
}
