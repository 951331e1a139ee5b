//! Globs of `glob.match`: only what regorus' globs and OPA's mean alike.
//!
//! Alike are text and `*`. Not alike, or not sure to be: `**` (for OPA any text, for regorus whole path segments), `?`
//! (a character, or a byte), `[…]`, `{…}`, `\`; several delimiters; the delimiter `:`, which regorus does not treat as one.

use super::language::constant;
use regorus::Value;
use regorus::unstable::Expr;

/// Refuses a glob that could mean something else.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.contains("**") {
        return Err("`**` is not supported: use `startswith`".to_owned());
    }
    match pattern.chars().find(|character| matches!(character, '?' | '[' | ']' | '{' | '}' | '\\' | '!' | '\0')) {
        Some(character) => {
            Err(format!("`{}` is not supported in a glob: use several, or a regex", character.escape_default()))
        }
        None => Ok(()),
    }
}

/// `null`, `[]` (OPA takes it for `["."]`), or one character.
pub(super) fn check_delimiters(delimiters: &Expr) -> Result<(), String> {
    let problem = || {
        let found = delimiters.span().text();
        format!(
            "found the delimiters `{found}`, expected a literal: `null`, `[]` or one of `[\"/\"]`, `[\".\"]`, `[\"-\"]`"
        )
    };
    match constant(delimiters).ok_or_else(problem)? {
        Value::Null => Ok(()),
        Value::Array(items) => match items.as_slice() {
            [] => Ok(()),
            [Value::String(one)] if matches!(one.as_ref(), "/" | "." | "-") => Ok(()),
            _ => Err(problem()),
        },
        _ => Err(problem()),
    }
}
