//! Local replies: the answer a filter gives itself, and what Envoy makes of it (`Utility::prepareLocalReply`).

use super::headers::Headers;
use super::request::Response;

/// What the module sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) status: u32,
    pub(crate) details: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) grpc_status: Option<u32>,
}

impl Sent {
    /// What the caller gets before the response callbacks have seen it.
    pub(crate) fn response_to(&self, request: &Headers) -> Response {
        let mut headers = self.headers.clone();
        headers.set(":status", self.status.to_string());
        if is_grpc(request) {
            return Response { headers: self.in_grpc(headers), body: Vec::new() };
        }
        if self.body.is_empty() {
            headers.remove("content-length");
            headers.remove("content-type");
            return Response { headers, body: Vec::new() };
        }
        headers.set("content-length", self.body.len().to_string());
        if !headers.contains("content-type") {
            headers.set("content-type", "text/plain");
        }
        let body = if request.get(":method") == Some(b"HEAD") { Vec::new() } else { self.body.clone() };
        Response { headers, body }
    }

    /// A response of trailers only: HTTP 200, with the status and the body in headers.
    fn in_grpc(&self, mut headers: Headers) -> Headers {
        headers.set(":status", "200");
        headers.set("content-type", "application/grpc");
        if !headers.contains("grpc-status") {
            headers.set("grpc-status", self.grpc_status.unwrap_or_else(|| grpc_status(self.status)).to_string());
        }
        if !self.body.is_empty() {
            headers.set("grpc-message", percent_encode(self.body.strip_suffix(b"\n").unwrap_or(&self.body)));
        }
        headers.remove("content-length");
        headers
    }
}

fn is_grpc(request: &Headers) -> bool {
    let content_type = request.get("content-type").unwrap_or_default();
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// Envoy's `httpToGrpcStatus`.
fn grpc_status(http: u32) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn percent_encode(text: &[u8]) -> String {
    let keep = |byte: u8| (b' '..b'~').contains(&byte) && byte != b'%';
    text.iter().map(|&byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: &str, content_type: Option<&str>, sent: &Sent) -> (Vec<String>, Vec<u8>) {
        let mut request = Headers::request();
        request.add(":method", method);
        content_type.iter().for_each(|value| request.add("content-type", value));
        let Response { headers, body } = sent.response_to(&request);
        (headers.lines(), body)
    }

    #[test]
    fn what_envoy_makes_of_a_reply() {
        let mut headers = Headers::response();
        headers.add("x-y", "z");
        let plain = Sent { status: 403, details: String::new(), headers, body: b"no 100%".to_vec(), grpc_status: None };
        let bare = Sent { body: vec![], ..plain.clone() };
        let text = ["x-y: z", "content-length: 7", "content-type: text/plain"];
        let grpc = ["content-type: application/grpc", "grpc-status: 7", "grpc-message: no 100%25"];
        let cases: [(&str, Option<&str>, &Sent, &str, &[&str], &[u8]); 5] = [
            ("GET", None, &plain, "403", &text, b"no 100%"),
            ("HEAD", None, &plain, "403", &text, b""),
            ("GET", None, &bare, "403", &text[..1], b""),
            ("POST", Some("application/grpc"), &plain, "200", &[&text[..1], &grpc].concat(), b""),
            ("POST", Some("application/grpc+proto"), &bare, "200", &[&text[..1], &grpc[..2]].concat(), b""),
        ];
        for (method, content_type, sent, status, rest, body) in cases {
            let mut lines = vec![format!(":status: {status}")];
            lines.extend(rest.iter().map(ToString::to_string));
            assert_eq!(answer(method, content_type, sent), (lines, body.to_vec()), "{method} {content_type:?}");
        }
    }
}
