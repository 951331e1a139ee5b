//! The load: wrk with one thread, which sends prepared requests as fast as the answers come.

use crate::cpu::pinned;
use crate::error::Error;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// What every contender is asked for.
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
    sent: u64,
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
        let write = |path: &Path, text: &str| fs::write(path, text).map_err(Error::file(path));
        write(&script, include_str!("load.lua"))?;
        write(&file, &tokens.join("\n"))?;
        let count = u64::try_from(tokens.len()).map_err(Error::other)?;
        Ok(Self { script, tokens: file, sent: 0, count, core, connections })
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
        command.arg("--").arg(&self.tokens).arg(self.sent.to_string());
        let mut command = tokio::process::Command::from(command);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(Error::io("wrk"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        let counted: Counted = serde_json::from_str(last).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            Error::other(format!("wrk ended ({}): {} {}", output.status, text.trim(), errors.trim()))
        })?;
        self.sent = counted.sent;
        Ok(counted)
    }
}

/// Nothing of what callers prove themselves with stays behind.
impl Drop for Load {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.tokens);
    }
}
