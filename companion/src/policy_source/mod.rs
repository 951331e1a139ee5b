//! Where the policy comes from that this companion delivers: files, which are watched, or a bundle server, which is
//! polled.
//!
//! Whatever is found is admitted here, by the same code as in the filter, before it is signed: what admission refuses
//! changes nothing, and the last good policy stays in force. So it does when the server cannot be reached.

mod files;
mod server;

use crate::policy_files::{LoadError, PolicyFiles};
use files::Stamps;
use scbte_core::bundle::{BundleError, Revision};
use scbte_core::envelope::{self, AuthoredPolicy};
use scbte_core::policy::{AdmissionError, Limits, Policy, RegoVersion};
use serde_json::Value;
pub(crate) use server::{BundleServer, FetchError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

/// How often files are looked at. They count once they are the same twice, so that a half-written one is never taken.
const POLL: Duration = Duration::from_millis(250);

/// Where the policy that decides comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file or a folder, laid out as OPA loads them, or a bundle.
    Files(PathBuf),
    /// A bundle on a server.
    Server(Box<BundleServer>),
}

/// Which policy to deliver.
#[derive(Clone, Debug)]
pub(crate) struct PolicySettings {
    /// The policy that decides.
    pub(crate) origin: Origin,
    /// One to watch beside it.
    pub(crate) shadow: Option<PathBuf>,
    /// The rule that decides.
    pub(crate) entrypoint: String,
    /// The language, where the bundle does not say.
    pub(crate) rego_version: Option<RegoVersion>,
    /// Bytes of data, at most: the filters' `policy.max_data`.
    pub(crate) max_data: usize,
}

/// Why what was found is not delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyTrouble {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] LoadError),
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It may not run.
    #[error("the policy is refused: {0}")]
    Refused(AdmissionError),
    /// It has no canonical form.
    #[error(transparent)]
    Canonical(#[from] BundleError),
}

/// An admitted policy, ready to be signed.
#[derive(Debug)]
pub(crate) struct ReadyPolicy {
    /// As the envelope carries it.
    pub(crate) json: Value,
    /// What it is.
    pub(crate) revision: Revision,
    /// The digest that filters report.
    pub(crate) digest: String,
}

/// What the policy source says at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyState {
    /// The last good policy.
    pub(crate) policy: Option<Arc<ReadyPolicy>>,
    /// Why what is there now is not it.
    pub(crate) trouble: Option<Arc<str>>,
}

impl PolicyState {
    /// What there is to say when no policy is there.
    pub(crate) fn words(&self) -> &str {
        self.trouble.as_deref().unwrap_or("none was found yet")
    }
}

impl PolicySettings {
    /// Puts together and admits what there is.
    fn ready(&self, policy: PolicyFiles) -> Result<ReadyPolicy, PolicyTrouble> {
        let policy = self.admit(policy)?;
        let shadow = self.shadow.as_deref().map(|path| load(path).and_then(|files| self.admit(files))).transpose()?;
        let json = envelope::policy_json(&policy, shadow.as_ref());
        Ok(ReadyPolicy { revision: Revision::of(&json)?, digest: policy.source.digest(), json })
    }

    fn admit(&self, files: PolicyFiles) -> Result<AuthoredPolicy, PolicyTrouble> {
        let source = files.source(&self.entrypoint, self.rego_version);
        let limits = Limits { max_data_bytes: self.max_data, ..Limits::default() };
        Policy::admit(&source, &limits).map_err(PolicyTrouble::Refused)?;
        let revision = Some(files.manifest.revision).filter(|revision| !revision.is_empty());
        Ok(AuthoredPolicy { source, revision })
    }

    fn stamps(&self) -> Stamps {
        let policy = match &self.origin {
            Origin::Files(path) => Some(path),
            Origin::Server(_) => None,
        };
        Stamps::of(policy.into_iter().chain(&self.shadow).map(PathBuf::as_path))
    }
}

fn load(path: &Path) -> Result<PolicyFiles, PolicyTrouble> {
    Ok(PolicyFiles::load(&[path.to_owned()], None)?)
}

/// Follows the policy's source.
pub(crate) struct PolicyWatch {
    settings: PolicySettings,
    state: PolicyState,
    /// The files as they were at the last look, and as they were when they were taken.
    seen: Stamps,
    taken: Option<Stamps>,
    /// The bundle that the server sent last.
    fetched: Option<Arc<[u8]>>,
}

impl PolicyWatch {
    /// A watch, with what is there now; a server is asked later.
    pub(crate) fn open(settings: PolicySettings) -> (Self, PolicyState) {
        let seen = settings.stamps();
        let mut watch = Self { settings, state: PolicyState::default(), seen, taken: None, fetched: None };
        watch.take();
        let state = watch.state.clone();
        (watch, state)
    }

    /// Publishes every change until nobody listens.
    pub(crate) async fn run(mut self, publish: watch::Sender<PolicyState>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !publish.is_closed() {
            poll.tick().await;
            let looked = self.look();
            if self.ask_server().await || looked {
                publish.send_replace(self.state.clone());
            }
        }
    }

    /// Looks at the files; whether they say something else now.
    fn look(&mut self) -> bool {
        let found = self.settings.stamps();
        let is_still = found == self.seen;
        self.seen = found;
        is_still && self.taken.as_ref() != Some(&self.seen) && self.take()
    }

    /// Asks the server, when it is time; whether there is something new to say.
    async fn ask_server(&mut self) -> bool {
        let Origin::Server(server) = &mut self.settings.origin else { return false };
        match server.poll().await {
            None | Some(Ok(None)) => false,
            Some(Ok(Some(bundle))) => {
                self.fetched = Some(bundle);
                self.take()
            }
            Some(Err(why)) => self.tell(&why.into()),
        }
    }

    fn take(&mut self) -> bool {
        self.taken = Some(self.seen.clone());
        match self.find().map(|files| files.map(|files| self.settings.ready(files)).transpose()) {
            Ok(Ok(Some(policy))) => {
                info!(digest = policy.digest, revision = %policy.revision, "policy admitted");
                self.state = PolicyState { policy: Some(Arc::new(policy)), trouble: None };
                true
            }
            Ok(Ok(None)) => false,
            Ok(Err(why)) | Err(why) => self.tell(&why),
        }
    }

    /// The policy's files, if they are there yet.
    fn find(&self) -> Result<Option<PolicyFiles>, PolicyTrouble> {
        match (&self.settings.origin, &self.fetched) {
            (Origin::Files(path), _) => load(path).map(Some),
            (Origin::Server(server), Some(bundle)) => Ok(Some(server.open(bundle)?)),
            (Origin::Server(_), None) => Ok(None),
        }
    }

    /// Says once what is wrong.
    fn tell(&mut self, why: &PolicyTrouble) -> bool {
        let why: Arc<str> = why.to_string().into();
        if self.state.trouble.as_ref() == Some(&why) {
            return false;
        }
        error!(%why, kept = self.state.policy.is_some(), "policy not taken; the last good one stays in force");
        self.state.trouble = Some(why);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ALLOW: &str = "package scbte\n\nallow := true\n";

    fn settings(policy: &Path) -> PolicySettings {
        PolicySettings {
            origin: Origin::Files(policy.to_owned()),
            shadow: None,
            entrypoint: "data.scbte.allow".into(),
            rego_version: None,
            max_data: 1 << 20,
        }
    }

    fn digest(state: &PolicyState) -> Option<String> {
        state.policy.as_ref().map(|policy| policy.digest.clone())
    }

    #[test]
    fn a_change_is_taken_once_it_keeps_still() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("allow.rego"), ALLOW).unwrap();
        fs::write(root.path().join("data.json"), "{}").unwrap();
        let (mut watch, first) = PolicyWatch::open(settings(root.path()));
        let first = digest(&first).unwrap();
        assert!(!watch.look() && !watch.look(), "nothing happened");

        fs::write(root.path().join("data.json"), r#"{"a": 1}"#).unwrap();
        assert!(!watch.look(), "it may still be written");
        assert!(watch.look());
        assert_ne!(digest(&watch.state).unwrap(), first);
    }

    #[test]
    fn what_is_refused_leaves_the_last_good_one() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("allow.rego");
        fs::write(&file, ALLOW).unwrap();
        let (mut watch, first) = PolicyWatch::open(settings(&file));
        for (text, part) in [
            ("package scbte\n\nallow if {", "allow.rego:3"),
            ("package other\n\nallow := true", "is refused"),
            ("package scbte\n\nallow if rand.intn(\"a\", 2) == 1", "rand.intn"),
        ] {
            fs::write(&file, text).unwrap();
            watch.look();
            assert!(watch.look(), "{text}");
            let trouble = watch.state.trouble.clone().unwrap();
            assert!(trouble.contains(part), "{text}: {trouble}");
            assert_eq!(digest(&watch.state), digest(&first), "{text}");
        }
        fs::remove_file(&file).unwrap();
        watch.look();
        assert!(watch.look() && watch.state.trouble.as_ref().unwrap().contains("No such file"));
        assert_eq!(digest(&watch.state), digest(&first));
        fs::write(&file, ALLOW).unwrap();
        watch.look();
        assert!(watch.look() && watch.state.trouble.is_none());
    }

    #[test]
    fn a_policy_to_watch_must_be_admitted_too() {
        let root = tempfile::tempdir().unwrap();
        let (file, shadow) = (root.path().join("allow.rego"), root.path().join("next.rego"));
        fs::write(&file, ALLOW).unwrap();
        fs::write(&shadow, "package scbte\n\nallow := false\n").unwrap();
        let (mut watch, first) = PolicyWatch::open(PolicySettings { shadow: Some(shadow.clone()), ..settings(&file) });
        assert!(first.policy.as_ref().unwrap().json["shadow"]["modules"]["next.rego"].is_string());
        fs::write(&shadow, "nonsense").unwrap();
        watch.look();
        assert!(watch.look() && watch.state.trouble.is_some() && digest(&watch.state) == digest(&first));
    }
}
