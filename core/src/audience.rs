//! `aud` (RFC 7519 §4.1.3): whom a token is for.
//!
//! Audiences are compared byte for byte. The request's own Host is never an audience: the caller chooses it, so a
//! token for another service would pass.

use serde_json::Value;

/// Longest audience in bytes.
pub const MAX_LENGTH: usize = 1024;
/// Audiences that a token may name: they are remembered with it, and told where none fits.
pub const MAX_AUDIENCES: usize = 64;

/// Why a text or a claim is no audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceError {
    /// Empty, too long or with control characters.
    #[error("an audience has 1 to {MAX_LENGTH} bytes and no control characters")]
    NotAnAudience,
    /// The claim has another type, or is an empty array.
    #[error("`aud` must be a string or a non-empty array of strings")]
    NotAClaim,
    /// There are more than [`MAX_AUDIENCES`].
    #[error("`aud` names {0} audiences, at most {MAX_AUDIENCES} are allowed")]
    TooMany(usize),
}

/// One audience, e.g. `api.production.svc.cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audience(String);

impl Audience {
    /// Parses an audience.
    pub fn parse(text: &str) -> Result<Self, AudienceError> {
        let fits = (1..=MAX_LENGTH).contains(&text.len());
        if !fits || text.chars().any(char::is_control) {
            return Err(AudienceError::NotAnAudience);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The audiences that a token names: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audiences(Vec<Audience>);

impl Audiences {
    /// Reads the claim `aud`.
    pub fn from_claim(claim: &Value) -> Result<Self, AudienceError> {
        let texts = match claim {
            Value::Array(elements) => elements.as_slice(),
            single => std::slice::from_ref(single),
        };
        if texts.len() > MAX_AUDIENCES {
            return Err(AudienceError::TooMany(texts.len()));
        }
        let audiences = texts.iter().map(from_element).collect::<Result<Vec<_>, _>>()?;
        if audiences.is_empty() {
            return Err(AudienceError::NotAClaim);
        }
        Ok(Self(audiences))
    }

    /// The first of `ours` that the token names.
    #[must_use]
    pub fn matching<'a>(&self, ours: &'a [Audience]) -> Option<&'a Audience> {
        ours.iter().find(|own| self.0.contains(own))
    }

    /// All of them, in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = &Audience> {
        self.0.iter()
    }
}

fn from_element(element: &Value) -> Result<Audience, AudienceError> {
    Audience::parse(element.as_str().ok_or(AudienceError::NotAClaim)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn one_of_the_tokens_audiences_must_be_ours() {
        let ours = [Audience::parse("api").unwrap(), Audience::parse("api.production").unwrap()];
        let cases = [
            ("string", json!("api"), Ok(Some("api"))),
            ("array", json!(["x", "api.production"]), Ok(Some("api.production"))),
            ("another's", json!("orders"), Ok(None)),
            ("other case", json!("API"), Ok(None)),
            ("prefix", json!("api."), Ok(None)),
            ("empty array", json!([]), Err(AudienceError::NotAClaim)),
            ("empty string", json!(""), Err(AudienceError::NotAnAudience)),
            ("as many as may be", json!(vec!["api"; 64]), Ok(Some("api"))),
            ("too many", json!(vec!["api"; 65]), Err(AudienceError::TooMany(65))),
            ("a number among them", json!(["api", 1]), Err(AudienceError::NotAClaim)),
            ("nested", json!([["api"]]), Err(AudienceError::NotAClaim)),
            ("object", json!({"api": true}), Err(AudienceError::NotAClaim)),
            ("null", Value::Null, Err(AudienceError::NotAClaim)),
        ];
        for (name, claim, expected) in cases {
            let found = Audiences::from_claim(&claim).map(|audiences| audiences.matching(&ours).map(Audience::as_str));
            assert_eq!(found, expected, "{name}");
        }
    }
}
