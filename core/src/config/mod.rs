//! The filter's configuration: the JSON of Istio's `pluginConfig` or of Envoy's Wasm configuration, the whole of it.
//!
//! Unknown members, wrong types and impossible values are refused with the member's path and what is expected. A
//! configuration is either a data listener's (`audiences`, `policy`) or a control listener's (`control`), never both,
//! so that nobody can push to a data listener.

mod audience;
mod values;

use crate::audience::Audience;
use crate::bypass::BypassRule;
use crate::envelope::{self, Trust};
use crate::headers::{self, TokenHeader};
use crate::json;
use crate::jwk::PublicKey;
use crate::policy::{Limits, Module, PolicySource, RegoVersion};
use crate::token::{self, TokenRules};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use values::{Integer, Size, Span};

/// Why a configuration is refused: the member's path, and what is expected there.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {path}: {message}")]
pub struct ConfigError {
    /// The member, e.g. `trust.envelope_keys[0].x`; `.` for the whole.
    pub path: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl ConfigError {
    fn at(path: impl Into<String>, message: impl ToString) -> Self {
        Self { path: path.into(), message: message.to_string() }
    }
}

/// A filter's configuration.
#[derive(Debug)]
pub enum Config {
    /// Of a data listener: requests are judged.
    Data(Box<DataConfig>),
    /// Of a control listener: envelopes are taken.
    Control(ControlConfig),
}

/// A data listener's configuration.
#[derive(Debug)]
pub struct DataConfig {
    /// What this service is called, at least one name.
    pub audiences: Vec<Audience>,
    /// Which trust bundles are believed.
    pub trust: TrustConfig,
    /// What is demanded of tokens.
    pub token: TokenRules,
    /// The header with the token.
    pub token_header: TokenHeader,
    /// Whether the token header goes on to the upstream.
    pub forward_token: bool,
    /// Whether the TLS peer must be the token's subject.
    pub bind_peer: bool,
    /// What decides.
    pub policy: PolicyConfig,
    /// Whether `%2f` in a path is let through.
    pub allow_encoded_slash: bool,
    /// Requests that need no identity.
    pub bypass: Vec<BypassRule>,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// Whether answers have `detail`.
    pub expose_detail: bool,
    /// One in how many admitted requests is logged; 0: none.
    pub sample_allows: u64,
}

/// Which trust bundles are believed and how long.
#[derive(Debug)]
pub struct TrustConfig {
    /// Keys, target and whether dev trust domains are accepted.
    pub envelopes: Trust,
    /// Where to fetch envelopes, when they are not pushed.
    pub pull: Option<PullConfig>,
    /// From which age on it warns.
    pub stale_after: Duration,
    /// From which age on it refuses everything.
    pub max_age: Duration,
}

/// Where the filter fetches envelopes.
#[derive(Clone, Debug)]
pub struct PullConfig {
    /// Envoy's name of the companion's cluster.
    pub cluster: String,
    /// The path of the bundle envelope there.
    pub path: String,
    /// How often.
    pub interval: Duration,
}

/// What decides.
#[derive(Debug)]
pub struct PolicyConfig {
    /// The policy, or nothing when the companion delivers it.
    pub inline: Option<PolicySource>,
    /// Whose policy envelopes are believed.
    pub envelopes: Trust,
    /// A policy that is evaluated beside it and decides nothing, unless the companion delivers one.
    pub shadow: Option<PolicySource>,
    /// Request headers that the policy sees, in lower case.
    pub headers: Vec<String>,
    /// What a policy may cost.
    pub limits: Limits,
}

/// Whether denials are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Denied requests are answered by the filter.
    #[default]
    Enforce,
    /// What would be denied is counted and logged, and passes.
    Shadow,
}

impl Mode {
    /// Its name in the configuration and in the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// A control listener's configuration.
#[derive(Debug)]
pub struct ControlConfig {
    /// Largest body in bytes.
    pub max_body: usize,
    /// Whose bundle envelopes are taken.
    pub trust: Trust,
    /// Whose policy envelopes are taken.
    pub policy_trust: Trust,
}

impl Config {
    /// Reads a configuration; `metadata` looks a name up in Envoy's node metadata, for `{node.metadata.…}`.
    pub fn parse(text: &[u8], metadata: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = json::parse_within(text, 64).map_err(|error| ConfigError::at(".", error))?;
        if value.get("control").is_none() {
            let raw: RawData = read(value)?;
            return Ok(Self::Data(Box::new(raw.check(metadata)?)));
        }
        if let Some(both) = ["audiences", "policy"].into_iter().find(|member| value.get(member).is_some()) {
            return Err(ConfigError::at(both, "does not go with `control`: a data listener must not take envelopes"));
        }
        let raw: RawControl = read(value)?;
        Ok(Self::Control(raw.check()?))
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(value).map_err(|error| ConfigError::at(error.path().to_string(), error.inner()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    audiences: Vec<String>,
    trust: RawTrust,
    #[serde(default)]
    token: RawToken,
    policy: RawPolicy,
    #[serde(default)]
    path: RawPath,
    #[serde(default)]
    bypass: Vec<RawBypass>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    errors: RawErrors,
    #[serde(default)]
    log: RawLog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrust {
    target: String,
    envelope_keys: Vec<PublicKey>,
    pull: Option<RawPull>,
    stale_after: Option<Span>,
    max_age: Option<Span>,
    #[serde(default)]
    allow_dev: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPull {
    cluster: String,
    path: Option<String>,
    interval: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawToken {
    header: Option<String>,
    accept_typ: Option<Vec<String>>,
    max_size: Option<Size>,
    max_lifetime: Option<Span>,
    clock_skew: Option<Span>,
    forward: bool,
    require_binding: bool,
    bind_peer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(default)]
    source: RawSource,
    rego: Option<String>,
    data: Option<Value>,
    entrypoint: Option<String>,
    rego_version: Option<Integer>,
    shadow: Option<RawShadow>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    keys: Vec<PublicKey>,
    max_instructions: Option<Integer>,
    max_data: Option<Size>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShadow {
    rego: String,
    data: Option<Value>,
    entrypoint: Option<String>,
    rego_version: Option<Integer>,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawSource {
    #[default]
    Inline,
    Companion,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawPath {
    allow_encoded_slash: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBypass {
    method: String,
    path: Option<String>,
    path_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawErrors {
    expose_detail: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLog {
    sample_allows: Option<Integer>,
}

impl Default for RawErrors {
    fn default() -> Self {
        Self { expose_detail: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControl {
    control: RawControlListener,
    trust: RawControlTrust,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControlListener {
    max_body: Option<Size>,
    #[serde(default)]
    policy_keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControlTrust {
    target: String,
    envelope_keys: Vec<PublicKey>,
    #[serde(default)]
    allow_dev: bool,
}

impl RawData {
    fn check(self, metadata: &dyn Fn(&str) -> Option<String>) -> Result<DataConfig, ConfigError> {
        let token_header = token_header(self.token.header.as_deref())?;
        let (forward_token, bind_peer) = (self.token.forward, self.token.bind_peer);
        let token = self.token.check()?;
        let trust = self.trust.check(token.clock_skew)?;
        Ok(DataConfig {
            audiences: audience::audiences(&self.audiences, metadata)?,
            policy: self.policy.check(&trust.envelopes, &token_header)?,
            trust,
            token,
            token_header,
            forward_token,
            bind_peer,
            allow_encoded_slash: self.path.allow_encoded_slash,
            bypass: bypass(&self.bypass)?,
            mode: self.mode,
            expose_detail: self.errors.expose_detail,
            sample_allows: sample_allows(self.log.sample_allows.as_ref())?,
        })
    }
}

impl RawTrust {
    fn check(self, skew: Duration) -> Result<TrustConfig, ConfigError> {
        let stale_after = values::span("trust.stale_after", self.stale_after, "8m", "1s", "24h")?;
        let max_age = values::span("trust.max_age", self.max_age, "1h", "1m", "24h")?;
        if stale_after > max_age {
            return Err(ConfigError::at("trust.stale_after", "must not be longer than `trust.max_age`"));
        }
        let envelopes = trust(self.target, self.envelope_keys, self.allow_dev, skew, "trust.envelope_keys")?;
        Ok(TrustConfig { envelopes, pull: self.pull.map(RawPull::check).transpose()?, stale_after, max_age })
    }
}

fn trust(
    target: String,
    keys: Vec<PublicKey>,
    allow_dev: bool,
    skew: Duration,
    keys_path: &str,
) -> Result<Trust, ConfigError> {
    if !(1..=envelope::MAX_KEYS).contains(&keys.len()) {
        let expected = format!("expected 1 to {} public keys (JWK), found {}", envelope::MAX_KEYS, keys.len());
        return Err(ConfigError::at(keys_path, expected));
    }
    if !values::is_target(&target) {
        return Err(ConfigError::at("trust.target", "expected 1 to 128 bytes of `A-Z a-z 0-9 . _ / -`"));
    }
    Ok(Trust { keys, target, allow_dev, skew })
}

impl RawPull {
    fn check(self) -> Result<PullConfig, ConfigError> {
        if self.cluster.is_empty() {
            return Err(ConfigError::at("trust.pull.cluster", "expected the name of a cluster"));
        }
        let path = self.path.unwrap_or_else(|| "/v1/bundle".to_owned());
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::at("trust.pull.path", "expected a path that starts with `/`"));
        }
        let interval = values::span("trust.pull.interval", self.interval, "30s", "1s", "10m")?;
        Ok(PullConfig { cluster: self.cluster, path, interval })
    }
}

impl RawToken {
    fn check(self) -> Result<TokenRules, ConfigError> {
        let accept_typ = self.accept_typ.unwrap_or_else(|| vec![token::TYPE.to_owned()]);
        if accept_typ.is_empty() {
            return Err(ConfigError::at("token.accept_typ", "expected at least one value of `typ`"));
        }
        Ok(TokenRules {
            accept_typ,
            max_size: values::size("token.max_size", self.max_size, 8 << 10, 256, 64 << 10)?,
            max_lifetime: values::span("token.max_lifetime", self.max_lifetime, "5m", "1s", "24h")?,
            clock_skew: values::span("token.clock_skew", self.clock_skew, "30s", "0s", "5m")?,
            require_binding: self.require_binding,
        })
    }
}

/// A header that the client controls and nobody else needs.
fn token_header(name: Option<&str>) -> Result<TokenHeader, ConfigError> {
    let refuse = |message: &str| Err(ConfigError::at("token.header", message));
    match name {
        None | Some("authorization") => Ok(TokenHeader::Authorization),
        Some(name) if !values::is_header_name(name) => refuse("expected a header name in lower case"),
        Some(name) if headers::is_reserved(name) => refuse("`x-scbte-*` is reserved for what the filter sets"),
        Some("host" | "content-length" | "transfer-encoding" | "connection") => {
            refuse("this header means something to Envoy itself")
        }
        Some(name) => Ok(TokenHeader::Named(name.to_owned())),
    }
}

impl RawPolicy {
    fn check(mut self, envelopes: &Trust, token_header: &TokenHeader) -> Result<PolicyConfig, ConfigError> {
        let keys = if self.keys.is_empty() { envelopes.keys.clone() } else { self.keys.clone() };
        let envelopes = trust(envelopes.target.clone(), keys, envelopes.allow_dev, envelopes.skew, "policy.keys")?;
        if let Some(odd) = self.headers.iter().position(|name| !values::is_header_name(name)) {
            return Err(ConfigError::at(format!("policy.headers[{odd}]"), "expected a header name in lower case"));
        }
        if let Some(own) = self.headers.iter().position(|name| headers::is_reserved(name)) {
            let message =
                "`x-scbte-*` is removed from what a client sends: a policy would see what the upstream does not";
            return Err(ConfigError::at(format!("policy.headers[{own}]"), message));
        }
        let max_instructions =
            values::integer("policy.max_instructions", self.max_instructions.as_ref(), 25_000, 100, 10_000_000)?;
        let max_data_bytes = values::size("policy.max_data", self.max_data.take(), 1 << 20, 1 << 10, 64 << 20)?;
        let token_header = token_header.name().to_owned();
        let limits = Limits { max_instructions, max_data_bytes, token_header, ..Limits::default() };
        let headers = std::mem::take(&mut self.headers);
        let shadow = self.shadow.take().map(RawShadow::check).transpose()?;
        let inline = self.source()?;
        if inline.is_none() && shadow.is_some() {
            let message = "with `companion` the policy to watch comes in the envelope, too";
            return Err(ConfigError::at("policy.shadow", message));
        }
        Ok(PolicyConfig { headers, inline, shadow, envelopes, limits })
    }

    fn source(self) -> Result<Option<PolicySource>, ConfigError> {
        let given =
            self.rego.is_some() || self.data.is_some() || self.entrypoint.is_some() || self.rego_version.is_some();
        match (self.source, self.rego) {
            (RawSource::Companion, _) if given => Err(ConfigError::at(
                "policy.source",
                "with `companion` the policy comes in an envelope: `rego`, `data`, `entrypoint` and `rego_version` do not go here",
            )),
            (RawSource::Companion, _) => Ok(None),
            (RawSource::Inline, None) => {
                Err(ConfigError::at("policy.rego", "expected a policy (Rego), or `policy.source` `companion`"))
            }
            (RawSource::Inline, Some(rego)) => {
                let name = "policy.rego";
                let version = rego_version("policy.rego_version", self.rego_version.as_ref())?;
                Ok(Some(policy_source(name, rego, self.data, self.entrypoint, version)))
            }
        }
    }
}

impl RawShadow {
    fn check(self) -> Result<PolicySource, ConfigError> {
        let version = rego_version("policy.shadow.rego_version", self.rego_version.as_ref())?;
        Ok(policy_source("shadow.rego", self.rego, self.data, self.entrypoint, version))
    }
}

fn policy_source(
    name: &str,
    rego: String,
    data: Option<Value>,
    entrypoint: Option<String>,
    rego_version: RegoVersion,
) -> PolicySource {
    PolicySource {
        modules: vec![Module { name: name.into(), rego }],
        data: data.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        entrypoint: entrypoint.unwrap_or_else(|| PolicySource::DEFAULT_ENTRYPOINT.into()),
        rego_version,
    }
}

fn sample_allows(number: Option<&Integer>) -> Result<u64, ConfigError> {
    let number = values::integer("log.sample_allows", number, 0, 0, 1_000_000)?;
    Ok(u64::try_from(number).unwrap_or(u64::MAX))
}

fn rego_version(member: &str, version: Option<&Integer>) -> Result<RegoVersion, ConfigError> {
    match values::integer(member, version, 1, 0, 1)? {
        0 => Ok(RegoVersion::V0),
        _ => Ok(RegoVersion::V1),
    }
}

fn bypass(rules: &[RawBypass]) -> Result<Vec<BypassRule>, ConfigError> {
    let rule = |(index, raw): (usize, &RawBypass)| {
        BypassRule::new(&raw.method, raw.path.as_deref(), raw.path_prefix.as_deref())
            .map_err(|error| ConfigError::at(format!("bypass[{index}]"), error))
    };
    rules.iter().enumerate().map(rule).collect()
}

impl RawControl {
    fn check(self) -> Result<ControlConfig, ConfigError> {
        let skew = TokenRules::default().clock_skew;
        let RawControlTrust { target, envelope_keys, allow_dev } = self.trust;
        let policy_keys = match self.control.policy_keys {
            none if none.is_empty() => envelope_keys.clone(),
            some => some,
        };
        Ok(ControlConfig {
            max_body: values::size("control.max_body", self.control.max_body, 4 << 20, 1 << 10, 64 << 20)?,
            trust: trust(target.clone(), envelope_keys, allow_dev, skew, "trust.envelope_keys")?,
            policy_trust: trust(target, policy_keys, allow_dev, skew, "control.policy_keys")?,
        })
    }
}

#[cfg(test)]
mod tests;
