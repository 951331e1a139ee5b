//! Envoy's foreign function `verify_signature`, as Envoy 1.40 answered it; to be registered where a test wants it.
//!
//! It knows P-256, P-384 and RSA PKCS#1 with SHA-256, SHA-384 and SHA-512. Envoy also takes P-521, SHA-1, SHA-224 and
//! keys in PEM, which are refused here.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::pkcs8::DecodePublicKey;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::{Pkcs1v15Sign, RsaPublicKey};

use super::Status;

/// `VerifySignatureResult { result: true }`.
const VERIFIED: [u8; 2] = [0x08, 0x01];

/// Verifies a signature: `VerifySignatureArguments` in, `VerifySignatureResult` out (both protobuf).
///
/// # Errors
/// [`Status::BadArgument`] when the argument is not such a message, or holds no key. Whatever else is wrong comes back
/// in the result, which then is anything but `08 01`.
pub fn verify_signature(argument: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::parse(argument).ok_or(Status::BadArgument)?;
    if arguments.public_key.is_empty() {
        return Err(Status::BadArgument);
    }
    Ok(match arguments.verify() {
        Ok(()) => VERIFIED.to_vec(),
        Err(message) => [&[0x12, u8::try_from(message.len()).unwrap_or(0)], message.as_bytes()].concat(),
    })
}

/// The message's fields; the last one counts, others are skipped.
#[derive(Default)]
struct Arguments<'a> {
    hash: &'a [u8],
    public_key: &'a [u8],
    signature: &'a [u8],
    text: &'a [u8],
}

impl<'a> Arguments<'a> {
    fn parse(mut message: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        while !message.is_empty() {
            let tag = varint(&mut message)?;
            match (tag >> 3, tag & 7) {
                (_, 0) => _ = varint(&mut message)?,
                (field, 2) => found.set(field, bytes(&mut message)?),
                _ => return None,
            }
        }
        Some(found)
    }

    fn set(&mut self, field: u64, value: &'a [u8]) {
        match field {
            1 => self.hash = value,
            2 => self.public_key = value,
            3 => self.signature = value,
            4 => self.text = value,
            _ => {}
        }
    }

    fn verify(&self) -> Result<(), String> {
        let hash = Hash::named(self.hash)?;
        let key = Key::from_spki(self.public_key).ok_or("Failed to initialize digest verify.")?;
        if key.verifies(hash, self.text, self.signature) {
            Ok(())
        } else {
            Err("Failed to verify digest. Error code: 0".to_owned())
        }
    }
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn bytes<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(message)?).ok()?;
    let (value, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(value)
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn named(name: &[u8]) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_slice() {
            b"sha256" => Ok(Self::Sha256),
            b"sha384" => Ok(Self::Sha384),
            b"sha512" => Ok(Self::Sha512),
            _ => Err(format!("{} is not supported.", String::from_utf8_lossy(name))),
        }
    }

    fn of(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha384 => Sha384::digest(text).to_vec(),
            Self::Sha512 => Sha512::digest(text).to_vec(),
        }
    }

    fn pkcs1(self) -> Pkcs1v15Sign {
        match self {
            Self::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
            Self::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
            Self::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
        }
    }
}

enum Key {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(RsaPublicKey),
}

impl Key {
    /// What follows the SPKI is overlooked, as BoringSSL does.
    fn from_spki(der: &[u8]) -> Option<Self> {
        use rsa::pkcs8::DecodePublicKey as _;
        let spki = first_der(der)?;
        p256::PublicKey::from_public_key_der(spki)
            .map(|key| Self::P256(key.into()))
            .or_else(|_| p384::PublicKey::from_public_key_der(spki).map(|key| Self::P384(key.into())))
            .ok()
            .or_else(|| RsaPublicKey::from_public_key_der(spki).ok().map(Self::Rsa))
    }

    fn verifies(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        let digest = hash.of(text);
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            Self::Rsa(key) => key.verify(hash.pkcs1(), &digest, signature).is_ok(),
        }
    }
}

/// The first DER value; keys are shorter than 64 KiB.
fn first_der(der: &[u8]) -> Option<&[u8]> {
    let length = match der.get(1..)? {
        [short @ ..=0x7f, ..] => 2 + usize::from(*short),
        [0x81, length, ..] => 3 + usize::from(*length),
        [0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => return None,
    };
    der.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{DerSignature, SigningKey};
    use p256::pkcs8::EncodePublicKey;

    fn message(fields: [(u8, &[u8]); 4]) -> Vec<u8> {
        let field =
            |(number, value): (u8, &[u8])| [&[number << 3 | 2, u8::try_from(value.len()).unwrap()], value].concat();
        fields.into_iter().flat_map(field).collect()
    }

    #[test]
    fn answers_are_those_of_envoy() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap().into_vec();
        let signature: DerSignature = key.sign(b"text");
        let der = signature.as_bytes();
        let raw = p256::ecdsa::Signature::from_der(der).unwrap().to_bytes();
        let failed = |message: &str| Ok([&[0x12, u8::try_from(message.len()).unwrap()], message.as_bytes()].concat());
        let forged = || failed("Failed to verify digest. Error code: 0");
        let no_key = || failed("Failed to initialize digest verify.");
        let good = message([(1, b"sha256"), (2, &spki), (3, der), (4, b"text")]);
        let cases = [
            ("good", good.clone(), Ok(VERIFIED.to_vec())),
            ("upper case", message([(1, b"SHA256"), (2, &spki), (3, der), (4, b"text")]), Ok(VERIFIED.to_vec())),
            (
                "key with a tail",
                message([(1, b"sha256"), (2, &[&spki[..], b"\0\0"].concat()), (3, der), (4, b"text")]),
                Ok(VERIFIED.to_vec()),
            ),
            ("unknown field", [&good[..], &[0x78, 1]].concat(), Ok(VERIFIED.to_vec())),
            (
                "hash name",
                message([(1, b"SHA-256"), (2, &spki), (3, der), (4, b"text")]),
                failed("SHA-256 is not supported."),
            ),
            ("other text", message([(1, b"sha256"), (2, &spki), (3, der), (4, b"texT")]), forged()),
            ("other hash", message([(1, b"sha384"), (2, &spki), (3, der), (4, b"text")]), forged()),
            ("raw signature", message([(1, b"sha256"), (2, &spki), (3, &raw), (4, b"text")]), forged()),
            ("junk key", message([(1, b"sha256"), (2, b"junk"), (3, der), (4, b"text")]), no_key()),
            ("no key", message([(1, b"sha256"), (2, b""), (3, der), (4, b"text")]), Err(Status::BadArgument)),
            ("truncated", good[..good.len() - 1].to_vec(), Err(Status::BadArgument)),
            ("empty", vec![], Err(Status::BadArgument)),
        ];
        for (name, argument, expected) in cases {
            assert_eq!(verify_signature(&argument), expected, "{name}");
        }
    }
}
