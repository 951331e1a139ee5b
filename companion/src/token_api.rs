//! The token API: `POST /token`, for the workload beside this companion, and `GET /healthz`.
//!
//! A token that it gives out is a credential of the workload: no answer may be kept, and none gets into a log.

use crate::allow_list::AllowList;
use crate::clock;
use crate::guards::{self, GuardRules};
use crate::metrics::Metrics;
use crate::minter::{MintError, Minted, Minter};
use crate::problem::{self, Problem, json_response};
use crate::token_request::TokenRequest;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::LengthLimitError;
use serde_json::json;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Longest body: an audience, a context and a path.
const MAX_BODY: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the token API needs.
pub(crate) struct TokenApi {
    /// Mints.
    pub(crate) minter: Arc<Minter>,
    /// Refuses forged requests.
    pub(crate) guards: GuardRules,
    /// What tokens may be for.
    pub(crate) allow_list: AllowList,
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
}

/// The token API's paths.
pub(crate) fn router(api: TokenApi) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/healthz", get(healthz))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(Arc::new(api))
}

/// Whether the process answers.
pub(crate) async fn healthz() -> Response {
    json_response(StatusCode::OK, &json!({"status": "ok"}))
}

async fn token(State(api): State<Arc<TokenApi>>, request: Request) -> Response {
    match api.token(request).await {
        Ok(Minted { token, exp, reused, .. }) => {
            if reused { &api.metrics.tokens_reused } else { &api.metrics.tokens_minted }.inc();
            json_response(StatusCode::OK, &json!({"token": token, "exp": exp}))
        }
        Err(problem) => {
            api.metrics.token_error(problem.error());
            problem.into_response()
        }
    }
}

impl TokenApi {
    async fn token(&self, request: Request) -> Result<Minted, Problem> {
        let (parts, body) = request.into_parts();
        guards::check(&parts, &self.guards)?;
        let body = read(body).await?;
        let wanted = TokenRequest::parse(&body).map_err(Problem::invalid_request)?;
        self.allow_list.check(&wanted)?;
        self.minter.mint(&wanted, clock::now()).map_err(|error| problem_of(&error))
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY)).await;
    read.map_err(|_| Problem::timeout())?.map_err(|error| match error.source() {
        Some(source) if source.is::<LengthLimitError>() => Problem::too_large(MAX_BODY),
        _ => Problem::invalid_request("the body did not arrive"),
    })
}

fn problem_of(error: &MintError) -> Problem {
    match error {
        MintError::TooLarge { .. } => Problem::invalid_request(error),
        _ => {
            debug!(%error, "no token minted");
            Problem::identity_unavailable(error)
        }
    }
}
