//! Rendered configurations: YAML whose plugin configurations the filter's own parser takes.

use crate::harness::{Printed, scbte};
use scbte_core::config::{Config, DataConfig, Mode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const REGO: &str = "package scbte\n\n# Ümlaut, \"quotes\", 'apostrophes', {{ braces }} and {% more %}\n\
    default allow := false\n\nallow if {\n\tinput.ctx == data.ctx\n}\n";

struct Files {
    _root: TempDir,
    key: PathBuf,
    policy: PathBuf,
    data: PathBuf,
    settings: PathBuf,
    output: PathBuf,
}

fn files() -> Files {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name);
    scbte(["keygen", "--out", file("k.jwk").to_str().unwrap()]).good();
    std::fs::write(file("allow.rego"), REGO).unwrap();
    std::fs::write(file("data.json"), r#"{"ctx": "read:users"}"#).unwrap();
    std::fs::write(
        file("settings.json"),
        r#"{"token": {"forward": true}, "bypass": [{"method": "GET", "path": "/healthz"}]}"#,
    )
    .unwrap();
    Files {
        key: file("k.pub.jwk"),
        policy: file("allow.rego"),
        data: file("data.json"),
        settings: file("settings.json"),
        output: file("out.yaml"),
        _root: root,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn render(files: &Files, kind: &str, extra: &[&str]) -> Printed {
    let common = [
        "render",
        kind,
        "--audience",
        "api",
        "--target",
        "demo",
        "--envelope-key",
        text(&files.key),
        "--policy",
        text(&files.policy),
        "--policy-data",
        text(&files.data),
    ];
    let own: &[&str] = match kind {
        "envoy" => &["--upstream", "127.0.0.1:18080"],
        _ => &["--url", "oci://registry.example/scbte:1", "--pull-cluster", "outbound|8091||companion.svc"],
    };
    scbte(common.iter().chain(own).chain(extra))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The Wasm filter of a listener.
fn plugin<'a>(envoy: &'a Value, listener: &str) -> &'a Value {
    let listeners = envoy["static_resources"]["listeners"].as_array().unwrap();
    let found = listeners.iter().find(|found| found["name"] == listener).unwrap_or_else(|| panic!("no {listener}"));
    &manager(found)["http_filters"][0]["typed_config"]["config"]
}

fn manager(listener: &Value) -> &Value {
    &listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn parse(text: &str) -> Config {
    Config::parse(text.as_bytes(), &|name| (name == "NAME").then(|| "users".to_owned())).unwrap()
}

fn data_config(envoy: &Value) -> DataConfig {
    match parse(plugin(envoy, "scbte_data")["configuration"]["value"].as_str().unwrap()) {
        Config::Data(config) => *config,
        Config::Control(_) => panic!("a control configuration"),
    }
}

#[test]
fn an_envoy_configuration_is_what_the_filter_expects() {
    let files = files();
    let envoy = yaml(&render(&files, "envoy", &[]).good());
    let config = data_config(&envoy);
    assert_eq!(config.audiences[0].as_str(), "api");
    let policy = config.policy.inline.unwrap();
    assert_eq!((policy.modules[0].rego.as_str(), policy.data["ctx"].as_str()), (REGO, Some("read:users")));
    assert_eq!((config.trust.envelopes.target.as_str(), config.trust.envelopes.allow_dev), ("demo", false));
    assert!(config.trust.pull.is_none());

    let (data, control) = (plugin(&envoy, "scbte_data"), plugin(&envoy, "scbte_control"));
    let value = control["configuration"]["value"].as_str().unwrap();
    assert!(matches!(parse(value), Config::Control(config) if config.max_body == 4 << 20));
    assert_eq!(control["allow_on_headers_stop_iteration"], true);
    assert_eq!((&data["root_id"], &control["root_id"]), (&"scbte-data".into(), &"scbte-control".into()));
    assert_eq!(data["vm_config"], control["vm_config"], "one VM");
    for plugin in [data, control] {
        assert_eq!(plugin["failure_policy"], "FAIL_RELOAD");
        assert!(plugin.get("capability_restriction_config").is_none());
        let module = plugin["vm_config"]["code"]["local"]["filename"].as_str().unwrap();
        assert!(module.starts_with('/') && module.ends_with("target/scbte-filter.wasm"), "{module}");
    }

    let listeners = envoy["static_resources"]["listeners"].as_array().unwrap();
    let http = manager(&listeners[0]);
    assert_eq!((&http["normalize_path"], &http["merge_slashes"]), (&true.into(), &true.into()));
    assert_eq!(http["common_http_protocol_options"]["headers_with_underscores_action"], "REJECT_REQUEST");
    assert_eq!(http["path_with_escaped_slashes_action"], "KEEP_UNCHANGED");
    assert!(listeners[1]["per_connection_buffer_limit_bytes"].as_u64().unwrap() > 4 << 20);
    let tags: Vec<_> = envoy["stats_config"]["stats_tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["tag_name"].as_str().unwrap())
        .collect();
    assert_eq!(tags, ["verdict", "reason", "sub", "ctx", "result"]);
    let subject = &http["access_log"][0]["typed_config"]["log_format"]["json_format"]["subject"];
    assert_eq!(subject, "%FILTER_STATE(wasm.scbte_subject:PLAIN)%");
}

#[test]
fn flags_and_settings_reach_the_configuration() {
    let files = files();
    let extra = [
        "--allow-dev",
        "--mode",
        "shadow",
        "--filter-settings",
        text(&files.settings),
        "--pull-cluster",
        "scbte_companion",
        "--companion",
        "companion.svc:8091",
        "--with-capability-list",
        "--access-log",
        "/var/log/access.json",
        "--data-listen",
        "0.0.0.0:8443",
        "--control-listen",
        "unix:///run/control.sock",
        "--admin-listen",
        "127.0.0.1:1",
        "--node-metadata",
        "NAME=users",
        "--audience",
        "{node.metadata.NAME}.svc",
        "--envelope-key",
        text(&files.key),
        "--wasm",
        "/opt/filter.wasm",
    ];
    let envoy = yaml(&render(&files, "envoy", &extra).good());
    let config = data_config(&envoy);
    assert_eq!((config.mode, config.forward_token, config.bypass.len()), (Mode::Shadow, true, 1));
    assert_eq!(config.audiences[1].as_str(), "users.svc");
    assert!(config.trust.envelopes.allow_dev && config.trust.envelopes.keys.len() == 2);
    assert_eq!(config.trust.pull.unwrap().cluster, "scbte_companion");
    assert_eq!(envoy["node"]["metadata"]["NAME"], "users");

    let resources = &envoy["static_resources"];
    let address = |index: usize| &resources["listeners"][index]["address"];
    assert_eq!(address(0)["socket_address"]["port_value"], 8443);
    assert_eq!(
        (&address(1)["pipe"]["path"], &address(1)["pipe"]["mode"]),
        (&"/run/control.sock".into(), &0o600.into())
    );
    let companion = &resources["clusters"][1];
    assert_eq!((&companion["name"], &companion["type"]), (&"scbte_companion".into(), &"STRICT_DNS".into()));
    let log = &manager(&resources["listeners"][0])["access_log"][0]["typed_config"]["path"];
    assert_eq!(log, "/var/log/access.json");
    for listener in ["scbte_data", "scbte_control"] {
        let allowed = &plugin(&envoy, listener)["capability_restriction_config"]["allowed_capabilities"];
        assert!(allowed["proxy_on_delete"].is_object() && allowed["proxy_call_foreign_function"].is_object());
    }
}

#[test]
fn a_pulling_envoy_needs_no_control_listener() {
    let files = files();
    let envoy = yaml(&render(&files, "envoy", &["--no-control", "--pull-cluster", "companion"]).good());
    assert_eq!(envoy["static_resources"]["listeners"].as_array().unwrap().len(), 1);
    let neither = render(&files, "envoy", &["--no-control"]);
    assert!(neither.code == 2 && neither.err.contains("--pull-cluster"), "{neither:?}");
}

#[test]
fn a_policy_can_come_from_the_companion() {
    let files = files();
    let envoy = scbte([
        "render",
        "envoy",
        "--audience",
        "api",
        "--target",
        "demo",
        "--envelope-key",
        text(&files.key),
        "--policy-from-companion",
        "--upstream",
        "127.0.0.1:1",
    ]);
    assert!(data_config(&yaml(&envoy.good())).policy.inline.is_none());
}

#[test]
fn a_wasm_plugin_is_what_istio_and_the_filter_expect() {
    let files = files();
    let hash = "AB".repeat(32);
    let extra = [
        "--namespace",
        "production",
        "--selector",
        "app=users",
        "--selector",
        "tier=1",
        "--sha256",
        &hash,
        "--audience",
        "{node.metadata.NAME}.{node.metadata.NAMESPACE}.svc",
    ];
    let plugin = yaml(&render(&files, "wasmplugin", &extra).good());
    assert_eq!((&plugin["kind"], &plugin["metadata"]["namespace"]), (&"WasmPlugin".into(), &"production".into()));
    let spec = &plugin["spec"];
    assert_eq!((&spec["failStrategy"], &spec["phase"]), (&"FAIL_RELOAD".into(), &"AUTHN".into()));
    assert_eq!(spec["match"], serde_json::json!([{"mode": "SERVER"}]));
    assert_eq!(spec["selector"]["matchLabels"], serde_json::json!({"app": "users", "tier": "1"}));
    assert_eq!(spec["sha256"], hash.to_lowercase());
    let metadata = |name: &str| Some(name.to_lowercase());
    let config = Config::parse(spec["pluginConfig"].to_string().as_bytes(), &metadata).unwrap();
    let Config::Data(config) = config else { panic!("a control configuration") };
    assert_eq!(config.trust.pull.unwrap().cluster, "outbound|8091||companion.svc");
    assert_eq!(config.audiences[1].as_str(), "name.namespace.svc");
    assert_eq!(config.policy.inline.unwrap().modules[0].rego, REGO);

    let whole = yaml(&render(&files, "wasmplugin", &["--fail-strategy", "fail-close"]).good());
    assert!(whole["spec"].get("selector").is_none());
    assert_eq!(whole["spec"]["failStrategy"], "FAIL_CLOSE");
}

#[test]
fn what_the_filter_would_refuse_is_not_written() {
    let files = files();
    let with_settings = |json: &str| {
        std::fs::write(&files.settings, json).unwrap();
        render(&files, "envoy", &["--filter-settings", text(&files.settings), "--output", text(&files.output)])
    };
    for (json, part) in [
        (r#"{"tokn": {}}"#, "unknown field `tokn`"),
        (r#"{"token": {"max_size": "1GiB"}}"#, "token.max_size"),
        (r#"{"bypass": [{"method": "GET", "path_prefix": "/"}]}"#, "bypass[0]"),
        (r#"{"policy": {"rego": "package scbte\nallow if {"}}"#, "the policy is refused"),
        ("nonsense", "settings.json"),
    ] {
        let printed = with_settings(json);
        assert!(printed.code == 1 && printed.err.contains(part), "{json}: {printed:?}");
        assert!(!files.output.exists());
    }
    let private = files.key.with_file_name("k.jwk");
    let leaked = render(&files, "envoy", &["--envelope-key", text(&private)]);
    assert!(leaked.code == 1 && leaked.err.contains("the private key, does not belong here"), "{leaked:?}");
    let bad_audience = render(&files, "envoy", &["--audience", "{node.metadata.NAME}"]);
    assert!(bad_audience.err.contains("node metadata has no text `NAME`"), "{bad_audience:?}");

    let printed = with_settings("{}").good();
    assert!(printed.starts_with("wrote "));
    data_config(&yaml(&std::fs::read_to_string(&files.output).unwrap()));
}
