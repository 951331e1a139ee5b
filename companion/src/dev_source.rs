//! The identity source of a dev trust domain: SVIDs from the embedded CA, renewed at half their life, and its bundle.
//!
//! The CA's files are looked at four times a second, so that a rotation by `scbte dev-ca` is noticed at once. Files that
//! cannot be used change nothing: the last good material stays, and the source counts as not live until they can.

use crate::clock;
use crate::dev_ca::{Authority, SVID_LIFETIME};
use crate::dev_state::{BUNDLE_FILE, DevCa, DevStateError, KEY_FILE};
use crate::identity::{Check, Identity, Svid};
use crate::state::StateDir;
use crate::words;
use scbte_core::spiffe_id::{SpiffeId, TrustDomain};
use scbte_core::time::Timestamp;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// The identity source of a dev trust domain.
pub(crate) struct DevSource {
    folder: StateDir,
    id: SpiffeId,
    active: Authority,
    seen: Fingerprint,
    identity: Identity,
}

impl DevSource {
    /// The source of a state folder, which gets a CA where it has none; with the first identity.
    pub(crate) fn open(folder: StateDir, id: SpiffeId, now: Timestamp) -> Result<(Self, Identity), DevStateError> {
        let trust_domain: &TrustDomain = id.trust_domain();
        let (ca, made) = DevCa::load_or_create(&folder, trust_domain, now)?;
        if made {
            info!(%trust_domain, file = %folder.file(BUNDLE_FILE).display(), "made a new dev CA");
        }
        let seen = Fingerprint::of(&folder);
        let (svid, bundles) = (issue(&ca.active, &id, now)?, Arc::new(ca.bundles()?));
        let identity = Identity { svid: Some(svid), bundles: Some(bundles), live: true, ..Identity::default() };
        Ok((Self { folder, id, active: ca.active, seen, identity: identity.clone() }, identity))
    }

    /// Publishes every change and answers checks until nobody listens.
    pub(crate) async fn run(mut self, publish: watch::Sender<Identity>, mut checks: mpsc::Receiver<Check>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !publish.is_closed() {
            let check = tokio::select! {
                _ = poll.tick() => None,
                check = checks.recv() => check,
            };
            if self.look(clock::now()) {
                publish.send_replace(self.identity.clone());
            }
            if let Some(check) = check.filter(|_| self.identity.live) {
                // Whoever asked may have gone.
                let _ = check.send(());
            }
        }
    }

    /// Looks at the files and at the SVID's age; whether anything is different now.
    fn look(&mut self, now: Timestamp) -> bool {
        let found = Fingerprint::of(&self.folder);
        let changed = found != self.seen;
        if !changed && !self.is_due(now) {
            return false;
        }
        // What could not be used is looked at again: its file may have been half of a pair.
        match self.renew(changed, now) {
            Ok(()) => self.seen = found,
            Err(error) if self.identity.live => {
                error!(%error, "the dev CA's files cannot be used; the last good ones stay in use");
                self.identity.lose(&error.to_string(), now);
            }
            Err(_) => return false,
        }
        true
    }

    fn renew(&mut self, changed: bool, now: Timestamp) -> Result<(), DevStateError> {
        if changed || !self.identity.live {
            self.reload(now)?;
        }
        if self.is_due(now) {
            self.identity.svid = Some(issue(&self.active, &self.id, now)?);
        }
        self.identity.revive();
        Ok(())
    }

    fn reload(&mut self, now: Timestamp) -> Result<(), DevStateError> {
        let ca = DevCa::load(&self.folder)?;
        let bundles = ca.bundles()?;
        let known = self.identity.bundles.as_ref().map(|bundles| bundles.revision());
        if known != Some(bundles.revision()) {
            info!(authorities = ca.trusted.len(), revision = %bundles.revision(), "the dev CA's trust bundle changed");
        }
        if ca.active.certificate() != self.active.certificate() {
            self.identity.svid = Some(issue(&ca.active, &self.id, now)?);
            self.active = ca.active;
        }
        self.identity.bundles = Some(Arc::new(bundles));
        Ok(())
    }

    /// Whether half of the SVID's life is over.
    fn is_due(&self, now: Timestamp) -> bool {
        let validity = self.identity.svid.as_ref().map(|svid| svid.validity());
        validity.is_none_or(|validity| now >= half_of_life(validity.not_before, validity.not_after))
    }
}

fn half_of_life(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    not_before.plus(not_after.since(not_before) / 2)
}

fn issue(authority: &Authority, id: &SpiffeId, now: Timestamp) -> Result<Arc<Svid>, DevStateError> {
    let svid = authority.issue(id, now, SVID_LIFETIME)?;
    info!(spiffe_id = %svid.id(), until = words::utc(svid.validity().not_after), "new SVID");
    Ok(Arc::new(svid))
}

/// Tells whether a file was replaced: files are never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint([Option<(u64, i64, i64, u64)>; 2]);

impl Fingerprint {
    fn of(folder: &StateDir) -> Self {
        Self([BUNDLE_FILE, KEY_FILE].map(|name| file_fingerprint(&folder.file(name))))
    }
}

fn file_fingerprint(path: &Path) -> Option<(u64, i64, i64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_state;
    use crate::state;
    use scbte_core::chain;
    use scbte_core::signature::InModule;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn source() -> (tempfile::TempDir, StateDir, DevSource) {
        let root = tempfile::tempdir().unwrap();
        let folder = StateDir::create(root.path()).unwrap();
        let id = SpiffeId::parse("spiffe://cluster.local/a").unwrap();
        let (source, identity) = DevSource::open(folder.clone(), id, NOW).unwrap();
        assert!(identity.live);
        (root, folder, source)
    }

    fn parts(identity: &Identity) -> (Arc<Svid>, Arc<crate::identity::Bundles>) {
        (identity.svid.clone().unwrap(), identity.bundles.clone().unwrap())
    }

    fn is_valid(identity: &Identity, now: Timestamp) -> bool {
        let (svid, bundles) = parts(identity);
        chain::validate(svid.chain(), bundles.set(), &InModule, now, Duration::ZERO).is_ok()
    }

    #[test]
    fn a_rotation_is_followed_step_by_step() {
        let (_root, folder, mut source) = source();
        let (first, bundle) = parts(&source.identity);
        assert!(!source.look(NOW), "nothing happened");

        dev_state::prepare(&folder, NOW).unwrap();
        assert!(source.look(NOW));
        let (svid, both) = parts(&source.identity);
        assert!(Arc::ptr_eq(&svid, &first), "the SVID is still good");
        assert_ne!(both.revision(), bundle.revision());

        dev_state::activate(&folder).unwrap();
        assert!(source.look(NOW));
        let (second, unchanged) = parts(&source.identity);
        assert_ne!(second.kid(), first.kid());
        assert_eq!(unchanged.revision(), both.revision());
        assert!(is_valid(&source.identity, NOW));

        dev_state::revoke(&folder).unwrap();
        assert!(source.look(NOW));
        assert!(is_valid(&source.identity, NOW));
        let (svid, last) = parts(&source.identity);
        assert!(Arc::ptr_eq(&svid, &second) && last.revision() != both.revision());
        assert!(!source.look(NOW));
    }

    #[test]
    fn an_svid_is_renewed_at_half_its_life() {
        let (_root, _folder, mut source) = source();
        let (first, _) = parts(&source.identity);
        assert!(!source.look(NOW.plus(Duration::from_secs(29 * 60))));
        let half = NOW.plus(Duration::from_secs(30 * 60));
        assert!(source.look(half));
        let (second, _) = parts(&source.identity);
        assert_ne!(second.kid(), first.kid());
        assert_eq!(second.validity().not_after, half.plus(SVID_LIFETIME));
    }

    #[test]
    fn unusable_files_change_nothing_but_liveness() {
        let (_root, folder, mut source) = source();
        let (svid, bundles) = parts(&source.identity);
        let good = state::read(&folder.file(BUNDLE_FILE)).unwrap();
        for bad in ["", "nonsense"] {
            state::write(&folder.file(BUNDLE_FILE), bad, state::Access::Public).unwrap();
            source.look(NOW);
            assert!(!source.identity.live, "{bad:?}");
            assert!(!source.look(NOW), "said once");
            let (svid_now, bundles_now) = parts(&source.identity);
            assert!(Arc::ptr_eq(&svid, &svid_now) && Arc::ptr_eq(&bundles, &bundles_now));
        }
        state::write(&folder.file(BUNDLE_FILE), &good, state::Access::Public).unwrap();
        assert!(source.look(NOW) && source.identity.live);
    }
}
