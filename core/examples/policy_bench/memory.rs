//! The memory that this process has taken, at most, in bytes.

/// The linear memory, which never shrinks.
#[cfg(target_arch = "wasm32")]
pub(crate) fn most() -> u64 {
    const PAGE: u64 = 64 * 1024;
    core::arch::wasm32::memory_size(0) as u64 * PAGE
}

/// The resident set, at its largest. 0 where the system does not tell.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn most() -> u64 {
    most_of("self").unwrap_or_default()
}

/// The same for any process.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn most_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
