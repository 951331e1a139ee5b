//! The key that a bundle must be signed with: PEM or JWK, P-256 or RSA.

use crate::state;
use scbte_core::base64;
use scbte_core::jwk::PublicKey;
use scbte_core::signature::{Algorithm, BadSignature, InModule, KeyKind, SignatureVerifier as _, spki, verify_es256};
use serde::Deserialize;
use std::path::Path;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode as _, DecodePem as _, Document, Encode as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A public key with what a signature must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerificationKey {
    algorithm: BundleAlgorithm,
    spki: Vec<u8>,
    /// What `kid` (or the older `keyid`) must be, if anything.
    pub(crate) id: Option<String>,
    /// What `scope` must be; without one, the signature must have none.
    pub(crate) scope: Option<String>,
}

/// The algorithm of a bundle's signature (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
}

/// Why a text is no verification key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Neither PEM nor JSON.
    #[error("expected a public key as PEM (`PUBLIC KEY`, `CERTIFICATE`) or as JWK")]
    Form,
    /// PEM with something else in it.
    #[error("expected a public key, found `{0}`")]
    Label(String),
    /// A kind of key that no supported algorithm takes.
    #[error("expected a P-256 key (ES256) or an RSA key of 2048 to 4096 bits (RS256)")]
    Kind,
    /// A private key.
    #[error("this is a private key: only its public half belongs here")]
    Private,
}

impl VerificationKey {
    /// Reads a key.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.starts_with('{') { from_jwk(text) } else { from_pem(text) }
    }

    /// Reads a key's file; with what a signature by it must say.
    pub(crate) fn load(path: &Path, id: Option<String>, scope: Option<String>) -> Result<Self, String> {
        let text = state::read(path).map_err(|error| error.to_string())?;
        let key = Self::parse(&text).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(Self { id, scope, ..key })
    }

    /// Checks a signature as it stands in a JWS.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self.algorithm {
            BundleAlgorithm::Es256 => verify_es256(&InModule, &self.spki, message, signature),
            BundleAlgorithm::Rs256 => InModule.verify(Algorithm::RsaSha256, &self.spki, message, signature),
        }
    }

    /// The algorithm's name in a JWS.
    pub(super) const fn algorithm(&self) -> &'static str {
        match self.algorithm {
            BundleAlgorithm::Es256 => "ES256",
            BundleAlgorithm::Rs256 => "RS256",
        }
    }
}

fn from_pem(text: &str) -> Result<VerificationKey, KeyError> {
    let (label, document) = Document::from_pem(text).map_err(|_| KeyError::Form)?;
    match label {
        "PUBLIC KEY" => from_spki(document.as_bytes()),
        "CERTIFICATE" => {
            let certificate = x509_cert::Certificate::from_pem(text).map_err(|_| KeyError::Form)?;
            let info = certificate.tbs_certificate().subject_public_key_info().to_der();
            from_spki(&info.map_err(|_| KeyError::Form)?)
        }
        "RSA PUBLIC KEY" => with_key(KeyKind::Rsa, document.as_bytes()),
        label if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        label => Err(KeyError::Label(label.to_owned())),
    }
}

fn from_spki(der: &[u8]) -> Result<VerificationKey, KeyError> {
    let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| KeyError::Form)?;
    let key = info.subject_public_key.raw_bytes();
    // The key itself says of which kind it is: what is wrapped again must be what came.
    let same = |kind: &KeyKind| spki(*kind, key).is_ok_and(|wrapped| wrapped == der);
    with_key([KeyKind::P256, KeyKind::Rsa].into_iter().find(same).ok_or(KeyError::Kind)?, key)
}

fn with_key(kind: KeyKind, key: &[u8]) -> Result<VerificationKey, KeyError> {
    let algorithm = match kind {
        KeyKind::P256 => BundleAlgorithm::Es256,
        KeyKind::Rsa => BundleAlgorithm::Rs256,
        KeyKind::P384 => return Err(KeyError::Kind),
    };
    let spki = spki(kind, key).map_err(|_| KeyError::Kind)?;
    Ok(VerificationKey { algorithm, spki, id: None, scope: None })
}

/// The members of a JWK that say what it is.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    d: Option<String>,
}

fn from_jwk(text: &str) -> Result<VerificationKey, KeyError> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyError::Form)?;
    if jwk.d.is_some() {
        return Err(KeyError::Private);
    }
    match jwk.kty.as_str() {
        "EC" => {
            let key: PublicKey = serde_json::from_str(text).map_err(|_| KeyError::Kind)?;
            let spki = key.spki().to_owned();
            Ok(VerificationKey { algorithm: BundleAlgorithm::Es256, spki, id: None, scope: None })
        }
        "RSA" => with_key(KeyKind::Rsa, &rsa_key(&jwk.n, &jwk.e).ok_or(KeyError::Kind)?),
        _ => Err(KeyError::Kind),
    }
}

/// An `RSAPublicKey` (RFC 8017 A.1.1) of the numbers in a JWK (RFC 7518 §6.3.1).
fn rsa_key(modulus: &str, exponent: &str) -> Option<Vec<u8>> {
    let number = |text: &str| base64::decode_url(text).ok();
    let numbers = [number(modulus)?, number(exponent)?];
    let numbers: Vec<Vec<u8>> = numbers
        .iter()
        .map(|bytes| UintRef::new(bytes).and_then(|number| number.to_der()))
        .collect::<Result<_, _>>()
        .ok()?;
    let inside = numbers.concat();
    let length = u16::try_from(inside.len()).ok()?.to_be_bytes();
    Some([&[0x30, 0x82], &length[..], &inside].concat())
}
