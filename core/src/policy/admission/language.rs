//! Rego that the machine evaluates differently from OPA, or not at all.

use super::super::error::{AdmissionError, Refusal};
use super::builtins;
use super::findings::Findings;
use super::syntax::Parsed;
use super::tree::{Visitor, variables, walk_module, walk_query};
use regorus::Value;
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Rule, RuleHead, Span};

/// Refuses it.
pub(super) fn check(module: &Parsed, found: &mut Findings) {
    if module.tree.target.is_some() {
        found.add(unsupported("`__target__` is", "remove it").at(&module.tree.package.span));
    }
    for import in &module.tree.imports {
        let name = import.r#as.as_ref().map_or_else(|| last_name(&import.refr), Span::text);
        found.note(check_name(name).map_err(|refusal| refusal.at(&import.span)));
    }
    for (rule, _) in module.rules() {
        found.note(check_rule(rule));
    }
    walk_module(&module.tree, &mut Statements { found });
}

const fn unsupported(construct: &'static str, advice: &'static str) -> Refusal {
    Refusal::Unsupported { construct, advice }
}

fn last_name(refr: &Expr) -> &str {
    match refr {
        Expr::Var { span, .. } => span.text(),
        Expr::RefDot { field, .. } => field.0.text(),
        _ => "",
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
            Expr::RefBrack { refr, .. } => check_head_name(refr),
            refr => check_head_name(refr),
        },
        RuleHead::Set { refr, key: Some(_), .. } => check_head_name(refr),
        RuleHead::Set { refr, .. } => Err(DOTTED.at(refr.span())),
        RuleHead::Func { refr, args, span, .. } => {
            check_head_name(refr)?;
            if args.len() > builtins::MAX_ARGUMENTS {
                let (found, limit) = (args.len(), builtins::MAX_ARGUMENTS);
                return Err(Refusal::TooMuch { what: "parameters of a function", found, limit }.at(span));
            }
            args.iter().try_for_each(|arg| check_pattern(arg))
        }
    }
}

const DOTTED: Refusal = unsupported("a rule name with dots is", "give the rule a package of its own");

fn check_head_name(refr: &Expr) -> Result<(), AdmissionError> {
    match refr {
        Expr::Var { span, .. } => check_name(span.text()).map_err(|refusal| refusal.at(span)),
        other => Err(DOTTED.at(other.span())),
    }
}

/// A rule or import that has a builtin's name would be called in its place, or the other way round.
fn check_name(name: &str) -> Result<(), Refusal> {
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

struct Statements<'a> {
    found: &'a mut Findings,
}

impl Visitor for Statements<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        if let Some(with) = statement.with_mods.first() {
            self.found.add(unsupported("`with` is", "pass what it replaces as a function's argument").at(&with.span));
        }
        match &statement.literal {
            Literal::Every { key, value, query, .. } => {
                let names = key.iter().chain([value]).map(Span::text).collect();
                walk_query(query, &mut LookUps { names, found: self.found });
            }
            Literal::SomeIn { key, value, .. } => {
                let mut patterns = key.iter().chain([value]);
                self.found.note(patterns.try_for_each(|pattern| check_pattern(pattern)));
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
                    AssignOp::ColEq => check_pattern(lhs),
                    AssignOp::Eq => [lhs, rhs].into_iter().try_for_each(|side| check_unified(side)),
                });
            }
            _ => {}
        }
    }
}

/// Look-ups by a variable of `every`: regorus takes it for unbound, and loops over the collection.
struct LookUps<'a> {
    names: Vec<&'a str>,
    found: &'a mut Findings,
}

impl Visitor for LookUps<'_> {
    fn expr(&mut self, expr: &Expr) {
        let Expr::RefBrack { index, .. } = expr else { return };
        if let Some(variable) = variables(index).into_iter().find(|variable| self.names.contains(&variable.text())) {
            let construct = "a look-up by a variable of `every` is";
            let advice = "assign it first, `key := variable`, and look up by `key`";
            self.found.add(unsupported(construct, advice).at(variable));
        }
    }
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
            let items: Option<std::collections::BTreeSet<Value>> = items.iter().map(|item| constant(item)).collect();
            Some(Value::from(items?))
        }
        Expr::Object { fields, .. } => {
            let fields = fields.iter().map(|(_, key, value)| Some((constant(key)?, constant(value)?)));
            let fields: Option<std::collections::BTreeMap<Value, Value>> = fields.collect();
            Some(Value::from(fields?))
        }
        _ => None,
    }
}
