//! From a token's text to the caller it proves: parse, look into the caches, validate the chain, check the signature.
//!
//! Only this module makes a [`Caller`], and a verdict other than a denial needs one: no unverified claim reaches a
//! decision. What failed is never remembered. The caches hang on the bundle set's revision and are emptied
//! when it changes; a remembered token is still checked for time, audience and binding on each request.
//!
//! All tokens of one minter have the same header. Once a signature has shown whose it is, its chain is remembered under
//! it, too, and it is neither decoded nor parsed again; other headers with this chain cost no chain validation either.

use crate::audience::Audience;
use crate::base64;
use crate::bundle::{BundleSet, Revision};
use crate::cache::{Cache, CacheSecret};
use crate::certificate::CertificateError;
use crate::chain::{self, ChainError, ValidChain};
use crate::jws::Parts;
use crate::reason::Reason;
use crate::signature::{self, BadSignature, SignatureVerifier};
use crate::spiffe_id::SpiffeId;
use crate::time::Timestamp;
use crate::token::{self, Claims, TokenError, TokenRules};
use std::num::NonZeroUsize;
use std::rc::Rc;

/// Tokens remembered per root context.
pub const TOKEN_CACHE_CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Longest claims that are remembered, in bytes of JSON. What is checked of them is held twice, in at most
/// [`MAX_AUDIENCES`](crate::audience::MAX_AUDIENCES) and a few texts, so this and the capacity bound the cache to 80 MiB.
pub const MAX_REMEMBERED_CLAIMS: usize = 8 * 1024;
/// Chains remembered per root context.
pub const CHAIN_CACHE_CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Why a token does not prove a caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token breaks a rule of its own.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// Its chain does not lead to an authority.
    #[error("{0}")]
    Chain(#[from] ChainError),
    /// `sub` is not the leaf's SPIFFE ID.
    #[error("`sub` is `{sub}`, the certificate is for `{leaf}`")]
    SubjectMismatch {
        /// The claim.
        sub: SpiffeId,
        /// The leaf's URI SAN.
        leaf: SpiffeId,
    },
    /// The leaf's key did not sign the token.
    #[error("the token's signature does not verify with the leaf's key")]
    BadSignature(#[from] BadSignature),
    /// The TLS peer is another workload, or none is known.
    #[error("the TLS peer is {found}, the token's subject is `{sub}`")]
    PeerMismatch {
        /// The peer's SPIFFE ID, or that there is none.
        found: String,
        /// The claim.
        sub: SpiffeId,
    },
}

impl VerifyError {
    /// The reason code for it.
    #[must_use]
    #[inline]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Token(error) => error.reason(),
            Self::Chain(error) => error.reason(),
            Self::SubjectMismatch { .. } => Reason::SubjectMismatch,
            Self::BadSignature(_) => Reason::BadSignature,
            Self::PeerMismatch { .. } => Reason::PeerMismatch,
        }
    }

    /// Whether a newer trust bundle could change the answer.
    #[must_use]
    pub fn is_unknown_authority(&self) -> bool {
        matches!(self, Self::Chain(error) if error.is_unknown_authority())
    }
}

/// What of a request a token is held against.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// When the token is to be bound to its TLS peer: the peer's one URI SAN, if it has one.
    pub peer: Option<Option<&'a str>>,
}

/// A token whose chain and signature are good for one revision of the bundle set, until [`VerifiedToken::not_after`].
#[derive(Debug)]
pub struct VerifiedToken {
    claims: Claims,
    not_after: Timestamp,
}

impl VerifiedToken {
    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The earliest notAfter of its chain and anchor.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// Who calls: a verified token that fits this request.
#[derive(Clone, Debug)]
pub struct Caller {
    token: Rc<VerifiedToken>,
    audience: Audience,
    source: Source,
}

/// Where a verified token came from, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The verified-token cache.
    TokenCache,
    /// Verified now, its chain remembered.
    ChainCache,
    /// Verified now, chain and all.
    Full,
}

impl Source {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenCache => "hit",
            Self::ChainCache => "chain_hit",
            Self::Full => "miss",
        }
    }
}

impl Caller {
    /// The claims of the token.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.token.claims
    }

    /// This service's audience that the token names.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audience.as_str()
    }

    /// How the token was verified.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }
}

/// Verifies tokens for one service.
pub struct Verifier {
    rules: TokenRules,
    audiences: Vec<Audience>,
    signatures: &'static dyn SignatureVerifier,
    tokens: Cache<Rc<VerifiedToken>>,
    /// By the header, as it was sent.
    headers: Cache<Rc<ValidChain>>,
    /// By `x5c`.
    chains: Cache<Rc<ValidChain>>,
    revision: Option<Revision>,
}

impl Verifier {
    /// A verifier with empty caches.
    #[must_use]
    #[inline]
    pub fn new(
        rules: TokenRules,
        audiences: Vec<Audience>,
        signatures: &'static dyn SignatureVerifier,
        secret: CacheSecret,
    ) -> Self {
        Self {
            rules,
            audiences,
            signatures,
            tokens: Cache::new(secret, TOKEN_CACHE_CAPACITY),
            headers: Cache::new(secret, CHAIN_CACHE_CAPACITY),
            chains: Cache::new(secret, CHAIN_CACHE_CAPACITY),
            revision: None,
        }
    }

    /// Verifies a token for a request.
    #[inline]
    pub fn verify(
        &mut self,
        text: &str,
        request: &Request<'_>,
        bundles: &BundleSet,
        now: Timestamp,
    ) -> Result<Caller, VerifyError> {
        self.forget_other_revisions(bundles.revision());
        token::check_size(text, &self.rules)?;
        let key = self.tokens.key(&[text]);
        if let Some(token) = self.recall(key, now) {
            let audience = self.check_request(&token.claims, request, now)?;
            return Ok(Caller { token, audience, source: Source::TokenCache });
        }
        let caller = self.verify_anew(text, request, bundles, now)?;
        // A caller may make its claims long; then it pays for each verification, not this service with its memory.
        if caller.token.claims.text.len() <= MAX_REMEMBERED_CLAIMS {
            self.tokens.put(key, Rc::clone(&caller.token));
        }
        Ok(caller)
    }

    /// Verifies a token that is not remembered.
    #[inline]
    fn verify_anew(
        &mut self,
        text: &str,
        request: &Request<'_>,
        bundles: &BundleSet,
        now: Timestamp,
    ) -> Result<Caller, VerifyError> {
        let parts = Parts::split(text).map_err(TokenError::from)?;
        let header_key = self.headers.key(&[parts.header]);
        let chain = match valid(self.headers.get(header_key), now) {
            Some(chain) => Chain::OfHeader(chain),
            None => Chain::Claimed(token::x5c(&parts, &self.rules)?),
        };
        let claims = token::claims(&parts, &self.rules)?;
        let signature = parts.signature().map_err(TokenError::from)?;
        // What costs little comes first: a flood of expired tokens pays for no signature.
        let audience = self.check_request(&claims, request, now)?;
        let is_new_header = matches!(chain, Chain::Claimed(_));
        let (chain, source) = match chain {
            Chain::OfHeader(chain) => (chain, Source::ChainCache),
            Chain::Claimed(x5c) => self.chain(&x5c, bundles, now)?,
        };
        check_subject(&claims, &chain)?;
        signature::verify_es256(self.signatures, &chain.spki, parts.signing_input.as_bytes(), &signature)?;
        let token = Rc::new(VerifiedToken { claims, not_after: chain.not_after });
        if is_new_header {
            self.headers.put(header_key, chain);
        }
        Ok(Caller { token, audience, source })
    }

    /// Tokens and chains remembered now.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        (self.tokens.len(), self.chains.len())
    }

    /// Headers remembered now.
    #[must_use]
    pub fn remembered_headers(&self) -> usize {
        self.headers.len()
    }

    #[inline]
    fn forget_other_revisions(&mut self, revision: Revision) {
        if self.revision != Some(revision) {
            self.tokens.clear();
            self.headers.clear();
            self.chains.clear();
            self.revision = Some(revision);
        }
    }

    #[inline]
    fn recall(&mut self, key: u128, now: Timestamp) -> Option<Rc<VerifiedToken>> {
        let token = self.tokens.get(key)?;
        if now.secs() <= token.not_after.secs() {
            return Some(Rc::clone(token));
        }
        self.tokens.remove(key);
        None
    }

    /// What is checked on each request, remembered token or not.
    #[inline]
    fn check_request(&self, claims: &Claims, request: &Request<'_>, now: Timestamp) -> Result<Audience, VerifyError> {
        claims.check_time(self.rules.clock_skew, now)?;
        let audience = claims.check_audience(&self.audiences)?;
        claims.check_binding(request.method, request.path, self.rules.require_binding)?;
        check_peer(&claims.sub, request.peer)?;
        Ok(audience.clone())
    }

    #[inline]
    fn chain(
        &mut self,
        x5c: &[String],
        bundles: &BundleSet,
        now: Timestamp,
    ) -> Result<(Rc<ValidChain>, Source), ChainError> {
        let key = self.chains.key(x5c);
        if let Some(chain) = valid(self.chains.get(key), now) {
            return Ok((chain, Source::ChainCache));
        }
        let chain = chain::validate(&decode(x5c)?, bundles, self.signatures, now, self.rules.clock_skew)?;
        let chain = Rc::new(chain);
        self.chains.put(key, Rc::clone(&chain));
        Ok((chain, Source::Full))
    }
}

/// What a token's header leads to.
enum Chain {
    /// The chain that is remembered under it.
    OfHeader(Rc<ValidChain>),
    /// `x5c`, of which nothing is known yet.
    Claimed(Vec<String>),
}

/// A remembered chain that has not ended.
fn valid(chain: Option<&Rc<ValidChain>>, now: Timestamp) -> Option<Rc<ValidChain>> {
    chain.filter(|chain| now.secs() <= chain.not_after.secs()).map(Rc::clone)
}

#[inline]
fn decode(x5c: &[String]) -> Result<Vec<Vec<u8>>, ChainError> {
    if x5c.len() > chain::MAX_CERTIFICATES {
        return Err(ChainError::Length { found: x5c.len() });
    }
    let der = |(index, text): (usize, &String)| {
        base64::decode_standard(text).map_err(|error| ChainError::Certificate {
            position: index.saturating_add(1),
            source: CertificateError::Unparseable(error.to_string()),
        })
    };
    x5c.iter().enumerate().map(der).collect()
}

#[inline]
fn check_subject(claims: &Claims, chain: &ValidChain) -> Result<(), VerifyError> {
    if claims.sub != chain.id {
        return Err(VerifyError::SubjectMismatch { sub: claims.sub.clone(), leaf: chain.id.clone() });
    }
    Ok(())
}

#[inline]
fn check_peer(sub: &SpiffeId, peer: Option<Option<&str>>) -> Result<(), VerifyError> {
    match peer {
        None => Ok(()),
        Some(Some(id)) if id == sub.as_str() => Ok(()),
        Some(other) => {
            let found = other.map_or_else(|| "not known".to_owned(), |id| format!("`{id}`"));
            Err(VerifyError::PeerMismatch { found, sub: sub.clone() })
        }
    }
}
