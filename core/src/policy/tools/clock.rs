//! `time.now_ns` for tests: a function in its place.
//!
//! Without regorus' builtins of `time`, which bring a database of time zones, the interpreter does not know the name,
//! and `with` could not replace it. So it is written otherwise in the modules that are interpreted; lines stay.

use super::super::Module;
use regorus::unstable::{Lexer, Source, TokenKind};
use std::ops::Range;

/// The function that tells the time.
pub(super) const NOW: &str = "__scbte_now";

/// What stands in the place of `time.now_ns`.
const FUNCTION: &str = "data.__scbte_clock.now_ns";

/// The module that has the function.
pub(super) fn module() -> Module {
    let rego =
        format!("package __scbte_clock\n\nimport rego.v1\n\nnow_ns() := __scbte_value if __scbte_value := {NOW}()\n");
    Module { name: "__scbte_clock.rego".to_owned(), rego }
}

/// The module with the function in the place of `time.now_ns`.
pub(super) fn replaced(module: &Module) -> Module {
    let mut rego = module.rego.clone();
    for place in places(module).unwrap_or_default().into_iter().rev() {
        if rego.get(place.clone()).is_some() {
            rego.replace_range(place, FUNCTION);
        }
    }
    Module { name: module.name.clone(), rego }
}

/// A message as if nothing had been replaced.
pub(super) fn restored(text: &str) -> String {
    text.replace(FUNCTION, "time.now_ns")
}

fn places(module: &Module) -> Option<Vec<Range<usize>>> {
    let source = Source::from_contents(module.name.clone(), module.rego.clone()).ok()?;
    let mut lexer = Lexer::new(&source);
    let mut last: Vec<(String, Range<usize>)> = Vec::new();
    let mut found = Vec::new();
    loop {
        let token = lexer.next_token().ok()?;
        if token.0 == TokenKind::Eof {
            return Some(found);
        }
        let place = usize::try_from(token.1.start).ok()?..usize::try_from(token.1.end).ok()?;
        let word = matches!(token.0, TokenKind::Ident | TokenKind::Symbol);
        last.push((if word { token.1.text().to_owned() } else { String::new() }, place));
        if let [.., (before, _), (time, first), (dot, _), (name, end)] = last.as_slice()
            && before != "."
            && (time.as_str(), dot.as_str(), name.as_str()) == ("time", ".", "now_ns")
        {
            found.push(first.start..end.end);
        }
        last.drain(..last.len().saturating_sub(4));
    }
}
