//! The filter's configuration, put together from flags, and read back as the filter will read it.

use super::template::pretty;
use crate::commands::Result;
use crate::commands::trusted::read_public_key;
use crate::state;
use clap::ValueEnum;
use scbte_core::config::{Config, PolicyConfig};
use scbte_core::jwk::PublicKey;
use scbte_core::policy::Policy;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Whether denials are enforced.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Denied requests are answered by the filter.
    Enforce,
    /// What would be denied is counted and logged, and passes.
    Shadow,
}

/// The filter's settings.
#[derive(clap::Args)]
pub(super) struct FilterArgs {
    /// A name of the service: tokens must be for one of them; repeat for several
    #[arg(long, value_name = "AUDIENCE", required = true)]
    audience: Vec<String>,

    /// The companion's --target: envelopes for others are refused
    #[arg(long, value_name = "NAME")]
    target: String,

    /// Public JWK of a companion's envelope key (envelope.pub.jwk); repeat while keys are rotated
    #[arg(long, value_name = "FILE", required = true)]
    envelope_key: Vec<PathBuf>,

    /// Policy: a Rego file; a folder or a bundle is delivered by a companion, see --policy-from-companion
    #[arg(long, value_name = "FILE", required_unless_present = "policy_from_companion")]
    policy: Option<PathBuf>,

    /// Data of the policy: a JSON file
    #[arg(long, value_name = "FILE", requires = "policy")]
    policy_data: Option<PathBuf>,

    /// Take the policy from a companion instead (`scbte run --policy`): until it arrives, requests get 503
    #[arg(long, conflicts_with = "policy")]
    policy_from_companion: bool,

    /// Believe companions of a dev trust domain. NOT for production
    #[arg(long)]
    allow_dev: bool,

    /// Whether denials are enforced, or only counted and logged
    #[arg(long, value_enum, default_value = "enforce")]
    mode: Mode,

    /// More of the filter's configuration, a JSON file: its members replace those made from flags (RFC 7396), such as
    /// {"token": {"forward": true}, "bypass": [{"method": "GET", "path": "/healthz"}]}
    #[arg(long, value_name = "FILE")]
    filter_settings: Option<PathBuf>,
}

impl FilterArgs {
    /// A data listener's configuration, for people to read. `pull`: the cluster that bundles are fetched from.
    pub(super) fn data_config(&self, pull: Option<&str>, metadata: &BTreeMap<String, String>) -> Result<String> {
        let mut config = json!({
            "audiences": self.audience,
            "trust": self.trust()?,
            "policy": self.policy()?,
            "mode": match self.mode { Mode::Enforce => "enforce", Mode::Shadow => "shadow" },
        });
        if let Some(cluster) = pull {
            config["trust"]["pull"] = json!({"cluster": cluster});
        }
        if let Some(path) = &self.filter_settings {
            merge(
                &mut config,
                serde_json::from_str(&state::read(path)?).map_err(|error| format!("`{}`: {error}", path.display()))?,
            );
        }
        check(&config, metadata)?;
        Ok(pretty(&config))
    }

    /// A control listener's configuration.
    pub(super) fn control_config(&self) -> Result<String> {
        let config = json!({"control": {"max_body": "4MiB"}, "trust": self.trust()?});
        check(&config, &BTreeMap::new())?;
        Ok(pretty(&config))
    }

    fn trust(&self) -> Result<Value> {
        let keys = self.envelope_key.iter().map(|path| read_public_key(path)).collect::<Result<Vec<PublicKey>>>()?;
        let mut trust = json!({"target": self.target, "envelope_keys": keys});
        if self.allow_dev {
            trust["allow_dev"] = true.into();
        }
        Ok(trust)
    }

    fn policy(&self) -> Result<Value> {
        let Some(path) = &self.policy else { return Ok(json!({"source": "companion"})) };
        let mut policy = json!({"rego": state::read(path)?});
        if let Some(path) = &self.policy_data {
            let data: Map<String, Value> = serde_json::from_str(&state::read(path)?)
                .map_err(|error| format!("`{}` is no JSON object: {error}", path.display()))?;
            policy["data"] = data.into();
        }
        Ok(policy)
    }
}

/// RFC 7396: members of an object are merged, `null` removes one, everything else replaces.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            match value {
                Value::Null => drop(target.remove(&name)),
                value => merge(target.entry(name).or_insert(Value::Null), value),
            }
        }
    }
}

/// As the filter does when it is configured.
fn check(config: &Value, metadata: &BTreeMap<String, String>) -> Result<()> {
    let config = Config::parse(config.to_string().as_bytes(), &|name| metadata.get(name).cloned())?;
    let Config::Data(config) = config else { return Ok(()) };
    let PolicyConfig { inline, shadow, limits, .. } = &config.policy;
    for source in inline.iter().chain(shadow) {
        Policy::admit(source, limits).map_err(|error| format!("the policy is refused: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_merged_as_rfc_7396_says() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": "foo"}), json!({"b": {"c": {"d": null}}}), json!({"a": "foo", "b": {"c": {}}})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, expected, "{target} {patch}");
        }
    }
}
