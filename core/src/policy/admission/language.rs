//! Rego that the machine evaluates differently from OPA, or not at all.

use super::super::error::{AdmissionError, Refusal};
use super::builtins;
use super::findings::Findings;
use super::names::import_name;
use super::syntax::{Parsed, static_path};
use super::tree::{Visitor, children, comprehension, variables, walk_module};
use regorus::unstable::{AssignOp, BinOp, Expr, Import, Literal, LiteralStmt, Query, Rule, RuleHead, Span};
use regorus::value::{Object, Set};
use regorus::{Rc, Value};

/// Refuses it.
pub(super) fn check(module: &Parsed, found: &mut Findings) {
    if module.tree.target.is_some() {
        found.add(unsupported("`__target__` is", "remove it").at(&module.tree.package.span));
    }
    for import in &module.tree.imports {
        found.note(check_import(import).map_err(|refusal| refusal.at(&import.span)));
    }
    let mut statements = Statements { found };
    for (rule, _) in module.rules() {
        statements.found.note(check_rule(rule));
        if let Rule::Spec { bodies, .. } = rule {
            bodies.iter().for_each(|body| statements.check_first(&body.query));
        }
    }
    walk_module(&module.tree, &mut statements);
}

const fn unsupported(construct: &'static str, advice: &'static str) -> Refusal {
    Refusal::Unsupported { construct, advice }
}

/// An import of data or input under a name that nothing else has, or one that turns on keywords.
fn check_import(import: &Import) -> Result<(), Refusal> {
    if let Some(name) = import_name(import) {
        return check_name(name);
    }
    let path = static_path(&import.refr).unwrap_or_default().join(".");
    match path.strip_prefix("future.keywords.") {
        Some("contains" | "every" | "if" | "in") => Ok(()),
        None if matches!(path.as_str(), "rego.v1" | "future.keywords") => Ok(()),
        _ => Err(unsupported("an import of what is neither data nor a keyword is", "remove it")),
    }
}

fn check_rule(rule: &Rule) -> Result<(), AdmissionError> {
    match rule {
        Rule::Default { span, args, .. } if !args.is_empty() => {
            Err(unsupported("a default for a function is", "end the function with `else := …`").at(span))
        }
        Rule::Default { refr, value, .. } => {
            check_head_name(refr)?;
            match constant(value) {
                Some(_) => Ok(()),
                None => Err(unsupported("a computed default is", "write a literal").at(value.span())),
            }
        }
        Rule::Spec { head, .. } => check_head(head),
    }
}

fn check_head(head: &RuleHead) -> Result<(), AdmissionError> {
    match head {
        RuleHead::Compr { refr, .. } => match refr.as_ref() {
            Expr::RefBrack { refr, index, .. } => check_head_name(refr).and_then(|()| match constant(index) {
                Some(_) => Err(ONE_KEY.at(index.span())),
                None => Ok(()),
            }),
            refr => check_head_name(refr),
        },
        RuleHead::Set { refr, key: Some(_), .. } => check_head_name(refr),
        RuleHead::Set { refr, .. } => Err(DOTTED.at(refr.span())),
        RuleHead::Func { refr, args, span, .. } => {
            check_head_name(refr)?;
            if !is_called_at_once(refr.span()) {
                return Err(SPACED.at(refr.span()));
            }
            if args.is_empty() {
                return Err(
                    unsupported("a function without parameters is", "write a rule, without the brackets").at(span)
                );
            }
            if args.len() > builtins::MAX_ARGUMENTS {
                let (found, limit) = (args.len(), builtins::MAX_ARGUMENTS);
                return Err(Refusal::TooMuch { what: "parameters of a function", found, limit }.at(span));
            }
            args.iter().try_for_each(|arg| check_pattern(arg))
        }
    }
}

const DOTTED: Refusal = unsupported("a rule name with dots is", "give the rule a package of its own");

const ONE_KEY: Refusal =
    unsupported("a rule for one literal key of an object is", "write one rule with the whole object");

fn check_head_name(refr: &Expr) -> Result<(), AdmissionError> {
    match refr {
        // Only in Rego v0 are these no keywords.
        Expr::Var { span, .. } if matches!(span.text(), "if" | "in" | "every" | "contains") => {
            Err(unsupported("a rule with the name of a keyword is", "rename it").at(span))
        }
        Expr::Var { span, .. } => check_name(span.text()).map_err(|refusal| refusal.at(span)),
        other => Err(DOTTED.at(other.span())),
    }
}

/// A rule or import that has a builtin's name would be called in its place, or the other way round.
fn check_name(name: &str) -> Result<(), Refusal> {
    if matches!(name, "input" | "data") {
        return Err(unsupported("a rule or import with the name `input` or `data` is", "rename it"));
    }
    if builtins::is_builtin_name(name) {
        return Err(unsupported("a rule or import with the name of a builtin function is", "rename it"));
    }
    Ok(())
}

/// What a value is matched against: variables, scalars and arrays of them.
fn check_pattern(pattern: &Expr) -> Result<(), AdmissionError> {
    match pattern {
        Expr::Var { .. } => Ok(()),
        Expr::Array { items, .. } => items.iter().try_for_each(|item| check_pattern(item)),
        scalar if constant(scalar).is_some() && !matches!(scalar, Expr::Object { .. } | Expr::Set { .. }) => Ok(()),
        // The machine matches an object that has more members, too.
        other => Err(unsupported(
            "a pattern other than variables, scalars and arrays is",
            "name the value and look up its members",
        )
        .at(other.span())),
    }
}

/// `:=` binds variables; OPA refuses to assign to anything else.
fn check_assigned(pattern: &Expr) -> Result<(), AdmissionError> {
    if is_blank(pattern) {
        // The machine does not look at the value, which is undefined perhaps.
        return Err(unsupported("`_ := …` is", "write `_ = …`, or the value alone").at(pattern.span()));
    }
    check_parts_assigned(pattern)
}

fn check_parts_assigned(pattern: &Expr) -> Result<(), AdmissionError> {
    match pattern {
        Expr::Var { .. } => Ok(()),
        Expr::Array { items, .. } => items.iter().try_for_each(|item| check_parts_assigned(item)),
        other => Err(unsupported("`:=` to a literal is", "write `=` to match it").at(other.span())),
    }
}

struct Statements<'a> {
    found: &'a mut Findings,
}

impl Visitor for Statements<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        if let Some(with) = statement.with_mods.first() {
            self.found.add(unsupported("`with` is", "pass what it replaces as a function's argument").at(&with.span));
        }
        match &statement.literal {
            Literal::Every { key, value, domain, query, .. } => {
                self.check_first(query);
                let is_own = |name: &&Span| key.iter().chain([value]).any(|own| own.text() == name.text());
                if let Some(name) = variables(domain).into_iter().find(is_own) {
                    let construct = "a variable of `every` that its collection mentions is";
                    self.found.add(unsupported(construct, "give it another name").at(name));
                }
            }
            Literal::SomeIn { key, value, .. } => {
                let mut patterns = key.iter().chain([value]);
                self.found.note(patterns.try_for_each(|pattern| check_pattern(pattern)));
            }
            Literal::Expr { expr, .. } if matches!(expr.as_ref(), Expr::Set { .. }) => {
                // OPA reads `if {a, b}` as a body, and refuses its comma.
                let advice = "it always holds: write the conditions one by one";
                self.found.add(unsupported("a set as a condition is", advice).at(expr.span()));
            }
            _ => {}
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Membership { key: Some(_), span, .. } => {
                self.found.add(unsupported("`key, value in …` is", "write `collection[key] == value`").at(span));
            }
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                self.found.note(match op {
                    AssignOp::ColEq => {
                        check_sides(lhs, rhs).and_then(|()| check_pattern(lhs)).and_then(|()| check_assigned(lhs))
                    }
                    AssignOp::Eq => check_sides(lhs, rhs)
                        .and_then(|()| [lhs, rhs].into_iter().try_for_each(|side| check_unified(side))),
                });
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                self.check_union(items.first().map(AsRef::as_ref));
            }
            Expr::Object { fields, .. } => self.check_union(fields.first().map(|(_, _, value)| value.as_ref())),
            Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } if is_scalar(refr) => {
                let construct = "a look-up in a literal that is no collection is";
                self.found.add(unsupported(construct, "look up in a collection").at(expr.span()));
            }
            Expr::RefBrack { index, .. }
                if matches!(index.as_ref(), Expr::Set { .. } | Expr::Object { .. }) && !variables(index).is_empty() =>
            {
                let construct = "a look-up by a set or object with variables is";
                self.found.add(unsupported(construct, "assign the key first").at(index.span()));
            }
            Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } if is_computed(refr) => {
                let construct = "a look-up in a comprehension, or in the result of a call that has one, is";
                self.found.add(unsupported(construct, "assign the result first").at(expr.span()));
            }
            // OPA reads a name and a condition in brackets.
            Expr::Call { fcn, .. } if !is_called_at_once(fcn.span()) => self.found.add(SPACED.at(fcn.span())),
            Expr::UnaryExpr { span, .. } => {
                self.found.add(unsupported("`-` before what is no number is", "write `0 - …`").at(span));
            }
            _ => {}
        }
    }
}

const SPACED: Refusal = unsupported("white space before the `(` of a function is", "remove it");

fn is_called_at_once(function: &Span) -> bool {
    let rest = usize::try_from(function.end).ok().and_then(|end| function.source.contents().get(end..));
    rest.is_some_and(|rest| rest.starts_with('('))
}

fn is_blank(expr: &Expr) -> bool {
    matches!(expr, Expr::Var { span, .. } if span.text() == "_")
}

const fn is_scalar(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. }
    )
}

impl Statements<'_> {
    /// OPA reads `[a | b]`, and `{a | b}` as a body, as a comprehension; regorus takes some of them for a union.
    fn check_union(&mut self, first: Option<&Expr>) {
        if let Some(union) = first.filter(|expr| is_union(expr)) {
            let construct = "`|` at the beginning of a body, array, set or object is";
            self.found.add(unsupported(construct, "assign the union first").at(union.span()));
        }
    }

    fn check_first(&mut self, query: &Query) {
        let first = query.stmts.first().and_then(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => Some(expr.as_ref()),
            _ => None,
        });
        self.check_union(first);
    }
}

fn is_union(expr: &Expr) -> bool {
    match expr {
        Expr::BinExpr { op: BinOp::Union, .. } => true,
        Expr::BinExpr { lhs, rhs, .. } | Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } => {
            is_union(lhs) || is_union(rhs)
        }
        Expr::Membership { value, collection, .. } => is_union(value) || is_union(collection),
        _ => false,
    }
}

/// OPA takes the comprehension's variables for unsafe there.
fn is_computed(expr: &Expr) -> bool {
    comprehension(expr).is_some() || (matches!(expr, Expr::Call { .. }) && contains_comprehension(expr))
}

fn contains_comprehension(expr: &Expr) -> bool {
    comprehension(expr).is_some() || children(expr).into_iter().any(contains_comprehension)
}

fn check_sides(lhs: &Expr, rhs: &Expr) -> Result<(), AdmissionError> {
    if is_blank(lhs) && is_blank(rhs) {
        return Err(unsupported("`_ = _` is", "remove it").at(lhs.span()));
    }
    let pattern_and_other = |(one, other): (&Expr, &Expr)| {
        let is_other = is_scalar(other) || matches!(other, Expr::Set { .. } | Expr::Object { .. });
        matches!(one, Expr::Array { .. }) && is_other
    };
    if [(lhs, rhs), (rhs, lhs)].into_iter().any(pattern_and_other) {
        let construct = "matching an array with a literal that is none is";
        return Err(unsupported(construct, "remove it").at(lhs.span()));
    }
    if let (Expr::Array { items: lhs, .. }, Expr::Array { items: rhs, .. }) = (lhs, rhs) {
        return lhs.iter().zip(rhs).try_for_each(|(lhs, rhs)| check_sides(lhs, rhs));
    }
    Ok(())
}

/// `=` with an object matches as a pattern, also where OPA compares.
fn check_unified(side: &Expr) -> Result<(), AdmissionError> {
    match side {
        Expr::Object { span, .. } | Expr::Set { span, .. } => {
            Err(unsupported("`=` with an object or set is", "write `==` to compare, `:=` to assign").at(span))
        }
        Expr::Array { items, .. } => items.iter().try_for_each(|item| check_unified(item)),
        _ => Ok(()),
    }
}

/// The value of a literal.
pub(in crate::policy) fn constant(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::String { value, .. }
        | Expr::RawString { value, .. }
        | Expr::Number { value, .. }
        | Expr::Bool { value, .. }
        | Expr::Null { value, .. } => Some(value.clone()),
        Expr::Array { items, .. } => {
            let items: Option<Vec<Value>> = items.iter().map(|item| constant(item)).collect();
            Some(Value::from(items?))
        }
        Expr::Set { items, .. } => {
            let mut set = Set::new();
            for item in items {
                set.insert(constant(item)?);
            }
            Some(Value::Set(Rc::new(set)))
        }
        Expr::Object { fields, .. } => {
            let mut object = Object::new();
            for (_, key, value) in fields {
                object.insert(constant(key)?, constant(value)?);
            }
            Some(Value::Object(Rc::new(object)))
        }
        _ => None,
    }
}
