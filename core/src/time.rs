//! A point in time, always passed in: `core` has no clock.

use std::time::Duration;

/// Nanoseconds since the Unix epoch (UTC, no leap seconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    nanos: u64,
}

impl Timestamp {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// From whole seconds since the epoch; the far future is clamped (year 2554).
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self { nanos: secs.saturating_mul(1_000_000_000) }
    }

    /// From microseconds since the epoch (the unit of an envelope's `seq`).
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { nanos: micros.saturating_mul(1_000) }
    }

    /// Nanoseconds since the epoch (Rego's `time.now_ns`).
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// Microseconds since the epoch (an envelope's `seq`).
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.nanos / 1_000
    }

    /// Milliseconds since the epoch (the policy's `input.timestamp`).
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.nanos / 1_000_000
    }

    /// Whole seconds since the epoch (`iat`, `exp`, notBefore, notAfter).
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.nanos / 1_000_000_000
    }

    /// This much later, clamped.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(nanos_of(span)) }
    }

    /// This much earlier, clamped at the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self { nanos: self.nanos.saturating_sub(nanos_of(span)) }
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

fn nanos_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
