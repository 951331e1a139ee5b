//! Header maps as Envoy keeps them (measured on Envoy 1.40).
//!
//! Names are lower-case; values are bytes; pseudo-headers come first; the order is kept. Setting a header removes all of
//! its name and adds one at the end. Some headers exist only once: adding to one of them appends with a comma, so a
//! request with two `authorization` lines reaches a filter with one value. In a request `host` is `:authority`.

use std::fmt;

/// Headers that Envoy keeps once in a request.
const SINGLE_IN_REQUEST: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":scheme",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "via",
    "x-client-trace-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
];
/// Headers that Envoy keeps once in a response.
const SINGLE_IN_RESPONSE: &[&str] =
    &[":status", "cache-control", "content-length", "content-type", "etag", "location", "server", "vary", "via"];

/// Which of Envoy's maps it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Trailers,
}

/// A header map: a list of names and values that keeps its order.
#[derive(Clone)]
pub struct Headers {
    entries: Vec<(String, Vec<u8>)>,
    kind: Kind,
}

impl Headers {
    /// An empty map for a request.
    pub fn request() -> Self {
        Self { entries: Vec::new(), kind: Kind::Request }
    }

    /// An empty map for a response.
    pub fn response() -> Self {
        Self { entries: Vec::new(), kind: Kind::Response }
    }

    /// An empty map for trailers.
    pub fn trailers() -> Self {
        Self { entries: Vec::new(), kind: Kind::Trailers }
    }

    /// Adds a header, or appends to it where Envoy keeps only one.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let (name, value) = (self.canonical(name), value.as_ref());
        let single = self.is_single(&name);
        match self.entries.iter_mut().find(|(found, _)| single && *found == name) {
            Some((_, found)) => *found = [found, value].join(b",".as_slice()),
            None => self.insert(name, value.to_vec()),
        }
    }

    /// Removes all headers of the name and adds this one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes all headers of the name.
    pub fn remove(&mut self, name: &str) {
        let name = self.canonical(name);
        self.entries.retain(|(found, _)| *found != name);
    }

    /// The first value of the name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).into_iter().next()
    }

    /// The first value of the name as text; `None` also when it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All values of the name.
    pub fn get_all(&self, name: &str) -> Vec<&[u8]> {
        let name = self.canonical(name);
        self.entries.iter().filter(|(found, _)| *found == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// Whether there is a header of the name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The names in order, once for each value.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }

    /// `name: value` for each header, with bytes that are not printable ASCII escaped: good to compare with.
    pub fn lines(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    pub(crate) fn to_pairs(&self) -> Vec<u8> {
        super::pairs::write(self.iter().map(|(name, value)| (name.as_bytes(), value)))
    }

    /// Adds what a module sent as a list of pairs.
    pub(crate) fn extend_from_pairs(&mut self, bytes: &[u8]) {
        for (name, value) in super::pairs::read(bytes) {
            self.add(&String::from_utf8_lossy(&name), value);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    fn insert(&mut self, name: String, value: Vec<u8>) {
        let pseudo = self.entries.iter().filter(|(found, _)| found.starts_with(':')).count();
        let at = if name.starts_with(':') { pseudo } else { self.entries.len() };
        self.entries.insert(at, (name, value));
    }

    fn canonical(&self, name: &str) -> String {
        match name.to_ascii_lowercase() {
            host if host == "host" && self.kind == Kind::Request => ":authority".to_owned(),
            name => name,
        }
    }

    fn is_single(&self, name: &str) -> bool {
        match self.kind {
            Kind::Request => SINGLE_IN_REQUEST.contains(&name),
            Kind::Response => SINGLE_IN_RESPONSE.contains(&name),
            Kind::Trailers => false,
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Headers {}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(mut empty: Headers, lines: &[(&str, &str)]) -> Headers {
        lines.iter().for_each(|(name, value)| empty.add(name, value));
        empty
    }

    #[test]
    fn a_request_keeps_some_headers_once() {
        let map = headers(
            Headers::request(),
            &[
                ("x-a", "1"),
                ("Authorization", "a"),
                ("X-A", "2"),
                ("Host", "h"),
                ("authorization", "b"),
                (":path", "/"),
            ],
        );
        assert_eq!(map.lines(), [":authority: h", ":path: /", "x-a: 1", "authorization: a,b", "x-a: 2"]);
        assert_eq!((map.text("x-a"), map.text("host")), (Some("1"), Some("h")));
    }

    #[test]
    fn a_response_keeps_others_once() {
        let map =
            headers(Headers::response(), &[("vary", "a"), ("set-cookie", "1"), ("vary", "b"), ("set-cookie", "2")]);
        assert_eq!(map.lines(), ["vary: a,b", "set-cookie: 1", "set-cookie: 2"]);
    }

    #[test]
    fn setting_replaces_all_and_moves_to_the_end() {
        let mut map = headers(
            Headers::request(),
            &[(":path", "/"), (":method", "GET"), ("x-a", "1"), ("x-b", "2"), ("x-a", "3")],
        );
        map.set("x-a", b"\xff");
        map.set(":path", "/p");
        assert_eq!(map.lines(), [":method: GET", ":path: /p", "x-b: 2", "x-a: \\xff"]);
        map.remove("X-B");
        assert_eq!(map.names(), [":method", ":path", "x-a"]);
        assert_eq!(map.text("x-a"), None);
    }
}
