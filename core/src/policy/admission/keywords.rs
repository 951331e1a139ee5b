//! Imports of `future` and `rego`, which regorus takes whatever they name.

use super::super::error::Refusal;
use super::findings::Findings;
use super::syntax::{Parsed, static_path};

/// Refuses what OPA does not know.
pub(super) fn check(module: &Parsed, found: &mut Findings) {
    for import in &module.tree.imports {
        let path = static_path(&import.refr).unwrap_or_default();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let known = match path.as_slice() {
            ["future", rest @ ..] => matches!(rest, ["keywords"] | ["keywords", "contains" | "every" | "if" | "in"]),
            ["rego", rest @ ..] => *rest == ["v1"],
            _ => true,
        };
        if !known {
            let construct = "an import of a keyword that OPA does not have is";
            let advice = "there are `future.keywords.contains`, `every`, `if`, `in`, and `rego.v1`";
            found.add(Refusal::Unsupported { construct, advice }.at(import.refr.span()));
        }
    }
}
