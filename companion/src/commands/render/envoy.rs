//! `scbte render envoy`: a static Envoy configuration.

use super::RenderTo;
use super::filter_config::FilterArgs;
use super::template::{self, CAPABILITIES, ENVOY};
use crate::commands::Result;
use crate::listen::{ListenAddress, unix_path};
use axum::http::uri::Authority;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Write a static Envoy configuration (Envoy 1.40) with the filter in front of an upstream
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  scbte render envoy --audience api.production.svc.cluster.local --target demo \\
      --envelope-key target/demo/envelope.pub.jwk --allow-dev --policy policy/allow.rego \\
      --wasm target/scbte-filter.wasm --upstream 127.0.0.1:18080 --output target/demo/envoy.yaml
  envoy -c target/demo/envoy.yaml          or: func-e run -c target/demo/envoy.yaml")]
pub(crate) struct RenderEnvoy {
    #[command(flatten)]
    filter: FilterArgs,

    /// The filter's module
    #[arg(long, value_name = "FILE", default_value = "target/scbte-filter.wasm")]
    wasm: PathBuf,

    /// Where requests go, HOST:PORT or unix:///path
    #[arg(long, value_name = "ADDRESS")]
    upstream: String,

    /// Where clients connect, IP:PORT or unix:///path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10000")]
    data_listen: ListenAddress,

    /// Where the companion pushes, IP:PORT or unix:///path (mode 0600)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10001")]
    control_listen: ListenAddress,

    /// Leave the control listener out: trust bundles are pulled only
    #[arg(long, requires = "pull_cluster")]
    no_control: bool,

    /// Envoy's own admin interface, IP:PORT or unix:///path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin_listen: ListenAddress,

    /// Pull trust bundles too: adds a cluster of this name
    #[arg(long, value_name = "NAME")]
    pull_cluster: Option<String>,

    /// With --pull-cluster: the companion's admin API, HOST:PORT or unix:///path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8091")]
    companion: String,

    /// Access log, one JSON object a line; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    access_log: RenderTo,

    /// Metadata of Envoy's node, for {node.metadata.NAME} in an audience; repeat for several
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    node_metadata: Vec<(String, String)>,

    /// Let the filter ask of Envoy only what it needs; Envoy 1.40 warns that the mechanism is deprecated
    #[arg(long)]
    with_capability_list: bool,

    /// Where the configuration goes; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(super) output: RenderTo,
}

/// What the template takes.
#[derive(Serialize)]
struct Values<'a> {
    rendered_by: &'a str,
    node_metadata: Option<&'a BTreeMap<String, String>>,
    admin: Value,
    data: Value,
    control: Option<Value>,
    access_log: Option<String>,
    wasm: String,
    capabilities: Option<&'a str>,
    data_config: String,
    control_config: String,
    upstream: Cluster,
    companion: Option<Cluster>,
}

/// A cluster with one endpoint.
#[derive(Serialize)]
struct Cluster {
    name: String,
    r#type: &'static str,
    address: Value,
}

impl RenderEnvoy {
    pub(super) fn render(&self) -> Result<String> {
        let metadata: BTreeMap<_, _> = self.node_metadata.iter().cloned().collect();
        let companion = self.pull_cluster.as_deref().map(|name| cluster(name, &self.companion)).transpose()?;
        let values = Values {
            rendered_by: env!("CARGO_PKG_VERSION"),
            node_metadata: Some(&metadata).filter(|metadata| !metadata.is_empty()),
            admin: listener_address(&self.admin_listen),
            data: listener_address(&self.data_listen),
            control: (!self.no_control).then(|| listener_address(&self.control_listen)),
            access_log: self.access_log.0.as_deref().map(absolute).transpose()?,
            // Envoy may be started in another folder.
            wasm: absolute(&self.wasm)?,
            capabilities: self.with_capability_list.then(|| CAPABILITIES.trim_end()),
            data_config: self.filter.data_config(self.pull_cluster.as_deref(), &metadata)?,
            control_config: self.filter.control_config()?,
            upstream: cluster("upstream", &self.upstream)?,
            companion,
        };
        template::fill(ENVOY, &values)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn absolute(path: &std::path::Path) -> Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

fn listener_address(address: &ListenAddress) -> Value {
    match address {
        ListenAddress::Tcp(socket) => socket_address(&socket.ip().to_string(), socket.port()),
        // Mode 0600, as Envoy has it: decimal.
        ListenAddress::Unix(path) => json!({"pipe": {"path": path, "mode": 0o600}}),
    }
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

fn cluster(name: &str, address: &str) -> Result<Cluster> {
    let name = name.to_owned();
    if let Some(path) = address.strip_prefix("unix:").and_then(unix_path) {
        return Ok(Cluster { name, r#type: "STATIC", address: json!({"pipe": {"path": path}}) });
    }
    let expected = || format!("expected `HOST:PORT` or `unix:///path`, found `{address}`");
    let authority: Authority = address.parse().map_err(|_| expected())?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().filter(|_| !host.is_empty()).ok_or_else(expected)?;
    let r#type = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    Ok(Cluster { name, r#type, address: socket_address(host, port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_found_by_address_or_name() {
        for (address, kind, pointer, expected) in [
            ("127.0.0.1:18080", "STATIC", "/socket_address/address", json!("127.0.0.1")),
            ("[::1]:18080", "STATIC", "/socket_address/address", json!("::1")),
            ("users.svc:80", "STRICT_DNS", "/socket_address/port_value", json!(80)),
            ("unix:///run/users.sock", "STATIC", "/pipe/path", json!("/run/users.sock")),
        ] {
            let cluster = cluster("a", address).unwrap();
            assert_eq!(cluster.r#type, kind, "{address}");
            assert_eq!(cluster.address.pointer(pointer), Some(&expected), "{address}");
        }
        for bad in ["", "users", ":80", "http://users:80", "unix:", "users:99999"] {
            assert!(cluster("a", bad).is_err(), "{bad}");
        }
    }
}
