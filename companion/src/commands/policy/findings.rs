//! What is wrong with a policy, for people and for machines.

use super::{Loaded, place_json};
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
        let column = usize::try_from(place.column).unwrap_or_default();
        // A tab is one column, and is shown as one.
        let line = match place.text.as_str() {
            "" => "(nothing here: was something before it not closed?)".to_owned(),
            text => words::visible(&text.replace('\t', " ")),
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        format!("{place}: {severity}: {}\n  {number} | {line}\n  {margin} | {:>column$}\n{hint}\n", self.message, "^")
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
