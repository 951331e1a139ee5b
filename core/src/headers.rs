//! The headers that matter: those reserved for the filter, and the one that carries the token.
//!
//! Values are bytes: what a client sends need not be text.

use std::fmt;

/// What the filter sets for the upstream; a client's own are always removed.
pub const RESERVED_PREFIX: &str = "x-scbte-";
/// The caller's SPIFFE ID, for the upstream.
pub const SUBJECT: &str = "x-scbte-subject";
/// The operation, for the upstream.
pub const CONTEXT: &str = "x-scbte-context";
/// The token's `jti`, for the upstream.
pub const TOKEN_ID: &str = "x-scbte-token-id";
/// What the decision log calls a refusal, for the caller.
pub const DECISION_ID: &str = "x-scbte-decision-id";

/// Whether a header name is reserved: `x-scbte-*`, in any case, `_` counting as `-` since CGI-like upstreams fold them.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let prefix = name.as_bytes().get(..RESERVED_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.iter().map(|byte| fold(*byte)).eq(RESERVED_PREFIX.bytes()))
}

fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// The header that carries the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenHeader {
    /// `authorization`, with the scheme `Bearer` (RFC 6750 §2.1).
    Authorization,
    /// Another header, which carries the bare token.
    Named(String),
}

/// There is no usable token: no header, several, or another scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected exactly one token header")]
pub struct NoToken;

impl TokenHeader {
    /// Its name in lower case.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &str {
        match self {
            Self::Authorization => "authorization",
            Self::Named(name) => name,
        }
    }

    /// The token among a request's headers (names in lower case): there must be exactly one such header.
    #[inline]
    pub fn find<'a, N: AsRef<str>, V: AsRef<[u8]>>(&self, headers: &'a [(N, V)]) -> Result<&'a [u8], NoToken> {
        let mut found = headers.iter().filter(|(name, _)| name.as_ref() == self.name());
        match (found.next(), found.next()) {
            (Some((_, value)), None) => self.token_of(value.as_ref()).ok_or(NoToken),
            _ => Err(NoToken),
        }
    }

    #[inline]
    fn token_of<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let token = match self {
            Self::Authorization => without_scheme(value)?,
            Self::Named(_) => value,
        };
        // Envoy joins several values of one header with commas, which no token contains.
        Some(token).filter(|token| !token.is_empty() && !token.contains(&b','))
    }
}

impl fmt::Display for TokenHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What follows `Bearer` and at least one space (RFC 9110 §11.1: the scheme's case does not matter).
fn without_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn reserved_names_are_found_in_every_spelling() {
        for name in
            ["x-scbte-subject", "x-scbte-", "X-SCBTE-Context", "x_scbte_subject", "x-scbte_anything", "X_ScBtE-a"]
        {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["", "x-scbte", "x-scbt", "scbte-subject", "x-scbtes-a", "xx-scbte-a", "authorization"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn there_is_exactly_one_token() {
        type Case = (&'static str, &'static [(&'static str, &'static [u8])], Result<&'static [u8], NoToken>);
        let cases: [Case; 14] = [
            ("one", &[("authorization", b"Bearer a.b.c"), ("host", b"x")], Ok(b"a.b.c")),
            ("other case", &[("authorization", b"bEaReR a")], Ok(b"a")),
            ("several spaces", &[("authorization", b"Bearer   a")], Ok(b"a")),
            ("odd bytes are for the parser", &[("authorization", b"Bearer \xff")], Ok(b"\xff")),
            ("none", &[("host", b"x")], Err(NoToken)),
            ("two", &[("authorization", b"Bearer a"), ("authorization", b"Bearer a")], Err(NoToken)),
            (
                "two, one of another scheme",
                &[("authorization", b"Bearer a"), ("authorization", b"Basic b")],
                Err(NoToken),
            ),
            ("two, joined by Envoy", &[("authorization", b"Bearer a,Bearer a")], Err(NoToken)),
            ("other scheme", &[("authorization", b"Basic a")], Err(NoToken)),
            ("no space", &[("authorization", b"Bearera")], Err(NoToken)),
            ("scheme only", &[("authorization", b"Bearer")], Err(NoToken)),
            ("scheme and spaces", &[("authorization", b"Bearer  ")], Err(NoToken)),
            ("empty", &[("authorization", b"")], Err(NoToken)),
            ("tab", &[("authorization", b"Bearer\ta")], Err(NoToken)),
        ];
        for (name, headers, expected) in cases {
            assert_eq!(TokenHeader::Authorization.find(headers), expected, "{name}");
        }
        let named = TokenHeader::Named("x-token".into());
        let headers: [(&str, &[u8]); 2] = [("authorization", b"Bearer a"), ("x-token", b"b")];
        assert_eq!(named.find(&headers), Ok(&b"b"[..]));
        let empty: [(&str, &[u8]); 1] = [("x-token", b"")];
        assert_eq!(named.find(&empty), Err(NoToken));
    }
}
