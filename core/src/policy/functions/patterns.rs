//! `regex.…`, with the policy's literals, which are compiled once.

use super::meter::{self, MAX_ELEMENTS, MAX_TEXT, spend, spend_product, spend_text};
use super::{Outcome, Stop, builtin};
use regex::{Captures, Match, Regex};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "regex.find_all_string_submatch_n" => builtin!([Text, Text, Number], new find_all_string_submatch_n),
        "regex.find_n" => builtin!([Text, Text, Number], new find_n),
        "regex.match" => builtin!([Text, Text], existing regex_match),
        "regex.replace" => builtin!([Text, Text, Text], new regex_replace),
        "regex.split" => builtin!([Text, Text], new regex_split),
        _ => return None,
    })
}

/// The regexes of a policy, by their text as the machine has it.
#[derive(Debug, Default)]
pub(in crate::policy) struct Regexes(Vec<(String, Pattern)>);

impl Regexes {
    fn get(&self, text: &str) -> Option<&Pattern> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(text)).ok()?;
        self.0.get(at).map(|(_, pattern)| pattern)
    }
}

impl FromIterator<(String, Pattern)> for Regexes {
    fn from_iter<T: IntoIterator<Item = (String, Pattern)>>(patterns: T) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by(|(left, _), (right, _)| left.cmp(right));
        patterns.dedup_by(|(left, _), (right, _)| left == right);
        Self(patterns)
    }
}

/// A compiled regex.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Pattern {
    /// The regex.
    pub(in crate::policy) regex: Regex,
    /// In how many places of the regex a match can be at once: looking at a byte may take as many steps.
    pub(in crate::policy) places: usize,
}

impl Pattern {
    /// Pays for looking for one match, from here to the end of the text.
    fn pay(&self, text: &str, start: usize) -> Result<(), Stop> {
        spend(1)?;
        spend_product(text.len().saturating_sub(start), self.places)
    }

    /// The matches, each of which could be found at the end of the text only, or not at all.
    fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Result<Match<'a>, Stop>> {
        let mut matches = self.regex.find_iter(text);
        self.paid(text, move || matches.next().map(|found| (found.end(), found)))
    }

    /// The same with groups, which take longer to find.
    fn captures<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Result<Captures<'a>, Stop>> {
        let mut captures = self.regex.captures_iter(text);
        let groups = self.regex.captures_len();
        self.paid(text, move || {
            let found = captures.next()?;
            Some((found.get(0).map_or(text.len(), |all| all.end()), found))
        })
        .map(move |found| {
            spend(groups)?;
            found
        })
    }

    fn paid<'a, T: 'a>(
        &'a self,
        text: &'a str,
        mut next: impl FnMut() -> Option<(usize, T)> + 'a,
    ) -> impl Iterator<Item = Result<T, Stop>> + 'a {
        let mut start = 0;
        std::iter::from_fn(move || {
            if let Err(stop) = self.pay(text, start) {
                return Some(Err(stop));
            }
            let (end, found) = next()?;
            start = end;
            Some(Ok(found))
        })
    }
}

/// The compiled regex of this text: admission has seen to it that there is one.
fn with_pattern(regex: &str, run: impl FnOnce(&Pattern) -> Outcome) -> Outcome {
    meter::with_regexes(|regexes| match regexes.and_then(|regexes| regexes.get(regex)) {
        Some(pattern) => run(pattern),
        None => Ok(Value::Undefined),
    })
}

fn regex_match(arguments: &[Value]) -> Outcome {
    let [Value::String(regex), Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    with_pattern(regex, |pattern| {
        pattern.pay(text, 0)?;
        Ok(Value::from(pattern.regex.is_match(text)))
    })
}

/// How many matches are asked for; a negative number means all. None for a number beyond 64 bits.
fn wanted(number: &Value) -> Option<usize> {
    let Value::Number(number) = number else { return None };
    number.as_i64().map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

fn find_n(arguments: &[Value]) -> Outcome {
    let [Value::String(regex), Value::String(text), number] = arguments else { return Ok(Value::Undefined) };
    let Some(number) = wanted(number) else { return Ok(Value::Undefined) };
    with_pattern(regex, |pattern| {
        let found = pattern.matches(text).take(number).map(|found| Ok(Value::from(found?.as_str())));
        collected(found)
    })
}

fn find_all_string_submatch_n(arguments: &[Value]) -> Outcome {
    let [Value::String(regex), Value::String(text), number] = arguments else { return Ok(Value::Undefined) };
    let Some(number) = wanted(number) else { return Ok(Value::Undefined) };
    with_pattern(regex, |pattern| {
        let groups = |found: Captures<'_>| {
            let texts = found.iter().map(|group| Value::from(group.map_or("", |group| group.as_str())));
            Value::from(texts.collect::<Vec<_>>())
        };
        collected(pattern.captures(text).take(number).map(|found| found.map(groups)))
    })
}

fn collected(found: impl Iterator<Item = Outcome>) -> Outcome {
    let found: Vec<Value> = found.take(MAX_ELEMENTS.saturating_add(1)).collect::<Result<_, _>>()?;
    Ok(Value::from(found))
}

/// What stands in the place of a match may name its groups: `$1`.
fn regex_replace(arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(regex), Value::String(new)] = arguments else {
        return Ok(Value::Undefined);
    };
    // At most the whole text, for each group that is named.
    let expanded = new.matches('$').count().saturating_mul(text.len());
    if expanded > MAX_TEXT {
        return Err(Stop::TooLarge);
    }
    with_pattern(regex, |pattern| {
        let mut replaced = String::new();
        let mut done = 0;
        for found in pattern.captures(text) {
            let found = found?;
            let Some(all) = found.get(0) else { continue };
            spend_text(new.len())?;
            replaced.push_str(text.get(done..all.start()).unwrap_or_default());
            found.expand(new, &mut replaced);
            done = all.end();
            if replaced.len() > MAX_TEXT {
                return Err(Stop::TooLarge);
            }
        }
        replaced.push_str(text.get(done..).unwrap_or_default());
        Ok(Value::from(replaced))
    })
}

/// What is between the matches; an empty match at the start separates nothing.
fn regex_split(arguments: &[Value]) -> Outcome {
    let [Value::String(regex), Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    with_pattern(regex, |pattern| {
        if text.is_empty() && !regex.is_empty() {
            return Ok(Value::from(vec![Value::from("")]));
        }
        let mut parts = Vec::new();
        let (mut begin, mut end) = (0, 0);
        for found in pattern.matches(text).take(MAX_ELEMENTS.saturating_add(1)) {
            let found = found?;
            end = found.start();
            if found.end() != 0 {
                parts.push(part(text, begin, end));
            }
            begin = found.end();
        }
        if end != text.len() {
            parts.push(part(text, begin, text.len()));
        }
        Ok(Value::from(parts))
    })
}

fn part(text: &str, begin: usize, end: usize) -> Value {
    Value::from(text.get(begin..end).unwrap_or_default())
}
