//! What a caller of `POST /token` asks for: `{"aud", "ctx"[, "method", "path"]}`.
//!
//! Exactly one audience: a token for several services could be replayed among them. Unknown members are refused, since
//! a misspelled `method` must not give an unbound token.

use scbte_core::audience::{Audience, AudienceError};
use scbte_core::context::{Context, NotAContext};
use scbte_core::json::{self, JsonError};
use scbte_core::path::{AmbiguousPath, RequestPath};
use serde_json::{Map, Value};

/// Why a request asks for no token that could be minted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenRequestError {
    /// Not a strict JSON object.
    #[error("the body is {0}")]
    Json(#[from] JsonError),
    /// A member that means nothing.
    #[error("unknown member `{0}`; expected `aud`, `ctx`, and optionally `method` and `path`")]
    Unknown(String),
    /// A member that is missing or no string.
    #[error("`{0}` must be a string")]
    Member(&'static str),
    /// `aud` is no audience.
    #[error("`aud`: {0}")]
    Audience(#[from] AudienceError),
    /// `ctx` is no context.
    #[error("{0}")]
    Context(#[from] NotAContext),
    /// `method` is no HTTP method.
    #[error("`method` must be an HTTP method such as `GET`")]
    Method,
    /// `path` is none that a request can have.
    #[error("`path` must be a request's path without a query: {0}")]
    Path(String),
}

impl From<AmbiguousPath> for TokenRequestError {
    fn from(error: AmbiguousPath) -> Self {
        Self::Path(error.to_string())
    }
}

/// The request that a token is bound to, as far as it is: the claims `htm` and `htp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    method: Option<String>,
    path: Option<String>,
}

impl Binding {
    /// Checks that a request could have this method and this path.
    pub(crate) fn new(method: Option<&str>, path: Option<&str>) -> Result<Self, TokenRequestError> {
        if method.is_some_and(|method| !is_method(method)) {
            return Err(TokenRequestError::Method);
        }
        // Whether `%2f` is let through is the service's to say; it judges the request's own path in any case.
        let parsed = path.map(|path| RequestPath::parse(path.as_bytes(), true)).transpose()?;
        if parsed.is_some_and(|parsed| parsed.query().is_some()) {
            return Err(TokenRequestError::Path("it has a query".to_owned()));
        }
        Ok(Self { method: method.map(str::to_owned), path: path.map(str::to_owned) })
    }

    /// The method.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The path.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

/// A token (RFC 9110 §5.6.2) of at most 32 bytes; methods are case-sensitive.
fn is_method(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// What a token is to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenRequest {
    /// The service it is for.
    pub(crate) aud: Audience,
    /// The operation.
    pub(crate) ctx: Context,
    /// The request it is bound to.
    pub(crate) binding: Binding,
}

impl TokenRequest {
    /// Reads a request's body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, TokenRequestError> {
        let members = json::parse_object(body)?;
        if let Some(unknown) = members.keys().find(|name| !["aud", "ctx", "method", "path"].contains(&name.as_str())) {
            return Err(TokenRequestError::Unknown(crate::words::visible(unknown)));
        }
        Ok(Self {
            aud: Audience::parse(required(&members, "aud")?)?,
            ctx: Context::parse(required(&members, "ctx")?)?,
            binding: Binding::new(optional(&members, "method")?, optional(&members, "path")?)?,
        })
    }
}

fn required<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenRequestError> {
    optional(members, name)?.ok_or(TokenRequestError::Member(name))
}

fn optional<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, TokenRequestError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(TokenRequestError::Member(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        for (body, refused) in [
            (r#"{"aud":"api","ctx":"read:users"}"#, None),
            (r#"{"aud":"api","ctx":"read:users","method":"GET","path":"/api/v1/users"}"#, None),
            (r#"{"aud":"api","ctx":"read:users","method":"M-SEARCH"}"#, None),
            (r#"{"aud":"api","ctx":"read:users","path":"/a%2fb"}"#, None),
            ("", Some("not acceptable JSON")),
            ("[]", Some("expected an object, found an array")),
            (r#"{"aud":"api","aud":"b","ctx":"read:users"}"#, Some("member `aud` appears twice")),
            (r#"{"ctx":"read:users"}"#, Some("`aud` must be a string")),
            (r#"{"aud":["api"],"ctx":"read:users"}"#, Some("`aud` must be a string")),
            (r#"{"aud":"","ctx":"read:users"}"#, Some("`aud`: an audience has 1 to 1024 bytes")),
            (r#"{"aud":"api"}"#, Some("`ctx` must be a string")),
            (r#"{"aud":"api","ctx":"read"}"#, Some("`ctx` must be `verb:resource`")),
            (r#"{"aud":"api","ctx":"read:users","mehtod":"GET"}"#, Some("unknown member `mehtod`")),
            (r#"{"aud":"api","ctx":"read:users","a\nb":1}"#, Some("unknown member `a\\nb`")),
            (r#"{"aud":"api","ctx":"read:users","method":null}"#, Some("`method` must be a string")),
            (r#"{"aud":"api","ctx":"read:users","method":""}"#, Some("`method` must be an HTTP method")),
            (r#"{"aud":"api","ctx":"read:users","method":"G T"}"#, Some("`method` must be an HTTP method")),
            (r#"{"aud":"api","ctx":"read:users","path":"users"}"#, Some("does not start with `/`")),
            (r#"{"aud":"api","ctx":"read:users","path":"/a/../b"}"#, Some("a `.` or `..` segment")),
            (r#"{"aud":"api","ctx":"read:users","path":"/a?b"}"#, Some("it has a query")),
        ] {
            match (TokenRequest::parse(body.as_bytes()), refused) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{body}: {error}"),
                (result, _) => panic!("{body}: {result:?}"),
            }
        }
    }
}
