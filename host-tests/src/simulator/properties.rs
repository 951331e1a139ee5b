//! Properties: what Envoy says of itself, of the connection and of the request, by path.
//!
//! Envoy 1.40 has its own node under `xds.node` only, and what belongs to a connection or a request only in a stream's
//! callbacks. Envoy derives `request.*` and `response.*` from the headers; here they are what the test says they are.

use std::collections::BTreeMap;

/// A property's path, as `connection.uri_san_peer_certificate`, or as its parts where one holds a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PropertyPath(Vec<Vec<u8>>);

impl PropertyPath {
    /// From the ABI's form: the parts with a NUL between each two.
    pub(crate) fn from_abi(path: &[u8]) -> Self {
        Self(path.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

impl From<&str> for PropertyPath {
    fn from(path: &str) -> Self {
        Self(path.split('.').map(|part| part.as_bytes().to_vec()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for PropertyPath {
    fn from(parts: [&str; N]) -> Self {
        Self(parts.map(|part| part.as_bytes().to_vec()).to_vec())
    }
}

/// Values by path.
pub(crate) type Properties = BTreeMap<PropertyPath, Vec<u8>>;
