//! What the tests share: keys, certificates, tokens, envelopes, verifiers. Each is good as it comes; a test spoils one thing.

pub(crate) mod key;
pub(crate) mod pki;
pub(crate) mod scene;
pub(crate) mod verifier;

use scbte_core::reason::Reason;
use scbte_core::time::Timestamp;
use std::time::Duration;

/// The clock of every test, in seconds since the epoch.
pub(crate) const NOW: u64 = 1_800_000_000;
/// How far clocks may be apart (the design's default).
pub(crate) const SKEW: Duration = Duration::from_secs(30);

/// The clock of every test.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

/// What a case expects: to be accepted, or a reason code and a part of the message that tells this refusal from others.
pub(crate) type Expected = Option<(Reason, &'static str)>;

/// Compares an outcome with what its case expects.
#[track_caller]
pub(crate) fn check<T, E: ToString>(name: &str, outcome: Result<T, E>, reason: fn(&E) -> Reason, expected: Expected) {
    match (outcome, expected) {
        (Ok(_), None) => {}
        (Err(error), Some((code, part))) => {
            let message = error.to_string();
            assert_eq!((reason(&error), message.contains(part)), (code, true), "{name}: {message}");
        }
        (Err(error), None) => panic!("{name}: refused: {}", error.to_string()),
        (Ok(_), Some(expected)) => panic!("{name}: accepted, expected {expected:?}"),
    }
}
