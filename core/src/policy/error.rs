//! Why a policy may not run, and why it gave no decision.

use super::functions::{self, Stop};
use regorus::rvm::vm::VmError;
use regorus::unstable::Span;
use std::fmt;

/// Where in a module something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The module's name.
    pub module: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line itself.
    pub text: String,
}

impl Place {
    /// regorus counts a tab as four columns.
    pub(super) fn new(module: &str, line: u32, column: u32, text: &str) -> Self {
        let mut left = column.saturating_sub(1);
        let before = text.chars().take_while(|character| {
            let width = if *character == '\t' { 4 } else { 1 };
            let inside = left >= width;
            left = left.saturating_sub(width);
            inside
        });
        let column = u32::try_from(before.count()).unwrap_or(u32::MAX).saturating_add(1);
        Self { module: module.to_owned(), line, column, text: shown(text) }
    }

    /// The start of what the span covers; its own line and column may be those of an operator in the middle.
    pub(super) fn of(span: &Span) -> Self {
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let before = span.source.contents().get(..start).unwrap_or_default();
        let count = |characters: usize| u32::try_from(characters).unwrap_or(u32::MAX);
        let line = count(before.matches('\n').count());
        let column = count(before.chars().rev().take_while(|character| *character != '\n').count());
        Self {
            module: span.source.file().clone(),
            line: line.saturating_add(1),
            column: column.saturating_add(1),
            text: shown(span.source.line(line)),
        }
    }
}

/// A line as it is shown: cut if nobody could read it.
fn shown(line: &str) -> String {
    line.chars().take(MAX_LINE).collect()
}

/// Characters of a line in a message.
const MAX_LINE: usize = 200;

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.module, self.line, self.column)
    }
}

/// A policy that may not run: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AdmissionError {
    /// What is wrong.
    pub refusal: Refusal,
    /// Where, if it is at one place.
    pub place: Option<Place>,
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else { return self.refusal.fmt(formatter) };
        let line = place.text.replace('\t', " ");
        // Of a line that was cut, the caret stands no further right than its end.
        let before = usize::try_from(place.column).unwrap_or_default().saturating_sub(1).min(line.chars().count());
        write!(formatter, "{place}: {}\n  {line}\n  {}^", self.refusal, " ".repeat(before))
    }
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More of something than the limits allow.
    #[error("{what}: found {found}, at most {limit} is allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
    /// The text is not Rego.
    #[error("syntax: {0}")]
    Syntax(String),
    /// The compiler for the machine cannot translate it.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// The rule that should decide is missing or no value rule.
    #[error("entry point `{path}`: {problem}")]
    EntryPoint {
        /// The entry point.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Rego that OPA has and that is not supported here.
    #[error("{construct} not supported: {advice}")]
    Unsupported {
        /// The construct and its verb, for example "`with` is".
        construct: &'static str,
        /// What to write instead.
        advice: &'static str,
    },
    /// A function that a policy here may not call.
    #[error("`{function}` may not be called in a policy: {why}")]
    Builtin {
        /// The function.
        function: String,
        /// What is wrong with it, or which one may have been meant.
        why: String,
    },
    /// A known function, called in a way that cannot be bounded or differs from OPA.
    #[error("`{function}`: {problem}")]
    Argument {
        /// The function.
        function: String,
        /// What is wrong with the call.
        problem: String,
    },
    /// A rule that depends on itself.
    #[error("recursion: {0}")]
    Recursion(String),
    /// A rule that could have two values at once: an error in OPA, silence in the machine.
    #[error("`{rule}` could get two different values at once: {advice}")]
    Conflict {
        /// The rule or the expression.
        rule: String,
        /// What to write instead.
        advice: &'static str,
    },
    /// A number that would be calculated with and printed differently from OPA.
    #[error("the number `{0}`: only whole numbers are supported, up to 64 bits and without a fraction or exponent")]
    Number(String),
    /// The data document does not fit the rules.
    #[error("data: {0}")]
    Data(String),
}

impl Refusal {
    /// There is no such function here.
    pub(super) fn no_function(function: &str) -> Self {
        Self::Builtin { function: function.to_owned(), why: "there is no such function here".to_owned() }
    }

    /// At this place.
    pub(super) fn at(self, span: &Span) -> AdmissionError {
        AdmissionError { refusal: self, place: Some(Place::of(span)) }
    }
}

impl From<Refusal> for AdmissionError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, place: None }
    }
}

/// The policy gave no decision; the request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyEngineError {
    /// The evaluation took too many instructions.
    #[error("the policy took more than {0} instructions")]
    BudgetExhausted(usize),
    /// The evaluation failed.
    #[error("the policy could not be evaluated: {0}")]
    Evaluation(String),
    /// OPA has a value where this has none that is the same.
    #[error("the policy met what is not supported: {0}")]
    Unsupported(Stop),
    /// The input has a number that is not whole, or that 64 bits do not hold.
    #[error("the policy's input has the number `{0}`: only whole numbers of up to 64 bits are supported")]
    InputNumber(String),
    /// The claims are no JSON that a policy could be given.
    #[error("the policy's input has claims that cannot be read: {0}")]
    InputClaims(String),
    /// The result is neither a boolean nor an object with a boolean `allow`.
    #[error("the policy's result is {0}, expected a boolean or an object with a boolean `allow`")]
    NotADecision(&'static str),
    /// A member of the decision document has the wrong type or value.
    #[error("the decision's `{member}` {problem}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<VmError> for PolicyEngineError {
    fn from(error: VmError) -> Self {
        if let Some(stop) = functions::stop_of(&error) {
            return Self::Unsupported(stop);
        }
        match error {
            VmError::InstructionLimitExceeded { limit, .. } => Self::BudgetExhausted(limit),
            other => Self::Evaluation(other.to_string()),
        }
    }
}
