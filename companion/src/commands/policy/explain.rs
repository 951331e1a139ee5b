//! `scbte policy explain`: which rule decided, and which conditions failed: for an engineer with a 403 in hand.
//!
//! The decision is the machine's, and printed first. The steps are what the machine did when it was watched deciding
//! the same once more.

use super::eval::{notes, to_json, words};
use super::request::{Document, RequestArgs, moment};
use super::{Loaded, MAX_FINDINGS, PolicyArgs, story};
use crate::clock;
use crate::commands::{Output, Result, Usage};
use scbte_core::policy::Decision;
use scbte_core::policy::tools::{Explainer, Explanation};
use scbte_core::time::Timestamp;
use serde_json::Value;
use std::path::PathBuf;

/// Say why a policy decides what it decides. The exit code is 1 when it does not allow
#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("what").args(["token", "input"]).required(true),
    after_help = "\
The token's signature is not checked: `scbte token verify` does that, and says what the filter answers before it asks \
the policy. Headers are those that `policy.headers` of the filter names.

Examples:
  scbte policy explain policy/ --token eyJ… --method POST --path '/api/v1/users?page=2'
  scbte token mint … | scbte policy explain policy/ --token - --method GET --path /api/v1/users
  scbte policy explain policy/ --input request.json --all"
)]
pub(crate) struct Explain {
    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    request: RequestArgs,

    /// An input as JSON instead of a token and a request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// With --input: leave the input as it is
    #[arg(long, requires = "input")]
    as_is: bool,

    /// What the clock says, like 2026-01-31T12:00:00Z; by default now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,

    /// Tell of every rule and body that was looked at, not only of those that mattered
    #[arg(long)]
    all: bool,
}

impl Explain {
    pub(super) fn execute(self) -> Result<Output> {
        let loaded = self.policy.load()?;
        let now = self.at.unwrap_or_else(clock::now);
        let document = match &self.input {
            Some(path) => Document::read(path, now, self.as_is)?,
            None => self.request.document(now)?,
        };
        let mut explainer = match Explainer::new(&loaded.source, &loaded.limits, MAX_FINDINGS) {
            Ok(explainer) => explainer,
            Err(errors) => return Ok(loaded.refused(&errors, self.policy.json)),
        };
        let explanation = explainer.explain(&document.members, now).map_err(Usage::new)?;
        let told = document.notes(explainer.policy().uses());
        let success = matches!(explanation.evaluation.decision, Ok(Decision::Allow { .. }));
        let digest = explainer.policy().digest().to_owned();
        let text = if self.policy.json {
            json(&loaded, digest, &explanation, told, document)
        } else {
            self.words(&loaded, &digest, &explanation, &told, success)
        };
        Ok(Output { text, success })
    }

    fn words(
        &self,
        loaded: &Loaded,
        digest: &str,
        explanation: &Explanation,
        told: &[String],
        allowed: bool,
    ) -> String {
        let decision = words(&explanation.evaluation, loaded.limits.max_instructions);
        let steps = match &explanation.call {
            Some(call) => story::words(loaded, call, allowed, self.all),
            None => "The machine could not be watched at this; only its decision is known.\n".to_owned(),
        };
        format!("{decision}  policy        {digest}\n{}\n{steps}", notes(told))
    }
}

fn json(loaded: &Loaded, digest: String, explanation: &Explanation, told: Vec<String>, document: Document) -> String {
    let steps = explanation.call.as_ref().map(|call| story::json(loaded, call));
    let mut members = to_json(&explanation.evaluation, loaded.limits.max_instructions);
    members.insert("policy_digest".to_owned(), digest.into());
    members.insert("notes".to_owned(), told.into());
    members.insert("input".to_owned(), document.members.into());
    members.insert("steps".to_owned(), steps.into());
    format!("{:#}\n", Value::Object(members))
}
