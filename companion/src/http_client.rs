//! A small HTTP/1.1 client for neighbours on this machine: `http://HOST:PORT` and Unix sockets, one connection a call.
//!
//! No TLS, no redirects, no proxies: what is sent is either public and signed, or meant for loopback.

use crate::listen::unix_path;
use crate::words;
use axum::body::Bytes;
use axum::http::uri::{Authority, Uri};
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Longest answer: an envelope with many trust domains.
const MAX_ANSWER: usize = 8 << 20;

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `http://HOST:PORT`.
    Http(Authority),
    /// `unix:///path`.
    Unix(PathBuf),
}

/// The text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `http://HOST:PORT` or `unix:///path`, found `{0}`")]
pub(crate) struct NotAnEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let parsed = match text.strip_prefix("unix:") {
            Some(path) => unix_path(path).map(Self::Unix),
            None => http_authority(text).map(Self::Http),
        };
        parsed.ok_or_else(|| NotAnEndpoint(words::visible(text)))
    }
}

fn http_authority(text: &str) -> Option<Authority> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?.clone();
    let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    (plain && !authority.as_str().contains('@')).then_some(authority)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(formatter, "http://{authority}"),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// Whom.
        endpoint: Endpoint,
        /// What the system says.
        source: std::io::Error,
    },
    /// The other side does not speak HTTP, or hung up.
    #[error("no answer from {endpoint}: {source}")]
    Http {
        /// Whom.
        endpoint: Endpoint,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} within {limit:?}")]
    Timeout {
        /// Whom.
        endpoint: Endpoint,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}

/// What to send.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The method.
    pub(crate) method: Method,
    /// The path.
    pub(crate) path: &'a str,
    /// The body and its type.
    pub(crate) body: Option<(&'static str, Bytes)>,
}

impl Call<'_> {
    /// `GET` of a path.
    pub(crate) fn get(path: &str) -> Call<'_> {
        Call { method: Method::GET, path, body: None }
    }
}

impl Endpoint {
    /// Calls, and waits for the whole answer.
    pub(crate) async fn call(&self, call: Call<'_>, limit: Duration) -> Result<Answer, ClientError> {
        let answer = tokio::time::timeout(limit, self.call_unhurried(call)).await;
        answer.unwrap_or_else(|_| Err(ClientError::Timeout { endpoint: self.clone(), limit }))
    }

    async fn call_unhurried(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let refused = |source| ClientError::Connect { endpoint: self.clone(), source };
        let request = self.request(call)?;
        match self {
            Self::Http(authority) => {
                let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
                self.send(TcpStream::connect(address).await.map_err(refused)?, request).await
            }
            Self::Unix(path) => self.send(UnixStream::connect(path).await.map_err(refused)?, request).await,
        }
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = match self {
            Self::Http(authority) => authority.as_str(),
            Self::Unix(_) => "localhost",
        };
        let builder = Request::builder().method(call.method).uri(call.path).header(header::HOST, host);
        let builder = builder.header(header::CONNECTION, "close");
        let request = match call.body {
            Some((content_type, body)) => builder.header(header::CONTENT_TYPE, content_type).body(Full::new(body)),
            None => builder.body(Full::default()),
        };
        request.map_err(|error| self.failed(error))
    }

    async fn send<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Answer, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.failed(error))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| self.failed(error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|source| ClientError::Http { endpoint: self.clone(), source })?;
            Ok(Answer { status: parts.status, body: body.to_bytes() })
        };
        // The connection does the work; what ends it shows in the exchange.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Http { endpoint: self.clone(), source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_endpoint() {
        for text in ["http://127.0.0.1:10001", "http://envoy:80", "http://[::1]:1", "unix:///run/scbte/control.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert!("http://127.0.0.1:10001/".parse::<Endpoint>().is_ok());
        for bad in [
            "",
            "127.0.0.1:1",
            "https://127.0.0.1:1",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u@a:1",
            "unix://run",
            "unix:",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint: Endpoint = format!("http://{unused}").parse().unwrap();
        let error = endpoint.call(Call::get("/"), Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(error, ClientError::Connect { .. }), "{error}");
        assert!(error.to_string().contains(&unused.to_string()));
    }

    #[tokio::test]
    async fn silence_ends() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: Endpoint = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
        let error = endpoint.call(Call::get("/"), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    }
}
