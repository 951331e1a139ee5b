use super::*;
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

fn key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

fn data() -> Value {
    json!({
        "audiences": ["api.production.svc.cluster.local", "{node.metadata.NAME}.{node.metadata.NAMESPACE}.svc"],
        "trust": {"target": "production", "envelope_keys": [key()],
            "pull": {"cluster": "scbte_companion", "path": "/v1/bundle", "interval": "30s"},
            "stale_after": "8m", "max_age": "1h", "allow_dev": false},
        "token": {"header": "authorization", "accept_typ": ["scbte+jwt"], "max_size": "8KiB", "max_lifetime": "5m",
            "clock_skew": "30s", "forward": false, "require_binding": false, "bind_peer": false},
        "policy": {"source": "inline", "rego": "package scbte", "data": {}, "entrypoint": "data.scbte.allow",
            "rego_version": 1, "headers": [], "keys": [], "max_instructions": 25000, "max_data": "1MiB"},
        "path": {"allow_encoded_slash": false},
        "bypass": [{"method": "GET", "path": "/healthz"}, {"method": "GET", "path_prefix": "/public"}],
        "mode": "enforce",
        "errors": {"expose_detail": true},
        "log": {"sample_allows": 0}
    })
}

fn control() -> Value {
    json!({"control": {"max_body": "4MiB"}, "trust": {"target": "production", "envelope_keys": [key()]}})
}

fn parse(value: &Value) -> Result<Config, ConfigError> {
    let metadata = |name: &str| match name {
        "NAME" => Some("users".to_owned()),
        "NAMESPACE" => Some("production".to_owned()),
        _ => None,
    };
    Config::parse(value.to_string().as_bytes(), &metadata)
}

fn parse_data(value: &Value) -> DataConfig {
    match parse(value) {
        Ok(Config::Data(config)) => *config,
        other => panic!("{other:?}"),
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_designs_example_is_read_and_says_the_defaults() {
    let minimal = json!({"audiences": ["api"], "trust": {"target": "t", "envelope_keys": [key()]},
        "policy": {"rego": "package scbte"}});
    let (full, minimal) = (parse_data(&data()), parse_data(&minimal));
    assert_eq!(full.audiences[1].as_str(), "users.production.svc");
    assert_eq!(full.bypass.len(), 2);
    for config in [full, minimal] {
        assert_eq!((config.trust.stale_after.as_secs(), config.trust.max_age.as_secs()), (480, 3600));
        assert_eq!((config.token.max_size, config.token.max_lifetime.as_secs()), (8192, 300));
        assert_eq!(
            (config.token.clock_skew.as_secs(), config.token.accept_typ.as_slice()),
            (30, &["scbte+jwt".into()][..])
        );
        assert_eq!(
            (config.token_header.name(), config.mode, config.expose_detail),
            ("authorization", Mode::Enforce, true)
        );
        assert_eq!((config.policy.limits.max_instructions, config.policy.envelopes.keys.len()), (25_000, 1));
        assert!(!config.forward_token && !config.bind_peer && !config.trust.envelopes.allow_dev);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_control_listener_takes_envelopes_and_nothing_else() {
    let Ok(Config::Control(config)) = parse(&control()) else { panic!("not a control configuration") };
    assert_eq!((config.max_body, config.trust.target.as_str()), (4 << 20, "production"));
    for member in ["audiences", "policy"] {
        let mut both = control();
        both[member] = data()[member].clone();
        assert_eq!(parse(&both).unwrap_err().path, member);
    }
    let mut pull = control();
    pull["trust"]["max_age"] = json!("1h");
    assert_eq!(parse(&pull).unwrap_err().path, "trust.max_age");
}

#[wasm_bindgen_test(unsupported = test)]
fn integral_doubles_are_integers() {
    let mut config = data();
    config["policy"]["max_instructions"] = json!(30000.0);
    config["policy"]["rego_version"] = json!(0.0);
    config["token"]["max_size"] = json!(4096.0);
    let config = parse_data(&config);
    assert_eq!((config.policy.limits.max_instructions, config.token.max_size), (30_000, 4096));
    assert_eq!(config.policy.inline.unwrap().rego_version, RegoVersion::V0);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_wrong_is_named_with_its_path() {
    let cases = [
        ("/unknown", json!(1), "unknown", "unknown field `unknown`"),
        ("/audiences", json!([]), "audiences", "at least one"),
        ("/audiences", json!("api"), "audiences", "expected a sequence"),
        ("/audiences/0", json!(""), "audiences[0]", "1 to 1024 bytes"),
        ("/audiences/0", json!("{request.host}"), "audiences[0]", "expected `{node.metadata.NAME}`"),
        ("/audiences/0", json!("{node.metadata.MISSING}"), "audiences[0]", "has no text `MISSING`"),
        ("/audiences/0", json!("{node.metadata.NAME"), "audiences[0]", "`{` without `}`"),
        ("/trust/target", json!("a b"), "trust.target", "1 to 128 bytes"),
        ("/trust/target", json!(7), "trust.target", "expected a string"),
        ("/trust/envelope_keys", json!([]), "trust.envelope_keys", "1 to 4 public keys"),
        ("/trust/envelope_keys", json!(vec![key(); 5]), "trust.envelope_keys", "found 5"),
        ("/trust/envelope_keys/0/x", json!("AQ"), "trust.envelope_keys[0]", "`x` must be 32 bytes"),
        ("/trust/envelope_keys/0/d", json!("AQ"), "trust.envelope_keys[0]", "private key"),
        ("/trust/max_age", json!("25h"), "trust.max_age", "from `1m` to `24h`"),
        ("/trust/max_age", json!("5m"), "trust.stale_after", "must not be longer"),
        ("/trust/max_age", json!(3600), "trust.max_age", "a time span such as"),
        ("/trust/pull/cluster", json!(""), "trust.pull.cluster", "name of a cluster"),
        ("/trust/pull/interval", json!("1ms"), "trust.pull.interval", "from `1s`"),
        ("/trust/pull/extra", json!(1), "trust.pull.extra", "unknown field `extra`"),
        ("/token/header", json!("X-Token"), "token.header", "lower case"),
        ("/token/header", json!("x-scbte-subject"), "token.header", "reserved"),
        ("/token/header", json!(":path"), "token.header", "header name"),
        ("/token/header", json!("host"), "token.header", "means something to Envoy"),
        ("/token/accept_typ", json!([]), "token.accept_typ", "at least one"),
        ("/token/max_size", json!("1GiB"), "token.max_size", "from 256"),
        ("/token/max_size", json!("big"), "token.max_size", "a size such as"),
        ("/token/max_size", json!(-1), "token.max_size", "found `-1`"),
        ("/token/clock_skew", json!("1h"), "token.clock_skew", "to `5m`"),
        ("/token/forward", json!("yes"), "token.forward", "expected a boolean"),
        ("/policy/source", json!("file"), "policy.source", "expected `inline` or `companion`"),
        ("/policy/source", json!("companion"), "policy.source", "comes in an envelope"),
        ("/policy/rego", Value::Null, "policy.rego", "expected a policy"),
        ("/policy/shadow", json!({"data": {}}), "policy.shadow", "missing field `rego`"),
        ("/policy/shadow", json!({"rego": "", "rego_version": 2}), "policy.shadow.rego_version", "from 0 to 1"),
        ("/policy/max_data", json!("1GiB"), "policy.max_data", "64"),
        ("/log/sample_allows", json!(-1), "log.sample_allows", "non-negative integer"),
        ("/policy/rego_version", json!(2), "policy.rego_version", "from 0 to 1"),
        ("/policy/rego_version", json!(0.5), "policy.rego_version", "non-negative integer"),
        ("/policy/max_instructions", json!(0), "policy.max_instructions", "from 100"),
        ("/policy/headers", json!(["ok", "Not-Lower"]), "policy.headers[1]", "lower case"),
        ("/policy/headers", json!(["x_scbte_subject"]), "policy.headers[0]", "is removed"),
        ("/bypass/0/path_prefix", json!("/x"), "bypass[0]", "exactly one"),
        ("/bypass/1/path_prefix", json!("/"), "bypass[1]", "every request"),
        ("/mode", json!("off"), "mode", "expected `enforce` or `shadow`"),
        ("/errors/expose_detail", json!(1), "errors.expose_detail", "expected a boolean"),
    ];
    for (pointer, value, path, message) in cases {
        let mut config = data();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(elements) => elements[member.parse::<usize>().unwrap()] = value.clone(),
            object => object[member] = value.clone(),
        }
        let error = parse(&config).map(|_| pointer).unwrap_err();
        assert_eq!(error.path, path, "{pointer} = {value}: {error}");
        assert!(error.message.contains(message), "{pointer} = {value}: {error}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn required_members_are_missed() {
    for member in ["audiences", "trust", "policy"] {
        let mut config = data();
        config.as_object_mut().unwrap().remove(member);
        assert!(parse(&config).unwrap_err().message.contains(&format!("missing field `{member}`")));
    }
    for text in ["", "[]", "{", "null", r#"{"mode":"enforce","mode":"shadow"}"#] {
        assert!(Config::parse(text.as_bytes(), &|_| None).is_err(), "{text}");
    }
}
