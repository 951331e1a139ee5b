//! The admin listener: health, readiness, metrics, and the newest envelopes for filters that pull.
//!
//! Nothing here is secret: envelopes hold public certificates, and filters believe their signature only.

use crate::clock;
use crate::envelopes::Newest;
use crate::metrics::{self, Metrics};
use crate::problem::{self, Problem, json_response};
use crate::readiness::Status;
use crate::token_api::healthz;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use std::sync::Arc;

/// What the admin listener needs.
pub(crate) struct AdminApi {
    /// How the companion is.
    pub(crate) status: Status,
    /// What it counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// The admin listener's paths.
pub(crate) fn router(api: AdminApi) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/bundle", get(bundle))
        .route("/v1/policy", get(policy))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(Arc::new(api))
}

async fn readyz(State(api): State<Arc<AdminApi>>) -> Response {
    let (ready, report) = api.status.report(clock::now());
    json_response(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report)
}

async fn metrics(State(api): State<Arc<AdminApi>>) -> Response {
    match api.metrics.encode(&api.status.gauges(clock::now())) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn bundle(State(api): State<Arc<AdminApi>>, headers: HeaderMap) -> Response {
    envelope(&api.status.newest, "no trust bundle was signed yet", &headers)
}

async fn policy(State(api): State<Arc<AdminApi>>, headers: HeaderMap) -> Response {
    match &api.status.policy {
        Some(policy) => envelope(&policy.newest, "no policy was signed yet", &headers),
        None => {
            let detail = "this companion delivers no policy (`--policy`): filters use the one in their configuration";
            Problem::not_found(detail).into_response()
        }
    }
}

fn envelope(newest: &Newest, none: &str, headers: &HeaderMap) -> Response {
    let Some(envelope) = newest.borrow().clone() else {
        return Problem::not_found(none).into_response();
    };
    // A new signature of the same bundle is news too: it is fresher.
    let etag = format!("\"{}\"", envelope.seq);
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if knows(headers, &etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, "application/jose")], envelope.text.clone()).into_response()
}

/// Whether `If-None-Match` names this version (RFC 9110 §13.1.2).
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_that_is_known_is_not_sent_again() {
        for (value, expected) in [
            (None, false),
            (Some("\"7\""), true),
            (Some("W/\"7\""), true),
            (Some("\"6\", \"7\""), true),
            (Some("*"), true),
            (Some("\"6\""), false),
            (Some("7"), false),
            (Some("\"77\""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (header::IF_NONE_MATCH, value.parse().unwrap())));
            assert_eq!(knows(&headers, "\"7\""), expected, "{value:?}");
        }
    }
}
