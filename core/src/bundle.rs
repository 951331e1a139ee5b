//! Trust bundles (SPIFFE Trust Domain and Bundle §4) and bundle sets: trust domain → trust bundle.

use crate::base64;
use crate::certificate::{Anchor, CertificateError};
use crate::json;
use crate::spiffe_id::{SpiffeIdError, TrustDomain};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Why JSON is not a bundle set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A trust domain's name is none.
    #[error("trust domain: {0}")]
    TrustDomain(#[from] SpiffeIdError),
    /// A member has another type than expected.
    #[error("`{member}` of trust domain `{trust_domain}` must be {expected}, found {found}")]
    Member {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// Which member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// An authority is not base64 or not a certificate.
    #[error("an authority of trust domain `{trust_domain}`: {source}")]
    Authority {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The JSON cannot be brought into canonical form.
    #[error("no canonical form: {0}")]
    Canonical(String),
}

/// What a payload is, whoever signed it and whenever: SHA-256 of its canonical JSON (RFC 8785).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Revision([u8; 32]);

impl Revision {
    /// The revision of a JSON value.
    pub fn of(value: &Value) -> Result<Self, BundleError> {
        let canonical =
            serde_json_canonicalizer::to_vec(value).map_err(|error| BundleError::Canonical(error.to_string()))?;
        Ok(Self(Sha256::digest(canonical).into()))
    }
}

impl fmt::Display for Revision {
    /// Lower-case hexadecimal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The authorities of one trust domain. None is a valid state: then no SVID of the domain is valid.
#[derive(Clone, Debug, Default)]
pub struct TrustBundle {
    anchors: Vec<Anchor>,
}

impl TrustBundle {
    /// The X.509 authorities.
    #[must_use]
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    fn from_json(trust_domain: &TrustDomain, bundle: &Value) -> Result<Self, BundleError> {
        let keys = bundle.get("keys").unwrap_or(&Value::Null);
        let keys = keys.as_array().ok_or_else(|| member(trust_domain, "keys", "an array", keys))?;
        let x509 = keys.iter().filter(|key| key.get("use").and_then(Value::as_str) == Some("x509-svid"));
        let anchors = x509.map(|key| anchor(trust_domain, key)).collect::<Result<_, _>>()?;
        Ok(Self { anchors })
    }
}

/// The authority of one key with `use` = `x509-svid`: the first of `x5c` (SPIFFE bundle §4.2.2).
fn anchor(trust_domain: &TrustDomain, key: &Value) -> Result<Anchor, BundleError> {
    let x5c = key.get("x5c").unwrap_or(&Value::Null);
    let first = x5c.get(0).and_then(Value::as_str);
    let text = first.ok_or_else(|| member(trust_domain, "x5c", "an array of base64 certificates", x5c))?;
    let authority = |source| BundleError::Authority { trust_domain: trust_domain.clone(), source };
    let not_base64 = |error: base64::NotBase64| authority(CertificateError::Unparseable(error.to_string()));
    let der = base64::decode_standard(text).map_err(not_base64)?;
    Anchor::parse(&der).map_err(authority)
}

fn member(trust_domain: &TrustDomain, member: &'static str, expected: &'static str, found: &Value) -> BundleError {
    BundleError::Member { trust_domain: trust_domain.clone(), member, expected, found: json::kind(found) }
}

/// All trust bundles that are in force, with their revision. Empty by default: then nobody is trusted.
#[derive(Clone, Debug, Default)]
pub struct BundleSet {
    bundles: BTreeMap<TrustDomain, TrustBundle>,
    revision: Revision,
}

impl BundleSet {
    /// Reads `{trust domain: SPIFFE bundle}`.
    pub fn from_json(trust_domains: &Map<String, Value>) -> Result<Self, BundleError> {
        let mut bundles = BTreeMap::new();
        for (name, bundle) in trust_domains {
            let name = TrustDomain::parse(name)?;
            let bundle = TrustBundle::from_json(&name, bundle)?;
            bundles.insert(name, bundle);
        }
        Ok(Self { bundles, revision: Revision::of(&Value::Object(trust_domains.clone()))? })
    }

    /// The trust bundle of a trust domain.
    #[must_use]
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&TrustBundle> {
        self.bundles.get(trust_domain)
    }

    /// What caches hang on.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The trust domains and their bundles, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &TrustBundle)> {
        self.bundles.iter()
    }
}

/// The SPIFFE bundle (a JWK Set) of these authorities (DER).
///
/// `x5c` is all a verifier reads; the members that JWK demands beside it (`kty` and the key itself) are the issue of
/// whoever publishes bundles to others, which SCBTE does not.
#[must_use]
pub fn to_json<'a>(authorities: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let key = |der: &[u8]| json!({"use": "x509-svid", "x5c": [base64::encode_standard(der)]});
    let mut encoded: Vec<_> = authorities.into_iter().collect();
    encoded.sort_unstable();
    json!({"keys": encoded.into_iter().map(key).collect::<Vec<_>>()})
}
