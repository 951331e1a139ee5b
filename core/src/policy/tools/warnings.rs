//! What an author probably did not mean: the strict checks.
//!
//! Like OPA's `--strict`: unused variables, parameters and imports, names that hide others. And what only matters here:
//! members of `input` that the filter never sets and of `data` that nobody defines, so that a misspelt one is undefined
//! for ever, rules that the entry point never asks, and decisions that are none.

use super::super::admission::{
    Findings, Parsed, Visitor, children, comprehension, head_name, import_name, is_builtin_name, parse, static_path,
    string_of, walk_expr, walk_module,
};
use super::super::error::Place;
use super::super::spelling;
use super::super::uses::Member;
use super::super::{Policy, PolicySource};
use regorus::unstable::{AssignOp, Expr, Import, Literal, LiteralStmt, Query, Rule, RuleBody, RuleHead, Span};
use serde_json::Value as Json;
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
    /// A member of `data` that is neither in the data nor a rule.
    #[error("nothing defines `{found}`: {expected}")]
    UnknownData {
        /// The reference, for example `data.grnats`.
        found: String,
        /// What there is instead.
        expected: String,
    },
    /// A value of the entry point that makes each request a 500.
    #[error("`{0}` is no decision: expected a boolean or an object with a boolean `allow`")]
    NotADecision(String),
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
        let used: HashSet<&str> = module.rules().flat_map(|(rule, _)| rule_scope(rule, &mut found)).collect();
        check_imports(module, &used, &mut found);
        let mut members = Members { data: &source.data, modules: &modules, found: &mut found };
        walk_module(&module.tree, &mut members);
        module.tree.imports.iter().for_each(|import| walk_expr(&import.refr, &mut members));
        check_decision(module, &source.entrypoint, &mut found);
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

fn check_imports(module: &Parsed, used: &HashSet<&str>, found: &mut Found) {
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

/// Values that are no decision, where they are written down.
fn check_decision(module: &Parsed, entrypoint: &str, found: &mut Found) {
    let deciding = module
        .rules()
        .filter(|(_, head)| head_name(head).is_some_and(|name| module.path_of(name.text()) == entrypoint));
    for value in deciding.flat_map(|(rule, _)| values(rule)) {
        if !may_decide(value) {
            found.add(Warning::NotADecision(value.span().text().to_owned()), value.span());
        }
    }
}

fn values(rule: &Rule) -> Vec<&Expr> {
    match rule {
        Rule::Default { value, .. } => vec![value],
        Rule::Spec { head: RuleHead::Compr { assign, .. }, bodies, .. } => {
            let own = bodies.iter().filter_map(|body| body.assign.as_ref());
            assign.iter().chain(own).map(|assign| assign.value.as_ref()).collect()
        }
        Rule::Spec { .. } => Vec::new(),
    }
}

fn may_decide(value: &Expr) -> bool {
    match value {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Null { .. }
        | Expr::Array { .. }
        | Expr::Set { .. } => false,
        Expr::Object { fields, .. } => fields.iter().any(|(_, key, value)| match string_of(key) {
            Some(key) => key == "allow" && (matches!(value.as_ref(), Expr::Bool { .. }) || !is_literal(value)),
            None => true,
        }),
        _ => true,
    }
}

const fn is_literal(value: &Expr) -> bool {
    matches!(value, Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Null { .. })
}

/// References to members of `input` and `data` that do not exist.
struct Members<'a> {
    data: &'a Json,
    modules: &'a [Parsed],
    found: &'a mut Found,
}

/// Members of `input.source`.
const SOURCE: [&str; 2] = ["address", "peer_spiffe_id"];

impl Visitor for Members<'_> {
    fn expr(&mut self, expr: &Expr) {
        let Some((object, member)) = look_up(expr) else { return };
        let name = object.join(".");
        let found = format!("{name}.{member}");
        let warning = match object.split_first() {
            Some((root, [])) if root == "input" => {
                let known = Member::ALL.map(Member::name);
                let expected = unless_known(member, &known, &name);
                expected.map(|expected| Warning::UnknownInput { found, expected })
            }
            Some((root, [source])) if root == "input" && source == Member::Source.name() => {
                let expected = unless_known(member, &SOURCE, &name);
                expected.map(|expected| Warning::UnknownInput { found, expected })
            }
            Some((root, path)) if root == "data" => {
                let expected = unless_known(member, &self.known_data(path), &name);
                expected.filter(|_| self.is_there(path)).map(|expected| Warning::UnknownData { found, expected })
            }
            _ => None,
        };
        if let Some(warning) = warning {
            self.found.add(warning, expr.span());
        }
    }
}

impl Members<'_> {
    /// What lies at a path: members of the data, packages, and rules.
    fn known_data(&self, path: &[String]) -> Vec<&str> {
        let members = self.at(path).and_then(Json::as_object).into_iter().flat_map(|members| members.keys());
        let below = self.modules.iter().filter_map(|module| module.package.strip_prefix(path)?.first());
        let rules = self.modules.iter().filter(|module| module.package == path).flat_map(Parsed::rules);
        let rules = rules.filter_map(|(_, head)| head_name(head).map(Span::text));
        members.chain(below).map(String::as_str).chain(rules).collect()
    }

    /// Whether what is missing is missing from something that is there: otherwise that is told of.
    fn is_there(&self, path: &[String]) -> bool {
        self.at(path).is_some_and(Json::is_object) || self.modules.iter().any(|module| module.package.starts_with(path))
    }

    fn at(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(self.data, |data, name| data.get(name))
    }
}

fn unless_known(member: &str, known: &[&str], object: &str) -> Option<String> {
    (!known.contains(&member)).then(|| expected(member, known, object))
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
    let some: Vec<&str> = known.iter().copied().take(MAX_SHOWN).collect();
    match spelling::closest(member, known.iter().copied()) {
        Some(name) => format!("did you mean `{object}.{name}`?"),
        None if some.is_empty() => format!("`{object}` has nothing in it"),
        None => format!("`{object}` has {}{}", some.join(", "), if known.len() > some.len() { ", …" } else { "" }),
    }
}

/// Members that are named, at most.
const MAX_SHOWN: usize = 16;
