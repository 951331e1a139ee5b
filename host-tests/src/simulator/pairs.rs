//! How the ABI writes lists of pairs: their number, the lengths of all names and values, then each followed by a NUL.

/// Envoy reads no longer list, and no more pairs, than these.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_PAIRS: usize = 1024;

type Pair = (Vec<u8>, Vec<u8>);

pub(crate) fn write<'a>(pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    let mut out = length(pairs.len()).to_vec();
    for (name, value) in pairs.clone() {
        out.extend(length(name.len()));
        out.extend(length(value.len()));
    }
    for part in pairs.flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(part);
        out.push(0);
    }
    out
}

/// The pairs; none at all when anything about them is wrong, as Envoy does it.
pub(crate) fn read(bytes: &[u8]) -> Vec<Pair> {
    try_read(bytes).unwrap_or_default()
}

fn try_read(mut bytes: &[u8]) -> Option<Vec<Pair>> {
    let count = if bytes.len() > MAX_BYTES {
        return None;
    } else {
        take_length(&mut bytes)?
    };
    if count > MAX_PAIRS {
        return None;
    }
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push((take_length(&mut bytes)?, take_length(&mut bytes)?));
    }
    let mut pairs = Vec::with_capacity(count);
    for (name, value) in lengths {
        pairs.push((take_text(&mut bytes, name)?, take_text(&mut bytes, value)?));
    }
    bytes.is_empty().then_some(pairs)
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a length within the module's memory").to_le_bytes()
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

fn take_text(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest.strip_prefix(&[0])?;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_go_both_ways() {
        let pairs: [(&[u8], &[u8]); 2] = [(b":path", b"/"), (b"x", b"\xff\0")];
        let written = write(pairs.into_iter());
        assert_eq!(written[..12], [2, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(read(&written), pairs.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }

    #[test]
    fn wrong_lists_are_no_list() {
        let good = write([(b"a".as_slice(), b"b".as_slice())].into_iter());
        let cases = [
            ("too short", good[..good.len() - 1].to_vec()),
            ("trailing data", [good.as_slice(), b"x"].concat()),
            ("a length too long", [&[1, 0, 0, 0, 9, 0, 0, 0], &good[8..]].concat()),
            ("too many", [&[0xff, 0xff, 0, 0], &good[4..]].concat()),
            ("empty", vec![]),
        ];
        for (name, bytes) in cases {
            assert_eq!(read(&bytes), [], "{name}");
        }
    }
}
