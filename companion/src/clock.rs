//! The companion's clock; everything that judges time takes it as an argument.

use scbte_core::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now; the epoch when the machine's clock stands before it, so that nothing counts as fresh.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
