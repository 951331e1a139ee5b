//! What is wrong with a policy, for people and for machines.

use super::{Loaded, place_json};
use crate::policy_bundle::ManifestError;
use crate::words;
use scbte_core::policy::tools::{Warning, rules};
use scbte_core::policy::{AdmissionError, Place, Refusal};
use serde_json::{Value, json};

/// Everything that was found.
pub(super) struct Findings {
    list: Vec<Finding>,
}

struct Finding {
    severity: Severity,
    message: String,
    place: Option<Place>,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The policy is not admitted.
    Error,
    /// The author probably did not mean it.
    Warning,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Findings {
    /// Reasons why a policy is not admitted, in the order of its files and lines.
    pub(super) fn of_errors(policy: &Loaded, errors: &[AdmissionError]) -> Self {
        let mut list: Vec<Finding> = errors.iter().map(|error| Finding::of_error(policy, error)).collect();
        let place = |finding: &Finding| {
            let place = finding.place.as_ref();
            place.map(|place| (place.module.clone(), place.line, place.column))
        };
        list.sort_by_key(place);
        Self { list }
    }

    /// Warnings about a policy that is admitted.
    pub(super) fn of_warnings(policy: &Loaded, warnings: Vec<(Warning, Place)>) -> Self {
        let finding = |(warning, place): (Warning, Place)| Finding {
            severity: Severity::Warning,
            message: warning.to_string(),
            place: Some(policy.shown(&place)),
            hint: None,
        };
        Self { list: warnings.into_iter().map(finding).collect() }
    }

    /// A reason why a bundle of the policy would be refused.
    pub(super) fn of_manifest(error: &ManifestError) -> Self {
        let message = format!("`.manifest`: {error}");
        Self { list: vec![Finding { severity: Severity::Error, message, place: None, hint: None }] }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each with its line.
    pub(super) fn words(&self) -> String {
        self.list.iter().map(Finding::words).collect()
    }

    /// How many there are.
    pub(super) fn summary(&self) -> String {
        let errors = self.list.iter().filter(|finding| finding.severity == Severity::Error).count();
        match (errors, self.list.len()) {
            (0, all) => words::count(all, "warning", "warnings"),
            (errors, _) => format!("NOT ADMITTED: {}", words::count(errors, "error", "errors")),
        }
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        self.list.iter().map(Finding::json).collect()
    }
}

impl Finding {
    fn of_error(policy: &Loaded, error: &AdmissionError) -> Self {
        Self {
            severity: Severity::Error,
            message: error.refusal.to_string(),
            place: error.place.as_ref().map(|place| policy.shown(place)),
            hint: hint(policy, &error.refusal),
        }
    }

    fn words(&self) -> String {
        let severity = self.severity.name();
        let hint = self.hint.as_ref().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        let Some(place) = &self.place else { return format!("{severity}: {}\n{hint}\n", self.message) };
        let line = match place.text.as_str() {
            "" => "(nothing here: was something before it not closed?)".to_owned(),
            text => shown(text),
        };
        let indent = indent(place);
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        format!("{place}: {severity}: {}\n  {number} | {line}\n  {margin} | {indent}^\n{hint}\n", self.message)
    }

    fn json(&self) -> Value {
        let mut finding = self.place.as_ref().map_or_else(|| json!({}), place_json);
        finding["severity"] = self.severity.name().into();
        finding["message"] = self.message.clone().into();
        if let Some(place) = &self.place {
            finding["text"] = place.text.clone().into();
        }
        if let Some(hint) = &self.hint {
            finding["hint"] = hint.clone().into();
        }
        finding
    }
}

/// A line as a terminal takes it: a tab is one column, and is shown as one.
fn shown(line: &str) -> String {
    words::visible(&line.replace('\t', " "))
}

/// What goes before the caret. A long line is cut: the caret never stands further right than just behind what is left.
fn indent(place: &Place) -> String {
    let before = usize::try_from(place.column).unwrap_or_default().saturating_sub(1);
    let before: String = place.text.chars().take(before).collect();
    " ".repeat(shown(&before).chars().count())
}

/// Rules that are named in a hint.
const MAX_RULES: usize = 5;

/// What to try next.
fn hint(policy: &Loaded, refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::EntryPoint { path, problem: "no such rule" } => {
            let known = rules(&policy.source.modules, policy.source.rego_version);
            let name = path.rsplit('.').next().unwrap_or(path);
            match known.iter().find(|rule| rule.ends_with(&format!(".{name}"))) {
                Some(rule) => Some(format!("--entrypoint {rule}")),
                None if known.is_empty() => None,
                None => Some(format!("the policy has {}", known[..known.len().min(MAX_RULES)].join(", "))),
            }
        }
        Refusal::Syntax(text) if text.contains("`if` keyword is required") => {
            Some("Rego from before OPA 1.0 is read with --rego-v0".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        for (column, text, expected) in [
            (1, "allow", ""),
            (4, "\tallow", "   "),
            (3, "a\u{1b}b", "       "),
            (9, "", ""),
            (100_000, "cut off", "       "),
        ] {
            let place = Place { module: "a.rego".into(), line: 1, column, text: text.into() };
            assert_eq!(indent(&place), expected, "{column} {text:?}");
            let finding = Finding { severity: Severity::Error, message: "m".into(), place: Some(place), hint: None };
            assert!(finding.words().contains(&format!("| {expected}^\n")));
        }
    }
}
