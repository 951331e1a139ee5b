//! Regular expressions: what OPA (RE2) and regorus (the `regex` crate) mean alike, within the machine's size.
//!
//! `\d`, `\w`, `\s` and `\b` mean ASCII in OPA and Unicode in `regex`, where `\d` would match `٣`. They are written out
//! for the machine. Syntax that only `regex` has is refused.

use super::super::source::Module;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Flag, FlagsItemKind,
    HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Span, Visitor, parse::Parser,
};
use regorus::unstable::Expr;

/// Bytes of a compiled regex: regorus' own limit.
const MAX_COMPILED: usize = 100 * 1024;

/// Checks a regex, and gives the one for the machine if it must be another.
pub(super) fn check(regex: &str) -> Result<Option<String>, String> {
    let invalid = |error: &dyn std::fmt::Display| {
        let problem = error.to_string();
        let last = problem.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("invalid regex `{regex}`: {last}")
    };
    let tree = Parser::new().parse(regex).map_err(|error| invalid(&error))?;
    let edits =
        ast::visit(&tree, Ascii { edits: Vec::new(), ignores_case: false, negated_class: false, repeats: vec![1] })
            .map_err(|problem| format!("the regex `{regex}` {problem}"))?;
    let rewritten = apply(regex, edits);
    let compiled = regex::RegexBuilder::new(rewritten.as_deref().unwrap_or(regex)).size_limit(MAX_COMPILED).build();
    match compiled {
        Ok(_) => Ok(rewritten),
        Err(regex::Error::CompiledTooBig(limit)) => {
            Err(format!("the regex `{regex}` is over {limit} bytes when compiled"))
        }
        Err(error) => Err(invalid(&error)),
    }
}

fn apply(regex: &str, mut edits: Vec<(Span, &'static str)>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(span, _)| span.start.offset);
    let mut rewritten = String::new();
    let mut done = 0;
    for (span, text) in edits {
        rewritten.push_str(regex.get(done..span.start.offset)?);
        rewritten.push_str(text);
        done = span.end.offset;
    }
    rewritten.push_str(regex.get(done..)?);
    Some(rewritten)
}

/// Repetitions inside one another, multiplied: RE2's limit.
const MAX_REPEATS: u32 = 1000;

/// Collects what must be written out; fails on what OPA does not have.
struct Ascii {
    edits: Vec<(Span, &'static str)>,
    ignores_case: bool,
    negated_class: bool,
    repeats: Vec<u32>,
}

impl Visitor for Ascii {
    type Output = Vec<(Span, &'static str)>;
    type Err = &'static str;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        if self.ignores_case && self.negated_class {
            return Err(r"has `\D`, `\W` or `\S` together with `(?i)`: write the characters out");
        }
        Ok(self.edits)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Self::Err> {
        match tree {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), |flags| self.flags(flags)),
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::ClassPerl(class) => {
                self.negated_class |= class.negated;
                self.edits.push((class.span, written_out(class)));
                Ok(())
            }
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => {
                    self.edits.push((assertion.span, r"(?-u:\b)"));
                    Ok(())
                }
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => Ok(()),
                _ => Err(r"has `\B` or another boundary that is not supported"),
            },
            Ast::Literal(literal) => check_literal(&literal.kind),
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, tree: &Ast) -> Result<(), Self::Err> {
        if matches!(tree, Ast::Repetition(_)) {
            self.repeats.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Perl(class) => {
                self.negated_class |= class.negated;
                self.edits.push((class.span, written_out(class)));
                Ok(())
            }
            ClassSetItem::Bracketed(_) => Err("has brackets in brackets, which OPA reads differently"),
            ClassSetItem::Literal(literal) => check_literal(&literal.kind),
            ClassSetItem::Range(range) => {
                check_literal(&range.start.kind).and_then(|()| check_literal(&range.end.kind))
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _operation: &ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err("has `&&`, `--` or `~~` in brackets, which OPA reads differently")
    }
}

impl Ascii {
    fn repetition(&mut self, repetition: &ast::Repetition) -> Result<(), &'static str> {
        if matches!(repetition.ast.as_ref(), Ast::Repetition(_)) {
            return Err("repeats a repetition, which OPA refuses: put the inner one into a group");
        }
        let times = match repetition.op.kind {
            RepetitionKind::Range(
                RepetitionRange::Exactly(times) | RepetitionRange::AtLeast(times) | RepetitionRange::Bounded(_, times),
            ) => times,
            RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
        };
        let product = self.repeats.last().copied().unwrap_or(1).saturating_mul(times.max(1));
        if product > MAX_REPEATS {
            return Err("repeats more than 1000 times, which OPA refuses");
        }
        self.repeats.push(product);
        Ok(())
    }

    fn flags(&mut self, flags: &ast::Flags) -> Result<(), &'static str> {
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Flag(Flag::CaseInsensitive) => self.ignores_case = true,
                FlagsItemKind::Flag(Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed)
                | FlagsItemKind::Negation => {}
                FlagsItemKind::Flag(_) => return Err("has a flag that OPA does not have: only i, m, s and U"),
            }
        }
        Ok(())
    }
}

fn check_literal(kind: &LiteralKind) -> Result<(), &'static str> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            Err(r"has `\u` or `\U`: write `\x{…}`")
        }
        _ => Ok(()),
    }
}

/// The class in brackets; `regex` also takes them inside of brackets.
const fn written_out(class: &ClassPerl) -> &'static str {
    match (&class.kind, class.negated) {
        (ClassPerlKind::Digit, false) => "[0-9]",
        (ClassPerlKind::Digit, true) => "[^0-9]",
        (ClassPerlKind::Space, false) => r"[\t\n\f\r ]",
        (ClassPerlKind::Space, true) => r"[^\t\n\f\r ]",
        (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
    }
}

/// A string literal of a module, to be replaced.
#[derive(Debug)]
pub(super) struct Rewrite {
    module: usize,
    start: usize,
    end: usize,
    text: String,
}

impl Rewrite {
    /// `literal` is a string literal; its span leaves out the quotes.
    pub(super) fn new(module: usize, literal: &Expr, regex: &str) -> Self {
        let span = literal.span();
        let text = match literal {
            Expr::RawString { .. } => regex.to_owned(),
            _ => escape(regex),
        };
        let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        Self { module, start: offset(span.start), end: offset(span.end), text }
    }
}

/// As it stands between quotes.
fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// The modules with the literals replaced.
pub(super) fn rewrite(modules: &[Module], mut rewrites: Vec<Rewrite>) -> Vec<Module> {
    // From the end, so that the offsets before stay true.
    rewrites.sort_by_key(|rewrite| std::cmp::Reverse(rewrite.start));
    let mut modules = modules.to_vec();
    for rewrite in rewrites {
        let range = rewrite.start..rewrite.end;
        let module = modules.get_mut(rewrite.module).filter(|module| module.rego.get(range.clone()).is_some());
        if let Some(module) = module {
            module.rego.replace_range(range, &rewrite.text);
        }
    }
    modules
}
