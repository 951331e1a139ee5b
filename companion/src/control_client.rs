//! The control API of one Envoy, as seen from here: what it has, and how to give it something newer.

use crate::http_client::{Answer, Call, ClientError, Endpoint};
use crate::subject::Kind;
use crate::words;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use std::time::Duration;

/// How long an Envoy may take to say what it has.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take to check and take an envelope.
const PUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer's text that is shown, at most.
const MAX_SHOWN: usize = 300;

/// What an Envoy has, from `GET /v1/status`; other members are for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct TargetStatus {
    /// The trust bundle in force.
    #[serde(flatten)]
    pub(crate) bundle: Held,
    /// The policy from a companion.
    #[serde(default)]
    pub(crate) policy: Held,
}

/// The envelope of one kind that an Envoy has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Held {
    /// Its `seq`, if there is one.
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    /// The revision of what is in it.
    #[serde(default)]
    pub(crate) revision: Option<String>,
    /// Of a policy: why the newest does not run.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// Of a policy: where the one that runs comes from.
    #[serde(default)]
    pub(crate) source: Option<String>,
}

impl Held {
    /// Why what is held is not what decides.
    pub(crate) fn objection(&self) -> Option<String> {
        let inline =
            || "its policy is in its configuration: it takes none from a companion (`policy.source`)".to_owned();
        let is_inline = self.source.as_deref() == Some("inline");
        self.error.as_deref().map(words::visible).or_else(|| is_inline.then(inline))
    }
}

/// Why an Envoy's control API gave no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// It could not be asked.
    #[error(transparent)]
    Unreachable(#[from] ClientError),
    /// It answered that it will not.
    #[error("the answer is {status}: {body}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The answer's text, shortened.
        body: String,
    },
    /// What answers is no control API.
    #[error("the answer is no status: {0}")]
    NotAStatus(#[from] serde_json::Error),
}

/// The control API of one Envoy.
#[derive(Clone, Debug)]
pub(crate) struct ControlClient {
    endpoint: Endpoint,
}

impl ControlClient {
    /// The control API at an endpoint.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it has.
    pub(crate) async fn status(&self) -> Result<TargetStatus, ControlError> {
        let answer = self.endpoint.call(Call::get("/v1/status"), STATUS_TIMEOUT).await?;
        Ok(serde_json::from_slice(&success(answer)?)?)
    }

    /// Gives it an envelope.
    pub(crate) async fn put(&self, kind: Kind, envelope: &str) -> Result<(), ControlError> {
        let body = Some(("application/jose", Bytes::copy_from_slice(envelope.as_bytes())));
        let call = Call { method: Method::PUT, path: kind.path(), body };
        success(self.endpoint.call(call, PUSH_TIMEOUT).await?).map(drop)
    }
}

fn success(answer: Answer) -> Result<Bytes, ControlError> {
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(ControlError::Refused { status, body: shown(&answer.body) }),
    }
}

fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(MAX_SHOWN).collect();
    words::visible(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_envoy_that_runs_something_else_objects() {
        for (policy, objection) in [
            (json!({"source": "companion", "error": null}), None),
            (json!({"source": null, "error": null}), None),
            (json!({"source": "companion", "error": "bytes of data"}), Some("bytes of data")),
            (json!({"source": "inline"}), Some("in its configuration")),
        ] {
            let status: TargetStatus = serde_json::from_value(json!({"seq": 1, "policy": policy})).unwrap();
            assert_eq!(status.bundle.objection(), None);
            let found = status.policy.objection();
            assert!(
                found.as_deref().is_some_and(|found| objection.is_some_and(|part| found.contains(part)))
                    || (found.is_none() && objection.is_none()),
                "{policy}: {found:?}"
            );
        }
    }
}
