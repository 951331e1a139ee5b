//! A call from end to end: a chain, a token, the service's rules, the request. Good as it comes.

use super::key::Key;
use super::pki::{Recipe, WORKLOAD};
use super::verifier::Counting;
use super::{NOW, SKEW, now};
use p256::ecdsa::signature::Signer as _;
use scbte_core::audience::Audience;
use scbte_core::base64;
use scbte_core::bundle::BundleSet;
use scbte_core::cache::CacheSecret;
use scbte_core::time::Timestamp;
use scbte_core::token::TokenRules;
use scbte_core::verify::{Caller, Request, Verifier, VerifyError};
use serde_json::{Value, json};

/// The audience of the service that is called.
pub(crate) const AUDIENCE: &str = "api.production.svc.cluster.local";

/// All that decides whether a call is authenticated.
pub(crate) struct Scene {
    pub(crate) recipe: Recipe,
    /// The service's trust bundles, when they are not the recipe's.
    pub(crate) bundles: Option<BundleSet>,
    /// The header without `x5c`.
    pub(crate) header: Value,
    pub(crate) claims: Value,
    /// Changes `x5c`.
    pub(crate) x5c: fn(&mut Vec<String>),
    /// Changes the JSON of header and claims before it is signed.
    pub(crate) json: fn(&mut String, &mut String),
    /// The key that signs, when it is not the leaf's.
    pub(crate) signer: Option<Key>,
    /// Changes the token's three parts (base64url) after it is signed.
    pub(crate) parts: fn(&mut Vec<String>),
    pub(crate) rules: TokenRules,
    pub(crate) audiences: Vec<&'static str>,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) peer: Option<Option<&'static str>>,
    pub(crate) now: Timestamp,
}

impl Scene {
    /// A call that is authenticated.
    pub(crate) fn good() -> Self {
        Self {
            recipe: Recipe::good(),
            bundles: None,
            header: json!({"alg": "ES256", "typ": "scbte+jwt", "kid": "a hint"}),
            claims: json!({"sub": WORKLOAD, "aud": AUDIENCE, "ctx": "read:users", "iat": NOW, "exp": NOW + 300, "jti": "id-1"}),
            x5c: |_| {},
            json: |_, _| {},
            signer: None,
            parts: |_| {},
            rules: TokenRules { clock_skew: SKEW, ..TokenRules::default() },
            audiences: vec![AUDIENCE],
            method: "GET",
            path: "/api/v1/users",
            peer: None,
            now: now(),
        }
    }

    /// A good call with one thing changed.
    pub(crate) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut scene = Self::good();
        change(&mut scene);
        scene
    }

    /// The token.
    pub(crate) fn token(&self) -> String {
        let mut x5c: Vec<_> = self.recipe.chain().iter().map(base64::encode_standard).collect();
        (self.x5c)(&mut x5c);
        let mut header = self.header.clone();
        if header.get("x5c").is_none() {
            header["x5c"] = x5c.into();
        }
        let (mut header, mut claims) = (header.to_string(), self.claims.to_string());
        (self.json)(&mut header, &mut claims);
        let mut parts = signed(&header, &claims, self.signer.as_ref().unwrap_or(&self.recipe.leaf.key));
        (self.parts)(&mut parts);
        parts.join(".")
    }

    /// The service's trust bundles.
    pub(crate) fn bundles(&self) -> BundleSet {
        self.bundles.clone().unwrap_or_else(|| self.recipe.bundles())
    }

    /// The service's verifier, its caches empty.
    pub(crate) fn verifier(&self, signatures: &'static Counting) -> Verifier {
        let audiences = self.audiences.iter().map(|name| Audience::parse(name).unwrap()).collect();
        Verifier::new(self.rules.clone(), audiences, signatures, CacheSecret::new([7; 16]))
    }

    /// The request.
    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: self.method, path: self.path, peer: self.peer }
    }

    /// Verifies the call with a new verifier; what it says, and how many signature checks it cost.
    pub(crate) fn verify(&self) -> (Result<Caller, VerifyError>, usize) {
        let signatures = Counting::truthful();
        let outcome = self.verifier(signatures).verify(&self.token(), &self.request(), &self.bundles(), self.now);
        (outcome, signatures.asked())
    }
}

/// The three parts of a JWS with just these bytes as header and payload; ES256, whatever the header says.
pub(crate) fn signed(header: &str, payload: &str, key: &Key) -> Vec<String> {
    let (header, payload) = (base64::encode_url(header), base64::encode_url(payload));
    let signature: p256::ecdsa::Signature = key.signing().sign(format!("{header}.{payload}").as_bytes());
    vec![header, payload, base64::encode_url(signature.to_bytes())]
}
