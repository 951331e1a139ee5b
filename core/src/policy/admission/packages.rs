//! Packages without rules: an object in OPA, undefined on the machine.

use super::super::error::Refusal;
use super::findings::Findings;
use super::syntax::Parsed;

/// Refuses them.
pub(super) fn check(modules: &[Parsed], found: &mut Findings) {
    for module in modules.iter().filter(|module| module.tree.policy.is_empty()) {
        let construct = "a package without rules is";
        let refusal = Refusal::Unsupported { construct, advice: "remove it, or give it a rule" };
        found.add(refusal.at(&module.tree.package.span));
    }
}
