//! Where the policy comes from that this companion delivers: files, which are watched, or a bundle server, which is
//! polled.
//!
//! Whatever is found is admitted here, by the same code as in the filter, before it is signed: what admission refuses
//! changes nothing, and the last good policy stays in force. So it does when the server cannot be reached. A policy to
//! watch that is refused is left out, and holds up nothing. Files are read, unpacked and compiled on threads of their own:
//! the one that mints tokens does not wait for them.

mod files;
mod server;

use crate::clock;
use crate::policy_bundle::VerificationKey;
use crate::policy_files::{LoadError, PolicyFiles};
use files::Watched;
use scbte_core::bundle::{BundleError, Revision};
use scbte_core::envelope::{self, AuthoredPolicy};
use scbte_core::policy::{AdmissionError, Limits, Policy, RegoVersion};
use scbte_core::time::Timestamp;
use serde_json::Value;
use server::Fetched;
pub(crate) use server::{BundleServer, BundleUrl, INTERVALS, NotAUrl};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{error, info};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Where the policy that decides comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file or a folder, laid out as OPA loads them, or a bundle. With a key, a bundle that is signed with it.
    Files(PathBuf, Option<VerificationKey>),
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
    /// What both are held to.
    pub(crate) rules: PolicyRules,
}

/// What a policy is held to.
#[derive(Clone, Debug)]
pub(crate) struct PolicyRules {
    /// The rule that decides.
    pub(crate) entrypoint: String,
    /// The language, where the bundle does not say.
    pub(crate) rego_version: Option<RegoVersion>,
    /// Bytes of data, at most: the filters' `policy.max_data`.
    pub(crate) max_data: usize,
}

/// Why what was found is not delivered.
#[derive(Debug, thiserror::Error)]
enum PolicyTrouble {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] LoadError),
    /// It may not run.
    #[error("the policy is refused: {}", brief(.0))]
    Refused(AdmissionError),
    /// It has no canonical form.
    #[error(transparent)]
    Canonical(#[from] BundleError),
}

/// In one line: it stands in logs and in JSON.
fn brief(error: &AdmissionError) -> String {
    match &error.place {
        Some(place) => format!("{place}: {}", error.refusal),
        None => error.refusal.to_string(),
    }
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
    /// When the policy was last known to be what its source has; nothing, while that is watched and well.
    pub(crate) known: Option<Timestamp>,
}

impl PolicyState {
    /// What there is to say when no policy is there.
    pub(crate) fn words(&self) -> &str {
        self.trouble.as_deref().unwrap_or("none was found yet")
    }

    /// Whether the newest policy that was found is there.
    pub(crate) fn is_current(&self) -> bool {
        self.policy.is_some() && self.trouble.is_none()
    }
}

impl PolicyRules {
    fn admit(&self, files: PolicyFiles) -> Result<AuthoredPolicy, PolicyTrouble> {
        let source = files.source(&self.entrypoint, self.rego_version);
        let limits = Limits { max_data_bytes: self.max_data, ..Limits::default() };
        Policy::admit(&source, &limits).map_err(PolicyTrouble::Refused)?;
        let revision = Some(files.manifest.revision).filter(|revision| !revision.is_empty());
        Ok(AuthoredPolicy { source, revision })
    }
}

impl ReadyPolicy {
    fn new(policy: &AuthoredPolicy, shadow: Option<&AuthoredPolicy>) -> Result<Self, PolicyTrouble> {
        let revision = envelope::policy_revision(policy, shadow)?;
        Ok(Self { json: envelope::policy_json(policy, shadow), revision, digest: policy.source.digest() })
    }
}

/// One of the two policies: what was found of it last.
struct Slot {
    files: Option<Watched>,
    admitted: Option<AuthoredPolicy>,
    trouble: Option<String>,
}

impl Slot {
    const fn new(files: Option<Watched>) -> Self {
        Self { files, admitted: None, trouble: None }
    }

    /// Takes what is found, if it may run; whether something was found.
    fn take(&mut self, rules: &PolicyRules, found: Option<Result<PolicyFiles, LoadError>>) -> bool {
        let Some(found) = found else { return false };
        match found.map_err(PolicyTrouble::from).and_then(|files| rules.admit(files)) {
            Ok(policy) => (self.admitted, self.trouble) = (Some(policy), None),
            Err(why) => self.trouble = Some(why.to_string()),
        }
        true
    }

    fn look(&mut self) -> Option<Result<PolicyFiles, LoadError>> {
        self.files.as_mut()?.look(Instant::now())
    }
}

/// What reads and admits policies. It blocks.
struct Finder {
    rules: PolicyRules,
    policy: Slot,
    shadow: Option<Slot>,
    ready: Option<Arc<ReadyPolicy>>,
}

impl Finder {
    fn look(&mut self, fetched: Option<&Fetched>) {
        let found = fetched.map(Fetched::open).or_else(|| self.policy.look());
        let mut anything = self.policy.take(&self.rules, found);
        if let Some(shadow) = &mut self.shadow {
            let found = shadow.look();
            if shadow.take(&self.rules, found) {
                // Comparisons with one that is no longer meant would mislead.
                shadow.admitted.take_if(|_| shadow.trouble.is_some());
                anything = true;
            }
        }
        if anything {
            self.put_together();
        }
    }

    fn put_together(&mut self) {
        let Some(policy) = &self.policy.admitted else { return };
        let shadow = self.shadow.as_ref().and_then(|shadow| shadow.admitted.as_ref());
        match ReadyPolicy::new(policy, shadow) {
            Ok(ready) => self.ready = Some(Arc::new(ready)),
            Err(why) => self.policy.trouble = Some(why.to_string()),
        }
    }
}

/// Follows the policy's source.
pub(crate) struct PolicyWatch {
    server: Option<Box<BundleServer>>,
    finder: Arc<Mutex<Finder>>,
    /// Why the server could not be asked the last time.
    outage: Option<String>,
    /// When the policy was found, or found unchanged.
    known: Timestamp,
    state: PolicyState,
}

impl PolicyWatch {
    /// A watch that has not looked yet.
    pub(crate) fn new(settings: PolicySettings) -> Self {
        let PolicySettings { origin, shadow, rules } = settings;
        let (server, files) = match origin {
            Origin::Files(path, key) => (None, Some(Watched::new(path, key))),
            Origin::Server(server) => (Some(server), None),
        };
        let shadow = shadow.map(|path| Slot::new(Some(Watched::new(path, None))));
        let finder = Finder { rules, policy: Slot::new(files), shadow, ready: None };
        let finder = Arc::new(Mutex::new(finder));
        Self { server, finder, outage: None, known: Timestamp::default(), state: PolicyState::default() }
    }

    /// Publishes every change until nobody listens.
    pub(crate) async fn run(mut self, publish: watch::Sender<PolicyState>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !publish.is_closed() {
            poll.tick().await;
            if self.step().await {
                publish.send_replace(self.state.clone());
            }
        }
    }

    /// Looks once; whether there is something new to say.
    async fn step(&mut self) -> bool {
        let (asked, fetched) = self.ask_server().await;
        let is_fetched = fetched.is_some();
        let finder = Arc::clone(&self.finder);
        let looked = tokio::task::spawn_blocking(move || lock(&finder).look(fetched.as_ref())).await;
        if looked.is_err() {
            lock(&self.finder).policy.trouble = Some("the policy cannot be read: a defect of this program".to_owned());
        }
        if let Some(server) = self.server.as_mut().filter(|_| is_fetched && lock(&self.finder).policy.trouble.is_some())
        {
            server.distrust();
        }
        self.conclude(asked, clock::now())
    }

    /// Whether what there is was just found or confirmed, and a bundle if there is a new one.
    async fn ask_server(&mut self) -> (bool, Option<Fetched>) {
        let Some(server) = &mut self.server else { return (true, None) };
        match server.poll().await {
            None => (false, None),
            Some(Ok(fetched)) => {
                self.outage = None;
                (true, fetched)
            }
            Some(Err(why)) => {
                self.outage = Some(why.to_string());
                (false, None)
            }
        }
    }

    /// Puts together what there is to say; whether it is something new.
    fn conclude(&mut self, asked: bool, now: Timestamp) -> bool {
        let finder = lock(&self.finder);
        let shadow = finder.shadow.as_ref().and_then(|shadow| shadow.trouble.as_ref());
        let shadow = shadow.map(|why| format!("the policy to watch (`--shadow-policy`) is left out: {why}"));
        let troubles: Vec<&str> =
            [&finder.policy.trouble, &self.outage, &shadow].into_iter().flatten().map(String::as_str).collect();
        let trouble = (!troubles.is_empty()).then(|| Arc::from(troubles.join("; ")));

        let revision = |policy: &Option<Arc<ReadyPolicy>>| policy.as_ref().map(|policy| policy.revision);
        let is_new = revision(&finder.ready) != revision(&self.state.policy);
        if is_new || (asked && finder.policy.trouble.is_none()) {
            self.known = now;
        }
        self.state.known = (self.server.is_some() || trouble.is_some()).then_some(self.known);
        if is_new {
            self.state.policy.clone_from(&finder.ready);
        }
        drop(finder);
        let has_changed = is_new || trouble != self.state.trouble;
        if has_changed {
            self.tell(is_new, trouble.as_deref());
            self.state.trouble = trouble;
        }
        // When a server was asked last is news, too: see [`crate::subject`].
        has_changed || (self.server.is_some() && asked)
    }

    fn tell(&self, is_new: bool, trouble: Option<&str>) {
        if let Some(policy) = self.state.policy.as_ref().filter(|_| is_new) {
            info!(digest = policy.digest, revision = %policy.revision, "policy admitted");
        }
        match trouble {
            Some(why) if self.state.trouble.as_deref() != Some(why) => {
                error!(%why, kept = self.state.policy.is_some(), "the policy's source is in trouble; what was good stays in force");
            }
            None if self.state.trouble.is_some() => info!("the policy's source is well again"),
            _ => {}
        }
    }
}

/// What a look left that was cut off is as good as before it.
fn lock(finder: &Mutex<Finder>) -> MutexGuard<'_, Finder> {
    finder.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const ALLOW: &str = "package scbte\n\nallow := true\n";

    fn watch(policy: &Path, shadow: Option<&Path>) -> PolicyWatch {
        PolicyWatch::new(PolicySettings {
            origin: Origin::Files(policy.to_owned(), None),
            shadow: shadow.map(Path::to_owned),
            rules: PolicyRules { entrypoint: "data.scbte.allow".into(), rego_version: None, max_data: 1 << 20 },
        })
    }

    /// Looks until everything was seen twice; how often there was something new to say.
    async fn settle(watch: &mut PolicyWatch) -> usize {
        let mut news = 0;
        for _ in 0..3 {
            news += usize::from(watch.step().await);
        }
        news
    }

    fn digest(watch: &PolicyWatch) -> String {
        watch.state.policy.as_ref().unwrap().digest.clone()
    }

    fn trouble(watch: &PolicyWatch) -> &str {
        watch.state.trouble.as_deref().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_change_is_taken_once_it_keeps_still() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("allow.rego"), ALLOW).unwrap();
        let data = root.path().join("data.json");
        fs::write(&data, "{}").unwrap();
        let mut watch = watch(root.path(), None);
        assert!(!watch.state.is_current(), "it has not looked yet");
        assert!(!watch.step().await, "it may still be written");
        assert!(watch.step().await && watch.state.is_current());
        assert_eq!(settle(&mut watch).await, 0, "nothing happened");

        let mut before = digest(&watch);
        // The last two are one number as doubles.
        for text in [r#"{"a": 1}"#, r#"{"a": 1234567890123456789}"#, r#"{"a": 1234567890123456788}"#] {
            let revision = watch.state.policy.as_ref().unwrap().revision;
            fs::write(&data, text).unwrap();
            assert_eq!(settle(&mut watch).await, 1, "{text}");
            assert_ne!(watch.state.policy.as_ref().unwrap().revision, revision, "{text}");
            assert_ne!(std::mem::replace(&mut before, digest(&watch)), digest(&watch), "{text}");
        }
        fs::write(&data, r#"{"a":  1234567890123456788}"#).unwrap();
        assert_eq!(settle(&mut watch).await, 0, "it says the same");
    }

    #[tokio::test]
    async fn what_is_refused_leaves_the_last_good_one() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("allow.rego");
        fs::write(&file, ALLOW).unwrap();
        let mut watch = watch(&file, None);
        settle(&mut watch).await;
        let first = digest(&watch);
        assert_eq!(watch.state.known, None, "it is watched");
        let long = format!("package scbte\n\nallow if {} == \"", " ".repeat(70_000));
        for (text, part) in [
            ("package scbte\n\nallow if {", "allow.rego:3"),
            ("package other\n\nallow := true", "is refused"),
            ("package scbte\n\nallow if rand.intn(\"a\", 2) == 1", "rand.intn"),
            (&long, "allow.rego:3"),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(settle(&mut watch).await, 1, "{text}");
            assert!(trouble(&watch).contains(part) && !trouble(&watch).contains('\n'), "{}", trouble(&watch));
            assert_eq!(digest(&watch), first, "{text}");
        }
        let since = watch.state.known;
        assert!(since > Some(Timestamp::default()));
        fs::remove_file(&file).unwrap();
        settle(&mut watch).await;
        assert!(trouble(&watch).contains("No such file") && digest(&watch) == first);
        assert_eq!(watch.state.known, since, "in trouble nothing is confirmed");
        fs::write(&file, ALLOW).unwrap();
        assert_eq!(settle(&mut watch).await, 1);
        assert!(watch.state.is_current() && watch.state.known.is_none());
    }

    #[tokio::test]
    async fn a_policy_to_watch_holds_up_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (file, shadow) = (root.path().join("allow.rego"), root.path().join("next.rego"));
        fs::write(&file, ALLOW).unwrap();
        fs::write(&shadow, "nonsense").unwrap();
        let mut watch = watch(&file, Some(&shadow));
        let shadow_of = |watch: &PolicyWatch| watch.state.policy.as_ref().unwrap().json["shadow"].clone();
        settle(&mut watch).await;
        assert!(shadow_of(&watch).is_null(), "delivered without it");
        assert!(trouble(&watch).starts_with("the policy to watch (`--shadow-policy`)"), "{}", trouble(&watch));
        assert!(trouble(&watch).contains("next.rego:1"), "{}", trouble(&watch));

        fs::write(&shadow, "package scbte\n\nallow := false\n").unwrap();
        settle(&mut watch).await;
        assert!(shadow_of(&watch)["modules"]["next.rego"].is_string() && watch.state.is_current());

        fs::remove_file(&shadow).unwrap();
        fs::write(&file, "package scbte\n\nallow if input.ctx == \"a:b\"\n").unwrap();
        let before = digest(&watch);
        settle(&mut watch).await;
        assert!(shadow_of(&watch).is_null() && trouble(&watch).contains("No such file"));
        assert_ne!(digest(&watch), before, "the one that decides is delivered all the same");
    }
}
