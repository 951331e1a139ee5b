//! Which audiences and contexts the workload may have tokens for, where the deployment names them.
//!
//! A pattern is a name, or the beginning of one and a `*`. Whoever is not listed gets no token, so that a process which
//! should only read users cannot ask for a token to delete them, or for another service's.

use crate::problem::Problem;
use crate::token_request::TokenRequest;
use std::str::FromStr;

/// A name, or all names with the same beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    is_prefix: bool,
}

/// The text is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name, or the beginning of one and a `*` at its end, found `{0}`")]
pub(crate) struct NotAPattern(String);

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        // A lone `*` would be a list that allows all: no list does the same.
        match name.is_empty() || name.contains('*') {
            true => Err(NotAPattern(text.to_owned())),
            false => Ok(Self { text: name.to_owned(), is_prefix }),
        }
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

/// What tokens may be for; an empty list allows all.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList {
    /// Allowed audiences.
    pub(crate) audiences: Vec<Pattern>,
    /// Allowed contexts.
    pub(crate) contexts: Vec<Pattern>,
}

impl AllowList {
    /// Refuses what is not listed.
    pub(crate) fn check(&self, request: &TokenRequest) -> Result<(), Problem> {
        check("aud", request.aud.as_str(), &self.audiences)?;
        check("ctx", request.ctx.as_str(), &self.contexts)
    }
}

fn check(member: &str, name: &str, allowed: &[Pattern]) -> Result<(), Problem> {
    match allowed.is_empty() || allowed.iter().any(|pattern| pattern.matches(name)) {
        true => Ok(()),
        false => Err(Problem::forbidden(format!("`{member}` `{name}` is not among those that this companion allows"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        for (audiences, contexts, allowed) in [
            (&[][..], &[][..], true),
            (&["api"], &[], true),
            (&["ap*"], &["read:users"], true),
            (&["other", "api"], &["write:*", "read:*"], true),
            (&["ap"], &[], false),
            (&["api.production"], &[], false),
            (&[], &["read:user"], false),
            (&[], &["write:*"], false),
            (&["api"], &["write:users"], false),
        ] {
            let list = AllowList { audiences: patterns(audiences), contexts: patterns(contexts) };
            let request = TokenRequest::parse(br#"{"aud":"api","ctx":"read:users"}"#).unwrap();
            assert_eq!(list.check(&request).is_ok(), allowed, "{audiences:?} {contexts:?}");
        }
        for bad in ["", "*", "a*b", "**"] {
            assert_eq!(bad.parse::<Pattern>(), Err(NotAPattern(bad.to_owned())));
        }
    }
}
