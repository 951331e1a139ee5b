//! How OPA hashes a document: over its value, so that white space and the order of members do not count.
//!
//! Each part is written as Go's `encoding/json` does, without escaping for HTML; numbers stay as they are written.
//! (OPA, `v1/bundle/hash.go`.)

use super::MAX_DEPTH;
use serde::Deserialize as _;
use serde_json::value::RawValue;
use sha2::Digest;
use std::collections::BTreeMap;

/// The document is not JSON, or nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

impl From<serde_json::Error> for NotJson {
    fn from(_: serde_json::Error) -> Self {
        Self
    }
}

/// Feeds a document to a hash. Whether it is what was signed is not known yet: its nesting is bounded.
pub(super) fn feed(hasher: &mut impl Digest, document: &[u8]) -> Result<(), NotJson> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let value = <&RawValue>::deserialize(&mut deserializer)?;
    deserializer.end()?;
    walk(hasher, value.get(), MAX_DEPTH)
}

fn walk(hasher: &mut impl Digest, text: &str, depth: u8) -> Result<(), NotJson> {
    let text = text.trim();
    let inside = depth.checked_sub(1).ok_or(NotJson)?;
    match text.as_bytes().first() {
        Some(b'{') => {
            hasher.update("{");
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    hasher.update(",");
                }
                hasher.update(as_go_writes(name));
                hasher.update(":");
                walk(hasher, member.get(), inside)?;
            }
            hasher.update("}");
        }
        Some(b'[') => {
            hasher.update("[");
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    hasher.update(",");
                }
                walk(hasher, element.get(), inside)?;
            }
            hasher.update("]");
        }
        Some(b'"') => hasher.update(as_go_writes(&serde_json::from_str::<String>(text)?)),
        _ => hasher.update(text),
    }
    Ok(())
}

/// Go escapes two line separators that `serde_json` does not.
fn as_go_writes(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
