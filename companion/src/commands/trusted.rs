//! Trust bundles from wherever a person has them: a companion, its state folder, or a file.

use super::{Result, block_on};
use crate::dev_ca;
use crate::dev_state::DevCa;
use crate::http_client::{Call, Endpoint};
use crate::identity::Bundles;
use crate::state::{self, StateDir};
use crate::words::{self, visible};
use axum::http::StatusCode;
use scbte_core::bundle::BundleSet;
use scbte_core::envelope::Payload as _;
use scbte_core::json;
use scbte_core::jwk::PublicKey;
use scbte_core::jws::Jws;
use scbte_core::signature::{InModule, verify_es256};
use scbte_core::spiffe_id::TrustDomain;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nesting of a bundle file, at most.
const MAX_DEPTH: u8 = 64;
/// How long a companion may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where trust bundles come from.
#[derive(clap::Args)]
pub(super) struct TrustedArgs {
    /// File: a bundle envelope, a SPIFFE bundle (JSON), {trust domain: SPIFFE bundle}, or certificates (PEM)
    #[arg(long, visible_alias = "envelope", value_name = "FILE", group = "trusted")]
    bundle: Option<PathBuf>,

    /// Admin API of a companion, http://HOST:PORT or unix:///path
    #[arg(long, value_name = "ENDPOINT", group = "trusted")]
    admin: Option<String>,

    /// State folder of a dev trust domain
    #[arg(long, value_name = "DIR", group = "trusted")]
    state_dir: Option<PathBuf>,

    /// With --bundle: the trust domain, where the file does not name it
    #[arg(long, value_name = "NAME", requires = "bundle")]
    trust_domain: Option<String>,

    /// Public JWK that must have signed the envelope; without it the signature is not checked
    #[arg(long, value_name = "FILE")]
    envelope_key: Option<PathBuf>,
}

/// Trust bundles, and what is known about them.
pub(super) struct Trusted {
    /// The bundles.
    pub(super) bundles: Bundles,
    /// Where they are from.
    pub(super) origin: String,
    /// What the envelope says, when they came in one.
    pub(super) envelope: Option<EnvelopeFacts>,
}

/// What an envelope says beside its bundles.
pub(super) struct EnvelopeFacts {
    /// Whom it is for.
    pub(super) target: String,
    /// Its `seq`.
    pub(super) seq: u64,
    /// When it was signed.
    pub(super) iat: Timestamp,
    /// Until when it may be used.
    pub(super) exp: Timestamp,
    /// Whether it is of a dev trust domain.
    pub(super) dev: bool,
    /// The `kid` of the key that signed it, when that was checked.
    pub(super) signed_by: Option<String>,
}

impl TrustedArgs {
    /// Fetches or reads the bundles; from `default_admin` when nothing is said.
    pub(super) fn load(&self, default_admin: &str) -> Result<Trusted> {
        if let Some(path) = &self.bundle {
            let text = state::read(path)?;
            return self.read_file(path, text.trim());
        }
        if let Some(folder) = &self.state_dir {
            let bundles = DevCa::load(&StateDir::open(folder)?)?.bundles()?;
            return Ok(Trusted { bundles, origin: format!("the dev CA in {}", folder.display()), envelope: None });
        }
        let endpoint: Endpoint = self.admin.as_deref().unwrap_or(default_admin).parse()?;
        self.read_envelope(&fetch(&endpoint)?, &format!("the companion at {endpoint}"))
    }

    fn read_file(&self, path: &Path, text: &str) -> Result<Trusted> {
        let origin = path.display().to_string();
        if text.starts_with("-----BEGIN") {
            return Ok(Trusted { bundles: self.read_pem(text)?, origin, envelope: None });
        }
        if text.starts_with('{') {
            return Ok(Trusted { bundles: self.read_json(text)?, origin, envelope: None });
        }
        self.read_envelope(text, &origin)
    }

    fn read_pem(&self, text: &str) -> Result<Bundles> {
        let certificates = dev_ca::parse_certificates(text)?;
        let trust_domain = match (self.named_trust_domain()?, certificates.first()) {
            (Some(name), _) => name,
            (None, Some(first)) => dev_ca::trust_domain_of(first)
                .map_err(|error| format!("{error}; name the trust domain with --trust-domain"))?,
            (None, None) => return Err("the file has no certificates".into()),
        };
        let bundle = dev_ca::spiffe_bundle(&certificates)?;
        Ok(Bundles::new(Map::from_iter([(trust_domain.to_string(), bundle)]))?)
    }

    fn read_json(&self, text: &str) -> Result<Bundles> {
        let members = object(text.as_bytes())?;
        if !members.contains_key("keys") {
            return Ok(Bundles::new(members)?);
        }
        let trust_domain =
            self.named_trust_domain()?.ok_or("a SPIFFE bundle does not name its trust domain: add --trust-domain")?;
        Ok(Bundles::new(Map::from_iter([(trust_domain.to_string(), members.into())]))?)
    }

    fn named_trust_domain(&self) -> Result<Option<TrustDomain>> {
        Ok(self.trust_domain.as_deref().map(TrustDomain::parse).transpose()?)
    }

    fn read_envelope(&self, text: &str, origin: &str) -> Result<Trusted> {
        let jws = Jws::parse(text, &[BundleSet::TYPE]).map_err(|error| format!("no bundle envelope: {error}"))?;
        let signed_by = self.envelope_key.as_deref().map(|path| check_signature(&jws, path)).transpose()?;
        let members = object(&jws.payload)?;
        let trust_domains = members.get("trust_domains").and_then(Value::as_object).cloned();
        Ok(Trusted {
            bundles: Bundles::new(trust_domains.ok_or("the envelope has no trust domains")?)?,
            origin: origin.to_owned(),
            envelope: Some(facts(&members, signed_by)),
        })
    }
}

fn fetch(endpoint: &Endpoint) -> Result<String> {
    let answer = block_on(endpoint.call(Call::get("/v1/bundle"), TIMEOUT))??;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match answer.status {
        StatusCode::OK => Ok(text),
        status => Err(format!("{endpoint} answers {status}: {}", visible(&text)).into()),
    }
}

fn object(text: &[u8]) -> Result<Map<String, Value>> {
    match json::parse_within(text, MAX_DEPTH)? {
        Value::Object(members) => Ok(members),
        other => Err(format!("expected an object, found {}", json::kind(&other)).into()),
    }
}

fn check_signature(jws: &Jws<'_>, key: &Path) -> Result<String> {
    let key: PublicKey = read_public_key(key)?;
    verify_es256(&InModule, key.spki(), jws.signing_input.as_bytes(), &jws.signature)
        .map_err(|_| "the envelope's signature is not by this key: do not believe it")?;
    Ok(key.kid().map_or_else(|| key.thumbprint(), str::to_owned))
}

/// Reads a public JWK.
pub(super) fn read_public_key(path: &Path) -> Result<PublicKey> {
    let key = serde_json::from_str(&state::read(path)?);
    key.map_err(|error| format!("`{}` is no public JWK: {error}", path.display()).into())
}

fn facts(members: &Map<String, Value>, signed_by: Option<String>) -> EnvelopeFacts {
    let integer = |name: &str| members.get(name).and_then(Value::as_u64).unwrap_or_default();
    EnvelopeFacts {
        target: visible(members.get("target").and_then(Value::as_str).unwrap_or_default()),
        seq: integer("seq"),
        iat: Timestamp::from_secs(integer("iat")),
        exp: Timestamp::from_secs(integer("exp")),
        dev: members.get("dev").and_then(Value::as_bool).unwrap_or_default(),
        signed_by,
    }
}

impl EnvelopeFacts {
    /// Some lines in words.
    pub(super) fn lines(&self, now: Timestamp) -> String {
        let dev = if self.dev { "\ndev          yes: of an embedded dev trust domain, not for production" } else { "" };
        let signature = match &self.signed_by {
            Some(kid) => format!("by the envelope key {kid}"),
            None => "NOT CHECKED (--envelope-key FILE checks it)".to_owned(),
        };
        format!(
            "signature    {signature}\ntarget       {}\nsigned       {}, {}\nuse until    {} (filters stop at their trust.max_age)\nseq          {}{dev}\n",
            self.target,
            words::utc(self.iat),
            words::relative(self.iat, now),
            words::utc(self.exp),
            self.seq,
        )
    }
}
