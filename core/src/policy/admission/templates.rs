//! What `regex.replace` puts in: what Go and the `regex` crate read alike.
//!
//! `$$`, `$1`, `${1}`, `$name` and `${name}` of groups that the regex has. Both take the longest name, but Go lets it have
//! letters of any script, and each has a rule of its own for what is no group or no reference: that is refused.

use super::regexes;

/// Checks a template for a literal regex.
pub(super) fn check(template: &str, regex: &str) -> Result<(), String> {
    let groups = Groups::of(regex);
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        rest = reference(after, &groups).ok_or_else(|| {
            format!("the replacement `{template}`: expected `$$`, `${{1}}` or `${{name}}` of a group")
        })?;
    }
    Ok(())
}

/// What follows a `$` and the reference behind it.
fn reference<'a>(text: &'a str, groups: &Groups) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('$') {
        return Some(rest);
    }
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at(text.find(|letter| !is_name(letter)).unwrap_or(text.len())),
    };
    let ends = text.starts_with('{') || !rest.starts_with(char::is_alphanumeric);
    (ends && groups.have(name)).then_some(rest)
}

const fn is_name(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

/// The groups of a regex.
struct Groups {
    count: usize,
    names: Vec<String>,
}

impl Groups {
    fn of(regex: &str) -> Self {
        // One that does not compile is refused for that.
        let regex = regexes::compiled(regex);
        let names = regex.iter().flat_map(regex::Regex::capture_names).flatten().map(str::to_owned).collect();
        Self { count: regex.map_or(0, |regex| regex.captures_len()), names }
    }

    fn have(&self, name: &str) -> bool {
        let number = name.parse::<usize>().ok().filter(|number| number.to_string() == name);
        number.map_or_else(|| self.names.iter().any(|known| known == name), |number| number < self.count)
    }
}
