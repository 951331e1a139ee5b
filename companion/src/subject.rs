//! What a companion signs and delivers: trust bundles and policies, under the same rules.

use crate::control_client::{Held, TargetStatus};
use crate::identity::Identity;
use crate::policy_source::PolicyState;
use scbte_core::bundle::{BundleSet, Revision};
use scbte_core::envelope::{Payload, PolicyPayload};
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

/// Something that is signed whenever it changes, and each minute while its source is alive.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// What filters read it as.
    type Payload: Payload;
    /// What it is.
    const KIND: Kind;

    /// Whether its source is alive: only then is what it said signed again, and only then is it worth a contest.
    fn is_live(&self) -> bool;

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

    /// The last good policy is in force for as long as this companion runs: where it came from need not be up for it.
    fn is_live(&self) -> bool {
        self.policy.is_some()
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
