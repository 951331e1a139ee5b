//! All headers or trailers of a request by one hostcall, in the host's own form, which [`scbte_core::header_map`] reads in
//! place: neither a copy of each name and value nor an `unwrap` of what a client sent, as the SDK's `get_map` has them.

use proxy_wasm::types::{MapType, Status};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// Fetches a map. An error must not pass for a request without headers.
pub(crate) fn fetch(map: MapType) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host writes an address and a length into the two variables and nothing else.
    let status = unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) };
    match (status, data.is_null()) {
        (0, true) => Ok(Vec::new()),
        // SAFETY: the memory is `size` bytes that the host has asked `proxy_on_memory_allocate` for, which makes it
        // from a Vec of just that capacity and leaves it to whoever called.
        (0, false) => Ok(unsafe { Vec::from_raw_parts(data, size, size) }),
        _ => Err(Status::InternalFailure),
    }
}
