//! `scbte keygen`: an envelope key pair.

use super::{Output, Result};
use crate::envelope_key::{EnvelopeKey, PRIVATE_FILE, PUBLIC_FILE};
use crate::state::{self, Access, StateDir};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Make an envelope key pair: the private half signs envelopes, filters pin the public half
#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("where").required(true),
    after_help = "\
Whoever has the private half can vouch for any identity before every filter that pins the public
half: one pair per environment and namespace, the private half only in the companion.

Examples:
  scbte keygen --state-dir /var/lib/scbte       envelope.jwk (mode 0600) and envelope.pub.jwk there
  scbte keygen --out production.jwk             production.jwk (mode 0600) and production.pub.jwk
  scbte keygen --k8s-secret scbte-envelope -n production --public production.pub.jwk |
      kubectl apply -f -"
)]
pub(crate) struct Keygen {
    /// File for the private JWK, mode 0600; the public half goes beside it, into FILE with .pub.jwk
    #[arg(long, value_name = "FILE", group = "where")]
    out: Option<PathBuf>,

    /// State folder: envelope.jwk and envelope.pub.jwk there
    #[arg(long, value_name = "DIR", group = "where")]
    state_dir: Option<PathBuf>,

    /// Write nothing; print a Kubernetes Secret of this name, and the public half as a comment
    #[arg(long, value_name = "NAME", group = "where")]
    k8s_secret: Option<String>,

    /// With --k8s-secret: its namespace
    #[arg(long, short, value_name = "NAME", requires = "k8s_secret")]
    namespace: Option<String>,

    /// With --k8s-secret: a file for the public half, too
    #[arg(long, value_name = "FILE", requires = "k8s_secret")]
    public: Option<PathBuf>,

    /// Replace a key that is there: filters that pin its public half stop believing this companion
    #[arg(long)]
    force: bool,
}

impl Keygen {
    pub(super) fn execute(self) -> Result<Output> {
        let key = EnvelopeKey::generate()?;
        if let Some(name) = &self.k8s_secret {
            self.write_public_half(&key)?;
            return Ok(Output::success(secret(&key, name, self.namespace.as_deref())));
        }
        let (private, public) = self.files()?;
        self.refuse_to_replace(&private)?;
        state::write(&private, &key.to_private_jwk(), Access::Private)?;
        state::write(&public, &key.to_public_jwk(), Access::Public)?;
        Ok(Output::success(format!("private  {}\npublic   {}\n", private.display(), public.display())))
    }

    fn write_public_half(&self, key: &EnvelopeKey) -> Result<()> {
        let Some(path) = &self.public else { return Ok(()) };
        self.refuse_to_replace(path)?;
        Ok(state::write(path, &key.to_public_jwk(), Access::Public)?)
    }

    fn refuse_to_replace(&self, path: &Path) -> Result<()> {
        match path.exists() && !self.force {
            true => Err(format!("`{}` is there already; --force replaces it", path.display()).into()),
            false => Ok(()),
        }
    }

    fn files(&self) -> Result<(PathBuf, PathBuf)> {
        if let Some(folder) = &self.state_dir {
            let folder = StateDir::create(folder)?;
            return Ok((folder.file(PRIVATE_FILE), folder.file(PUBLIC_FILE)));
        }
        let private = self.out.clone().ok_or("`--out` is missing")?;
        let public = public_file(&private);
        Ok((private, public))
    }
}

/// `a.jwk` → `a.pub.jwk`, `a` → `a.pub.jwk`.
fn public_file(private: &Path) -> PathBuf {
    let name = private.file_name().unwrap_or_default().to_string_lossy();
    private.with_file_name(format!("{}.pub.jwk", name.strip_suffix(".jwk").unwrap_or(&name)))
}

fn secret(key: &EnvelopeKey, name: &str, namespace: Option<&str>) -> String {
    // Strings of JSON are strings of YAML.
    let quoted = |text: &str| Value::from(text).to_string();
    let namespace = namespace.map(|name| format!("  namespace: {}\n", quoted(name))).unwrap_or_default();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{namespace}type: Opaque\nstringData:\n  \
         {PRIVATE_FILE}: {private}\n# The public half, for the filters' trust.envelope_keys:\n# {public}",
        name = quoted(name),
        private = quoted(key.to_private_jwk().trim()),
        public = key.to_public_jwk(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_half_lies_beside_the_private_one() {
        for (private, public) in [("a.jwk", "a.pub.jwk"), ("dir/a.jwk", "dir/a.pub.jwk"), ("a.json", "a.json.pub.jwk")]
        {
            assert_eq!(public_file(Path::new(private)), Path::new(public));
        }
    }
}
