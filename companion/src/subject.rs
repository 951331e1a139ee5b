//! What a companion signs and delivers: trust bundles and policies, under the same rules, but for one.
//!
//! A companion whose source is in trouble may be behind others, and must not bring back what theirs have taken out. Of a
//! trust bundle it signs nothing then, and the last envelope ages out. A policy must not age out because a file was
//! spoilt or a server is away: its last good one is signed again each minute. So the time of a signature says nothing of
//! the age of what was signed; what does is the moment at which the policy was last known to be what its source has. An
//! Envoy with another policy that was signed after that moment has it from a companion that may know better, and is left
//! alone: until the source is heard from again, which for a bundle server that is well is the next time it is asked. An
//! Envoy that has this one, an older one or none gets it, as ever. (A companion that is polled does not see what Envoys
//! have: those that serve the same Envoys so should have the same source.)

use crate::control_client::{Held, TargetStatus};
use crate::identity::Identity;
use crate::policy_source::PolicyState;
use scbte_core::bundle::{BundleSet, Revision};
use scbte_core::envelope::{Payload, PolicyPayload};
use scbte_core::time::Timestamp;
use serde_json::Value;

/// One of the two, as messages, metrics and paths call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Trust bundles.
    Bundle,
    /// A policy.
    Policy,
}

impl Kind {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bundle => "trust bundle",
            Self::Policy => "policy",
        }
    }

    /// Where the control API takes it, and the admin API has it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Bundle => "/v1/bundle",
            Self::Policy => "/v1/policy",
        }
    }

    /// The payload's member of an envelope.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Bundle => "trust_domains",
            Self::Policy => "policy",
        }
    }

    /// The last `seq` in the state folder.
    pub(crate) const fn seq_file(self) -> &'static str {
        match self {
            Self::Bundle => "envelope.seq",
            Self::Policy => "policy.seq",
        }
    }
}

/// Something that is signed whenever it changes, and each minute while it may be.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// What filters read it as.
    type Payload: Payload;
    /// What it is.
    const KIND: Kind;

    /// Whether its source is alive and has nothing else: only then is it worth a contest.
    fn is_live(&self) -> bool;

    /// Whether it may be signed, again too.
    fn may_sign(&self) -> bool {
        self.is_live()
    }

    /// When it was last known to be what its source has, where that is neither now nor the time of its signature.
    fn known(&self) -> Option<Timestamp> {
        None
    }

    /// What it is at the moment, whoever signs it and whenever; nothing when there is nothing to sign.
    fn revision(&self) -> Option<Revision>;

    /// The envelope's member.
    fn payload(&self) -> Option<Value>;

    /// What an Envoy has of this kind.
    fn held(status: &TargetStatus) -> &Held;
}

impl Subject for Identity {
    type Payload = BundleSet;
    const KIND: Kind = Kind::Bundle;

    fn is_live(&self) -> bool {
        self.live
    }

    /// Never of an empty set: an Envoy with it would trust nobody.
    fn revision(&self) -> Option<Revision> {
        self.bundles.as_ref().filter(|bundles| !bundles.is_empty()).map(|bundles| bundles.revision())
    }

    fn payload(&self) -> Option<Value> {
        self.bundles.as_ref().map(|bundles| bundles.json().clone().into())
    }

    fn held(status: &TargetStatus) -> &Held {
        &status.bundle
    }
}

impl Subject for PolicyState {
    type Payload = PolicyPayload;
    const KIND: Kind = Kind::Policy;

    fn is_live(&self) -> bool {
        self.is_current()
    }

    /// The last good policy is in force for as long as this companion runs: where it came from need not be up for it.
    fn may_sign(&self) -> bool {
        self.policy.is_some()
    }

    fn known(&self) -> Option<Timestamp> {
        self.known
    }

    fn revision(&self) -> Option<Revision> {
        self.policy.as_ref().map(|policy| policy.revision)
    }

    fn payload(&self) -> Option<Value> {
        self.policy.as_ref().map(|policy| policy.json.clone())
    }

    fn held(status: &TargetStatus) -> &Held {
        &status.policy
    }
}
