//! `scbte policy eval`: what a policy decides about an `input`.

use super::request::{Document, moment};
use super::{MAX_FINDINGS, PolicyArgs};
use crate::clock;
use crate::commands::{Output, Result, Usage};
use crate::words::visible;
use scbte_core::policy::tools::Evaluation;
use scbte_core::policy::{Decision, Policy};
use scbte_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Say what a policy decides about an input. The exit code is 1 when it does not allow
#[derive(clap::Args)]
#[command(after_help = "\
The input is JSON with the members that the filter sets: sub, ctx, aud, method, path, timestamp, trust_domain, \
path_segments, query, host, headers, claims, source. Missing timestamp, path_segments and trust_domain are filled in.

Examples:
  scbte policy eval policy/ --input request.json
  echo '{\"sub\": \"spiffe://td/a\", \"ctx\": \"read:users\", \"method\": \"GET\", \"path\": \"/users\"}' |
      scbte policy eval policy/ --input - --json")]
pub(crate) struct Eval {
    #[command(flatten)]
    policy: PolicyArgs,

    /// The input as JSON; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,

    /// Leave the input as it is
    #[arg(long)]
    as_is: bool,

    /// What the clock says, like 2026-01-31T12:00:00Z; by default now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

impl Eval {
    pub(super) fn execute(self) -> Result<Output> {
        let loaded = self.policy.load()?;
        let now = self.at.unwrap_or_else(clock::now);
        let document = Document::read(&self.input, now, self.as_is)?;
        let mut policy = match Policy::admit_or_tell(&loaded.source, &loaded.limits, MAX_FINDINGS) {
            Ok(policy) => policy,
            Err(errors) => return Ok(loaded.refused(&errors, self.policy.json)),
        };
        let evaluation = policy.evaluate_document(&document.members, now).map_err(Usage::new)?;
        let success = matches!(evaluation.decision, Ok(Decision::Allow { .. }));
        let text = if self.policy.json {
            let mut members = to_json(&evaluation, loaded.limits.max_instructions);
            members.insert("notes".to_owned(), document.notes(policy.uses()).into());
            format!("{:#}\n", Value::Object(members))
        } else {
            words(&evaluation, loaded.limits.max_instructions) + &notes(&document.notes(policy.uses()))
        };
        Ok(Output { text, success })
    }
}

/// What must be said besides.
pub(super) fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("  note: {note}\n")).collect()
}

/// What a caller would get, in a line.
pub(super) fn verdict(evaluation: &Evaluation) -> String {
    match &evaluation.decision {
        Ok(Decision::Allow { .. }) => "ALLOWED".to_owned(),
        Ok(Decision::Deny { reason, status, .. }) => {
            format!("DENIED: {status} policy_denied, reason `{}`", visible(reason))
        }
        Err(error) => format!("ERROR: 500 policy_engine_error: {error}"),
    }
}

/// The verdict and what it came from.
pub(super) fn words(evaluation: &Evaluation, budget: usize) -> String {
    let mut text = format!("{}\n", verdict(evaluation));
    let value = evaluation.value.as_ref().map_or_else(|| "undefined".to_owned(), Value::to_string);
    if evaluation.decision.is_ok() || evaluation.value.is_some() {
        text += &format!("  value         {}\n", visible(&value));
    }
    for (title, headers) in header_lists(&evaluation.decision) {
        for (name, value) in headers {
            text += &format!("  {title}  {name}: {}\n", visible(value));
        }
    }
    text + &match evaluation.instructions {
        Some(used) => format!("  instructions  {used} of {budget}\n"),
        None => format!("  instructions  more than {budget}\n"),
    }
}

type Headers<'a> = &'a [(String, String)];

fn header_lists<E>(decision: &std::result::Result<Decision, E>) -> Vec<(&'static str, Headers<'_>)> {
    match decision {
        Ok(Decision::Allow { headers, response_headers }) => {
            vec![("header      ", headers), ("response    ", response_headers)]
        }
        Ok(Decision::Deny { response_headers, .. }) => vec![("response    ", response_headers)],
        Err(_) => Vec::new(),
    }
}

/// The same for machines.
pub(super) fn to_json(evaluation: &Evaluation, budget: usize) -> Map<String, Value> {
    let decision = match &evaluation.decision {
        Ok(Decision::Allow { headers, response_headers }) => {
            json!({"decision": "allow", "headers": pairs(headers), "response_headers": pairs(response_headers)})
        }
        Ok(Decision::Deny { reason, status, response_headers }) => {
            json!({"decision": "deny", "reason": reason, "status": status, "response_headers": pairs(response_headers)})
        }
        Err(error) => json!({"decision": "error", "error": error.to_string(), "status": 500}),
    };
    let mut members = match decision {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.insert("value".to_owned(), evaluation.value.clone().unwrap_or_default());
    members.insert("defined".to_owned(), evaluation.value.is_some().into());
    members.insert("instructions".to_owned(), evaluation.instructions.into());
    members.insert("max_instructions".to_owned(), budget.into());
    members
}

fn pairs(headers: Headers<'_>) -> Value {
    headers.iter().map(|(name, value)| json!([name, value])).collect()
}
