//! The host's log: every line a module writes, with its level, its VM and its root_id.

use std::fmt;
use std::sync::Mutex;

use super::lock;

/// How many of a VM's last lines an error carries.
const TAIL: usize = 20;

/// A line's level (proxy-wasm ABI 0.2.1, `proxy_log_level_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Level {
    Trace = 0,
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

impl Level {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical].into_iter().nth(level as usize)
    }
}

/// One line that a module wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The level; what is written to stdout counts as info, to stderr as error.
    pub level: Level,
    /// The number of the VM, in the order they were started.
    pub vm: u32,
    /// The root_id of the plugin that was running; empty while the module starts.
    pub root_id: String,
    /// The text; bytes that are not UTF-8 are replaced.
    pub message: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}] vm {} {}: {}", self.level, self.vm, self.root_id, self.message)
    }
}

/// All lines of a [`Host`](super::Host), oldest first.
#[derive(Debug)]
pub struct Log {
    lines: Mutex<Vec<LogLine>>,
    level: Mutex<Level>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { lines: Mutex::default(), level: Mutex::new(Level::Trace) }
    }

    /// The level `proxy_get_log_level` reports; the lines are kept whatever it is.
    pub fn set_level(&self, level: Level) {
        *lock(&self.level) = level;
    }

    pub(crate) fn level(&self) -> Level {
        *lock(&self.level)
    }

    /// All lines.
    pub fn lines(&self) -> Vec<LogLine> {
        lock(&self.lines).clone()
    }

    /// All lines, which are then forgotten.
    pub fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut *lock(&self.lines))
    }

    /// Whether a line of at least this level contains the text.
    pub fn contains(&self, at_least: Level, text: &str) -> bool {
        lock(&self.lines).iter().any(|line| line.level >= at_least && line.message.contains(text))
    }

    pub(crate) fn push(&self, line: LogLine) {
        lock(&self.lines).push(line);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.lines).len()
    }

    /// A VM's lines since there were `start` of them.
    pub(crate) fn since(&self, start: usize, vm: u32) -> Vec<LogLine> {
        lock(&self.lines).iter().skip(start).filter(|line| line.vm == vm).cloned().collect()
    }

    pub(crate) fn tail(&self, vm: u32) -> Vec<LogLine> {
        let lines = self.since(0, vm);
        lines[lines.len().saturating_sub(TAIL)..].to_vec()
    }
}
