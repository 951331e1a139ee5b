//! The host calls that the filter makes, as plain functions: bytes in and out, no call that panics on what a client sends.
//!
//! The SDK's readers of header maps unwrap UTF-8, so [`crate::header_map`] fetches them.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Bytes, LogLevel, MapType, Status};
use scbte_core::time::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// The clock; at the epoch when the host has none, so that nothing is fresh or valid.
pub(crate) fn now() -> Timestamp {
    let since_epoch = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Timestamp::from_nanos(since_epoch.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
}

/// 16 bytes that nobody can guess.
pub(crate) fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A property, where the host has it.
pub(crate) fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// A property that is text.
pub(crate) fn text_property(path: &[&str]) -> Option<String> {
    property(path).and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty())
}

/// A text in the node's metadata: under `xds.node` in Envoy as of 1.40, under `node` in older ones.
pub(crate) fn node_metadata(name: &str) -> Option<String> {
    text_property(&["xds", "node", "metadata", name]).or_else(|| text_property(&["node", "metadata", name]))
}

/// Publishes a value to access logs and later filters: `%FILTER_STATE(wasm.NAME:PLAIN)%`.
pub(crate) fn publish(name: &str, value: &str) {
    // The SDK traps the VM where a host refuses: then nothing passes.
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Removes a request header, all its values.
pub(crate) fn remove_request_header(name: &str) -> Result<(), Status> {
    hostcalls::remove_map_value(MapType::HttpRequestHeaders, name)
}

/// Adds a value to a request header.
pub(crate) fn add_request_header(name: &str, value: &str) -> Result<(), Status> {
    hostcalls::add_map_value(MapType::HttpRequestHeaders, name, value)
}

/// Removes a request trailer, all its values.
pub(crate) fn remove_request_trailer(name: &str) -> Result<(), Status> {
    hostcalls::remove_map_value(MapType::HttpRequestTrailers, name)
}

/// Adds a response header.
pub(crate) fn add_response_header(name: &str, value: &str) -> Result<(), Status> {
    hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value)
}

/// Answers the request.
pub(crate) fn respond(status: u16, headers: &[(&str, &str)], body: &str) {
    if let Err(status) = hostcalls::send_http_response(status.into(), headers.to_vec(), Some(body.as_bytes())) {
        log(LogLevel::Error, &format!("the host did not take an answer: {status:?}"));
    }
}

/// Writes to Envoy's log; what is not printable ASCII is escaped, so that nobody can forge a line or its look.
pub(crate) fn log(level: LogLevel, message: &str) {
    let mut visible = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            ' '..='~' => visible.push(character),
            other => visible.extend(other.escape_default()),
        }
    }
    let _ = hostcalls::log(level, &visible);
}

/// Asks for ticks.
pub(crate) fn tick_every(period: Duration) {
    if hostcalls::set_tick_period(period).is_err() {
        log(LogLevel::Error, "the host does not tick: trust bundles will not be renewed");
    }
}
