//! `scbte health`: whether a companion is alive and ready, as an exit code.
//!
//! For container probes: the admin API listens on loopback, which a probe from outside the container cannot reach, and
//! an image need not hold a shell or an HTTP client.

use super::bundle::DEFAULT_ADMIN;
use super::{Output, Result, block_on};
use crate::http_client::{Call, Endpoint};
use crate::words::visible;
use serde_json::Value;
use std::time::Duration;

/// How long a companion may take to answer: less than `timeoutSeconds` of pod.yaml's probes, so that the reason is told.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Ask a companion whether it is ready; the exit code is 0 or 1
#[derive(clap::Args)]
#[command(after_help = "\
Ready: it has a valid identity and a trust bundle to hand out, and a policy, where it delivers one (`--policy`).
Alive: it answers.

Examples:
  scbte health                                   the companion at http://127.0.0.1:8091
  scbte health --alive --admin unix:///run/scbte/admin.sock")]
pub(crate) struct Health {
    /// Admin API of the companion, http://HOST:PORT or unix:///path
    #[arg(long, value_name = "ENDPOINT", default_value = DEFAULT_ADMIN)]
    admin: String,

    /// Ask only whether it is alive
    #[arg(long)]
    alive: bool,
}

impl Health {
    pub(super) fn execute(self) -> Result<Output> {
        let (path, good) = if self.alive { ("/healthz", "alive") } else { ("/readyz", "ready") };
        let endpoint: Endpoint = self.admin.parse()?;
        let answer = block_on(endpoint.call(Call::get(path), TIMEOUT))??;
        if answer.status.is_success() && (self.alive || says_ready(&answer.body)) {
            return Ok(Output::success(format!("{good}\n")));
        }
        let text = format!("not {good}: {}\n", reasons(&answer.body).unwrap_or_else(|| answer.status.to_string()));
        Ok(Output { text, success: false })
    }
}

/// Whatever else listens there may answer 200 to anything.
fn says_ready(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|report| report["ready"] == true)
}

/// What `/readyz` says is missing.
fn reasons(body: &[u8]) -> Option<String> {
    let report: Value = serde_json::from_slice(body).ok()?;
    let missing: Vec<_> = report["missing"].as_array()?.iter().filter_map(Value::as_str).map(visible).collect();
    Some(missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told() {
        for (body, expected) in [
            (r#"{"ready": false, "missing": ["no SVID", "no\nbundle"]}"#, Some("no SVID; no\\nbundle")),
            (r#"{"error": "internal"}"#, None),
            ("nonsense", None),
        ] {
            assert_eq!(reasons(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
