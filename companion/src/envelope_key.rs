//! The envelope key: a P-256 key pair as JWK (RFC 7517, RFC 7518 §6.2), with the RFC 7638 thumbprint as `kid`.
//!
//! Whoever has the private half can vouch for any identity before every filter that pins the public half.

use crate::state::{self, Access, StateDir, StateError};
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate as _;
use scbte_core::base64;
use scbte_core::jwk::{JwkError, PublicKey};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The private half in the state folder.
pub(crate) const PRIVATE_FILE: &str = "envelope.jwk";
/// The public half in the state folder.
pub(crate) const PUBLIC_FILE: &str = "envelope.pub.jwk";

/// Why there is no envelope key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeKeyError {
    /// The file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file holds no private key.
    #[error("`{path}` is no private JWK: {why}", path = path.display())]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong; never what is in it.
        why: NotAKey,
    },
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Why a text is no private P-256 JWK. The text itself never becomes part of a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAKey {
    /// Not JSON of that form.
    #[error("expected an object with the strings `kty`, `crv`, `x`, `y` and `d`")]
    Json,
    /// `d` is not 32 bytes or not a scalar.
    #[error("`d` must be a P-256 private key, 32 bytes in base64url without padding")]
    D,
    /// The public half is no key, or not this one's.
    #[error("{0}")]
    Public(#[from] JwkError),
    /// `x` and `y` are another key's.
    #[error("`x` and `y` are not the public half of `d`")]
    Mismatch,
}

/// The members of a private EC JWK; others are ignored.
#[derive(Deserialize, Serialize)]
struct PrivateJwk {
    #[serde(flatten)]
    public: serde_json::Map<String, serde_json::Value>,
    d: String,
}

/// The key that signs envelopes.
pub(crate) struct EnvelopeKey {
    key: SigningKey,
    public: PublicKey,
}

impl EnvelopeKey {
    /// A new key.
    pub(crate) fn generate() -> Result<Self, EnvelopeKeyError> {
        let key = SigningKey::try_generate().map_err(EnvelopeKeyError::Randomness)?;
        let public = public_half(&key).map_err(|why| EnvelopeKeyError::NotAKey { path: PRIVATE_FILE.into(), why })?;
        Ok(Self { key, public })
    }

    /// Reads a private JWK from a file that only its owner can read.
    pub(crate) fn load(path: &Path) -> Result<Self, EnvelopeKeyError> {
        let text = state::read_private(path)?;
        Self::parse(&text).map_err(|why| EnvelopeKeyError::NotAKey { path: path.to_owned(), why })
    }

    /// The state folder's key, made where there is none. Says whether it was made.
    pub(crate) fn load_or_create(state: &StateDir) -> Result<(Self, bool), EnvelopeKeyError> {
        let _lock = state.lock()?;
        let path = state.file(PRIVATE_FILE);
        let (key, made) = match Self::load(&path) {
            Err(EnvelopeKeyError::State(StateError::Missing { .. })) => (Self::generate()?, true),
            other => (other?, false),
        };
        if made {
            state::write(&path, &key.to_private_jwk(), Access::Private)?;
        }
        state::write(&state.file(PUBLIC_FILE), &key.to_public_jwk(), Access::Public)?;
        Ok((key, made))
    }

    fn parse(text: &str) -> Result<Self, NotAKey> {
        let jwk: PrivateJwk = serde_json::from_str(text).map_err(|_| NotAKey::Json)?;
        let claimed: PublicKey = serde_json::from_value(jwk.public.into()).map_err(|_| NotAKey::Json)?;
        let d = base64::decode_url(&jwk.d).map_err(|_| NotAKey::D)?;
        let key = SigningKey::from_slice(&d).map_err(|_| NotAKey::D)?;
        let public = public_half(&key)?;
        if public.spki() != claimed.spki() {
            return Err(NotAKey::Mismatch);
        }
        // A `kid` that somebody chose is kept: filters may have pinned it.
        let public = if claimed.kid().is_some() { claimed } else { public };
        Ok(Self { key, public })
    }

    /// What signs.
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The public half, with its `kid`.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as JSON, one line.
    pub(crate) fn to_public_jwk(&self) -> String {
        line(&self.public)
    }

    /// The private half as JSON, one line: for a file with mode 0600 only.
    pub(crate) fn to_private_jwk(&self) -> String {
        let public = match serde_json::to_value(&self.public) {
            Ok(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        line(&PrivateJwk { public, d: base64::encode_url(self.key.to_bytes()) })
    }
}

fn public_half(key: &SigningKey) -> Result<PublicKey, NotAKey> {
    let point = key.verifying_key().to_sec1_point(false);
    Ok(PublicKey::from_point(point.as_bytes())?.with_thumbprint())
}

fn line(jwk: &impl Serialize) -> String {
    serde_json::json!(jwk).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_survives_the_state_folder() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(root.path()).unwrap();
        let (first, made) = EnvelopeKey::load_or_create(&state).unwrap();
        let (second, made_again) = EnvelopeKey::load_or_create(&state).unwrap();
        assert!(made && !made_again);
        assert_eq!(first.public(), second.public());
        assert_eq!(first.public().kid(), Some(first.public().thumbprint().as_str()));
        let public: PublicKey = serde_json::from_str(&state::read(&state.file(PUBLIC_FILE)).unwrap()).unwrap();
        assert_eq!(&public, first.public());
        let mode = std::fs::metadata(state.file(PRIVATE_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_private_key_is_refused_without_showing_it() {
        let good: Value = serde_json::from_str(&EnvelopeKey::generate().unwrap().to_private_jwk()).unwrap();
        let other: Value = serde_json::from_str(&EnvelopeKey::generate().unwrap().to_private_jwk()).unwrap();
        assert!(EnvelopeKey::parse(&good.to_string()).is_ok());
        for (member, value) in [
            ("d", json!("AQ")),
            ("d", json!("!")),
            ("d", json!(7)),
            ("d", other["d"].clone()),
            ("x", json!("AQ")),
            ("kty", json!("RSA")),
            ("crv", json!("P-384")),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value;
            let Err(error) = EnvelopeKey::parse(&jwk.to_string()) else { panic!("{member} was accepted") };
            let secret = jwk["d"].as_str().unwrap_or("7").to_owned();
            assert!(secret.len() < 10 || !error.to_string().contains(&secret), "{member}: {error}");
        }
        assert!(EnvelopeKey::parse("").is_err());
    }

    #[test]
    fn a_chosen_kid_is_kept() {
        let mut jwk: Value = serde_json::from_str(&EnvelopeKey::generate().unwrap().to_private_jwk()).unwrap();
        jwk["kid"] = json!("mine");
        assert_eq!(EnvelopeKey::parse(&jwk.to_string()).unwrap().public().kid(), Some("mine"));
        jwk.as_object_mut().unwrap().remove("kid");
        assert!(EnvelopeKey::parse(&jwk.to_string()).unwrap().public().kid().is_some());
    }
}
