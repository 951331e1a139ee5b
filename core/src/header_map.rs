//! A header map as a proxy-wasm host gives it (ABI 0.2.1, "serialized map"), read in place.
//!
//! The number of pairs, then the lengths of each name and value, all as 32-bit little-endian integers; then the names and
//! values, each with a zero behind it.

/// The names and values, in their order. None when the bytes are not of that form, or a name is no text: Envoy refuses
/// such names (RFC 9110 §5.1). No bytes are no headers.
#[must_use]
#[inline]
pub fn entries(map: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    if map.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = map.split_first_chunk::<4>()?;
    let count = length(*count)?;
    let (lengths, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut entries = Vec::with_capacity(count);
    for [name, value] in lengths.as_chunks::<4>().0.as_chunks::<2>().0 {
        let name = std::str::from_utf8(take(&mut texts, length(*name)?)?).ok()?;
        entries.push((name, take(&mut texts, length(*value)?)?));
    }
    texts.is_empty().then_some(entries)
}

/// The first value of a header; empty where there is none.
#[must_use]
pub fn value<'a>(headers: &[(&str, &'a [u8])], wanted: &str) -> &'a [u8] {
    headers.iter().find(|(name, _)| *name == wanted).map_or(&[], |(_, value)| value)
}

fn length(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The next text of this length, and the zero behind it.
#[inline]
fn take<'a>(texts: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(length)?;
    *texts = rest.strip_prefix(b"\0")?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    type Pair = (&'static [u8], &'static [u8]);

    const GOOD: [Pair; 3] = [(b":path", b"/a"), (b"x-odd", b"\xff\0"), (b"x-empty", b"")];

    fn map(pairs: &[Pair]) -> Vec<u8> {
        let number = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        let mut map = number(pairs.len()).to_vec();
        pairs.iter().for_each(|(name, value)| map.extend([number(name.len()), number(value.len())].as_flattened()));
        pairs.iter().for_each(|(name, value)| map.extend([name, &b"\0"[..], value, b"\0"].concat()));
        map
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn names_are_text_and_values_are_bytes() {
        let good = map(&GOOD);
        let found = entries(&good).unwrap();
        assert_eq!(found, [(":path", &b"/a"[..]), ("x-odd", b"\xff\0"), ("x-empty", b"")]);
        assert_eq!((value(&found, "x-odd"), value(&found, "x-none")), (&b"\xff\0"[..], &b""[..]));
        assert_eq!((entries(b""), entries(&map(&[]))), (Some(vec![]), Some(vec![])));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_not_of_the_form_is_refused() {
        assert_eq!(entries(&map(&[(b"x-\xff", b"")])), None, "a name that is no text");
        let good = map(&GOOD);
        for cut in 1..good.len() {
            assert_eq!(entries(&good[..cut]), None, "cut to {cut} bytes");
        }
        assert_eq!(entries(&[&good[..], b"\0"].concat()), None, "a byte more");
        assert_eq!(entries(&[&good[..good.len() - 1], b"x"].concat()), None, "no zero at the end");
        for (name, at) in [("the count", 0), ("a name's length", 4), ("a value's length", 8)] {
            let mut map = good.clone();
            map[at..at + 4].fill(0xff);
            assert_eq!(entries(&map), None, "{name} of 4 GiB");
        }
    }
}
