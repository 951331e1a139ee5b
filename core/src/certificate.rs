//! X.509 certificates as SPIFFE wants them (X509-SVID §2–5): what RFC 5280 path validation does not look at.

use crate::signature::{self, KeyKind};
use crate::spiffe_id::{SpiffeId, SpiffeIdError};
use crate::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

/// Why a certificate is not acceptable in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not DER, or an extension inside does not parse: never skipped, since a check would be skipped with it.
    #[error("does not parse: {0}")]
    Unparseable(String),
    /// X509-SVID §2: exactly one URI SAN.
    #[error("an X.509-SVID has exactly one URI SAN, found {found}")]
    UriSans {
        /// How many there are.
        found: usize,
    },
    /// The URI SAN is no SPIFFE ID of a workload.
    #[error("the URI SAN is not a workload's SPIFFE ID: {0}")]
    NotAWorkload(#[from] SpiffeIdError),
    /// X509-SVID §4.1: a leaf is not a CA.
    #[error("a leaf must not be a CA")]
    LeafIsCa,
    /// X509-SVID §4.3: KeyUsage is there and critical.
    #[error("KeyUsage must be present and critical")]
    KeyUsageNotCritical,
    /// X509-SVID §4.3: a leaf signs and nothing above that.
    #[error("a leaf's KeyUsage must have digitalSignature and neither keyCertSign nor cRLSign")]
    LeafKeyUsage,
    /// X509-SVID §4.3: a signing certificate has keyCertSign.
    #[error("an intermediate's KeyUsage must have keyCertSign")]
    IntermediateKeyUsage,
    /// The leaf's key is not on P-256.
    #[error("a leaf's key must be an uncompressed point on P-256")]
    LeafKey,
}

/// When a certificate is valid, in whole seconds; both ends count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

/// A leaf that is an X.509-SVID by its form; nobody has vouched for it yet.
#[derive(Debug)]
pub struct Leaf {
    /// Its one URI SAN.
    pub id: SpiffeId,
    /// Its P-256 key as canonical DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// When it is valid.
    pub validity: Validity,
}

impl Leaf {
    /// Parses a leaf and checks X509-SVID §2, §4.1 and §4.3, and its key.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = decode(der)?;
        let id = uri_san(&certificate)?;
        check_leaf_is_no_ca(&certificate)?;
        check_leaf_key_usage(&certificate)?;
        Ok(Self { id, spki: leaf_spki(&certificate)?, validity: validity(&certificate) })
    }
}

/// A certificate between the leaf and the anchor.
#[derive(Debug)]
pub struct Intermediate {
    /// When it is valid.
    pub validity: Validity,
}

impl Intermediate {
    /// Parses an intermediate; it must be allowed to sign certificates. Its SANs are not judged.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = decode(der)?;
        // Whether it is critical is not judged: an upstream authority's certificate is no SVID.
        match key_usage(&certificate)? {
            Some((_, usage)) if usage.key_cert_sign() => Ok(Self { validity: validity(&certificate) }),
            _ => Err(CertificateError::IntermediateKeyUsage),
        }
    }
}

/// A trust anchor: an authority of a trust bundle.
#[derive(Clone, Debug)]
pub struct Anchor {
    der: Vec<u8>,
    trust_anchor: TrustAnchor<'static>,
    validity: Validity,
    may_sign: bool,
    path_length: Option<u8>,
}

impl Anchor {
    /// Parses an authority as a trust bundle carries it (DER).
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = decode(der)?;
        let constraints = basic_constraints(&certificate)?;
        let usage = key_usage(&certificate)?;
        let source = CertificateDer::from(der);
        let trust_anchor = webpki::anchor_from_trusted_cert(&source).map_err(unparseable)?.to_owned();
        Ok(Self {
            der: der.to_vec(),
            trust_anchor,
            validity: validity(&certificate),
            may_sign: constraints.as_ref().is_some_and(|constraints| constraints.ca)
                && usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
            path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
        })
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Subject, key and name constraints, for path building.
    #[must_use]
    pub fn trust_anchor(&self) -> &TrustAnchor<'static> {
        &self.trust_anchor
    }

    /// When it is valid; path building does not look at it.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it is a CA, with keyCertSign where it has KeyUsage; path building takes any certificate for an anchor.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.may_sign
    }

    /// Whether it allows this many intermediates below it; path building does not look at that either.
    #[must_use]
    pub fn allows_intermediates(&self, count: usize) -> bool {
        self.path_length.is_none_or(|limit| count <= usize::from(limit))
    }
}

impl Validity {
    /// Whether a moment lies within.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now.secs() <= self.not_after.secs()
    }
}

fn decode(der: &[u8]) -> Result<Certificate, CertificateError> {
    Certificate::from_der(der).map_err(unparseable)
}

fn unparseable(error: impl ToString) -> CertificateError {
    CertificateError::Unparseable(error.to_string())
}

fn validity(certificate: &Certificate) -> Validity {
    let validity = certificate.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| Timestamp::from_secs(time.to_unix_duration().as_secs());
    Validity { not_before: at(validity.not_before), not_after: at(validity.not_after) }
}

fn uri_san(certificate: &Certificate) -> Result<SpiffeId, CertificateError> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(unparseable)?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    let uris: Vec<_> = names.iter().filter_map(as_uri).collect();
    match uris.as_slice() {
        [uri] => Ok(SpiffeId::parse(uri)?),
        _ => Err(CertificateError::UriSans { found: uris.len() }),
    }
}

fn as_uri(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    }
}

fn check_leaf_is_no_ca(certificate: &Certificate) -> Result<(), CertificateError> {
    match basic_constraints(certificate)? {
        Some(constraints) if constraints.ca => Err(CertificateError::LeafIsCa),
        _ => Ok(()),
    }
}

fn check_leaf_key_usage(certificate: &Certificate) -> Result<(), CertificateError> {
    let Some((true, usage)) = key_usage(certificate)? else { return Err(CertificateError::KeyUsageNotCritical) };
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return Err(CertificateError::LeafKeyUsage);
    }
    Ok(())
}

/// KeyUsage, and whether it is critical.
fn key_usage(certificate: &Certificate) -> Result<Option<(bool, KeyUsage)>, CertificateError> {
    certificate.tbs_certificate().get_extension::<KeyUsage>().map_err(unparseable)
}

fn basic_constraints(certificate: &Certificate) -> Result<Option<BasicConstraints>, CertificateError> {
    let extension = certificate.tbs_certificate().get_extension::<BasicConstraints>().map_err(unparseable)?;
    Ok(extension.map(|(_, constraints)| constraints))
}

fn leaf_spki(certificate: &Certificate) -> Result<Vec<u8>, CertificateError> {
    let found = certificate.tbs_certificate().subject_public_key_info();
    let key = found.subject_public_key.as_bytes().ok_or(CertificateError::LeafKey)?;
    let spki = signature::spki(KeyKind::P256, key).map_err(|_| CertificateError::LeafKey)?;
    // Rebuilt for P-256 from the point alone: the same bytes as the certificate has, or its curve or form is another.
    if found.to_der().map_err(unparseable)? != spki {
        return Err(CertificateError::LeafKey);
    }
    Ok(spki)
}
