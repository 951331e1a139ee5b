//! How much a policy may be.

use super::super::error::Refusal;
use super::super::limits::Limits;
use super::super::source::PolicySource;
use super::findings::Findings;
use super::syntax::Parsed;
use super::tree::{Visitor, comprehension, walk_module};
use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule};
use serde_json::Value as Json;
use std::io;

/// Modules, at most.
const MAX_MODULES: usize = 64;

/// Refuses what is larger than the limits; the data's depth is checked when it is converted.
pub(super) fn check(source: &PolicySource, limits: &Limits) -> Result<(), Refusal> {
    at_most("modules", source.modules.len(), MAX_MODULES)?;
    let rego = source.modules.iter().map(|module| module.rego.len()).fold(0, usize::saturating_add);
    at_most("bytes of Rego", rego, limits.max_source_bytes)?;
    at_most("bytes of data (`policy.max_data`)", length(&source.data), limits.max_data_bytes)?;
    let what = "objects and arrays in the data (one for each 16 bytes of `policy.max_data`)";
    at_most(what, collections(&source.data), limits.max_data_bytes / BYTES_PER_COLLECTION)
}

/// As compact JSON, which is not kept: it may be most of a filter's memory.
fn length(data: &Json) -> usize {
    let mut length = Length(0);
    // It takes whatever it is given.
    let _ = serde_json::to_writer(&mut length, data);
    length.0
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each takes about a kilobyte of memory, however little there is in it.
const BYTES_PER_COLLECTION: usize = 16;

fn collections(data: &Json) -> usize {
    match data {
        Json::Array(items) => items.iter().map(collections).fold(1, usize::saturating_add),
        Json::Object(members) => members.values().map(collections).fold(1, usize::saturating_add),
        _ => 0,
    }
}

/// Definitions in all modules together, and imports in one.
const MAX_DEFINITIONS: usize = 4000;
const MAX_IMPORTS: usize = 256;
/// Statements in one body: each takes a register, of which there are 255.
const MAX_STATEMENTS: usize = 255;

/// Refuses modules that the other checks, or the compiler, would look at for too long.
pub(super) fn check_parsed(modules: &[Parsed], found: &mut Findings) -> Option<()> {
    let definitions = modules.iter().map(|module| module.tree.policy.len()).fold(0, usize::saturating_add);
    found.note(at_most("definitions of rules", definitions, MAX_DEFINITIONS))?;
    for module in modules {
        found.note(at_most("imports in one module", module.tree.imports.len(), MAX_IMPORTS))?;
        let mut bodies = Bodies { found };
        for rule in &module.tree.policy {
            if let Rule::Spec { bodies: own, .. } = rule.as_ref() {
                own.iter().for_each(|body| bodies.check(&body.query));
            }
        }
        walk_module(&module.tree, &mut bodies);
    }
    found.is_empty().then_some(())
}

struct Bodies<'a> {
    found: &'a mut Findings,
}

impl Bodies<'_> {
    fn check(&mut self, query: &Query) {
        let fits = at_most("conditions in one body", query.stmts.len(), MAX_STATEMENTS);
        self.found.note(fits.map_err(|refusal| refusal.at(&query.span)));
    }
}

impl Visitor for Bodies<'_> {
    fn expr(&mut self, expr: &Expr) {
        comprehension(expr).into_iter().for_each(|(_, query)| self.check(query));
    }

    fn statement(&mut self, statement: &LiteralStmt) {
        if let Literal::Every { query, .. } = &statement.literal {
            self.check(query);
        }
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found <= limit { Ok(()) } else { Err(Refusal::TooMuch { what, found, limit }) }
}
