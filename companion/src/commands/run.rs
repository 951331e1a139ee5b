//! `scbte run`: the companion.

use super::{Output, Result, block_on};
use crate::settings::RawSettings;
use crate::{app, logging};

/// Run the companion: mint tokens for the workload beside it, keep Envoys' trust bundles and policies current
#[derive(clap::Args)]
#[command(after_help = "\
Every flag is also an environment variable (SCBTE_…) and a setting of the --config file (TOML,
with `_` for `-`).

Example:
  scbte run --dev-trust-domain cluster.local \\
      --spiffe-id spiffe://cluster.local/ns/production/sa/api-gateway \\
      --state-dir target/demo --target demo --push http://127.0.0.1:10001

With a policy, for filters with policy.source companion:
  scbte run … --policy policy/ --shadow-policy next/
  scbte run … --policy https://policies.example/bundle.tar.gz --policy-key opa.pub.pem

Then, beside it:
  curl -s http://127.0.0.1:8090/token -H 'content-type: application/json' \\
      -d '{\"aud\": \"api.production.svc.cluster.local\", \"ctx\": \"read:users\"}'
  curl -s http://127.0.0.1:8091/readyz")]
pub(crate) struct Run {
    #[command(flatten)]
    settings: RawSettings,
}

impl Run {
    pub(super) fn execute(self) -> Result<Output> {
        let settings = self.settings.check()?;
        logging::init(settings.log_format, settings.log_level);
        block_on(app::run(settings))??;
        Ok(Output::success(""))
    }
}
