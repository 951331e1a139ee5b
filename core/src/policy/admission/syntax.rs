//! From text to syntax trees.

use super::super::error::{AdmissionError, Place, Refusal};
use super::super::source::{Module, PolicySource, RegoVersion};
use super::findings::Findings;
use super::tokens;
use regorus::unstable::{Expr, Module as Tree, Parser, Rule, RuleHead, Source, Span};
use serde_json::Value as Json;
use std::fmt::Display;
use std::num::NonZeroU32;

/// Columns of a line; longer lines are not for people.
const MAX_COLUMNS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// A module and its place in [`PolicySource::modules`].
pub(in crate::policy) struct Parsed {
    pub(in crate::policy) index: usize,
    pub(in crate::policy) tree: Tree,
    /// For example `["scbte"]`.
    pub(in crate::policy) package: Vec<String>,
}

/// Parses every module. None where one is not Rego: without it, the others would seem wrong.
pub(in crate::policy) fn parse(source: &PolicySource, found: &mut Findings) -> Option<Vec<Parsed>> {
    parse_modules(&source.modules, source.rego_version, found)
}

/// Parses these modules.
pub(in crate::policy) fn parse_modules(
    modules: &[Module],
    version: RegoVersion,
    found: &mut Findings,
) -> Option<Vec<Parsed>> {
    parse_lines(modules, version, MAX_COLUMNS, found)
}

/// Parses these modules, with lines up to this length.
pub(super) fn parse_lines(
    modules: &[Module],
    version: RegoVersion,
    columns: NonZeroU32,
    found: &mut Findings,
) -> Option<Vec<Parsed>> {
    let modules = modules.iter().enumerate();
    let mut reads = 0;
    let parsed = modules.map(|(index, module)| parse_module(index, module, version, columns, &mut reads));
    let parsed: Vec<_> = parsed.map(|result| found.note(result)).collect();
    parsed.into_iter().collect()
}

/// Parses the modules of tests, which never reach a filter: any Rego will do.
#[cfg(feature = "policy-tools")]
pub(in crate::policy) fn parse_tests(
    modules: &[Module],
    version: RegoVersion,
    found: &mut Findings,
) -> Option<Vec<Parsed>> {
    let parsed = modules.iter().enumerate().map(|(index, module)| {
        let source = Source::from_contents(module.name.clone(), module.rego.clone()).map_err(syntax)?;
        parse_source(index, &source, version, NonZeroU32::MAX)
    });
    let parsed: Vec<_> = parsed.map(|result| found.note(result)).collect();
    parsed.into_iter().collect()
}

fn parse_module(
    index: usize,
    module: &Module,
    version: RegoVersion,
    columns: NonZeroU32,
    reads: &mut usize,
) -> Result<Parsed, AdmissionError> {
    let source = Source::from_contents(module.name.clone(), module.rego.clone()).map_err(syntax)?;
    tokens::check(&source, columns, reads)?;
    parse_source(index, &source, version, columns)
}

fn parse_source(
    index: usize,
    source: &Source,
    version: RegoVersion,
    columns: NonZeroU32,
) -> Result<Parsed, AdmissionError> {
    let mut parser = Parser::new(source).map_err(syntax)?;
    parser.set_max_col(columns);
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
    /// The path of a rule of this module as regorus and its programs write it: `data.lib["a-b"].allow`.
    pub(in crate::policy) fn path_of(&self, rule: &str) -> String {
        let names = self.package.iter().map(String::as_str).chain([rule]);
        names.fold("data".to_owned(), |path, name| dotted(&path, name))
    }

    /// Every rule, with the reference in its head.
    pub(in crate::policy) fn rules(&self) -> impl Iterator<Item = (&Rule, &Expr)> {
        self.tree.policy.iter().map(|rule| (rule.as_ref(), head_of(rule)))
    }
}

/// A path with one name more.
pub(super) fn dotted(path: &str, name: &str) -> String {
    if is_identifier(name) { format!("{path}.{name}") } else { format!("{path}[{}]", Json::from(name)) }
}

/// Whether the name can stand behind a dot.
pub(super) fn is_identifier(name: &str) -> bool {
    let rest = name.strip_prefix(|first: char| first == '_' || first.is_ascii_alphabetic());
    rest.is_some_and(|rest| rest.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric()))
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
pub(in crate::policy) fn static_path(expr: &Expr) -> Option<Vec<String>> {
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
pub(in crate::policy) fn string_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => Some(value.as_string().ok()?.as_ref()),
        _ => None,
    }
}

/// The name that a rule's head begins with.
pub(in crate::policy) fn head_name(expr: &Expr) -> Option<&Span> {
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
