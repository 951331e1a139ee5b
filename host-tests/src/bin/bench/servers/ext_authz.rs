//! Envoy that asks OPA for each request, by gRPC; OPA verifies the token and decides, in Rego.

use super::bare::clusters;
use super::{Running, Setting, replace_filter, spare, stack, start_envoy, start_opa, tool};
use crate::error::Error;
use crate::tokens::ISSUER;
use scbte_host_tests::fixture::{AUDIENCE, Ports};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const REMEDY: &str = "run ./scripts/setup opa-envoy-plugin, or set OPA_ENVOY_PLUGIN_PATH";

pub(super) async fn start(setting: &Setting<'_>) -> Result<Running, Error> {
    let program = program()?;
    let ports = Ports::free();
    let (grpc, health) = spare(&ports);
    let stack = stack(setting, ports, move |config| {
        clusters(config)?.push(cluster(grpc));
        replace_filter(config, &[filter()])
    })
    .await?;
    let opa = start_opa(setting, &program, health, &arguments(setting, grpc)?).await?;
    start_envoy(setting, stack, vec![opa]).await
}

/// Where OPA with the plugin is.
pub(crate) fn program() -> Result<PathBuf, Error> {
    tool("OPA with Envoy's plugin", "OPA_ENVOY_PLUGIN_PATH", "tools/opa-envoy-plugin", REMEDY)
}

fn arguments(setting: &Setting<'_>, grpc: u16) -> Result<Vec<String>, Error> {
    let files = [
        ("decide.rego", include_str!("ext_authz.rego").to_owned()),
        ("trust.json", json!({"trust": trust(&setting.identities.jwks()?)}).to_string()),
    ];
    let mut arguments = vec![
        format!("--set=plugins.envoy_ext_authz_grpc.addr=127.0.0.1:{grpc}"),
        "--set=plugins.envoy_ext_authz_grpc.path=bench/allow".into(),
        // As the others remember tokens; OPA does not by default.
        "--set=caching.inter_query_builtin_value_cache.named.io_jwt.max_num_entries=1000".into(),
    ];
    for (name, text) in files {
        let file = setting.folder.join(name);
        fs::write(&file, text).map_err(Error::file(&file))?;
        arguments.push(file.display().to_string());
    }
    arguments.push(setting.tools.policy.join("data.json").display().to_string());
    Ok(arguments)
}

/// What a token must satisfy, as `io.jwt.decode_verify` takes it.
fn trust(jwks: &Value) -> Value {
    json!({"cert": jwks.to_string(), "alg": "ES256", "iss": ISSUER, "aud": AUDIENCE})
}

fn filter() -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "opa"}, "timeout": "5s"},
        },
    })
}

fn cluster(port: u16) -> Value {
    json!({
        "name": "opa",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {"cluster_name": "opa", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}},
        ]}]},
    })
}
