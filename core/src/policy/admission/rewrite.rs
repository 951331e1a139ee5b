//! Changes of the modules' text, for the machine's compiler.

use super::super::error::{AdmissionError, Refusal};
use super::super::source::{Module, PolicySource};
use super::findings::Findings;
use super::syntax::{Parsed, dotted, is_identifier, parse_lines};
use super::tree::{Visitor, walk_module};
use regorus::unstable::{Expr, LiteralStmt, Query, Span};
use std::num::NonZeroU32;

/// A part of a module's text, and what is to stand there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewrite {
    module: usize,
    start: usize,
    end: usize,
    text: String,
    /// What it adds to the module.
    adds: Size,
}

impl Rewrite {
    /// Another text for a string literal, whose span leaves out the quotes.
    pub(super) fn string(module: usize, literal: &Expr, text: &str) -> Self {
        let text = match literal {
            Expr::RawString { .. } => text.to_owned(),
            _ => escape(text),
        };
        Self::replace(module, literal.span(), text)
    }

    /// Something else.
    pub(super) fn replace(module: usize, span: &Span, text: String) -> Self {
        Self { module, start: offset(span.start), end: offset(span.end), text, adds: Size::default() }
    }

    /// A path in the place of a name.
    pub(super) fn path(module: usize, name: &Span, path: &[String]) -> Self {
        let (root, rest) = path.split_first().map_or(("", path), |(root, rest)| (root.as_str(), rest));
        let path = rest.iter().fold(root.to_owned(), |path, name| dotted(&path, name));
        let strings = rest.iter().filter(|name| !is_identifier(name)).count();
        // Each is a look-up, some with a string.
        let adds = Size { statements: 0, expressions: rest.len().saturating_add(strings) };
        Self { adds, ..Self::replace(module, name, path) }
    }

    /// `name := value` as the first statement of a body in braces. It goes right behind the brace: the first statement
    /// may begin with a string, whose place leaves out the quote.
    pub(super) fn assign_first(module: usize, body: &Query, name: &Span, value: &str) -> Self {
        let place = offset(body.span.start).saturating_add(1);
        let text = format!("{} := {value}; ", name.text());
        Self { module, start: place, end: place, text, adds: ASSIGNMENT }
    }
}

fn offset(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// As it stands between quotes.
fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// The changed modules.
///
/// # Errors
/// A change gave other statements than it was to give.
pub(super) fn apply(
    source: &PolicySource,
    parsed: &[Parsed],
    mut rewrites: Vec<Rewrite>,
) -> Result<Vec<Module>, AdmissionError> {
    rewrites.sort_by_key(|rewrite| (rewrite.module, rewrite.start, rewrite.end));
    // The value of a rule with several bodies is looked at for each.
    rewrites.dedup();
    let written = rewrites.iter().map(|rewrite| rewrite.text.len()).fold(0, usize::saturating_add);
    if written > MAX_WRITTEN {
        let what = "bytes that imported paths and regexes take when they are written out";
        return Err(Refusal::TooMuch { what, found: written, limit: MAX_WRITTEN }.into());
    }
    let mut sizes: Vec<Size> = parsed.iter().map(Size::of).collect();
    for rewrite in &rewrites {
        sizes.get_mut(rewrite.module).into_iter().for_each(|size| size.add(rewrite.adds));
    }
    let modules = source.modules.iter().enumerate().map(|(index, module)| {
        let rego = rewritten(&module.rego, rewrites.iter().filter(|rewrite| rewrite.module == index));
        rego.map(|rego| Module { name: module.name.clone(), rego })
    });
    let modules: Option<Vec<Module>> = modules.collect();
    match modules {
        Some(modules) if rewrites.is_empty() || sizes_of(&modules, source) == sizes => Ok(modules),
        _ => Err(Refusal::Compile("the policy cannot be written for the machine".to_owned()).into()),
    }
}

/// What all rewrites put in, at most: a name is short, and what it is imported as may be long.
const MAX_WRITTEN: usize = 512 * 1024;

/// A module's text, changed from its beginning to its end; None where changes lie within each other.
fn rewritten<'a>(rego: &str, rewrites: impl Iterator<Item = &'a Rewrite>) -> Option<String> {
    let mut text = String::new();
    let mut done = 0;
    for rewrite in rewrites {
        text.push_str(rego.get(done..rewrite.start)?);
        text.push_str(&rewrite.text);
        done = rewrite.end;
    }
    text.push_str(rego.get(done..)?);
    Some(text)
}

fn sizes_of(modules: &[Module], source: &PolicySource) -> Vec<Size> {
    // Writing out regexes lengthens lines.
    let parsed = parse_lines(modules, source.rego_version, NonZeroU32::MAX, &mut Findings::new(1));
    parsed.unwrap_or_default().iter().map(Size::of).collect()
}

/// How much there is in a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    statements: usize,
    expressions: usize,
}

/// `x := y`: itself and its two sides.
const ASSIGNMENT: Size = Size { statements: 1, expressions: 3 };

impl Size {
    fn of(module: &Parsed) -> Self {
        let mut size = Self::default();
        walk_module(&module.tree, &mut size);
        size
    }

    const fn add(&mut self, more: Self) {
        self.statements = self.statements.saturating_add(more.statements);
        self.expressions = self.expressions.saturating_add(more.expressions);
    }
}

impl Visitor for Size {
    fn expr(&mut self, _: &Expr) {
        self.add(Self { statements: 0, expressions: 1 });
    }

    fn statement(&mut self, _: &LiteralStmt) {
        self.add(Self { statements: 1, expressions: 0 });
    }
}
