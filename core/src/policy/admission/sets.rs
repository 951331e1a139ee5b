//! Set literals with computed elements.
//!
//! OPA iterates over `{x, y}` by its terms: in their order, and over equal elements twice, wherever the set was passed
//! on to. The machine iterates over a set. So such literals may only be operands of what takes them as a whole.

use super::super::error::Refusal;
use super::builtins::is_builtin;
use super::findings::Findings;
use super::language::constant;
use super::syntax::Parsed;
use super::tree::{Visitor, walk_module};
use regorus::unstable::{Expr, Ref, Span};
use std::collections::HashSet;

/// Refuses others.
pub(super) fn check(module: &Parsed, found: &mut Findings) {
    walk_module(&module.tree, &mut Sets { whole: HashSet::new(), found });
}

struct Sets<'a> {
    /// Where the expressions are that are taken as a whole.
    whole: HashSet<(u32, u32)>,
    found: &'a mut Findings,
}

impl Visitor for Sets<'_> {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::BoolExpr { lhs, rhs, .. } | Expr::BinExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } => {
                self.whole.extend([place(lhs.span()), place(rhs.span())]);
            }
            Expr::Membership { value, collection, .. } => {
                self.whole.extend([place(value.span()), place(collection.span())]);
            }
            Expr::Call { fcn, params, .. } if is_builtin(fcn) => {
                self.whole.extend(params.iter().map(|param| place(param.span())));
            }
            Expr::Set { items, span, .. } if is_computed(items) && !self.whole.contains(&place(span)) => {
                let construct = "a set literal with computed elements, other than to compare or as an operand, is";
                let advice = "join sets of one element, `{a} | {b}`";
                self.found.add(Refusal::Unsupported { construct, advice }.at(span));
            }
            _ => {}
        }
    }
}

const fn place(span: &Span) -> (u32, u32) {
    (span.start, span.end)
}

fn is_computed(items: &[Ref<Expr>]) -> bool {
    items.len() > 1 && items.iter().any(|item| constant(item).is_none())
}
