//! CPU time of processes, in nanoseconds, and their memory, as Linux counts them.
//!
//! `/proc/PID/task/*/schedstat` has the time that each thread ran; `/proc/PID/stat` counts in ticks of 10 ms.

use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Which cores the two sides run on.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Cores {
    /// The core of the servers
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    pub(crate) server_core: usize,
    /// The core of the load generator
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    pub(crate) load_core: usize,
}

impl Cores {
    /// The servers and their load must not share a core: then neither is measured.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.server_core == self.load_core {
            let core = self.server_core;
            return Err(Error::other(format!(
                "expected two cores, found core {core} for the servers and for the load"
            )));
        }
        Ok(())
    }
}

/// A command that becomes this program, on one core, and stays there with all its threads.
pub(crate) fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(cores).arg(program);
    command
}

/// The time that all threads of these processes have run.
pub(crate) fn time_of(processes: &[u32]) -> Result<Duration, Error> {
    let mut nanoseconds = 0;
    for process in processes {
        for thread in threads(*process)? {
            nanoseconds += run_time(&thread.join("schedstat"))?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn threads(process: u32) -> Result<Vec<PathBuf>, Error> {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let entries = fs::read_dir(&folder).map_err(Error::file(&folder))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
}

fn run_time(file: &Path) -> Result<u64, Error> {
    // A thread that ended meanwhile.
    let Ok(text) = fs::read_to_string(file) else { return Ok(0) };
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    first.ok_or_else(|| Error::other(format!("`{}`: expected nanoseconds, found `{text}`", file.display())))
}

/// Resident memory, in KiB.
pub(crate) fn resident(process: u32) -> Result<u64, Error> {
    let file = PathBuf::from(format!("/proc/{process}/status"));
    let text = fs::read_to_string(&file).map_err(Error::file(&file))?;
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Error::other(format!("`{}`: expected VmRSS", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory() {
        let own = [std::process::id()];
        let before = time_of(&own).unwrap();
        let mut sum = 0_u64;
        while time_of(&own).unwrap() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(resident(own[0]).unwrap() > 100);
    }
}
