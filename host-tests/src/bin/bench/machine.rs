//! Where numbers come from: the machine, and the versions of what was measured.

use crate::error::Error;
use crate::servers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

/// What numbers hang on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) envoy: String,
    /// The filter's size in bytes.
    pub(crate) filter_bytes: u64,
    /// Of the other programs, by name; those that are there.
    pub(crate) versions: BTreeMap<String, String>,
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
            versions: versions(),
        })
    }
}

/// What the source is, `-dirty` where it was changed since.
pub(crate) fn commit() -> Option<String> {
    let said = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output()
        .ok()?;
    let commit = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    Some(commit).filter(|commit| !commit.is_empty())
}

fn versions() -> BTreeMap<String, String> {
    let opa = servers::opa_program().ok().and_then(|opa| said(&opa, "version", "Version: "));
    let plugin = servers::ext_authz_program().ok().and_then(|plugin| said(&plugin, "version", "Version: "));
    let node = said(Path::new("node"), "--version", "v");
    let wrk = said(Path::new("wrk"), "--version", "wrk ");
    let middleware = servers::middleware_program().ok();
    let module = |name: &str| of_module(&middleware.as_ref()?.with_file_name("node_modules").join(name));
    let (express, jose) = (module("express"), module("jose"));
    let found = [
        ("OPA", opa),
        ("opa-envoy-plugin", plugin),
        ("Node.js", node),
        ("wrk", wrk),
        ("Express", express),
        ("jose", jose),
    ];
    found.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect()
}

/// What follows the label on the line that begins with it, up to a space.
fn said(program: &Path, argument: &str, label: &str) -> Option<String> {
    let said = Command::new(program).arg(argument).output().ok()?;
    let said = [said.stdout, said.stderr].concat();
    labelled(&String::from_utf8_lossy(&said), label)
}

fn labelled(said: &str, label: &str) -> Option<String> {
    let rest = said.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn of_module(folder: &Path) -> Option<String> {
    let manifest = fs::read_to_string(folder.join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    manifest["version"].as_str().map(str::to_owned)
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
    #[test]
    fn a_version_is_the_word_behind_its_label() {
        for (said, label, expected) in [
            ("Version: 1.22.2\nBuild Commit: \n", "Version: ", Some("1.22.2")),
            ("v20.19.2\n", "v", Some("20.19.2")),
            ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\n", "wrk ", Some("debian/4.1.0-3+b2")),
            ("unknown flag\n", "Version: ", None),
        ] {
            assert_eq!(labelled(said, label).as_deref(), expected, "{said}");
        }
    }
}
