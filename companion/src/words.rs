//! Times and lists in words, for people who read a terminal.

use scbte_core::time::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// A moment as RFC 3339 in UTC, whole seconds.
pub(crate) fn utc(at: Timestamp) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at.secs())).to_string()
}

/// A moment as seen from now: `in 4m 48s`, `12s ago`, `now`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.secs().cmp(&now.secs()) {
        std::cmp::Ordering::Greater => format!("in {}", span(at.secs() - now.secs())),
        std::cmp::Ordering::Less => format!("{} ago", span(now.secs() - at.secs())),
        std::cmp::Ordering::Equal => "now".to_owned(),
    }
}

/// A number of seconds as `1h 2m 3s`.
pub(crate) fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// `1 certificate`, `2 certificates`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text from outside for a terminal or a log line: control characters become visible, so that nobody can forge a line.
pub(crate) fn visible(text: &str) -> String {
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_a_person_would_say_them() {
        let at = Timestamp::from_secs;
        assert_eq!(utc(at(1_700_000_000)), "2023-11-14T22:13:20Z");
        // The last moment that a timestamp holds has a name too.
        assert_eq!(utc(Timestamp::from_nanos(u64::MAX)), "2554-07-21T23:34:33Z");
        for (then, now, words) in
            [(400, 112, "in 4m 48s"), (100, 112, "12s ago"), (5, 5, "now"), (0, 86_400, "1day ago")]
        {
            assert_eq!(relative(at(then), at(now)), words);
        }
    }

    #[test]
    fn nobody_forges_a_line() {
        assert_eq!(visible("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
    }
}
