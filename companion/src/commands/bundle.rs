//! `scbte bundle show`: which authorities are trusted.

use super::trusted::{Trusted, TrustedArgs};
use super::{Output, Result};
use crate::certificate_summary::CertificateSummary;
use crate::clock;
use crate::words;
use scbte_core::bundle::TrustBundle;
use scbte_core::time::Timestamp;

/// Where a companion's admin API is by default.
pub(super) const DEFAULT_ADMIN: &str = "http://127.0.0.1:8091";

/// Look at trust bundles
#[derive(clap::Subcommand)]
pub(crate) enum BundleCommand {
    Show(Show),
}

/// Say which authorities are trusted: of a running companion, of a state folder, or in a file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  scbte bundle show                                      the companion at http://127.0.0.1:8091
  scbte bundle show --admin http://127.0.0.1:8091 --envelope-key target/demo/envelope.pub.jwk
  scbte bundle show --state-dir target/demo
  spire-server bundle show -format spiffe > b.json
  scbte bundle show --bundle b.json --trust-domain example.org")]
pub(crate) struct Show {
    #[command(flatten)]
    trusted: TrustedArgs,
}

impl BundleCommand {
    pub(super) fn execute(self) -> Result<Output> {
        let Self::Show(show) = self;
        Ok(Output::success(describe(&show.trusted.load(DEFAULT_ADMIN)?, clock::now())))
    }
}

fn describe(trusted: &Trusted, now: Timestamp) -> String {
    let mut text = format!("trust bundle from {}\n", trusted.origin);
    if let Some(envelope) = &trusted.envelope {
        text += &envelope.lines(now);
    }
    text += &format!("revision     {}\n", trusted.bundles.revision());
    for (name, bundle) in trusted.bundles.set().iter() {
        text += &format!("\n{name}: {}\n", authorities(bundle));
        for (index, anchor) in bundle.anchors().iter().enumerate() {
            let summary = CertificateSummary::of(anchor.der()).map(|summary| summary.lines("     ", now));
            let summary = summary.unwrap_or_else(|| "     unreadable\n".to_owned());
            text += &format!("  {}. {}", index + 1, summary.trim_start());
        }
    }
    text
}

fn authorities(bundle: &TrustBundle) -> String {
    match bundle.anchors().len() {
        0 => "no authority: every SVID of this trust domain is refused".to_owned(),
        number => words::count(number, "authority", "authorities"),
    }
}
