//! `scbte render wasmplugin`: an Istio WasmPlugin.

use super::RenderTo;
use super::filter_config::FilterArgs;
use super::template::{self, WASM_PLUGIN};
use crate::commands::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;

/// What Istio calls the cluster of envoy-config/kubernetes/companion.serviceentry.yaml: `outbound|PORT||HOST`.
const COMPANION_CLUSTER: &str = "outbound|8091||scbte-companion.internal";

/// What Envoy does after a crash of the filter's VM.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailStrategy {
    /// A new VM after about a second (Istio 1.27 and later).
    FailReload,
    /// 503 until the sidecar restarts.
    FailClose,
}

/// Write an Istio WasmPlugin that loads the filter from a registry; trust bundles are pulled
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  scbte render wasmplugin --url oci://registry.example/scbte-filter@sha256:… \\
      --namespace production --selector app=users --target production \\
      --audience '{node.metadata.WORKLOAD_NAME}.{node.metadata.NAMESPACE}.svc' \\
      --envelope-key production.pub.jwk --policy policy/allow.rego | kubectl apply -f -

scripts/package makes the image, and prints its url. The companion's cluster is that of
envoy-config/kubernetes/companion.serviceentry.yaml.")]
pub(crate) struct RenderWasmPlugin {
    #[command(flatten)]
    filter: FilterArgs,

    /// The filter's module, such as oci://registry.example/scbte-filter:0.1.0
    #[arg(long, value_name = "URL")]
    url: String,

    /// SHA-256 of what the URL names, hexadecimal: of the image's manifest (its digest) for oci://, of the module itself
    /// for https://
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<String>,

    /// Secret with the registry's credentials
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<String>,

    /// Envoy's name of the companion's cluster; for a ServiceEntry outbound|PORT||HOST
    #[arg(long, value_name = "NAME", default_value = COMPANION_CLUSTER)]
    pull_cluster: String,

    /// The resource's name
    #[arg(long, value_name = "NAME", default_value = "scbte")]
    name: String,

    /// The resource's namespace
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,

    /// Label of the workloads to protect; repeat for several [default: every workload of the namespace]
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    selector: Vec<(String, String)>,

    /// What happens after a crash of the filter's VM
    #[arg(long, value_enum, default_value = "fail-reload")]
    fail_strategy: FailStrategy,

    /// Where the resource goes; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(super) output: RenderTo,
}

/// What the template takes.
#[derive(Serialize)]
struct Values<'a> {
    rendered_by: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    url: &'a str,
    sha256: Option<&'a str>,
    image_pull_secret: Option<&'a str>,
    fail_strategy: &'a str,
    selector: Option<BTreeMap<&'a str, &'a str>>,
    data_config: String,
}

impl RenderWasmPlugin {
    pub(super) fn render(&self) -> Result<String> {
        let selector: BTreeMap<_, _> =
            self.selector.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let values = Values {
            rendered_by: env!("CARGO_PKG_VERSION"),
            name: &self.name,
            namespace: self.namespace.as_deref(),
            url: &self.url,
            sha256: self.sha256.as_deref(),
            image_pull_secret: self.image_pull_secret.as_deref(),
            fail_strategy: match self.fail_strategy {
                FailStrategy::FailReload => "FAIL_RELOAD",
                FailStrategy::FailClose => "FAIL_CLOSE",
            },
            selector: Some(selector).filter(|selector| !selector.is_empty()),
            data_config: self.filter.data_config(Some(&self.pull_cluster), &istio_metadata())?,
        };
        template::fill(WASM_PLUGIN, &values)
    }
}

/// What Istio's sidecars have in their node metadata; each pod has its own, so these only stand in for the check.
fn istio_metadata() -> BTreeMap<String, String> {
    ["NAME", "NAMESPACE", "WORKLOAD_NAME", "CLUSTER_ID", "MESH_ID", "SERVICE_ACCOUNT"]
        .map(|name| (name.to_owned(), name.to_lowercase()))
        .into()
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn sha256(text: &str) -> Result<String, String> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| text.to_ascii_lowercase()).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}
