//! The request's path: the policy must see what the upstream will serve.
//!
//! A path that two servers could read differently is refused before anything is decided on it, whatever Envoy was
//! told to normalise: `//`, a `.` or `..` segment, `\`, an encoded `/`, `\`, `?`, `#` or control byte, a malformed
//! escape, an encoded character that needs no encoding (RFC 3986 §2.3, §6.2.2.2), a fragment, and raw bytes that no
//! path may have (§3.3), and a path longer than servers commonly take (8 KiB).

/// Two servers could read the path differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ambiguous path: {0}")]
pub struct AmbiguousPath(pub &'static str);

/// Longest path, bytes. It is not what bounds a policy: what a builtin reads, of the query and headers as well, is paid for
/// from the evaluation's budget (`policy::functions::meter`).
const MAX_LENGTH: usize = 8 << 10;

/// A path that everybody reads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    path: &'a str,
    query: Option<&'a [u8]>,
}

impl<'a> RequestPath<'a> {
    /// Splits `:path` into path and query and refuses what is ambiguous. `allow_encoded_slash` lets `%2f` through.
    #[inline]
    pub fn parse(target: &'a [u8], allow_encoded_slash: bool) -> Result<Self, AmbiguousPath> {
        if target.iter().any(|byte| *byte == b'#' || byte.is_ascii_control()) {
            return Err(AmbiguousPath("a fragment or a control byte"));
        }
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        let path = std::str::from_utf8(parts.next().unwrap_or_default()).map_err(|_| AmbiguousPath("not UTF-8"))?;
        if path.len() > MAX_LENGTH {
            return Err(AmbiguousPath("longer than 8 KiB"));
        }
        check_characters(path)?;
        check_escapes(path, allow_encoded_slash)?;
        check_segments(path)?;
        Ok(Self { path, query: parts.next() })
    }

    /// The path without the query: the policy's `input.path`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query without its `?`, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query
    }
}

#[inline]
fn check_characters(path: &str) -> Result<(), AmbiguousPath> {
    if !path.starts_with('/') {
        return Err(AmbiguousPath("it does not start with `/`"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AmbiguousPath("a byte that must be percent-encoded"));
    }
    if path.contains('\\') {
        return Err(AmbiguousPath("a backslash"));
    }
    Ok(())
}

#[inline]
fn check_escapes(path: &str, allow_encoded_slash: bool) -> Result<(), AmbiguousPath> {
    path.split('%').skip(1).try_for_each(|rest| match (escaped(rest), allow_encoded_slash) {
        (None, _) => Err(AmbiguousPath("a malformed escape")),
        (Some(b'/'), true) => Ok(()),
        (Some(b'/' | b'\\' | b'?' | b'#'), _) => Err(AmbiguousPath("an encoded delimiter")),
        (Some(0..=0x1f | 0x7f), _) => Err(AmbiguousPath("an encoded control byte")),
        (Some(byte), _) if is_unreserved(byte) => Err(AmbiguousPath("an encoded character that needs no encoding")),
        _ => Ok(()),
    })
}

/// The byte that two hexadecimal digits stand for.
fn escaped(rest: &str) -> Option<u8> {
    let digits = rest.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Judges segments as an upstream that decodes slashes would see them.
#[inline]
fn check_segments(path: &str) -> Result<(), AmbiguousPath> {
    let decoded = path.replace("%2f", "/").replace("%2F", "/");
    if decoded.contains("//") {
        return Err(AmbiguousPath("an empty segment"));
    }
    // Some servers cut a segment's parameters off before they resolve dots.
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if decoded.split('/').any(is_dots) {
        return Err(AmbiguousPath("a `.` or `..` segment"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn plain_paths_pass_as_they_are() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/api/v1/users", "/api/v1/users", None),
            ("/api/v1/users/", "/api/v1/users/", None),
            ("/a?b=//../%2f", "/a", Some("b=//../%2f")),
            ("/a?", "/a", Some("")),
            ("/a?x?y", "/a", Some("x?y")),
            ("/caf%c3%a9", "/caf%c3%a9", None),
            ("/a%20b", "/a%20b", None),
            ("/a%25b", "/a%25b", None),
            ("/...", "/...", None),
            ("/.well-known/x", "/.well-known/x", None),
            ("/a;v=1/b", "/a;v=1/b", None),
            ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,=", None),
        ] {
            let found = RequestPath::parse(target.as_bytes(), false).unwrap();
            assert_eq!((found.path(), found.query()), (path, query.map(str::as_bytes)), "{target}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_path_has_at_most_8_kib() {
        let long = |length: usize| [b"/".as_slice(), &vec![b'a'; length - 1], b"?", &vec![b'q'; 9000]].concat();
        assert!(RequestPath::parse(&long(8192), false).is_ok());
        assert_eq!(RequestPath::parse(&long(8193), false).unwrap_err(), AmbiguousPath("longer than 8 KiB"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_two_servers_could_read_differently_is_refused() {
        for target in [
            &b""[..],
            b"*",
            b"api",
            b"http://x/api",
            b"//",
            b"//a",
            b"/a//b",
            b"/a//",
            b"/.",
            b"/..",
            b"/./a",
            b"/../a",
            b"/a/..",
            b"/a/.",
            b"/%2e%2e/a",
            b"/%2E/a",
            b"/.%2e/a",
            b"/..;/a",
            b"/..;x=1/a",
            b"/.;/a",
            b"/a\\b",
            b"/a%5cb",
            b"/a%5Cb",
            b"/a%2fb",
            b"/a%2Fb",
            b"/a%3fb",
            b"/a%23b",
            b"/a%",
            b"/a%2",
            b"/a%zz",
            b"/a%+1",
            b"/a%00",
            b"/a%1f",
            b"/a%0a",
            b"/a%7f",
            b"/a#b",
            b"/a?b#c",
            b"/%75sers",
            b"/%7e",
            b"/%41",
            b"/%30",
            b"/a b",
            b"/a\tb",
            b"/a\0",
            b"/a\x7f",
            b"/a?\0",
            b"/a\xff",
            "/é".as_bytes(),
        ] {
            assert!(RequestPath::parse(target, false).is_err(), "{:?}", String::from_utf8_lossy(target));
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_encoded_slash_passes_only_when_allowed() {
        assert!(RequestPath::parse(b"/a%2fb", true).is_ok());
        assert!(RequestPath::parse(b"/a%2Fb", true).is_ok());
        for still in
            [&b"/a%5cb"[..], b"/a%2e%2e%2fb", b"/..%2fb", b"/a/%2e%2e", b"/a%2f..%2fb", b"/a%2f%2fb", b"/a/%2fb"]
        {
            assert!(RequestPath::parse(still, true).is_err(), "{:?}", String::from_utf8_lossy(still));
        }
    }
}
