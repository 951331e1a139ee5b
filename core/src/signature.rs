//! Signature verification, behind a trait: in the proxy the host does it, elsewhere [`InModule`].
//!
//! Accepted: ECDSA on P-256 and P-384, and RSA PKCS#1 v1.5 with 2048 to 4096 bits (issuers only), with SHA-256, 384 or
//! 512. Keys arrive as the bit string of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) and are wrapped again, so a
//! verifier never sees an encoding that a client chose.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384};
use std::fmt::Debug;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

/// A signature algorithm together with the kind of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA, P-256, SHA-256: the only one for tokens and envelopes (RFC 7518 §3.4).
    P256Sha256,
    /// ECDSA, P-256, SHA-384.
    P256Sha384,
    /// ECDSA, P-384, SHA-256.
    P384Sha256,
    /// ECDSA, P-384, SHA-384.
    P384Sha384,
    /// RSA PKCS#1 v1.5, SHA-256.
    RsaSha256,
    /// RSA PKCS#1 v1.5, SHA-384.
    RsaSha384,
    /// RSA PKCS#1 v1.5, SHA-512.
    RsaSha512,
}

/// The key of an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A point on P-256.
    P256,
    /// A point on P-384.
    P384,
    /// An RSA modulus and exponent.
    Rsa,
}

impl Algorithm {
    /// All that certificates may use.
    pub const ALL: [Self; 7] = [
        Self::P256Sha256,
        Self::P256Sha384,
        Self::P384Sha256,
        Self::P384Sha384,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
    ];

    /// The kind of key it takes.
    #[must_use]
    pub const fn key_kind(self) -> KeyKind {
        match self {
            Self::P256Sha256 | Self::P256Sha384 => KeyKind::P256,
            Self::P384Sha256 | Self::P384Sha384 => KeyKind::P384,
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 => KeyKind::Rsa,
        }
    }

    /// The hash's name as Envoy and BoringSSL write it.
    #[must_use]
    pub const fn hash_name(self) -> &'static str {
        match self {
            Self::P256Sha256 | Self::P384Sha256 | Self::RsaSha256 => "sha256",
            Self::P256Sha384 | Self::P384Sha384 | Self::RsaSha384 => "sha384",
            Self::RsaSha512 => "sha512",
        }
    }
}

/// The signature does not verify; deliberately without detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Checks signatures. Implementations must answer `Ok` for a valid signature only.
pub trait SignatureVerifier: Debug + Send + Sync {
    /// What to call it in the log and in the status.
    fn name(&self) -> &'static str;

    /// Checks `signature` (ECDSA: DER, RFC 3279 §2.2.3) over `message` (not hashed) with the key in `spki`, a canonical
    /// DER `SubjectPublicKeyInfo` made by [`spki`].
    fn verify(&self, algorithm: Algorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

/// Wraps a subject public key into a canonical DER `SubjectPublicKeyInfo`, after checking its size and form.
#[inline]
pub fn spki(kind: KeyKind, key: &[u8]) -> Result<Vec<u8>, BadSignature> {
    let prefix: &[u8] = match kind {
        KeyKind::P256 if is_uncompressed_point(key, 65) => &P256_PREFIX,
        KeyKind::P384 if is_uncompressed_point(key, 97) => &P384_PREFIX,
        KeyKind::Rsa if is_acceptable_rsa_key(key) => return rsa_spki(key).ok_or(BadSignature),
        _ => return Err(BadSignature),
    };
    Ok([prefix, key].concat())
}

/// DER of an id-ecPublicKey/prime256v1 `SubjectPublicKeyInfo` up to the point.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// DER of an id-ecPublicKey/secp384r1 `SubjectPublicKeyInfo` up to the point.
const P384_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
/// DER of the `AlgorithmIdentifier` rsaEncryption.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

fn is_uncompressed_point(key: &[u8], length: usize) -> bool {
    key.len() == length && key.first() == Some(&0x04)
}

/// 2048 to 4096 bits, an odd exponent of at least 3 and at most 32 bits, nothing behind.
fn is_acceptable_rsa_key(key: &[u8]) -> bool {
    let Some((modulus_bits, exponent)) = rsa_numbers(key) else { return false };
    (2048..=4096).contains(&modulus_bits) && exponent >= 3 && exponent % 2 == 1
}

/// The modulus' length in bits and the exponent of an `RSAPublicKey` (RFC 8017 A.1.1).
fn rsa_numbers(key: &[u8]) -> Option<(usize, u32)> {
    let reader = &mut SliceReader::new(key).ok()?;
    let numbers = reader
        .sequence(|inner| -> Result<_, x509_cert::der::Error> {
            Ok((UintRef::decode(inner)?, UintRef::decode(inner)?))
        })
        .ok()?;
    let complete = reader.is_finished();
    let bits = bit_length(numbers.0.as_bytes());
    let exponent = numbers.1.as_bytes();
    let exponent = exponent.iter().try_fold(0_u32, |sum, byte| sum.checked_mul(256)?.checked_add(u32::from(*byte)))?;
    complete.then_some((bits, exponent))
}

fn bit_length(bytes: &[u8]) -> usize {
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
    bytes.len().saturating_mul(8).saturating_sub(leading)
}

fn rsa_spki(key: &[u8]) -> Option<Vec<u8>> {
    let bits = [&[0x00], key].concat();
    let bit_string = tlv(0x03, &bits)?;
    tlv(0x30, &[&RSA_ALGORITHM, bit_string.as_slice()].concat())
}

/// A DER element of 128 to 65535 bytes: the range of RSA keys that get here.
#[inline]
fn tlv(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(content.len()).ok()?.to_be_bytes();
    let header: &[u8] = match (high, low) {
        (0, 0..=127) => return None,
        (0, low) => &[tag, 0x81, low],
        (high, low) => &[tag, 0x82, high, low],
    };
    Some([header, content].concat())
}

/// Verification inside the module, by p256 and p384 (and `rsa` with the feature of that name).
#[derive(Clone, Copy, Debug, Default)]
pub struct InModule;

impl SignatureVerifier for InModule {
    fn name(&self) -> &'static str {
        "p256"
    }

    fn verify(&self, algorithm: Algorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match algorithm {
            Algorithm::P256Sha256 => verify_p256(spki, &Sha256::digest(message), signature),
            Algorithm::P256Sha384 => verify_p256(spki, &Sha384::digest(message), signature),
            Algorithm::P384Sha256 => verify_p384(spki, &Sha256::digest(message), signature),
            Algorithm::P384Sha384 => verify_p384(spki, &Sha384::digest(message), signature),
            Algorithm::RsaSha256 | Algorithm::RsaSha384 | Algorithm::RsaSha512 => {
                verify_rsa(algorithm, spki, message, signature)
            }
        }
    }
}

fn verify_p256(spki: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let point = spki.strip_prefix(&P256_PREFIX).ok_or(BadSignature)?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
    let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| BadSignature)?;
    key.verify_prehash(hash, &signature).map_err(|_| BadSignature)
}

fn verify_p384(spki: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let point = spki.strip_prefix(&P384_PREFIX).ok_or(BadSignature)?;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
    let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| BadSignature)?;
    key.verify_prehash(hash, &signature).map_err(|_| BadSignature)
}

#[cfg(feature = "rsa")]
fn verify_rsa(algorithm: Algorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::sha2::{Digest as _, Sha256, Sha384, Sha512};
    use rsa::{Pkcs1v15Sign, RsaPublicKey};

    let key = RsaPublicKey::from_public_key_der(spki).map_err(|_| BadSignature)?;
    let (padding, hash) = match algorithm {
        Algorithm::RsaSha256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
        Algorithm::RsaSha384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
        Algorithm::RsaSha512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
        _ => return Err(BadSignature),
    };
    key.verify(padding, &hash, signature).map_err(|_| BadSignature)
}

#[cfg(not(feature = "rsa"))]
fn verify_rsa(_: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
    Err(BadSignature)
}

/// Checks an ES256 signature as a JWS has it: `r` and `s`, 32 bytes each (RFC 7518 §3.4).
#[inline]
pub fn verify_es256(
    verifier: &dyn SignatureVerifier,
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    // The library refuses `r` or `s` of zero or beyond the order.
    let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    verifier.verify(Algorithm::P256Sha256, spki, message, signature.to_der().as_bytes())
}

/// Whether a verifier accepts a known good signature and refuses two known bad ones (RFC 7515 A.3).
#[must_use]
pub fn passes_self_test(verifier: &dyn SignatureVerifier) -> bool {
    let Ok(key) = spki(KeyKind::P256, &SELF_TEST_KEY) else { return false };
    let mut damaged = SELF_TEST_SIGNATURE;
    damaged[63] ^= 1;
    let good = verify_es256(verifier, &key, SELF_TEST_MESSAGE, &SELF_TEST_SIGNATURE);
    let bad_signature = verify_es256(verifier, &key, SELF_TEST_MESSAGE, &damaged);
    let bad_message = verify_es256(verifier, &key, b"another message", &SELF_TEST_SIGNATURE);
    good.is_ok() && bad_signature.is_err() && bad_message.is_err()
}

/// The signing input of RFC 7515 A.3.1.
const SELF_TEST_MESSAGE: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// The key of RFC 7515 A.3.1 as an uncompressed point.
const SELF_TEST_KEY: [u8; 65] = [
    4, 127, 205, 206, 39, 112, 246, 196, 93, 65, 131, 203, 238, 111, 219, 75, 123, 88, 7, 51, 53, 123, 233, 239, 19,
    186, 207, 110, 60, 123, 209, 84, 69, 199, 241, 68, 205, 27, 189, 155, 126, 135, 44, 223, 237, 185, 238, 185, 244,
    179, 105, 93, 110, 169, 11, 36, 173, 138, 70, 35, 40, 133, 136, 229, 173,
];
/// The signature of RFC 7515 A.3.1.
const SELF_TEST_SIGNATURE: [u8; 64] = [
    14, 209, 33, 83, 121, 99, 108, 72, 60, 47, 127, 21, 88, 7, 212, 2, 163, 178, 40, 3, 58, 249, 124, 126, 23, 129,
    154, 195, 22, 158, 166, 101, 197, 10, 7, 211, 140, 60, 112, 229, 216, 241, 45, 175, 8, 74, 84, 128, 166, 101, 144,
    197, 242, 147, 80, 154, 143, 63, 127, 138, 131, 163, 84, 213,
];

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    /// A verifier that answers the same to everything.
    #[derive(Debug)]
    struct Always(Result<(), BadSignature>);

    impl SignatureVerifier for Always {
        fn name(&self) -> &'static str {
            "always"
        }

        fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
            self.0
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_self_test_tells_good_verifiers_from_broken_ones() {
        assert!(passes_self_test(&InModule));
        assert!(!passes_self_test(&Always(Ok(()))));
        assert!(!passes_self_test(&Always(Err(BadSignature))));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn keys_of_a_wrong_form_are_refused() {
        let compressed = [&[0x02], &SELF_TEST_KEY[1..33]].concat();
        let hybrid = [&[0x06], &SELF_TEST_KEY[1..]].concat();
        let longer = [&SELF_TEST_KEY[..], &[0]].concat();
        for key in [compressed, hybrid, longer, vec![], vec![4]] {
            assert_eq!(spki(KeyKind::P256, &key), Err(BadSignature));
        }
        assert_eq!(spki(KeyKind::P384, &SELF_TEST_KEY), Err(BadSignature));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn rsa_keys_have_2048_to_4096_bits_and_a_sane_exponent() {
        for (name, modulus_bytes, exponent, accepted) in [
            ("1024", 128, &[1, 0, 1][..], false),
            ("2040", 255, &[1, 0, 1], false),
            ("2048", 256, &[1, 0, 1], true),
            ("3072", 384, &[3], true),
            ("4096", 512, &[1, 0, 1], true),
            ("4104", 513, &[1, 0, 1], false),
            ("exponent 1", 256, &[1], false),
            ("even exponent", 256, &[4], false),
            ("huge exponent", 256, &[1, 0, 0, 0, 1], false),
        ] {
            let integer = |bytes: &[u8]| match bytes.len() {
                length @ 0..=127 => [&[0x02, length as u8], bytes].concat(),
                _ => tlv(0x02, bytes).unwrap(),
            };
            let modulus = [vec![0], vec![0xff; modulus_bytes]].concat();
            let key = tlv(0x30, &[integer(&modulus), integer(exponent)].concat()).unwrap();
            assert_eq!(spki(KeyKind::Rsa, &key).is_ok(), accepted, "{name}");
            let trailing = [&key[..], &[0]].concat();
            assert!(spki(KeyKind::Rsa, &trailing).is_err(), "{name} with a trailing byte");
        }
    }
}
