//! What a caller of the companion's HTTP APIs is told when something is wrong: `{"error", "detail"}` and a status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that is no success. The codes are an interface: callers match on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    error: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, error: &'static str, detail: impl ToString) -> Self {
        Self { status, error, detail: detail.to_string() }
    }

    /// 400: the request says nothing that could be done.
    pub(crate) fn invalid_request(detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// 403: the request may have been forged, by a web page say.
    pub(crate) fn forbidden(detail: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is nothing here.
    pub(crate) fn not_found(detail: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 405: another method is meant; `Allow` says which.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "see the `allow` header")
    }

    /// 408: the request took too long to arrive.
    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the request took too long to arrive")
    }

    /// 413: the body is too long.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", format!("at most {limit} bytes"))
    }

    /// 415: not JSON.
    pub(crate) fn unsupported_media_type() -> Self {
        let detail = "send `content-type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 503: nothing to mint with at the moment.
    pub(crate) fn identity_unavailable(detail: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "identity_unavailable", detail)
    }

    /// The code, for metrics.
    pub(crate) fn error(&self) -> &'static str {
        self.error
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        json_response(self.status, &json!({"error": self.error, "detail": self.detail}))
    }
}

/// A JSON answer that nobody may keep.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}

/// For paths that do not exist.
pub(crate) async fn not_found() -> Problem {
    Problem::not_found("there is nothing at this path")
}

/// For methods that a path does not have.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}
