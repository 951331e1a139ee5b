//! Regular expressions: what OPA (RE2) and regorus (the `regex` crate) mean alike, within the machine's size.
//!
//! `\d`, `\w`, `\s` and `\b` mean ASCII in OPA and Unicode in `regex`, where `\d` would match `٣`. They are written out
//! for the machine, and Unicode classes without the characters that Go does not know yet. Syntax that only `regex` has is
//! refused.

use super::super::functions::{Pattern, Regexes};
use regex::RegexBuilder;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, ClassUnicode, ClassUnicodeKind,
    Flag, FlagsItemKind, GroupKind, HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Span, Visitor,
    parse::Parser,
};
use regex_syntax::hir::{self, Hir, HirKind};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes of a compiled regex: regorus' own limit.
const MAX_COMPILED: usize = 100 * 1024;

/// Bytes that a regex may take while it is matched.
const MAX_CACHE: usize = 256 * 1024;

/// Regexes of a policy, at most, and ranges of characters in all of them, with their repetitions written out: compiling
/// a range takes about a microsecond.
const MAX_REGEXES: usize = 256;
const MAX_RANGES: usize = 64 * 1024;

/// The regexes of a policy: each literal is compiled once.
#[derive(Default)]
pub(super) struct Checked {
    /// As they are written, and what they are for the machine.
    known: BTreeMap<String, (Option<String>, Pattern)>,
    tried: usize,
    ranges: usize,
}

impl Checked {
    /// Checks a regex, and gives the one for the machine if it must be another.
    pub(super) fn check(&mut self, regex: &str) -> Result<Option<String>, String> {
        if let Some((rewritten, _)) = self.known.get(regex) {
            return Ok(rewritten.clone());
        }
        self.tried = self.tried.saturating_add(1);
        if self.tried > MAX_REGEXES {
            return Err(format!("found more than {MAX_REGEXES} regular expressions in the policy"));
        }
        // What is refused was looked at, too.
        if self.ranges > MAX_RANGES {
            return Err(Self::too_many(regex));
        }
        let invalid = |problem: String| format!("invalid regex `{regex}`: {}", last_line(&problem));
        let rewritten = rewrite(regex).map_err(|problem| match problem {
            Problem::Invalid(problem) => invalid(problem),
            Problem::Other(problem) => format!("the regex `{regex}` {problem}"),
        })?;
        let written = rewritten.as_deref().unwrap_or(regex);
        let tree = regex_syntax::parse(written).map_err(|error| invalid(error.to_string()))?;
        let Extent { places, ranges } = extent(&tree);
        let too_large = || format!("the regex `{regex}` is over {MAX_COMPILED} bytes when compiled");
        self.ranges = self.ranges.saturating_add(ranges);
        if ranges > MAX_RANGES / 2 {
            return Err(too_large());
        }
        if self.ranges > MAX_RANGES {
            return Err(Self::too_many(regex));
        }
        let compiled = RegexBuilder::new(written).size_limit(MAX_COMPILED).dfa_size_limit(MAX_CACHE).build();
        let regex_of = |compiled| Pattern { regex: compiled, places };
        let pattern = compiled.map(regex_of).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => too_large(),
            error => invalid(error.to_string()),
        })?;
        self.known.insert(regex.to_owned(), (rewritten.clone(), pattern));
        Ok(rewritten)
    }

    /// One that was checked.
    pub(super) fn get(&self, regex: &str) -> Option<&regex::Regex> {
        self.known.get(regex).map(|(_, pattern)| &pattern.regex)
    }

    fn too_many(regex: &str) -> String {
        format!("the regexes, up to `{regex}`, have more than {MAX_RANGES} characters and ranges")
    }

    /// For the evaluation.
    pub(super) fn into_regexes(self) -> Regexes {
        let known = self.known.into_iter();
        known.map(|(regex, (rewritten, pattern))| (rewritten.unwrap_or(regex), pattern)).collect()
    }
}

/// What is wrong with a regex.
enum Problem {
    /// It is none.
    Invalid(String),
    /// OPA means something else by it.
    Other(&'static str),
}

/// The regex for the machine, if it must be another.
fn rewrite(regex: &str) -> Result<Option<String>, Problem> {
    let tree = Parser::new().parse(regex).map_err(|error| Problem::Invalid(error.to_string()))?;
    let ascii = Ascii { regex, edits: Vec::new(), ignores_case: false, folded_class: false, repeats: vec![1] };
    ast::visit(&tree, ascii).map(|edits| apply(regex, edits)).map_err(Problem::Other)
}

fn last_line(problem: &str) -> &str {
    problem.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

/// How far a regex stretches when its repetitions are written out.
#[derive(Clone, Copy, Default)]
struct Extent {
    /// Characters and classes: where in it a match can be.
    places: usize,
    /// The ranges of the classes: what there is to compile.
    ranges: usize,
}

impl Extent {
    const fn and(self, other: Self) -> Self {
        Self { places: self.places.saturating_add(other.places), ranges: self.ranges.saturating_add(other.ranges) }
    }

    const fn times(self, times: usize) -> Self {
        Self { places: self.places.saturating_mul(times), ranges: self.ranges.saturating_mul(times) }
    }
}

/// The tree is no deeper than `regex_syntax` allows.
fn extent(tree: &Hir) -> Extent {
    let own = Extent { places: 1, ranges: 1 };
    match tree.kind() {
        HirKind::Empty | HirKind::Look(_) => own,
        HirKind::Literal(literal) => own.times(literal.0.len()),
        HirKind::Class(class) => {
            let ranges = match class {
                hir::Class::Unicode(class) => class.ranges().len(),
                hir::Class::Bytes(class) => class.ranges().len(),
            };
            // What is not ASCII takes several bytes.
            Extent { places: if class.is_utf8() && class.maximum_len() == Some(1) { 1 } else { 4 }, ranges }
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or_else(|| repetition.min.max(1));
            extent(&repetition.sub).times(usize::try_from(times).unwrap_or(usize::MAX)).and(own)
        }
        HirKind::Capture(capture) => extent(&capture.sub).and(own),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(extent).fold(own, Extent::and),
    }
}

fn apply(regex: &str, mut edits: Vec<(Span, Cow<'static, str>)>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_unstable_by_key(|(span, _)| span.start.offset);
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
            Ast::Group(group) => {
                if let GroupKind::CaptureName { name, .. } = &group.kind {
                    check_name(&name.name)?;
                }
                group.flags().map_or(Ok(()), |flags| self.flags(flags))
            }
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
        if matches!(repetition.op.kind, RepetitionKind::Range(_)) && !self.is_plain_range(repetition) {
            return Err(
                "has a repetition that OPA reads as text: write `{n}`, `{n,}` or `{n,m}`, without spaces or zeros before the numbers",
            );
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

    /// Whether the numbers are written as Go reads them.
    fn is_plain_range(&self, repetition: &ast::Repetition) -> bool {
        let span = repetition.op.span;
        let written = self.regex.get(span.start.offset..span.end.offset).unwrap_or_default();
        // `?` behind it makes it lazy.
        let numbers = written.trim_end_matches('?').strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let (least, most) = numbers.map_or(("", None), |numbers| match numbers.split_once(',') {
            Some((least, most)) => (least, Some(most).filter(|most| !most.is_empty())),
            None => (numbers, None),
        });
        is_plain_number(least) && most.is_none_or(is_plain_number)
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

fn is_plain_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err("has a group whose name has other characters than ASCII letters, digits and `_`, which OPA refuses")
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn matches(regex: &str, text: &str) -> bool {
        let mut checked = Checked::default();
        checked.check(regex).unwrap();
        checked.get(regex).unwrap().is_match(text)
    }

    /// The crate is built with these of Unicode's tables only.
    #[wasm_bindgen_test(unsupported = test)]
    fn the_tables_of_all_classes_are_there() {
        for class in CLASSES {
            assert!(Checked::default().check(&format!(r"^\p{{{class}}}$")).is_ok(), "{class}");
        }
        for (regex, matching, other) in [
            (r"^\pL+$", "aäжή", "1"),
            (r"^\p{Lu}$", "Ж", "ж"),
            (r"^\PN$", "x", "٣"),
            (r"^[\p{Greek}.]+$", "ή.", "ж"),
            ("^(?i)straße$", "STRAßE", "STRASSE"),
            ("^(?i)жk$", "Ж\u{212a}", "жx"),
        ] {
            assert!(matches(regex, matching), "{regex} {matching}");
            assert!(!matches(regex, other), "{regex} {other}");
        }
    }
}
