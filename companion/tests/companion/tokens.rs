//! `POST /token` over real sockets: tokens, guards, limits, and the listener's manners.

use crate::harness::{API_GATEWAY, Companion, TOKEN_REQUEST, exchange, get, post, request, scbte};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

#[test]
fn a_token_is_minted_and_is_valid() {
    let companion = Companion::start(&[]);
    let answer = companion.post_token(
        r#"{"aud":"api.production.svc.cluster.local","ctx":"read:users","method":"GET","path":"/api/v1/users"}"#,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    let token = json["token"].as_str().unwrap();
    assert_eq!(json.as_object().unwrap().len(), 2);
    assert!(json["exp"].as_u64().is_some());

    let admin = format!("http://{}", companion.admin_api);
    let verify = |extra: &[&str]| {
        let base = ["token", "verify", token, "--admin", &admin, "--aud", "api.production.svc.cluster.local"];
        scbte(base.iter().chain(extra))
    };
    let out = verify(&["--method", "GET", "--path", "/api/v1/users"]).good();
    assert!(out.contains("VALID"), "{out}");
    let other = verify(&["--method", "POST", "--path", "/api/v1/users"]);
    assert!(other.code == 1 && other.out.contains("[binding_mismatch]"), "{}", other.out);
    assert_eq!(companion.metric("scbte_tokens_minted_total"), 1.0);
}

/// Name, headers, body, status, `error`.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[test]
fn forged_and_wrong_requests_are_refused() {
    let companion = Companion::start(&["--require-header", "x-client"]);
    let good = ("x-client", "1");
    let long = format!(r#"{{"aud":"{}","ctx":"read:users"}}"#, "a".repeat(20_000));
    let cases: &[Case<'_>] = &[
        ("good", &[good], TOKEN_REQUEST, 200, ""),
        ("foreign host", &[good, ("host", "evil.example")], TOKEN_REQUEST, 403, "forbidden"),
        ("origin", &[good, ("origin", "http://localhost")], TOKEN_REQUEST, 403, "forbidden"),
        ("via", &[good, ("via", "1.1 proxy")], TOKEN_REQUEST, 403, "forbidden"),
        ("forwarded", &[good, ("x-forwarded-for", "1.2.3.4")], TOKEN_REQUEST, 403, "forbidden"),
        ("required header", &[], TOKEN_REQUEST, 403, "forbidden"),
        ("form", &[good, ("content-type", "text/plain")], TOKEN_REQUEST, 415, "unsupported_media_type"),
        ("no JSON", &[good], "aud=api", 400, "invalid_request"),
        ("no body", &[good], "", 400, "invalid_request"),
        ("no context", &[good], r#"{"aud":"api"}"#, 400, "invalid_request"),
        ("unknown member", &[good], r#"{"aud":"api","ctx":"a:b","exp":1}"#, 400, "invalid_request"),
        ("too long", &[good], &long, 413, "payload_too_large"),
    ];
    for (name, headers, body, status, error) in cases {
        let answer = post(&companion.token_api, "/token", headers, body);
        assert_eq!(answer.problem(), (*status, (*error).to_owned()), "{name}: {}", answer.body);
        assert_eq!(answer.json()["detail"].is_string(), *status != 200, "{name}");
    }
    let unknown = post(&companion.token_api, "/token", &[good], r#"{"aud":"api","ctx":"a:b","exp":1}"#);
    assert!(unknown.json()["detail"].as_str().unwrap().contains("`exp`"));

    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = exchange(&companion.token_api, &request(method, "/token", &[good], ""));
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method}");
    }
    assert_eq!(get(&companion.token_api, "/", &[]).problem(), (404, "not_found".to_owned()));
    assert_eq!(get(&companion.token_api, "/healthz", &[]).status, 200);
    // What belongs to the admin listener is not served here.
    assert_eq!(get(&companion.token_api, "/v1/bundle", &[]).status, 404);

    assert_eq!(companion.metric("scbte_token_errors_total{reason=\"forbidden\"}"), 5.0);
    assert_eq!(companion.metric("scbte_token_errors_total{reason=\"payload_too_large\"}"), 1.0);
}

#[test]
fn a_unix_socket_is_for_its_owner_only_and_is_cleaned_up() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("token.sock");
    let address = format!("unix://{}", path.display());
    let companion = Companion::start(&["--token-listen", &address]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    companion.token();
    let minted = scbte(["token", "mint", "--endpoint", &address, "--aud", "api", "--ctx", "read:users"]).good();
    assert_eq!(minted.trim().split('.').count(), 3);
    assert_eq!(companion.terminate(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_taken_port_is_named_with_what_moves_it() {
    let root = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, variable) in [("--token-listen", "SCBTE_TOKEN_LISTEN"), ("--admin-listen", "SCBTE_ADMIN_LISTEN")] {
        let other = if flag == "--token-listen" { "--admin-listen" } else { "--token-listen" };
        let state = root.path().to_str().unwrap();
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
            flag,
            &address,
            other,
            "127.0.0.1:0",
        ]);
        assert_eq!(printed.code, 1);
        for part in [address.as_str(), "in use", flag, variable] {
            assert!(printed.err.contains(part), "{}", printed.err);
        }
    }
}

#[test]
fn sigterm_lets_open_requests_finish() {
    let companion = Companion::start(&[]);
    let mut stream = TcpStream::connect(&companion.token_api).unwrap();
    let whole = request("POST", "/token", &[("content-type", "application/json")], TOKEN_REQUEST);
    let (first, rest) = whole.split_at(whole.len() - 5);
    stream.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let terminated = std::thread::spawn(move || {
        let started = Instant::now();
        (companion.terminate(), started.elapsed())
    });
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (code, took) = terminated.join().unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn nothing_secret_is_logged() {
    let companion = Companion::start(&["--log-level", "debug"]);
    let token = companion.token();
    companion.post_token("{");
    let (signature, key) =
        (token.rsplit('.').next().unwrap(), std::fs::read_to_string(companion.state.join("envelope.jwk")).unwrap());
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let ca = std::fs::read_to_string(companion.state.join("ca.key")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let log: String = companion.lines().iter().map(ToString::to_string).collect();
    for secret in [signature, key["d"].as_str().unwrap(), ca.lines().nth(1).unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn only_listed_audiences_and_contexts_get_tokens() {
    let companion =
        Companion::start(&["--allow-audience", "api.production.*", "--allow-context", "read:*,write:orders"]);
    for (aud, ctx, status) in [
        ("api.production.svc.cluster.local", "read:users", 200),
        ("api.production.svc.cluster.local", "write:orders", 200),
        ("api.production.svc.cluster.local", "write:users", 403),
        ("api.staging.svc.cluster.local", "read:users", 403),
    ] {
        let answer = companion.post_token(&format!(r#"{{"aud":"{aud}","ctx":"{ctx}"}}"#));
        assert_eq!(answer.status, status, "{aud} {ctx}: {}", answer.body);
    }
    let answer = companion.post_token(r#"{"aud":"api.production.svc.cluster.local","ctx":"write:users"}"#);
    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
    assert!(answer.body.contains("`ctx` `write:users` is not among those"), "{}", answer.body);
}

#[test]
fn a_token_is_reused_only_where_asked_for() {
    for (arguments, reused) in [(&[][..], false), (&["--reuse-tokens"], true)] {
        let companion = Companion::start(arguments);
        let (first, second) = (companion.post_token(TOKEN_REQUEST), companion.post_token(TOKEN_REQUEST));
        assert_eq!((first.status, second.status), (200, 200));
        assert_eq!(first.json()["token"] == second.json()["token"], reused, "{arguments:?}");
        let other = companion.post_token(r#"{"aud":"api.production.svc.cluster.local","ctx":"write:users"}"#);
        assert_ne!(first.json()["token"], other.json()["token"], "another request");
        let counts = ["scbte_tokens_minted_total", "scbte_tokens_reused_total"].map(|name| companion.metric(name));
        assert_eq!(counts, if reused { [2.0, 1.0] } else { [3.0, 0.0] });
    }
}

#[test]
fn without_the_agent_there_is_no_token_and_the_reason_is_named() {
    let root = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", root.path().join("agent.sock").display());
    let companion = Companion::start_as(&["--workload-api", &socket], &root.path().join("state"), &[]);
    let line = companion.wait_for_line("no word from the Workload API; trying again");
    assert!(line["why"].as_str().unwrap().contains("the agent cannot be reached"), "{line}");
    let answer = companion.post_token(TOKEN_REQUEST);
    assert_eq!(answer.problem(), (503, "identity_unavailable".to_owned()));
    assert!(answer.body.contains("the agent cannot be reached: No such file"), "{}", answer.body);
    let ready = get(&companion.admin_api, "/readyz", &[]);
    assert_eq!((ready.status, ready.json()["identity"]["live"].as_bool()), (503, Some(false)), "{}", ready.body);
    assert_eq!(get(&companion.admin_api, "/v1/bundle", &[]).status, 404, "nothing is signed");
    assert_eq!(get(&companion.admin_api, "/healthz", &[]).status, 200);
}
