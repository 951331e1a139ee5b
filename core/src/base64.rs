//! Base64 (RFC 4648), strict: one text has one encoding.
//!
//! Padding where it does not belong, missing padding where it does, characters of the other alphabet, white space and
//! non-zero trailing bits (§3.5) are refused, so that no two spellings of a token exist.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The text is not canonical base64 of the expected alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64")]
pub struct NotBase64;

/// Decodes base64url without padding (RFC 7515 §2).
pub fn decode_url(text: impl AsRef<[u8]>) -> Result<Vec<u8>, NotBase64> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64)
}

/// Decodes standard base64 with padding (`x5c`, RFC 7515 §4.1.6).
pub fn decode_standard(text: impl AsRef<[u8]>) -> Result<Vec<u8>, NotBase64> {
    STANDARD.decode(text).map_err(|_| NotBase64)
}

/// Encodes as base64url without padding.
#[must_use]
pub fn encode_url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Encodes as standard base64 with padding.
#[must_use]
pub fn encode_standard(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn one_text_has_one_encoding() {
        for (text, decoded) in [
            ("", Ok(vec![])),
            ("AQ", Ok(vec![1])),
            ("AR", Err(NotBase64)),   // non-zero trailing bits
            ("AQ==", Err(NotBase64)), // padding
            ("A", Err(NotBase64)),
            ("A+", Err(NotBase64)), // the other alphabet
            ("A Q", Err(NotBase64)),
            ("AQ\n", Err(NotBase64)),
        ] {
            assert_eq!(decode_url(text), decoded, "{text:?}");
        }
        for (text, decoded) in [
            ("AQ==", Ok(vec![1])),
            ("AQ", Err(NotBase64)),
            ("AR==", Err(NotBase64)),
            ("-_==", Err(NotBase64)),
            ("AQ==\n", Err(NotBase64)),
        ] {
            assert_eq!(decode_standard(text), decoded, "{text:?}");
        }
    }
}
