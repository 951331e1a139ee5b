//! Envoy with a wasm filter: SCBTE's, as it is shipped, or one that does nothing.

use super::{Running, Setting, replace_filter, stack, start_envoy, tool};
use crate::error::Error;
use scbte_host_tests::fixture::{EnvoyConfig, Listener, Ports, bundle_of, dev_bundle};
use serde_json::{Map, Value, json};

/// What a filter is set up with; by default as it is shipped, with the example policy and one trust domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Members of `policy` in its configuration.
    pub(crate) policy: Map<String, Value>,
    /// Trust domains beside the callers' own, as SPIFFE bundles by name.
    pub(crate) other_trust_domains: Map<String, Value>,
}

pub(super) async fn start(setting: &Setting<'_>, settings: &Settings) -> Result<Running, Error> {
    let policy = settings.policy.clone();
    let allow_dev = |filter: &mut Value| filter["trust"]["allow_dev"] = true.into();
    let edit = move |config: &mut EnvoyConfig| {
        config.edit_filter(Listener::Control, allow_dev)?;
        config.edit_filter(Listener::Data, |filter| {
            allow_dev(filter);
            if let Some(members) = filter["policy"].as_object_mut() {
                members.extend(policy);
            }
        })
    };
    let stack = stack(setting, Ports::free(), edit).await?;
    let running = start_envoy(setting, stack, Vec::new()).await?;
    trust(setting, settings, &running).await?;
    Ok(running)
}

/// Pushes the bundle as a companion would, and waits until every worker has it.
async fn trust(setting: &Setting<'_>, settings: &Settings, running: &Running) -> Result<(), Error> {
    let stack = &running._stack;
    let mut trust_domains = bundle_of(&[&setting.identities.authority])?;
    trust_domains.as_object_mut().into_iter().for_each(|all| all.extend(settings.other_trust_domains.clone()));
    let envelope = stack.envelope_key()?.bundle(&dev_bundle(), &trust_domains);
    let response = stack.control().put_bundle(envelope).await?;
    if response.status != 200 {
        return Err(Error::Other(format!("the bundle: expected 200, found {} {}", response.status, response.text())));
    }
    let roots = usize::try_from(setting.workers).unwrap_or(usize::MAX);
    stack.settled_with(|status| status.roots.len() >= roots).await?;
    Ok(())
}

pub(super) async fn start_trivial(setting: &Setting<'_>) -> Result<Running, Error> {
    let wasm = tool("trivial filter", "SCBTE_TRIVIAL_WASM", "scbte-bench-trivial.wasm", "run ./scripts/bench")?;
    let filter = json!({
        "name": "trivial",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "trivial",
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "trivial",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": wasm}},
                },
            },
        },
    });
    let stack = stack(setting, Ports::free(), move |config| replace_filter(config, &[filter])).await?;
    start_envoy(setting, stack, Vec::new()).await
}
