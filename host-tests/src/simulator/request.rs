//! What comes from the caller and from the upstream.

use super::headers::Headers;
use super::properties::{Properties, PropertyPath};

/// A request as the filter gets it: after Envoy's codec and path normalisation.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Headers>,
    pub(crate) properties: Properties,
    pub(crate) upstream: Response,
}

impl Request {
    /// A request without a body to `api.example`, which the upstream would answer with an empty 200.
    pub fn new(method: &str, path: &str) -> Self {
        let mut headers = Headers::request();
        for (name, value) in [(":authority", "api.example"), (":path", path), (":method", method), (":scheme", "http")]
        {
            headers.add(name, value);
        }
        let (properties, upstream) = (Properties::new(), Response::new(200));
        Self { headers, chunks: Vec::new(), trailers: None, properties, upstream }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// A PUT.
    pub fn put(path: &str) -> Self {
        Self::new("PUT", path)
    }

    /// Adds a header; values are bytes. Where Envoy keeps a header once, two become one with a comma between.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Replaces a header, pseudo-headers too.
    #[must_use]
    pub fn set_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Takes a header out, pseudo-headers too.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets the body as HTTP/1.1 delivers it: the data, then an empty end.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.chunks([body.into(), Vec::new()])
    }

    /// Sets the body in chunks; the last ends the stream, unless trailers follow.
    #[must_use]
    pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.get_or_insert_with(Headers::trailers).add(name, value);
        self
    }

    /// Sets a property of the connection or request, such as `source.address`.
    #[must_use]
    pub fn property(mut self, path: impl Into<PropertyPath>, value: impl AsRef<[u8]>) -> Self {
        self.properties.insert(path.into(), value.as_ref().to_vec());
        self
    }

    /// Sets what the upstream answers, should the request get there.
    #[must_use]
    pub fn upstream(mut self, response: Response) -> Self {
        self.upstream = response;
        self
    }
}

/// A response: what the upstream sends, or what the caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The headers, `:status` among them.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        let mut headers = Headers::response();
        headers.add(":status", status.to_string());
        Self { headers, body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    ///
    /// # Panics
    /// When a module has made the status something else than a number.
    pub fn status(&self) -> u16 {
        let status = self.headers.text(":status").and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("a response without a status: {:?}", self.headers))
    }
}
