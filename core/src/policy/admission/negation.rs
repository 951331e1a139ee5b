//! `not` and variables.
//!
//! A variable that only a `not` mentions is unsafe in OPA, which refuses the policy. regorus would loop over its values
//! outside of the `not`, so that `not data.denied[_] == input.sub` holds as soon as one element differs.

use super::super::error::{AdmissionError, Refusal};
use super::findings::Findings;
use super::syntax::{Parsed, head_name};
use super::tree::{children, comprehension, variables};
use regorus::unstable::{Expr, Import, Literal, Query, Rule, RuleHead, Span};
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

/// The name under which a module knows what it imports.
pub(in crate::policy) fn import_name(import: &Import) -> Option<&str> {
    match (&import.r#as, import.refr.as_ref()) {
        (Some(alias), _) => Some(alias.text()),
        (None, Expr::RefDot { field, .. }) => Some(field.0.text()),
        (None, _) => None,
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
    query.stmts.iter().try_for_each(|statement| check_literal(&statement.literal, &known))
}

/// The names that hold in a body: those from outside, and those that it mentions without a `not`.
fn bound_in<'a>(query: &'a Query, outer: &Names<'a>) -> Names<'a> {
    let mut known = outer.clone();
    for statement in &query.stmts {
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
    // A type error would end the body, not make the sum undefined.
    if matches!(expr, Expr::ArithExpr { .. }) {
        let advice = "compare the result";
        return Err(Refusal::Unsupported { construct: "`not` with arithmetic is", advice }.at(expr.span()));
    }
    let unbound = variables(expr).into_iter().find(|variable| !known.contains(variable.text()));
    let Some(variable) = unbound else { return Ok(()) };
    Err(Refusal::Unsupported {
        construct: "a variable that only a `not` mentions is",
        advice: "bind it before the `not`, or move what is negated into a rule of its own",
    }
    .at(variable))
}
