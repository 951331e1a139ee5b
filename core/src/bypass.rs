//! Bypass rules: which requests need no identity, e.g. a health check.

use crate::path::RequestPath;

/// Why a bypass rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BypassError {
    /// Neither or both of `path` and `path_prefix`.
    #[error("expected exactly one of `path` and `path_prefix`")]
    Paths,
    /// No method.
    #[error("`method` must be an HTTP method in upper case, found `{0}`")]
    Method(String),
    /// A path that no request could have.
    #[error("`{0}` is not a path that a request can have: {1}")]
    NotAPath(String, String),
    /// A prefix that opens everything.
    #[error("`path_prefix` `{0}` would let every request through")]
    Everything(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    Exact(String),
    /// Without the trailing slash.
    Prefix(String),
}

/// Lets a method through on one path, or on a path and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BypassRule {
    method: String,
    paths: Paths,
}

impl BypassRule {
    /// A rule for one method (case-sensitive) and either an exact path or a prefix of whole segments.
    pub fn new(method: &str, path: Option<&str>, prefix: Option<&str>) -> Result<Self, BypassError> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(BypassError::Method(method.to_owned()));
        }
        let paths = match (path, prefix) {
            (Some(path), None) => Paths::Exact(request_path(path)?),
            (None, Some(prefix)) => Paths::Prefix(segments_prefix(prefix)?),
            _ => return Err(BypassError::Paths),
        };
        Ok(Self { method: method.to_owned(), paths })
    }

    /// Whether a request needs no identity.
    #[must_use]
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method == method && self.paths.contain(path)
    }
}

impl Paths {
    fn contain(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

fn request_path(path: &str) -> Result<String, BypassError> {
    let not_a_path = |why: String| BypassError::NotAPath(path.to_owned(), why);
    let parsed = RequestPath::parse(path.as_bytes(), false).map_err(|error| not_a_path(error.to_string()))?;
    if parsed.query().is_some() {
        return Err(not_a_path("it has a query".to_owned()));
    }
    Ok(path.to_owned())
}

fn segments_prefix(prefix: &str) -> Result<String, BypassError> {
    let path = request_path(prefix)?;
    match path.strip_suffix('/').unwrap_or(&path) {
        "" => Err(BypassError::Everything(prefix.to_owned())),
        segments => Ok(segments.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_rule_matches_whole_segments_of_its_method_only() {
        let exact = BypassRule::new("GET", Some("/healthz"), None).unwrap();
        let prefix = BypassRule::new("GET", None, Some("/public")).unwrap();
        let slash = BypassRule::new("GET", None, Some("/public/")).unwrap();
        for (rule, method, path, expected) in [
            (&exact, "GET", "/healthz", true),
            (&exact, "POST", "/healthz", false),
            (&exact, "get", "/healthz", false),
            (&exact, "GET", "/healthz/", false),
            (&exact, "GET", "/healthz/x", false),
            (&exact, "GET", "/Healthz", false),
            (&prefix, "GET", "/public", true),
            (&prefix, "GET", "/public/", true),
            (&prefix, "GET", "/public/a/b", true),
            (&prefix, "GET", "/publicity", false),
            (&prefix, "HEAD", "/public", false),
            (&slash, "GET", "/public/a", true),
            (&slash, "GET", "/public", true),
        ] {
            assert_eq!(rule.matches(method, path), expected, "{rule:?} {method} {path}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn rules_that_cannot_be_meant_are_refused() {
        for (method, path, prefix) in [
            ("GET", None, None),
            ("GET", Some("/a"), Some("/a")),
            ("", Some("/a"), None),
            ("get", Some("/a"), None),
            ("GET", Some("a"), None),
            ("GET", Some("/a?b"), None),
            ("GET", Some("/a/../b"), None),
            ("GET", None, Some("/")),
            ("GET", None, Some("")),
        ] {
            assert!(BypassRule::new(method, path, prefix).is_err(), "{method} {path:?} {prefix:?}");
        }
    }
}
