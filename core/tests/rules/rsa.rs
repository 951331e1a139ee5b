//! RSA issuers, as upstream authorities often are: PKCS#1 v1.5, 2048 to 4096 bits, SHA-256, 384 and 512.
//!
//! The certificates of `fixtures/rsa` are made by its `make.sh`. Natively only: inside the proxy the host checks RSA.

use crate::common::pki::TRUST_DOMAIN;
use crate::common::{Expected, SKEW, check, now};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use scbte_core::base64;
use scbte_core::bundle::BundleSet;
use scbte_core::chain::{self, ChainError};
use scbte_core::reason::Reason::{UnsupportedAlgorithm, UntrustedChain};
use scbte_core::signature::InModule;
use serde_json::json;

/// A certificate of the fixture.
macro_rules! certificate {
    ($name:literal) => {
        CertificateDer::from_pem_slice(include_bytes!(concat!("fixtures/rsa/", $name, ".pem"))).unwrap().to_vec()
    };
}

fn validate(leaf: Vec<u8>, authority: &[u8]) -> Result<chain::ValidChain, ChainError> {
    let bundle = json!({TRUST_DOMAIN: {"keys": [{"use": "x509-svid", "x5c": [base64::encode_standard(authority)]}]}});
    let bundles = BundleSet::from_json(bundle.as_object().unwrap()).unwrap();
    chain::validate(&[leaf], &bundles, &InModule, now(), SKEW)
}

const BAD_SIGNATURE: Expected = Some((UntrustedChain, "InvalidSignatureForPublicKey"));
const UNSUPPORTED: Expected = Some((UntrustedChain, "UnsupportedSignatureAlgorithm"));

#[cfg(feature = "rsa")]
const GOOD: Expected = None;
#[cfg(not(feature = "rsa"))]
const GOOD: Expected = BAD_SIGNATURE;

#[test]
fn rsa_issuers_are_accepted_with_these_hashes_and_sizes_only() {
    let authority = certificate!("ca-2048");
    let another = certificate!("ca-1024");
    for (name, leaf, authority, expected) in [
        ("SHA-256", certificate!("leaf-sha256"), &authority, GOOD),
        ("SHA-384", certificate!("leaf-sha384"), &authority, GOOD),
        ("SHA-512", certificate!("leaf-sha512"), &authority, GOOD),
        ("SHA-1", certificate!("leaf-sha1"), &authority, UNSUPPORTED),
        ("SHA-224", certificate!("leaf-sha224"), &authority, UNSUPPORTED),
        ("PSS", certificate!("leaf-pss"), &authority, UNSUPPORTED),
        ("1024 bits", certificate!("leaf-1024"), &another, BAD_SIGNATURE),
        ("another authority", certificate!("leaf-sha256"), &another, Some((UntrustedChain, "UnknownIssuer"))),
        (
            "an RSA leaf",
            certificate!("leaf-rsa-key"),
            &authority,
            Some((UnsupportedAlgorithm, "a leaf's key must be an uncompressed point on P-256")),
        ),
    ] {
        check(name, validate(leaf, authority), ChainError::reason, expected);
    }
}

#[test]
fn a_damaged_rsa_signature_is_refused() {
    let authority = certificate!("ca-2048");
    let good = certificate!("leaf-sha256");
    for from_end in [1, 100, 200, 255] {
        let mut leaf = good.clone();
        let at = leaf.len() - from_end;
        leaf[at] ^= 1;
        check(&format!("byte {from_end} from the end"), validate(leaf, &authority), ChainError::reason, BAD_SIGNATURE);
    }
}
