//! What rules made of an input, in words.

use super::{Loaded, place_json};
use crate::words::{count, visible};
use scbte_core::policy::tools::{Body, Call, Condition, Outcome, Shown};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Bodies of one rule that are told of, unless all are asked for.
const MAX_BODIES: usize = 5;
/// Characters of a value in a line.
const MAX_VALUE: usize = 120;

/// The steps: first in short, then rule by rule.
pub(super) fn words(policy: &Loaded, entry: &Call, allowed: bool, all: bool) -> String {
    let mut teller = Teller { policy, entry, all, told: HashSet::new(), waiting: vec![entry], text: String::new() };
    teller.decided(entry);
    if !allowed {
        teller.in_short(entry);
    }
    while !teller.waiting.is_empty() {
        let call = teller.waiting.remove(0);
        teller.rule(call);
    }
    teller.text
}

struct Teller<'a> {
    policy: &'a Loaded,
    entry: &'a Call,
    all: bool,
    /// What was told of, by its heading.
    told: HashSet<String>,
    waiting: Vec<&'a Call>,
    text: String,
}

impl<'a> Teller<'a> {
    fn place(&self, body: &Body) -> String {
        let place = self.policy.shown(&body.place);
        format!("{}:{}", place.module, place.line)
    }

    fn decided(&mut self, entry: &Call) {
        let by = match (held(entry), &entry.default) {
            (Some(body), _) => format!("{}  {}", self.place(body), visible(&body.head)),
            (None, Some(place)) => {
                let place = self.policy.shown(place);
                format!("the default at {}:{}  {}", place.module, place.line, visible(place.text.trim()))
            }
            (None, None) => format!("nothing: no rule gives {} a value", entry.rule),
        };
        self.text += &format!("decided by  {by}\n");
    }

    /// The condition that came nearest to allowing.
    fn in_short(&mut self, entry: &Call) {
        let Some((call, body, condition)) = nearest(entry) else { return };
        let Some(condition) = condition else {
            self.text += &format!("because     {} holds, {}\n", short_name(call), self.place(body));
            return;
        };
        let values = values(condition);
        let values = if values.is_empty() { String::new() } else { format!("; {}", values.join("; ")) };
        let line = self.policy.shown(&condition.place);
        self.text +=
            &format!("nearest     {}:{}  {} fails{values}\n", line.module, line.line, visible(&condition.text));
    }

    fn rule(&mut self, call: &'a Call) {
        let heading = heading(call);
        if call.bodies.is_empty() || !self.told.insert(heading.clone()) {
            return;
        }
        self.text += &format!("\n{heading}\n");
        let (shown, left_out) = self.choose(call);
        for body in shown {
            self.body(call, body);
        }
        if left_out > 0 {
            let more = count(left_out, "body that got less far is", "bodies that got less far are");
            self.text += &format!("  … {more} left out (--all tells of them)\n");
        }
    }

    /// The bodies that are told of, and how many are not.
    fn choose(&self, call: &'a Call) -> (Vec<&'a Body>, usize) {
        let bodies: Vec<&Body> = call.bodies.iter().collect();
        if self.all {
            return (bodies, 0);
        }
        let mut far: Vec<&Body> = bodies.iter().copied().filter(|body| body.outcome == Outcome::Failed).collect();
        far.sort_by_key(|body| std::cmp::Reverse(progress(body)));
        far.truncate(MAX_BODIES);
        let matters = |body: &&&Body| {
            let far = far.iter().any(|other| std::ptr::eq(*other, **body));
            far || body.outcome == Outcome::Held
        };
        let shown: Vec<&Body> = bodies.iter().filter(matters).copied().collect();
        let failed = |body: &&&Body| body.outcome == Outcome::Failed;
        let left_out = bodies.iter().filter(failed).count() - shown.iter().filter(failed).count();
        (shown, left_out)
    }

    fn body(&mut self, call: &'a Call, body: &'a Body) {
        if let Some(about) = &body.about {
            self.text += &format!("  # {}\n", visible(about));
        }
        let outcome = match body.outcome {
            Outcome::Held => "holds",
            Outcome::Failed => "FAILS",
            Outcome::OtherArguments => "other arguments",
            Outcome::NotReached => "-",
        };
        self.text += &format!("  {outcome:<5}  {}  {}\n", self.place(body), visible(&body.head));
        let holds = held(call).is_some_and(|held| std::ptr::eq(held, body));
        let decides = holds && std::ptr::eq(call, self.entry);
        for condition in &body.conditions {
            self.condition(condition, decides);
            // What a condition that held asked matters only where the rule has its value from it.
            let matters = condition.outcome == Outcome::Failed || holds;
            if self.all || matters {
                self.waiting.extend(&condition.calls);
            }
        }
        if self.all || body.outcome == Outcome::Held {
            self.waiting.extend(&body.calls);
        }
    }

    fn condition(&mut self, condition: &Condition, decides: bool) {
        let outcome = match condition.outcome {
            Outcome::Held => "holds",
            Outcome::Failed => "FAILS",
            _ => "-",
        };
        let times = match (condition.held, condition.failed) {
            (0, 0 | 1) | (1, 0) => String::new(),
            (held, failed) => format!("  ({held} of {} times)", held + failed),
        };
        let line = condition.place.line;
        self.text += &format!("           {outcome:<5}  {line:>4}  {}{times}\n", visible(&condition.text));
        if self.all || decides || condition.outcome == Outcome::Failed {
            for value in values(condition) {
                self.text += &format!("                          {value}\n");
            }
        }
    }
}

/// The body that gave the rule its value.
fn held(call: &Call) -> Option<&Body> {
    call.bodies.iter().rev().find(|body| body.outcome == Outcome::Held)
}

/// How many conditions held before one failed.
fn progress(body: &Body) -> usize {
    body.conditions.iter().filter(|condition| condition.outcome == Outcome::Held).count()
}

/// Follows failed conditions into the rules that they asked: the last body and condition of that way. No condition where
/// a rule holds that must not.
fn nearest(call: &Call) -> Option<(&Call, &Body, Option<&Condition>)> {
    let failed = call.bodies.iter().filter(|body| body.outcome == Outcome::Failed);
    // The first of those that got equally far.
    let body = failed.rev().max_by_key(|body| progress(body))?;
    let condition = body.conditions.iter().find(|condition| condition.outcome == Outcome::Failed)?;
    let asked = condition.calls.iter().rev().find(|asked| !asked.bodies.is_empty());
    match asked {
        Some(asked) if is_false(&asked.value) => nearest(asked).or(Some((call, body, Some(condition)))),
        Some(asked) => held(asked).map(|body| (asked, body, None)).or(Some((call, body, Some(condition)))),
        None => Some((call, body, Some(condition))),
    }
}

fn is_false(value: &Shown) -> bool {
    matches!(value, Shown::Undefined)
        || matches!(value, Shown::Whole(text) if text == "false" || text == "[]" || text == "{}")
}

fn short_name(call: &Call) -> String {
    let name = call.rule.rsplit('.').next().unwrap_or(&call.rule);
    format!("`{name}{}`", arguments(call))
}

fn heading(call: &Call) -> String {
    format!("{}{} is {}", call.rule, arguments(call), cut(&call.value))
}

/// What a function was called with; nothing for a rule.
fn arguments(call: &Call) -> String {
    let arguments = call.arguments.iter().map(|(_, value)| cut(value)).collect::<Vec<_>>().join(", ");
    if call.arguments.is_empty() { String::new() } else { format!("({arguments})") }
}

fn cut(value: &Shown) -> String {
    let text = visible(&value.to_string());
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn values(condition: &Condition) -> Vec<String> {
    condition.values.iter().map(|(text, value)| format!("{} is {}", visible(text), cut(value))).collect()
}

/// The steps for machines.
pub(super) fn json(policy: &Loaded, call: &Call) -> Value {
    json!({
        "rule": call.rule,
        "arguments": call.arguments.iter().map(|(_, value)| value_json(value)).collect::<Vec<_>>(),
        "value": value_json(&call.value),
        "default": call.default.as_ref().map(|place| place_json(&policy.shown(place))),
        "bodies": call.bodies.iter().map(|body| body_json(policy, body)).collect::<Vec<_>>(),
    })
}

fn body_json(policy: &Loaded, body: &Body) -> Value {
    json!({
        "place": place_json(&policy.shown(&body.place)),
        "head": body.head,
        "about": body.about,
        "outcome": outcome_name(body.outcome),
        "conditions": body.conditions.iter().map(|condition| condition_json(policy, condition)).collect::<Vec<_>>(),
        "calls": body.calls.iter().map(|call| json(policy, call)).collect::<Vec<_>>(),
    })
}

fn condition_json(policy: &Loaded, condition: &Condition) -> Value {
    let values = condition.values.iter().map(|(text, value)| json!({"expression": text, "value": value_json(value)}));
    json!({
        "place": place_json(&policy.shown(&condition.place)),
        "text": condition.text,
        "outcome": outcome_name(condition.outcome),
        "held": condition.held,
        "failed": condition.failed,
        "values": values.collect::<Vec<_>>(),
        "calls": condition.calls.iter().map(|call| json(policy, call)).collect::<Vec<_>>(),
    })
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::Failed => "failed",
        Outcome::NotReached => "not_reached",
        Outcome::OtherArguments => "other_arguments",
    }
}

/// `{"defined": false}`, `{"defined": true, "json": …}`, or the beginning of a long one as text.
fn value_json(value: &Shown) -> Value {
    match value {
        Shown::Undefined => json!({"defined": false}),
        Shown::Whole(text) => json!({"defined": true, "json": serde_json::from_str::<Value>(text).unwrap_or_default()}),
        Shown::Cut(text) => json!({"defined": true, "cut": text}),
    }
}
