//! `scbte policy`: what a policy's author does before a filter runs it.
//!
//! Whether a policy is admitted, and what it decides, comes from the code that the filter runs.

mod build;
mod check;
mod eval;
mod explain;
mod findings;
mod request;
mod story;
mod test;

use super::{Output, Result, Usage};
use crate::policy_bundle::VerificationKey;
use crate::policy_files::PolicyFiles;
use crate::policy_limits::MaxData;
use findings::Findings;
use scbte_core::policy::{AdmissionError, Limits, Place, PolicySource, RegoVersion};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Check, test, build and understand policies
#[derive(clap::Subcommand)]
#[command(after_help = "\
A policy is Rego, as for OPA. PATH is a folder, a file or a bundle (.tar.gz):
  *.rego           the policy
  *_test.rego      its tests
  data.json        its data; in a folder a/b it stands at data.a.b

Exit codes: 0 all is well; 1 findings, a denial or a failed test; 2 the command could not run.

From an empty folder to a bundle:
  scbte policy check --strict policy/
  scbte policy test policy/
  scbte policy build policy/ -o bundle.tar.gz --revision 1.0.0")]
pub(crate) enum PolicyCommand {
    Check(check::Check),
    Build(build::Build),
    Eval(eval::Eval),
    Test(test::TestCommand),
    Explain(Box<explain::Explain>),
}

impl PolicyCommand {
    pub(super) fn execute(self) -> Result<Output> {
        match self {
            Self::Check(check) => check.execute(),
            Self::Build(build) => build.execute(),
            Self::Eval(eval) => eval.execute(),
            Self::Test(test) => test.execute(),
            Self::Explain(explain) => explain.execute(),
        }
    }
}

/// Which policy.
#[derive(clap::Args)]
struct PolicyArgs {
    /// Folders, files or bundles of the policy
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// The rule that decides
    #[arg(long, value_name = "RULE", default_value = PolicySource::DEFAULT_ENTRYPOINT)]
    entrypoint: String,

    /// The policy is Rego v0, from before OPA 1.0
    #[arg(long)]
    rego_v0: bool,

    /// Budget of one evaluation, as `policy.max_instructions` of the filter
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_instructions, value_parser = budget)]
    max_instructions: usize,

    /// Most data that the policy may have, as `policy.max_data` of the filter, 1KiB to 64MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    max_data: Option<MaxData>,

    /// Public key (PEM or JWK) that a bundle must be signed with; with it, every PATH must be a bundle
    #[arg(long, value_name = "FILE")]
    verification_key: Option<PathBuf>,

    /// With --verification-key: what the signature's `kid` must be, if it has one
    #[arg(long, value_name = "KID", requires = "verification_key")]
    verification_key_id: Option<String>,

    /// With --verification-key: the scope that the signature must be for
    #[arg(long, value_name = "SCOPE", requires = "verification_key")]
    scope: Option<String>,

    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// What the filter accepts as `policy.max_instructions`.
fn budget(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(budget @ 100..=10_000_000) => Ok(budget),
        _ => Err("expected a whole number from 100 to 10000000".to_owned()),
    }
}

/// A policy that was read.
struct Loaded {
    files: PolicyFiles,
    source: PolicySource,
    limits: Limits,
}

/// Findings that are told, at most.
const MAX_FINDINGS: usize = 100;

impl PolicyArgs {
    fn load(&self) -> Result<Loaded> {
        let key = self.key().map_err(Usage::new)?;
        let files = PolicyFiles::load(&self.paths, key.as_ref()).map_err(Usage::new)?;
        let source = files.source(&self.entrypoint, self.rego_v0.then_some(RegoVersion::V0));
        let MaxData(max_data_bytes) = self.max_data.unwrap_or_default();
        let limits = Limits { max_instructions: self.max_instructions, max_data_bytes, ..Limits::default() };
        Ok(Loaded { files, source, limits })
    }

    fn key(&self) -> Result<Option<VerificationKey>, String> {
        let load = |path: &PathBuf| VerificationKey::load(path, self.verification_key_id.clone(), self.scope.clone());
        self.verification_key.as_ref().map(load).transpose()
    }
}

impl Loaded {
    /// The place with the file's path as the user knows it.
    fn shown(&self, place: &Place) -> Place {
        Place { module: self.files.place_of(&place.module).to_owned(), ..place.clone() }
    }

    /// What to print when the policy is not admitted.
    fn refused(&self, errors: &[AdmissionError], as_json: bool) -> Output {
        let findings = Findings::of_errors(self, errors);
        let text = if as_json {
            format!("{:#}\n", json!({"admitted": false, "findings": findings.json()}))
        } else {
            format!("{}{}\n", findings.words(), findings.summary())
        };
        Output { text, success: false }
    }
}

/// A place for machines.
fn place_json(place: &Place) -> Value {
    json!({"file": place.module, "line": place.line, "column": place.column})
}
