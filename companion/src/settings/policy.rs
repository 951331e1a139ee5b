//! What is set of the policy that is delivered: where it comes from, who must have signed it, what it may cost.
//!
//! A setting that would do nothing is refused: somebody relies on it.

use super::{RawSettings, SettingsError};
use crate::policy_bundle::VerificationKey;
use crate::policy_files::check_signable;
use crate::policy_limits::MaxData;
use crate::policy_source::{BundleServer, BundleUrl, INTERVALS, Origin, PolicyRules, PolicySettings};
use scbte_core::policy::{PolicySource, RegoVersion};
use std::path::PathBuf;

/// What the settings say of a policy, if they name one.
pub(super) fn policy(settings: &RawSettings) -> Result<Option<PolicySettings>, SettingsError> {
    let Some(policy) = &settings.policy else { return no_policy(settings).map(|()| None) };
    let entrypoint = settings.policy_entrypoint.as_deref().unwrap_or(PolicySource::DEFAULT_ENTRYPOINT);
    let max_data = settings.policy_max_data.as_deref().map(str::parse).transpose()?;
    let MaxData(max_data) = max_data.unwrap_or_default();
    let rules = PolicyRules {
        entrypoint: entrypoint.to_owned(),
        rego_version: (settings.policy_rego_v0 == Some(true)).then_some(RegoVersion::V0),
        max_data,
    };
    Ok(Some(PolicySettings { origin: origin(policy, settings)?, shadow: settings.shadow_policy.clone(), rules }))
}

/// Without a policy, nothing about one means anything.
fn no_policy(settings: &RawSettings) -> Result<(), SettingsError> {
    in_vain(
        "no `--policy`",
        &[
            ("--shadow-policy", settings.shadow_policy.is_some()),
            ("--policy-key", settings.policy_key.is_some()),
            ("--policy-key-id", settings.policy_key_id.is_some()),
            ("--policy-scope", settings.policy_scope.is_some()),
            ("--policy-allow-unsigned", settings.policy_allow_unsigned == Some(true)),
            ("--policy-interval", settings.policy_interval.is_some()),
            ("--policy-entrypoint", settings.policy_entrypoint.is_some()),
            ("--policy-rego-v0", settings.policy_rego_v0 == Some(true)),
            ("--policy-max-data", settings.policy_max_data.is_some()),
        ],
    )
}

fn in_vain(why: &'static str, flags: &[(&'static str, bool)]) -> Result<(), SettingsError> {
    match flags.iter().find(|(_, is_given)| *is_given) {
        Some(&(flag, _)) => Err(SettingsError::InVain { flag, why }),
        None => Ok(()),
    }
}

fn origin(policy: &str, settings: &RawSettings) -> Result<Origin, SettingsError> {
    if BundleUrl::is_meant(policy) { server(policy, settings) } else { files(policy.into(), settings) }
}

fn files(path: PathBuf, settings: &RawSettings) -> Result<Origin, SettingsError> {
    let only_of_servers = [
        ("--policy-allow-unsigned", settings.policy_allow_unsigned == Some(true)),
        ("--policy-interval", settings.policy_interval.is_some()),
    ];
    in_vain("`--policy` is no URL", &only_of_servers)?;
    if settings.policy_key.is_some() {
        check_signable(&path).map_err(SettingsError::NotSigned)?;
    }
    Ok(Origin::Files(path, policy_key(settings)?))
}

fn server(url: &str, settings: &RawSettings) -> Result<Origin, SettingsError> {
    let url = url.parse()?;
    let key = policy_key(settings)?;
    if key.is_none() && settings.policy_allow_unsigned != Some(true) {
        return Err(SettingsError::Unsigned);
    }
    let interval = settings.policy_interval.as_deref().unwrap_or("30s");
    let span = humantime::parse_duration(interval).ok().filter(|span| INTERVALS.contains(span));
    let span = span.ok_or_else(|| SettingsError::Interval(interval.to_owned()))?;
    Ok(Origin::Server(Box::new(BundleServer::new(url, key, span))))
}

fn policy_key(settings: &RawSettings) -> Result<Option<VerificationKey>, SettingsError> {
    let RawSettings { policy_key, policy_key_id: id, policy_scope: scope, .. } = settings;
    let Some(path) = policy_key else {
        let flags = [("--policy-key-id", id.is_some()), ("--policy-scope", scope.is_some())];
        return in_vain("no `--policy-key`", &flags).map(|()| None);
    };
    let key = VerificationKey::load(path, id.clone(), scope.clone());
    key.map(Some).map_err(SettingsError::PolicyKey)
}
