//! The rule that decides.

use super::super::error::{AdmissionError, Refusal};
use super::syntax::{Parsed, head_name};
use regorus::unstable::{Expr, Rule, RuleHead};
use std::collections::BTreeSet;

/// Refuses an entry point that is missing or can give no decision.
pub(super) fn check(path: &str, modules: &[Parsed]) -> Result<(), AdmissionError> {
    let refusal = |problem| Refusal::EntryPoint { path: path.to_owned(), problem };
    let mut found = false;
    for module in modules {
        for (rule, head) in module.rules() {
            if head_name(head).is_none_or(|name| path != module.path_of(name.text())) {
                continue;
            }
            found = true;
            if let Some(problem) = problem(rule) {
                return Err(refusal(problem).at(rule.span()));
            }
        }
    }
    if found { Ok(()) } else { Err(refusal("no such rule").into()) }
}

/// The paths of all rules that have a value.
pub(super) fn all(modules: &[Parsed]) -> BTreeSet<String> {
    let rules = modules.iter().flat_map(|module| {
        let values = module.rules().filter(|(rule, _)| !matches!(rule, Rule::Spec { head: RuleHead::Func { .. }, .. }));
        values.filter_map(|(_, head)| Some(module.path_of(head_name(head)?.text())))
    });
    let mut paths = BTreeSet::new();
    paths.extend(rules);
    paths
}

fn problem(rule: &Rule) -> Option<&'static str> {
    match rule {
        Rule::Default { .. } => None,
        Rule::Spec { head, .. } => match head {
            RuleHead::Func { .. } => Some("a function cannot decide"),
            RuleHead::Set { .. } => Some("a set cannot decide"),
            RuleHead::Compr { refr, .. } if matches!(refr.as_ref(), Expr::Var { .. }) => None,
            RuleHead::Compr { .. } => Some("a partial object cannot decide"),
        },
    }
}
