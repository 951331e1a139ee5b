//! Regular expressions: what OPA (RE2) and regorus (the `regex` crate) mean alike, within the machine's size.
//!
//! `\d`, `\w`, `\s` and `\b` mean ASCII in OPA and Unicode in `regex`, where `\d` would match `٣`. They are written out
//! for the machine, and Unicode classes without the characters that Go does not know yet. Syntax that only `regex` has is
//! refused.

use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, ClassUnicode, ClassUnicodeKind,
    Flag, FlagsItemKind, HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Span, Visitor, parse::Parser,
};
use std::borrow::Cow;

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
    let edits = ast::visit(
        &tree,
        Ascii { regex, edits: Vec::new(), ignores_case: false, folded_class: false, repeats: vec![1] },
    )
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

/// A regex that is evaluated, within the machine's size.
pub(in crate::policy) fn compiled(regex: &str) -> Option<regex::Regex> {
    regex::RegexBuilder::new(regex).size_limit(MAX_COMPILED).build().ok()
}

fn apply(regex: &str, mut edits: Vec<(Span, Cow<'static, str>)>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(span, _)| span.start.offset);
    let mut rewritten = String::new();
    let mut done = 0;
    for (span, text) in edits {
        rewritten.push_str(regex.get(done..span.start.offset)?);
        rewritten.push_str(&text);
        done = span.end.offset;
    }
    rewritten.push_str(regex.get(done..)?);
    Some(rewritten)
}

/// Repetitions inside one another, multiplied: RE2's limit.
const MAX_REPEATS: u32 = 1000;

const UNKNOWN_CLASS: &str = "has a Unicode class other than a general category (but `C`) or a common script";

/// Unicode classes of Go and of `regex` that are the same but for new characters.
const CLASSES: [&str; 48] = [
    "L",
    "Lu",
    "Ll",
    "Lt",
    "Lm",
    "Lo",
    "M",
    "Mn",
    "Mc",
    "Me",
    "N",
    "Nd",
    "Nl",
    "No",
    "P",
    "Pc",
    "Pd",
    "Ps",
    "Pe",
    "Pi",
    "Pf",
    "Po",
    "S",
    "Sm",
    "Sc",
    "Sk",
    "So",
    "Z",
    "Zs",
    "Zl",
    "Zp",
    "Arabic",
    "Armenian",
    "Bengali",
    "Cyrillic",
    "Devanagari",
    "Georgian",
    "Greek",
    "Gujarati",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Tamil",
    "Telugu",
    "Thai",
];

/// Collects what must be written out; fails on what OPA does not have.
struct Ascii<'a> {
    regex: &'a str,
    edits: Vec<(Span, Cow<'static, str>)>,
    ignores_case: bool,
    folded_class: bool,
    repeats: Vec<u32>,
}

impl Visitor for Ascii<'_> {
    type Output = Vec<(Span, Cow<'static, str>)>;
    type Err = &'static str;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        if self.ignores_case && self.folded_class {
            return Err(r"has `\D`, `\W`, `\S` or a Unicode class together with `(?i)`: write the characters out");
        }
        Ok(self.edits)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Self::Err> {
        match tree {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), |flags| self.flags(flags)),
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::ClassPerl(class) => {
                self.folded_class |= class.negated;
                self.edits.push((class.span, written_out(class).into()));
                Ok(())
            }
            Ast::ClassUnicode(class) => self.unicode(class),
            Ast::ClassBracketed(class) => self.class(class.span),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => {
                    self.edits.push((assertion.span, r"(?-u:\b)".into()));
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
                self.folded_class |= class.negated;
                self.edits.push((class.span, written_out(class).into()));
                Ok(())
            }
            ClassSetItem::Unicode(class) => self.unicode(class),
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

impl Ascii<'_> {
    /// `[--a]` is a range in OPA, and three characters in `regex`.
    fn class(&self, span: Span) -> Result<(), &'static str> {
        let text = self.regex.get(span.start.offset..span.end.offset).unwrap_or_default();
        match text.trim_start_matches('[').trim_start_matches('^').starts_with("--") {
            true => Err("begins a class with `--`, which OPA reads differently"),
            false => Ok(()),
        }
    }

    /// Only what Go 1.26 knows: the classes of Unicode 15.
    fn unicode(&mut self, class: &ClassUnicode) -> Result<(), &'static str> {
        let name = match &class.kind {
            ClassUnicodeKind::OneLetter(letter) => letter.to_string(),
            ClassUnicodeKind::Named(name) => name.clone(),
            ClassUnicodeKind::NamedValue { .. } => return Err(UNKNOWN_CLASS),
        };
        if !CLASSES.contains(&name.as_str()) {
            return Err(UNKNOWN_CLASS);
        }
        self.folded_class = true;
        let not = if class.negated { "^" } else { "" };
        self.edits.push((class.span, format!(r"[{not}\p{{{name}}}&&\p{{age=15.0}}]").into()));
        Ok(())
    }

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
