//! From text to syntax trees.

use super::super::error::{AdmissionError, Place, Refusal};
use super::super::source::{PolicySource, RegoVersion};
use super::tokens;
use regorus::unstable::{Expr, Module as Tree, Parser, Rule, RuleHead, Source, Span};
use std::fmt::Display;
use std::num::NonZeroU32;

/// Columns of a line; longer lines are not for people.
const MAX_COLUMNS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// A module and its place in [`PolicySource::modules`].
pub(super) struct Parsed {
    pub(super) index: usize,
    pub(super) tree: Tree,
    /// For example `["scbte"]`.
    pub(super) package: Vec<String>,
}

/// Parses every module.
pub(super) fn parse(source: &PolicySource) -> Result<Vec<Parsed>, AdmissionError> {
    let modules = source.modules.iter().enumerate();
    modules.map(|(index, module)| parse_module(index, &module.name, &module.rego, source.rego_version)).collect()
}

fn parse_module(index: usize, name: &str, rego: &str, version: RegoVersion) -> Result<Parsed, AdmissionError> {
    let source = Source::from_contents(name.to_owned(), rego.to_owned()).map_err(syntax)?;
    tokens::check(&source)?;
    let mut parser = Parser::new(&source).map_err(syntax)?;
    parser.set_max_col(MAX_COLUMNS);
    if version == RegoVersion::V1 {
        parser.enable_rego_v1().map_err(syntax)?;
    }
    let tree = parser.parse().map_err(syntax)?;
    let package = static_path(&tree.package.refr)
        .ok_or_else(|| Refusal::Syntax("the package's name is not a plain path".to_owned()).at(&tree.package.span))?;
    Ok(Parsed { index, tree, package })
}

fn syntax(error: impl Display) -> AdmissionError {
    located(&error, Refusal::Syntax)
}

impl Parsed {
    /// Every rule with the path of its name, and what its name was written as.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&Rule, &Expr)> {
        self.tree.policy.iter().map(|rule| (rule.as_ref(), head_of(rule)))
    }
}

/// The reference in a rule's head.
pub(super) fn head_of(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// `a.b["c"]` as its parts; none if a part is computed.
pub(super) fn static_path(expr: &Expr) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut current = expr;
    loop {
        match current {
            Expr::Var { span, .. } => {
                parts.push(span.text().to_owned());
                parts.reverse();
                return Some(parts);
            }
            Expr::RefDot { refr, field, .. } => {
                parts.push(field.0.text().to_owned());
                current = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                parts.push(string_of(index)?.to_owned());
                current = refr;
            }
            _ => return None,
        }
    }
}

/// The text of a string literal.
pub(super) fn string_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => Some(value.as_string().ok()?.as_ref()),
        _ => None,
    }
}

/// The name that a rule's head begins with.
pub(super) fn head_name(expr: &Expr) -> Option<&Span> {
    match expr {
        Expr::Var { span, .. } => Some(span),
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => head_name(refr),
        _ => None,
    }
}

/// An error of regorus, which has its place in its text: `--> file:line:column`, the line, a caret, `error: …`.
pub(in crate::policy) fn located(error: &impl Display, refusal: impl FnOnce(String) -> Refusal) -> AdmissionError {
    let text = error.to_string();
    let message = text.split_once("error: ").map_or(text.as_str(), |(_, message)| message);
    // What follows the first message is about another place.
    let message = message.split("\n-->").next().unwrap_or(message).trim();
    AdmissionError { refusal: refusal(message.to_owned()), place: place_in(&text) }
}

fn place_in(text: &str) -> Option<Place> {
    let mut lines = text.split_once("--> ")?.1.lines();
    let mut head = lines.next()?.rsplitn(3, ':');
    let column = head.next()?.trim().parse().ok()?;
    let line = head.next()?.parse().ok()?;
    let module = head.next()?;
    let text = lines.nth(1)?.split_once("| ").map_or("", |(_, text)| text);
    Some(Place::new(module, line, column, text))
}
