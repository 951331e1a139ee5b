//! Rules and objects that could get two values at once.
//!
//! OPA reports two different values for one rule, or one key, as an error. The machine makes the rule undefined, so that
//! a `not` on it holds, or keeps the last value. So what cannot be shown to be free of conflicts is refused.

use super::super::error::{AdmissionError, Refusal};
use super::findings::Findings;
use super::language::constant;
use super::syntax::{Parsed, head_name};
use super::tree::{Visitor, children, variables, walk_module};
use regorus::Value;
use regorus::unstable::{Expr, Literal, Query, Rule, RuleBody, RuleHead, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Refuses them.
pub(super) fn check(modules: &[Parsed], found: &mut Findings) {
    let mut rules: BTreeMap<(&[String], &str), Vec<&Rule>> = BTreeMap::new();
    for module in modules {
        for (rule, head) in module.rules() {
            let name = head_name(head).map_or("", Span::text);
            rules.entry((&module.package, name)).or_default().push(rule);
        }
        walk_module(&module.tree, &mut Objects { found });
    }
    let mut paths = BTreeSet::new();
    paths.extend(rules.keys().map(|(package, name)| path(package, &[name])));
    for module in modules {
        found.note(check_package(module, &paths));
    }
    for ((_, name), definitions) in rules {
        found.note(check_kinds(&definitions).and_then(|()| check_rule(name, &definitions)));
    }
}

fn path<'a>(package: &'a [String], rest: &[&'a str]) -> Vec<&'a str> {
    package.iter().map(String::as_str).chain(rest.iter().copied()).collect()
}

/// OPA refuses a package where another has a rule; the machine's compiler would take what it finds first.
fn check_package(module: &Parsed, rules: &BTreeSet<Vec<&str>>) -> Result<(), AdmissionError> {
    let package = path(&module.package, &[]);
    let mut prefixes = (1..=package.len()).filter_map(|length| package.get(..length));
    if prefixes.any(|prefix| rules.contains(prefix)) {
        let construct = "a package with the path of a rule, or inside of one, is";
        return Err(Refusal::Unsupported { construct, advice: "rename one of them" }.at(&module.tree.package.span));
    }
    Ok(())
}

/// What a definition makes of its rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Set,
    Object,
    /// With so many parameters.
    Function(usize),
}

impl Kind {
    fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Default { .. } => Self::Value,
            Rule::Spec { head, .. } => match head {
                RuleHead::Func { args, .. } => Self::Function(args.len()),
                RuleHead::Set { .. } => Self::Set,
                RuleHead::Compr { refr, .. } if matches!(refr.as_ref(), Expr::Var { .. }) => Self::Value,
                RuleHead::Compr { .. } => Self::Object,
            },
        }
    }
}

fn check_kinds(definitions: &[&Rule]) -> Result<(), AdmissionError> {
    let mut definitions = definitions.iter();
    let kind = definitions.next().map(|rule| Kind::of(rule));
    let Some(other) = definitions.find(|rule| Some(Kind::of(rule)) != kind) else { return Ok(()) };
    let construct = "one name for values, sets, objects or functions with other parameters is";
    Err(Refusal::Unsupported { construct, advice: "rename one of them" }.at(other.span()))
}

/// Definitions of one rule, at most: each is compared with each.
const MAX_DEFINITIONS: usize = 2000;

fn check_rule(name: &str, definitions: &[&Rule]) -> Result<(), AdmissionError> {
    let conflict = |span: &Span, advice| Err(Refusal::Conflict { rule: name.to_owned(), advice }.at(span));
    let mut defaults = definitions.iter().filter(|rule| matches!(rule, Rule::Default { .. })).skip(1);
    if let Some(second) = defaults.next() {
        return conflict(second.span(), "give it one default");
    }
    let bodies = definitions.iter().map(|rule| bodies(rule)).fold(0, usize::saturating_add);
    if bodies > MAX_DEFINITIONS {
        let what = "definitions of one rule, or bodies of them";
        let refusal = Refusal::TooMuch { what, found: bodies, limit: MAX_DEFINITIONS };
        return definitions.first().map_or(Ok(()), |first| Err(refusal.at(first.span())));
    }
    let values: Vec<Definition<'_>> = definitions.iter().filter_map(|rule| Definition::of(rule)).flatten().collect();
    let first = values.first().and_then(Definition::literal);
    let same = first.is_some() && values.iter().all(|definition| definition.literal() == first);
    for (index, second) in values.iter().enumerate().filter(|_| !same) {
        let clashes = values.iter().take(index).any(|first| !first.agrees_with(second));
        if clashes {
            return conflict(second.span, "join the definitions with `else`, or give them the same literal value");
        }
    }
    definitions.iter().try_for_each(|rule| check_partial_object(name, rule, definitions))
}

fn bodies(rule: &Rule) -> usize {
    match rule {
        Rule::Spec { bodies, .. } => bodies.len().max(1),
        Rule::Default { .. } => 1,
    }
}

/// One body of a rule with the values it can give; `else` bodies belong to the one before.
struct Definition<'a> {
    span: &'a Span,
    /// The arguments that are literals.
    args: Vec<Option<Value>>,
    values: Vec<Option<Value>>,
}

impl<'a> Definition<'a> {
    /// The definitions of a rule that has one value; none for sets, partial objects and defaults.
    fn of(rule: &'a Rule) -> Option<Vec<Self>> {
        let Rule::Spec { span, head, bodies } = rule else { return None };
        let (args, assign) = match head {
            RuleHead::Compr { refr, assign, .. } if matches!(refr.as_ref(), Expr::Var { .. }) => (&[][..], assign),
            RuleHead::Func { args, assign, .. } => (args.as_slice(), assign),
            RuleHead::Compr { .. } | RuleHead::Set { .. } => return None,
        };
        let head_value = || assign.as_ref().map_or(Some(Value::from(true)), |assign| constant(&assign.value));
        let args: Vec<Option<Value>> = args.iter().map(|arg| constant(arg)).collect();
        let mut definitions = vec![Self { span, args: args.clone(), values: vec![head_value()] }];
        for body in bodies.iter().skip(1) {
            match definitions.last_mut() {
                Some(last) if body.is_else => last.values.push(else_value(body)),
                _ => definitions.push(Self { span: &body.span, args: args.clone(), values: vec![head_value()] }),
            }
        }
        Some(definitions)
    }

    /// Whether the two never give different values for the same arguments.
    fn agrees_with(&self, other: &Self) -> bool {
        let mine = self.literal();
        let same = mine.is_some() && mine == other.literal();
        same || self.args.iter().zip(&other.args).any(|(mine, theirs)| differ(mine.as_ref(), theirs.as_ref()))
    }

    /// The one literal that all values are, if they are.
    fn literal(&self) -> Option<&Value> {
        let (first, others) = self.values.split_first()?;
        first.as_ref().filter(|_| others.iter().all(|other| other == first))
    }
}

fn else_value(body: &RuleBody) -> Option<Value> {
    body.assign.as_ref().map_or(Some(Value::from(true)), |assign| constant(&assign.value))
}

/// Whether no argument matches both patterns.
fn differ(mine: Option<&Value>, theirs: Option<&Value>) -> bool {
    mine.zip(theirs).is_some_and(|(mine, theirs)| mine != theirs)
}

const KEYS: &str = "build objects with a literal value, or over `some k, v in …` with `k` as the key";

fn check_partial_object(name: &str, rule: &Rule, definitions: &[&Rule]) -> Result<(), AdmissionError> {
    let Rule::Spec { head: RuleHead::Compr { refr, assign, .. }, bodies, span } = rule else { return Ok(()) };
    let Expr::RefBrack { index, .. } = refr.as_ref() else { return Ok(()) };
    let single = definitions.len() == 1 && bodies.len() == 1;
    let literal = assign.as_ref().is_none_or(|assign| constant(&assign.value).is_some());
    let value = assign.as_ref().map(|assign| assign.value.as_ref());
    let unique = bodies.iter().all(|body| has_unique_keys(index, value, &body.query));
    if single && (literal || unique) {
        return Ok(());
    }
    Err(Refusal::Conflict { rule: name.to_owned(), advice: KEYS }.at(span))
}

struct Objects<'a> {
    found: &'a mut Findings,
}

impl Visitor for Objects<'_> {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::ObjectCompr { key, value, query, span, .. }
                if constant(value).is_none() && !has_unique_keys(key, Some(value.as_ref()), query) =>
            {
                let rule = span.text().chars().take(40).collect();
                self.found.add(Refusal::Conflict { rule, advice: KEYS }.at(span));
            }
            Expr::Object { fields, span, .. } if has_equal_keys(fields.iter().map(|(_, key, _)| key.as_ref())) => {
                let rule = span.text().chars().take(40).collect();
                self.found.add(Refusal::Conflict { rule, advice: FIELDS }.at(span));
            }
            _ => {}
        }
    }
}

const FIELDS: &str = "write literal keys, or join objects with `object.union`";

/// Whether two keys are the same, or a computed one could be the same as another.
fn has_equal_keys<'a>(keys: impl Iterator<Item = &'a Expr>) -> bool {
    let mut keys: Vec<Option<Value>> = keys.map(constant).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    keys.len() < count || (count > 1 && keys.iter().any(Option::is_none))
}

/// Whether the body's one loop is `some k, v in …`, the key is `k`, and the value follows from the two.
fn has_unique_keys(key: &Expr, value: Option<&Expr>, query: &Query) -> bool {
    let mut loops = query.stmts.iter().filter_map(|statement| match &statement.literal {
        Literal::SomeIn { key, value, .. } => Some((key.as_ref(), value)),
        _ => None,
    });
    let Some((Some(loop_key), loop_value)) = loops.next() else { return false };
    let bound: Vec<&str> = names(loop_key).chain(names(loop_value)).collect();
    let other_loops = loops.next().is_some()
        || value.is_some_and(|value| looks_up(value, &bound))
        || query.stmts.iter().any(|statement| match &statement.literal {
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => looks_up(expr, &bound),
            Literal::SomeIn { collection: domain, .. } | Literal::Every { domain, .. } => looks_up(domain, &bound),
            Literal::SomeVars { .. } => true,
        });
    name(key).is_some() && name(key) == name(loop_key) && !other_loops
}

/// Whether a look-up could loop: by a variable that the loop does not bind.
fn looks_up(expr: &Expr, bound: &[&str]) -> bool {
    let here = match expr {
        Expr::RefBrack { index, .. } => {
            variables(index).into_iter().any(|name| name.text() == "_" || !bound.contains(&name.text()))
        }
        _ => false,
    };
    here || children(expr).into_iter().any(|child| looks_up(child, bound))
}

fn names(expr: &Expr) -> impl Iterator<Item = &str> {
    variables(expr).into_iter().map(Span::text)
}

fn name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Var { span, .. } => Some(span.text()),
        _ => None,
    }
}
