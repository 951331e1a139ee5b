//! Where numbers come from: the machine, and the versions of what was measured.

use crate::error::Error;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

/// What numbers hang on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) envoy: String,
    /// The filter's size in bytes.
    pub(crate) filter_bytes: u64,
}

impl Machine {
    pub(crate) fn find(envoy: &Path, filter: &Path) -> Result<Self, Error> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let of_cpu = read("/proc/cpuinfo");
        let cpu = of_cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let version = Command::new(envoy).arg("--version").output().map_err(Error::file(envoy))?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        Ok(Self {
            cpu: cpu.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned()),
            cores: available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            envoy: envoy_version(&version).unwrap_or("unknown").to_owned(),
            filter_bytes: fs::metadata(filter).map_err(Error::file(filter))?.len(),
        })
    }
}

/// Of `…/envoy  version: COMMIT/1.40.0/…`.
fn envoy_version(said: &str) -> Option<&str> {
    said.split_once("version: ")?.1.split('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoy_says_its_version_behind_a_path() {
        assert_eq!(envoy_version("\n/opt/a/envoy  version: 1a2b/1.40.0/Clean/RELEASE/BoringSSL\n"), Some("1.40.0"));
    }
}
