//! The embedded CA's files in the state folder, and its rotation: prepare, activate, revoke, as SPIRE's `localauthority`.
//!
//! `ca.pem` is the trust bundle: every authority that is trusted. `ca.key` is the active authority's key; which of the
//! certificates is its, the public key says. `ca.next.pem` and `ca.next.key` are the prepared authority: trusted
//! already, so that by the time it is activated every verifier knows it.

use crate::dev_ca::{self, Authority, DevCaError};
use crate::identity::Bundles;
use crate::state::{self, Access, StateDir, StateError};
use scbte_core::bundle::BundleError;
use scbte_core::spiffe_id::TrustDomain;
use scbte_core::time::Timestamp;
use serde_json::Map;
use std::path::PathBuf;
use x509_cert::Certificate;

/// The trust bundle.
pub(crate) const BUNDLE_FILE: &str = "ca.pem";
/// The active authority's key.
pub(crate) const KEY_FILE: &str = "ca.key";
const NEXT_CERTIFICATE_FILE: &str = "ca.next.pem";
const NEXT_KEY_FILE: &str = "ca.next.key";

/// Why the embedded CA's files cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevStateError {
    /// A file cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file does not hold what it should.
    #[error("`{path}`: {source}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: DevCaError,
    },
    /// The CA does not do what is asked.
    #[error(transparent)]
    Ca(#[from] DevCaError),
    /// The authorities make no trust bundle.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// The active key's certificate is not in the bundle.
    #[error("`{path}` has no certificate for the key in `{KEY_FILE}`", path = path.display())]
    NoActiveCertificate {
        /// The bundle's file.
        path: PathBuf,
    },
    /// A folder of another trust domain.
    #[error("the folder's CA is of trust domain `{found}`, not `{expected}`")]
    TrustDomain {
        /// The CA's.
        found: TrustDomain,
        /// The one that was asked for.
        expected: TrustDomain,
    },
    /// Prepared twice.
    #[error("an authority is prepared already: activate it first")]
    AlreadyPrepared,
    /// Activated without having been prepared.
    #[error("no authority is prepared: prepare one first")]
    NothingPrepared,
    /// Nothing that could be revoked.
    #[error("there is no old authority to revoke: prepare and activate a new one first")]
    NothingToRevoke,
}

/// The embedded CA as the state folder has it.
pub(crate) struct DevCa {
    /// Every trusted authority.
    pub(crate) trusted: Vec<Certificate>,
    /// The one that signs.
    pub(crate) active: Authority,
}

impl DevCa {
    /// Reads the folder's CA.
    pub(crate) fn load(folder: &StateDir) -> Result<Self, DevStateError> {
        let path = folder.file(BUNDLE_FILE);
        let content = |source| DevStateError::Content { path: path.clone(), source };
        let trusted = dev_ca::parse_certificates(&state::read(&path)?).map_err(content)?;
        let key_path = folder.file(KEY_FILE);
        let key = dev_ca::parse_key(&state::read_private(&key_path)?);
        let key = key.map_err(|source| DevStateError::Content { path: key_path, source })?;
        let active = trusted.iter().find(|certificate| dev_ca::is_for_key(certificate, &key)).cloned();
        let active = active.ok_or_else(|| DevStateError::NoActiveCertificate { path: path.clone() })?;
        Ok(Self { active: Authority::new(active, key).map_err(content)?, trusted })
    }

    /// The folder's CA, made where there is none. Says whether it was made.
    pub(crate) fn load_or_create(
        folder: &StateDir,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<(Self, bool), DevStateError> {
        let _lock = folder.lock()?;
        let made = !folder.file(BUNDLE_FILE).exists();
        if made {
            let authority = Authority::generate(trust_domain, now)?;
            state::write(&folder.file(KEY_FILE), &authority.key_pem()?, Access::Private)?;
            write_bundle(folder, std::slice::from_ref(authority.certificate()))?;
        }
        let ca = Self::load(folder)?;
        let found = ca.active.trust_domain();
        if found != trust_domain {
            return Err(DevStateError::TrustDomain { found: found.clone(), expected: trust_domain.clone() });
        }
        Ok((ca, made))
    }

    /// The trust bundles that it makes: one trust domain's.
    pub(crate) fn bundles(&self) -> Result<Bundles, DevStateError> {
        let bundle = dev_ca::spiffe_bundle(&self.trusted)?;
        Ok(Bundles::new(Map::from_iter([(self.active.trust_domain().to_string(), bundle)]))?)
    }
}

/// Makes a new authority and trusts it; the active one goes on signing. What it is called.
pub(crate) fn prepare(folder: &StateDir, now: Timestamp) -> Result<String, DevStateError> {
    let _lock = folder.lock()?;
    let DevCa { mut trusted, active } = DevCa::load(folder)?;
    let next_key = folder.file(NEXT_KEY_FILE);
    if next_key.exists() {
        return Err(DevStateError::AlreadyPrepared);
    }
    let next = Authority::generate(active.trust_domain(), now)?;
    trusted.push(next.certificate().clone());
    state::write(&folder.file(NEXT_CERTIFICATE_FILE), &pem(std::slice::from_ref(next.certificate()))?, Access::Public)?;
    // Trusted before anybody can activate it.
    write_bundle(folder, &trusted)?;
    state::write(&next_key, &next.key_pem()?, Access::Private)?;
    Ok(name_of(next.certificate()))
}

/// Makes the prepared authority the one that signs; the old one stays trusted. What it is called.
pub(crate) fn activate(folder: &StateDir) -> Result<String, DevStateError> {
    let _lock = folder.lock()?;
    let next_key = folder.file(NEXT_KEY_FILE);
    if !next_key.exists() {
        return Err(DevStateError::NothingPrepared);
    }
    state::rename(&next_key, &folder.file(KEY_FILE))?;
    state::remove(&folder.file(NEXT_CERTIFICATE_FILE))?;
    Ok(name_of(DevCa::load(folder)?.active.certificate()))
}

/// Trusts nobody any more but the active authority and the prepared one. What was revoked.
pub(crate) fn revoke(folder: &StateDir) -> Result<Vec<String>, DevStateError> {
    let _lock = folder.lock()?;
    let DevCa { trusted, active } = DevCa::load(folder)?;
    let mut kept = vec![active.certificate().clone()];
    if folder.file(NEXT_KEY_FILE).exists() {
        let path = folder.file(NEXT_CERTIFICATE_FILE);
        let prepared = dev_ca::parse_certificates(&state::read(&path)?);
        kept.extend(prepared.map_err(|source| DevStateError::Content { path, source })?);
    }
    let revoked: Vec<_> = trusted.iter().filter(|certificate| !kept.contains(certificate)).map(name_of).collect();
    if revoked.is_empty() {
        return Err(DevStateError::NothingToRevoke);
    }
    write_bundle(folder, &kept)?;
    Ok(revoked)
}

fn write_bundle(folder: &StateDir, trusted: &[Certificate]) -> Result<(), DevStateError> {
    Ok(state::write(&folder.file(BUNDLE_FILE), &pem(trusted)?, Access::Public)?)
}

fn pem(certificates: &[Certificate]) -> Result<String, DevStateError> {
    Ok(dev_ca::certificates_pem(certificates)?)
}

fn name_of(certificate: &Certificate) -> String {
    certificate.tbs_certificate().subject().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn folder() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(root.path()).unwrap();
        DevCa::load_or_create(&state, &trust_domain("cluster.local"), NOW).unwrap();
        (root, state)
    }

    fn trust_domain(name: &str) -> TrustDomain {
        TrustDomain::parse(name).unwrap()
    }

    fn active_and_trusted(state: &StateDir) -> (String, Vec<String>) {
        let ca = DevCa::load(state).unwrap();
        (name_of(ca.active.certificate()), ca.trusted.iter().map(name_of).collect())
    }

    #[test]
    fn a_rotation_goes_as_in_spire() {
        let (_root, state) = folder();
        let (old, trusted) = active_and_trusted(&state);
        assert_eq!(trusted, std::slice::from_ref(&old));
        assert!(matches!(activate(&state), Err(DevStateError::NothingPrepared)));
        assert!(matches!(revoke(&state), Err(DevStateError::NothingToRevoke)));

        let new = prepare(&state, NOW).unwrap();
        assert_eq!(active_and_trusted(&state), (old.clone(), vec![old.clone(), new.clone()]));
        assert!(matches!(prepare(&state, NOW), Err(DevStateError::AlreadyPrepared)));
        assert!(matches!(revoke(&state), Err(DevStateError::NothingToRevoke)), "a prepared authority is kept");

        assert_eq!(activate(&state).unwrap(), new);
        assert_eq!(active_and_trusted(&state), (new.clone(), vec![old.clone(), new.clone()]));

        assert_eq!(revoke(&state).unwrap(), [old]);
        assert_eq!(active_and_trusted(&state), (new.clone(), vec![new]));
    }

    #[test]
    fn a_folder_is_kept_and_belongs_to_one_trust_domain() {
        let (_root, state) = folder();
        let before = active_and_trusted(&state);
        let (_, made) = DevCa::load_or_create(&state, &trust_domain("cluster.local"), NOW).unwrap();
        assert!(!made);
        assert_eq!(active_and_trusted(&state), before);
        let other = DevCa::load_or_create(&state, &trust_domain("other"), NOW);
        assert!(matches!(other, Err(DevStateError::TrustDomain { .. })));
    }

    #[test]
    fn a_key_without_its_certificate_is_refused() {
        let (_root, state) = folder();
        let stranger = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        write_bundle(&state, std::slice::from_ref(stranger.certificate())).unwrap();
        assert!(matches!(DevCa::load(&state), Err(DevStateError::NoActiveCertificate { .. })));
        state::write(&state.file(KEY_FILE), "nonsense", Access::Private).unwrap();
        assert!(matches!(DevCa::load(&state), Err(DevStateError::Content { source: DevCaError::Key, .. })));
    }

    #[test]
    fn the_bundle_does_not_depend_on_the_order_of_the_file() {
        let (_root, state) = folder();
        prepare(&state, NOW).unwrap();
        let mut ca = DevCa::load(&state).unwrap();
        let revision = ca.bundles().unwrap().revision();
        ca.trusted.reverse();
        assert_eq!(ca.bundles().unwrap().revision(), revision);
    }
}
