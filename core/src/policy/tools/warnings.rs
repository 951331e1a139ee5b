//! What an author probably did not mean: the strict checks.
//!
//! Like OPA's `--strict`: unused variables, parameters and imports, names that hide others. And what only matters here:
//! members of `input` that the filter never sets, so that a misspelt one is undefined for ever, and rules
//! that the entry point never asks.

use super::super::admission::{
    Findings, Parsed, Visitor, children, comprehension, head_name, import_name, is_builtin_name, parse, static_path,
    string_of, walk_module,
};
use super::super::error::Place;
use super::super::uses::Member;
use super::super::{Policy, PolicySource};
use regorus::unstable::{AssignOp, Expr, Import, Literal, LiteralStmt, Query, Rule, RuleBody, RuleHead, Span};
use std::collections::{BTreeSet, HashSet};

/// Something that an author probably did not mean.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A variable that gets a value, which nothing reads.
    #[error("the variable `{0}` is not used: write `_` if that is meant")]
    UnusedVariable(String),
    /// A function's parameter that nothing reads.
    #[error("the parameter `{0}` is not used: write `_` if that is meant")]
    UnusedParameter(String),
    /// An import that nothing refers to.
    #[error("the import `{0}` is not used")]
    UnusedImport(String),
    /// A variable or parameter that is called `input` or `data`.
    #[error("`{0}` is what every policy reads: give this another name")]
    Reserved(String),
    /// A variable or parameter that is called like a builtin function, or the namespace of some.
    #[error("`{0}` hides the builtin of that name")]
    HidesBuiltin(String),
    /// A member of `input` that the filter never sets.
    #[error("`{found}` is always undefined: {expected}")]
    UnknownInput {
        /// The reference, for example `input.subject`.
        found: String,
        /// What there is instead.
        expected: String,
    },
    /// A rule that the entry point never asks.
    #[error("the rule `{rule}` is never asked by `{entrypoint}`")]
    Unreached {
        /// The rule.
        rule: String,
        /// The entry point.
        entrypoint: String,
    },
}

/// What the strict checks find in a policy, in the order of its modules and lines.
#[must_use]
pub fn warnings(source: &PolicySource, policy: &Policy) -> Vec<(Warning, Place)> {
    let Some(modules) = parse(source, &mut Findings::new(0)) else { return Vec::new() };
    let program = policy.machine.get_program();
    let reached: HashSet<&str> = program.rule_infos.iter().map(|rule| rule.name.as_str()).collect();
    let mut all = Vec::new();
    for module in &modules {
        let mut found = Found { list: Vec::new() };
        check_imports(module, &mut found);
        for (rule, _) in module.rules() {
            rule_scope(rule, &mut found);
        }
        walk_module(&module.tree, &mut Inputs { found: &mut found });
        check_reached(module, &reached, &source.entrypoint, &mut found);
        found.list.sort_by_key(|(_, place)| (place.line, place.column));
        all.append(&mut found.list);
    }
    all
}

struct Found {
    list: Vec<(Warning, Place)>,
}

impl Found {
    fn add(&mut self, warning: Warning, span: &Span) {
        let found = (warning, Place::of(span));
        if !self.list.contains(&found) {
            self.list.push(found);
        }
    }
}

fn check_imports(module: &Parsed, found: &mut Found) {
    // What is wrong with the rules is told elsewhere.
    let mut unheard = Found { list: Vec::new() };
    let used: HashSet<&str> = module.rules().flat_map(|(rule, _)| rule_scope(rule, &mut unheard)).collect();
    for import in module.tree.imports.iter().filter(|import| !is_language(import)) {
        let Some(name) = import_name(import) else { continue };
        if !used.contains(name) {
            found.add(Warning::UnusedImport(import.refr.span().text().to_owned()), &import.span);
        }
        check_name(name, &import.span, found);
    }
}

/// `import rego.v1`, `import future.keywords.if`.
fn is_language(import: &Import) -> bool {
    let root = static_path(&import.refr).and_then(|path| path.into_iter().next());
    matches!(root.as_deref(), Some("rego" | "future"))
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "input" | "data")
}

/// A variable, parameter or import of this name.
fn check_name(name: &str, span: &Span, found: &mut Found) {
    if is_reserved(name) {
        found.add(Warning::Reserved(name.to_owned()), span);
    } else if is_builtin_name(name) {
        found.add(Warning::HidesBuiltin(name.to_owned()), span);
    }
}

type Names<'a> = BTreeSet<&'a str>;

/// The names that a rule takes from outside.
fn rule_scope<'a>(rule: &'a Rule, found: &mut Found) -> Names<'a> {
    let (head, bodies) = match rule {
        Rule::Default { value, .. } => return names_in(value, found),
        Rule::Spec { head, bodies, .. } => (head, bodies),
    };
    let (refr, args, value) = match head {
        RuleHead::Compr { refr, assign, .. } => (refr, &[][..], assign.as_ref().map(|assign| &assign.value)),
        RuleHead::Set { refr, key, .. } => (refr, &[][..], key.as_ref()),
        RuleHead::Func { refr, args, assign, .. } => {
            (refr, args.as_slice(), assign.as_ref().map(|assign| &assign.value))
        }
    };
    let key = match refr.as_ref() {
        Expr::RefBrack { index, .. } => Some(index.as_ref()),
        _ => None,
    };
    let terms: Vec<&Expr> = value.into_iter().map(AsRef::as_ref).chain(key).collect();
    let mut used = Names::new();
    if bodies.is_empty() {
        used.extend(terms.iter().flat_map(|term| names_in(term, found)));
    }
    for RuleBody { assign, query, .. } in bodies {
        let own = assign.iter().map(|assign| assign.value.as_ref());
        used.extend(query_scope(query, terms.iter().copied().chain(own), found));
    }
    for parameter in args.iter().flat_map(|arg| pattern(arg)) {
        check_name(parameter.text(), parameter, found);
        if !used.remove(parameter.text()) {
            found.add(Warning::UnusedParameter(parameter.text().to_owned()), parameter);
        }
    }
    used
}

/// The names that a body, and the terms that it yields, take from outside.
fn query_scope<'a>(query: &'a Query, terms: impl Iterator<Item = &'a Expr>, found: &mut Found) -> Names<'a> {
    let mut used: Names<'a> = terms.flat_map(|term| names_in(term, found)).collect();
    let mut declared = Vec::new();
    for statement in &query.stmts {
        statement_scope(statement, &mut used, &mut declared, found);
    }
    for (name, must_be_used) in declared {
        check_name(name.text(), name, found);
        let is_used = used.contains(name.text());
        if must_be_used && !is_used {
            found.add(Warning::UnusedVariable(name.text().to_owned()), name);
        }
    }
    for statement in &query.stmts {
        for name in declared_by(statement) {
            used.remove(name.text());
        }
    }
    used
}

/// Collects what a statement uses, and what it declares with whether that must be used.
fn statement_scope<'a>(
    statement: &'a LiteralStmt,
    used: &mut Names<'a>,
    declared: &mut Vec<(&'a Span, bool)>,
    found: &mut Found,
) {
    for with in &statement.with_mods {
        used.extend(names_in(&with.r#as, found));
        used.extend(names_in(&with.refr, found));
    }
    match &statement.literal {
        Literal::SomeVars { vars, .. } => declared.extend(vars.iter().map(|name| (name, true))),
        // The key or the value alone is often what one wants.
        Literal::SomeIn { collection, .. } => {
            declared.extend(declared_by(statement).map(|name| (name, false)));
            used.extend(names_in(collection, found));
        }
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } => {
                declared.extend(pattern(lhs).map(|name| (name, true)));
                used.extend(names_in(rhs, found));
            }
            other => used.extend(names_in(other, found)),
        },
        Literal::NotExpr { expr, .. } => used.extend(names_in(expr, found)),
        Literal::Every { key, value, domain, query, .. } => {
            used.extend(names_in(domain, found));
            let mut inside = query_scope(query, std::iter::empty(), found);
            for name in key.iter().chain([value]).filter(|name| name.text() != "_") {
                check_name(name.text(), name, found);
                if !inside.remove(name.text()) {
                    found.add(Warning::UnusedVariable(name.text().to_owned()), name);
                }
            }
            used.extend(inside);
        }
    }
}

fn declared_by(statement: &LiteralStmt) -> impl Iterator<Item = &Span> {
    let (vars, patterns) = match &statement.literal {
        Literal::SomeVars { vars, .. } => (vars.as_slice(), Vec::new()),
        Literal::SomeIn { key, value, .. } => {
            (&[][..], key.iter().chain([value]).flat_map(|expr| pattern(expr)).collect())
        }
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } => (&[][..], pattern(lhs).collect()),
            _ => (&[][..], Vec::new()),
        },
        _ => (&[][..], Vec::new()),
    };
    vars.iter().chain(patterns)
}

/// The variables of a pattern, `_` excepted.
fn pattern(expr: &Expr) -> impl Iterator<Item = &Span> {
    let mut found = Vec::new();
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::Var { span, .. } if span.text() != "_" => found.push(span),
            Expr::Array { items, .. } => pending.extend(items.iter().rev().map(AsRef::as_ref)),
            Expr::Object { fields, .. } => pending.extend(fields.iter().rev().map(|(_, _, value)| value.as_ref())),
            _ => {}
        }
    }
    found.into_iter()
}

/// The names in an expression that come from outside of it.
fn names_in<'a>(expr: &'a Expr, found: &mut Found) -> Names<'a> {
    if let Some((terms, query)) = comprehension(expr) {
        return query_scope(query, terms.into_iter(), found);
    }
    let mut names = Names::new();
    match expr {
        Expr::Var { span, .. } => {
            names.insert(span.text());
        }
        Expr::Call { fcn, .. } => names.extend(head_name(fcn).map(Span::text)),
        _ => {}
    }
    names.extend(children(expr).into_iter().flat_map(|child| names_in(child, found)));
    names
}

fn check_reached(module: &Parsed, reached: &HashSet<&str>, entrypoint: &str, found: &mut Found) {
    let mut told = HashSet::new();
    for (_, head) in module.rules() {
        let Some(name) = head_name(head) else { continue };
        let rule = module.path_of(name.text());
        if !reached.contains(rule.as_str()) && told.insert(rule.clone()) {
            found.add(Warning::Unreached { rule, entrypoint: entrypoint.to_owned() }, name);
        }
    }
}

/// References to members of `input` that do not exist.
struct Inputs<'a> {
    found: &'a mut Found,
}

/// Members of `input.source`.
const SOURCE: [&str; 2] = ["address", "peer_spiffe_id"];

impl Visitor for Inputs<'_> {
    fn expr(&mut self, expr: &Expr) {
        let Some((object, member)) = look_up(expr) else { return };
        let known = match object.as_slice() {
            [root] if root == "input" => Member::ALL.map(Member::name).to_vec(),
            [root, source] if root == "input" && source == Member::Source.name() => SOURCE.to_vec(),
            _ => return,
        };
        if known.contains(&member) {
            return;
        }
        let expected = expected(member, &known, &object.join("."));
        self.found
            .add(Warning::UnknownInput { found: format!("{}.{member}", object.join(".")), expected }, expr.span());
    }
}

/// An object and the literal name that is looked up in it.
fn look_up(expr: &Expr) -> Option<(Vec<String>, &str)> {
    match expr {
        Expr::RefDot { refr, field, .. } => Some((static_path(refr)?, field.0.text())),
        Expr::RefBrack { refr, index, .. } => Some((static_path(refr)?, string_of(index)?)),
        _ => None,
    }
}

fn expected(member: &str, known: &[&str], object: &str) -> String {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "");
    let close = |name: &&&str| {
        let (name, member) = (plain(name), plain(member));
        name.starts_with(&member) || member.starts_with(&name) || distance(&name, &member) <= MAX_DISTANCE
    };
    match known.iter().filter(close).min_by_key(|name| distance(&plain(name), &plain(member))) {
        Some(name) => format!("did you mean `{object}.{name}`?"),
        None => format!("`{object}` has {}", known.join(", ")),
    }
}

/// Slips of the pen in one name.
const MAX_DISTANCE: usize = 2;

/// How many letters must be changed, added or left out to make one name of another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, mine) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for (theirs, above) in other.chars().zip(row.iter().skip(1).copied()) {
            let changed = diagonal.saturating_add(usize::from(mine != theirs));
            left = changed.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
