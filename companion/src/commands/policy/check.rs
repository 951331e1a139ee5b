//! `scbte policy check`: whether the filter would admit a policy, and if not, everything that is in the way.

use super::findings::Findings;
use super::{Loaded, MAX_FINDINGS, PolicyArgs};
use crate::commands::{Output, Result};
use crate::words;
use scbte_core::policy::tools::warnings;
use scbte_core::policy::{AdmissionError, Member, Policy};
use serde_json::json;

/// Say whether the filter would admit a policy, and if not, why not
#[derive(clap::Args)]
#[command(after_help = "\
The checks are the filter's own; and everything must lie under the roots that `.manifest` names. With --strict also \
what is probably not meant: unused variables, parameters and imports, names that hide others, members of `input` and \
`data` that do not exist, rules that are never asked, decisions that are none.

Examples:
  scbte policy check policy/
  scbte policy check --strict policy/
  scbte policy check --json allow.rego data.json | jq .findings
  scbte policy check bundle.tar.gz --verification-key opa.pub.pem")]
pub(crate) struct Check {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Warnings are errors
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub(super) fn execute(self) -> Result<Output> {
        let loaded = self.policy.load()?;
        match admit(&loaded, self.strict) {
            Ok(policy) => Ok(admitted(&loaded, &policy, self.policy.json)),
            Err(refused) => Ok(refused.output(&loaded, self.policy.json)),
        }
    }
}

/// Why a policy does not pass.
pub(super) enum Refused {
    /// It is not admitted.
    Errors(Vec<AdmissionError>),
    /// It is, but could not stand in a bundle.
    Roots(Findings),
    /// It is, but the strict checks found something.
    Warnings(Findings),
}

impl Refused {
    /// What to print.
    pub(super) fn output(&self, loaded: &Loaded, as_json: bool) -> Output {
        match self {
            Self::Errors(errors) => loaded.refused(errors, as_json),
            Self::Roots(findings) => found(findings, "a bundle of it would be refused", as_json),
            Self::Warnings(findings) => {
                let summary = format!("{}, which --strict does not let pass", findings.summary());
                found(findings, &summary, as_json)
            }
        }
    }
}

fn found(findings: &Findings, summary: &str, as_json: bool) -> Output {
    let text = if as_json {
        format!("{:#}\n", json!({"admitted": true, "findings": findings.json()}))
    } else {
        format!("{}{summary}\n", findings.words())
    };
    Output { text, success: false }
}

/// The policy, if it passes.
pub(super) fn admit(loaded: &Loaded, strict: bool) -> std::result::Result<Policy, Refused> {
    let policy = Policy::admit_or_tell(&loaded.source, &loaded.limits, MAX_FINDINGS).map_err(Refused::Errors)?;
    loaded.files.check_roots().map_err(|error| Refused::Roots(Findings::of_manifest(&error)))?;
    let found = if strict { warnings(&loaded.source, &policy) } else { Vec::new() };
    let findings = Findings::of_warnings(loaded, found);
    if findings.is_empty() { Ok(policy) } else { Err(Refused::Warnings(findings)) }
}

fn admitted(loaded: &Loaded, policy: &Policy, as_json: bool) -> Output {
    let mut reads: Vec<&str> = policy.uses().iter().map(Member::name).collect();
    reads.sort_unstable();
    if as_json {
        let outcome = json!({
            "admitted": true,
            "findings": [],
            "entrypoint": loaded.source.entrypoint,
            "digest": policy.digest(),
            "reads": reads,
        });
        return Output::success(format!("{outcome:#}\n"));
    }
    let reads = reads.iter().map(|member| format!("input.{member}")).collect::<Vec<_>>().join(", ");
    Output::success(format!(
        "admitted: {}, entry point {}\n  digest  {}\n  reads   {}\n",
        words::count(loaded.source.modules.len(), "Rego file", "Rego files"),
        loaded.source.entrypoint,
        policy.digest(),
        if reads.is_empty() { "nothing of the request" } else { &reads },
    ))
}
