//! Compact JWS (RFC 7515 §3.1), ES256 only: what tokens and envelopes have in common.

use crate::base64::{self, NotBase64};
use crate::json::{self, JsonError};
use serde_json::{Map, Value};

/// Why a text is not a JWS that is accepted here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Not three parts.
    #[error("expected three parts separated by dots, found {found}")]
    Parts {
        /// How many parts there are.
        found: usize,
    },
    /// A part is not canonical base64url.
    #[error("the {part} is {source}")]
    Encoding {
        /// Which part.
        part: &'static str,
        /// What is wrong.
        source: NotBase64,
    },
    /// The header is not a strict JSON object.
    #[error("the header is {0}")]
    Header(#[source] JsonError),
    /// `alg` is not ES256.
    #[error("`alg` must be `ES256`")]
    Algorithm,
    /// `typ` is not an accepted one.
    #[error("`typ` must be {expected}, found {found}")]
    Type {
        /// The accepted values.
        expected: String,
        /// What the header has.
        found: String,
    },
    /// `crit` names extensions; none is understood (RFC 7515 §4.1.11).
    #[error("`crit` is not accepted")]
    Critical,
}

/// The three parts of a compact JWS as they were sent: nothing is decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The header, base64url.
    pub header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// What was signed: `header.payload`.
    pub signing_input: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a compact JWS.
    #[inline]
    pub fn split(text: &'a str) -> Result<Self, JwsError> {
        let wrong = || JwsError::Parts { found: text.split('.').count() };
        let (signing_input, signature) = text.rsplit_once('.').ok_or_else(wrong)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(wrong)?;
        if payload.contains('.') {
            return Err(wrong());
        }
        Ok(Self { header, payload, signature, signing_input })
    }

    /// The header's members; it must be ES256, with one of `types` as `typ` and without `crit`.
    #[inline]
    pub fn header(&self, types: &[impl AsRef<str>]) -> Result<Map<String, Value>, JwsError> {
        let header = json::parse_object(&decode("header", self.header)?).map_err(JwsError::Header)?;
        check_header(&header, types)?;
        Ok(header)
    }

    /// The payload.
    pub fn payload(&self) -> Result<Vec<u8>, JwsError> {
        decode("payload", self.payload)
    }

    /// The signature: for ES256 64 bytes, which verification checks.
    pub fn signature(&self) -> Result<Vec<u8>, JwsError> {
        decode("signature", self.signature)
    }
}

/// A JWS taken apart; its signature is not yet verified.
#[derive(Debug)]
pub struct Jws<'a> {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// What was signed: `header.payload`.
    pub signing_input: &'a str,
    /// The signature: for ES256 64 bytes, which verification checks.
    pub signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a compact JWS apart and checks its header: ES256, one of `types` as `typ`, no `crit`.
    #[inline]
    pub fn parse(text: &'a str, types: &[impl AsRef<str>]) -> Result<Self, JwsError> {
        let parts = Parts::split(text)?;
        let header = parts.header(types)?;
        let (payload, signature) = (parts.payload()?, parts.signature()?);
        Ok(Self { header, payload, signing_input: parts.signing_input, signature })
    }

    /// A header member that is a string.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&str> {
        text(&self.header, member)
    }
}

#[inline]
fn check_header(header: &Map<String, Value>, types: &[impl AsRef<str>]) -> Result<(), JwsError> {
    if text(header, "alg") != Some("ES256") {
        return Err(JwsError::Algorithm);
    }
    if header.contains_key("crit") {
        return Err(JwsError::Critical);
    }
    let found = text(header, "typ");
    if !types.iter().any(|accepted| found == Some(accepted.as_ref())) {
        return Err(wrong_type(types, found));
    }
    Ok(())
}

fn text<'a>(header: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    header.get(member)?.as_str()
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, JwsError> {
    base64::decode_url(text).map_err(|source| JwsError::Encoding { part, source })
}

#[inline]
fn wrong_type(types: &[impl AsRef<str>], found: Option<&str>) -> JwsError {
    let expected = types.iter().map(|accepted| format!("`{}`", accepted.as_ref())).collect::<Vec<_>>().join(" or ");
    let found = found.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
    JwsError::Type { expected, found }
}

/// Signs: for the companion and for tests.
#[cfg(feature = "sign")]
pub mod sign {
    use crate::base64;
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{Signature, SigningKey};
    use serde_json::{Map, Value};

    /// A compact JWS of `header` (to which `alg` is added) and `payload`, signed with ES256 (deterministic, RFC 6979).
    #[must_use]
    #[inline]
    pub fn es256(mut header: Map<String, Value>, payload: &[u8], key: &SigningKey) -> String {
        header.insert("alg".into(), "ES256".into());
        let header = base64::encode_url(Value::Object(header).to_string());
        let signing_input = format!("{header}.{}", base64::encode_url(payload));
        let signature: Signature = key.sign(signing_input.as_bytes());
        format!("{signing_input}.{}", base64::encode_url(signature.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn jws(header: &str) -> String {
        format!("{}.{}.{}", base64::encode_url(header), base64::encode_url("{}"), base64::encode_url([0; 64]))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_header_is_checked() {
        for (name, header, refused) in [
            ("good", r#"{"alg":"ES256","typ":"t"}"#, None),
            ("unknown members are ignored", r#"{"alg":"ES256","typ":"t","jku":"http://evil"}"#, None),
            ("none", r#"{"alg":"none","typ":"t"}"#, Some("`alg` must be `ES256`")),
            ("other case", r#"{"alg":"es256","typ":"t"}"#, Some("`alg` must be `ES256`")),
            ("symmetric", r#"{"alg":"HS256","typ":"t"}"#, Some("`alg` must be `ES256`")),
            ("no algorithm", r#"{"typ":"t"}"#, Some("`alg` must be `ES256`")),
            ("algorithm of another type", r#"{"alg":["ES256"],"typ":"t"}"#, Some("`alg` must be `ES256`")),
            ("no type", r#"{"alg":"ES256"}"#, Some("`typ` must be `t`, found none")),
            ("other type", r#"{"alg":"ES256","typ":"JWT"}"#, Some("found `JWT`")),
            ("crit", r#"{"alg":"ES256","typ":"t","crit":[]}"#, Some("`crit` is not accepted")),
            ("duplicate", r#"{"alg":"none","alg":"ES256","typ":"t"}"#, Some("member `alg` appears twice")),
            ("array", "[]", Some("expected an object, found an array")),
        ] {
            match (Jws::parse(&jws(header), &["t"]), refused) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn there_are_exactly_three_parts() {
        for text in ["", ".", "a.b", "a.b.c.d", "....", "a.b.c.d.e"] {
            assert!(matches!(Jws::parse(text, &["t"]), Err(JwsError::Parts { .. })), "{text:?}");
        }
        let good = jws(r#"{"alg":"ES256","typ":"t"}"#);
        assert_eq!(Jws::parse(&good, &["t"]).unwrap().signing_input, good.rsplit_once('.').unwrap().0);
    }
}
