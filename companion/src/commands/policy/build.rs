//! `scbte policy build`: a bundle that OPA and the companion read.

use super::{Loaded, PolicyArgs, check};
use crate::commands::{Output, Result, Usage};
use crate::policy_bundle::{Bundle, Manifest, checked_revision};
use crate::policy_files::PolicyFiles;
use crate::state;
use crate::words::hex;
use scbte_core::policy::Policy;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Put a policy that the filter admits into a bundle: the same policy is the same bytes
#[derive(clap::Args)]
#[command(after_help = "\
The bundle has no tests in it. OPA reads it, too; `opa sign` signs it.

Examples:
  scbte policy build policy/ -o bundle.tar.gz --revision 1.4.0
  scbte policy build --strict policy/ -o bundle.tar.gz --json | jq -r .digest")]
pub(crate) struct Build {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Where the bundle goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// What to call this version of the policy, at most 128 characters; by default a part of its digest
    #[arg(long, value_name = "REVISION", value_parser = checked_revision)]
    revision: Option<String>,

    /// Warnings are errors, as of `check`
    #[arg(long)]
    strict: bool,
}

/// Characters of the digest in the revision of a bundle that was not given one.
const SHORT: usize = 12;

impl Build {
    pub(super) fn execute(self) -> Result<Output> {
        let loaded = self.policy.load()?;
        let policy = match check::admit(&loaded, self.strict) {
            Ok(policy) => policy,
            Err(refused) => return Ok(refused.output(&loaded, self.policy.json)),
        };
        let bundle = self.bundle(&loaded, &policy);
        let bytes = bundle.write().map_err(Usage::new)?;
        // What others will read is what was checked.
        let read = PolicyFiles::of_bundle("the bundle", &bytes, None).map_err(Usage::new)?;
        if read.source(&loaded.source.entrypoint, None) != loaded.source {
            return Err(Usage::new("the bundle does not hold what was checked").into());
        }
        store(&self.output, &bytes).map_err(Usage::new)?;
        Ok(self.told(&loaded, &bundle, &policy, &bytes))
    }

    fn bundle(&self, loaded: &Loaded, policy: &Policy) -> Bundle {
        let (source, files) = (&loaded.source, &loaded.files);
        let given = self.revision.clone().or_else(|| Some(files.manifest.revision.clone()));
        let revision = given.filter(|revision| !revision.is_empty());
        let roots = files.manifest.roots.clone();
        let roots = roots.unwrap_or_else(|| Manifest::roots_of(&source.modules, source.rego_version, &files.data));
        let manifest = Manifest {
            revision: revision.unwrap_or_else(|| policy.digest().chars().take(SHORT).collect()),
            roots: Some(roots),
            rego_version: Some(source.rego_version),
        };
        Bundle::new(manifest, source.modules.clone(), files.data.clone())
    }

    fn told(&self, loaded: &Loaded, bundle: &Bundle, policy: &Policy, bytes: &[u8]) -> Output {
        let digest = hex(&Sha256::digest(bytes));
        let (file, revision) = (self.output.display().to_string(), &bundle.manifest.revision);
        let roots = bundle.manifest.roots.clone().unwrap_or_default();
        if self.policy.json {
            let outcome = json!({
                "admitted": true,
                "file": file,
                "bytes": bytes.len(),
                "revision": revision,
                "digest": format!("sha256:{digest}"),
                "policy_digest": policy.digest(),
                "entrypoint": loaded.source.entrypoint,
                "roots": roots,
            });
            return Output::success(format!("{outcome:#}\n"));
        }
        Output::success(format!(
            "{file}: {} bytes\n  revision  {revision}\n  digest    sha256:{digest}\n  policy    {}\n  roots     {}\n",
            bytes.len(),
            policy.digest(),
            roots.join(", "),
        ))
    }
}

/// Replaces a file at once; what is no file, a pipe say, is written to.
fn store(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            fs::write(path, bytes).map_err(|error| format!("`{}`: {error}", path.display()))?;
        }
        Ok(_) => state::write_bytes(&fs::canonicalize(path)?, bytes)?,
        Err(_) => state::write_bytes(path, bytes)?,
    }
    Ok(())
}
