//! Tokens: of the same form for every contender, minted anew for each measurement since they live for 300 s.
//!
//! They are SCBTE's, with an `iss` that others ask for. Who believes one key instead of an authority is given the key of
//! the workload's SVID.

use crate::error::Error;
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use scbte_core::jwk::PublicKey;
use scbte_host_tests::fixture::{API_GATEWAY, Authority, ORDER_SERVICE, TRUST_DOMAIN, Workload, claims};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::thread;

/// Of the tokens: nobody resolves it.
pub(crate) const ISSUER: &str = "https://issuer.production.svc.cluster.local";
/// What the tokens are for.
pub(crate) const CONTEXT: &str = "read:users";
/// What the caller may not do.
pub(crate) const OTHER_CONTEXT: &str = "write:orders";

/// Which tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Few, sent again and again.
    Hot,
    /// More than any cache holds, of one SVID.
    Fresh,
    /// More than any cache holds, each of its own SVID.
    NewSvid,
    /// As `Fresh`, each with another one's signature, of an SVID that never signed a good one.
    BadSignature,
    /// Few, of a workload that the policy denies.
    Denied,
}

impl Kind {
    /// In growth's tables.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Fresh => "fresh",
            Self::NewSvid => "new SVID",
            Self::BadSignature => "bad signature",
            Self::Denied => "denied",
        }
    }
}

/// How many tokens of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub(crate) struct Pools {
    /// Tokens that are sent again and again; as many as every contender's cache holds
    #[arg(long = "hot-tokens", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) hot: u32,
    /// Distinct tokens, cycled; more than the filter remembers
    #[arg(long = "tokens", value_name = "N", default_value_t = 6000, value_parser = clap::value_parser!(u32).range(5000..=1_000_000))]
    pub(crate) fresh: u32,
    /// Distinct SVIDs, cycled; more than the filter remembers, and more tokens than it remembers
    #[arg(long = "svids", value_name = "N", default_value_t = 6000, value_parser = clap::value_parser!(u32).range(5000..=1_000_000))]
    pub(crate) svids: u32,
}

impl Pools {
    /// How many of a kind.
    pub(crate) const fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Hot | Kind::Denied => self.hot,
            Kind::Fresh | Kind::BadSignature => self.fresh,
            Kind::NewSvid => self.svids,
        }
    }
}

/// Who calls, and who vouches for them: the same in the whole run.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) authority: Authority,
    caller: Workload,
    /// The caller with another SVID, whose signatures are all wrong.
    forger: Workload,
    denied: Workload,
}

impl Identities {
    pub(crate) fn new() -> Result<Self, Error> {
        let authority = Authority::new(TRUST_DOMAIN)?;
        let caller = authority.issue(API_GATEWAY)?;
        let forger = authority.issue(API_GATEWAY)?;
        let denied = authority.issue(ORDER_SERVICE)?;
        Ok(Self { authority, caller, forger, denied })
    }

    /// The caller's key as a JWK Set, for those who believe a key.
    pub(crate) fn jwks(&self) -> Result<Value, Error> {
        let key = SigningKey::from_pkcs8_der(&self.caller.key_der()?).map_err(Error::other)?;
        let point = key.verifying_key().to_sec1_point(false);
        let public = PublicKey::from_point(point.as_bytes()).map_err(Error::other)?;
        let mut jwk = serde_json::to_value(public).map_err(Error::other)?;
        // What the tokens' headers say.
        jwk["kid"] = json!("test");
        jwk["alg"] = json!("ES256");
        Ok(json!({ "keys": [jwk] }))
    }

    /// New tokens.
    pub(crate) fn mint(&self, kind: Kind, pools: &Pools) -> Result<Vec<String>, Error> {
        let count = pools.of(kind);
        match kind {
            Kind::Hot | Kind::Fresh => many(count, || Ok(good(&self.caller))),
            Kind::Denied => many(count, || Ok(good(&self.denied))),
            Kind::NewSvid => many(count, || Ok(good(&self.authority.issue(API_GATEWAY)?))),
            Kind::BadSignature => many(count, || Ok(good(&self.forger))).map(|tokens| swap_signatures(&tokens)),
        }
    }

    /// A new token of the caller.
    pub(crate) fn token(&self, context: &str) -> String {
        with(&self.caller, context, "iss", ISSUER)
    }

    /// New tokens of the caller, with a text of this length among their claims.
    pub(crate) fn mint_padded(&self, count: u32, padding: usize) -> Result<Vec<String>, Error> {
        many(count, || Ok(with(&self.caller, CONTEXT, "padding", &"x".repeat(padding))))
    }
}

/// A token of a workload, for the example policy.
pub(crate) fn good(workload: &Workload) -> String {
    with(workload, CONTEXT, "iss", ISSUER)
}

fn with(workload: &Workload, context: &str, name: &str, value: &str) -> String {
    let mut claims = claims(&workload.spiffe_id, context);
    claims.insert(name.to_owned(), value.into());
    workload.token(&claims)
}

/// Every core signs.
pub(crate) fn many<T: Send>(count: u32, one: impl Fn() -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    let threads = thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    let share = |at: u32| count / threads + u32::from(at < count % threads);
    thread::scope(|scope| {
        let work = |at| {
            let (one, share) = (&one, share(at));
            scope.spawn(move || (0..share).map(|_| one()).collect::<Result<Vec<_>, _>>())
        };
        let working: Vec<_> = (0..threads).map(work).collect();
        let done = working.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Error::other("no token"))));
        done.collect::<Result<Vec<_>, _>>().map(|shares| shares.into_iter().flatten().collect())
    })
}

/// Signatures of the right form, each of another token.
fn swap_signatures(tokens: &[String]) -> Vec<String> {
    let signatures = tokens.iter().cycle().skip(1).filter_map(|token| token.rsplit('.').next());
    let signed = tokens.iter().filter_map(|token| Some(token.rsplit_once('.')?.0));
    signed.zip(signatures).map(|(signed, signature)| format!("{signed}.{signature}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_keeps_its_signature() {
        let tokens = ["a.b.1", "c.d.2", "e.f.3"].map(str::to_owned);
        assert_eq!(swap_signatures(&tokens), ["a.b.2", "c.d.3", "e.f.1"]);
    }

    #[test]
    fn as_many_as_are_asked_for() {
        for count in [1, 2, 7] {
            assert_eq!(many(count, || Ok(())).unwrap().len(), usize::try_from(count).unwrap());
        }
    }
}
