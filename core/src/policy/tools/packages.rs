//! The packages and rules of modules.

use super::super::admission::{Findings, Parsed, head_name, parse_modules};
use super::super::{Module, RegoVersion};
use regorus::unstable::{Expr, Rule, RuleHead, Span};

/// Longest module that is looked into; admission takes no longer ones.
const MAX_BYTES: usize = 1 << 20;

/// The names of the modules with their packages, for example `["scbte"]`. Modules that are not Rego are left out.
#[must_use]
pub fn packages(modules: &[Module], version: RegoVersion) -> Vec<(String, Vec<String>)> {
    let readable = modules.iter().filter(|module| module.rego.len() <= MAX_BYTES);
    let parsed = readable.filter_map(|module| {
        let parsed = parse_modules(std::slice::from_ref(module), version, &mut Findings::new(0))?.pop()?;
        Some((module.name.clone(), parsed.package))
    });
    parsed.collect()
}

/// The rules that could be an entry point, for example `data.scbte.allow`, each once. Modules that are not Rego are left
/// out.
#[must_use]
pub fn rules(modules: &[Module], version: RegoVersion) -> Vec<String> {
    let mut names = Vec::new();
    for module in modules.iter().filter(|module| module.rego.len() <= MAX_BYTES) {
        let parsed = parse_modules(std::slice::from_ref(module), version, &mut Findings::new(0)).unwrap_or_default();
        for (rule, head) in parsed.iter().flat_map(Parsed::rules) {
            let name = head_name(head).map_or("", Span::text);
            let name = parsed.first().map(|parsed| parsed.path_of(name)).unwrap_or_default();
            let decides = match rule {
                Rule::Default { args, .. } => args.is_empty(),
                Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } => matches!(refr.as_ref(), Expr::Var { .. }),
                Rule::Spec { .. } => false,
            };
            if decides && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
