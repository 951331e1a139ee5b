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
use std::collections::HashSet;

type Names<'a> = HashSet<&'a str>;

/// Refuses it.
pub(super) fn check(module: &Parsed, all: &[Parsed], found: &mut Findings) {
    let mut known: Names<'_> = HashSet::from(["input", "data"]);
    let siblings = all.iter().filter(|other| other.package == module.package);
    known.extend(siblings.flat_map(Parsed::rules).filter_map(|(_, head)| head_name(head)).map(Span::text));
    known.extend(module.tree.imports.iter().filter_map(import_name));
    for (rule, _) in module.rules() {
        found.note(check_rule(rule, &known));
    }
}

fn check_rule(rule: &Rule, known: &Names<'_>) -> Result<(), AdmissionError> {
    let Rule::Spec { head, bodies, .. } = rule else { return Ok(()) };
    let (args, value) = match head {
        RuleHead::Func { args, assign, .. } => (args.as_slice(), assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Compr { assign, .. } => (&[][..], assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Set { key, .. } => (&[][..], key.as_ref()),
    };
    let mut known = known.clone();
    known.extend(args.iter().flat_map(|arg| names(arg)));
    if bodies.is_empty() {
        return value.into_iter().try_for_each(|value| check_nested(value, &known));
    }
    for body in bodies {
        let inside = bound_in(&body.query, &known);
        let values = body.assign.iter().map(|assign| &assign.value).chain(value);
        values.into_iter().try_for_each(|value| check_nested(value, &inside))?;
        check_query(&body.query, &known)?;
    }
    Ok(())
}

fn check_query(query: &Query, outer: &Names<'_>) -> Result<(), AdmissionError> {
    let known = bound_in(query, outer);
    check_order(query, outer)?;
    query.stmts.iter().try_for_each(|statement| {
        check_literal(&statement.literal, &known)?;
        let Literal::Expr { expr, .. } = &statement.literal else { return Ok(()) };
        let others = query.stmts.iter().filter(|other| !std::ptr::eq(*other, statement));
        check_calls(expr, &bound_by(others, outer))
    })
}

/// OPA does not move an `every` behind what binds a variable of its body.
fn check_order(query: &Query, outer: &Names<'_>) -> Result<(), AdmissionError> {
    for (index, statement) in query.stmts.iter().enumerate() {
        let Literal::Every { key, value, query: body, span, .. } = &statement.literal else { continue };
        let (before, after) = query.stmts.split_at_checked(index).unwrap_or_default();
        let before = bound_by(before.iter(), outer);
        let after = bound_by(after.iter().skip(1), &Names::new());
        let own = |name: &str| key.iter().chain([value]).any(|own| own.text() == name);
        if free_in(body, &[]).into_iter().any(|name| !own(name) && !before.contains(name) && after.contains(name)) {
            let construct = "an `every` before what binds a variable of its body is";
            return Err(Refusal::Unsupported { construct, advice: "write the `every` behind it" }.at(span));
        }
    }
    Ok(())
}

/// A call in an expression is made before what is around it, so what is around it cannot bind the call's variables.
fn check_calls(expr: &Expr, known: &Names<'_>) -> Result<(), AdmissionError> {
    for call in children(expr).into_iter().flat_map(calls) {
        let bound: Names<'_> = indices(call).collect();
        let unbound = |name: &&Span| !known.contains(name.text()) && !bound.contains(name.text());
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

/// The names that hold in a body: those from outside, and those that it mentions without a `not`.
fn bound_in<'a>(query: &'a Query, outer: &Names<'a>) -> Names<'a> {
    bound_by(query.stmts.iter(), outer)
}

fn bound_by<'a>(statements: impl Iterator<Item = &'a LiteralStmt>, outer: &Names<'a>) -> Names<'a> {
    let mut known = outer.clone();
    for statement in statements {
        match &statement.literal {
            Literal::Expr { expr, .. } => known.extend(names(expr)),
            Literal::SomeIn { key, value, collection, .. } => {
                known.extend(key.iter().chain([value, collection]).flat_map(|expr| names(expr)));
            }
            Literal::Every { domain, .. } => known.extend(names(domain)),
            Literal::NotExpr { .. } | Literal::SomeVars { .. } => {}
        }
    }
    known
}

/// `_` is another variable each time.
fn names(expr: &Expr) -> impl Iterator<Item = &str> {
    variables(expr).into_iter().map(Span::text).filter(|name| *name != "_")
}

fn check_literal(literal: &Literal, known: &Names<'_>) -> Result<(), AdmissionError> {
    match literal {
        Literal::SomeVars { .. } => Ok(()),
        Literal::Expr { expr, .. } => check_nested(expr, known),
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).try_for_each(|expr| check_nested(expr, known))
        }
        Literal::Every { key, value, domain, query, .. } => {
            check_nested(domain, known)?;
            let mut known = known.clone();
            known.extend(key.iter().chain([value]).map(Span::text));
            check_query(query, &known)
        }
        Literal::NotExpr { expr, .. } => {
            check_negated(expr, known)?;
            check_nested(expr, known)
        }
    }
}

/// The bodies of comprehensions in an expression.
fn check_nested(expr: &Expr, known: &Names<'_>) -> Result<(), AdmissionError> {
    if let Some((terms, query)) = comprehension(expr) {
        let inside = bound_in(query, known);
        terms.into_iter().try_for_each(|term| check_nested(term, &inside))?;
        check_query(query, known)?;
    }
    children(expr).into_iter().try_for_each(|child| check_nested(child, known))
}

fn check_negated(expr: &Expr, known: &Names<'_>) -> Result<(), AdmissionError> {
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
