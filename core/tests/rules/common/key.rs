//! Keys from small numbers: the same in every run, and made without a source of randomness.

use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use sha2::{Digest as _, Sha256, Sha384};

/// A key pair, or the public half of one.
#[derive(Clone)]
pub(crate) struct Key {
    secret: Secret,
    public: Vec<u8>,
}

#[derive(Clone)]
enum Secret {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519,
}

impl Key {
    /// The P-256 key whose secret scalar repeats this byte.
    pub(crate) fn p256(number: u8) -> Self {
        let secret = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
        let public = secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret: Secret::P256(secret), public }
    }

    /// The P-384 key whose secret scalar repeats this byte.
    pub(crate) fn p384(number: u8) -> Self {
        let secret = p384::ecdsa::SigningKey::from_slice(&[number; 48]).unwrap();
        let public = secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret: Secret::P384(secret), public }
    }

    /// An Ed25519 public key, for a certificate; it signs nothing.
    pub(crate) fn ed25519(number: u8) -> Self {
        Self { secret: Secret::Ed25519, public: vec![number; 32] }
    }

    /// The same key with other bytes as its public half.
    pub(crate) fn with_public(self, public: &[u8]) -> Self {
        Self { public: public.to_vec(), ..self }
    }

    /// The secret of a P-256 key.
    pub(crate) fn signing(&self) -> &p256::ecdsa::SigningKey {
        match &self.secret {
            Secret::P256(secret) => secret,
            _ => panic!("not a P-256 key"),
        }
    }

    /// The public key: for ECDSA the uncompressed point.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.secret {
            Secret::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            Secret::P384(_) => &rcgen::PKCS_ECDSA_P384_SHA384,
            Secret::Ed25519 => &rcgen::PKCS_ED25519,
        }
    }
}

/// How an issuer signs: with the hash that goes with its curve, or with the other curve's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Own,
    Other,
}

/// A key as an issuer uses it.
pub(crate) struct Signer<'a> {
    pub(crate) key: &'a Key,
    pub(crate) hash: Hash,
}

impl Signer<'_> {
    fn signs_sha256(&self) -> bool {
        matches!(self.key.secret, Secret::P256(_)) == (self.hash == Hash::Own)
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    // Of an issuer, rcgen writes only the signature's identifier from this: it names the hash, not the curve.
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.signs_sha256() {
            true => &rcgen::PKCS_ECDSA_P256_SHA256,
            false => &rcgen::PKCS_ECDSA_P384_SHA384,
        }
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let hash = match self.signs_sha256() {
            true => Sha256::digest(message).to_vec(),
            false => Sha384::digest(message).to_vec(),
        };
        match &self.key.secret {
            Secret::P256(secret) => {
                let signature: p256::ecdsa::Signature = secret.sign_prehash(&hash).unwrap();
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Secret::P384(secret) => {
                let signature: p384::ecdsa::Signature = secret.sign_prehash(&hash).unwrap();
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Secret::Ed25519 => Err(rcgen::Error::RemoteKeyError),
        }
    }
}
