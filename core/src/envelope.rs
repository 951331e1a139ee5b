//! Envelopes: how trust bundles and policies reach the filter, signed by the companion's envelope key.
//!
//! A compact JWS (ES256). An envelope counts only when one of the pinned keys signed it, for this target, and not
//! ahead of the clock; which of two is in force, [`order`] says. Shared data and the control listener are open to
//! others, so nothing about an envelope is believed before it is verified, wherever it was found.

use crate::bundle::{BundleError, BundleSet, Revision};
use crate::json::{self, JsonError};
use crate::jwk::PublicKey;
use crate::jws::{Jws, JwsError};
use crate::policy::{Module, PolicySource, RegoVersion};
use crate::signature::{self, SignatureVerifier};
use crate::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Envelope keys that a filter may pin, at most (design: 4).
pub const MAX_KEYS: usize = 4;
/// How long an envelope may be used at all (`exp` − `iat`, design: 24 h).
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A header holds `alg`, `typ` and `kid`; it is read before anything is verified, so it must be small.
const MAX_HEADER: usize = 1024;
/// Nesting of a payload, at most: a policy's data may be deeper than a token.
const MAX_DEPTH: u8 = 64;

/// What an envelope carries.
pub trait Payload: Sized {
    /// The JWS `typ`.
    const TYPE: &'static str;

    /// Reads it from the envelope's members.
    fn read(members: &Map<String, Value>) -> Result<Self, EnvelopeError>;

    /// What it is, whoever signed it and whenever.
    fn revision(&self) -> Revision;
}

impl Payload for BundleSet {
    const TYPE: &'static str = "scbte-bundle+jwt";

    fn read(members: &Map<String, Value>) -> Result<Self, EnvelopeError> {
        let trust_domains = members.get("trust_domains").and_then(Value::as_object);
        let trust_domains = trust_domains.ok_or(EnvelopeError::Member("trust_domains", "an object"))?;
        Ok(Self::from_json(trust_domains)?)
    }

    fn revision(&self) -> Revision {
        Self::revision(self)
    }
}

/// A policy's sources and data as an envelope carries them (member `policy`).
#[derive(Debug)]
pub struct PolicyPayload {
    /// The policy that decides.
    pub policy: AuthoredPolicy,
    /// One that is evaluated beside it and decides nothing.
    pub shadow: Option<AuthoredPolicy>,
    revision: Revision,
}

/// A policy and what its author calls this version of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthoredPolicy {
    /// What to compile.
    pub source: PolicySource,
    /// Its author's name for the version, as in an OPA bundle's manifest.
    pub revision: Option<String>,
}

impl AuthoredPolicy {
    /// As an envelope carries it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut modules = Map::new();
        modules.extend(self.source.modules.iter().map(|module| (module.name.clone(), module.rego.as_str().into())));
        let mut json = Map::new();
        json.insert("modules".into(), modules.into());
        json.insert("data".into(), self.source.data.clone());
        json.insert("entrypoint".into(), self.source.entrypoint.as_str().into());
        json.insert("rego_version".into(), u8::from(self.source.rego_version == RegoVersion::V1).into());
        json.extend(self.revision.as_deref().map(|revision| ("revision".to_owned(), Value::from(revision))));
        Value::Object(json)
    }
}

/// The member `policy` of an envelope: the policy that decides, and one to watch beside it.
#[must_use]
pub fn policy_json(policy: &AuthoredPolicy, shadow: Option<&AuthoredPolicy>) -> Value {
    let mut json = policy.to_json();
    if let (Some(shadow), Value::Object(members)) = (shadow, &mut json) {
        members.insert("shadow".into(), shadow.to_json());
    }
    json
}

/// What policies are, whoever delivers them and whenever: their digests and their authors' names for the versions.
///
/// Not of the envelope's JSON: its canonical form writes every number as a double, so that two policies whose data
/// differ in a large integer would be one. A digest has numbers as they are written.
pub fn policy_revision(policy: &AuthoredPolicy, shadow: Option<&AuthoredPolicy>) -> Result<Revision, BundleError> {
    let one = |policy: &AuthoredPolicy| json!({"digest": policy.source.digest(), "revision": policy.revision});
    Revision::of(&json!({"policy": one(policy), "shadow": shadow.map(one)}))
}

impl Payload for PolicyPayload {
    const TYPE: &'static str = "scbte-policy+jwt";

    fn read(members: &Map<String, Value>) -> Result<Self, EnvelopeError> {
        let policy = members.get("policy").ok_or(EnvelopeError::Member("policy", "an object"))?;
        let mut raw = RawPolicy::deserialize(policy)?;
        let shadow = raw.shadow.take().map(|shadow| AuthoredPolicy::try_from(*shadow)).transpose()?;
        let policy = AuthoredPolicy::try_from(raw)?;
        Ok(Self { revision: policy_revision(&policy, shadow.as_ref())?, policy, shadow })
    }

    fn revision(&self) -> Revision {
        self.revision
    }
}

/// `{"modules": {name: Rego}, "data": {…}, "entrypoint": …, "rego_version": 0 or 1, "revision": …, "shadow": {…}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    modules: BTreeMap<String, String>,
    #[serde(default)]
    data: Map<String, Value>,
    entrypoint: String,
    rego_version: u8,
    revision: Option<String>,
    shadow: Option<Box<RawPolicy>>,
}

impl TryFrom<RawPolicy> for AuthoredPolicy {
    type Error = EnvelopeError;

    fn try_from(raw: RawPolicy) -> Result<Self, EnvelopeError> {
        if raw.shadow.is_some() {
            return Err(EnvelopeError::Member("policy.shadow.shadow", "left out"));
        }
        let rego_version = match raw.rego_version {
            0 => RegoVersion::V0,
            1 => RegoVersion::V1,
            _ => return Err(EnvelopeError::Member("policy.rego_version", "0 or 1")),
        };
        let modules = raw.modules.into_iter().map(|(name, rego)| Module { name, rego }).collect();
        let source = PolicySource { modules, data: Value::Object(raw.data), entrypoint: raw.entrypoint, rego_version };
        Ok(Self { source, revision: raw.revision })
    }
}

/// Whose envelopes are accepted, and for whom they must be.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The pinned public keys, 1 to [`MAX_KEYS`].
    pub keys: Vec<PublicKey>,
    /// What `target` must be.
    pub target: String,
    /// Whether envelopes of an embedded dev trust domain are accepted.
    pub allow_dev: bool,
    /// How far `iat` and `seq` may lie ahead of the clock.
    pub skew: Duration,
}

/// Why an envelope is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not a JWS of the right kind.
    #[error("not an envelope: {0}")]
    Jws(#[from] JwsError),
    /// No pinned key made the signature.
    #[error("the signature is by none of the pinned envelope keys")]
    BadSignature,
    /// The payload is not strict JSON.
    #[error("the payload is {0}")]
    Json(#[from] JsonError),
    /// A member is missing or of another type.
    #[error("`{0}` must be {1}")]
    Member(&'static str, &'static str),
    /// Meant for other filters.
    #[error("the envelope is for target `{found}`, this is `{expected}`")]
    Target {
        /// Its target.
        found: String,
        /// This filter's.
        expected: String,
    },
    /// From an embedded dev trust domain, which is not allowed here.
    #[error("the envelope comes from an embedded dev trust domain, which `trust.allow_dev` does not allow")]
    Dev,
    /// `exp` has passed.
    #[error("the envelope expired at {exp}, now it is {now}")]
    Expired {
        /// Its `exp`, seconds.
        exp: u64,
        /// The clock, seconds.
        now: u64,
    },
    /// `iat` or `seq` lies ahead of the clock.
    #[error("the envelope's `{member}` lies {ahead:?} ahead of the clock")]
    Ahead {
        /// `iat` or `seq`.
        member: &'static str,
        /// By how much.
        ahead: Duration,
    },
    /// The trust bundles in it do not parse.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// The policy in it does not have the right form.
    #[error("`policy`: {0}")]
    Policy(#[from] serde_json::Error),
}

impl EnvelopeError {
    /// The control API's status for it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadSignature | Self::Target { .. } | Self::Dev => 401,
            Self::Expired { .. } | Self::Ahead { .. } => 409,
            _ => 400,
        }
    }
}

/// A verified envelope.
#[derive(Clone, Debug)]
pub struct Envelope<P> {
    /// Signing time.
    pub iat: Timestamp,
    /// The end of its use.
    pub exp: Timestamp,
    /// Signing time in microseconds; grows with every envelope of one companion.
    pub seq: u64,
    /// What it carries.
    pub payload: P,
}

impl<P: Payload> Envelope<P> {
    /// Verifies an envelope: signature, target, time; then reads its payload.
    pub fn open(
        text: &str,
        trust: &Trust,
        verifier: &dyn SignatureVerifier,
        now: Timestamp,
    ) -> Result<Self, EnvelopeError> {
        if text.split('.').next().is_none_or(|header| header.len() > MAX_HEADER) {
            return Err(EnvelopeError::Member("header", "at most 1024 bytes"));
        }
        let jws = Jws::parse(text, &[P::TYPE])?;
        check_signature(&jws, trust, verifier)?;
        let members = members_of(&jws)?;
        check_target(&members, trust)?;
        check_dev(&members, trust)?;
        let envelope = Self {
            iat: Timestamp::from_secs(integer(&members, "iat")?),
            exp: Timestamp::from_secs(integer(&members, "exp")?),
            seq: integer(&members, "seq")?,
            payload: P::read(&members)?,
        };
        envelope.check_time(trust.skew, now)?;
        Ok(envelope)
    }

    fn check_time(&self, skew: Duration, now: Timestamp) -> Result<(), EnvelopeError> {
        if self.exp <= self.iat || self.exp > self.iat.plus(LIFETIME) {
            return Err(EnvelopeError::Member("exp", "later than `iat`, by at most 24 h"));
        }
        if self.exp <= now {
            return Err(EnvelopeError::Expired { exp: self.exp.secs(), now: now.secs() });
        }
        for (member, at) in [("iat", self.iat), ("seq", Timestamp::from_micros(self.seq))] {
            if at > now.plus(skew) {
                return Err(EnvelopeError::Ahead { member, ahead: at.since(now) });
            }
        }
        Ok(())
    }

    /// What its payload is.
    pub fn revision(&self) -> Revision {
        self.payload.revision()
    }
}

impl<P> Envelope<P> {
    /// How old it is: time since it was signed.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.iat)
    }

    /// Whether it may still be used: until min(`exp`, `iat` + `max_age`), and not when the clock jumped back before it.
    #[must_use]
    pub fn is_usable(&self, max_age: Duration, skew: Duration, now: Timestamp) -> bool {
        now < self.exp && now < self.iat.plus(max_age) && !self.is_ahead(skew, now)
    }

    /// Whether it was signed later than now, by more than the skew: then the clock jumped, and it orders nothing.
    #[must_use]
    pub fn is_ahead(&self, skew: Duration, now: Timestamp) -> bool {
        self.iat.max(Timestamp::from_micros(self.seq)) > now.plus(skew)
    }
}

/// How an envelope relates to the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It takes over.
    Newer,
    /// It is the same, byte for byte.
    Same,
    /// It is older, or another with the same `seq`.
    Conflict,
}

/// Orders by `seq`: `held` and `offered` are (`seq`, envelope text).
#[must_use]
pub fn order(held: (u64, &[u8]), offered: (u64, &[u8])) -> Order {
    match offered.0.cmp(&held.0) {
        std::cmp::Ordering::Greater => Order::Newer,
        std::cmp::Ordering::Equal if held.1 == offered.1 => Order::Same,
        _ => Order::Conflict,
    }
}

/// Tries the key that `kid` names, or all pinned ones when it names none.
fn check_signature(jws: &Jws<'_>, trust: &Trust, verifier: &dyn SignatureVerifier) -> Result<(), EnvelopeError> {
    let kid = jws.text("kid");
    let candidates =
        trust.keys.iter().take(MAX_KEYS).filter(|key| kid.is_none() || key.kid().is_none() || key.kid() == kid);
    let message = jws.signing_input.as_bytes();
    let mut verified =
        candidates.map(|key| signature::verify_es256(verifier, key.spki(), message, &jws.signature).is_ok());
    verified.any(|good| good).then_some(()).ok_or(EnvelopeError::BadSignature)
}

fn members_of(jws: &Jws<'_>) -> Result<Map<String, Value>, EnvelopeError> {
    match json::parse_within(&jws.payload, MAX_DEPTH)? {
        Value::Object(members) => Ok(members),
        _ => Err(EnvelopeError::Member("payload", "an object")),
    }
}

fn check_target(members: &Map<String, Value>, trust: &Trust) -> Result<(), EnvelopeError> {
    let found = members.get("target").and_then(Value::as_str).ok_or(EnvelopeError::Member("target", "a string"))?;
    if found != trust.target {
        return Err(EnvelopeError::Target { found: found.to_owned(), expected: trust.target.clone() });
    }
    Ok(())
}

fn check_dev(members: &Map<String, Value>, trust: &Trust) -> Result<(), EnvelopeError> {
    match members.get("dev") {
        None | Some(Value::Bool(false)) => Ok(()),
        Some(Value::Bool(true)) if trust.allow_dev => Ok(()),
        Some(Value::Bool(true)) => Err(EnvelopeError::Dev),
        Some(_) => Err(EnvelopeError::Member("dev", "a boolean")),
    }
}

/// An integer in 0…2^53, which every JSON parser reads alike.
fn integer(members: &Map<String, Value>, name: &'static str) -> Result<u64, EnvelopeError> {
    let number = members.get(name).and_then(Value::as_u64).filter(|number| *number <= 1 << 53);
    number.ok_or(EnvelopeError::Member(name, "an integer in 0…2^53"))
}

/// Signs envelopes: for the companion and for tests.
#[cfg(feature = "sign")]
pub mod sign {
    use super::{LIFETIME, Payload};
    use crate::jws;
    use crate::time::Timestamp;
    use p256::ecdsa::SigningKey;
    use serde_json::{Map, Value};

    /// What goes into an envelope beside its payload.
    #[derive(Clone, Debug)]
    pub struct Signing<'a> {
        /// Whom it is for.
        pub target: &'a str,
        /// Signing time.
        pub now: Timestamp,
        /// Signing time in microseconds, greater than any before.
        pub seq: u64,
        /// Whether it comes from an embedded dev trust domain.
        pub dev: bool,
        /// The envelope key's `kid`.
        pub kid: Option<&'a str>,
    }

    /// An envelope of kind `P` whose payload member (`trust_domains` or `policy`) is given.
    #[must_use]
    pub fn seal<P: Payload>(signing: &Signing<'_>, (member, payload): (&str, Value), key: &SigningKey) -> String {
        let mut members = Map::new();
        members.insert("iat".into(), signing.now.secs().into());
        members.insert("exp".into(), signing.now.plus(LIFETIME).secs().into());
        members.insert("seq".into(), signing.seq.into());
        members.insert("target".into(), signing.target.into());
        if signing.dev {
            members.insert("dev".into(), true.into());
        }
        members.insert(member.into(), payload);
        let mut header = Map::new();
        header.insert("typ".into(), P::TYPE.into());
        if let Some(kid) = signing.kid {
            header.insert("kid".into(), kid.into());
        }
        jws::sign::es256(header, Value::Object(members).to_string().as_bytes(), key)
    }
}
