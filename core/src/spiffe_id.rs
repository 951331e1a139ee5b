//! SPIFFE IDs and trust domains (SPIFFE-ID §2), byte for byte.
//!
//! The `spiffe` crate knows the character rules but is lenient where a verifier must not be: it lower-cases and accepts
//! any length. Here a text is a SPIFFE ID only when it reads back as the very same text.

use std::fmt;

/// Longest SPIFFE ID in bytes (SPIFFE-ID §2.3).
pub const MAX_ID_LENGTH: usize = 2048;
/// Longest trust domain name in bytes (SPIFFE-ID §2.3).
pub const MAX_TRUST_DOMAIN_LENGTH: usize = 255;

/// Why a text is not a SPIFFE ID or a trust domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// Longer than the specification allows.
    #[error("{found} bytes long, at most {limit} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Breaks a syntax rule.
    #[error("`{text}` is no SPIFFE ID: {why}")]
    Syntax {
        /// The text.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// Valid after normalisation only.
    #[error("`{0}` is not in its normal form")]
    NotNormal(String),
    /// A trust domain where a workload was expected.
    #[error("`{0}` names a trust domain, not a workload: the path is empty")]
    NoPath(String),
}

/// The name of a trust domain, e.g. `cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Parses a bare name: lower-case letters, digits, `.`, `-` and `_`, at most 255 bytes.
    #[inline]
    pub fn parse(name: &str) -> Result<Self, SpiffeIdError> {
        within(name, MAX_TRUST_DOMAIN_LENGTH)?;
        let parsed = spiffe::TrustDomain::new(name).map_err(|why| syntax(name, &why))?;
        if parsed.as_ref() != name {
            return Err(SpiffeIdError::NotNormal(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The identity of a workload: `spiffe://` trust domain, non-empty path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: String,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses a workload's SPIFFE ID; the text must be in its normal form.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        within(text, MAX_ID_LENGTH)?;
        let parsed = spiffe::SpiffeId::new(text).map_err(|why| syntax(text, &why))?;
        let trust_domain = TrustDomain::parse(parsed.trust_domain().as_ref())?;
        if parsed.to_string() != text {
            return Err(SpiffeIdError::NotNormal(text.to_owned()));
        }
        if parsed.path().is_empty() {
            return Err(SpiffeIdError::NoPath(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), trust_domain })
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain it belongs to.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[inline]
fn within(text: &str, limit: usize) -> Result<(), SpiffeIdError> {
    if text.len() > limit {
        return Err(SpiffeIdError::TooLong { found: text.len(), limit });
    }
    Ok(())
}

fn syntax(text: &str, why: &impl ToString) -> SpiffeIdError {
    SpiffeIdError::Syntax { text: text.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_a_workloads_spiffe_id() {
        for good in [
            "spiffe://cluster.local/ns/production/sa/api-gateway",
            "spiffe://a/b",
            "spiffe://td-1_x.example/A-z_0.9",
            "spiffe://1.2.3.4/service",
            "spiffe://td/...",
            "spiffe://td/.a",
        ] {
            assert_eq!(SpiffeId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe:///path",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td//a",
            "spiffe://td/a/",
            "spiffe://td/./a",
            "spiffe://td/../a",
            "spiffe://td/a/..",
            "spiffe://td/a?x=1",
            "spiffe://td/a#x",
            "spiffe://td/a%20b",
            "spiffe://td/a b",
            "spiffe://td/é",
            "spiffe://td/a\0",
            "spiffe://td:8080/a",
            "spiffe://user@td/a",
            "spiffe://TD/a",
            "SPIFFE://td/a",
            "Spiffe://td/a",
            "http://td/a",
            "spiffe:/td/a",
            "//td/a",
            " spiffe://td/a",
            "spiffe://td/a\n",
            "spiffe://t%64/a",
            "spiffe://[::1]/a",
        ] {
            assert!(SpiffeId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_byte_that_is_not_allowed_is_refused() {
        for byte in 0..=127_u8 {
            let character = char::from(byte);
            let in_path = character.is_ascii_alphanumeric() || "-_./".contains(character);
            let id = format!("spiffe://td/a{character}b");
            assert_eq!(SpiffeId::parse(&id).is_ok(), in_path, "path with {character:?}");
            let in_name = character.is_ascii_lowercase() || character.is_ascii_digit() || "-_.".contains(character);
            let name = format!("a{character}b");
            assert_eq!(TrustDomain::parse(&name).is_ok(), in_name, "trust domain with {character:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn lengths_end_at_the_limit() {
        let id = |length: usize| format!("spiffe://td/{}", "a".repeat(length - "spiffe://td/".len()));
        assert!(SpiffeId::parse(&id(2048)).is_ok());
        assert!(matches!(SpiffeId::parse(&id(2049)), Err(SpiffeIdError::TooLong { found: 2049, limit: 2048 })));
        let name = |length: usize| format!("spiffe://{}/a", "t".repeat(length));
        assert!(SpiffeId::parse(&name(255)).is_ok());
        assert!(SpiffeId::parse(&name(256)).is_err());
    }
}
