//! A policy's result as a decision.
//!
//! A boolean, or an object `{"allow": bool, "reason": string, "headers": {…}, "response_headers": {…}, "status": int}`;
//! other members are the author's own and ignored. A header's value is a string, or an array of strings for several
//! headers of that name. `headers` count only when allowed, `reason` and `status` only when denied.

use super::error::PolicyEngineError;
use regorus::Value;
use regorus::value::Object;

/// What the policy decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on.
    Allow {
        /// Headers to set on the request; names in lower case.
        headers: Vec<(String, String)>,
        /// Headers to set on the response; names in lower case.
        response_headers: Vec<(String, String)>,
    },
    /// The request is refused.
    Deny {
        /// The policy's reason, or [`Decision::DEFAULT_DENY`].
        reason: String,
        /// The status of the answer, 400–599.
        status: u16,
        /// Headers to set on the answer; names in lower case.
        response_headers: Vec<(String, String)>,
    },
}

impl Decision {
    /// The reason when the policy gives none.
    pub const DEFAULT_DENY: &'static str = "default_deny";

    /// The status when the policy gives none.
    pub const DEFAULT_STATUS: u16 = 403;

    fn default_deny() -> Self {
        Self::Deny { reason: Self::DEFAULT_DENY.to_owned(), status: Self::DEFAULT_STATUS, response_headers: Vec::new() }
    }
}

/// Characters of a reason that are kept.
const MAX_REASON: usize = 256;
/// Headers in one object, at most.
const MAX_HEADERS: usize = 32;
/// Bytes of one header's name, and of its value.
const MAX_HEADER_NAME: usize = 128;
const MAX_HEADER_VALUE: usize = 4096;
/// Bytes of all headers in one object.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Names that a policy may not set: they steer the connection, the routing or the message's length.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The rules for reading a decision.
#[derive(Debug)]
pub(super) struct DecisionRules {
    token_header: String,
}

impl DecisionRules {
    pub(super) fn new(token_header: &str) -> Self {
        Self { token_header: canonical(token_header) }
    }

    /// Reads the value of the entry point.
    #[inline]
    pub(super) fn read(&self, result: &Value) -> Result<Decision, PolicyEngineError> {
        match result {
            Value::Bool(true) => Ok(Decision::Allow { headers: Vec::new(), response_headers: Vec::new() }),
            Value::Bool(false) | Value::Undefined => Ok(Decision::default_deny()),
            Value::Object(document) => self.read_document(document),
            other => Err(PolicyEngineError::NotADecision(kind(other))),
        }
    }

    #[inline]
    fn read_document(&self, document: &Object) -> Result<Decision, PolicyEngineError> {
        let response_headers = self.headers(document, "response_headers")?;
        match member(document, "allow") {
            Some(Value::Bool(true)) => {
                Ok(Decision::Allow { headers: self.headers(document, "headers")?, response_headers })
            }
            Some(Value::Bool(false)) => {
                Ok(Decision::Deny { reason: reason(document)?, status: status(document)?, response_headers })
            }
            Some(_) => Err(PolicyEngineError::NotADecision("an object whose `allow` is no boolean")),
            None => Err(PolicyEngineError::NotADecision("an object without `allow`")),
        }
    }

    #[inline]
    fn headers(&self, document: &Object, name: &'static str) -> Result<Vec<(String, String)>, PolicyEngineError> {
        let problem = |problem: String| PolicyEngineError::Member { member: name, problem };
        let Some(headers) = member(document, name) else { return Ok(Vec::new()) };
        let Value::Object(headers) = headers else {
            return Err(problem(format!("is {}, expected an object", kind(headers))));
        };
        let mut read = Vec::new();
        let mut bytes = 0_usize;
        for (header, text) in headers.iter_sorted() {
            let header = self.header_name(header).map_err(problem)?;
            for text in header_values(&header, text).map_err(problem)? {
                bytes = bytes.saturating_add(header.len()).saturating_add(text.len());
                read.push((header.clone(), text));
            }
        }
        if read.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(problem(format!("has more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes")));
        }
        Ok(read)
    }

    #[inline]
    fn header_name(&self, name: &Value) -> Result<String, String> {
        let Value::String(name) = name else { return Err(format!("has a name that is {}", kind(name))) };
        if name.is_empty() || name.len() > MAX_HEADER_NAME || !name.bytes().all(is_token) {
            return Err(format!("has the name `{}`, which no header can have", name.escape_default()));
        }
        let canonical = canonical(name);
        let reserved = RESERVED.contains(&canonical.as_str()) || canonical.starts_with("x-scbte-");
        if reserved || canonical == self.token_header {
            return Err(format!("may not set `{name}`"));
        }
        Ok(name.to_ascii_lowercase())
    }
}

/// How a proxy or upstream could see the name: `_` and `-` are the same to many.
fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// RFC 9110 §5.6.2; excludes `:`, so pseudo-headers too.
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

#[inline]
fn header_values(header: &str, values: &Value) -> Result<Vec<String>, String> {
    match values {
        Value::Array(values) => values.iter().map(|value| header_value(header, value)).collect(),
        value => Ok(vec![header_value(header, value)?]),
    }
}

#[inline]
fn header_value(header: &str, value: &Value) -> Result<String, String> {
    let Value::String(text) = value else { return Err(format!("has {} as `{header}`", kind(value))) };
    if text.len() > MAX_HEADER_VALUE {
        return Err(format!("has more than {MAX_HEADER_VALUE} bytes in `{header}`"));
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err(format!("has a line break or NUL in `{header}`"));
    }
    Ok(text.as_ref().to_owned())
}

/// A longer reason is cut, not refused: the request is denied either way.
#[inline]
fn reason(document: &Object) -> Result<String, PolicyEngineError> {
    match member(document, "reason") {
        None => Ok(Decision::DEFAULT_DENY.to_owned()),
        Some(Value::String(text)) if text.is_empty() => Ok(Decision::DEFAULT_DENY.to_owned()),
        Some(Value::String(text)) => Ok(text.chars().take(MAX_REASON).map(printable).collect()),
        Some(other) => {
            let problem = format!("is {}, expected a string", kind(other));
            Err(PolicyEngineError::Member { member: "reason", problem })
        }
    }
}

fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

#[inline]
fn status(document: &Object) -> Result<u16, PolicyEngineError> {
    let Some(status) = member(document, "status") else { return Ok(Decision::DEFAULT_STATUS) };
    match status.as_u16() {
        Ok(status @ 400..=599) => Ok(status),
        _ => {
            let problem = format!("is {}, expected an integer in 400–599", short(status));
            Err(PolicyEngineError::Member { member: "status", problem })
        }
    }
}

fn member<'a>(document: &'a Object, name: &str) -> Option<&'a Value> {
    document.get(&Value::from(name))
}

#[inline]
fn short(value: &Value) -> String {
    match value {
        Value::Number(number) => number.format_decimal(),
        other => kind(other).to_owned(),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn read(json: &str) -> Result<Decision, PolicyEngineError> {
        DecisionRules::new("X-Token").read(&Value::from_json_str(json).unwrap())
    }

    fn deny(reason: &str, status: u16) -> Decision {
        Decision::Deny { reason: reason.into(), status, response_headers: vec![] }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn booleans_and_documents() {
        let allow = |headers: &[(&str, &str)]| Decision::Allow {
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            response_headers: vec![],
        };
        for (result, expected) in [
            ("true", allow(&[])),
            ("false", deny("default_deny", 403)),
            (r#"{"allow": true}"#, allow(&[])),
            (r#"{"allow": true, "status": 200, "reason": 5, "own": {}}"#, allow(&[])),
            (r#"{"allow": true, "headers": {"X-Team": "a"}}"#, allow(&[("x-team", "a")])),
            (r#"{"allow": true, "headers": {"x-team": ["a", "b"]}}"#, allow(&[("x-team", "a"), ("x-team", "b")])),
            (r#"{"allow": false}"#, deny("default_deny", 403)),
            (r#"{"allow": false, "reason": ""}"#, deny("default_deny", 403)),
            (r#"{"allow": false, "reason": "no\nway", "status": 404}"#, deny("no way", 404)),
        ] {
            assert_eq!(read(result).unwrap(), expected, "{result}");
        }
        assert_eq!(DecisionRules::new("authorization").read(&Value::Undefined).unwrap(), deny("default_deny", 403));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_no_decision_is_an_error() {
        for result in [
            "null",
            "1",
            "0",
            r#""true""#,
            r#""""#,
            "[]",
            "[true]",
            "{}",
            r#"{"allow": "true"}"#,
            r#"{"allow": 1}"#,
            r#"{"allow": null}"#,
            r#"{"Allow": true}"#,
            r#"{"allow": false, "status": 200}"#,
            r#"{"allow": false, "status": 399}"#,
            r#"{"allow": false, "status": 600}"#,
            r#"{"allow": false, "status": "404"}"#,
            r#"{"allow": false, "status": 404.5}"#,
            r#"{"allow": false, "reason": 1}"#,
            r#"{"allow": true, "headers": []}"#,
            r#"{"allow": true, "response_headers": "x"}"#,
        ] {
            assert!(read(result).is_err(), "{result}");
        }
        let set = Value::from(std::collections::BTreeSet::from([Value::from(true)]));
        assert!(DecisionRules::new("authorization").read(&set).is_err());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn headers_that_a_policy_may_not_set() {
        for name in [
            ":path",
            "host",
            "Host",
            "x-scbte-subject",
            "X_SCBTE_Subject",
            "x-token",
            "X_Token",
            "content-length",
            "Content_Length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "te",
            "keep-alive",
            "",
            "a b",
            "a:b",
            "é",
            "a\\u0000",
            "a\\n",
        ] {
            for member in ["headers", "response_headers"] {
                let document = format!(r#"{{"allow": true, "{member}": {{"{name}": "v"}}}}"#);
                assert!(read(&document).is_err(), "{document}");
            }
        }
        for value in [r#""a\r""#, r#""a\nb""#, r#""a\u0000""#, "1", "true", "null", "[1]", "{}"] {
            let document = format!(r#"{{"allow": false, "response_headers": {{"x-a": {value}}}}}"#);
            assert!(read(&document).is_err(), "{document}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn decisions_are_bounded() {
        let reason = read(&format!(r#"{{"allow": false, "reason": "{}"}}"#, "ä".repeat(1000))).unwrap();
        assert_eq!(reason, deny(&"ä".repeat(256), 403));

        let many: Vec<_> = (0..33).map(|n| format!(r#""x-{n}": "v""#)).collect();
        assert!(read(&format!(r#"{{"allow": true, "headers": {{{}}}}}"#, many.join(","))).is_err());
        assert!(read(&format!(r#"{{"allow": true, "headers": {{{}}}}}"#, many[..32].join(","))).is_ok());
        assert!(read(&format!(r#"{{"allow": true, "headers": {{"x": "{}"}}}}"#, "v".repeat(4097))).is_err());
        let large: Vec<_> = (0..5).map(|n| format!(r#""x-{n}": "{}""#, "v".repeat(4000))).collect();
        assert!(read(&format!(r#"{{"allow": true, "headers": {{{}}}}}"#, large.join(","))).is_err());
    }
}
