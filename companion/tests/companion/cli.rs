//! The command line: what it prints, what it refuses, and its exit codes.

use crate::harness::{API_GATEWAY, Companion, scbte, scbte_with};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const AUD: &str = "api.production.svc.cluster.local";

fn mint(state: &Path, extra: &[&str]) -> crate::harness::Printed {
    let state = state.to_str().unwrap();
    let base = ["token", "mint", "--dev-ca", state, "--spiffe-id", API_GATEWAY, "--aud", AUD, "--ctx", "read:users"];
    scbte(base.iter().chain(extra))
}

fn reason(state: &Path, token: &str) -> String {
    let state = state.to_str().unwrap();
    let printed = scbte_with(token, ["token", "verify", "-", "--json", "--state-dir", state, "--aud", AUD]);
    let report: Value = serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{printed:?}"));
    assert_eq!(printed.code, i32::from(report["valid"] != true), "{printed:?}");
    report["reason"].as_str().unwrap_or("valid").to_owned()
}

#[test]
fn testers_mint_whatever_they_need() {
    let companion = Companion::start(&[]);
    let state = &companion.state;
    let cases: &[(&[&str], &str)] = &[
        (&[], "valid"),
        (&["--aud", "another"], "valid"),
        (&["--jti", "mine"], "valid"),
        (&["--iat-offset=-600"], "expired"),
        (&["--iat-offset", "-600"], "expired"),
        (&["--iat-offset", "600"], "not_yet_valid"),
        (&["--ttl", "1"], "valid"),
        (&["--ttl", "301"], "lifetime_too_long"),
        (&["--sub", "spiffe://cluster.local/ns/production/sa/order-service"], "subject_mismatch"),
        (&["--method", "GET", "--path", "/api/v1/users"], "binding_mismatch"),
    ];
    for (extra, expected) in cases {
        let token = mint(state, extra).good();
        assert_eq!(reason(state, &token), *expected, "{extra:?}");
    }
    let other = mint(state, &["--jti", "mine"]).good();
    assert!(scbte(["token", "inspect", other.trim()]).good().contains("id         mine"));

    for (extra, part) in [
        (&["--path", "/a/../b"][..], "`.` or `..` segment"),
        (&["--ttl", "0"], "--ttl"),
        (&["--endpoint", "http://127.0.0.1:1"], "cannot be used with"),
    ] {
        let printed = mint(state, extra);
        assert!(printed.code != 0 && printed.err.contains(part), "{extra:?}: {printed:?}");
    }
    let foreign = scbte([
        "token",
        "mint",
        "--dev-ca",
        state.to_str().unwrap(),
        "--spiffe-id",
        "spiffe://other/a",
        "--aud",
        AUD,
        "--ctx",
        "a:b",
    ]);
    assert!(foreign.code == 1 && foreign.err.contains("not of this CA's trust domain"), "{foreign:?}");
}

#[test]
fn a_companion_is_asked_and_its_refusal_told() {
    let companion = Companion::start(&[]);
    let endpoint = format!("http://{}", companion.token_api);
    let ask = |ctx: &str| scbte(["token", "mint", "--endpoint", &endpoint, "--aud", AUD, "--ctx", ctx]);
    assert_eq!(reason(&companion.state, &ask("read:users").good()), "valid");
    let refused = ask("read");
    assert!(refused.code == 1 && refused.err.contains("400") && refused.err.contains("verb:resource"), "{refused:?}");
    drop(companion);
    let gone = ask("read:users");
    assert!(gone.code == 1 && gone.err.contains("cannot connect to http://127.0.0.1"), "{gone:?}");
}

#[test]
fn health_is_an_exit_code() {
    let companion = Companion::start(&[]);
    let admin = format!("http://{}", companion.admin_api);
    for (arguments, text) in [(&["health"][..], "ready\n"), (&["health", "--alive"], "alive\n")] {
        let printed = scbte(arguments.iter().copied().chain(["--admin", &admin]));
        assert_eq!((printed.code, printed.out.as_str()), (0, text), "{printed:?}");
    }
    drop(companion);
    for arguments in [&["health"][..], &["health", "--alive"]] {
        let gone = scbte(arguments.iter().copied().chain(["--admin", &admin]));
        assert!(gone.code == 1 && gone.err.contains("cannot connect"), "{gone:?}");
    }
}

#[test]
fn a_token_is_explained() {
    let companion = Companion::start(&[]);
    let token = companion.token();
    let inspected = scbte_with(&format!("Bearer {token}\n"), ["token", "inspect"]).good();
    for part in [
        "NOTHING HERE IS VERIFIED",
        API_GATEWAY,
        AUD,
        "read:users",
        "any method, any path",
        "expires    20",
        "1 certificate",
    ] {
        assert!(inspected.contains(part), "{part}: {inspected}");
    }
    assert!(!inspected.contains(&token));

    let state = companion.state.to_str().unwrap();
    let verified = scbte(["token", "verify", &token, "--state-dir", state, "--aud", AUD]).good();
    for part in ["ok      form", "ok      signature", "leads to an authority of `cluster.local`", "VALID"] {
        assert!(verified.contains(part), "{part}: {verified}");
    }
    let refused = scbte(["token", "verify", &token, "--state-dir", state, "--aud", "other"]);
    assert!(
        refused.code == 1 && refused.out.contains("REFUSED: the filter answers 401 invalid_token, audience_mismatch"),
        "{refused:?}"
    );
    assert_eq!(scbte(["token", "inspect", "nonsense"]).code, 1);
}

#[test]
fn bundles_are_shown_from_everywhere() {
    let companion = Companion::start(&[]);
    let (state, admin) = (companion.state.to_str().unwrap(), format!("http://{}", companion.admin_api));
    let envelope = companion.state.join("bundle.jws");
    std::fs::write(&envelope, companion.admin("/v1/bundle").body).unwrap();
    let (envelope, pem) = (envelope.to_str().unwrap(), companion.state.join("ca.pem"));
    let (key, pem) = (companion.state.join("envelope.pub.jwk"), pem.to_str().unwrap());
    let revision = |out: &str| out.lines().find_map(|line| line.strip_prefix("revision     ")).unwrap().to_owned();

    let shown = scbte(["bundle", "show", "--admin", &admin, "--envelope-key", key.to_str().unwrap()]).good();
    for part in [
        "by the envelope key",
        "target       demo",
        "not for production",
        "cluster.local: 1 authority",
        "URI          spiffe://cluster.local",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for arguments in [["--envelope", envelope], ["--bundle", envelope], ["--state-dir", state], ["--bundle", pem]] {
        let out = scbte(["bundle", "show"].iter().chain(&arguments)).good();
        assert_eq!(revision(&out), revision(&shown), "{arguments:?}");
    }
    assert!(scbte(["bundle", "show", "--bundle", envelope]).good().contains("NOT CHECKED"));

    let other = companion.state.join("other.jwk");
    scbte(["keygen", "--out", other.to_str().unwrap()]).good();
    let other = companion.state.join("other.pub.jwk");
    let wrong = scbte(["bundle", "show", "--bundle", envelope, "--envelope-key", other.to_str().unwrap()]);
    assert!(wrong.code == 1 && wrong.err.contains("do not believe it"), "{wrong:?}");
}

#[test]
fn a_spiffe_bundle_needs_its_name() {
    let companion = Companion::start(&[]);
    let der = std::fs::read_to_string(companion.state.join("ca.pem")).unwrap();
    let x5c: String = der.lines().filter(|line| !line.starts_with("-----")).collect();
    let bundle = serde_json::json!({"keys": [{"use": "x509-svid", "kty": "EC", "x5c": [x5c]}], "spiffe_sequence": 1});
    let path = companion.state.join("bundle.json");
    std::fs::write(&path, bundle.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let nameless = scbte(["bundle", "show", "--bundle", path]);
    assert!(nameless.code == 1 && nameless.err.contains("--trust-domain"), "{nameless:?}");
    let token = companion.token();
    let verify = |name: &str| {
        let printed =
            scbte(["token", "verify", &token, "--json", "--bundle", path, "--trust-domain", name, "--aud", AUD]);
        let report: Value = serde_json::from_str(&printed.out).unwrap();
        report["reason"].as_str().unwrap_or("valid").to_owned()
    };
    assert_eq!((verify("cluster.local").as_str(), verify("other").as_str()), ("valid", "unknown_trust_domain"));
}

#[test]
fn keys_are_made_private_and_never_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let private = root.path().join("production.jwk");
    let out = scbte(["keygen", "--out", private.to_str().unwrap()]).good();
    assert!(out.contains("production.jwk") && out.contains("production.pub.jwk"), "{out}");
    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(root.path().join(name)).unwrap()).unwrap()
    };
    let (secret, public) = (read("production.jwk"), read("production.pub.jwk"));
    assert!(secret["d"].is_string() && public.get("d").is_none());
    assert_eq!((&secret["x"], &secret["kid"]), (&public["x"], &public["kid"]));

    let again = scbte(["keygen", "--out", private.to_str().unwrap()]);
    assert!(again.code == 1 && again.err.contains("--force"), "{again:?}");
    assert_eq!(read("production.jwk"), secret);
    scbte(["keygen", "--force", "--out", private.to_str().unwrap()]).good();
    assert_ne!(read("production.jwk"), secret);

    let state = root.path().join("state");
    scbte(["keygen", "--state-dir", state.to_str().unwrap()]).good();
    let kid: Value = serde_json::from_str(&std::fs::read_to_string(state.join("envelope.jwk")).unwrap()).unwrap();
    let companion = Companion::start_in(&state, &[]);
    let header = companion.admin("/v1/bundle").body;
    let header = scbte_core::base64::decode_url(header.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], kid["kid"], "the companion uses the key that is there");
}

#[test]
fn a_kubernetes_secret_holds_the_private_half() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("production.pub.jwk");
    let keygen = ["keygen", "--k8s-secret", "scbte-envelope", "--namespace", "production", "--public"];
    let keygen = || scbte(keygen.iter().copied().chain([file.to_str().unwrap()]));
    let out = keygen().good();
    let yaml: Value = serde_saphyr::from_str(&out).unwrap();
    assert_eq!((&yaml["kind"], &yaml["metadata"]["name"]), (&"Secret".into(), &"scbte-envelope".into()));
    assert_eq!(yaml["metadata"]["namespace"], "production");
    let secret: Value = serde_json::from_str(yaml["stringData"]["envelope.jwk"].as_str().unwrap()).unwrap();
    let public: Value = serde_json::from_str(out.lines().last().unwrap().strip_prefix("# ").unwrap()).unwrap();
    assert!(secret["d"].is_string() && public.get("d").is_none());
    assert_eq!(secret["kid"], public["kid"]);
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), public);

    let again = keygen();
    assert!(again.code == 1 && again.out.is_empty() && again.err.contains("is there already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

#[test]
fn an_envelope_key_of_ones_own_is_used() {
    let root = tempfile::tempdir().unwrap();
    let key = root.path().join("own.jwk");
    let key_text = key.to_str().unwrap();
    scbte(["keygen", "--out", key_text]).good();
    let companion = Companion::start(&["--envelope-key", key_text]);
    let public = root.path().join("own.pub.jwk");
    let admin = format!("http://{}", companion.admin_api);
    scbte(["bundle", "show", "--admin", &admin, "--envelope-key", public.to_str().unwrap()]).good();
    assert!(!companion.state.join("envelope.jwk").exists());
}

#[test]
fn what_run_needs_it_says() {
    for (arguments, part) in [
        (&["run"][..], "no identity source"),
        (&["run", "--workload-api", "unix:///a", "--dev-trust-domain", "a"], "only one identity source"),
        (&["run", "--workload-api", "tcp:127.0.0.1:1"], "the private key would travel unprotected"),
        (&["run", "--dev-trust-domain", "a"], "`--spiffe-id` is missing"),
        (&["run", "--dev-trust-domain", "a", "--spiffe-id", "spiffe://a/b"], "`--state-dir` is missing"),
        (&["run", "--token-listen", "0.0.0.0:1"], "--token-listen-public"),
        (&["run", "--config", "/nonexistent"], "there is no `/nonexistent`"),
    ] {
        let printed = scbte(arguments);
        assert!(printed.code == 1 && printed.err.contains(part), "{arguments:?}: {printed:?}");
    }
    assert_eq!(scbte(["nonsense"]).code, 2);
}

#[test]
fn every_command_helps() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["health", "--help"],
        &["keygen", "--help"],
        &["token", "mint", "--help"],
        &["token", "inspect", "--help"],
        &["token", "verify", "--help"],
        &["bundle", "show", "--help"],
        &["render", "envoy", "--help"],
        &["render", "wasmplugin", "--help"],
        &["dev-ca", "--help"],
    ] {
        let help = scbte(arguments).good();
        assert!(help.contains("Usage: scbte"), "{help}");
        assert!(arguments.len() == 1 || help.contains("Example"), "{arguments:?}: {help}");
    }
}
