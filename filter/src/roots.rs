//! What each data root uses, published to shared data so that the control listener can list it.
//!
//! Informational only: anybody in the same Envoy can write there, so nothing is decided on it. One value holds the list,
//! since shared data cannot delete; roots that stopped reporting drop out of it.

use proxy_wasm::hostcalls;
use scbte_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Reports older than this are of roots that are gone.
const FORGET_AFTER: Duration = Duration::from_secs(5);
/// Roots listed, at most.
const MAX_ROOTS: usize = 128;
/// Longest list that is read.
const MAX_BYTES: usize = 128 * 1024;
/// Other VMs write the same value.
const WRITE_ATTEMPTS: usize = 3;

/// What one data root uses.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RootReport {
    /// Tells roots apart.
    pub(crate) nonce: String,
    /// The bundle envelope's `seq`, if it has one.
    pub(crate) seq: Option<u64>,
    /// The bundle set's revision.
    pub(crate) revision: Option<String>,
    /// The digest of the policy that runs.
    pub(crate) policy: Option<String>,
    /// What its author calls it.
    #[serde(default)]
    pub(crate) policy_revision: Option<String>,
    /// Why a newer one does not run.
    #[serde(default)]
    pub(crate) policy_error: Option<String>,
    /// Where policies come from: `inline` or `companion`.
    pub(crate) policy_source: String,
    /// `enforce` or `shadow`.
    pub(crate) mode: String,
    /// When it reported, seconds since the epoch.
    pub(crate) time: u64,
}

/// Puts a report into the list of its target.
pub(crate) fn publish(target: &str, report: &RootReport, now: Timestamp) {
    let key = key(target);
    for _ in 0..WRITE_ATTEMPTS {
        let Ok((value, version)) = hostcalls::get_shared_data(&key) else { return };
        let mut reports = alive(value.as_deref(), now);
        reports.retain(|other| other.nonce != report.nonce);
        reports.truncate(MAX_ROOTS.saturating_sub(1));
        reports.push(report.clone());
        let Ok(list) = serde_json::to_vec(&reports) else { return };
        if hostcalls::set_shared_data(&key, Some(&list), version).is_ok() {
            return;
        }
    }
}

/// The roots that report for a target.
pub(crate) fn list(target: &str, now: Timestamp) -> Vec<RootReport> {
    let value = hostcalls::get_shared_data(&key(target)).ok().and_then(|(value, _)| value);
    alive(value.as_deref(), now)
}

fn key(target: &str) -> String {
    format!("scbte.roots.{target}")
}

fn alive(value: Option<&[u8]>, now: Timestamp) -> Vec<RootReport> {
    let plausible = value.filter(|list| list.len() <= MAX_BYTES);
    let mut reports: Vec<RootReport> = plausible.and_then(|list| serde_json::from_slice(list).ok()).unwrap_or_default();
    let recent = now.minus(FORGET_AFTER).secs()..=now.plus(FORGET_AFTER).secs();
    reports.retain(|report| recent.contains(&report.time));
    reports
}
