//! Changes of the modules' text, for the machine's compiler.

use super::super::source::Module;
use regorus::unstable::{Expr, Span};

/// A part of a module's text, and what is to stand there.
#[derive(Debug)]
pub(super) struct Rewrite {
    module: usize,
    start: usize,
    end: usize,
    text: String,
}

impl Rewrite {
    /// Another text for a string literal, whose span leaves out the quotes.
    pub(super) fn string(module: usize, literal: &Expr, text: &str) -> Self {
        let text = match literal {
            Expr::RawString { .. } => text.to_owned(),
            _ => escape(text),
        };
        Self::replace(module, literal.span(), text)
    }

    /// Something else.
    pub(super) fn replace(module: usize, span: &Span, text: String) -> Self {
        Self { module, start: offset(span.start), end: offset(span.end), text }
    }

    /// Something before.
    pub(super) fn insert(module: usize, span: &Span, text: String) -> Self {
        Self { module, start: offset(span.start), end: offset(span.start), text }
    }
}

fn offset(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// As it stands between quotes.
fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// The changed modules.
pub(super) fn apply(modules: &[Module], mut rewrites: Vec<Rewrite>) -> Vec<Module> {
    // From the end, so that the offsets before stay true.
    rewrites.sort_by_key(|rewrite| std::cmp::Reverse(rewrite.start));
    let mut modules = modules.to_vec();
    for rewrite in rewrites {
        let range = rewrite.start..rewrite.end;
        let module = modules.get_mut(rewrite.module).filter(|module| module.rego.get(range.clone()).is_some());
        if let Some(module) = module {
            module.rego.replace_range(range, &rewrite.text);
        }
    }
    modules
}
