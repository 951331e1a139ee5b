//! CPU time of processes, in nanoseconds, and their memory, as Linux counts them.
//!
//! `/proc/PID/task/*/schedstat` has the time that each thread ran; `/proc/PID/stat` counts in ticks of 10 ms.

use crate::error::Error;
use std::collections::BTreeMap;
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

/// The time that each thread of some processes has run, by its folder in `/proc`.
#[derive(Debug)]
pub(crate) struct RunTimes(BTreeMap<PathBuf, Duration>);

impl RunTimes {
    /// Until now.
    pub(crate) fn of(processes: &[u32]) -> Result<Self, Error> {
        let mut times = BTreeMap::new();
        for process in processes {
            for thread in threads(*process)? {
                // Nothing of a thread that ended meanwhile: `since` misses it.
                times.extend(run_time(&thread)?.map(|time| (thread, time)));
            }
        }
        Ok(Self(times))
    }

    /// What all have run since, new threads with all of their time. A thread that ended took its time with it, so that
    /// the sum would be too small: that is an error. One that began and ended in between is not seen.
    pub(crate) fn since(&self, before: &Self) -> Result<Duration, Error> {
        if let Some(ended) = before.0.keys().find(|thread| !self.0.contains_key(*thread)) {
            return Err(Error::other(format!("a thread of the servers ended meanwhile: `{}`", ended.display())));
        }
        let until = |thread| before.0.get(thread).copied().unwrap_or_default();
        Ok(self.0.iter().map(|(thread, time)| time.saturating_sub(until(thread))).sum())
    }
}

fn threads(process: u32) -> Result<Vec<PathBuf>, Error> {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let entries = fs::read_dir(&folder).map_err(Error::file(&folder))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
}

fn run_time(thread: &Path) -> Result<Option<Duration>, Error> {
    let file = thread.join("schedstat");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    let wrong = || Error::other(format!("`{}`: expected nanoseconds, found `{text}`", file.display()));
    first.map(|first| Some(Duration::from_nanos(first))).ok_or_else(wrong)
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
        let before = RunTimes::of(&own).unwrap();
        let worked = || RunTimes::of(&own).unwrap().0.values().sum::<Duration>();
        let until = worked() + Duration::from_millis(5);
        let mut sum = 0_u64;
        while worked() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(before.0.values().sum::<Duration>() < until);
        assert!(resident(own[0]).unwrap() > 100);
    }

    #[test]
    fn a_new_thread_counts_and_one_that_ended_is_an_error() {
        let times = |of: &[(&str, u64)]| {
            RunTimes(of.iter().map(|(thread, ms)| (PathBuf::from(thread), Duration::from_millis(*ms))).collect())
        };
        for (name, before, after, expected) in [
            ("work", &[("1", 5), ("2", 7)][..], &[("1", 6), ("2", 9)][..], Some(3)),
            ("a new thread", &[("1", 5)], &[("1", 6), ("2", 9)], Some(10)),
            ("one that ended", &[("1", 5), ("2", 7)], &[("1", 6)], None),
            ("another in its place", &[("1", 5), ("2", 7)], &[("1", 6), ("3", 9)], None),
        ] {
            let found = times(after).since(&times(before)).ok();
            assert_eq!(found, expected.map(Duration::from_millis), "{name}");
        }
    }
}
