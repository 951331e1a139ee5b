//! Variables of `every` that are looked up by, or matched with `=`.
//!
//! regorus takes them for unbound: it would loop over what is looked up, or assign to them. So, for the machine,
//! `every x in xs { data.roles[x] }` is written `every every_x in xs { x := every_x; data.roles[x] }`.

use super::rewrite::Rewrite;
use super::syntax::Parsed;
use super::tree::{Visitor, variables, walk_module, walk_query};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Span};

/// Collects how they are to be written.
pub(super) fn check(module: &Parsed, rewrites: &mut Vec<Rewrite>) {
    walk_module(&module.tree, &mut Every { module: module.index, rewrites });
}

struct Every<'a> {
    module: usize,
    rewrites: &'a mut Vec<Rewrite>,
}

impl Visitor for Every<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        let Literal::Every { key, value, query, .. } = &statement.literal else { return };
        for name in key.iter().chain([value]) {
            if must_be_assigned(name, query)
                && let Some(first) = query.stmts.first()
            {
                let other = format!("every_{}", name.text());
                self.rewrites.push(Rewrite::insert(self.module, &first.span, format!("{} := {other}; ", name.text())));
                self.rewrites.push(Rewrite::replace(self.module, name, other));
            }
        }
    }
}

fn must_be_assigned(name: &Span, query: &Query) -> bool {
    let mut uses = Uses { name: name.text(), found: false };
    walk_query(query, &mut uses);
    uses.found
}

/// Whether a variable is looked up by, or matched.
struct Uses<'a> {
    name: &'a str,
    found: bool,
}

impl Visitor for Uses<'_> {
    fn expr(&mut self, expr: &Expr) {
        let sides = match expr {
            Expr::RefBrack { index, .. } => vec![index],
            Expr::AssignExpr { op: AssignOp::Eq, lhs, rhs, .. } => vec![lhs, rhs],
            _ => return,
        };
        let mut names = sides.into_iter().flat_map(|side| variables(side));
        self.found |= names.any(|variable| variable.text() == self.name);
    }
}
