//! Walking a syntax tree.

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Query, Rule, RuleHead, Span};

/// Something that looks at every node. What is inside a node is visited after the node.
pub(in crate::policy) trait Visitor {
    /// An expression, its parts to follow.
    fn expr(&mut self, _expr: &Expr) {}

    /// A statement of a body, its parts to follow.
    fn statement(&mut self, _statement: &LiteralStmt) {}
}

/// Visits all rules of a module.
pub(in crate::policy) fn walk_module<V: Visitor>(module: &Module, visitor: &mut V) {
    module.policy.iter().for_each(|rule| walk_rule(rule, visitor));
}

/// Visits one rule: its head, then its bodies.
pub(in crate::policy) fn walk_rule<V: Visitor>(rule: &Rule, visitor: &mut V) {
    let (head, bodies) = match rule {
        Rule::Default { refr, args, value, .. } => {
            walk_expr(refr, visitor);
            args.iter().for_each(|arg| walk_expr(arg, visitor));
            return walk_expr(value, visitor);
        }
        Rule::Spec { head, bodies, .. } => (head, bodies),
    };
    walk_head(head, visitor);
    for body in bodies {
        if let Some(assign) = &body.assign {
            walk_expr(&assign.value, visitor);
        }
        walk_query(&body.query, visitor);
    }
}

fn walk_head<V: Visitor>(head: &RuleHead, visitor: &mut V) {
    let (refr, args, value) = match head {
        RuleHead::Compr { refr, assign, .. } => (refr, &[][..], assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Set { refr, key, .. } => (refr, &[][..], key.as_ref()),
        RuleHead::Func { refr, args, assign, .. } => {
            (refr, args.as_slice(), assign.as_ref().map(|assign| &assign.value))
        }
    };
    walk_expr(refr, visitor);
    args.iter().chain(value).for_each(|expr| walk_expr(expr, visitor));
}

/// Visits the statements of a body.
pub(in crate::policy) fn walk_query<V: Visitor>(query: &Query, visitor: &mut V) {
    query.stmts.iter().for_each(|statement| walk_statement(statement, visitor));
}

fn walk_statement<V: Visitor>(statement: &LiteralStmt, visitor: &mut V) {
    visitor.statement(statement);
    for with in &statement.with_mods {
        walk_expr(&with.r#as, visitor);
    }
    match &statement.literal {
        Literal::SomeVars { .. } => {}
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).for_each(|expr| walk_expr(expr, visitor));
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => walk_expr(expr, visitor),
        Literal::Every { domain, query, .. } => {
            walk_expr(domain, visitor);
            walk_query(query, visitor);
        }
    }
}

/// Visits an expression and all in it, but not the names of called functions.
pub(in crate::policy) fn walk_expr<V: Visitor>(expr: &Expr, visitor: &mut V) {
    visitor.expr(expr);
    children(expr).into_iter().for_each(|child| walk_expr(child, visitor));
    let Some((terms, query)) = comprehension(expr) else { return };
    terms.into_iter().for_each(|term| walk_expr(term, visitor));
    walk_query(query, visitor);
}

/// The parts of an expression that are evaluated with it: not those of a comprehension, nor a called function's name.
pub(in crate::policy) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. }
        | Expr::ArrayCompr { .. }
        | Expr::SetCompr { .. }
        | Expr::ObjectCompr { .. } => Vec::new(),
        Expr::Array { items, .. } | Expr::Set { items, .. } | Expr::Call { params: items, .. } => {
            items.iter().map(AsRef::as_ref).collect()
        }
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()]).collect()
        }
        Expr::UnaryExpr { expr: child, .. } | Expr::RefDot { refr: child, .. } => vec![child],
        Expr::RefBrack { refr: first, index: second, .. }
        | Expr::BinExpr { lhs: first, rhs: second, .. }
        | Expr::BoolExpr { lhs: first, rhs: second, .. }
        | Expr::ArithExpr { lhs: first, rhs: second, .. }
        | Expr::AssignExpr { lhs: first, rhs: second, .. } => vec![first, second],
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
        }
    }
}

/// What a comprehension yields, and its body.
pub(in crate::policy) fn comprehension(expr: &Expr) -> Option<(Vec<&Expr>, &Query)> {
    match expr {
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => Some((vec![term], query)),
        Expr::ObjectCompr { key, value, query, .. } => Some((vec![key, value], query)),
        _ => None,
    }
}

/// The variables among the parts of an expression.
pub(super) fn variables(expr: &Expr) -> Vec<&Span> {
    let mut found = Vec::new();
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        if let Expr::Var { span, .. } = expr {
            found.push(span);
        }
        pending.extend(children(expr));
    }
    found
}
