//! P-256 public keys as JWK (RFC 7517, RFC 7518 §6.2): the pinned envelope keys.

use crate::base64;
use crate::signature::{self, KeyKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a JWK is not a P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkError {
    /// Another key type or curve.
    #[error("expected `kty` `EC` and `crv` `P-256`, found `{kty}` and `{crv}`")]
    NotP256 {
        /// The key type found.
        kty: String,
        /// The curve found.
        crv: String,
    },
    /// A coordinate is not 32 bytes of base64url.
    #[error("`{0}` must be 32 bytes in base64url without padding")]
    Coordinate(&'static str),
    /// The coordinates are not on the curve.
    #[error("`x` and `y` are no point on P-256")]
    NotOnCurve,
    /// A private key where a public one belongs.
    #[error("`d`, the private key, does not belong here: keep it in the companion only")]
    Private,
}

/// The members of an EC JWK; `use`, `alg` and others are ignored.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Members {
    kty: String,
    crv: String,
    x: String,
    y: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing)]
    d: Option<String>,
}

/// A P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    kid: Option<String>,
}

impl PublicKey {
    /// From an uncompressed point (SEC 1 §2.3.3), which must be on the curve.
    pub fn from_point(point: &[u8]) -> Result<Self, JwkError> {
        p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| JwkError::NotOnCurve)?;
        let spki = signature::spki(KeyKind::P256, point).map_err(|_| JwkError::NotOnCurve)?;
        Ok(Self { spki, kid: None })
    }

    fn from_members(members: Members) -> Result<Self, JwkError> {
        if members.kty != "EC" || members.crv != "P-256" {
            return Err(JwkError::NotP256 { kty: members.kty, crv: members.crv });
        }
        if members.d.is_some() {
            return Err(JwkError::Private);
        }
        let point = [vec![0x04], coordinate("x", &members.x)?, coordinate("y", &members.y)?].concat();
        Ok(Self { kid: members.kid, ..Self::from_point(&point)? })
    }

    /// The key as canonical DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key's `kid`, when it was given one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The same key with its thumbprint as `kid`.
    #[must_use]
    pub fn with_thumbprint(self) -> Self {
        let kid = Some(self.thumbprint());
        Self { kid, ..self }
    }

    /// The RFC 7638 thumbprint: SHA-256, base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        base64::encode_url(Sha256::digest(canonical))
    }

    fn coordinates(&self) -> (String, String) {
        let point = self.spki.split_at(self.spki.len().saturating_sub(64)).1;
        let (x, y) = point.split_at(point.len() / 2);
        (base64::encode_url(x), base64::encode_url(y))
    }
}

fn coordinate(name: &'static str, text: &str) -> Result<Vec<u8>, JwkError> {
    let bytes = base64::decode_url(text).map_err(|_| JwkError::Coordinate(name))?;
    if bytes.len() != 32 {
        return Err(JwkError::Coordinate(name));
    }
    Ok(bytes)
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_members(Members::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (x, y) = self.coordinates();
        let members = Members { kty: "EC".into(), crv: "P-256".into(), x, y, kid: self.kid.clone(), d: None };
        members.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use wasm_bindgen_test::wasm_bindgen_test;

    /// The public key of RFC 7515 A.3.1.
    fn rfc7515() -> Value {
        json!({"kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_public_key_survives_a_round_trip() {
        let key: PublicKey = serde_json::from_value(rfc7515()).unwrap();
        assert_eq!(serde_json::to_value(&key).unwrap(), rfc7515());
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
        assert_eq!(key.clone().with_thumbprint().kid(), Some(key.thumbprint().as_str()));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn other_keys_are_refused_with_what_is_wrong() {
        let good = rfc7515()["x"].clone();
        for (member, value, part) in [
            ("kty", json!("RSA"), "expected `kty` `EC`"),
            ("crv", json!("P-384"), "found `EC` and `P-384`"),
            ("x", json!("AQ"), "`x` must be 32 bytes"),
            ("y", json!("!"), "`y` must be 32 bytes"),
            ("y", good, "no point on P-256"),
            ("d", json!("secret"), "`d`, the private key, does not belong here"),
        ] {
            let mut jwk = rfc7515();
            jwk[member] = value;
            let error = serde_json::from_value::<PublicKey>(jwk).unwrap_err().to_string();
            assert!(error.contains(part), "{member}: {error}");
        }
    }
}
