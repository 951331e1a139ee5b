//! What a policy may cost, as the filter's configuration takes it: what is allowed here is allowed there.

use bytesize::ByteSize;
use scbte_core::policy::Limits;
use std::str::FromStr;

/// `policy.max_data`: bytes of data, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxData(pub(crate) usize);

/// Why a text is no such size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size from 1KiB to 64MiB, such as `1MiB`, found `{0}`")]
pub(crate) struct NotMaxData(String);

impl Default for MaxData {
    fn default() -> Self {
        Self(Limits::default().max_data_bytes)
    }
}

impl FromStr for MaxData {
    type Err = NotMaxData;

    fn from_str(text: &str) -> Result<Self, NotMaxData> {
        let size = text.parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
        let size = size.filter(|size| (1 << 10..=64 << 20).contains(size));
        size.map(Self).ok_or_else(|| NotMaxData(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_the_filter_s() {
        for (text, expected) in [
            ("1KiB", Some(1 << 10)),
            ("1MiB", Some(MaxData::default().0)),
            ("64MiB", Some(64 << 20)),
            ("2048", Some(2048)),
            ("1023", None),
            ("65MiB", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(text.parse::<MaxData>().ok().map(|size| size.0), expected, "{text}");
        }
    }
}
