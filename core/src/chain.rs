//! X.509-SVID chains: from a leaf to an anchor of the leaf's own trust domain (X509-SVID §5, RFC 5280 §6).
//!
//! rustls-webpki builds the path and checks signatures, validity, CA flags, path lengths and name constraints;
//! [`crate::certificate`] checks what SPIFFE adds; this module joins the two and checks what webpki leaves to its
//! caller: whether an anchor is a CA, its validity and its path length. Trust domains are never pooled. Extended key
//! usage is not judged.

use crate::bundle::BundleSet;
use crate::certificate::{Anchor, CertificateError, Intermediate, Leaf, Validity};
use crate::reason::Reason;
use crate::signature::{self, Algorithm, SignatureVerifier};
use crate::spiffe_id::{SpiffeId, TrustDomain};
use crate::time::Timestamp;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
    alg_id,
};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};

/// Certificates in a chain, at most (design: 4).
pub const MAX_CERTIFICATES: usize = 4;
/// Signature checks a chain may cost; the token's own signature is the twelfth (design: 12).
pub const MAX_SIGNATURE_CHECKS: u8 = 11;

/// Why a chain does not make its leaf an identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No certificate, or too many.
    #[error("expected 1 to {MAX_CERTIFICATES} certificates, found {found}")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// A certificate breaks a rule of its own.
    #[error("certificate {position}: {source}")]
    Certificate {
        /// Counted from 1, leaf first.
        position: usize,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The leaf's trust domain has no trust bundle here.
    #[error("no trust bundle for trust domain `{0}`")]
    UnknownTrustDomain(TrustDomain),
    /// No path to an anchor that is valid now.
    #[error("no valid path to an authority of `{trust_domain}`: {error}")]
    NoPath {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
        /// What path building says.
        error: webpki::Error,
    },
}

impl ChainError {
    /// The reason code for a token with such a chain.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Length { .. } | Self::Certificate { source: CertificateError::Unparseable(_), .. } => {
                Reason::Malformed
            }
            Self::Certificate { source: CertificateError::LeafKey, .. } => Reason::UnsupportedAlgorithm,
            Self::NoPath { error: webpki::Error::CertExpired { .. }, .. } => Reason::Expired,
            Self::NoPath { error: webpki::Error::CertNotValidYet { .. }, .. } => Reason::NotYetValid,
            Self::Certificate { .. } | Self::NoPath { .. } => Reason::UntrustedChain,
            Self::UnknownTrustDomain(_) => Reason::UnknownTrustDomain,
        }
    }

    /// Whether a newer trust bundle could change the answer.
    #[must_use]
    pub fn is_unknown_authority(&self) -> bool {
        matches!(self, Self::UnknownTrustDomain(_) | Self::NoPath { .. })
    }
}

/// A chain that leads to an anchor of its leaf's trust domain.
#[derive(Clone, Debug)]
pub struct ValidChain {
    /// The leaf's SPIFFE ID.
    pub id: SpiffeId,
    /// The leaf's key, DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// The earliest notAfter on the path, the anchor's included; the chain is good until then and no longer.
    pub not_after: Timestamp,
}

/// Validates a chain (DER, leaf first) at `now`.
///
/// A notBefore that lies ahead by at most `skew` counts as passed, since issuers back-date by seconds only; notAfter
/// is strict.
pub fn validate(
    chain: &[Vec<u8>],
    bundles: &BundleSet,
    verifier: &dyn SignatureVerifier,
    now: Timestamp,
    skew: Duration,
) -> Result<ValidChain, ChainError> {
    let (leaf_der, rest) = match chain {
        [leaf, rest @ ..] if chain.len() <= MAX_CERTIFICATES => (leaf, rest),
        _ => return Err(ChainError::Length { found: chain.len() }),
    };
    let leaf = Leaf::parse(leaf_der).map_err(|source| ChainError::Certificate { position: 1, source })?;
    let intermediates = parse_intermediates(rest)?;
    let validities = || std::iter::once(leaf.validity).chain(intermediates.iter().map(|cert| cert.validity));
    let trust_domain = leaf.id.trust_domain();
    let bundle = bundles.get(trust_domain).ok_or_else(|| ChainError::UnknownTrustDomain(trust_domain.clone()))?;
    let path = find_path(leaf_der, rest, bundle.anchors(), verifier, now, moment(now, skew, validities()))
        .map_err(|error| ChainError::NoPath { trust_domain: trust_domain.clone(), error })?;
    let not_after = path.not_after(leaf.validity, &intermediates);
    Ok(ValidChain { id: leaf.id, spki: leaf.spki, not_after })
}

fn parse_intermediates(rest: &[Vec<u8>]) -> Result<Vec<Intermediate>, ChainError> {
    let parse = |(index, der): (usize, &Vec<u8>)| {
        let position = index.saturating_add(2);
        Intermediate::parse(der).map_err(|source| ChainError::Certificate { position, source })
    };
    rest.iter().enumerate().map(parse).collect()
}

/// The moment to validate at: now, or the latest notBefore that lies ahead by no more than the skew.
fn moment(now: Timestamp, skew: Duration, validities: impl Iterator<Item = Validity>) -> Timestamp {
    let horizon = now.plus(skew);
    validities.map(|validity| validity.not_before).filter(|not_before| *not_before <= horizon).fold(now, Timestamp::max)
}

/// How a leaf leads to an anchor.
struct Path<'a> {
    anchor: &'a Anchor,
    /// Which of the chain's intermediates it needs.
    intermediates: Vec<usize>,
}

impl Path<'_> {
    /// The earliest notAfter on it. A certificate beside it, an expired cross-signed one say, ends nothing.
    fn not_after(&self, leaf: Validity, intermediates: &[Intermediate]) -> Timestamp {
        let needed = self.intermediates.iter().filter_map(|at| intermediates.get(*at));
        let others = needed.map(|intermediate| intermediate.validity).chain([leaf]);
        others.map(|validity| validity.not_after).fold(self.anchor.validity().not_after, Timestamp::min)
    }
}

fn find_path<'b>(
    leaf: &[u8],
    rest: &[Vec<u8>],
    anchors: &'b [Anchor],
    verifier: &dyn SignatureVerifier,
    now: Timestamp,
    moment: Timestamp,
) -> Result<Path<'b>, webpki::Error> {
    let leaf_der = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf_der)?;
    let intermediates: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let may_vouch = |anchor: &&Anchor| anchor.may_sign() && anchor.validity().contains(now);
    let usable: Vec<&Anchor> = anchors.iter().filter(may_vouch).collect();
    let trust_anchors: Vec<_> = usable.iter().map(|anchor| anchor.trust_anchor().clone()).collect();
    let anchor_of = |path: &VerifiedPath<'_>| position_of(&trust_anchors, path).and_then(|at| usable.get(at).copied());
    let budget = AtomicU8::new(MAX_SIGNATURE_CHECKS);
    let algorithms = Algorithm::ALL.map(|algorithm| Budgeted { algorithm, verifier, budget: &budget });
    let path = leaf.verify_for_usage(
        &algorithms.each_ref().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm),
        &trust_anchors,
        &intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(moment.secs())),
        AnyUsage,
        None,
        Some(&|path: &VerifiedPath<'_>| match anchor_of(path) {
            Some(anchor) if anchor.allows_intermediates(path.intermediate_certificates().count()) => Ok(()),
            _ => Err(webpki::Error::PathLenConstraintViolated),
        }),
    )?;
    let position = |needed: &webpki::Cert<'_>| intermediates.iter().position(|der| *der == needed.der());
    let needed: Option<Vec<usize>> = path.intermediate_certificates().map(position).collect();
    let found = anchor_of(&path).zip(needed).ok_or(webpki::Error::UnknownIssuer)?;
    Ok(Path { anchor: found.0, intermediates: found.1 })
}

/// Which of the anchors a path ends at: this very one, as two can share subject and key.
fn position_of(anchors: &[TrustAnchor<'_>], path: &VerifiedPath<'_>) -> Option<usize> {
    anchors.iter().position(|anchor| std::ptr::addr_eq(anchor, path.anchor()))
}

/// Extended key usage is not judged, as go-spiffe's `ExtKeyUsageAny`.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// One algorithm for webpki; every check is paid from the chain's budget.
#[derive(Debug)]
struct Budgeted<'a> {
    algorithm: Algorithm,
    verifier: &'a dyn SignatureVerifier,
    budget: &'a AtomicU8,
}

impl SignatureVerificationAlgorithm for Budgeted<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let spent = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        spent.map_err(|_| InvalidSignature)?;
        let spki = signature::spki(self.algorithm.key_kind(), key).map_err(|_| InvalidSignature)?;
        self.verifier.verify(self.algorithm, &spki, message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.algorithm.key_kind() {
            signature::KeyKind::P256 => alg_id::ECDSA_P256,
            signature::KeyKind::P384 => alg_id::ECDSA_P384,
            signature::KeyKind::Rsa => alg_id::RSA_ENCRYPTION,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.algorithm {
            Algorithm::P256Sha256 | Algorithm::P384Sha256 => alg_id::ECDSA_SHA256,
            Algorithm::P256Sha384 | Algorithm::P384Sha384 => alg_id::ECDSA_SHA384,
            Algorithm::RsaSha256 => alg_id::RSA_PKCS1_SHA256,
            Algorithm::RsaSha384 => alg_id::RSA_PKCS1_SHA384,
            Algorithm::RsaSha512 => alg_id::RSA_PKCS1_SHA512,
        }
    }
}
