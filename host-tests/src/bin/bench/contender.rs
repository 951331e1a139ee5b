//! The contenders: their names, whom each is compared with, and what each leaves unchecked.

use crate::tokens::Kind;

/// What stands before the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    None,
    TrivialWasm,
    ScbteHot,
    ScbteFresh,
    ScbteNewSvid,
    ScbteBadSignature,
    ScbtePolicyDenied,
    Native,
    NativeCache,
    ExtAuthzOpa,
    MiddlewareOpa,
}

use Contender::{
    ExtAuthzOpa, MiddlewareOpa, Native, NativeCache, None as NoFilter, ScbteBadSignature, ScbteFresh, ScbteHot,
    ScbteNewSvid, ScbtePolicyDenied, TrivialWasm,
};

/// Which servers a contender is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Envoy without a filter.
    Bare,
    /// Envoy with the filter that lets everything pass.
    Trivial,
    /// Envoy with the filter.
    Scbte,
    /// Envoy with `jwt_authn` and RBAC.
    Native {
        /// With `jwt_cache_config`.
        cache: bool,
    },
    /// Envoy and an OPA that it asks by gRPC.
    ExtAuthz,
    /// Express and an OPA that it asks by HTTP.
    Middleware,
    /// Express alone.
    OpenMiddleware,
}

impl Contender {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 11] = [
        NoFilter,
        TrivialWasm,
        ScbteHot,
        ScbteFresh,
        ScbteNewSvid,
        ScbteBadSignature,
        ScbtePolicyDenied,
        Native,
        NativeCache,
        ExtAuthzOpa,
        MiddlewareOpa,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            NoFilter => "none",
            TrivialWasm => "trivial-wasm",
            ScbteHot => "scbte-hot",
            ScbteFresh => "scbte-fresh",
            ScbteNewSvid => "scbte-new-svid",
            ScbteBadSignature => "scbte-bad-signature",
            ScbtePolicyDenied => "scbte-policy-denied",
            Native => "native",
            NativeCache => "native-cache",
            ExtAuthzOpa => "ext-authz-opa",
            MiddlewareOpa => "middleware-opa",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| format!("there is no contender `{name}`, expected one of {}", known()))
    }

    /// Whom it is compared with.
    pub(crate) const fn peer(self) -> Option<Self> {
        match self {
            ScbteHot => Some(NativeCache),
            ScbteFresh | ScbteNewSvid => Some(Native),
            ScbteBadSignature => Some(ScbteFresh),
            ScbtePolicyDenied | ExtAuthzOpa | MiddlewareOpa => Some(ScbteHot),
            NoFilter | TrivialWasm | Native | NativeCache => None,
        }
    }

    pub(crate) const fn servers(self) -> Servers {
        match self {
            NoFilter => Servers::Bare,
            TrivialWasm => Servers::Trivial,
            ScbteHot | ScbteFresh | ScbteNewSvid | ScbteBadSignature | ScbtePolicyDenied => Servers::Scbte,
            Native => Servers::Native { cache: false },
            NativeCache => Servers::Native { cache: true },
            ExtAuthzOpa => Servers::ExtAuthz,
            MiddlewareOpa => Servers::Middleware,
        }
    }

    /// What it is measured over, where that is not `none`: the same server without what the contender brings.
    pub(crate) const fn own_base(self) -> Option<Servers> {
        match self {
            MiddlewareOpa => Some(Servers::OpenMiddleware),
            _ => None,
        }
    }

    /// Whether it decides about requests.
    pub(crate) const fn decides(self) -> bool {
        !matches!(self, NoFilter | TrivialWasm)
    }

    /// What it is called with.
    pub(crate) const fn tokens(self) -> Kind {
        match self {
            ScbteFresh | Native => Kind::Fresh,
            ScbteNewSvid => Kind::NewSvid,
            ScbteBadSignature => Kind::BadSignature,
            ScbtePolicyDenied => Kind::Denied,
            NoFilter | TrivialWasm | ScbteHot | NativeCache | ExtAuthzOpa | MiddlewareOpa => Kind::Hot,
        }
    }

    /// The status of every answer.
    pub(crate) const fn status(self) -> u16 {
        match self {
            ScbteBadSignature => 401,
            ScbtePolicyDenied => 403,
            _ => 200,
        }
    }

    /// How the filter must have verified tokens, by the label of its counter, while it was measured; in a run over a
    /// pool larger than its caches nothing else may be counted.
    pub(crate) const fn verified_by(self) -> Option<&'static str> {
        match self {
            ScbteHot | ScbtePolicyDenied => Some("hit"),
            ScbteFresh => Some("chain_hit"),
            ScbteNewSvid => Some("miss"),
            _ => None,
        }
    }

    /// The reason that the filter must have decided every request with, by the label of its counter.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            ScbteHot | ScbteFresh | ScbteNewSvid => Some("none"),
            ScbteBadSignature => Some("bad_signature"),
            ScbtePolicyDenied => Some("policy_denied"),
            _ => None,
        }
    }

    /// Whether `jwt_authn` must have found every token in its cache, or none.
    pub(crate) const fn jwt_cache(self) -> Option<bool> {
        match self {
            Native => Some(false),
            NativeCache => Some(true),
            _ => None,
        }
    }

    /// What it is, for the reader of a table.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            NoFilter => "Envoy without a filter",
            TrivialWasm => "Envoy with a wasm filter that does nothing",
            ScbteHot => "SCBTE, tokens seen before",
            ScbteFresh => "SCBTE, every token new, its SVID known",
            ScbteNewSvid => "SCBTE, every token new, of an SVID never seen",
            ScbteBadSignature => "SCBTE, every signature wrong, of an SVID that never signed a good one: 401",
            ScbtePolicyDenied => "SCBTE, tokens seen before, denied by the policy: 403",
            Native => "Envoy's jwt_authn and RBAC",
            NativeCache => "Envoy's jwt_authn with its cache, and RBAC",
            ExtAuthzOpa => "Envoy's ext_authz, by gRPC to opa-envoy-plugin",
            MiddlewareOpa => "Express with jose, by HTTP to an OPA server",
        }
    }

    /// What it does not check, of what SCBTE checks.
    pub(crate) const fn unchecked(self) -> &'static str {
        match self {
            NoFilter | TrivialWasm => "Everything: it lets every request pass.",
            ScbteHot | ScbtePolicyDenied => {
                "The signature and the chain on each request: they were checked when the token was first seen, under the \
                 same trust bundle. Time, audience, binding and policy are checked each time."
            }
            ScbteFresh => {
                "The chain on each request: it was checked when the SVID was first seen, under the same bundle."
            }
            ScbteNewSvid => "Nothing is left out.",
            ScbteBadSignature => "What follows the signature: a token that fails there goes no further.",
            Native => {
                "Who vouches for the key: it believes the one in its configuration and does not look at `x5c`, so no \
                 certificate, no trust domain and no rotation. No binding, no `jti`, and no limit on a token's \
                 lifetime is set. RBAC compares texts; no Rego."
            }
            NativeCache => "The same as `native`; and the signature of a token that it has seen, for time only.",
            ExtAuthzOpa => {
                "The same as `native` about the key, which is in OPA's data; and the signature of a token that it has \
                 seen: OPA's token cache (`io_jwt`) is on, as `native-cache`'s is."
            }
            MiddlewareOpa => {
                "The same as `native` about the key, which is imported once. It verifies every signature: it has no \
                 token cache. There is no proxy in it: it is the upstream's own server, and serves the answer, too."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_contenders() {
        for one in Contender::ALL {
            assert_eq!(Contender::parse(one.name()), Ok(one));
        }
        assert!(Contender::parse("scbte").unwrap_err().contains("scbte-hot"));
    }
}
