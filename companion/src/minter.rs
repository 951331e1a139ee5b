//! Minting: a token signed with the SVID's own key, for at most five minutes and never longer than its chain lives.
//!
//! Nothing is minted that the own bundle would not accept: an SVID that nobody vouches for any more, or one with less
//! than ten seconds to live, gives an error instead of a token that fails elsewhere.
//!
//! Where the deployment wants it, a token is given out again for the same request until half its life is over; with
//! another SVID or other trust bundles everything kept is dropped.

use crate::identity::{Bundles, Identity, Svid};
use crate::token_request::{Binding, TokenRequest};
use lru::LruCache;
use scbte_core::base64;
use scbte_core::chain::{self, ChainError, ValidChain};
use scbte_core::context::Context;
use scbte_core::signature::InModule;
use scbte_core::spiffe_id::SpiffeId;
use scbte_core::time::Timestamp;
use scbte_core::token::{self, TokenRules};
use serde_json::{Map, Value};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a token lives, if its chain lives as long.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// A token with less than this to live would be refused on arrival.
const LEAST_LIFETIME: Duration = Duration::from_secs(10);

/// Tokens that are kept for reuse, at most.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Why no token is minted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MintError {
    /// There is no SVID, now or yet.
    #[error("there is no SVID to mint with: {0}")]
    NoSvid(Arc<str>),
    /// There is no trust bundle to check it against.
    #[error("there is no trust bundle to check the SVID against")]
    NoBundle,
    /// The SVID is not valid by the own bundle.
    #[error("the SVID is not valid: {error}{}", source_says(.trouble.as_deref()))]
    Chain {
        /// What is wrong with it.
        error: ChainError,
        /// What is wrong with the identity source.
        trouble: Option<Arc<str>>,
    },
    /// The SVID or an authority above it is about to expire.
    #[error("the SVID's chain ends in {left} s, a token needs {needed} s{}", source_says(.trouble.as_deref()), needed = LEAST_LIFETIME.as_secs())]
    ChainEnds {
        /// Seconds left.
        left: u64,
        /// What is wrong with the identity source.
        trouble: Option<Arc<str>>,
    },
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// Services would refuse it for its size.
    #[error("the token would have {found} bytes, services take {limit} by default; ask for a shorter `aud` or `path`")]
    TooLarge {
        /// Bytes it would have.
        found: usize,
        /// Bytes that are taken.
        limit: usize,
    },
}

/// Why there is no newer one.
fn source_says(trouble: Option<&str>) -> String {
    trouble.map(|trouble| format!("; the identity source: {trouble}")).unwrap_or_default()
}

/// A minted token. Its text is a credential: it must not get into a log.
#[derive(Clone)]
pub(crate) struct Minted {
    /// The token.
    pub(crate) token: String,
    /// When it was minted, seconds since the epoch.
    pub(crate) iat: u64,
    /// When it expires, seconds since the epoch.
    pub(crate) exp: u64,
    /// Whether it was given out before.
    pub(crate) reused: bool,
}

impl Minted {
    /// Whether half its life is still to come. Its minting must lie behind: the clock may have been set back.
    fn is_young(&self, now: Timestamp) -> bool {
        let half = self.iat + self.exp.saturating_sub(self.iat) / 2;
        (self.iat..half).contains(&now.secs())
    }
}

/// Mints with whatever the identity source says at the moment.
pub(crate) struct Minter {
    identity: watch::Receiver<Identity>,
    checked: Mutex<Option<Checked>>,
    reuse: bool,
}

/// A chain that was valid, for as long as SVID and bundles are the same; with the tokens of that time.
struct Checked {
    svid: Arc<Svid>,
    bundles: Arc<Bundles>,
    chain: ValidChain,
    /// Only where tokens are reused.
    kept: Option<LruCache<TokenRequest, Minted>>,
}

impl Minter {
    /// A minter for an identity source. `reuse`: a token may be given out again for the same request.
    pub(crate) fn new(identity: watch::Receiver<Identity>, reuse: bool) -> Self {
        Self { identity, checked: Mutex::new(None), reuse }
    }

    /// A token for a request: a new one, or the one that was minted for it lately.
    pub(crate) fn mint(&self, request: &TokenRequest, now: Timestamp) -> Result<Minted, MintError> {
        let identity = self.identity.borrow().clone();
        let (svid, bundles) = usable(&identity)?;
        let exp = expiry(self.check_identity(&identity, now)?, now, &identity)?;
        let mut checked = self.checked();
        let kept = checked.as_mut().and_then(|checked| checked.kept_of(svid, bundles));
        if let Some(found) = kept.and_then(|kept| kept.get(request)).filter(|found| found.is_young(now)) {
            return Ok(Minted { reused: true, ..found.clone() });
        }
        // Signing is what takes long.
        drop(checked);
        let minted = sign(request, svid, now, exp)?;
        if let Some(kept) = self.checked().as_mut().and_then(|checked| checked.kept_of(svid, bundles)) {
            kept.put(request.clone(), minted.clone());
        }
        Ok(minted)
    }

    /// Until when the identity's SVID is valid by its own bundle.
    pub(crate) fn check_identity(&self, identity: &Identity, now: Timestamp) -> Result<Timestamp, MintError> {
        let (svid, bundles) = usable(identity)?;
        let trouble = || identity.trouble.clone();
        self.check(svid, bundles, now).map_err(|error| MintError::Chain { error, trouble: trouble() })
    }

    fn checked(&self) -> MutexGuard<'_, Option<Checked>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when the SVID's chain is valid by the own bundle.
    fn check(&self, svid: &Arc<Svid>, bundles: &Arc<Bundles>, now: Timestamp) -> Result<Timestamp, ChainError> {
        let mut checked = self.checked();
        let known = checked.as_ref().filter(|known| known.is_of(svid, bundles) && now <= known.chain.not_after);
        if let Some(known) = known {
            return Ok(known.chain.not_after);
        }
        let chain = chain::validate(svid.chain(), bundles.set(), &InModule, now, TokenRules::default().clock_skew)?;
        let not_after = chain.not_after;
        let kept = self.reuse.then(|| LruCache::new(MAX_KEPT));
        *checked = Some(Checked { svid: Arc::clone(svid), bundles: Arc::clone(bundles), chain, kept });
        Ok(not_after)
    }
}

impl Checked {
    /// What is kept of this SVID and these bundles, and of no others.
    fn kept_of(&mut self, svid: &Arc<Svid>, bundles: &Arc<Bundles>) -> Option<&mut LruCache<TokenRequest, Minted>> {
        if self.is_of(svid, bundles) { self.kept.as_mut() } else { None }
    }

    fn is_of(&self, svid: &Arc<Svid>, bundles: &Arc<Bundles>) -> bool {
        Arc::ptr_eq(&self.svid, svid) && Arc::ptr_eq(&self.bundles, bundles)
    }
}

fn usable(identity: &Identity) -> Result<(&Arc<Svid>, &Arc<Bundles>), MintError> {
    let why = || identity.trouble.clone().unwrap_or_else(|| "none has arrived yet".into());
    let svid = identity.svid.as_ref().ok_or_else(|| MintError::NoSvid(why()))?;
    Ok((svid, identity.bundles.as_ref().ok_or(MintError::NoBundle)?))
}

fn sign(request: &TokenRequest, svid: &Svid, now: Timestamp, exp: u64) -> Result<Minted, MintError> {
    let iat = now.secs();
    let claims = claims(&Wanted {
        sub: svid.id(),
        aud: request.aud.as_str().into(),
        ctx: &request.ctx,
        iat,
        exp,
        jti: &new_jti()?,
        binding: &request.binding,
    });
    let token = token::sign::token(&claims, svid.chain(), svid.kid(), svid.key());
    check_size(&token)?;
    Ok(Minted { token, iat, exp, reused: false })
}

/// min(now + 300 s, the chain's end), if enough of it is left.
fn expiry(chain_ends: Timestamp, now: Timestamp, identity: &Identity) -> Result<u64, MintError> {
    let left = chain_ends.secs().saturating_sub(now.secs());
    if left < LEAST_LIFETIME.as_secs() {
        return Err(MintError::ChainEnds { left, trouble: identity.trouble.clone() });
    }
    Ok(now.secs() + left.min(TOKEN_LIFETIME.as_secs()))
}

fn check_size(token: &str) -> Result<(), MintError> {
    let limit = TokenRules::default().max_size;
    match token.len() {
        found if found > limit => Err(MintError::TooLarge { found, limit }),
        _ => Ok(()),
    }
}

/// A token's ID: 128 random bits.
pub(crate) fn new_jti() -> Result<String, getrandom::Error> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)?;
    Ok(base64::encode_url(bits))
}

/// What goes into a token.
pub(crate) struct Wanted<'a> {
    /// The caller.
    pub(crate) sub: &'a SpiffeId,
    /// The service or services: a string, or an array of strings.
    pub(crate) aud: Value,
    /// The operation.
    pub(crate) ctx: &'a Context,
    /// Minted at, seconds since the epoch.
    pub(crate) iat: u64,
    /// Expires at, seconds since the epoch.
    pub(crate) exp: u64,
    /// The token's ID.
    pub(crate) jti: &'a str,
    /// The request it is bound to.
    pub(crate) binding: &'a Binding,
}

/// The claims of a token.
pub(crate) fn claims(wanted: &Wanted<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".into(), wanted.sub.as_str().into());
    claims.insert("aud".into(), wanted.aud.clone());
    claims.insert("ctx".into(), wanted.ctx.as_str().into());
    claims.insert("iat".into(), wanted.iat.into());
    claims.insert("exp".into(), wanted.exp.into());
    claims.insert("jti".into(), wanted.jti.into());
    for (name, value) in [("htm", wanted.binding.method()), ("htp", wanted.binding.path())] {
        if let Some(value) = value {
            claims.insert(name.into(), value.into());
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_ca::{self, Authority};
    use scbte_core::audience::Audience;
    use scbte_core::cache::CacheSecret;
    use scbte_core::spiffe_id::TrustDomain;
    use scbte_core::verify::{Request, Verifier};

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn later(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn authority() -> Authority {
        Authority::generate(&TrustDomain::parse("cluster.local").unwrap(), NOW).unwrap()
    }

    fn bundles(authorities: &[&Authority]) -> Option<Arc<Bundles>> {
        let certificates: Vec<_> = authorities.iter().map(|authority| authority.certificate().clone()).collect();
        let bundle = dev_ca::spiffe_bundle(&certificates).unwrap();
        Some(Arc::new(Bundles::new(Map::from_iter([("cluster.local".to_owned(), bundle)])).unwrap()))
    }

    fn svid(authority: &Authority, lifetime: u64) -> Option<Arc<Svid>> {
        let id = SpiffeId::parse("spiffe://cluster.local/ns/production/sa/api-gateway").unwrap();
        Some(Arc::new(authority.issue(&id, NOW, Duration::from_secs(lifetime)).unwrap()))
    }

    fn request(body: &str) -> TokenRequest {
        TokenRequest::parse(body.as_bytes()).unwrap()
    }

    fn plain() -> TokenRequest {
        request(r#"{"aud":"api","ctx":"read:users"}"#)
    }

    fn minter(svid: Option<Arc<Svid>>, bundles: Option<Arc<Bundles>>) -> (watch::Sender<Identity>, Minter) {
        let (sender, identity) = watch::channel(Identity { svid, bundles, live: true, ..Identity::default() });
        (sender, Minter::new(identity, false))
    }

    #[test]
    fn a_minted_token_is_admitted_and_no_two_share_an_id() {
        let ca = authority();
        let (_identity, minter) = minter(svid(&ca, 3600), bundles(&[&ca]));
        let bound = request(r#"{"aud":"api","ctx":"read:users","method":"GET","path":"/api/v1/users"}"#);
        let (first, second) = (minter.mint(&bound, NOW).unwrap(), minter.mint(&bound, NOW).unwrap());
        assert_eq!(first.exp, NOW.secs() + 300);

        let rules = TokenRules { require_binding: true, ..TokenRules::default() };
        let audiences = vec![Audience::parse("api").unwrap()];
        let mut verifier = Verifier::new(rules, audiences, &InModule, CacheSecret::new([7; 16]));
        let mut jti = |minted: &Minted| {
            let facts = Request { method: "GET", path: "/api/v1/users", peer: None };
            let caller = verifier.verify(&minted.token, &facts, bundles(&[&ca]).unwrap().set(), NOW).unwrap();
            assert_eq!(caller.claims().sub.as_str(), "spiffe://cluster.local/ns/production/sa/api-gateway");
            assert_eq!(caller.claims().ctx.as_str(), "read:users");
            caller.claims().jti.clone()
        };
        let (first, second) = (jti(&first), jti(&second));
        assert_ne!(first, second);
        assert_eq!(base64::decode_url(&first).unwrap().len(), 16);
    }

    #[test]
    fn a_token_never_outlives_its_chain() {
        let ca = authority();
        // (the leaf's lifetime, when it is minted, what is left to the token)
        for (lifetime, at, expected) in [
            (3600, 0, Some(300)),
            (3600, 3300, Some(300)),
            (3600, 3301, Some(299)),
            (100, 90, Some(10)),
            (100, 91, None),
            (100, 100, None),
        ] {
            let (_identity, minter) = minter(svid(&ca, lifetime), bundles(&[&ca]));
            let minted = minter.mint(&plain(), later(at)).map(|minted| minted.exp - later(at).secs());
            match (minted, expected) {
                (Ok(left), Some(expected)) => assert_eq!(left, expected, "{lifetime} {at}"),
                (Err(MintError::ChainEnds { .. }), None) => {}
                (result, _) => panic!("{lifetime} {at}: {result:?}"),
            }
        }
    }

    #[test]
    fn what_the_own_bundle_does_not_accept_is_not_minted() {
        let (ca, other) = (authority(), authority());
        let (none, no_bundle) = (minter(None, bundles(&[&ca])), minter(svid(&ca, 60), None));
        assert!(matches!(none.1.mint(&plain(), NOW), Err(MintError::NoSvid(_))));
        assert!(matches!(no_bundle.1.mint(&plain(), NOW), Err(MintError::NoBundle)));
        let (_identity, expired) = minter(svid(&ca, 60), bundles(&[&ca]));
        assert!(matches!(expired.mint(&plain(), later(61)), Err(MintError::Chain { .. })));
        let (sender, troubled) = minter(svid(&ca, 60), bundles(&[&ca]));
        sender.send_modify(|identity| identity.trouble = Some("its key is not P-256".into()));
        assert!(troubled.mint(&plain(), later(1)).is_ok(), "the last good SVID does");
        for at in [55, 61] {
            let error = troubled.mint(&plain(), later(at)).err().unwrap().to_string();
            assert!(error.contains("; the identity source: its key is not P-256"), "{error}");
        }

        // The check is remembered, but not beyond a change.
        let good = svid(&ca, 3600);
        let (identity, minter) = minter(good.clone(), bundles(&[&ca]));
        assert!(minter.mint(&plain(), NOW).is_ok());
        identity.send_replace(Identity { svid: good, bundles: bundles(&[&other]), live: true, ..Identity::default() });
        assert!(matches!(minter.mint(&plain(), NOW), Err(MintError::Chain { .. })));
    }

    #[test]
    fn a_token_that_services_would_refuse_for_its_size_is_not_minted() {
        let ca = authority();
        let (_identity, minter) = minter(svid(&ca, 3600), bundles(&[&ca]));
        let path = "/a".repeat(4000);
        let long = request(&format!(r#"{{"aud":"api","ctx":"read:users","path":"{path}"}}"#));
        assert!(matches!(minter.mint(&long, NOW), Err(MintError::TooLarge { .. })));
    }

    #[test]
    fn a_token_is_reused_until_half_its_life_and_never_beyond_a_change() {
        let ca = authority();
        let (sender, identity) = watch::channel(Identity {
            svid: svid(&ca, 3600),
            bundles: bundles(&[&ca]),
            live: true,
            ..Identity::default()
        });
        let (reusing, plainly) = (Minter::new(identity.clone(), true), Minter::new(identity, false));
        let token = |at: u64, body: &str| reusing.mint(&request(body), later(at)).unwrap().token;
        let (users, orders) = (r#"{"aud":"api","ctx":"read:users"}"#, r#"{"aud":"api","ctx":"read:orders"}"#);
        let bound = r#"{"aud":"api","ctx":"read:users","method":"GET"}"#;

        let first = token(0, users);
        assert_eq!(token(149, users), first);
        assert!(token(1, orders) != first && token(1, bound) != first, "another request");
        assert_ne!(token(150, users), first, "half its life is over");
        let second = token(151, users);
        assert_ne!(token(100, users), second, "the clock was set back");
        let mint = |at: u64| plainly.mint(&plain(), later(at)).unwrap().token;
        assert_ne!(mint(0), mint(0), "nobody asked for reuse");

        let before = token(200, users);
        sender.send_modify(|identity| identity.svid = svid(&ca, 3600));
        let renewed = token(200, users);
        assert_ne!(renewed, before, "another SVID");
        sender.send_modify(|identity| identity.bundles = bundles(&[&ca, &authority()]));
        assert_ne!(token(200, users), renewed, "other trust bundles");
        sender.send_modify(|identity| identity.svid = None);
        assert!(reusing.mint(&plain(), later(200)).is_err(), "withdrawn");
    }
}
