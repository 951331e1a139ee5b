//! The templates, compiled in, and how they are filled: every value becomes JSON, which is YAML that nobody breaks out
//! of; a value that is missing is an error.

use crate::commands::Result;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

/// The template of a static Envoy configuration.
pub(super) const ENVOY: (&str, &str) =
    ("envoy.yaml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy-config/envoy.yaml")));
/// The template of an Istio WasmPlugin.
pub(super) const WASM_PLUGIN: (&str, &str) =
    ("wasmplugin.yaml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy-config/istio/wasmplugin.yaml")));
/// What the filter may ask of Envoy.
pub(super) const CAPABILITIES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy-config/capabilities.yaml"));

/// Fills a template in. Names that end in `.yaml` make minijinja write values as JSON.
pub(super) fn fill((name, source): (&str, &str), values: &impl Serialize) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    environment.add_template(name, source)?;
    Ok(environment.get_template(name)?.render(minijinja::Value::from(Serde(values)))?)
}

/// JSON for people, in ASCII: what YAML makes of other characters in a block depends on its version.
pub(super) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    for character in format!("{value:#}").chars() {
        match character {
            '\n' | ' '..='~' => text.push(character),
            // Only inside strings, so an escape is the same character (RFC 8259 §7).
            _ => text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pretty_json_is_ascii_and_the_same_json() {
        let value = json!({"a": "é\u{2028}\u{7f}😀\n\t\"", "b": [1, {}]});
        let text = pretty(&value);
        assert!(text.is_ascii());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn values_cannot_break_out() {
        let template = ("a.yaml", "x: {{ x }}\n");
        assert_eq!(
            fill(template, &json!({"x": "a\"\n  y: 1 # {{ z }}"})).unwrap(),
            "x: \"a\\\"\\n  y: 1 # {{ z }}\"\n"
        );
        assert!(fill(template, &json!({"y": 1})).is_err(), "a missing value is an error");
    }
}
