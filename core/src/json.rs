//! JSON (RFC 8259), strict: what two parsers could read differently is refused.
//!
//! Refused: a member that appears twice in one object (escaped spellings of its name included), nesting deeper than
//! [`MAX_DEPTH`], trailing data, a byte order mark, invalid UTF-8, lone surrogates, numbers out of range.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Objects and arrays inside one another, at most (design: 16).
pub const MAX_DEPTH: u8 = 16;

/// Why a text is not acceptable JSON.
#[derive(Debug, thiserror::Error)]
#[error("not acceptable JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

impl From<std::string::FromUtf8Error> for JsonError {
    fn from(error: std::string::FromUtf8Error) -> Self {
        Self(serde_json::Error::custom(error))
    }
}

/// Parses one JSON value, strictly.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    parse_within(text, MAX_DEPTH)
}

/// Parses one JSON value that may be nested `depth` deep; for what is signed or configured, not sent by a client.
#[inline]
pub fn parse_within(text: &[u8], depth: u8) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Parses one JSON object, strictly.
#[inline]
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match parse(text)? {
        Value::Object(members) => Ok(members),
        other => Err(serde_json::Error::custom(format_args!("expected an object, found {}", kind(&other))).into()),
    }
}

/// The JSON type of a value, for messages.
#[must_use]
#[inline]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// How many levels of nesting are left to spend.
#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member `{name}` appears twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_two_parsers_could_read_differently_is_refused() {
        let cases: [(&str, &[u8], Option<&str>); 12] = [
            ("plain", br#"{"a":[1,-2,3.5,null,true,"x"]}"#, None),
            ("duplicate", br#"{"a":1,"a":1}"#, Some("member `a` appears twice")),
            ("duplicate, escaped", br#"{"aud":1,"\u0061ud":2}"#, Some("member `aud` appears twice")),
            ("duplicate, nested", br#"[{"b":{"a":1,"a":2}}]"#, Some("member `a` appears twice")),
            ("trailing data", b"{} {}", Some("trailing characters")),
            ("trailing comma", b"[1,]", Some("trailing comma")),
            ("byte order mark", b"\xef\xbb\xbf{}", Some("expected value")),
            ("invalid UTF-8", b"\"\xff\"", Some("unicode")),
            ("lone surrogate", br#""\ud800""#, Some("hex escape")),
            ("number out of range", b"1e999", Some("number out of range")),
            ("NaN", b"NaN", Some("expected value")),
            ("nothing", b"", Some("EOF")),
        ];
        for (name, text, refused) in cases {
            match (parse(text), refused) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn nesting_ends_at_the_limit() {
        assert!(parse(nested(16).as_bytes()).is_ok());
        assert!(parse(nested(17).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }
}
