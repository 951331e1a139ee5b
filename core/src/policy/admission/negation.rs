//! Variables that OPA calls unsafe, and regorus does not: in `not`, and in calls.
//!
//! A variable that only a `not` mentions is unsafe in OPA, which refuses the policy. regorus would loop over its values
//! outside of the `not`, so that `not data.denied[_] == input.sub` holds as soon as one element differs.

use super::super::error::{AdmissionError, Refusal};
use super::findings::Findings;
use super::names::import_name;
use super::syntax::{Parsed, head_name};
use super::tree::{children, comprehension, variables};
use super::variables::free_in;
use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule, RuleHead, Span};
use std::collections::{HashMap, HashSet};

/// Names that hold, and those from outside. A scope is looked through, never copied: there may be thousands of rules.
#[derive(Clone, Copy)]
struct Scope<'a> {
    outer: Option<&'a Scope<'a>>,
    own: &'a HashSet<&'a str>,
}

impl<'a> Scope<'a> {
    fn inside(&'a self, own: &'a HashSet<&'a str>) -> Self {
        Self { outer: Some(self), own }
    }

    fn contains(&self, name: &str) -> bool {
        self.own.contains(name) || self.outer.is_some_and(|outer| outer.contains(name))
    }
}

/// Refuses it.
pub(super) fn check(module: &Parsed, all: &[Parsed], found: &mut Findings) {
    let mut known = HashSet::from(["input", "data"]);
    let siblings = all.iter().filter(|other| other.package == module.package);
    known.extend(siblings.flat_map(Parsed::rules).filter_map(|(_, head)| head_name(head)).map(Span::text));
    known.extend(module.tree.imports.iter().filter_map(import_name));
    let known = Scope { outer: None, own: &known };
    for (rule, _) in module.rules() {
        found.note(check_rule(rule, &known));
    }
}

fn check_rule(rule: &Rule, known: &Scope<'_>) -> Result<(), AdmissionError> {
    let Rule::Spec { head, bodies, .. } = rule else { return Ok(()) };
    let (args, value) = match head {
        RuleHead::Func { args, assign, .. } => (args.as_slice(), assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Compr { assign, .. } => (&[][..], assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Set { key, .. } => (&[][..], key.as_ref()),
    };
    let args = args.iter().flat_map(|arg| names(arg)).collect();
    let known = known.inside(&args);
    if bodies.is_empty() {
        return value.into_iter().try_for_each(|value| check_nested(value, &known));
    }
    for body in bodies {
        let bound = bound_in(&body.query);
        let inside = known.inside(&bound);
        let values = body.assign.iter().map(|assign| &assign.value).chain(value);
        values.into_iter().try_for_each(|value| check_nested(value, &inside))?;
        check_query(&body.query, &known)?;
    }
    Ok(())
}

fn check_query(query: &Query, outer: &Scope<'_>) -> Result<(), AdmissionError> {
    let bound = bound_in(query);
    let known = outer.inside(&bound);
    // Names that one statement only binds do not hold before it.
    let mut binders: HashMap<&str, usize> = HashMap::new();
    for statement in &query.stmts {
        for name in bound_by(statement) {
            let count = binders.entry(name).or_default();
            *count = count.saturating_add(1);
        }
    }
    check_order(query, outer)?;
    query.stmts.iter().try_for_each(|statement| {
        check_literal(&statement.literal, &known)?;
        let Literal::Expr { expr, .. } = &statement.literal else { return Ok(()) };
        let own = bound_by(statement);
        check_calls(expr, &|name| {
            let others = binders.get(name).copied().unwrap_or(0).saturating_sub(usize::from(own.contains(name)));
            others > 0 || outer.contains(name)
        })
    })
}

/// OPA does not move an `every` behind what binds a variable of its body.
fn check_order(query: &Query, outer: &Scope<'_>) -> Result<(), AdmissionError> {
    let mut before = HashSet::new();
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (index, statement) in query.stmts.iter().enumerate() {
        last.extend(bound_by(statement).into_iter().map(|name| (name, index)));
    }
    for (index, statement) in query.stmts.iter().enumerate() {
        if let Literal::Every { key, value, query: body, span, .. } = &statement.literal {
            let own = |name: &str| key.iter().chain([value]).any(|own| own.text() == name);
            let is_late = |name: &str| {
                let bound = before.contains(name) || outer.contains(name);
                !own(name) && !bound && last.get(name).is_some_and(|last| *last > index)
            };
            if free_in(body, &[]).into_iter().any(is_late) {
                let construct = "an `every` before what binds a variable of its body is";
                return Err(Refusal::Unsupported { construct, advice: "write the `every` behind it" }.at(span));
            }
        }
        before.extend(bound_by(statement));
    }
    Ok(())
}

/// A call in an expression is made before what is around it, so what is around it cannot bind the call's variables.
fn check_calls(expr: &Expr, is_known: &dyn Fn(&str) -> bool) -> Result<(), AdmissionError> {
    for call in children(expr).into_iter().flat_map(calls) {
        let bound: HashSet<&str> = indices(call).collect();
        let unbound = |name: &&Span| !is_known(name.text()) && !bound.contains(name.text());
        if let Some(name) = arguments(call).into_iter().find(unbound) {
            return Err(Refusal::Unsupported {
                construct: "a variable that a call needs, and only the same expression looks up by, is",
                advice: "write the look-up as a condition before",
            }
            .at(name));
        }
    }
    Ok(())
}

/// The calls and operators in an expression, itself included.
fn calls(expr: &Expr) -> Vec<&Expr> {
    let own = matches!(
        expr,
        Expr::Call { .. }
            | Expr::ArithExpr { .. }
            | Expr::BinExpr { .. }
            | Expr::BoolExpr { .. }
            | Expr::Membership { .. }
    );
    own.then_some(expr).into_iter().chain(children(expr).into_iter().flat_map(calls)).collect()
}

/// The variables that an expression looks up by.
fn indices(expr: &Expr) -> Box<dyn Iterator<Item = &str> + '_> {
    let own = match expr {
        Expr::RefBrack { index, .. } => variables(index),
        _ => Vec::new(),
    };
    Box::new(own.into_iter().map(Span::text).chain(children(expr).into_iter().flat_map(indices)))
}

/// The variables of an expression, other than those that it looks up by.
fn arguments(expr: &Expr) -> Vec<&Span> {
    match expr {
        Expr::Var { span, .. } if span.text() != "_" => vec![span],
        Expr::RefBrack { refr, .. } => arguments(refr),
        other => children(other).into_iter().flat_map(arguments).collect(),
    }
}

/// The names that a body mentions without a `not`.
fn bound_in(query: &Query) -> HashSet<&str> {
    query.stmts.iter().flat_map(bound_by).collect()
}

fn bound_by(statement: &LiteralStmt) -> HashSet<&str> {
    match &statement.literal {
        Literal::Expr { expr, .. } => names(expr).collect(),
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).flat_map(|expr| names(expr)).collect()
        }
        Literal::Every { domain, .. } => names(domain).collect(),
        Literal::NotExpr { .. } | Literal::SomeVars { .. } => HashSet::new(),
    }
}

/// `_` is another variable each time.
fn names(expr: &Expr) -> impl Iterator<Item = &str> {
    variables(expr).into_iter().map(Span::text).filter(|name| *name != "_")
}

fn check_literal(literal: &Literal, known: &Scope<'_>) -> Result<(), AdmissionError> {
    match literal {
        Literal::SomeVars { .. } => Ok(()),
        Literal::Expr { expr, .. } => check_nested(expr, known),
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).try_for_each(|expr| check_nested(expr, known))
        }
        Literal::Every { key, value, domain, query, .. } => {
            check_nested(domain, known)?;
            let own = key.iter().chain([value]).map(Span::text).collect();
            check_query(query, &known.inside(&own))
        }
        Literal::NotExpr { expr, .. } => {
            check_negated(expr, known)?;
            check_nested(expr, known)
        }
    }
}

/// The bodies of comprehensions in an expression.
fn check_nested(expr: &Expr, known: &Scope<'_>) -> Result<(), AdmissionError> {
    if let Some((terms, query)) = comprehension(expr) {
        let bound = bound_in(query);
        let inside = known.inside(&bound);
        terms.into_iter().try_for_each(|term| check_nested(term, &inside))?;
        check_query(query, known)?;
    }
    children(expr).into_iter().try_for_each(|child| check_nested(child, known))
}

fn check_negated(expr: &Expr, known: &Scope<'_>) -> Result<(), AdmissionError> {
    if matches!(expr, Expr::AssignExpr { .. }) {
        let advice = "write `!=`, or `not … == …`";
        return Err(Refusal::Unsupported { construct: "`not` with `=` or `:=` is", advice }.at(expr.span()));
    }
    let unbound = variables(expr).into_iter().find(|variable| !known.contains(variable.text()));
    let Some(variable) = unbound else { return Ok(()) };
    Err(Refusal::Unsupported {
        construct: "a variable that only a `not` mentions is",
        advice: "bind it before the `not`, or move what is negated into a rule of its own",
    }
    .at(variable))
}
