//! `.signatures.json`: who made a bundle (OPA's documentation, "Bundle signing").
//!
//! One JWS (RFC 7515) over the list of all files with their hashes. As strict as OPA, and a little more: one signature,
//! of the key's own algorithm, with SHA-256 hashes; every file in the list and nothing else; no plugin. A signature has
//! no end: OPA knows no `exp` in it either, so an old bundle is withdrawn by changing the key.

use super::archive::Archive;
use super::canonical;
use super::key::VerificationKey;
use super::{FileKind, MAX_DEPTH};
use scbte_core::{base64, json};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The file.
const NAME: &str = ".signatures.json";

/// Why a bundle's signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// There is none.
    #[error("the bundle is not signed: it has no `{NAME}`")]
    Unsigned,
    /// The file does not have the right form.
    #[error("`{NAME}`: {0}")]
    Form(&'static str),
    /// The key's algorithm is another.
    #[error("the bundle is signed with {found}, the key is for {expected}")]
    Algorithm {
        /// What the signature says.
        found: String,
        /// What the key is for.
        expected: &'static str,
    },
    /// Another key is named.
    #[error("the bundle is signed with the key {found}, expected {expected}")]
    KeyId {
        /// The key that is named.
        found: String,
        /// The key that is configured.
        expected: String,
    },
    /// The signature is for something else.
    #[error("the bundle is signed for the scope {found}, expected {expected}")]
    Scope {
        /// What it is for.
        found: String,
        /// What it should be for.
        expected: String,
    },
    /// Not by this key, or altered.
    #[error("the bundle's signature is not by this key")]
    BadSignature,
    /// A file that was not signed.
    #[error("`{0}` is not signed")]
    NotListed(String),
    /// A signed file that is not there.
    #[error("`{0}` is signed, but not in the bundle")]
    Missing(String),
    /// Another way of hashing.
    #[error("`{0}` is hashed with {1}, expected SHA-256")]
    HashAlgorithm(String, String),
    /// A file that is not as it was signed.
    #[error("`{0}` is not as it was signed")]
    Altered(String),
}

/// Checks the signature and every file.
pub(super) fn verify(archive: &Archive, key: &VerificationKey) -> Result<(), SignatureError> {
    let (_, file) = archive.files().find(|(path, _)| *path == NAME).ok_or(SignatureError::Unsigned)?;
    let payload = verify_token(&token(file)?, key)?;
    let mut signed = signed_files(&payload)?;
    for (path, content) in archive.files().filter(|(path, _)| *path != NAME) {
        let expected = signed.remove(path).ok_or_else(|| SignatureError::NotListed(path.to_owned()))?;
        if hash(path, content)? != expected {
            return Err(SignatureError::Altered(path.to_owned()));
        }
    }
    match signed.into_keys().next() {
        Some(path) => Err(SignatureError::Missing(path)),
        None => Ok(()),
    }
}

const FORM: SignatureError =
    SignatureError::Form("expected {\"signatures\": [one JWS]}, with a header and a list of files in it");

fn object(bytes: &[u8]) -> Result<Map<String, Value>, SignatureError> {
    match json::parse_within(bytes, MAX_DEPTH) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(FORM),
    }
}

fn token(file: &[u8]) -> Result<String, SignatureError> {
    let members = object(file)?;
    // What OPA calls its own way of signing.
    if members.get("plugin").is_some_and(|plugin| plugin != "" && plugin != "_default") {
        return Err(SignatureError::Form("signatures by a plugin are not supported"));
    }
    match members.get("signatures").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::String(token)]) => Ok(token.clone()),
        _ => Err(FORM),
    }
}

/// The payload of a JWS that the key signed.
fn verify_token(token: &str, key: &VerificationKey) -> Result<Map<String, Value>, SignatureError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
    let (header, payload) = signed.split_once('.').ok_or(FORM)?;
    let decode = |part: &str| base64::decode_url(part).map_err(|_| FORM);
    let header = object(&decode(header)?)?;
    let text = |members: &Map<String, Value>, name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let found = text(&header, "alg").unwrap_or_default();
    if found != key.algorithm() {
        return Err(SignatureError::Algorithm { found, expected: key.algorithm() });
    }
    if header.contains_key("crit") {
        return Err(SignatureError::Form("`crit` is not supported"));
    }
    let payload = decode(payload)?;
    key.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| SignatureError::BadSignature)?;
    let payload = object(&payload)?;
    let id = text(&header, "kid").or_else(|| text(&payload, "keyid"));
    check_id(id, key)?;
    check_scope(text(&payload, "scope").filter(|scope| !scope.is_empty()), key)?;
    Ok(payload)
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "none".to_owned(), |name| format!("`{}`", name.escape_default()))
}

/// The name of a key is a hint: the signature has been verified. But one that names another key is a mistake.
fn check_id(found: Option<String>, key: &VerificationKey) -> Result<(), SignatureError> {
    match &key.id {
        Some(expected) if found.is_some() && found.as_ref() != Some(expected) => {
            Err(SignatureError::KeyId { found: named(found.as_deref()), expected: named(Some(expected)) })
        }
        _ => Ok(()),
    }
}

fn check_scope(found: Option<String>, key: &VerificationKey) -> Result<(), SignatureError> {
    if found == key.scope {
        return Ok(());
    }
    Err(SignatureError::Scope { found: named(found.as_deref()), expected: named(key.scope.as_deref()) })
}

/// The files with their hashes.
fn signed_files(payload: &Map<String, Value>) -> Result<BTreeMap<String, Vec<u8>>, SignatureError> {
    let files = payload.get("files").and_then(Value::as_array).ok_or(FORM)?;
    let mut signed = BTreeMap::new();
    for file in files {
        let text = |member: &str| file.get(member).and_then(Value::as_str).ok_or(FORM);
        let (name, algorithm) = (text("name")?.to_owned(), text("algorithm")?);
        if algorithm != "SHA-256" {
            return Err(SignatureError::HashAlgorithm(name, algorithm.escape_default().to_string()));
        }
        let hash = from_hex(text("hash")?).ok_or(FORM)?;
        if signed.insert(name, hash).is_some() {
            return Err(SignatureError::Form("a file is listed twice"));
        }
    }
    Ok(signed)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn hash(path: &str, content: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let mut hasher = Sha256::new();
    match FileKind::of(path) {
        FileKind::Json | FileKind::Manifest => {
            canonical::feed(&mut hasher, content).map_err(|_| SignatureError::Altered(path.to_owned()))?;
        }
        FileKind::Yaml => {
            return Err(SignatureError::Form("data in YAML cannot be verified: write it as JSON"));
        }
        FileKind::Policy | FileKind::Test | FileKind::Other => hasher.update(content),
    }
    Ok(hasher.finalize().to_vec())
}
