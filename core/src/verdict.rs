//! The verdict on a request, and what a refused caller is told.

use crate::path::AmbiguousPath;
use crate::policy::{Decision, PolicyEngineError};
use crate::reason::Reason;
use crate::verify::{Caller, VerifyError};
use serde_json::Value;

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Goes on without an identity: a bypass rule matched.
    Bypass,
    /// Goes on with the caller's identity.
    Allow(Box<Grant>),
    /// Is answered by the filter.
    Deny(Denial),
}

impl Verdict {
    /// Who calls, where that was proven.
    #[must_use]
    pub const fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Allow(grant) => Some(&grant.caller),
            Self::Deny(denial) => denial.caller.as_ref(),
            Self::Bypass => None,
        }
    }
}

/// An admitted request.
#[derive(Debug)]
pub struct Grant {
    /// Who calls.
    pub caller: Caller,
    /// Request headers that the policy adds.
    pub headers: Vec<(String, String)>,
    /// Response headers that the policy adds.
    pub response_headers: Vec<(String, String)>,
}

/// A refused request.
#[derive(Debug)]
pub struct Denial {
    /// Why, as a stable code.
    pub reason: Reason,
    /// The answer's status.
    pub status: u16,
    /// The body's `detail`: a reason code or the policy's reason.
    pub detail: Option<String>,
    /// What exactly was wrong, for the log only.
    pub explanation: Option<String>,
    /// Who called, where that was proven.
    pub caller: Option<Caller>,
    /// Response headers that the policy adds.
    pub response_headers: Vec<(String, String)>,
}

impl Denial {
    /// A denial with the reason's own status and detail.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        let detail = reason.is_invalid_token().then(|| reason.code().to_owned());
        let status = reason.status();
        Self { reason, status, detail, explanation: None, caller: None, response_headers: Vec::new() }
    }

    /// The same with what exactly was wrong, for the log.
    #[must_use]
    pub fn because(self, explanation: impl ToString) -> Self {
        Self { explanation: Some(explanation.to_string()), ..self }
    }

    /// The same for a caller that was proven.
    #[must_use]
    pub fn of(self, caller: Caller) -> Self {
        Self { caller: Some(caller), ..self }
    }

    /// The body: `{"error": …, "detail": …, "decision_id": …}`, without `detail` where it is not to be shown or there is
    /// none. The ID is what the decision log calls this denial.
    #[must_use]
    pub fn body(&self, expose_detail: bool, decision_id: &str) -> String {
        let (error, id) = (Value::from(self.reason.error()), Value::from(decision_id));
        match self.detail.as_deref().filter(|_| expose_detail) {
            Some(detail) => format!(r#"{{"error":{error},"detail":{},"decision_id":{id}}}"#, Value::from(detail)),
            None => format!(r#"{{"error":{error},"decision_id":{id}}}"#),
        }
    }

    /// The `WWW-Authenticate` challenge (RFC 6750 §3) that goes with 401 and 403.
    #[must_use]
    pub fn challenge(&self, expose_detail: bool) -> Option<String> {
        let detail = self.detail.as_deref().filter(|_| expose_detail && self.reason.is_invalid_token());
        let description = detail.map(|detail| format!(r#", error_description="{detail}""#)).unwrap_or_default();
        match self.status {
            401 if self.reason.is_invalid_token() => {
                Some(format!(r#"Bearer realm="scbte", error="invalid_token"{description}"#))
            }
            401 => Some(r#"Bearer realm="scbte""#.to_owned()),
            403 => Some(r#"Bearer realm="scbte", error="insufficient_scope""#.to_owned()),
            _ => None,
        }
    }
}

impl From<AmbiguousPath> for Denial {
    fn from(error: AmbiguousPath) -> Self {
        Self::new(Reason::AmbiguousPath).because(error)
    }
}

impl From<VerifyError> for Denial {
    fn from(error: VerifyError) -> Self {
        Self::new(error.reason()).because(error)
    }
}

impl From<PolicyEngineError> for Denial {
    fn from(error: PolicyEngineError) -> Self {
        Self::new(Reason::PolicyEngineError).because(error)
    }
}

impl Verdict {
    /// What a policy's decision means for its caller.
    #[must_use]
    pub fn of(caller: Caller, decision: Decision) -> Self {
        match decision {
            Decision::Allow { headers, response_headers } => {
                Self::Allow(Box::new(Grant { caller, headers, response_headers }))
            }
            Decision::Deny { reason, status, response_headers } => Self::Deny(Denial {
                status,
                detail: Some(reason),
                response_headers,
                ..Denial::new(Reason::PolicyDenied).of(caller)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_caller_is_told_the_code_and_no_more() {
        let denied = Denial { detail: Some("say \"no\"".into()), ..Denial::new(Reason::PolicyDenied) };
        for (denial, body, challenge) in [
            (
                Denial::new(Reason::MissingBearerToken),
                r#"{"error":"missing_bearer_token","decision_id":"7"}"#,
                Some(r#"Bearer realm="scbte""#),
            ),
            (
                Denial::new(Reason::Expired).because("at 12"),
                r#"{"error":"invalid_token","detail":"expired","decision_id":"7"}"#,
                Some(r#"Bearer realm="scbte", error="invalid_token", error_description="expired""#),
            ),
            (
                denied,
                r#"{"error":"policy_denied","detail":"say \"no\"","decision_id":"7"}"#,
                Some(r#"Bearer realm="scbte", error="insufficient_scope""#),
            ),
            (Denial::new(Reason::AmbiguousPath), r#"{"error":"ambiguous_path","decision_id":"7"}"#, None),
            (
                Denial::new(Reason::TrustBundleUnavailable),
                r#"{"error":"trust_bundle_unavailable","decision_id":"7"}"#,
                None,
            ),
        ] {
            assert_eq!(denial.body(true, "7"), body);
            assert_eq!(denial.challenge(true).as_deref(), challenge, "{body}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn detail_can_be_kept_back() {
        let denial = Denial::new(Reason::Expired);
        assert_eq!(denial.body(false, "7"), r#"{"error":"invalid_token","decision_id":"7"}"#);
        assert_eq!(denial.challenge(false).as_deref(), Some(r#"Bearer realm="scbte", error="invalid_token""#));
    }
}
