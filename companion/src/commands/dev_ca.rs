//! `scbte dev-ca`: rotates the embedded CA of a dev trust domain.

use super::{Output, Result};
use crate::clock;
use crate::dev_state;
use crate::state::StateDir;
use std::path::PathBuf;

/// Rotate the CA of a dev trust domain: prepare, activate, revoke, as SPIRE's `localauthority`
#[derive(clap::Subcommand)]
#[command(after_help = "\
A running companion notices each step within a quarter of a second and pushes the new bundle.
Between the steps, wait until every Envoy has it (GET /v1/status of its control API), and before
the last one until the old tokens have expired: then no good call is lost.

Example:
  scbte dev-ca prepare  --state-dir target/demo     the new CA is trusted, the old one signs
  scbte dev-ca activate --state-dir target/demo     the new CA signs, both are trusted
  scbte dev-ca revoke   --state-dir target/demo     the old CA's tokens are refused")]
pub(crate) enum DevCaCommand {
    /// Make a new authority and trust it; the active one goes on signing
    Prepare(Folder),
    /// Let the prepared authority sign; the old one stays trusted
    Activate(Folder),
    /// Trust only the active authority (and a prepared one)
    Revoke(Folder),
}

#[derive(clap::Args)]
pub(crate) struct Folder {
    /// The companion's state folder
    #[arg(long, env = "SCBTE_STATE_DIR", hide_env_values = true, value_name = "DIR")]
    state_dir: PathBuf,
}

impl DevCaCommand {
    pub(super) fn execute(self) -> Result<Output> {
        let text = match self {
            Self::Prepare(folder) => format!("prepared  {}\n", dev_state::prepare(&folder.open()?, clock::now())?),
            Self::Activate(folder) => format!("active    {}\n", dev_state::activate(&folder.open()?)?),
            Self::Revoke(folder) => {
                dev_state::revoke(&folder.open()?)?.iter().map(|name| format!("revoked   {name}\n")).collect()
            }
        };
        Ok(Output::success(text))
    }
}

impl Folder {
    fn open(&self) -> Result<StateDir> {
        Ok(StateDir::open(&self.state_dir)?)
    }
}
