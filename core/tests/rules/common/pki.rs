//! Certificates and chains as SPIRE issues them, with every knob that a test may want to turn.

use super::NOW;
use super::key::{Hash, Key, Signer};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use scbte_core::base64;
use scbte_core::bundle::BundleSet;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use x509_cert::der::Encode as _;
use x509_cert::der::flagset::FlagSet;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

/// The trust domain of every test.
pub(crate) const TRUST_DOMAIN: &str = "cluster.local";
/// The workload that calls.
pub(crate) const WORKLOAD: &str = "spiffe://cluster.local/ns/production/sa/api-gateway";
/// Another workload of the same trust domain.
pub(crate) const OTHER_WORKLOAD: &str = "spiffe://cluster.local/ns/production/sa/order-service";

/// What a certificate will say, and whose key it is for.
#[derive(Clone)]
pub(crate) struct Draft {
    /// All that rcgen can write; change it at will.
    pub(crate) params: CertificateParams,
    pub(crate) key: Key,
    /// How it signs what it issues.
    pub(crate) hash: Hash,
    /// Who signs in its issuer's name, when it is not the issuer.
    pub(crate) forger: Option<Key>,
}

impl Draft {
    fn new(name: &str, key: Key) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(name);
        params.serial_number = Some(SerialNumber::from_slice(&[1]));
        params.key_identifier_method = KeyIdMethod::PreSpecified(Sha256::digest(key.public())[..20].to_vec());
        Self { params, key, hash: Hash::Own, forger: None }
    }

    /// A CA that is valid for a day.
    pub(crate) fn intermediate(name: &str, key: Key) -> Self {
        let mut draft = Self::new(name, key);
        draft.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        draft.params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        draft.valid(-3_600, 86_400);
        draft
    }

    /// The same with the trust domain's ID, as SPIRE's authorities have it.
    pub(crate) fn authority(name: &str, key: Key) -> Self {
        let mut draft = Self::intermediate(name, key);
        draft.uris(&["spiffe://cluster.local"]);
        draft
    }

    /// An X.509-SVID of a workload, valid for an hour.
    pub(crate) fn leaf(id: &str, key: Key) -> Self {
        let mut draft = Self::new("workload", key);
        draft.params.is_ca = IsCa::ExplicitNoCa;
        draft.params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyAgreement];
        draft.params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        draft.uris(&[id]);
        draft.valid(-10, 3_600);
        draft
    }

    /// Sets notBefore and notAfter, in seconds from [`NOW`].
    pub(crate) fn valid(&mut self, from: i64, until: i64) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |offset: i64| epoch + Duration::from_secs(NOW.checked_add_signed(offset).unwrap());
        self.params.not_before = at(from);
        self.params.not_after = at(until);
    }

    /// Replaces the SANs by these URIs.
    pub(crate) fn uris(&mut self, uris: &[&str]) {
        self.params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    }

    /// Makes it a CA that allows so many intermediates below it.
    pub(crate) fn path_length(&mut self, length: u8) {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
    }

    /// Replaces KeyUsage.
    pub(crate) fn key_usage(&mut self, critical: bool, usages: &[KeyUsages]) {
        let flags = usages.iter().fold(FlagSet::default(), |flags, usage| flags | *usage);
        self.params.key_usages.clear();
        self.extension(&[2, 5, 29, 15], critical, &KeyUsage(flags).to_der().unwrap());
    }

    /// Adds an extension.
    pub(crate) fn extension(&mut self, oid: &[u64], critical: bool, content: &[u8]) {
        let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
        extension.set_criticality(critical);
        self.params.custom_extensions.push(extension);
    }

    /// Adds critical NameConstraints (RFC 5280 §4.2.1.10): one subtree of this kind and form.
    pub(crate) fn name_constraint(&mut self, kind: Subtrees, form: NameForm, base: &str) {
        let name = tlv(form as u8, base.as_bytes());
        let subtrees = tlv(kind as u8, &tlv(0x30, &name));
        self.extension(&[2, 5, 29, 30], true, &tlv(0x30, &subtrees));
    }

    /// The certificate, signed with its own key.
    pub(crate) fn self_signed(&self) -> Issued {
        let signer = Signer { key: &self.key, hash: self.hash };
        let issuer = Issuer::from_params(&self.params, signer);
        let certificate = self.params.signed_by(&self.key, &issuer).unwrap();
        Issued { draft: self.clone(), der: certificate.der().to_vec() }
    }
}

/// A kind of NameConstraints; its number is the DER tag.
#[derive(Clone, Copy)]
pub(crate) enum Subtrees {
    Permitted = 0xa0,
    Excluded = 0xa1,
}

/// A form of GeneralName; its number is the DER tag.
#[derive(Clone, Copy)]
pub(crate) enum NameForm {
    Dns = 0x82,
    Uri = 0x86,
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 128).unwrap();
    [&[tag, length], content].concat()
}

fn distinguished_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, "SPIRE");
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// A certificate with the key that goes with it.
#[derive(Clone)]
pub(crate) struct Issued {
    draft: Draft,
    pub(crate) der: Vec<u8>,
}

impl Issued {
    /// Issues a certificate.
    pub(crate) fn issue(&self, draft: &Draft) -> Self {
        let signer = Signer { key: draft.forger.as_ref().unwrap_or(&self.draft.key), hash: self.draft.hash };
        let issuer = Issuer::from_params(&self.draft.params, signer);
        let mut params = draft.params.clone();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&draft.key, &issuer).unwrap();
        Self { draft: draft.clone(), der: certificate.der().to_vec() }
    }
}

/// A chain before it is issued: an authority, what is between, the leaf.
#[derive(Clone)]
pub(crate) struct Recipe {
    /// The trust domain in whose bundle the authority is.
    pub(crate) bundle_of: &'static str,
    pub(crate) authority: Draft,
    /// From the authority downwards.
    pub(crate) intermediates: Vec<Draft>,
    pub(crate) leaf: Draft,
}

impl Recipe {
    /// A good chain with one intermediate.
    pub(crate) fn good() -> Self {
        Self {
            bundle_of: TRUST_DOMAIN,
            authority: Draft::authority("authority", Key::p256(1)),
            intermediates: vec![Draft::intermediate("intermediate", Key::p256(2))],
            leaf: Draft::leaf(WORKLOAD, Key::p256(3)),
        }
    }

    /// So many intermediates.
    pub(crate) fn with_intermediates(&mut self, count: u8) {
        let draft = |number| Draft::intermediate(&format!("intermediate {number}"), Key::p256(100 + number));
        self.intermediates = (0..count).map(draft).collect();
    }

    /// The one intermediate.
    pub(crate) fn intermediate(&mut self) -> &mut Draft {
        &mut self.intermediates[0]
    }

    /// The certificates without the authority, leaf first, as a token has them.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        let mut issuer = self.authority.self_signed();
        let mut chain = Vec::new();
        for draft in self.intermediates.iter().chain([&self.leaf]) {
            issuer = issuer.issue(draft);
            chain.insert(0, issuer.der.clone());
        }
        chain
    }

    /// The bundle set with the authority.
    pub(crate) fn bundles(&self) -> BundleSet {
        bundle_set(&[(self.bundle_of, &[&self.authority.self_signed()])])
    }
}

/// A bundle set of these trust domains and authorities.
pub(crate) fn bundle_set(trust_domains: &[(&str, &[&Issued])]) -> BundleSet {
    BundleSet::from_json(&bundle_json(trust_domains)).unwrap()
}

/// The same as JSON, the authorities in this order.
pub(crate) fn bundle_json(trust_domains: &[(&str, &[&Issued])]) -> Map<String, Value> {
    let key = |authority: &&Issued| json!({"use": "x509-svid", "x5c": [base64::encode_standard(&authority.der)]});
    let bundle = |authorities: &[&Issued]| json!({"keys": authorities.iter().map(key).collect::<Vec<_>>()});
    trust_domains.iter().map(|(name, authorities)| ((*name).to_owned(), bundle(authorities))).collect()
}
