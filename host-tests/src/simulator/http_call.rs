//! Calls that a module makes to a cluster, and how they end.

use std::time::Duration;

use super::headers::Headers;

/// A call that was dispatched and waits for the test's answer.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// What the module knows it by; unique in its VM.
    pub token: u32,
    /// The root_id of the root context it belongs to.
    pub root_id: String,
    /// The cluster it goes to.
    pub cluster: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Headers,
    /// After which time Envoy would answer [`HttpAnswer::timeout`].
    pub timeout: Duration,
    /// When it was dispatched, by the wall clock.
    pub dispatched: Duration,
    pub(crate) context: u32,
}

/// How a call ends.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub(crate) headers: Option<Headers>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Headers>,
}

impl HttpAnswer {
    /// An answer with this status.
    pub fn new(status: u16) -> Self {
        let mut headers = Headers::response();
        headers.add(":status", status.to_string());
        Self { headers: Some(headers), body: Vec::new(), trailers: None }
    }

    /// What the module gets when its timeout has passed: Envoy answers 504 itself.
    pub fn timeout() -> Self {
        Self::new(504).header("content-type", "text/plain").body("upstream request timeout")
    }

    /// What the module gets when nobody listens: Envoy answers 503 itself.
    pub fn unreachable() -> Self {
        let reason = "upstream connect error or disconnect/reset before headers. \
                      reset reason: remote connection failure";
        Self::new(503).header("content-type", "text/plain").body(reason)
    }

    /// The connection broke in the middle of the answer: a callback without headers.
    pub fn reset() -> Self {
        Self { headers: None, body: Vec::new(), trailers: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let Some(headers) = &mut self.headers {
            headers.add(name, value);
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.get_or_insert_with(Headers::trailers).add(name, value);
        self
    }
}
