//! Variables of `every` that are looked up by, or matched with `=`.
//!
//! regorus takes them for unbound: it would loop over what is looked up, or assign to them. So, for the machine,
//! `every x in xs { data.roles[x] }` is written `every every_1_x in xs {x := every_1_x; data.roles[x] }`.

use super::super::source::Module;
use super::rewrite::Rewrite;
use super::syntax::Parsed;
use super::tree::{Visitor, variables, walk_module, walk_query};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Span};

/// Collects how they are to be written.
pub(super) fn check(modules: &[Parsed], texts: &[Module], rewrites: &mut Vec<Rewrite>) {
    let mut unused = Unused::in_all(texts);
    for module in modules {
        walk_module(&module.tree, &mut Every { module: module.index, unused: &mut unused, rewrites });
    }
}

/// Names that nothing has.
struct Unused {
    prefix: String,
    given: usize,
}

impl Unused {
    fn in_all(texts: &[Module]) -> Self {
        let prefixes = std::iter::once("every_".to_owned()).chain((1_usize..).map(|number| format!("every{number}_")));
        let mut free = prefixes.filter(|prefix| !texts.iter().any(|module| module.rego.contains(prefix)));
        Self { prefix: free.next().unwrap_or_default(), given: 0 }
    }

    fn name(&mut self, of: &str) -> String {
        self.given = self.given.saturating_add(1);
        format!("{}{}_{of}", self.prefix, self.given)
    }
}

struct Every<'a> {
    module: usize,
    unused: &'a mut Unused,
    rewrites: &'a mut Vec<Rewrite>,
}

impl Visitor for Every<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        let Literal::Every { key, value, query, .. } = &statement.literal else { return };
        for name in key.iter().chain([value]).filter(|name| must_be_assigned(name, query)) {
            let other = self.unused.name(name.text());
            self.rewrites.push(Rewrite::assign_first(self.module, query, name, &other));
            self.rewrites.push(Rewrite::replace(self.module, name, other));
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
