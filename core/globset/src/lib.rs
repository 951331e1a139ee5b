//! What regorus uses of the crate [`globset`](https://docs.rs/globset), in its place.
//!
//! The real one brings `aho-corasick` and switches on the search for literals in `regex-automata`, for every user of
//! `regex`: 180 KB of the filter, which never calls it, since policies get `scbte-core`'s own `glob.match`. Only tests of
//! policies do, in regorus' interpreter.
//!
//! `*` is text without `/`, `**` any text, `?` a character but `/`. Classes, alternatives and `\` are refused.

use regex::{Regex, RegexBuilder};
use std::path::Path;
use std::str::Chars;

/// A glob about to be compiled.
#[derive(Clone, Debug)]
pub struct GlobBuilder<'a> {
    pattern: &'a str,
}

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob(Regex);

/// Matches text against a glob.
#[derive(Clone, Debug)]
pub struct GlobMatcher(Regex);

/// The text is no glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error;

impl<'a> GlobBuilder<'a> {
    /// For this text.
    #[must_use]
    pub const fn new(pattern: &'a str) -> Self {
        Self { pattern }
    }

    /// As regorus wants it: `/` is matched by itself only. It never asks for anything else.
    pub const fn literal_separator(&mut self, _yes: bool) -> &mut Self {
        self
    }

    /// Reads and compiles the glob.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn build(&self) -> Result<Glob, Error> {
        let regex = RegexBuilder::new(&to_regex(self.pattern)?).dot_matches_new_line(true).build();
        regex.map(Glob).map_err(|_| Error)
    }
}

impl Glob {
    /// The matcher.
    #[must_use]
    pub fn compile_matcher(&self) -> GlobMatcher {
        GlobMatcher(self.0.clone())
    }
}

impl GlobMatcher {
    /// Whether the whole text matches.
    pub fn is_match(&self, text: impl AsRef<Path>) -> bool {
        text.as_ref().to_str().is_some_and(|text| self.0.is_match(text))
    }
}

/// Refuses what `scbte-core` refuses.
fn to_regex(glob: &str) -> Result<String, Error> {
    let mut regex = "^".to_owned();
    let mut rest = glob.chars();
    while let Some(next) = rest.next() {
        match next {
            '*' => regex.push_str(stars(&mut rest)),
            '?' => regex.push_str("[^/]"),
            '[' | ']' | '{' | '}' | '\\' | ',' => return Err(Error),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Ok(regex)
}

fn stars(rest: &mut Chars<'_>) -> &'static str {
    let behind = rest.as_str().trim_start_matches('*');
    let several = behind.len() < rest.as_str().len();
    *rest = behind.chars();
    if several { ".*" } else { "[^/]*" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_as_opa_has_them() {
        for (glob, matching, other) in [
            ("a*c", &["ac", "abbc", "a\nc"][..], &["a/c", "ab", "xac"][..]),
            ("a**c", &["ac", "a/b/c"], &["a/b"]),
            ("/**/x", &["/a/x", "/a/b/x"], &["/x"]),
            ("a?c", &["abc", "aäc"], &["a/c", "ac"]),
            ("a.c", &["a.c"], &["abc"]),
        ] {
            let matcher = GlobBuilder::new(glob).literal_separator(true).build().unwrap().compile_matcher();
            for text in matching {
                assert!(matcher.is_match(text), "{glob} {text}");
            }
            for text in other {
                assert!(!matcher.is_match(text), "{glob} {text}");
            }
        }
    }

    #[test]
    fn what_is_not_supported() {
        for text in ["[a]", "{a,b}", "a,b", r"a\*", "a]", "a}"] {
            assert!(GlobBuilder::new(text).build().is_err(), "{text}");
        }
    }
}
