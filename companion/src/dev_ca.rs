//! The embedded CA of a dev trust domain, for trying things on one machine. Not for production: its key is a file.
//!
//! What it issues looks like SPIRE's: authorities with the trust domain as URI SAN, keyCertSign and cRLSign and no path
//! length (X509-SVID §2, §4.1, §4.3); SVIDs for an hour, back-dated by ten seconds.

use crate::identity::{Svid, SvidError};
use crate::words::hex;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use scbte_core::bundle;
use scbte_core::spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
use scbte_core::time::Timestamp;
use serde_json::Value;
use std::str::FromStr as _;
use std::time::{Duration, UNIX_EPOCH};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier};
use x509_cert::der::{DecodePem as _, Encode, EncodePem as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

/// How long an SVID is valid.
pub(crate) const SVID_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long an authority is valid.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Clocks differ: what is issued is valid a little earlier.
const BACK_DATE: Duration = Duration::from_secs(10);

/// id-kp-serverAuth and id-kp-clientAuth (RFC 5280 §4.2.1.12).
const SERVER_AND_CLIENT: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"), ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")];

/// Why the embedded CA cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevCaError {
    /// A certificate or key does not encode or decode.
    #[error("{0}")]
    Der(#[from] x509_cert::der::Error),
    /// A certificate was not built.
    #[error("{0}")]
    Build(#[from] x509_cert::builder::Error),
    /// A public key does not encode.
    #[error("{0}")]
    PublicKey(#[from] x509_cert::spki::Error),
    /// No private key in PKCS#8 PEM. Without detail: it is about a secret.
    #[error("no P-256 private key in PKCS#8 PEM")]
    Key,
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// What was issued is no SVID.
    #[error("{0}")]
    Svid(#[from] SvidError),
    /// An authority without exactly one trust domain.
    #[error("the authority `{0}` must have one URI SAN that names a trust domain")]
    NoTrustDomain(String),
    /// The URI SAN is no trust domain.
    #[error("{0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// An ID of another trust domain.
    #[error("`{id}` is not of this CA's trust domain, `{trust_domain}`")]
    ForeignId {
        /// The ID.
        id: SpiffeId,
        /// The CA's trust domain.
        trust_domain: TrustDomain,
    },
    /// The authority is not valid any more.
    #[error(
        "the dev CA's certificate expired at {0}; rotate it (scbte dev-ca prepare, activate, revoke) or remove its folder"
    )]
    Expired(String),
}

/// An authority with its private key.
pub(crate) struct Authority {
    certificate: Certificate,
    trust_domain: TrustDomain,
    key: SigningKey,
}

impl Authority {
    /// A new self-signed authority.
    pub(crate) fn generate(trust_domain: &TrustDomain, now: Timestamp) -> Result<Self, DevCaError> {
        let key = SigningKey::try_generate()?;
        let serial = random_serial()?;
        // Path building goes by names: no two authorities may share one.
        let unique = hex(serial.get(..8).unwrap_or(&serial));
        let subject = Name::from_str(&format!("CN={trust_domain} {unique},O=SCBTE dev trust domain"))?;
        let profile = AuthorityProfile { subject, uri: uri(&format!("spiffe://{trust_domain}"))? };
        let validity = validity(now, now.plus(AUTHORITY_LIFETIME))?;
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key())?;
        let builder = CertificateBuilder::new(profile, SerialNumber::new(&serial)?, validity, spki)?;
        let certificate = builder.build::<_, DerSignature>(&key)?;
        Ok(Self { certificate, trust_domain: trust_domain.clone(), key })
    }

    /// An authority of its certificate and key. The caller has seen that they belong together.
    pub(crate) fn new(certificate: Certificate, key: SigningKey) -> Result<Self, DevCaError> {
        Ok(Self { trust_domain: trust_domain_of(&certificate)?, certificate, key })
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The trust domain it speaks for.
    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its key as PKCS#8 PEM, for a file with mode 0600 only.
    pub(crate) fn key_pem(&self) -> Result<impl std::ops::Deref<Target = String> + use<>, DevCaError> {
        self.key.to_pkcs8_pem(LineEnding::LF).map_err(|_| DevCaError::Key)
    }

    /// A new SVID for a workload of its trust domain.
    pub(crate) fn issue(&self, id: &SpiffeId, now: Timestamp, lifetime: Duration) -> Result<Svid, DevCaError> {
        if id.trust_domain() != &self.trust_domain {
            return Err(DevCaError::ForeignId { id: id.clone(), trust_domain: self.trust_domain.clone() });
        }
        let not_after = self.not_after();
        if not_after <= now {
            return Err(DevCaError::Expired(crate::words::utc(not_after)));
        }
        let key = SigningKey::try_generate()?;
        let issuer = self.certificate.tbs_certificate().subject().clone();
        let profile = LeafProfile { issuer, uri: uri(id.as_str())? };
        let validity = validity(now, now.plus(lifetime).min(not_after))?;
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key())?;
        let builder = CertificateBuilder::new(profile, SerialNumber::new(&random_serial()?)?, validity, spki)?;
        let leaf = builder.build::<_, DerSignature>(&self.key)?;
        Ok(Svid::new(vec![leaf.to_der()?], key)?)
    }

    fn not_after(&self) -> Timestamp {
        let time = self.certificate.tbs_certificate().validity().not_after;
        Timestamp::from_secs(time.to_unix_duration().as_secs())
    }
}

/// The trust domain that an authority's URI SAN names (X509-SVID §2).
pub(crate) fn trust_domain_of(certificate: &Certificate) -> Result<TrustDomain, DevCaError> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>()?.map(|(_, names)| names.0);
    let names = names.unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    match (uris.next().and_then(|uri| uri.strip_prefix("spiffe://")), uris.next()) {
        (Some(name), None) => Ok(TrustDomain::parse(name)?),
        _ => Err(DevCaError::NoTrustDomain(certificate.tbs_certificate().subject().to_string())),
    }
}

/// A private key from PKCS#8 PEM.
pub(crate) fn parse_key(pem: &str) -> Result<SigningKey, DevCaError> {
    SigningKey::from_pkcs8_pem(pem).map_err(|_| DevCaError::Key)
}

/// The certificates of a PEM file; none in an empty one.
pub(crate) fn parse_certificates(pem: &str) -> Result<Vec<Certificate>, DevCaError> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter(|block| !block.trim().is_empty());
    blocks.map(|block| Ok(Certificate::from_pem(block.trim_start())?)).collect()
}

/// Certificates as a PEM file.
pub(crate) fn certificates_pem(certificates: &[Certificate]) -> Result<String, DevCaError> {
    certificates.iter().map(|certificate| Ok(certificate.to_pem(LineEnding::LF)?)).collect()
}

/// The SPIFFE bundle of these authorities.
pub(crate) fn spiffe_bundle(authorities: &[Certificate]) -> Result<Value, DevCaError> {
    let ders = authorities.iter().map(Encode::to_der).collect::<Result<Vec<_>, _>>()?;
    Ok(bundle::to_json(ders.iter().map(Vec::as_slice)))
}

/// Whether a certificate is for this key.
pub(crate) fn is_for_key(certificate: &Certificate, key: &SigningKey) -> bool {
    let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key());
    spki.is_ok_and(|spki| &spki == certificate.tbs_certificate().subject_public_key_info())
}

fn random_serial() -> Result<[u8; 16], getrandom::Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    // Positive and of full length (RFC 5280 §4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial)
}

fn uri(text: &str) -> Result<SubjectAltName, DevCaError> {
    Ok(SubjectAltName(vec![GeneralName::UniformResourceIdentifier(Ia5String::new(text)?)]))
}

fn validity(now: Timestamp, not_after: Timestamp) -> Result<Validity, DevCaError> {
    let time = |at: Timestamp| Time::try_from(UNIX_EPOCH + Duration::from_secs(at.secs()));
    Ok(Validity::new(time(now.minus(BACK_DATE))?, time(not_after)?))
}

struct AuthorityProfile {
    subject: Name,
    uri: SubjectAltName,
}

impl BuilderProfile for AuthorityProfile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        own: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let constraints = BasicConstraints { ca: true, path_len_constraint: None };
        Ok(vec![
            KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).to_extension(subject, &[])?,
            constraints.to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(own)?.to_extension(subject, &[])?,
            self.uri.to_extension(subject, &[])?,
        ])
    }
}

struct LeafProfile {
    issuer: Name,
    uri: SubjectAltName,
}

impl BuilderProfile for LeafProfile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        // The identity is the URI SAN; the subject says nothing (X509-SVID §2).
        Name::from_str("O=SCBTE dev workload").unwrap_or_default()
    }

    fn build_extensions(
        &self,
        own: SubjectPublicKeyInfoRef<'_>,
        issuer: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let usages = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment | KeyUsages::KeyAgreement;
        let constraints = BasicConstraints { ca: false, path_len_constraint: None };
        Ok(vec![
            KeyUsage(usages).to_extension(subject, &[])?,
            ExtendedKeyUsage(SERVER_AND_CLIENT.to_vec()).to_extension(subject, &[])?,
            constraints.to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(own)?.to_extension(subject, &[])?,
            AuthorityKeyIdentifier::try_from(issuer)?.to_extension(subject, &[])?,
            self.uri.to_extension(subject, &[])?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Bundles;
    use scbte_core::chain::{self, ChainError};
    use scbte_core::signature::InModule;
    use serde_json::Map;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn trust_domain(name: &str) -> TrustDomain {
        TrustDomain::parse(name).unwrap()
    }

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    fn bundles(trust_domain: &str, authorities: &[&Authority]) -> Bundles {
        let certificates: Vec<_> = authorities.iter().map(|authority| authority.certificate().clone()).collect();
        let json = spiffe_bundle(&certificates).unwrap();
        Bundles::new(Map::from_iter([(trust_domain.to_owned(), json)])).unwrap()
    }

    fn validate(svid: &Svid, bundles: &Bundles, now: Timestamp) -> Result<chain::ValidChain, ChainError> {
        chain::validate(svid.chain(), bundles.set(), &InModule, now, Duration::from_secs(30))
    }

    #[test]
    fn what_it_issues_is_valid_for_the_verifier() {
        let authority = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        let workload = id("spiffe://cluster.local/ns/production/sa/api-gateway");
        let svid = authority.issue(&workload, NOW, SVID_LIFETIME).unwrap();
        assert_eq!((svid.id(), svid.chain().len()), (&workload, 1));
        assert_eq!(svid.validity().not_before, NOW.minus(BACK_DATE));
        assert_eq!(svid.validity().not_after, NOW.plus(SVID_LIFETIME));

        let own = bundles("cluster.local", &[&authority]);
        let valid = validate(&svid, &own, NOW).unwrap();
        assert_eq!((valid.id, valid.not_after), (workload, NOW.plus(SVID_LIFETIME)));
        assert!(validate(&svid, &own, NOW.plus(Duration::from_secs(3601))).is_err(), "expired");
        assert!(validate(&svid, &own, NOW.minus(Duration::from_secs(60))).is_err(), "not yet valid");

        let another = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        assert!(validate(&svid, &bundles("cluster.local", &[&another]), NOW).is_err(), "another authority");
        assert!(validate(&svid, &bundles("cluster.local", &[&another, &authority]), NOW).is_ok(), "two authorities");
        assert!(validate(&svid, &bundles("other", &[&authority]), NOW).is_err(), "another trust domain");
    }

    #[test]
    fn an_authority_has_the_form_that_spiffe_demands() {
        let authority = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        let tbs = authority.certificate().tbs_certificate();
        let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
        let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && constraints.ca && constraints.path_len_constraint.is_none());
        assert_eq!(trust_domain_of(authority.certificate()).unwrap().as_str(), "cluster.local");

        let another = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        assert_ne!(another.certificate().tbs_certificate().subject(), tbs.subject());
    }

    #[test]
    fn a_leaf_has_the_form_that_spire_gives_it() {
        let authority = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        let svid = authority.issue(&id("spiffe://cluster.local/a"), NOW, SVID_LIFETIME).unwrap();
        let leaf: Certificate = x509_cert::der::Decode::from_der(&svid.chain()[0]).unwrap();
        let tbs = leaf.tbs_certificate();
        let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.digital_signature() && usage.key_encipherment() && usage.key_agreement());
        assert!(!usage.key_cert_sign() && !usage.crl_sign());
        let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && !constraints.ca);
        let (_, purposes) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
        assert_eq!(purposes.0, SERVER_AND_CLIENT);
        assert_eq!(tbs.issuer(), authority.certificate().tbs_certificate().subject());
    }

    #[test]
    fn it_issues_for_its_own_trust_domain_and_within_its_own_time() {
        let authority = Authority::generate(&trust_domain("cluster.local"), NOW).unwrap();
        let foreign = authority.issue(&id("spiffe://other/a"), NOW, SVID_LIFETIME);
        assert!(matches!(foreign, Err(DevCaError::ForeignId { .. })));

        let workload = id("spiffe://cluster.local/a");
        let late = NOW.plus(AUTHORITY_LIFETIME).minus(Duration::from_secs(60));
        let svid = authority.issue(&workload, late, SVID_LIFETIME).unwrap();
        assert_eq!(svid.validity().not_after, NOW.plus(AUTHORITY_LIFETIME));
        let over = authority.issue(&workload, NOW.plus(AUTHORITY_LIFETIME), SVID_LIFETIME);
        assert!(matches!(over, Err(DevCaError::Expired(_))));
    }

    #[test]
    fn keys_and_certificates_survive_pem() {
        let one = Authority::generate(&trust_domain("a"), NOW).unwrap();
        let two = Authority::generate(&trust_domain("a"), NOW).unwrap();
        let key = parse_key(&one.key_pem().unwrap()).unwrap();
        assert!(is_for_key(one.certificate(), &key) && !is_for_key(two.certificate(), &key));
        let both = [one.certificate().clone(), two.certificate().clone()];
        assert_eq!(parse_certificates(&certificates_pem(&both).unwrap()).unwrap(), both);
        assert_eq!(parse_certificates("\n").unwrap(), []);
        for bad in ["garbage", "-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n"] {
            assert!(parse_certificates(bad).is_err(), "{bad}");
        }
        assert!(matches!(parse_key("-----BEGIN PRIVATE KEY-----"), Err(DevCaError::Key)));
    }
}
