//! All headers or trailers of a request, fetched by one hostcall and read in place: neither a copy of each name and
//! value nor an `unwrap` of what a client sent, as the SDK's `get_map` has them.
//!
//! The host gives the number of pairs, then the lengths of each name and value, all as 32-bit little-endian integers;
//! then the names and values, each with a zero behind it (proxy-wasm ABI 0.2.1, "serialized map").

use proxy_wasm::types::{MapType, Status};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// Headers as the host gave them.
pub(crate) struct HeaderMap(Vec<u8>);

impl HeaderMap {
    /// Fetches a map. An error must not pass for a request without headers.
    pub(crate) fn fetch(map: MapType) -> Result<Self, Status> {
        let (mut data, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: the host writes an address and a length into the two variables and nothing else.
        let status = unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) };
        match (status, data.is_null()) {
            (0, true) => Ok(Self(Vec::new())),
            // SAFETY: the memory is `size` bytes that the host has asked `proxy_on_memory_allocate` for, which makes it
            // from a Vec of just that capacity and leaves it to whoever called.
            (0, false) => Ok(Self(unsafe { Vec::from_raw_parts(data, size, size) })),
            _ => Err(Status::InternalFailure),
        }
    }

    /// The names, in lower case, and the values, in the order of the request. None when the host did not keep to the
    /// format, or a name is no text: Envoy refuses such names (RFC 9110 §5.1).
    pub(crate) fn entries(&self) -> Option<Vec<(&str, &[u8])>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let (count, rest) = self.0.split_first_chunk::<4>()?;
        let count = length(*count)?;
        let (lengths, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut entries = Vec::with_capacity(count);
        for (name, value) in lengths.as_chunks::<4>().0.as_chunks::<2>().0.iter().map(|[name, value]| (name, value)) {
            let name = std::str::from_utf8(take(&mut texts, length(*name)?)?).ok()?;
            entries.push((name, take(&mut texts, length(*value)?)?));
        }
        Some(entries)
    }
}

/// The first value of a header; empty where there is none.
pub(crate) fn value<'a>(headers: &[(&str, &'a [u8])], wanted: &str) -> &'a [u8] {
    headers.iter().find(|(name, _)| *name == wanted).map_or(&[], |(_, value)| value)
}

fn length(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The next text of this length, and the zero behind it.
fn take<'a>(texts: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(length)?;
    *texts = rest.split_first()?.1;
    Some(text)
}
