//! `glob.match`: `*` for text without delimiters, `**` for any text, `?` for a character that is no delimiter.

use super::meter::spend_product;
use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    match name {
        "glob.match" => Some(builtin!([Text, Whole, Text], existing glob_match)),
        _ => None,
    }
}

/// No delimiters where they are `null`; the dot where they are `[]`.
fn glob_match(arguments: &[Value]) -> Outcome {
    let [Value::String(pattern), delimiters, Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    let delimiters = match delimiters {
        Value::Null => Vec::new(),
        Value::Array(delimiters) if delimiters.is_empty() => vec!['.'],
        Value::Array(delimiters) => match delimiters.iter().map(single).collect::<Option<_>>() {
            Some(delimiters) => delimiters,
            None => return Ok(Value::Undefined),
        },
        _ => return Ok(Value::Undefined),
    };
    if !is_supported(pattern) {
        return Err(Stop::Glob);
    }
    // Of many globs nearly all fail here.
    let (literal, pattern) = pattern.split_at(pattern.find(['*', '?']).unwrap_or(pattern.len()));
    let Some(text) = text.strip_prefix(literal) else { return Ok(Value::from(false)) };
    let pattern = parse(pattern);
    spend_product(text.len(), pattern.len().saturating_add(delimiters.len()))?;
    Ok(Value::from(matches(&pattern, &delimiters, text)))
}

fn single(delimiter: &Value) -> Option<char> {
    let Value::String(text) = delimiter else { return None };
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Some,
    /// `**`
    Any,
}

/// Bytes of a glob, at most: matching takes no more steps than that for each character of the text.
const MAX_PATTERN: usize = 256;

/// Whether a glob has only what is supported.
pub(in crate::policy) fn is_supported(pattern: &str) -> bool {
    !pattern.contains(['[', ']', '{', '}', '\\', ',']) && pattern.len() <= MAX_PATTERN
}

fn parse(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for character in pattern.chars() {
        match (character, parts.last()) {
            ('*', Some(Part::Any)) => {}
            ('*', Some(Part::Some)) => {
                parts.pop();
                parts.push(Part::Any);
            }
            ('*', _) => parts.push(Part::Some),
            ('?', _) => parts.push(Part::One),
            (other, _) => parts.push(Part::Literal(other)),
        }
    }
    parts
}

/// Goes through the text once, with all places of the pattern where it could be: never more steps than the lengths of
/// both, multiplied.
fn matches(pattern: &[Part], delimiters: &[char], text: &str) -> bool {
    let mut places = vec![false; pattern.len().saturating_add(1)];
    let mut next = places.clone();
    enter(pattern, &mut places, 0);
    for character in text.chars() {
        let inside = !delimiters.contains(&character);
        next.fill(false);
        let mut somewhere = false;
        for (place, part) in pattern.iter().enumerate().filter(|(place, _)| places.get(*place) == Some(&true)) {
            let behind = match part {
                Part::Literal(literal) if *literal == character => place.saturating_add(1),
                Part::One if inside => place.saturating_add(1),
                Part::Some if inside => place,
                Part::Any => place,
                _ => continue,
            };
            enter(pattern, &mut next, behind);
            somewhere = true;
        }
        if !somewhere {
            return false;
        }
        std::mem::swap(&mut places, &mut next);
    }
    places.last() == Some(&true)
}

/// Marks a place, and those behind stars that may match nothing.
fn enter(pattern: &[Part], places: &mut [bool], place: usize) {
    for at in place.. {
        match places.get_mut(at) {
            Some(reached) => *reached = true,
            None => return,
        }
        if !matches!(pattern.get(at), Some(Part::Some | Part::Any)) {
            return;
        }
    }
}
