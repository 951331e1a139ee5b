//! The load: wrk with one thread, which sends prepared requests as fast as the answers come.

use crate::cpu::pinned;
use crate::error::Error;
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// What every contender is asked for, and the policy permits.
pub(crate) const PATH: &str = "/api/v1/users";

/// wrk, with tokens.
#[derive(Debug)]
pub(crate) struct Load {
    script: PathBuf,
    tokens: PathBuf,
    /// How many were sent: the next run goes on behind them, or a cache would still hold the first.
    sent: u64,
    count: u64,
    core: usize,
    connections: u32,
}

/// What wrk counted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    microseconds: u64,
    p50_us: u64,
    p99_us: u64,
    /// Answers with a status of 400 or more.
    pub(crate) refused: u64,
    /// Connections that broke, and answers that did not come.
    pub(crate) broken: u64,
    /// The place in the tokens that the next run goes on from.
    sent: u64,
    /// Requests that were made in this run.
    #[serde(default)]
    pub(crate) asked: u64,
}

impl Counted {
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / (self.microseconds as f64 / 1e6)
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.p50_us as f64 / 1e3
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.p99_us as f64 / 1e3
    }
}

impl Load {
    pub(crate) fn new(folder: &Path, tokens: &[String], core: usize, connections: u32) -> Result<Self, Error> {
        let (script, file) = (folder.join("load.lua"), folder.join("tokens"));
        fs::write(&script, include_str!("load.lua")).map_err(Error::file(&script))?;
        write_for_its_owner(&file, &tokens.join("\n"))?;
        let count = u64::try_from(tokens.len()).map_err(Error::other)?;
        Ok(Self { script, tokens: file, sent: 0, count, core, connections })
    }

    /// How many connections it has.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.into()
    }

    /// Whether each token was sent at least once.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.sent >= self.count
    }

    /// Sends for some time.
    pub(crate) async fn run(&mut self, port: u16, span: Duration) -> Result<Counted, Error> {
        let mut command = pinned(&self.core.to_string(), Path::new("wrk"));
        command.args(["--threads", "1", "--timeout", "10s", "--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{}s", span.as_secs().max(1))]);
        command.arg("--script").arg(&self.script).arg(format!("http://127.0.0.1:{port}{PATH}"));
        command.arg("--").arg(&self.tokens).args([self.count, self.sent].map(|number| number.to_string()));
        let mut command = tokio::process::Command::from(command);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(Error::io("wrk"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        let mut counted: Counted = serde_json::from_str(last).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            Error::other(format!("wrk ended ({}): {} {}", output.status, text.trim(), errors.trim()))
        })?;
        counted.asked = counted.sent.saturating_sub(self.sent);
        self.sent = counted.sent;
        Ok(counted)
    }
}

fn write_for_its_owner(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(Error::file(path))?;
    file.write_all(text.as_bytes()).map_err(Error::file(path))
}

/// Nothing of what callers prove themselves with stays behind.
impl Drop for Load {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.tokens);
    }
}
