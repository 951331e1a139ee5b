//! Rules in `*_test.rego` that OPA would decide by.
//!
//! Tests are not delivered. OPA loads a bundle's tests like everything else, so a rule in one that is no test may be part
//! of the policy: where the policy uses its package, the bundle is refused. Rules are found by their text at the beginning
//! of a line, where `opa fmt` puts them: this is about mistakes, whoever may sign a bundle needs no tricks.

use super::BundleError;
use scbte_core::policy::Module;

/// Refuses tests with rules that the policy may use.
pub(super) fn check(modules: &[Module], tests: &[Module]) -> Result<(), BundleError> {
    let hidden = tests.iter().find_map(|test| {
        let package = package(&test.rego)?;
        let rule = rules(&test.rego).into_iter().find(|rule| !is_test(rule))?;
        let used = modules.iter().any(|module| uses(&module.rego, package));
        used.then(|| BundleError::Hidden {
            test: test.name.clone(),
            rule: rule.to_owned(),
            package: package.to_owned(),
        })
    });
    hidden.map_or(Ok(()), Err)
}

fn is_test(rule: &str) -> bool {
    rule.starts_with("test_") || rule.starts_with("todo_test_")
}

fn package(rego: &str) -> Option<&str> {
    let rest = rego.lines().find_map(|line| line.trim_start().strip_prefix("package "))?;
    rest.split_whitespace().next()
}

/// Whether a module is in the package, or names it.
fn uses(rego: &str, name: &str) -> bool {
    let full = format!("data.{name}");
    let whole = |at: usize| !rego[at + full.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
    package(rego) == Some(name) || rego.match_indices(&full).any(|(at, _)| whole(at))
}

/// The names at the beginnings of lines.
fn rules(rego: &str) -> Vec<&str> {
    rego.lines().filter_map(rule).collect()
}

fn rule(line: &str) -> Option<&str> {
    let line = line.strip_prefix("default ").map_or(line, str::trim_start);
    let end = line.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(line.len());
    match &line[..end] {
        "" | "package" | "import" | "else" => None,
        name if name.starts_with(|first: char| first.is_numeric()) => None,
        name => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_the_policy_uses_is_no_test() {
        let module = |name: &str, rego: &str| Module { name: name.into(), rego: rego.into() };
        let policy = [module("allow.rego", "package scbte\n\nimport data.lib.users\n\nallow if users.known")];
        for (test, expected) in [
            ("package scbte\n\ntest_a if allow\n\ntodo_test_b if {\n\tnot allow\n}\n", None),
            ("# METADATA\npackage scbte\n\nimport rego.v1\n\ntest_a if {\n\tx := 1\n} else := 2\n", None),
            ("package scbte_test\n\ngood := {}\n\ntest_a if data.scbte.allow with input as good", None),
            ("package other\n\nusers := 1", None),
            ("package lib\n\nusers := 1", Some("`users` is in the package `lib`")),
            ("package scbte\n\nallow if true", Some("`allow` is in the package `scbte`")),
            ("package scbte\n\ndefault allow := true", Some("`allow`")),
            ("package scbte # ours\n\nis_admin(x) := true", Some("`is_admin`")),
            ("package scbte\n\ngrants contains 1", Some("`grants`")),
            ("package lib.users\n\nknown := true", Some("`known` is in the package `lib.users`")),
        ] {
            let found = check(&policy, &[module("x_test.rego", test)]).map_err(|error| error.to_string()).err();
            assert_eq!(found.is_some(), expected.is_some(), "{test}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{test}");
        }
    }
}
