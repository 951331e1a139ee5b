//! A query string as an object of arrays (WHATWG URL, `application/x-www-form-urlencoded`).
//!
//! `+` is a space, `%XX` a byte, a malformed `%` stands for itself; bytes that are not UTF-8 become U+FFFD. A name
//! without `=` has the empty value; empty parts (`&&`) are skipped; a name that appears again adds a value, in order.

use super::value;
use percent_encoding::percent_decode;
use regorus::value::{Array, Object};
use regorus::{Rc, Value};

/// Decodes a raw query string, without its `?`.
pub(super) fn decode(query: &str) -> Value {
    let mut decoded = Object::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, text) = part.split_once('=').unwrap_or((part, ""));
        let values = decoded.get_or_insert_with(decode_part(name), || Value::Array(Rc::new(Array::new())));
        if let Ok(values) = values.as_array_mut() {
            values.push(decode_part(text));
        }
    }
    value::object(decoded)
}

fn decode_part(part: &str) -> Value {
    let spaced = part.replace('+', " ");
    value::from_text(&percent_decode(spaced.as_bytes()).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn form_encoding() {
        for (query, expected) in [
            ("", r#"{}"#),
            ("a=1", r#"{"a": ["1"]}"#),
            ("a=1&b=2&a=3", r#"{"a": ["1", "3"], "b": ["2"]}"#),
            ("a", r#"{"a": [""]}"#),
            ("=1", r#"{"": ["1"]}"#),
            ("a=b=c", r#"{"a": ["b=c"]}"#),
            ("&&a=1&", r#"{"a": ["1"]}"#),
            ("a+b=c%20d%2B", r#"{"a b": ["c d+"]}"#),
            ("%61=1&a=2", r#"{"a": ["1", "2"]}"#),
            ("a=%zz%4", r#"{"a": ["%zz%4"]}"#),
            ("a=%ff", "{\"a\": [\"\u{fffd}\"]}"),
            ("a=%26%3D", r#"{"a": ["&="]}"#),
        ] {
            assert_eq!(decode(query), Value::from_json_str(expected).unwrap(), "{query}");
        }
    }
}
