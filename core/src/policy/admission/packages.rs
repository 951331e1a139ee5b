//! Packages that regorus reads otherwise than OPA.
//!
//! In a package `a`, regorus takes `b.f` for `data.a.b.f` if there is such a rule; OPA knows no such short form. So a
//! package below another one must not be called like a namespace of builtins. And a package without rules is an object
//! in OPA, and undefined on the machine.

use super::super::error::Refusal;
use super::builtins::is_builtin_name;
use super::findings::Findings;
use super::syntax::Parsed;

/// Checks the name of each module's package, and that there is something in it.
pub(super) fn check(modules: &[Parsed], found: &mut Findings) {
    for module in modules {
        let span = &module.tree.package.span;
        if let Some(name) = module.package.iter().skip(1).find(|name| is_builtin_name(name)) {
            let problem = format!("`{name}` in a package's name hides the builtins of that name: give it another one");
            found.add(Refusal::Package(problem).at(span));
        }
        if module.tree.policy.is_empty() {
            let problem = "a package without rules is not supported: remove it, or give it a rule".to_owned();
            found.add(Refusal::Package(problem).at(span));
        }
    }
}
