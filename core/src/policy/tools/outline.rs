//! Where the rules, bodies and conditions of a policy are, as its author wrote them.
//!
//! The machine runs modules whose regexes the admission has written out, so a position in its program is one in those;
//! what is shown to people comes from the original. Both have the same syntax tree.

use super::super::admission::{Parsed, children, comprehension, constant, head_name};
use super::super::error::Place;
use super::notes::Spot;
use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule, RuleBody, Span};
use std::collections::HashMap;
use std::ops::Range;

/// All bodies of all rules.
pub(super) struct Outline {
    bodies: Vec<OutlineBody>,
    defaults: HashMap<String, Place>,
    lines: Vec<Vec<usize>>,
    texts: Vec<String>,
    names: HashMap<String, usize>,
}

/// One body of a rule: what stands behind `if`, or an `else`.
pub(super) struct OutlineBody {
    /// The index of its module.
    module: usize,
    /// The bytes of its module, of the first body with the rule's head.
    range: Range<usize>,
    /// Where it begins.
    pub(super) place: Place,
    /// What stands before the conditions.
    pub(super) head: String,
    /// The comment before the rule.
    pub(super) about: Option<String>,
    /// Its conditions, as they stand there.
    pub(super) conditions: Vec<OutlineCondition>,
}

/// One statement of a body.
pub(super) struct OutlineCondition {
    range: Range<usize>,
    /// Where it begins.
    pub(super) place: Place,
    /// As it stands there.
    pub(super) text: String,
    /// The parts whose values say why it holds or fails, with their text.
    pub(super) parts: Vec<(String, Spot)>,
    /// The parts of its expressions whose values are operands of an instruction.
    pub(super) operands: HashMap<Spot, Operands>,
}

/// Where the operands of an expression stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// Of `==`, `+` and their like, left and right; of `x in xs`, the collection last.
    Two(Spot, Spot),
    /// The arguments of a call.
    Call(Vec<Spot>),
    /// What a reference starts from, and the computed keys, in the order of the look-ups.
    Reference(Spot, Vec<Spot>),
}

impl Outline {
    /// Of the modules as they are compiled, and as they were written.
    pub(super) fn new(compiled: &[Parsed], original: &[Parsed]) -> Self {
        let mut outline = Self {
            bodies: Vec::new(),
            defaults: HashMap::new(),
            lines: Vec::new(),
            texts: Vec::new(),
            names: HashMap::new(),
        };
        for (index, (compiled, original)) in compiled.iter().zip(original).enumerate() {
            let source = &compiled.tree.package.span.source;
            outline.names.insert(source.file().clone(), index);
            outline.texts.push(source.contents().clone());
            outline.lines.push(line_starts(source.contents()));
            for ((compiled_rule, head), (rule, _)) in compiled.rules().zip(original.rules()) {
                let name = head_name(head).map_or("", Span::text);
                let path = original.path_of(name);
                outline.add(index, path, compiled_rule, rule);
            }
        }
        outline
    }

    fn add(&mut self, module: usize, path: String, compiled: &Rule, original: &Rule) {
        match (compiled, original) {
            (Rule::Spec { span: position, bodies: compiled, .. }, Rule::Spec { span, bodies, .. }) => {
                let first = compiled.first().map_or(range(position), |body| start(position)..range(&body.span).end);
                let about = comment_before(span);
                let ranges = std::iter::once(first).chain(compiled.iter().skip(1).map(|body| range(&body.span)));
                if bodies.is_empty() {
                    self.bodies.push(OutlineBody::without_conditions(module, range(position), span, about.clone()));
                }
                for ((range, compiled), (index, body)) in ranges.zip(compiled).zip(bodies.iter().enumerate()) {
                    let begin = if index == 0 { span } else { &body.span };
                    self.bodies.push(OutlineBody {
                        module,
                        range,
                        place: Place::of(begin),
                        head: head(begin, body),
                        about: about.clone().filter(|_| index == 0),
                        conditions: conditions(module, &compiled.query, &body.query),
                    });
                }
            }
            (Rule::Default { .. }, Rule::Default { span, .. }) => {
                self.defaults.insert(path, Place::of(span));
            }
            _ => {}
        }
    }

    /// Where a rule's default is.
    pub(super) fn default(&self, rule: &str) -> Option<&Place> {
        self.defaults.get(rule)
    }

    /// The index of a module, by its name.
    pub(super) fn module(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The body at a place of the compiled modules, by its number.
    pub(super) fn body_at(&self, spot: Spot) -> Option<usize> {
        let offset = self.offset(spot)?;
        let inside = |body: &OutlineBody| body.module == spot.module && body.range.contains(&offset);
        let around = self.bodies.iter().enumerate().filter(|(_, body)| inside(body));
        around.max_by_key(|(_, body)| body.range.start).map(|(index, _)| index)
    }

    /// All bodies.
    pub(super) fn bodies(&self) -> &[OutlineBody] {
        &self.bodies
    }

    /// A body by its number.
    pub(super) fn body(&self, index: usize) -> Option<&OutlineBody> {
        self.bodies.get(index)
    }

    /// The condition of a body that is at this place.
    pub(super) fn condition_at(&self, body: usize, spot: Spot) -> Option<usize> {
        let offset = self.offset(spot)?;
        let body = self.bodies.get(body).filter(|body| body.module == spot.module)?;
        body.conditions.iter().position(|condition| condition.range.contains(&offset))
    }

    /// The byte at a line and column; regorus counts a tab as four columns.
    fn offset(&self, spot: Spot) -> Option<usize> {
        let begin = *self.lines.get(spot.module)?.get(spot.line.checked_sub(1)?)?;
        let text = self.texts.get(spot.module)?.get(begin..)?;
        let mut left = spot.column.saturating_sub(1);
        for (index, character) in text.char_indices() {
            let width = if character == '\t' { 4 } else { 1 };
            if left < width {
                return Some(begin.saturating_add(index));
            }
            left = left.saturating_sub(width);
        }
        None
    }
}

impl OutlineBody {
    fn without_conditions(module: usize, range: Range<usize>, span: &Span, about: Option<String>) -> Self {
        let head = one_line(span.text());
        Self { module, range, place: Place::of(span), head, about, conditions: Vec::new() }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index.saturating_add(1))).collect()
}

fn start(span: &Span) -> usize {
    usize::try_from(span.start).unwrap_or(usize::MAX)
}

fn range(span: &Span) -> Range<usize> {
    start(span)..usize::try_from(span.end).unwrap_or(usize::MAX)
}

/// What stands between the beginning of a body and its first condition.
fn head(begin: &Span, body: &RuleBody) -> String {
    let contents = begin.source.contents();
    let end = match body.query.stmts.first() {
        Some(first) => start(&first.span),
        None => range(&body.span).end,
    };
    let text = contents.get(start(begin)..end).unwrap_or_default().trim_end();
    one_line(text.trim_end_matches('{').trim_end().trim_end_matches(" if"))
}

/// Characters of an expression that are shown.
const MAX_TEXT: usize = 160;

/// White space, line breaks and comments become one space each.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
    let joined = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", joined.get(..end).unwrap_or_default()),
        None => joined,
    }
}

/// The lines of comment right above a rule; of OPA's annotations, the title.
fn comment_before(span: &Span) -> Option<String> {
    let before = span.source.contents().get(..start(span))?;
    let mut lines: Vec<&str> =
        before.lines().rev().map(str::trim).map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    lines.reverse();
    if lines.first() == Some(&"METADATA") {
        return lines.iter().find_map(|line| line.strip_prefix("title:")).map(|title| title.trim().to_owned());
    }
    let text = one_line(&lines.join("\n"));
    (!text.is_empty()).then_some(text)
}

/// What a span covers; one that ends with a string leaves out the closing quote.
fn text(span: &Span) -> String {
    let rest = span.source.contents().get(range(span).end..).unwrap_or_default();
    let quote = rest.chars().next().filter(|character| matches!(character, '"' | '`'));
    span.text().chars().chain(quote).collect()
}

fn conditions(module: usize, compiled: &Query, original: &Query) -> Vec<OutlineCondition> {
    compiled
        .stmts
        .iter()
        .zip(&original.stmts)
        .map(|(compiled, original)| condition(module, compiled, original))
        .collect()
}

fn condition(module: usize, compiled: &LiteralStmt, original: &LiteralStmt) -> OutlineCondition {
    let mut parts = Parts { module, shown: Vec::new(), operands: HashMap::new() };
    parts.statement(compiled, original);
    OutlineCondition {
        range: range(&compiled.span),
        place: Place::of(&original.span),
        text: one_line(&text(&original.span)),
        parts: parts.shown,
        operands: parts.operands,
    }
}

/// Collects the parts of a condition.
struct Parts {
    module: usize,
    shown: Vec<(String, Spot)>,
    operands: HashMap<Spot, Operands>,
}

impl Parts {
    fn statement(&mut self, compiled: &LiteralStmt, original: &LiteralStmt) {
        match (&compiled.literal, &original.literal) {
            // The compiler gives the place of the statement to the instruction of the whole expression.
            (Literal::Expr { expr, .. }, Literal::Expr { expr: original, .. }) => {
                self.condition(expr, original, Spot::of(self.module, &compiled.span));
            }
            (Literal::NotExpr { expr, .. }, Literal::NotExpr { expr: original, .. }) => {
                self.condition(expr, original, Spot::of(self.module, expr.span()));
            }
            (Literal::SomeIn { collection, .. }, Literal::SomeIn { collection: original, .. }) => {
                self.expr(collection, original);
            }
            (Literal::Every { domain, query, .. }, Literal::Every { domain: original, query: original_query, .. }) => {
                self.expr(domain, original);
                for (compiled, original) in query.stmts.iter().zip(&original_query.stmts) {
                    self.statement(compiled, original);
                }
            }
            _ => {}
        }
    }

    /// A whole expression; the value of a whole call is whether the condition holds, and not shown.
    fn condition(&mut self, compiled: &Expr, original: &Expr, spot: Spot) {
        if is_shown(compiled) && !matches!(compiled, Expr::Call { .. }) {
            self.show(original, spot);
        }
        self.note_operands(compiled, spot);
        self.inside(compiled, original);
    }

    /// An expression, shown if it is more than its parts.
    fn expr(&mut self, compiled: &Expr, original: &Expr) {
        let spot = Spot::of(self.module, compiled.span());
        if is_shown(compiled) {
            self.show(original, spot);
        }
        self.note_operands(compiled, spot);
        self.inside(compiled, original);
    }

    fn show(&mut self, original: &Expr, spot: Spot) {
        let text = one_line(&text(original.span()));
        if !self.shown.iter().any(|(shown, _)| *shown == text) {
            self.shown.push((text, spot));
        }
    }

    fn inside(&mut self, compiled: &Expr, original: &Expr) {
        if comprehension(compiled).is_some() {
            return;
        }
        // What a reference starts from is seen in the reference.
        let is_reference = |expr: &Expr| matches!(expr, Expr::RefDot { .. } | Expr::RefBrack { .. });
        for (compiled_child, child) in children(compiled).into_iter().zip(children(original)) {
            let starts = is_reference(compiled) && std::ptr::eq(compiled_child, root_of(compiled));
            match compiled_child {
                _ if starts && is_reference(compiled_child) => {
                    self.note_operands(compiled_child, Spot::of(self.module, compiled_child.span()));
                    self.inside(compiled_child, child);
                }
                Expr::Var { .. } if starts => {}
                _ => self.expr(compiled_child, child),
            }
        }
    }

    fn note_operands(&mut self, expr: &Expr, place: Spot) {
        let spot = |expr: &Expr| Spot::of(self.module, expr.span());
        let operands = match expr {
            Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } | Expr::BinExpr { lhs, rhs, .. } => {
                Operands::Two(spot(lhs), spot(rhs))
            }
            Expr::Membership { value, collection, .. } => Operands::Two(spot(value), spot(collection)),
            Expr::Call { params, .. } => Operands::Call(params.iter().map(|param| spot(param)).collect()),
            Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let mut keys = Vec::new();
                let mut root = expr;
                while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = root {
                    if let Expr::RefBrack { index, .. } = root
                        && constant(index).is_none()
                    {
                        keys.insert(0, spot(index));
                    }
                    root = refr;
                }
                Operands::Reference(spot(root), keys)
            }
            _ => return,
        };
        self.operands.insert(place, operands);
    }
}

/// Whether the value of an expression says more than its parts.
fn is_shown(expr: &Expr) -> bool {
    match expr {
        Expr::Var { span, .. } => !matches!(span.text(), "_" | "input" | "data"),
        Expr::RefDot { .. } | Expr::RefBrack { .. } | Expr::Call { .. } => true,
        other => comprehension(other).is_some(),
    }
}

/// What a look-up looks into.
fn root_of(expr: &Expr) -> &Expr {
    match expr {
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => refr,
        other => other,
    }
}
