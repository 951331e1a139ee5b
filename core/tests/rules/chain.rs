//! X.509-SVID chains: RFC 5280 as webpki has it, X509-SVID §5, and what webpki leaves to its caller.

use crate::common::key::{Hash, Key};
use crate::common::pki::{Draft, Issued, NameForm, Recipe, Subtrees, TRUST_DOMAIN, WORKLOAD, bundle_set};
use crate::common::verifier::Counting;
use crate::common::{Expected, NOW, SKEW, check, now};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, SanType};
use scbte_core::bundle::BundleSet;
use scbte_core::chain::{self, ChainError, MAX_SIGNATURE_CHECKS, ValidChain};
use scbte_core::reason::Reason::{
    Expired, Malformed, NotYetValid, UnknownTrustDomain, UnsupportedAlgorithm, UntrustedChain,
};
use scbte_core::signature::InModule;
use scbte_core::time::Timestamp;
use wasm_bindgen_test::wasm_bindgen_test;
use x509_cert::ext::pkix::KeyUsages;

/// A case: its name, what is changed in a good chain, what is expected.
type Case<E = Expected, T = Recipe> = (&'static str, fn(&mut T), E);

fn run(cases: &[Case]) {
    for (name, change, expected) in cases {
        let mut recipe = Recipe::good();
        change(&mut recipe);
        check(name, validate(&recipe), ChainError::reason, *expected);
    }
}

fn validate(recipe: &Recipe) -> Result<ValidChain, ChainError> {
    validate_in(&recipe.chain(), &recipe.bundles())
}

fn validate_in(chain: &[Vec<u8>], bundles: &BundleSet) -> Result<ValidChain, ChainError> {
    chain::validate(chain, bundles, &InModule, now(), SKEW)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_good_chain_yields_the_leafs_identity() {
    let recipe = Recipe::good();
    let valid = validate(&recipe).unwrap();
    assert_eq!(valid.id.as_str(), WORKLOAD);
    assert!(valid.spki.ends_with(recipe.leaf.key.public()));
    assert_eq!(valid.not_after, Timestamp::from_secs(NOW + 3_600));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leaf_is_an_x509_svid() {
    const LEAF_USAGE: Expected = Some((UntrustedChain, "a leaf's KeyUsage must have digitalSignature"));
    const NOT_CRITICAL: Expected = Some((UntrustedChain, "KeyUsage must be present and critical"));
    const NOT_A_WORKLOAD: Expected = Some((UntrustedChain, "the URI SAN is not a workload's SPIFFE ID"));
    const LEAF_KEY: Expected = Some((UnsupportedAlgorithm, "a leaf's key must be an uncompressed point on P-256"));
    run(&[
        ("as SPIRE issues it", |_| {}, None),
        ("no BasicConstraints", |recipe| recipe.leaf.params.is_ca = IsCa::NoCa, None),
        ("a CA", |recipe| recipe.leaf.path_length(0), Some((UntrustedChain, "a leaf must not be a CA"))),
        ("only digitalSignature", |recipe| recipe.leaf.key_usage(true, &[KeyUsages::DigitalSignature]), None),
        ("no KeyUsage", |recipe| recipe.leaf.params.key_usages.clear(), NOT_CRITICAL),
        ("KeyUsage not critical", |recipe| recipe.leaf.key_usage(false, &[KeyUsages::DigitalSignature]), NOT_CRITICAL),
        (
            "no digitalSignature",
            |recipe| recipe.leaf.key_usage(true, &[KeyUsages::KeyEncipherment, KeyUsages::KeyAgreement]),
            LEAF_USAGE,
        ),
        ("an empty KeyUsage", |recipe| recipe.leaf.key_usage(true, &[]), LEAF_USAGE),
        (
            "keyCertSign",
            |recipe| recipe.leaf.key_usage(true, &[KeyUsages::DigitalSignature, KeyUsages::KeyCertSign]),
            LEAF_USAGE,
        ),
        (
            "cRLSign",
            |recipe| recipe.leaf.key_usage(true, &[KeyUsages::DigitalSignature, KeyUsages::CRLSign]),
            LEAF_USAGE,
        ),
        ("no EKU", |recipe| recipe.leaf.params.extended_key_usages.clear(), None),
        (
            "another EKU",
            |recipe| recipe.leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
            None,
        ),
        (
            "a DNS name, an address and a mail box beside the URI",
            |recipe| {
                let names = &mut recipe.leaf.params.subject_alt_names;
                names.insert(0, SanType::DnsName("api.example".try_into().unwrap()));
                names.push(SanType::IpAddress([192, 0, 2, 1].into()));
                names.push(SanType::Rfc822Name("ops@example.com".try_into().unwrap()));
            },
            None,
        ),
        ("no subject", |recipe| recipe.leaf.params.distinguished_name = rcgen::DistinguishedName::new(), None),
        ("no SAN", |recipe| recipe.leaf.uris(&[]), Some((UntrustedChain, "exactly one URI SAN, found 0"))),
        (
            "a DNS name only",
            |recipe| {
                let name = SanType::DnsName("api.example".try_into().unwrap());
                recipe.leaf.params.subject_alt_names = vec![name];
            },
            Some((UntrustedChain, "exactly one URI SAN, found 0")),
        ),
        (
            "two SPIFFE IDs",
            |recipe| recipe.leaf.uris(&[WORKLOAD, "spiffe://cluster.local/other"]),
            Some((UntrustedChain, "exactly one URI SAN, found 2")),
        ),
        (
            "the same SPIFFE ID twice",
            |recipe| recipe.leaf.uris(&[WORKLOAD, WORKLOAD]),
            Some((UntrustedChain, "exactly one URI SAN, found 2")),
        ),
        (
            "another URI beside the SPIFFE ID",
            |recipe| recipe.leaf.uris(&[WORKLOAD, "https://example.com/"]),
            Some((UntrustedChain, "exactly one URI SAN, found 2")),
        ),
        ("another URI", |recipe| recipe.leaf.uris(&["https://example.com/"]), NOT_A_WORKLOAD),
        ("a trust domain's ID", |recipe| recipe.leaf.uris(&["spiffe://cluster.local"]), NOT_A_WORKLOAD),
        ("an empty path", |recipe| recipe.leaf.uris(&["spiffe://cluster.local/"]), NOT_A_WORKLOAD),
        ("an upper-case trust domain", |recipe| recipe.leaf.uris(&["spiffe://Cluster.local/a"]), NOT_A_WORKLOAD),
        ("a query", |recipe| recipe.leaf.uris(&["spiffe://cluster.local/a?b"]), NOT_A_WORKLOAD),
        ("a NUL", |recipe| recipe.leaf.uris(&["spiffe://cluster.local/a\0b"]), NOT_A_WORKLOAD),
        ("a P-384 key", |recipe| recipe.leaf.key = Key::p384(3), LEAF_KEY),
        ("an Ed25519 key", |recipe| recipe.leaf.key = Key::ed25519(3), LEAF_KEY),
        (
            "a point of P-256 under another curve's name",
            |recipe| recipe.leaf.key = Key::p384(3).with_public(Key::p256(3).public()),
            LEAF_KEY,
        ),
        (
            "a compressed point",
            |recipe| recipe.leaf.key = Key::p256(3).with_public(&[&[2], &Key::p256(3).public()[1..33]].concat()),
            LEAF_KEY,
        ),
        ("an empty key", |recipe| recipe.leaf.key = Key::p256(3).with_public(&[]), LEAF_KEY),
        (
            "an unknown extension",
            |recipe| recipe.leaf.extension(&[1, 3, 6, 1, 4, 1, 99999, 1], false, &[0x05, 0x00]),
            None,
        ),
        (
            "an unknown critical extension",
            |recipe| recipe.leaf.extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[0x05, 0x00]),
            Some((UntrustedChain, "UnsupportedCriticalExtension")),
        ),
        (
            "a second SAN extension",
            |recipe| recipe.leaf.extension(&[2, 5, 29, 17], false, b"\x30\x0b\x86\x09spiffe://"),
            Some((Malformed, "does not parse")),
        ),
        (
            "a second KeyUsage",
            |recipe| recipe.leaf.extension(&[2, 5, 29, 15], true, &[0x03, 0x02, 0x07, 0x80]),
            Some((Malformed, "does not parse")),
        ),
        (
            "BasicConstraints that do not parse",
            |recipe| {
                recipe.leaf.params.is_ca = IsCa::NoCa;
                recipe.leaf.extension(&[2, 5, 29, 19], true, &[0x30, 0x01]);
            },
            Some((Malformed, "does not parse")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_path_leads_to_an_anchor() {
    const NO_SIGNATURE: Expected = Some((UntrustedChain, "InvalidSignatureForPublicKey"));
    const INTERMEDIATE_USAGE: Expected = Some((UntrustedChain, "an intermediate's KeyUsage must have keyCertSign"));
    run(&[
        ("no intermediate", |recipe| recipe.intermediates.clear(), None),
        ("two intermediates", |recipe| recipe.with_intermediates(2), None),
        ("four certificates", |recipe| recipe.with_intermediates(3), None),
        (
            "five certificates",
            |recipe| recipe.with_intermediates(4),
            Some((Malformed, "expected 1 to 4 certificates, found 5")),
        ),
        ("another's signature on the leaf", |recipe| recipe.leaf.forger = Some(Key::p256(9)), NO_SIGNATURE),
        (
            "another's signature on the intermediate",
            |recipe| recipe.intermediate().forger = Some(Key::p256(9)),
            NO_SIGNATURE,
        ),
        (
            "the leaf's own signature",
            |recipe| {
                recipe.intermediates.clear();
                recipe.leaf.forger = Some(Key::p256(3));
            },
            NO_SIGNATURE,
        ),
        (
            "an intermediate that is no CA",
            |recipe| recipe.intermediate().params.is_ca = IsCa::ExplicitNoCa,
            Some((UntrustedChain, "EndEntityUsedAsCa")),
        ),
        (
            "an intermediate without BasicConstraints",
            |recipe| recipe.intermediate().params.is_ca = IsCa::NoCa,
            Some((UntrustedChain, "EndEntityUsedAsCa")),
        ),
        (
            "an intermediate without KeyUsage",
            |recipe| recipe.intermediate().params.key_usages.clear(),
            INTERMEDIATE_USAGE,
        ),
        (
            "an intermediate without keyCertSign",
            |recipe| recipe.intermediate().key_usage(true, &[KeyUsages::CRLSign, KeyUsages::DigitalSignature]),
            INTERMEDIATE_USAGE,
        ),
        (
            "an intermediate with keyCertSign alone",
            |recipe| recipe.intermediate().key_usage(true, &[KeyUsages::KeyCertSign]),
            None,
        ),
        (
            // X509-SVID wants it critical of SVIDs; an upstream authority's certificate is none.
            "an intermediate whose KeyUsage is not critical",
            |recipe| recipe.intermediate().key_usage(false, &[KeyUsages::KeyCertSign]),
            None,
        ),
        (
            "an intermediate with SANs of all kinds, which are not judged",
            |recipe| recipe.intermediate().uris(&["spiffe://elsewhere", "spiffe://elsewhere/a", "https://example.com"]),
            None,
        ),
        (
            "an intermediate with an unknown critical extension",
            |recipe| recipe.intermediate().extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[0x05, 0x00]),
            Some((UntrustedChain, "UnsupportedCriticalExtension")),
        ),
        ("an authority without KeyUsage", |recipe| recipe.authority.params.key_usages.clear(), None),
        (
            "an authority without keyCertSign",
            |recipe| recipe.authority.key_usage(true, &[KeyUsages::CRLSign]),
            Some((UntrustedChain, "UnknownIssuer")),
        ),
        (
            "an authority that is no CA",
            |recipe| recipe.authority.params.is_ca = IsCa::ExplicitNoCa,
            Some((UntrustedChain, "UnknownIssuer")),
        ),
        (
            "an authority without BasicConstraints",
            |recipe| recipe.authority.params.is_ca = IsCa::NoCa,
            Some((UntrustedChain, "UnknownIssuer")),
        ),
        ("an authority without a SPIFFE ID", |recipe| recipe.authority.uris(&[]), None),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn path_lengths_count_on_intermediates_and_anchors() {
    const TOO_LONG: Expected = Some((UntrustedChain, "PathLenConstraintViolated"));
    run(&[
        (
            "0 on the authority, no intermediate",
            |recipe| {
                recipe.intermediates.clear();
                recipe.authority.path_length(0);
            },
            None,
        ),
        ("0 on the authority, one intermediate", |recipe| recipe.authority.path_length(0), TOO_LONG),
        ("1 on the authority, one intermediate", |recipe| recipe.authority.path_length(1), None),
        (
            "1 on the authority, two intermediates",
            |recipe| {
                recipe.with_intermediates(2);
                recipe.authority.path_length(1);
            },
            TOO_LONG,
        ),
        ("0 on the only intermediate", |recipe| recipe.intermediate().path_length(0), None),
        (
            "0 on the upper of two intermediates",
            |recipe| {
                recipe.with_intermediates(2);
                recipe.intermediate().path_length(0);
            },
            TOO_LONG,
        ),
        (
            "1 on the upper of two intermediates",
            |recipe| {
                recipe.with_intermediates(2);
                recipe.intermediate().path_length(1);
            },
            None,
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn not_before_has_the_skew_and_not_after_is_strict() {
    const NOT_YET: Expected = Some((NotYetValid, "CertNotValidYet"));
    const OVER: Expected = Some((Expired, "CertExpired"));
    const NO_ANCHOR: Expected = Some((UntrustedChain, "UnknownIssuer"));
    run(&[
        ("leaf from now on", |recipe| recipe.leaf.valid(0, 3_600), None),
        ("leaf in 30 s", |recipe| recipe.leaf.valid(30, 3_600), None),
        ("leaf in 31 s", |recipe| recipe.leaf.valid(31, 3_600), NOT_YET),
        ("leaf until now", |recipe| recipe.leaf.valid(-10, 0), None),
        ("leaf until a second ago", |recipe| recipe.leaf.valid(-10, -1), OVER),
        ("leaf never", |recipe| recipe.leaf.valid(10, -10), Some((UntrustedChain, "InvalidCertValidity"))),
        ("leaf until 9999", |recipe| recipe.leaf.params.not_after = rcgen::date_time_ymd(9999, 12, 31), None),
        ("intermediate in 30 s", |recipe| recipe.intermediate().valid(30, 3_600), None),
        ("intermediate in 31 s", |recipe| recipe.intermediate().valid(31, 3_600), NOT_YET),
        ("intermediate until now", |recipe| recipe.intermediate().valid(-10, 0), None),
        ("intermediate until a second ago", |recipe| recipe.intermediate().valid(-10, -1), OVER),
        (
            "both ahead, within the skew",
            |recipe| {
                recipe.intermediate().valid(20, 3_600);
                recipe.leaf.valid(30, 3_600);
            },
            None,
        ),
        ("authority from now on", |recipe| recipe.authority.valid(0, 3_600), None),
        ("authority in 1 s", |recipe| recipe.authority.valid(1, 3_600), NO_ANCHOR),
        ("authority until now", |recipe| recipe.authority.valid(-10, 0), None),
        ("authority until a second ago", |recipe| recipe.authority.valid(-10, -1), NO_ANCHOR),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn issuers_may_have_p256_and_p384_keys_with_sha256_and_sha384() {
    run(&[
        ("P-384 authority", |recipe| recipe.authority.key = Key::p384(1), None),
        ("P-384 intermediate", |recipe| recipe.intermediate().key = Key::p384(2), None),
        (
            "P-384 throughout",
            |recipe| {
                recipe.authority.key = Key::p384(1);
                recipe.intermediate().key = Key::p384(2);
            },
            None,
        ),
        ("P-256 with SHA-384", |recipe| recipe.intermediate().hash = Hash::Other, None),
        (
            "P-384 with SHA-256",
            |recipe| {
                recipe.intermediate().key = Key::p384(2);
                recipe.intermediate().hash = Hash::Other;
            },
            None,
        ),
        (
            "another's P-384 signature",
            |recipe| {
                recipe.intermediate().key = Key::p384(2);
                recipe.leaf.forger = Some(Key::p384(9));
            },
            Some((UntrustedChain, "InvalidSignatureForPublicKey")),
        ),
        (
            "a P-384 signature where the issuer's key is on P-256",
            |recipe| recipe.leaf.forger = Some(Key::p384(9)),
            Some((UntrustedChain, "InvalidSignatureForPublicKey")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn name_constraints_count() {
    const VIOLATED: Expected = Some((UntrustedChain, "NameConstraintViolation"));
    fn constrain(issuer: &mut Draft, leaf: &mut Draft, kind: Subtrees, base: &str) {
        leaf.params.subject_alt_names.push(SanType::DnsName("api.example.com".try_into().unwrap()));
        issuer.name_constraint(kind, NameForm::Dns, base);
    }
    run(&[
        (
            "the DNS name is permitted",
            |recipe| constrain(&mut recipe.intermediates[0], &mut recipe.leaf, Subtrees::Permitted, "example.com"),
            None,
        ),
        (
            "the DNS name is not permitted",
            |recipe| constrain(&mut recipe.intermediates[0], &mut recipe.leaf, Subtrees::Permitted, "example.org"),
            VIOLATED,
        ),
        (
            "the DNS name is excluded",
            |recipe| constrain(&mut recipe.intermediates[0], &mut recipe.leaf, Subtrees::Excluded, "example.com"),
            VIOLATED,
        ),
        (
            "the DNS name is excluded by the authority",
            |recipe| constrain(&mut recipe.authority, &mut recipe.leaf, Subtrees::Excluded, "example.com"),
            VIOLATED,
        ),
        (
            "another URI is permitted",
            |recipe| recipe.intermediate().name_constraint(Subtrees::Permitted, NameForm::Uri, "example.com"),
            VIOLATED,
        ),
        (
            // webpki does not read constraints of URIs and refuses what it cannot judge.
            "the URI is permitted",
            |recipe| recipe.intermediate().name_constraint(Subtrees::Permitted, NameForm::Uri, TRUST_DOMAIN),
            VIOLATED,
        ),
        (
            "the URI is excluded",
            |recipe| recipe.intermediate().name_constraint(Subtrees::Excluded, NameForm::Uri, TRUST_DOMAIN),
            VIOLATED,
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn trust_domains_are_never_pooled() {
    let ours = Draft::authority("authority", Key::p256(1)).self_signed();
    let theirs = Draft::authority("their authority", Key::p256(4)).self_signed();
    let leaf = |issuer: &Issued, id: &str| vec![issuer.issue(&Draft::leaf(id, Key::p256(3))).der];
    let our_id = "spiffe://cluster.local/a";
    let their_id = "spiffe://partner.example/a";
    let federated = bundle_set(&[("cluster.local", &[&ours]), ("partner.example", &[&theirs])]);
    let misplaced = bundle_set(&[("cluster.local", &[]), ("partner.example", &[&ours, &theirs])]);
    let only_theirs = bundle_set(&[("partner.example", &[&ours, &theirs])]);
    let none = bundle_set(&[]);
    let no_path: Expected = Some((UntrustedChain, "no valid path to an authority of"));
    let unknown: Expected = Some((UnknownTrustDomain, "no trust bundle for trust domain"));
    for (name, issuer, id, bundles, expected) in [
        ("ours by ours", &ours, our_id, &federated, None),
        ("theirs by theirs", &theirs, their_id, &federated, None),
        ("ours by a federated authority", &theirs, our_id, &federated, no_path),
        ("theirs by our authority", &ours, their_id, &federated, no_path),
        ("ours by our authority in their bundle", &ours, our_id, &misplaced, no_path),
        ("ours by our authority, but we have no bundle", &ours, our_id, &only_theirs, unknown),
        ("a longer name than ours", &ours, "spiffe://cluster.local.evil/a", &federated, unknown),
        ("a domain below ours", &ours, "spiffe://sub.cluster.local/a", &federated, unknown),
        ("no bundle at all", &ours, our_id, &none, unknown),
    ] {
        check(name, validate_in(&leaf(issuer, id), bundles), ChainError::reason, expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn of_anchors_with_one_subject_the_right_one_is_found() {
    let authority = |change: fn(&mut Draft)| {
        let mut draft = Draft::authority("authority", Key::p256(1));
        change(&mut draft);
        draft.self_signed()
    };
    let good = authority(|_| {});
    let expired = authority(|draft| draft.valid(-7_200, -3_600));
    let future = authority(|draft| draft.valid(3_600, 7_200));
    let short = authority(|draft| draft.path_length(0));
    let other_key = authority(|draft| draft.key = Key::p256(4));
    let no_ca = authority(|draft| draft.params.is_ca = IsCa::NoCa);
    let chain = Recipe::good().chain();
    for (name, authorities, accepted) in [
        ("renewed: the old one has expired", [&expired, &good], true),
        ("renewed: the new one is not yet valid", [&future, &good], true),
        ("another key first", [&other_key, &good], true),
        ("one with path length 0 first", [&short, &good], true),
        ("one that is no CA first", [&no_ca, &good], true),
        ("the same twice", [&good, &good], true),
        ("none is valid now", [&expired, &future], false),
        ("one expired, one too short", [&expired, &short], false),
        ("another key and an expired one", [&other_key, &expired], false),
    ] {
        for authorities in [authorities, [authorities[1], authorities[0]]] {
            let bundles = bundle_set(&[(TRUST_DOMAIN, &authorities)]);
            assert_eq!(validate_in(&chain, &bundles).is_ok(), accepted, "{name}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cross_signed_intermediate_leads_to_either_authority() {
    let old = Draft::authority("old authority", Key::p256(1)).self_signed();
    let new = Draft::authority("new authority", Key::p256(4)).self_signed();
    let intermediate = Draft::intermediate("intermediate", Key::p256(2));
    let (by_old, by_new) = (old.issue(&intermediate), new.issue(&intermediate));
    let leaf = by_old.issue(&Draft::leaf(WORKLOAD, Key::p256(3))).der;
    let both = [leaf.clone(), by_old.der.clone(), by_new.der.clone()];
    for (name, chain, authorities, accepted) in [
        ("both, the old one anchored", &both[..], [&old], true),
        ("both, the new one anchored", &both[..], [&new], true),
        ("by the old one, the new one anchored", &both[..2], [&new], false),
        ("the intermediate itself anchored", &both[..1], [&by_old], true),
        ("the intermediate itself anchored and sent", &both[..2], [&by_old], true),
    ] {
        let bundles = bundle_set(&[(TRUST_DOMAIN, &authorities)]);
        assert_eq!(validate_in(chain, &bundles).is_ok(), accepted, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_anchor_vouches_for_others_not_for_itself() {
    let refused = |anchor: &Issued, chain: Vec<u8>, part| {
        let bundles = bundle_set(&[(TRUST_DOMAIN, &[anchor])]);
        check(part, validate_in(&[chain], &bundles), ChainError::reason, Some((UntrustedChain, part)));
    };
    // A leaf in the trust bundle makes neither itself nor what it signs an identity.
    let leaf = Draft::leaf(WORKLOAD, Key::p256(3)).self_signed();
    refused(&leaf, leaf.der.clone(), "UnknownIssuer");
    refused(&leaf, leaf.issue(&Draft::leaf("spiffe://cluster.local/b", Key::p256(4))).der, "UnknownIssuer");
    // Nor is an authority a workload.
    let mut authority = Draft::authority("authority", Key::p256(1));
    authority.uris(&[WORKLOAD]);
    let authority = authority.self_signed();
    refused(&authority, authority.der.clone(), "a leaf must not be a CA");
}

#[wasm_bindgen_test(unsupported = test)]
fn the_leaf_comes_first_and_the_others_in_any_order() {
    let mut recipe = Recipe::good();
    recipe.with_intermediates(2);
    let bundles = recipe.bundles();
    let chain = recipe.chain();
    let root = recipe.authority.self_signed().der;
    let [leaf, lower, upper] = chain.try_into().unwrap();
    let unrelated = Draft::intermediate("unrelated", Key::p256(8)).self_signed().der;
    let no_ca: Expected = Some((UntrustedChain, "certificate 2: an intermediate's KeyUsage must have keyCertSign"));
    let no_issuer: Expected = Some((UntrustedChain, "UnknownIssuer"));
    for (name, chain, expected) in [
        ("in order", vec![&leaf, &lower, &upper], None),
        ("intermediates swapped", vec![&leaf, &upper, &lower], None),
        ("with the authority", vec![&leaf, &lower, &upper, &root], None),
        ("with one that is not needed", vec![&leaf, &unrelated, &lower, &upper], None),
        ("an intermediate twice", vec![&leaf, &lower, &upper, &upper], None),
        ("the lower one missing", vec![&leaf, &upper], no_issuer),
        ("the upper one missing", vec![&leaf, &lower], no_issuer),
        ("leaf only", vec![&leaf], no_issuer),
        ("leaf last", vec![&lower, &upper, &leaf], Some((UntrustedChain, "certificate 1"))),
        ("leaf twice", vec![&leaf, &leaf, &lower, &upper], no_ca),
        ("nothing", vec![], Some((Malformed, "expected 1 to 4 certificates, found 0"))),
    ] {
        let chain: Vec<Vec<u8>> = chain.into_iter().cloned().collect();
        check(name, validate_in(&chain, &bundles), ChainError::reason, expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_not_der_is_malformed_at_each_position() {
    let mut recipe = Recipe::good();
    recipe.with_intermediates(2);
    let (good, bundles) = (recipe.chain(), recipe.bundles());
    const MALFORMED: Expected = Some((Malformed, "does not parse"));
    let spoilers: [Case<Expected, Vec<u8>>; 6] = [
        ("nothing", Vec::clear, MALFORMED),
        ("garbage", |der| *der = b"garbage".to_vec(), MALFORMED),
        ("zeros", |der| der.fill(0), MALFORMED),
        ("truncated", |der| der.truncate(der.len() - 1), MALFORMED),
        ("cut in half", |der| der.truncate(der.len() / 2), MALFORMED),
        ("a trailing byte", |der| der.push(0), MALFORMED),
    ];
    for (name, spoil, expected) in spoilers {
        for position in 0..good.len() {
            let mut chain = good.clone();
            spoil(&mut chain[position]);
            let name = format!("{name}, certificate {}", position + 1);
            check(&name, validate_in(&chain, &bundles), ChainError::reason, expected);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_chain_is_good_until_the_first_of_its_path_ends() {
    let at = |offset: u64| Timestamp::from_secs(NOW + offset);
    let cases: [Case<u64>; 4] = [
        ("the leaf", |_| {}, 3_600),
        ("the intermediate", |recipe| recipe.intermediate().valid(-10, 60), 60),
        ("the authority", |recipe| recipe.authority.valid(-10, 50), 50),
        ("now", |recipe| recipe.leaf.valid(-10, 0), 0),
    ];
    for (name, change, expected) in cases {
        let mut recipe = Recipe::good();
        change(&mut recipe);
        assert_eq!(validate(&recipe).unwrap().not_after, at(expected), "{name}");
    }
    // What the path does not need does not count: else a superfluous expired certificate would switch the caches off.
    let recipe = Recipe::good();
    let mut superfluous = Draft::intermediate("superfluous", Key::p256(8));
    superfluous.valid(-60, -30);
    let chain = [recipe.chain(), vec![superfluous.self_signed().der]].concat();
    assert_eq!(validate_in(&chain, &recipe.bundles()).unwrap().not_after, at(3_600));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_chain_costs_a_bounded_number_of_signature_checks() {
    let spent = |chain: &[Vec<u8>], authorities: &[&Issued]| {
        let signatures = Counting::truthful();
        let bundles = bundle_set(&[(TRUST_DOMAIN, authorities)]);
        let outcome = chain::validate(chain, &bundles, signatures, now(), SKEW);
        (outcome.map_err(|error| error.reason()).err(), signatures.asked())
    };
    let mut recipe = Recipe::good();
    recipe.with_intermediates(3);
    let good = recipe.authority.self_signed();
    assert_eq!(spent(&recipe.chain(), &[&good]), (None, 4));

    let namesakes: Vec<_> = (10..90).map(|key| Draft::authority("authority", Key::p256(key)).self_signed()).collect();
    let namesakes: Vec<_> = namesakes.iter().collect();
    let limit = usize::from(MAX_SIGNATURE_CHECKS);
    assert_eq!(spent(&recipe.chain(), &namesakes), (Some(UntrustedChain), limit));
    let last = [&namesakes[..], &[&good]].concat();
    assert_eq!(spent(&recipe.chain(), &last), (Some(UntrustedChain), limit));

    // Intermediates that all claim to have issued one another.
    let twin = |key| Draft::intermediate("twin", Key::p256(key));
    let issuer = twin(60).self_signed();
    let leaf = issuer.issue(&Draft::leaf(WORKLOAD, Key::p256(3))).der;
    let twins = [61, 62, 63].map(|key| issuer.issue(&twin(key)).der);
    let anchors: Vec<_> = (10..90).map(|key| twin(key).self_signed()).collect();
    let anchors: Vec<_> = anchors.iter().filter(|anchor| anchor.der != issuer.der).collect();
    assert_eq!(spent(&[vec![leaf], twins.to_vec()].concat(), &anchors), (Some(UntrustedChain), limit));
}

#[wasm_bindgen_test(unsupported = test)]
fn only_an_unknown_authority_is_worth_another_look() {
    let outcome = |change: fn(&mut Recipe)| {
        let mut recipe = Recipe::good();
        change(&mut recipe);
        validate(&recipe).unwrap_err().is_unknown_authority()
    };
    assert!(outcome(|recipe| recipe.bundle_of = "elsewhere"));
    assert!(outcome(|recipe| recipe.authority.valid(-10, -1)));
    assert!(outcome(|recipe| recipe.intermediate().forger = Some(Key::p256(9))));
    assert!(!outcome(|recipe| recipe.leaf.path_length(0)));
    assert!(!outcome(|recipe| recipe.with_intermediates(4)));
}
