//! The settings of `scbte run`: flags, then environment variables, then a TOML file, then defaults; checked once.

mod policy;

use crate::allow_list::{AllowList, NotAPattern, Pattern};
use crate::guards::GuardRules;
use crate::http_client::{Endpoint, NotAnEndpoint};
use crate::listen::{ListenAddress, NotAnAddress};
use crate::logging::{LogFormat, LogLevel};
use crate::policy_files::LoadError;
use crate::policy_limits::NotMaxData;
use crate::policy_source::{NotAUrl, PolicySettings};
use crate::state::{self, StateError};
use crate::words;
use crate::workload_api::{NotASocket, Socket};
use axum::http::HeaderName;
use scbte_core::spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the token API listens.
const TOKEN_LISTEN: &str = "127.0.0.1:8090";
/// Where the admin API listens.
const ADMIN_LISTEN: &str = "127.0.0.1:8091";

/// Settings as they are given; nothing is checked yet. In the TOML file they have the same names with `_`.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSettings {
    /// TOML file with these settings; flags and variables override it
    #[arg(long, env = "SCBTE_CONFIG", hide_env_values = true, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Take the identity from the SPIFFE Workload API (SPIRE's agent) at this Unix socket, unix:///path
    #[arg(long, env = "SPIFFE_ENDPOINT_SOCKET", hide_env_values = true, value_name = "SOCKET")]
    pub(crate) workload_api: Option<String>,

    /// Take the identity from an embedded CA for this trust domain. For trying things on one machine, NOT for production
    #[arg(long, env = "SCBTE_DEV_TRUST_DOMAIN", hide_env_values = true, value_name = "NAME")]
    pub(crate) dev_trust_domain: Option<String>,

    /// The identity to mint as, such as spiffe://cluster.local/ns/production/sa/api-gateway: required with
    /// --dev-trust-domain; with --workload-api [default: the first that the agent gives]
    #[arg(long, env = "SCBTE_SPIFFE_ID", hide_env_values = true, value_name = "ID")]
    pub(crate) spiffe_id: Option<String>,

    /// Folder for keys and state, made with mode 0700 if missing
    #[arg(long, env = "SCBTE_STATE_DIR", hide_env_values = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Private JWK that signs envelopes, mode 0600 [default: envelope.jwk in the state folder, made if missing]
    #[arg(long, env = "SCBTE_ENVELOPE_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) envelope_key: Option<PathBuf>,

    /// Whom envelopes are for: the filters' trust.target
    #[arg(long, env = "SCBTE_TARGET", hide_env_values = true, value_name = "NAME")]
    pub(crate) target: Option<String>,

    /// Control API of an Envoy to keep current, http://HOST:PORT or unix:///path; repeat for several
    #[arg(long, env = "SCBTE_PUSH", hide_env_values = true, value_name = "ENDPOINT", value_delimiter = ',')]
    pub(crate) push: Vec<String>,

    /// Policy to deliver to filters with policy.source companion: a file, a folder or a bundle as OPA loads them, which is
    /// watched; or the URL of a bundle, which is polled
    #[arg(long, env = "SCBTE_POLICY", hide_env_values = true, value_name = "PATH|URL")]
    pub(crate) policy: Option<String>,

    /// Public key (PEM or JWK) that the bundle must be signed with (OPA's .signatures.json), from a URL or in a file
    #[arg(long, env = "SCBTE_POLICY_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) policy_key: Option<PathBuf>,

    /// With --policy-key: what the signature's `kid` must be, if it has one
    #[arg(long, env = "SCBTE_POLICY_KEY_ID", hide_env_values = true, value_name = "KID")]
    pub(crate) policy_key_id: Option<String>,

    /// With --policy-key: the scope that the signature must be for
    #[arg(long, env = "SCBTE_POLICY_SCOPE", hide_env_values = true, value_name = "SCOPE")]
    pub(crate) policy_scope: Option<String>,

    /// With a URL: take bundles that nobody signed; whoever can change them can open every service
    #[arg(long, env = "SCBTE_POLICY_ALLOW_UNSIGNED", hide_env_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) policy_allow_unsigned: Option<bool>,

    /// With a URL: how often it is asked, 1s to 1h [default: 30s]
    #[arg(long, env = "SCBTE_POLICY_INTERVAL", hide_env_values = true, value_name = "SPAN")]
    pub(crate) policy_interval: Option<String>,

    /// Policy to watch beside it: evaluated on the same requests, decides nothing; where it disagrees is counted
    #[arg(long, env = "SCBTE_SHADOW_POLICY", hide_env_values = true, value_name = "PATH")]
    pub(crate) shadow_policy: Option<PathBuf>,

    /// The rule that decides [default: data.scbte.allow]
    #[arg(long, env = "SCBTE_POLICY_ENTRYPOINT", hide_env_values = true, value_name = "RULE")]
    pub(crate) policy_entrypoint: Option<String>,

    /// The policy is written in Rego v0
    #[arg(long, env = "SCBTE_POLICY_REGO_V0", hide_env_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) policy_rego_v0: Option<bool>,

    /// Most data that a policy may have, as the filters' policy.max_data, 1KiB to 64MiB [default: 1MiB]
    #[arg(long, env = "SCBTE_POLICY_MAX_DATA", hide_env_values = true, value_name = "SIZE")]
    pub(crate) policy_max_data: Option<String>,

    /// Token API, IP:PORT or unix:///path (mode 0600) [default: 127.0.0.1:8090]
    #[arg(long, env = "SCBTE_TOKEN_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub(crate) token_listen: Option<String>,

    /// Allow a token API that other machines can reach: whoever reaches it gets tokens
    #[arg(long, env = "SCBTE_TOKEN_LISTEN_PUBLIC", hide_env_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) token_listen_public: Option<bool>,

    /// Another name that the Host header of token requests may have; repeat for several
    #[arg(long, env = "SCBTE_TOKEN_HOST", hide_env_values = true, value_name = "NAME", value_delimiter = ',')]
    pub(crate) token_host: Vec<String>,

    /// Refuse token requests without this header
    #[arg(long, env = "SCBTE_REQUIRE_HEADER", hide_env_values = true, value_name = "NAME")]
    pub(crate) require_header: Option<String>,

    /// Allow only tokens for this audience, or audiences with this beginning (`api.*`); repeat for several [default: all]
    #[arg(long, env = "SCBTE_ALLOW_AUDIENCE", hide_env_values = true, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) allow_audience: Option<Vec<String>>,

    /// Allow only tokens for this context, or contexts with this beginning (`read:*`); repeat for several [default: all]
    #[arg(long, env = "SCBTE_ALLOW_CONTEXT", hide_env_values = true, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) allow_context: Option<Vec<String>>,

    /// Give the same token out again for the same request until half its life is over [default: false]
    #[arg(long, env = "SCBTE_REUSE_TOKENS", hide_env_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) reuse_tokens: Option<bool>,

    /// Admin API: health, readiness, metrics, envelopes [default: 127.0.0.1:8091]
    #[arg(long, env = "SCBTE_ADMIN_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,

    /// How log lines look [default: text]
    #[arg(long, env = "SCBTE_LOG_FORMAT", hide_env_values = true, value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// How much is logged [default: info]
    #[arg(long, env = "SCBTE_LOG_LEVEL", hide_env_values = true, value_enum)]
    pub(crate) log_level: Option<LogLevel>,
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The TOML file cannot be read.
    #[error(transparent)]
    File(#[from] StateError),
    /// The TOML file does not parse.
    #[error("`{path}`: line {line}: {what}", path = path.display())]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, without the line itself: it may be of a file that was not meant, a key's say.
        what: String,
    },
    /// Something that must be given is not.
    #[error("`{flag}` is missing: {why}")]
    Missing {
        /// The flag.
        flag: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// Nothing says who this companion is.
    #[error(
        "no identity source: give `--workload-api` (or SPIFFE_ENDPOINT_SOCKET) the socket of SPIRE's agent, or try `--dev-trust-domain`"
    )]
    NoSource,
    /// Two identity sources.
    #[error(
        "`--workload-api` (SPIFFE_ENDPOINT_SOCKET) and `--dev-trust-domain` are both given, and there can be only one identity source"
    )]
    TwoSources,
    /// No Workload API.
    #[error("`--workload-api`: {0}")]
    Socket(#[from] NotASocket),
    /// A bundle from elsewhere that nobody signed.
    #[error(
        "`--policy` is a URL: give the public key that bundles are signed with (`--policy-key`), or, if that is meant, `--policy-allow-unsigned`"
    )]
    Unsigned,
    /// No key.
    #[error("`--policy-key`: {0}")]
    PolicyKey(String),
    /// Something that is given for naught.
    #[error("`{flag}` is given, but {why}")]
    InVain {
        /// The flag.
        flag: &'static str,
        /// Why it does nothing.
        why: &'static str,
    },
    /// No URL.
    #[error("`--policy`: {0}")]
    PolicyUrl(#[from] NotAUrl),
    /// A key, and nothing that could be signed.
    #[error("`--policy-key` is given, but {0}")]
    NotSigned(LoadError),
    /// No time span.
    #[error("`--policy-interval`: expected a time span from 1s to 1h, such as `30s`, found `{0}`")]
    Interval(String),
    /// No size.
    #[error("`--policy-max-data`: {0}")]
    MaxData(#[from] NotMaxData),
    /// A list that allows nothing, or all.
    #[error("`{0}` is empty: name what is allowed, or leave it out to allow all")]
    EmptyList(&'static str),
    /// Not a pattern of an allow-list.
    #[error("`{flag}`: {error}")]
    Pattern {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        error: NotAPattern,
    },
    /// No SPIFFE ID or trust domain.
    #[error("`{flag}`: {error}")]
    Spiffe {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        error: SpiffeIdError,
    },
    /// An identity of another trust domain.
    #[error("`--spiffe-id` `{id}` is not of `--dev-trust-domain` `{trust_domain}`")]
    ForeignId {
        /// The ID.
        id: SpiffeId,
        /// The trust domain.
        trust_domain: TrustDomain,
    },
    /// No target.
    #[error("`--target` must have 1 to 128 bytes of `A-Z a-z 0-9 . _ / -`, found `{0}`")]
    Target(String),
    /// No address to listen on.
    #[error("`{flag}`: {error}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        error: NotAnAddress,
    },
    /// No endpoint to push to.
    #[error("`--push`: {0}")]
    Push(#[from] NotAnEndpoint),
    /// A token API that other machines reach.
    #[error(
        "`--token-listen` {0} can be reached by other machines, and whoever reaches it gets tokens; if that is meant, add `--token-listen-public`"
    )]
    Public(ListenAddress),
    /// No header name.
    #[error("`--require-header`: `{0}` is no header name")]
    Header(String),
}

/// Where identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySettings {
    /// An embedded CA for the trust domain of this identity.
    Dev(SpiffeId),
    /// The SPIFFE Workload API.
    WorkloadApi {
        /// The agent's socket.
        socket: Socket,
        /// Which of several identities; the first where none is named.
        wanted: Option<SpiffeId>,
    },
}

/// The checked settings of `scbte run`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where identity comes from.
    pub(crate) identity: IdentitySettings,
    /// The state folder.
    pub(crate) state_dir: PathBuf,
    /// The envelope key, when it is not the state folder's.
    pub(crate) envelope_key: Option<PathBuf>,
    /// Whom envelopes are for.
    pub(crate) target: String,
    /// The Envoys to keep current.
    pub(crate) push: Vec<Endpoint>,
    /// Which policy to deliver, if any.
    pub(crate) policy: Option<PolicySettings>,
    /// Where the token API listens.
    pub(crate) token_listen: ListenAddress,
    /// What is demanded of token requests.
    pub(crate) guards: GuardRules,
    /// What tokens may be for.
    pub(crate) allow_list: AllowList,
    /// Whether a token may be given out again.
    pub(crate) reuse_tokens: bool,
    /// Where the admin API listens.
    pub(crate) admin_listen: ListenAddress,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// How much is logged.
    pub(crate) log_level: LogLevel,
}

impl RawSettings {
    /// Adds the TOML file, if one is named, and checks everything.
    pub(crate) fn check(self) -> Result<Settings, SettingsError> {
        let file = self.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        self.or(file).check_all()
    }

    /// These settings, and for those that are not given the others.
    fn or(self, other: Self) -> Self {
        let first = |one: Vec<String>, two| if one.is_empty() { two } else { one };
        Self {
            config: self.config,
            workload_api: self.workload_api.or(other.workload_api),
            dev_trust_domain: self.dev_trust_domain.or(other.dev_trust_domain),
            spiffe_id: self.spiffe_id.or(other.spiffe_id),
            state_dir: self.state_dir.or(other.state_dir),
            envelope_key: self.envelope_key.or(other.envelope_key),
            target: self.target.or(other.target),
            push: first(self.push, other.push),
            policy: self.policy.or(other.policy),
            policy_key: self.policy_key.or(other.policy_key),
            policy_key_id: self.policy_key_id.or(other.policy_key_id),
            policy_scope: self.policy_scope.or(other.policy_scope),
            policy_allow_unsigned: self.policy_allow_unsigned.or(other.policy_allow_unsigned),
            policy_interval: self.policy_interval.or(other.policy_interval),
            shadow_policy: self.shadow_policy.or(other.shadow_policy),
            policy_entrypoint: self.policy_entrypoint.or(other.policy_entrypoint),
            policy_rego_v0: self.policy_rego_v0.or(other.policy_rego_v0),
            policy_max_data: self.policy_max_data.or(other.policy_max_data),
            token_listen: self.token_listen.or(other.token_listen),
            token_listen_public: self.token_listen_public.or(other.token_listen_public),
            token_host: first(self.token_host, other.token_host),
            require_header: self.require_header.or(other.require_header),
            allow_audience: self.allow_audience.or(other.allow_audience),
            allow_context: self.allow_context.or(other.allow_context),
            reuse_tokens: self.reuse_tokens.or(other.reuse_tokens),
            admin_listen: self.admin_listen.or(other.admin_listen),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
        }
    }

    fn check_all(self) -> Result<Settings, SettingsError> {
        let token_listen = listen("--token-listen", self.token_listen.as_deref(), TOKEN_LISTEN)?;
        if token_listen.is_public() && self.token_listen_public != Some(true) {
            return Err(SettingsError::Public(token_listen));
        }
        Ok(Settings {
            identity: identity(&self)?,
            policy: policy::policy(&self)?,
            state_dir: self.state_dir.ok_or(missing("--state-dir", "where keys and state are kept"))?,
            envelope_key: self.envelope_key,
            target: target(self.target)?,
            push: self.push.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            token_listen,
            guards: GuardRules {
                hosts: self.token_host.iter().map(|name| name.to_ascii_lowercase()).collect(),
                required_header: self.require_header.map(header_name).transpose()?,
            },
            allow_list: AllowList {
                audiences: patterns("--allow-audience", self.allow_audience.as_deref())?,
                contexts: patterns("--allow-context", self.allow_context.as_deref())?,
            },
            reuse_tokens: self.reuse_tokens.unwrap_or_default(),
            admin_listen: listen("--admin-listen", self.admin_listen.as_deref(), ADMIN_LISTEN)?,
            log_format: self.log_format.unwrap_or_default(),
            log_level: self.log_level.unwrap_or_default(),
        })
    }
}

fn read_file(path: &Path) -> Result<RawSettings, SettingsError> {
    let text = state::read(path)?;
    let toml = |error: toml::de::Error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        SettingsError::Toml { path: path.to_owned(), line, what: words::visible(error.message()) }
    };
    toml::from_str(&text).map_err(toml)
}

fn missing(flag: &'static str, why: &'static str) -> SettingsError {
    SettingsError::Missing { flag, why }
}

fn identity(settings: &RawSettings) -> Result<IdentitySettings, SettingsError> {
    let flag = "--spiffe-id";
    let id = settings.spiffe_id.as_deref().map(SpiffeId::parse).transpose();
    let id = id.map_err(|error| SettingsError::Spiffe { flag, error })?;
    match (&settings.workload_api, &settings.dev_trust_domain) {
        (Some(_), Some(_)) => Err(SettingsError::TwoSources),
        (Some(socket), None) => Ok(IdentitySettings::WorkloadApi { socket: socket.parse()?, wanted: id }),
        (None, Some(trust_domain)) => {
            let id = id.ok_or(missing(flag, "the identity that tokens are minted as"))?;
            dev_identity(trust_domain, id).map(IdentitySettings::Dev)
        }
        (None, None) => Err(SettingsError::NoSource),
    }
}

fn dev_identity(trust_domain: &str, id: SpiffeId) -> Result<SpiffeId, SettingsError> {
    let invalid = |error| SettingsError::Spiffe { flag: "--dev-trust-domain", error };
    let trust_domain = TrustDomain::parse(trust_domain).map_err(invalid)?;
    match id.trust_domain() == &trust_domain {
        true => Ok(id),
        false => Err(SettingsError::ForeignId { id, trust_domain }),
    }
}

/// It is compared with the filters' `trust.target`, whose rule this is.
fn target(name: Option<String>) -> Result<String, SettingsError> {
    let name = name.ok_or(missing("--target", "the `trust.target` of the filters that envelopes are for"))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    match (1..=128).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(name),
        false => Err(SettingsError::Target(name)),
    }
}

/// An empty list is refused: it reads as "none", and no list means "all".
fn patterns(flag: &'static str, texts: Option<&[String]>) -> Result<Vec<Pattern>, SettingsError> {
    if texts.is_some_and(<[String]>::is_empty) {
        return Err(SettingsError::EmptyList(flag));
    }
    texts
        .unwrap_or_default()
        .iter()
        .map(|text| text.parse().map_err(|error| SettingsError::Pattern { flag, error }))
        .collect()
}

fn listen(flag: &'static str, given: Option<&str>, default: &str) -> Result<ListenAddress, SettingsError> {
    given.unwrap_or(default).parse().map_err(|error| SettingsError::Listen { flag, error })
}

fn header_name(name: String) -> Result<HeaderName, SettingsError> {
    name.parse().map_err(|_| SettingsError::Header(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        dev_trust_domain = "cluster.local"
        spiffe_id = "spiffe://cluster.local/a"
        state_dir = "/tmp/state"
        target = "demo"
    "#;

    fn with(lines: &str) -> Result<Settings, String> {
        let raw: RawSettings = toml::from_str(&format!("{MINIMAL}\n{lines}")).map_err(|error| error.to_string())?;
        raw.check().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let settings = with("").unwrap();
        assert_eq!(settings.token_listen.to_string(), "127.0.0.1:8090");
        assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:8091");
        assert_eq!((settings.log_format, settings.log_level), (LogFormat::Text, LogLevel::Info));
        assert!(settings.push.is_empty() && settings.guards.required_header.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (lines, part) in [
            ("token_listen = \"0.0.0.0:8090\"", "`--token-listen-public`"),
            ("token_listen = \"10.0.0.1:8090\"", "reached by other machines"),
            ("token_listen = \"localhost\"", "`--token-listen`: expected `IP:PORT`"),
            ("admin_listen = \"x\"", "`--admin-listen`: expected"),
            ("push = [\"https://envoy\"]", "`--push`: expected `http://HOST:PORT`"),
            ("allow_context = [\"*\"]", "`--allow-context`: expected a name"),
            ("allow_audience = []", "`--allow-audience` is empty"),
            ("allow_audience = [\"a*b\"]", "`--allow-audience`: expected a name"),
            ("policy = \"https://policies/bundle.tar.gz\"", "`--policy-allow-unsigned`"),
            ("policy = \"http://p/b\"\npolicy_allow_unsigned = true\npolicy_interval = \"1ms\"", "`--policy-interval`"),
            ("policy = \"http://p/b\"\npolicy_allow_unsigned = true\npolicy_interval = \"1day\"", "from 1s to 1h"),
            ("policy = \"http://p/b\"\npolicy_key = \"/nonexistent\"", "`--policy-key`: there is no `/nonexistent`"),
            ("policy = \"p\"\npolicy_max_data = \"big\"", "`--policy-max-data`: expected a size from 1KiB to 64MiB"),
            ("policy = \"p\"\npolicy_max_data = \"1GiB\"", "`--policy-max-data`: expected a size"),
            ("policy = \"p\"\npolicy_max_data = \"1\"", "`--policy-max-data`: expected a size"),
            ("policy = \"HTTPS://p/b\"", "`--policy-allow-unsigned`"),
            ("policy = \"https://\"\npolicy_allow_unsigned = true", "`--policy`: expected a URL"),
            (
                "policy = \"p\"\npolicy_allow_unsigned = true",
                "`--policy-allow-unsigned` is given, but `--policy` is no URL",
            ),
            ("policy = \"p\"\npolicy_interval = \"1m\"", "`--policy-interval` is given, but `--policy` is no URL"),
            (
                "policy = \"/\"\npolicy_key = \"k\"",
                "`--policy-key` is given, but `/` is a folder: only bundles are signed",
            ),
            ("policy = \"a.rego\"\npolicy_key = \"k\"", "`a.rego` is no bundle"),
            ("policy = \"a.tar.gz\"\npolicy_key = \"/nonexistent\"", "`--policy-key`: there is no `/nonexistent`"),
            ("policy = \"p\"\npolicy_scope = \"s\"", "`--policy-scope` is given, but no `--policy-key`"),
            ("policy = \"p\"\npolicy_key_id = \"k\"", "`--policy-key-id` is given, but no `--policy-key`"),
            ("shadow_policy = \"p\"", "`--shadow-policy` is given, but no `--policy`"),
            ("policy_key = \"p\"", "`--policy-key` is given, but no `--policy`"),
            ("policy_max_data = \"1MiB\"", "`--policy-max-data` is given, but no `--policy`"),
            ("require_header = \"a b\"", "`a b` is no header name"),
            ("unknown = 1", "unknown field `unknown`"),
            ("log_format = \"xml\"", "unknown variant `xml`"),
        ] {
            let error = with(lines).unwrap_err();
            assert!(error.contains(part), "{lines}: {error}");
        }
        assert!(with("policy = \"p\"\nshadow_policy = \"q\"\npolicy_allow_unsigned = false").is_ok());
        assert!(with("token_listen = \"0.0.0.0:8090\"\ntoken_listen_public = true").is_ok());
        assert!(with("token_listen = \"unix:///run/scbte.sock\"").is_ok());
        for (from, to, part) in [
            ("dev_trust_domain = \"cluster.local\"", "", "no identity source"),
            ("target = ", "workload_api = \"unix:///a\"\ntarget = ", "only one identity source"),
            ("spiffe_id = \"spiffe://cluster.local/a\"", "", "`--spiffe-id` is missing"),
            ("state_dir = \"/tmp/state\"", "", "`--state-dir` is missing"),
            ("target = \"demo\"", "", "`--target` is missing"),
            ("target = \"demo\"", "target = \"a b\"", "`--target` must have"),
            ("cluster.local/a", "other/a", "is not of `--dev-trust-domain` `cluster.local`"),
            ("spiffe://cluster.local/a", "spiffe://cluster.local", "`--spiffe-id`"),
            ("\"cluster.local\"", "\"Cluster Local\"", "`--dev-trust-domain`"),
        ] {
            let raw: RawSettings = toml::from_str(&MINIMAL.replace(from, to)).unwrap();
            let error = raw.check().unwrap_err().to_string();
            assert!(error.contains(part), "{to}: {error}");
        }
    }

    #[test]
    fn the_workload_api_is_a_unix_socket() {
        let with_socket = |socket: &str, id: Option<&str>| {
            let raw = RawSettings {
                workload_api: Some(socket.to_owned()),
                spiffe_id: id.map(str::to_owned),
                state_dir: Some("/tmp/state".into()),
                target: Some("demo".into()),
                ..RawSettings::default()
            };
            raw.check().map(|settings| settings.identity).map_err(|error| error.to_string())
        };
        let wanted = |id: &str| Some(SpiffeId::parse(id).unwrap());
        for (socket, id, expected) in [
            ("unix:///run/spire/agent.sock", None, Ok(None)),
            ("unix:/run/spire/agent.sock", Some("spiffe://a/b"), Ok(wanted("spiffe://a/b"))),
            ("tcp://127.0.0.1:8000", None, Err("the private key would travel unprotected")),
            ("/run/spire/agent.sock", None, Err("expected `unix:///path/to/agent.sock`")),
            ("unix://", None, Err("expected `unix:///path/to/agent.sock`")),
            ("unix:///run/spire/agent.sock", Some("spiffe://a"), Err("`--spiffe-id`")),
        ] {
            match (with_socket(socket, id), expected) {
                (Ok(IdentitySettings::WorkloadApi { socket, wanted }), Ok(expected)) => {
                    assert_eq!((socket.to_string().as_str(), wanted), ("unix:///run/spire/agent.sock", expected));
                }
                (Err(error), Err(part)) => assert!(error.contains(part), "{socket}: {error}"),
                (found, _) => panic!("{socket}: {found:?}"),
            }
        }
    }

    #[test]
    fn flags_come_before_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("scbte.toml");
        let text = format!("{MINIMAL}\npush = [\"http://a:1\"]\ntoken_listen_public = true\nlog_format = \"json\"");
        std::fs::write(&path, text).unwrap();
        let flags = RawSettings {
            config: Some(path.clone()),
            target: Some("production".into()),
            push: vec!["http://b:2".into(), "unix:///c".into()],
            ..RawSettings::default()
        };
        let settings = flags.check().unwrap();
        assert_eq!(settings.target, "production");
        assert_eq!(settings.push.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://b:2", "unix:///c"]);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.identity, IdentitySettings::Dev(SpiffeId::parse("spiffe://cluster.local/a").unwrap()));

        // What belongs together may come from both.
        std::fs::write(&path, format!("{MINIMAL}\npolicy = \"p\"")).unwrap();
        let shadow =
            RawSettings { config: Some(path.clone()), shadow_policy: Some("q".into()), ..RawSettings::default() };
        assert_eq!(shadow.check().unwrap().policy.unwrap().shadow, Some("q".into()));

        std::fs::write(&path, "target = ").unwrap();
        let broken = RawSettings { config: Some(path), ..RawSettings::default() };
        assert!(broken.check().unwrap_err().to_string().contains("scbte.toml"));
        let missing = RawSettings { config: Some("/nonexistent/scbte.toml".into()), ..RawSettings::default() };
        assert!(missing.check().unwrap_err().to_string().contains("there is no"));
    }
}
