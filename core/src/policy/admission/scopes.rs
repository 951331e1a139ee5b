//! What a rule refers to outside of itself.
//!
//! A name stands for a variable where the body around it, or an argument of its function, declares one; everywhere else
//! it may stand for a rule, a function or an import.

use super::syntax::head_name;
use super::tree::{children, comprehension, variables};
use super::variables::declarations;
use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule, RuleHead, Span};
use std::collections::HashSet;

/// How a reference is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// For its value.
    Value,
    /// As the function of a call.
    Call,
    /// As the function of a call, though it begins with the name of a variable.
    CallOfVariable,
}

/// Shows every reference of a rule that does not begin with a declared variable, and every called function.
pub(super) fn walk<'a>(rule: &'a Rule, show: &mut dyn FnMut(&'a Expr, Use)) {
    let Rule::Spec { head, bodies, .. } = rule else { return };
    let (args, terms) = match head {
        RuleHead::Func { args, assign, .. } => (args.as_slice(), assign.iter().map(|assign| &assign.value).collect()),
        RuleHead::Compr { refr, assign, .. } => {
            let index = match refr.as_ref() {
                Expr::RefBrack { index, .. } => Some(index),
                _ => None,
            };
            (&[][..], index.into_iter().chain(assign.iter().map(|assign| &assign.value)).collect::<Vec<_>>())
        }
        RuleHead::Set { key, .. } => (&[][..], key.iter().collect()),
    };
    let terms: Vec<&Expr> = terms.into_iter().map(AsRef::as_ref).collect();
    let arguments = args.iter().flat_map(|arg| variables(arg)).map(Span::text).collect();
    let mut walker = Walker { declared: vec![arguments], show };
    if bodies.is_empty() {
        terms.iter().for_each(|term| walker.expr(term));
    }
    for body in bodies {
        let own: Vec<&Expr> = body.assign.iter().map(|assign| assign.value.as_ref()).collect();
        walker.body(&body.query, if body.is_else { &own } else { &terms });
    }
}

struct Walker<'a, 's> {
    /// By the bodies around, outermost first.
    declared: Vec<HashSet<&'a str>>,
    show: &'s mut dyn FnMut(&'a Expr, Use),
}

impl<'a> Walker<'a, '_> {
    /// A body, and the terms that it is for.
    fn body(&mut self, query: &'a Query, terms: &[&'a Expr]) {
        self.declared.push(query.stmts.iter().flat_map(declarations).map(Span::text).collect());
        query.stmts.iter().for_each(|statement| self.statement(statement));
        terms.iter().for_each(|term| self.expr(term));
        self.declared.pop();
    }

    fn statement(&mut self, statement: &'a LiteralStmt) {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|expr| self.expr(expr));
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr),
            Literal::Every { key, value, domain, query, .. } => {
                self.expr(domain);
                self.declared.push(key.iter().chain([value]).map(Span::text).collect());
                self.body(query, &[]);
                self.declared.pop();
            }
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::Call { fcn, params, .. } => {
                let used = if self.is_declared(fcn) { Use::CallOfVariable } else { Use::Call };
                (self.show)(fcn, used);
                params.iter().for_each(|param| self.expr(param));
            }
            _ => match comprehension(expr) {
                Some((terms, query)) => self.body(query, &terms),
                None => children(expr).into_iter().for_each(|child| self.expr(child)),
            },
        }
    }

    fn reference(&mut self, reference: &'a Expr) {
        if head_name(reference).is_some() && !self.is_declared(reference) {
            (self.show)(reference, Use::Value);
        }
        let mut part = reference;
        loop {
            match part {
                Expr::RefDot { refr, .. } => part = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.expr(index);
                    part = refr;
                }
                Expr::Var { .. } => return,
                other => return self.expr(other),
            }
        }
    }

    fn is_declared(&self, reference: &Expr) -> bool {
        let name = head_name(reference).map(Span::text);
        name.is_some_and(|name| name == "_" || self.declared.iter().any(|declared| declared.contains(name)))
    }
}
