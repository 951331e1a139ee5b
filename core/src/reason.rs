//! Why a request is refused: one stable code, one status, one metric label each.
//!
//! The codes are an interface: callers, dashboards and alerts match on them. See the README's troubleshooting table.

/// A reason code. Its [`code`](Reason::code) never changes once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// No usable token header.
    MissingBearerToken,
    /// `exp` has passed.
    Expired,
    /// `iat`, `nbf` or a certificate's notBefore lies ahead.
    NotYetValid,
    /// None of the token's audiences is this service's.
    AudienceMismatch,
    /// The leaf's key did not sign the token.
    BadSignature,
    /// The chain breaks a rule of X509-SVID §5 or leads to no anchor of its trust domain.
    UntrustedChain,
    /// No trust bundle for the leaf's trust domain.
    UnknownTrustDomain,
    /// `sub` is not the leaf's SPIFFE ID.
    SubjectMismatch,
    /// Not a token by its form.
    Malformed,
    /// `alg` or a key is not one that is accepted.
    UnsupportedAlgorithm,
    /// `typ` is not one that is accepted.
    UnsupportedType,
    /// Longer than `token.max_size`.
    TokenTooLarge,
    /// `exp - iat` exceeds `token.max_lifetime`.
    LifetimeTooLong,
    /// `htm`/`htp` do not match the request, or are missing where required.
    BindingMismatch,
    /// The TLS peer is not the token's subject.
    PeerMismatch,
    /// The policy does not allow the request.
    PolicyDenied,
    /// The path could be read differently upstream.
    AmbiguousPath,
    /// The policy could not be evaluated.
    PolicyEngineError,
    /// No trust bundle yet, or it is too old.
    TrustBundleUnavailable,
    /// No policy yet.
    PolicyUnavailable,
}

impl Reason {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 20] = [
        Self::MissingBearerToken,
        Self::Expired,
        Self::NotYetValid,
        Self::AudienceMismatch,
        Self::BadSignature,
        Self::UntrustedChain,
        Self::UnknownTrustDomain,
        Self::SubjectMismatch,
        Self::Malformed,
        Self::UnsupportedAlgorithm,
        Self::UnsupportedType,
        Self::TokenTooLarge,
        Self::LifetimeTooLong,
        Self::BindingMismatch,
        Self::PeerMismatch,
        Self::PolicyDenied,
        Self::AmbiguousPath,
        Self::PolicyEngineError,
        Self::TrustBundleUnavailable,
        Self::PolicyUnavailable,
    ];

    /// The stable code: the metric's `reason` label, and the body's `detail` for `invalid_token`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingBearerToken => "missing_bearer_token",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::AudienceMismatch => "audience_mismatch",
            Self::BadSignature => "bad_signature",
            Self::UntrustedChain => "untrusted_chain",
            Self::UnknownTrustDomain => "unknown_trust_domain",
            Self::SubjectMismatch => "subject_mismatch",
            Self::Malformed => "malformed",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnsupportedType => "unsupported_type",
            Self::TokenTooLarge => "token_too_large",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::BindingMismatch => "binding_mismatch",
            Self::PeerMismatch => "peer_mismatch",
            Self::PolicyDenied => "policy_denied",
            Self::AmbiguousPath => "ambiguous_path",
            Self::PolicyEngineError => "policy_engine_error",
            Self::TrustBundleUnavailable => "trust_bundle_unavailable",
            Self::PolicyUnavailable => "policy_unavailable",
        }
    }

    /// The body's `error`: `invalid_token` for every failed check of a token, else the code itself.
    #[must_use]
    pub const fn error(self) -> &'static str {
        if self.is_invalid_token() { "invalid_token" } else { self.code() }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::AmbiguousPath => 400,
            Self::PolicyDenied => 403,
            Self::PolicyEngineError => 500,
            Self::TrustBundleUnavailable | Self::PolicyUnavailable => 503,
            _ => 401,
        }
    }

    /// Whether a token was there and failed a check (RFC 6750 §3.1, `invalid_token`).
    #[must_use]
    pub const fn is_invalid_token(self) -> bool {
        self.status() == 401 && !matches!(self, Self::MissingBearerToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn codes_are_unique_and_all_are_listed() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        // The last variant's number: one that is added and not listed makes this fail.
        assert_eq!(Reason::PolicyUnavailable as usize + 1, Reason::ALL.len());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_reason_has_the_status_of_the_design() {
        for reason in Reason::ALL {
            let expected = match reason.error() {
                "missing_bearer_token" | "invalid_token" => 401,
                "policy_denied" => 403,
                "ambiguous_path" => 400,
                "policy_engine_error" => 500,
                "trust_bundle_unavailable" | "policy_unavailable" => 503,
                other => panic!("no row for `{other}`"),
            };
            assert_eq!(reason.status(), expected, "{reason:?}");
        }
    }
}
