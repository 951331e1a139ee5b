//! The SCBTE token: a compact JWS (RFC 7515) signed with the SVID's own key, its chain in `x5c`.
//!
//! [`Token::parse`] checks everything about a token that needs neither keys nor a clock; what it yields is still
//! unverified. Times, audience and binding are checked on each request, so they are methods of [`Claims`].

use crate::audience::{Audience, AudienceError, Audiences};
use crate::context::{Context, NotAContext};
use crate::json::{self, JsonError};
use crate::jws::{JwsError, Parts};
use crate::reason::Reason;
use crate::spiffe_id::{SpiffeId, SpiffeIdError};
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The `typ` of an SCBTE token (RFC 8725 §3.11).
pub const TYPE: &str = "scbte+jwt";
/// Longest `jti` in bytes.
pub const MAX_JTI_LENGTH: usize = 128;
/// Greatest number of seconds that every JSON parser reads alike.
const MAX_INTEGER: u64 = 1 << 53;

/// What a service demands of tokens.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Accepted values of `typ`.
    pub accept_typ: Vec<String>,
    /// Longest token in bytes.
    pub max_size: usize,
    /// Longest `exp` − `iat`.
    pub max_lifetime: Duration,
    /// How far clocks may be apart.
    pub clock_skew: Duration,
    /// Whether `htm` and `htp` must be there.
    pub require_binding: bool,
}

impl Default for TokenRules {
    #[inline]
    fn default() -> Self {
        Self {
            accept_typ: vec![TYPE.to_owned()],
            max_size: 8 * 1024,
            max_lifetime: Duration::from_secs(300),
            clock_skew: Duration::from_secs(30),
            require_binding: false,
        }
    }
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than allowed.
    #[error("the token has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a JWS that is accepted.
    #[error("{0}")]
    Jws(#[from] JwsError),
    /// `x5c` is not an array of 1 to 4 strings.
    #[error("`x5c` must be an array of base64 certificates")]
    X5c,
    /// The claims are not a strict JSON object.
    #[error("the claims are {0}")]
    Json(#[from] JsonError),
    /// A claim is missing or of another type.
    #[error("`{claim}` must be {expected}")]
    Claim {
        /// Which one.
        claim: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// `sub` is no workload's SPIFFE ID.
    #[error("`sub`: {0}")]
    Subject(#[from] SpiffeIdError),
    /// `aud` is not an audience or several.
    #[error("{0}")]
    Audience(#[from] AudienceError),
    /// `ctx` is no context.
    #[error("{0}")]
    Context(#[from] NotAContext),
    /// `exp` − `iat` is too long.
    #[error("the token lives {found} s, at most {limit} s are allowed")]
    LifetimeTooLong {
        /// Seconds found.
        found: u64,
        /// Seconds allowed.
        limit: u64,
    },
    /// `exp` has passed, skew included.
    #[error("the token expired at {exp}, now it is {now}")]
    Expired {
        /// `exp`, seconds.
        exp: u64,
        /// The clock, seconds.
        now: u64,
    },
    /// `iat` or `nbf` lies ahead, skew included.
    #[error("`{claim}` is {at}, now it is {now}")]
    NotYetValid {
        /// `iat` or `nbf`.
        claim: &'static str,
        /// Its value, seconds.
        at: u64,
        /// The clock, seconds.
        now: u64,
    },
    /// None of the token's audiences is this service's.
    #[error("the token is for {found}, this service is {expected}")]
    AudienceMismatch {
        /// The token's.
        found: String,
        /// This service's.
        expected: String,
    },
    /// `htm` or `htp` is missing or differs from the request.
    #[error("the token is bound to {claim} {found}, the request has `{expected}`")]
    Binding {
        /// `htm` or `htp`.
        claim: &'static str,
        /// The token's, or that there is none.
        found: String,
        /// The request's.
        expected: String,
    },
}

impl TokenError {
    /// The reason code for it.
    #[must_use]
    #[inline]
    pub fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::TokenTooLarge,
            Self::Jws(JwsError::Algorithm) => Reason::UnsupportedAlgorithm,
            Self::Jws(JwsError::Type { .. }) => Reason::UnsupportedType,
            Self::LifetimeTooLong { .. } => Reason::LifetimeTooLong,
            Self::Expired { .. } => Reason::Expired,
            Self::NotYetValid { .. } => Reason::NotYetValid,
            Self::AudienceMismatch { .. } => Reason::AudienceMismatch,
            Self::Binding { .. } => Reason::BindingMismatch,
            _ => Reason::Malformed,
        }
    }
}

/// A token taken apart, its claims of the right form; nothing in it is verified.
#[derive(Debug)]
pub struct Token<'a> {
    /// The chain, leaf first: standard base64 of DER, not yet decoded.
    pub x5c: Vec<String>,
    /// The claims.
    pub claims: Claims,
    /// What was signed.
    pub signing_input: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Parses a token.
    #[inline]
    pub fn parse(text: &'a str, rules: &TokenRules) -> Result<Self, TokenError> {
        check_size(text, rules)?;
        let parts = Parts::split(text)?;
        let x5c = x5c(&parts, rules)?;
        let claims = claims(&parts, rules)?;
        Ok(Self { x5c, claims, signing_input: parts.signing_input, signature: parts.signature()? })
    }
}

/// A token is not too large.
#[inline]
pub(crate) fn check_size(text: &str, rules: &TokenRules) -> Result<(), TokenError> {
    match text.len() {
        found if found > rules.max_size => Err(TokenError::TooLarge { found, limit: rules.max_size }),
        _ => Ok(()),
    }
}

/// The chain of a header that is accepted: standard base64, leaf first.
#[inline]
pub(crate) fn x5c(parts: &Parts<'_>, rules: &TokenRules) -> Result<Vec<String>, TokenError> {
    let mut header = parts.header(&rules.accept_typ)?;
    let Some(Value::Array(elements)) = header.remove("x5c") else { return Err(TokenError::X5c) };
    let text = |element| match element {
        Value::String(text) => Ok(text),
        _ => Err(TokenError::X5c),
    };
    elements.into_iter().map(text).collect()
}

/// The claims, each of the right form.
#[inline]
pub(crate) fn claims(parts: &Parts<'_>, rules: &TokenRules) -> Result<Claims, TokenError> {
    let claims = Claims::parse(parts.payload()?)?;
    claims.check_lifetime(rules.max_lifetime)?;
    Ok(claims)
}

/// The claims of a token, each of the right form.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The caller's SPIFFE ID.
    pub sub: SpiffeId,
    /// Whom the token is for.
    pub aud: Audiences,
    /// The operation it is bound to.
    pub ctx: Context,
    /// Minted at, seconds since the epoch.
    pub iat: u64,
    /// Expires at, seconds since the epoch.
    pub exp: u64,
    /// Not valid before, seconds since the epoch.
    pub nbf: Option<u64>,
    /// The token's ID.
    pub jti: String,
    /// The method it is bound to.
    pub htm: Option<String>,
    /// The path it is bound to.
    pub htp: Option<String>,
    /// All members, for the policy: the JSON object as it was signed. A tree of values would take several times the
    /// memory for as long as the token is remembered, and few policies look into it.
    pub text: Box<str>,
}

impl Claims {
    #[inline]
    fn parse(payload: Vec<u8>) -> Result<Self, TokenError> {
        let all = json::parse_object(&payload)?;
        let claims = Self {
            sub: SpiffeId::parse(text(&all, "sub")?)?,
            aud: Audiences::from_claim(all.get("aud").unwrap_or(&Value::Null))?,
            ctx: Context::parse(text(&all, "ctx")?)?,
            iat: required(seconds(&all, "iat")?, "iat")?,
            exp: required(seconds(&all, "exp")?, "exp")?,
            nbf: seconds(&all, "nbf")?,
            jti: jti(&all)?,
            htm: optional_text(&all, "htm")?,
            htp: optional_text(&all, "htp")?,
            text: String::from_utf8(payload).map_err(JsonError::from)?.into_boxed_str(),
        };
        if claims.exp <= claims.iat {
            return Err(TokenError::Claim { claim: "exp", expected: "later than `iat`" });
        }
        Ok(claims)
    }

    /// `exp` − `iat` is at most `limit`.
    #[inline]
    fn check_lifetime(&self, limit: Duration) -> Result<(), TokenError> {
        let found = self.exp.saturating_sub(self.iat);
        if found > limit.as_secs() {
            return Err(TokenError::LifetimeTooLong { found, limit: limit.as_secs() });
        }
        Ok(())
    }

    /// `exp` has not passed, `iat` and `nbf` have; each within the skew.
    #[inline]
    pub fn check_time(&self, skew: Duration, now: Timestamp) -> Result<(), TokenError> {
        if Timestamp::from_secs(self.exp) <= now.minus(skew) {
            return Err(TokenError::Expired { exp: self.exp, now: now.secs() });
        }
        for (claim, at) in [("iat", Some(self.iat)), ("nbf", self.nbf)] {
            if let Some(at) = at.filter(|at| Timestamp::from_secs(*at) > now.plus(skew)) {
                return Err(TokenError::NotYetValid { claim, at, now: now.secs() });
            }
        }
        Ok(())
    }

    /// One of the token's audiences is one of `ours`, byte for byte; which one.
    #[inline]
    pub fn check_audience<'a>(&self, ours: &'a [Audience]) -> Result<&'a Audience, TokenError> {
        let list = |names: &mut dyn Iterator<Item = &Audience>| {
            names.map(|name| format!("`{}`", name.as_str())).collect::<Vec<_>>().join(", ")
        };
        self.aud.matching(ours).ok_or_else(|| TokenError::AudienceMismatch {
            found: list(&mut self.aud.iter()),
            expected: list(&mut ours.iter()),
        })
    }

    /// `htm` equals the method (case-sensitive) and `htp` the path, byte for byte, where they are there or required.
    #[inline]
    pub fn check_binding(&self, method: &str, path: &str, required: bool) -> Result<(), TokenError> {
        for (claim, bound, actual) in [("htm", &self.htm, method), ("htp", &self.htp, path)] {
            let matches = bound.as_ref().map_or(!required, |bound| bound == actual);
            if !matches {
                let found = bound.as_ref().map_or_else(|| "nothing".to_owned(), |bound| format!("`{bound}`"));
                return Err(TokenError::Binding { claim, found, expected: actual.to_owned() });
            }
        }
        Ok(())
    }
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<&'a str, TokenError> {
    claims.get(claim).and_then(Value::as_str).ok_or(TokenError::Claim { claim, expected: "a string" })
}

#[inline]
fn optional_text(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<String>, TokenError> {
    match claims.contains_key(claim) {
        true => text(claims, claim).map(|found| Some(found.to_owned())),
        false => Ok(None),
    }
}

#[inline]
fn seconds(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<u64>, TokenError> {
    let wrong = TokenError::Claim { claim, expected: "an integer of seconds in 0…2^53" };
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => value.as_u64().filter(|number| *number <= MAX_INTEGER).map(Some).ok_or(wrong),
    }
}

fn required(value: Option<u64>, claim: &'static str) -> Result<u64, TokenError> {
    value.ok_or(TokenError::Claim { claim, expected: "there" })
}

/// `jti` becomes a header of the request, so its characters are few.
#[inline]
fn jti(claims: &Map<String, Value>) -> Result<String, TokenError> {
    let found = text(claims, "jti")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:/-".contains(&byte);
    if !(1..=MAX_JTI_LENGTH).contains(&found.len()) || !found.bytes().all(allowed) {
        return Err(TokenError::Claim { claim: "jti", expected: "1 to 128 bytes of `A-Z a-z 0-9 . _ ~ : / -`" });
    }
    Ok(found.to_owned())
}

/// Makes tokens: for the companion and for tests.
#[cfg(feature = "sign")]
pub mod sign {
    use super::TYPE;
    use crate::{base64, jws};
    use p256::ecdsa::SigningKey;
    use serde_json::{Map, Value};

    /// A token of these claims, signed with the leaf's key; `chain` is DER, leaf first.
    #[must_use]
    #[inline]
    pub fn token<C: AsRef<[u8]>>(claims: &Map<String, Value>, chain: &[C], kid: &str, key: &SigningKey) -> String {
        let x5c: Vec<Value> = chain.iter().map(|der| base64::encode_standard(der).into()).collect();
        let mut header = Map::new();
        header.insert("typ".into(), TYPE.into());
        header.insert("kid".into(), kid.into());
        header.insert("x5c".into(), x5c.into());
        let payload = Value::Object(claims.clone()).to_string();
        jws::sign::es256(header, payload.as_bytes(), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn good() -> Value {
        json!({"sub": "spiffe://td/a", "aud": "api", "ctx": "read:users", "iat": 1000, "exp": 1300, "jti": "id-1"})
    }

    fn token_of(claims: &str) -> String {
        let header = r#"{"alg":"ES256","typ":"scbte+jwt","x5c":["AQ=="]}"#;
        [base64::encode_url(header), base64::encode_url(claims), base64::encode_url([1; 64])].join(".")
    }

    fn refused(claims: &str) -> Option<Reason> {
        Token::parse(&token_of(claims), &TokenRules::default()).err().map(|error| error.reason())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_claim_has_its_rule() {
        assert_eq!(refused(&good().to_string()), None);
        let malformed = Some(Reason::Malformed);
        for (claim, value, expected) in [
            ("sub", json!("spiffe://td"), malformed),
            ("sub", json!("SPIFFE://td/a"), malformed),
            ("sub", json!(7), malformed),
            ("aud", json!([]), malformed),
            ("aud", json!(["api", "b"]), None),
            ("ctx", json!("read users"), malformed),
            ("ctx", json!(["read:users"]), malformed),
            ("iat", json!("1000"), malformed),
            ("iat", json!(1000.0), malformed),
            ("iat", json!(-1), malformed),
            ("iat", json!(1000.5), malformed),
            ("exp", json!(1000), malformed),
            ("exp", json!(999), malformed),
            ("exp", json!(1301), Some(Reason::LifetimeTooLong)),
            ("exp", json!((1_u64 << 53) + 1), malformed),
            ("exp", json!(u64::MAX), malformed),
            ("nbf", json!(1100), None),
            ("nbf", json!("1100"), malformed),
            ("nbf", Value::Null, malformed),
            ("jti", json!(""), malformed),
            ("jti", json!("a b"), malformed),
            ("jti", json!("a\r\nx: y"), malformed),
            ("jti", json!("a".repeat(128)), None),
            ("jti", json!("a".repeat(129)), malformed),
            ("htm", json!("GET"), None),
            ("htm", json!(["GET"]), malformed),
            ("htp", json!("/a"), None),
            ("htp", Value::Null, malformed),
            ("other", json!({"nested": [1, 2]}), None),
        ] {
            let mut claims = good();
            claims[claim] = value.clone();
            assert_eq!(refused(&claims.to_string()), expected, "{claim} = {value}");
        }
        for claim in ["sub", "aud", "ctx", "iat", "exp", "jti"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(claim);
            assert_eq!(refused(&claims.to_string()), malformed, "without {claim}");
        }
        let duplicate = good().to_string().replacen('{', r#"{"su\u0062":"spiffe://td/b","#, 1);
        assert_eq!(refused(&duplicate), malformed);
        assert_eq!(refused(&format!("{} ", good())), None);
        assert_eq!(refused(&format!("{}x", good())), malformed);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_header_carries_the_chain_in_x5c() {
        for (name, x5c) in [
            ("none", Value::Null),
            ("a string", json!("AQ==")),
            ("numbers", json!([1])),
            ("object", json!({"0": "AQ=="})),
        ] {
            let header = json!({"alg": "ES256", "typ": TYPE, "x5c": x5c}).to_string();
            let text = format!("{}.{}.AA", base64::encode_url(header), base64::encode_url(good().to_string()));
            let error = Token::parse(&text, &TokenRules::default()).unwrap_err();
            assert!(matches!(error, TokenError::X5c), "{name}: {error}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn size_ends_at_the_limit() {
        let text = token_of(&good().to_string());
        let rules = |max_size| TokenRules { max_size, ..TokenRules::default() };
        assert!(Token::parse(&text, &rules(text.len())).is_ok());
        let error = Token::parse(&text, &rules(text.len() - 1)).unwrap_err();
        assert_eq!(error.reason(), Reason::TokenTooLarge);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn times_are_checked_within_the_skew() {
        let skew = Duration::from_secs(30);
        let claims = |nbf: Option<u64>| {
            let mut members = good();
            if let Some(nbf) = nbf {
                members["nbf"] = nbf.into();
            }
            Claims::parse(members.to_string().into_bytes()).unwrap()
        };
        for (now, nbf, expected) in [
            (970, None, None),
            (969, None, Some(Reason::NotYetValid)),
            (1329, None, None),
            (1330, None, Some(Reason::Expired)),
            (u64::MAX, None, Some(Reason::Expired)),
            (0, None, Some(Reason::NotYetValid)),
            (1000, Some(1030), None),
            (1000, Some(1031), Some(Reason::NotYetValid)),
        ] {
            let result = claims(nbf).check_time(skew, Timestamp::from_secs(now));
            assert_eq!(result.err().map(|error| error.reason()), expected, "now {now}, nbf {nbf:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_bound_token_fits_its_request_only() {
        let claims = |htm: Option<&str>, htp: Option<&str>| {
            let mut members = good();
            for (claim, value) in [("htm", htm), ("htp", htp)] {
                if let Some(value) = value {
                    members[claim] = value.into();
                }
            }
            Claims::parse(members.to_string().into_bytes()).unwrap()
        };
        for (htm, htp, required, fits) in [
            (None, None, false, true),
            (None, None, true, false),
            (Some("GET"), None, true, false),
            (Some("GET"), Some("/a"), true, true),
            (Some("GET"), Some("/a"), false, true),
            (Some("get"), Some("/a"), false, false),
            (Some("POST"), None, false, false),
            (None, Some("/a/"), false, false),
            (None, Some("/A"), false, false),
            (Some(""), None, false, false),
        ] {
            let result = claims(htm, htp).check_binding("GET", "/a", required);
            assert_eq!(result.is_ok(), fits, "{htm:?} {htp:?} {required}");
        }
    }
}
