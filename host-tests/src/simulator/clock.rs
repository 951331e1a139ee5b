//! The process's clock. It stands still until a test moves it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// 2026-06-01T00:00:00Z, where every clock starts.
const START: Duration = Duration::from_secs(1_780_272_000);

/// Wall-clock and monotonic time, shared by all VMs of a [`Host`](super::Host).
#[derive(Debug)]
pub struct Clock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { wall: AtomicU64::new(nanoseconds(START)), monotonic: AtomicU64::new(0) }
    }

    /// The wall clock, as the time since 1970.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.wall.load(SeqCst))
    }

    /// The wall clock in whole seconds since 1970, as tokens carry it.
    pub fn unix_seconds(&self) -> u64 {
        self.now().as_secs()
    }

    /// Sets the wall clock, forwards or backwards; the monotonic clock stays.
    pub fn set(&self, since_1970: Duration) {
        self.wall.store(nanoseconds(since_1970), SeqCst);
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(nanoseconds(by), SeqCst);
        self.monotonic.fetch_add(nanoseconds(by), SeqCst);
    }

    pub(crate) fn monotonic(&self) -> u64 {
        self.monotonic.load(SeqCst)
    }

    pub(crate) fn wall(&self) -> u64 {
        self.wall.load(SeqCst)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a time before the year 2554")
}
