//! Where variables are declared.
//!
//! OPA refuses a policy that declares a variable without using it, after it was mentioned, or twice in one body. Here
//! the machine's compiler would take one variable for another.

use super::super::error::{AdmissionError, Refusal};
use super::builtins::is_builtin;
use super::findings::Findings;
use super::syntax::{Parsed, head_name};
use super::tree::{Visitor, children, comprehension, variables, walk_rule};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Rule, RuleHead, Span};
use std::collections::{HashMap, HashSet};

type Names<'a> = HashSet<&'a str>;

/// Refuses it.
pub(super) fn check(module: &Parsed, found: &mut Findings) {
    for (rule, _) in module.rules() {
        found.note(check_rule(rule));
        let mut mentioned = Mentioned { names: HashSet::new() };
        walk_rule(rule, &mut mentioned);
        walk_rule(rule, &mut Calls { variables: mentioned.names, found });
    }
}

struct Mentioned {
    names: HashSet<String>,
}

impl Visitor for Mentioned {
    fn expr(&mut self, expr: &Expr) {
        if let Expr::Var { span, .. } = expr {
            self.names.insert(span.text().to_owned());
        }
    }

    fn statement(&mut self, statement: &LiteralStmt) {
        self.names.extend(declarations(statement).into_iter().map(|name| name.text().to_owned()));
    }
}

/// A variable that has a called builtin's name, or that of its namespace, hides it.
struct Calls<'a> {
    variables: HashSet<String>,
    found: &'a mut Findings,
}

impl Visitor for Calls<'_> {
    fn expr(&mut self, expr: &Expr) {
        let Expr::Call { fcn, .. } = expr else { return };
        let hidden = head_name(fcn).filter(|name| self.variables.contains(name.text()));
        if let Some(name) = hidden.filter(|_| is_builtin(fcn)) {
            self.found.add(refusal("a variable with the name of a called function is", "rename it", name));
        }
    }
}

fn check_rule(rule: &Rule) -> Result<(), AdmissionError> {
    let Rule::Spec { head, bodies, .. } = rule else { return Ok(()) };
    let (args, terms) = match head {
        RuleHead::Func { args, assign, .. } => {
            (args.as_slice(), assign.iter().map(|assign| assign.value.as_ref()).collect::<Vec<_>>())
        }
        RuleHead::Compr { refr, assign, .. } => {
            let value = assign.iter().map(|assign| assign.value.as_ref());
            (&[][..], value.chain([refr.as_ref()]).collect())
        }
        RuleHead::Set { key, .. } => (&[][..], key.iter().map(AsRef::as_ref).collect()),
    };
    args.iter().flat_map(|arg| variables(arg)).try_for_each(check_name)?;
    let arguments: Names<'_> = args.iter().flat_map(|arg| names(arg)).collect();
    if bodies.is_empty() {
        return terms.iter().try_for_each(|term| check_nested(term));
    }
    bodies.iter().try_for_each(|body| {
        let own = body.assign.iter().map(|assign| assign.value.as_ref());
        check_body(&body.query, &arguments, &terms.iter().copied().chain(own).collect::<Vec<_>>())
    })
}

/// A body, with what is declared for it from outside and the terms that it is for.
fn check_body<'a>(query: &'a Query, outer: &Names<'a>, terms: &[&'a Expr]) -> Result<(), AdmissionError> {
    terms.iter().try_for_each(|term| check_nested(term))?;
    let mut declared = outer.clone();
    let mut mentioned = Names::new();
    let last_use = last_uses(query, terms);
    for (index, statement) in query.stmts.iter().enumerate() {
        check_inside(statement)?;
        mentioned.extend(used_in(statement));
        for name in declarations(statement) {
            check_name(name)?;
            if !declared.insert(name.text()) {
                return Err(refusal("declaring a variable twice is", "give it another name", name));
            }
            if mentioned.contains(name.text()) {
                return Err(refusal("declaring a variable after it was mentioned is", "declare it before", name));
            }
        }
        if let Literal::SomeVars { vars, .. } = &statement.literal {
            let is_used = |name: &str| last_use.get(name).is_some_and(|last| *last >= index);
            check_used(vars.iter(), is_used)?;
        }
    }
    Ok(())
}

/// The last statement that uses a name; for those that the terms use, none is later.
fn last_uses<'a>(query: &'a Query, terms: &[&'a Expr]) -> HashMap<&'a str, usize> {
    let statements = query.stmts.iter().enumerate();
    let in_statements =
        statements.flat_map(|(index, statement)| used_in(statement).into_iter().map(move |name| (name, index)));
    in_statements.chain(terms.iter().flat_map(|term| free(term)).map(|name| (name, usize::MAX))).collect()
}

fn check_name(name: &Span) -> Result<(), AdmissionError> {
    match name.text() {
        "input" | "data" => Err(refusal("a variable with the name `input` or `data` is", "rename it", name)),
        _ => Ok(()),
    }
}

fn refusal(construct: &'static str, advice: &'static str, name: &Span) -> AdmissionError {
    Refusal::Unsupported { construct, advice }.at(name)
}

fn check_used<'a>(
    declared: impl Iterator<Item = &'a Span>,
    is_used: impl Fn(&str) -> bool,
) -> Result<(), AdmissionError> {
    let mut unused = declared.filter(|name| !is_used(name.text()));
    match unused.next() {
        Some(name) => Err(refusal("declaring a variable that is not used is", "remove it", name)),
        None => Ok(()),
    }
}

/// The bodies inside of a statement.
fn check_inside(statement: &LiteralStmt) -> Result<(), AdmissionError> {
    match &statement.literal {
        Literal::SomeVars { .. } => Ok(()),
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => check_nested(expr),
        Literal::SomeIn { collection, .. } => check_nested(collection),
        Literal::Every { key, value, domain, query, .. } => {
            check_nested(domain)?;
            if let Some(key) = key.as_ref().filter(|key| key.text() == value.text() && key.text() != "_") {
                return Err(refusal("one name for key and value of an `every` is", "give them two", key));
            }
            let own: Names<'_> = key.iter().chain([value]).map(Span::text).filter(|name| *name != "_").collect();
            check_body(query, &own, &[])?;
            let used: Names<'_> = query.stmts.iter().flat_map(used_in).collect();
            check_used(key.iter().chain([value]).filter(|name| name.text() != "_"), |name| used.contains(name))
        }
    }
}

/// The bodies of the comprehensions in an expression.
fn check_nested(expr: &Expr) -> Result<(), AdmissionError> {
    if let Some((terms, query)) = comprehension(expr) {
        check_body(query, &Names::new(), &terms)?;
    }
    children(expr).into_iter().try_for_each(check_nested)
}

/// The variables that a statement declares for its body.
pub(super) fn declarations(statement: &LiteralStmt) -> Vec<&Span> {
    let declared = match &statement.literal {
        Literal::SomeVars { vars, .. } => vars.iter().collect(),
        Literal::SomeIn { key, value, .. } => key.iter().chain([value]).flat_map(|expr| variables(expr)).collect(),
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } => variables(lhs),
            _ => Vec::new(),
        },
        Literal::NotExpr { .. } | Literal::Every { .. } => Vec::new(),
    };
    declared.into_iter().filter(|name: &&Span| name.text() != "_").collect()
}

fn names(expr: &Expr) -> impl Iterator<Item = &str> {
    variables(expr).into_iter().map(Span::text).filter(|name| *name != "_")
}

/// The names that a statement mentions, other than to declare them, and other than those of bodies inside of it.
fn used_in(statement: &LiteralStmt) -> Vec<&str> {
    match &statement.literal {
        Literal::SomeVars { .. } => Vec::new(),
        Literal::SomeIn { collection, .. } => free(collection),
        Literal::NotExpr { expr, .. } => free(expr),
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr { op: AssignOp::ColEq, rhs, .. } => free(rhs),
            expr => free(expr),
        },
        Literal::Every { key, value, domain, query, .. } => {
            let own: Names<'_> = key.iter().chain([value]).map(Span::text).collect();
            let inside = free_in(query, &[]).into_iter().filter(|name| !own.contains(name));
            inside.chain(free(domain)).collect()
        }
    }
}

/// The names in an expression that it does not declare itself.
fn free(expr: &Expr) -> Vec<&str> {
    let inside = comprehension(expr).map(|(terms, query)| free_in(query, &terms)).unwrap_or_default();
    let own = match expr {
        Expr::Var { span, .. } if span.text() != "_" => Some(span.text()),
        _ => None,
    };
    inside.into_iter().chain(own).chain(children(expr).into_iter().flat_map(free)).collect()
}

/// The names in a body, and the terms that it is for, that it does not declare itself.
pub(super) fn free_in<'a>(query: &'a Query, terms: &[&'a Expr]) -> Vec<&'a str> {
    let declared: Names<'_> = query.stmts.iter().flat_map(declarations).map(Span::text).collect();
    let used = query.stmts.iter().flat_map(used_in).chain(terms.iter().flat_map(|term| free(term)));
    used.filter(|name| !declared.contains(name)).collect()
}
