//! Who this companion is and whom it trusts: what an identity source delivers.
//!
//! A source publishes whole [`Identity`] values through a channel; everybody else looks at the newest. So a token is
//! always minted from an SVID and checked against bundles of the same moment.

use crate::dev_source::DevSource;
use crate::workload_api::WorkloadApi;
use p256::ecdsa::SigningKey;
use scbte_core::bundle::{BundleError, BundleSet, Revision};
use scbte_core::certificate::{CertificateError, Leaf, Validity};
use scbte_core::jwk::{JwkError, PublicKey};
use scbte_core::signature::{KeyKind, spki};
use scbte_core::spiffe_id::SpiffeId;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Why a chain and a key make no SVID.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SvidError {
    /// No certificate at all.
    #[error("the chain is empty")]
    Empty,
    /// The leaf is no X.509-SVID's.
    #[error("the leaf: {0}")]
    Leaf(#[from] CertificateError),
    /// The key belongs to another certificate.
    #[error("the private key is not the leaf's")]
    WrongKey,
    /// Not an ECDSA key on P-256.
    #[error(
        "its key is not P-256, and tokens are ES256 only: in the SPIRE agent's configuration set workload_x509_svid_key_type = \"ec-p256\""
    )]
    NotP256,
    /// The key is no point on the curve; cannot be for a key that exists.
    #[error("{0}")]
    Key(#[from] JwkError),
}

/// An X.509-SVID with its private key.
pub(crate) struct Svid {
    id: SpiffeId,
    chain: Vec<Vec<u8>>,
    key: SigningKey,
    kid: String,
    validity: Validity,
}

impl Svid {
    /// An SVID of a chain (DER, leaf first) and the leaf's key. Whether anybody vouches for it is checked on minting.
    pub(crate) fn new(chain: Vec<Vec<u8>>, key: SigningKey) -> Result<Self, SvidError> {
        let leaf = Leaf::parse(chain.first().ok_or(SvidError::Empty)?)?;
        let point = key.verifying_key().to_sec1_point(false);
        if spki(KeyKind::P256, point.as_bytes()).ok().as_ref() != Some(&leaf.spki) {
            return Err(SvidError::WrongKey);
        }
        let kid = PublicKey::from_point(point.as_bytes())?.thumbprint();
        Ok(Self { id: leaf.id, chain, key, kid, validity: leaf.validity })
    }

    /// Its SPIFFE ID.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The certificates, DER, leaf first.
    pub(crate) fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The leaf's key.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The RFC 7638 thumbprint of the leaf's key.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// When the leaf is valid.
    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }
}

impl std::fmt::Debug for Svid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Svid").field("id", &self.id).field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// The trust bundles of all trust domains: as they go into an envelope, and as chains are checked against them.
#[derive(Debug)]
pub(crate) struct Bundles {
    json: Map<String, Value>,
    set: BundleSet,
}

impl Bundles {
    /// Reads `{trust domain: SPIFFE bundle}`.
    pub(crate) fn new(json: Map<String, Value>) -> Result<Self, BundleError> {
        let set = BundleSet::from_json(&json)?;
        Ok(Self { json, set })
    }

    /// As JSON, for an envelope.
    pub(crate) fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// For chain validation.
    pub(crate) fn set(&self) -> &BundleSet {
        &self.set
    }

    /// What they are, whoever signs them and whenever.
    pub(crate) fn revision(&self) -> Revision {
        self.set.revision()
    }

    /// Whether not even one trust domain is in it. A trust domain without authorities counts: its bundle is a fact.
    pub(crate) fn is_empty(&self) -> bool {
        self.json.is_empty()
    }
}

/// What the identity source says at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// The SVID to mint with, if there is one.
    pub(crate) svid: Option<Arc<Svid>>,
    /// The trust bundles, if any were delivered yet.
    pub(crate) bundles: Option<Arc<Bundles>>,
    /// Whether the source's stream is alive: only then is what it said re-signed.
    pub(crate) live: bool,
    /// Since when it is not, if it ever was.
    pub(crate) lost_at: Option<Timestamp>,
    /// What is wrong with the source, or with the SVID that it has.
    pub(crate) trouble: Option<Arc<str>>,
}

impl Identity {
    /// The source is alive and everything it says is usable.
    pub(crate) fn revive(&mut self) {
        (self.live, self.lost_at, self.trouble) = (true, None, None);
    }

    /// The source cannot be heard any more; what it said last stays.
    pub(crate) fn lose(&mut self, why: &str, now: Timestamp) {
        if std::mem::take(&mut self.live) {
            self.lost_at = Some(now);
        }
        self.trouble = Some(why.into());
    }

    /// How old what it said last is, seconds: 0 while the source is alive, nothing when it never was.
    pub(crate) fn age(&self, now: Timestamp) -> Option<u64> {
        match self.live {
            true => Some(0),
            false => self.lost_at.map(|at| now.since(at).as_secs()),
        }
    }
}

/// A wish to know whether the source still says what it said last: answered once it has been asked anew, dropped when it
/// does not answer.
pub(crate) type Check = oneshot::Sender<()>;

/// Where identity comes from.
pub(crate) enum Source {
    /// The embedded dev trust domain.
    Dev(Box<DevSource>),
    /// The SPIFFE Workload API.
    WorkloadApi(WorkloadApi),
}

impl Source {
    /// Publishes the newest identity and answers checks until nobody listens.
    pub(crate) async fn run(self, identity: watch::Sender<Identity>, checks: mpsc::Receiver<Check>) {
        match self {
            Self::Dev(source) => source.run(identity, checks).await,
            Self::WorkloadApi(source) => source.run(identity, checks).await,
        }
    }
}
