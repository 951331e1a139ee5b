//! `audiences`: this service's names, with `{node.metadata.NAME}` filled in from Envoy's node.
//!
//! Never from the request: its Host is the caller's choice.

use super::ConfigError;
use crate::audience::Audience;

const METADATA: &str = "node.metadata.";

pub(super) fn audiences(
    templates: &[String],
    metadata: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Audience>, ConfigError> {
    if templates.is_empty() {
        return Err(ConfigError::at("audiences", "expected at least one name of this service"));
    }
    let audience = |(index, template): (usize, &String)| {
        let refuse = |message: String| ConfigError::at(format!("audiences[{index}]"), message);
        let text = fill(template, metadata).map_err(refuse)?;
        Audience::parse(&text).map_err(|error| refuse(error.to_string()))
    };
    templates.iter().enumerate().map(audience).collect()
}

fn fill(template: &str, metadata: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some((before, rest)) = template.split_once('{') else {
        return if template.contains('}') { Err("`}` without `{`".into()) } else { Ok(template.to_owned()) };
    };
    let (name, after) = rest.split_once('}').ok_or("`{` without `}`")?;
    let key =
        name.strip_prefix(METADATA).ok_or_else(|| format!("expected `{{{METADATA}NAME}}`, found `{{{name}}}`"))?;
    let value = metadata(key).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| format!("Envoy's node metadata has no text `{key}`"))?;
    Ok(format!("{before}{value}{}", fill(after, metadata)?))
}
