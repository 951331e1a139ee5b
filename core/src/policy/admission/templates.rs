//! What `regex.replace` puts in: what Go and the `regex` crate read alike.
//!
//! `$$`, `$1`, `${1}`, `$name` and `${name}` of groups that the regex has. Both take the longest name, but Go lets it have
//! letters of any script, and each has a rule of its own for what is no group or no reference: that is refused.

use regex::Regex;

/// Checks a template for a regex.
pub(super) fn check(template: &str, regex: &Regex) -> Result<(), String> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        rest = reference(after, regex).ok_or_else(|| {
            format!("the replacement `{template}`: expected `$$`, `${{1}}` or `${{name}}` of a group")
        })?;
    }
    Ok(())
}

/// What follows a `$` and the reference behind it.
fn reference<'a>(text: &'a str, regex: &Regex) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('$') {
        return Some(rest);
    }
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at(text.find(|letter| !is_name(letter)).unwrap_or(text.len())),
    };
    let ends = text.starts_with('{') || !rest.starts_with(char::is_alphanumeric);
    (ends && has_group(regex, name)).then_some(rest)
}

const fn is_name(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

fn has_group(regex: &Regex, name: &str) -> bool {
    let number = name.parse::<usize>().ok().filter(|number| number.to_string() == name);
    match number {
        Some(number) => number < regex.captures_len(),
        None => regex.capture_names().flatten().any(|known| known == name),
    }
}
