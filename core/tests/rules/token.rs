//! Tokens end to end: one change each in a good call, and the reason code that the caller is told.

use crate::common::key::Key;
use crate::common::pki::{Draft, OTHER_WORKLOAD, Recipe, WORKLOAD, bundle_set};
use crate::common::scene::{AUDIENCE, Scene};
use crate::common::verifier::Counting;
use crate::common::{Expected, NOW, check};
use p256::ecdsa::Signature;
use rcgen::IsCa;
use scbte_core::base64;
use scbte_core::reason::Reason::{
    self, AudienceMismatch, BadSignature, BindingMismatch, Expired, LifetimeTooLong, Malformed, NotYetValid,
    PeerMismatch, SubjectMismatch, TokenTooLarge, UnknownTrustDomain, UnsupportedAlgorithm, UnsupportedType,
    UntrustedChain,
};
use scbte_core::time::Timestamp;
use scbte_core::token;
use scbte_core::verify::{Source, VerifyError};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use wasm_bindgen_test::wasm_bindgen_test;

/// A case: its name, what is changed in a good call, what is expected.
type Case<E = Expected> = (&'static str, fn(&mut Scene), E);

fn run(cases: &[Case]) {
    for (name, change, expected) in cases {
        let (outcome, _) = Scene::with(change).verify();
        check(name, outcome, VerifyError::reason, *expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_the_companion_mints_proves_its_caller() {
    let scene = Scene::good();
    let claims = scene.claims.as_object().unwrap();
    let leaf = &scene.recipe.leaf.key;
    let token = token::sign::token(claims, &scene.recipe.chain(), "a hint", leaf.signing());
    let signatures = Counting::truthful();
    let mut verifier = scene.verifier(signatures);
    let caller = verifier.verify(&token, &scene.request(), &scene.bundles(), scene.now).unwrap();
    assert_eq!(caller.claims().sub.as_str(), WORKLOAD);
    assert_eq!(caller.claims().ctx.as_str(), "read:users");
    assert_eq!(caller.audience(), AUDIENCE);
    assert_eq!(&*caller.claims().text, scene.claims.to_string());
    assert_eq!((caller.source(), signatures.asked()), (Source::Full, 3));
}

const BAD: Expected = Some((BadSignature, "the token's signature does not verify"));
const NOT_BASE64: Expected = Some((Malformed, "not canonical base64"));

/// Makes the token another workload's, certificate, key and all.
fn become_other(scene: &mut Scene) {
    scene.recipe.leaf = Draft::leaf(OTHER_WORKLOAD, Key::p256(5));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_chain_and_its_key_belong_to_the_subject() {
    let other_chain: fn(&mut Scene) = |scene| {
        become_other(scene);
        scene.signer = Some(Key::p256(3));
        scene.claims["sub"] = OTHER_WORKLOAD.into();
    };
    run(&[
        ("as it comes", |_| {}, None),
        (
            "another workload, by its own chain and key",
            |scene| {
                become_other(scene);
                scene.claims["sub"] = OTHER_WORKLOAD.into();
            },
            None,
        ),
        ("another workload's chain, signed with one's own key, claiming to be it", other_chain, BAD),
        (
            "another workload's chain and key, claiming to be this one",
            become_other,
            Some((
                SubjectMismatch,
                "`sub` is `spiffe://cluster.local/ns/production/sa/api-gateway`, the certificate is",
            )),
        ),
        (
            "claiming to be another workload",
            |scene| scene.claims["sub"] = OTHER_WORKLOAD.into(),
            Some((SubjectMismatch, "the certificate is for")),
        ),
        (
            "claiming to be of another trust domain",
            |scene| scene.claims["sub"] = "spiffe://partner.example/ns/production/sa/api-gateway".into(),
            Some((SubjectMismatch, "the certificate is for")),
        ),
        (
            "a longer subject",
            |scene| scene.claims["sub"] = format!("{WORKLOAD}-2").into(),
            Some((SubjectMismatch, "the certificate is for")),
        ),
        ("signed with another key", |scene| scene.signer = Some(Key::p256(9)), BAD),
        ("signed with the issuer's key", |scene| scene.signer = Some(Key::p256(2)), BAD),
        ("signed with the authority's key", |scene| scene.signer = Some(Key::p256(1)), BAD),
        (
            "the chain of an authority that is not ours",
            |scene| {
                scene.bundles = Some(Recipe::good().bundles());
                scene.recipe.authority.key = Key::p256(9);
            },
            Some((UntrustedChain, "no valid path to an authority of `cluster.local`")),
        ),
        (
            "a leaf that is a CA",
            |scene| scene.recipe.leaf.path_length(0),
            Some((UntrustedChain, "a leaf must not be a CA")),
        ),
        (
            "an intermediate that is no CA",
            |scene| scene.recipe.intermediate().params.is_ca = IsCa::NoCa,
            Some((UntrustedChain, "EndEntityUsedAsCa")),
        ),
        (
            "a trust domain without a bundle",
            |scene| {
                scene.recipe.leaf.uris(&["spiffe://partner.example/a"]);
                scene.claims["sub"] = "spiffe://partner.example/a".into();
            },
            Some((UnknownTrustDomain, "no trust bundle for trust domain `partner.example`")),
        ),
        (
            "a trust domain without authorities",
            |scene| scene.bundles = Some(bundle_set(&[("cluster.local", &[])])),
            Some((UntrustedChain, "UnknownIssuer")),
        ),
        (
            "a leaf that is not yet valid",
            |scene| scene.recipe.leaf.valid(31, 60),
            Some((NotYetValid, "CertNotValidYet")),
        ),
        ("a leaf that is over", |scene| scene.recipe.leaf.valid(-60, -1), Some((Expired, "CertExpired"))),
        (
            "a P-384 leaf",
            |scene| {
                scene.recipe.leaf.key = Key::p384(3);
                scene.signer = Some(Key::p256(3));
            },
            Some((UnsupportedAlgorithm, "a leaf's key must be an uncompressed point on P-256")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn x5c_is_the_chain() {
    let length: Expected = Some((Malformed, "expected 1 to 4 certificates, found"));
    let array: Expected = Some((Malformed, "`x5c` must be an array of base64 certificates"));
    run(&[
        ("none", |scene| scene.header["x5c"] = Value::Null, array),
        ("a string", |scene| scene.header["x5c"] = "AQ==".into(), array),
        ("empty", |scene| scene.x5c = Vec::clear, length),
        ("four", |scene| scene.recipe.with_intermediates(3), None),
        ("five", |scene| scene.recipe.with_intermediates(4), length),
        (
            "five, the last of them no base64",
            |scene| {
                scene.recipe.with_intermediates(3);
                scene.x5c = |x5c| x5c.push("!".into());
            },
            length,
        ),
        (
            "twelve",
            |scene| {
                scene.rules.max_size = 64 * 1024;
                scene.recipe.with_intermediates(11);
            },
            length,
        ),
        ("without padding", |scene| scene.x5c = |x5c| x5c.push("AQ".into()), NOT_BASE64),
        (
            "base64url",
            |scene| scene.x5c = |x5c| spell(x5c, |text| text.replace('+', "-").replace('/', "_")),
            NOT_BASE64,
        ),
        ("with a line break", |scene| scene.x5c = |x5c| spell(x5c, |text| text.replacen('A', "A\n", 1)), NOT_BASE64),
        (
            "PEM",
            |scene| scene.x5c = |x5c| spell(x5c, |text| format!("-----BEGIN CERTIFICATE-----\n{text}")),
            NOT_BASE64,
        ),
        (
            "an empty certificate",
            |scene| scene.x5c = |x5c| x5c[0].clear(),
            Some((Malformed, "certificate 1: does not parse")),
        ),
        (
            "an empty second certificate",
            |scene| scene.x5c = |x5c| x5c[1].clear(),
            Some((Malformed, "certificate 2: does not parse")),
        ),
        (
            "no certificate at all",
            |scene| scene.x5c = |x5c| x5c[0] = base64::encode_standard("hello"),
            Some((Malformed, "certificate 1: does not parse")),
        ),
        ("swapped", |scene| scene.x5c = |x5c| x5c.swap(0, 1), Some((UntrustedChain, "certificate 1"))),
        (
            "the intermediate missing",
            |scene| scene.x5c = |x5c| drop(x5c.pop()),
            Some((UntrustedChain, "UnknownIssuer")),
        ),
    ]);
}

/// Spells the certificates otherwise; that must change something, or the case would test nothing.
fn spell(x5c: &mut [String], spelling: fn(&str) -> String) {
    let before = x5c.to_vec();
    for text in x5c.iter_mut() {
        *text = spelling(text);
    }
    assert_ne!(before, x5c);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_header_says_es256_and_scbte() {
    let algorithm: Expected = Some((UnsupportedAlgorithm, "`alg` must be `ES256`"));
    let kind: Expected = Some((UnsupportedType, "`typ` must be `scbte+jwt`"));
    run(&[
        ("none", |scene| scene.header["alg"] = "none".into(), algorithm),
        ("None", |scene| scene.header["alg"] = "None".into(), algorithm),
        ("HS256", |scene| scene.header["alg"] = "HS256".into(), algorithm),
        ("RS256", |scene| scene.header["alg"] = "RS256".into(), algorithm),
        ("ES384", |scene| scene.header["alg"] = "ES384".into(), algorithm),
        ("EdDSA", |scene| scene.header["alg"] = "EdDSA".into(), algorithm),
        ("es256", |scene| scene.header["alg"] = "es256".into(), algorithm),
        ("no algorithm", |scene| drop(scene.header.as_object_mut().unwrap().remove("alg")), algorithm),
        ("typ JWT", |scene| scene.header["typ"] = "JWT".into(), kind),
        (
            "typ JWT where it is configured",
            |scene| {
                scene.header["typ"] = "JWT".into();
                scene.rules.accept_typ = vec!["scbte+jwt".into(), "JWT".into()];
            },
            None,
        ),
        (
            "scbte+jwt where JWT is configured too",
            |scene| scene.rules.accept_typ = vec!["scbte+jwt".into(), "JWT".into()],
            None,
        ),
        ("typ in upper case", |scene| scene.header["typ"] = "SCBTE+JWT".into(), kind),
        ("typ as a media type", |scene| scene.header["typ"] = "application/scbte+jwt".into(), kind),
        ("an envelope's typ", |scene| scene.header["typ"] = "scbte-bundle+jwt".into(), kind),
        ("no typ", |scene| drop(scene.header.as_object_mut().unwrap().remove("typ")), kind),
        ("typ null", |scene| scene.header["typ"] = Value::Null, kind),
        ("no kid", |scene| drop(scene.header.as_object_mut().unwrap().remove("kid")), None),
        ("kid of another type", |scene| scene.header["kid"] = json!([1]), None),
        ("crit", |scene| scene.header["crit"] = json!(["exp"]), Some((Malformed, "`crit` is not accepted"))),
        ("b64", |scene| scene.header["b64"] = json!(false), None),
        (
            "jwk, jku and x5u, which are not used",
            |scene| {
                scene.header["jwk"] = json!({"kty": "EC"});
                scene.header["jku"] = "https://evil.example/keys".into();
                scene.header["x5u"] = "https://evil.example/cert".into();
            },
            None,
        ),
        (
            "alg twice",
            |scene| scene.json = |header, _| *header = header.replacen('{', r#"{"alg":"none","#, 1),
            Some((Malformed, "member `alg` appears twice")),
        ),
        (
            "x5c twice, once escaped",
            |scene| scene.json = |header, _| *header = header.replacen('{', r#"{"x5\u0063":[],"#, 1),
            Some((Malformed, "member `x5c` appears twice")),
        ),
        (
            "trailing data",
            |scene| scene.json = |header, _| header.push_str("{}"),
            Some((Malformed, "trailing characters")),
        ),
        ("an array", |scene| scene.json = |header, _| *header = "[]".into(), Some((Malformed, "expected an object"))),
        (
            "nested 900 deep",
            |scene| scene.json = |header, _| *header = format!("{{\"a\":{}", "[".repeat(900)),
            Some((Malformed, "nested too deeply")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_claims_follow_the_design() {
    let subject: Expected = Some((Malformed, "`sub`: "));
    let lifetime: Expected = Some((LifetimeTooLong, "the token lives"));
    run(&[
        ("a trust domain as subject", |scene| scene.claims["sub"] = "spiffe://cluster.local".into(), subject),
        ("a subject in upper case", |scene| scene.claims["sub"] = WORKLOAD.to_uppercase().into(), subject),
        ("no subject", |scene| drop(scene.claims.as_object_mut().unwrap().remove("sub")), Some((Malformed, "`sub`"))),
        ("no context", |scene| drop(scene.claims.as_object_mut().unwrap().remove("ctx")), Some((Malformed, "`ctx`"))),
        ("a context with a space", |scene| scene.claims["ctx"] = "read users".into(), Some((Malformed, "`ctx`"))),
        ("a jti that breaks a header", |scene| scene.claims["jti"] = "a\r\nb: c".into(), Some((Malformed, "`jti`"))),
        ("exp a string", |scene| scene.claims["exp"] = (NOW + 300).to_string().into(), Some((Malformed, "`exp`"))),
        ("exp a double", |scene| scene.claims["exp"] = (NOW as f64 + 300.0).into(), Some((Malformed, "`exp`"))),
        ("exp not after iat", |scene| scene.claims["exp"] = NOW.into(), Some((Malformed, "`exp` must be later"))),
        ("a lifetime of 301 s", |scene| scene.claims["exp"] = (NOW + 301).into(), lifetime),
        (
            "a lifetime of 301 s where 600 s are allowed",
            |scene| {
                scene.claims["exp"] = (NOW + 301).into();
                scene.rules.max_lifetime = Duration::from_secs(600);
            },
            None,
        ),
        ("a lifetime of 2^53 s", |scene| scene.claims["exp"] = (1_u64 << 53).into(), lifetime),
        (
            "sub twice",
            |scene| {
                scene.json = |_, claims| *claims = claims.replacen('{', &format!(r#"{{"sub":"{OTHER_WORKLOAD}","#), 1);
            },
            Some((Malformed, "member `sub` appears twice")),
        ),
        (
            "aud twice, once escaped",
            |scene| scene.json = |_, claims| *claims = claims.replacen('{', r#"{"\u0061ud":"x","#, 1),
            Some((Malformed, "member `aud` appears twice")),
        ),
        ("no JSON", |scene| scene.json = |_, claims| *claims = "foo".into(), Some((Malformed, "the claims are"))),
        (
            "nested 900 deep",
            |scene| scene.json = |_, claims| *claims = format!("{{\"a\":{}", "[".repeat(900)),
            Some((Malformed, "nested too deeply")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_has_its_time() {
    let over: Expected = Some((Expired, "the token expired at"));
    let early: Expected = Some((NotYetValid, "now it is"));
    run(&[
        ("29 s after exp", |scene| scene.now = Timestamp::from_secs(NOW + 329), None),
        ("30 s after exp", |scene| scene.now = Timestamp::from_secs(NOW + 330), over),
        ("30 s before iat", |scene| scene.now = Timestamp::from_secs(NOW - 30), None),
        ("31 s before iat", |scene| scene.now = Timestamp::from_secs(NOW - 31), early),
        ("a nanosecond too early", |scene| scene.now = Timestamp::from_nanos((NOW - 30) * 1_000_000_000 - 1), early),
        ("nbf in 30 s", |scene| scene.claims["nbf"] = (NOW + 30).into(), None),
        ("nbf in 31 s", |scene| scene.claims["nbf"] = (NOW + 31).into(), early),
        (
            "no skew: at exp",
            |scene| {
                scene.rules.clock_skew = Duration::ZERO;
                scene.now = Timestamp::from_secs(NOW + 300);
            },
            over,
        ),
        ("at the epoch", |scene| scene.now = Timestamp::from_secs(0), early),
        ("at the end of time", |scene| scene.now = Timestamp::from_nanos(u64::MAX), over),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_is_for_this_service() {
    let mismatch: Expected = Some((AudienceMismatch, "this service is `api.production.svc.cluster.local`"));
    run(&[
        ("another's", |scene| scene.claims["aud"] = "orders".into(), mismatch),
        ("in upper case", |scene| scene.claims["aud"] = AUDIENCE.to_uppercase().into(), mismatch),
        ("with a final dot", |scene| scene.claims["aud"] = format!("{AUDIENCE}.").into(), mismatch),
        ("one of an array", |scene| scene.claims["aud"] = json!(["orders", AUDIENCE]), None),
        ("none of an array", |scene| scene.claims["aud"] = json!(["orders", "users"]), mismatch),
        ("an empty array", |scene| scene.claims["aud"] = json!([]), Some((Malformed, "`aud` must be"))),
        ("a nested array", |scene| scene.claims["aud"] = json!([[AUDIENCE]]), Some((Malformed, "`aud` must be"))),
        ("no audience", |scene| drop(scene.claims.as_object_mut().unwrap().remove("aud")), Some((Malformed, "`aud`"))),
        (
            "the second of the service's",
            |scene| {
                scene.audiences.push("api");
                scene.claims["aud"] = "api".into();
            },
            None,
        ),
        ("a service without audiences", |scene| scene.audiences.clear(), Some((AudienceMismatch, "the token is for"))),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_may_be_bound_to_its_request() {
    let bind: fn(&mut Scene) = |scene| {
        scene.claims["htm"] = "GET".into();
        scene.claims["htp"] = "/api/v1/users".into();
    };
    let method: Expected = Some((BindingMismatch, "the token is bound to htm"));
    let path: Expected = Some((BindingMismatch, "the token is bound to htp"));
    run(&[
        ("bound to it", bind, None),
        ("another method", |scene| scene.claims["htm"] = "POST".into(), method),
        ("the method in lower case", |scene| scene.claims["htm"] = "get".into(), method),
        ("another path", |scene| scene.claims["htp"] = "/api/v1/users/1".into(), path),
        ("the path with a final slash", |scene| scene.claims["htp"] = "/api/v1/users/".into(), path),
        ("the path with a query", |scene| scene.claims["htp"] = "/api/v1/users?a".into(), path),
        ("required and missing", |scene| scene.rules.require_binding = true, method),
        (
            "required, the path missing",
            |scene| {
                scene.claims["htm"] = "GET".into();
                scene.rules.require_binding = true;
            },
            path,
        ),
    ]);
    check(
        "required and there",
        Scene::with(|scene| {
            bind(scene);
            scene.rules.require_binding = true;
        })
        .verify()
        .0,
        VerifyError::reason,
        None,
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_may_be_bound_to_its_tls_peer() {
    let mismatch: Expected = Some((PeerMismatch, "the TLS peer is"));
    run(&[
        ("the same", |scene| scene.peer = Some(Some(WORKLOAD)), None),
        ("another", |scene| scene.peer = Some(Some(OTHER_WORKLOAD)), mismatch),
        ("none", |scene| scene.peer = Some(None), Some((PeerMismatch, "the TLS peer is not known"))),
        ("an empty one", |scene| scene.peer = Some(Some("")), mismatch),
        (
            "several, as Envoy lists them",
            |scene| scene.peer = Some(Some("spiffe://cluster.local/ns/production/sa/api-gateway,spiffe://b/c")),
            mismatch,
        ),
        ("not asked for", |scene| scene.peer = None, None),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_has_three_parts_in_canonical_base64url() {
    let parts: Expected = Some((Malformed, "expected three parts separated by dots"));
    run(&[
        ("two parts", |scene| scene.parts = |parts| drop(parts.pop()), parts),
        ("four parts", |scene| scene.parts = |parts| parts.push("AA".into()), parts),
        ("nothing", |scene| scene.parts = Vec::clear, parts),
        ("a padded header", |scene| scene.parts = |parts| parts[0].push_str("=="), NOT_BASE64),
        ("a padded payload", |scene| scene.parts = |parts| parts[1].push('='), NOT_BASE64),
        ("a padded signature", |scene| scene.parts = |parts| parts[2].push_str("=="), NOT_BASE64),
        ("a space in front", |scene| scene.parts = |parts| parts[0].insert(0, ' '), NOT_BASE64),
        ("a line break behind", |scene| scene.parts = |parts| parts[2].push('\n'), NOT_BASE64),
        (
            "non-zero trailing bits",
            |scene| {
                scene.parts = |parts| {
                    // 64 bytes leave 4 bits unused in the last character.
                    let last = parts[2].pop().unwrap();
                    parts[2].push(char::from(last as u8 + 1));
                };
            },
            NOT_BASE64,
        ),
        ("standard base64", |scene| scene.parts = |parts| parts[1].push('+'), NOT_BASE64),
        ("another payload", |scene| scene.parts = |parts| parts[1] = base64::encode_url(forged_payload()), BAD),
        ("no signature", |scene| scene.parts = |parts| parts[2].clear(), BAD),
        ("zeros as signature", |scene| scene.parts = |parts| parts[2] = base64::encode_url([0; 64]), BAD),
        ("r = 0", |scene| scene.parts = |parts| signature(parts, |raw| raw[..32].fill(0)), BAD),
        ("s = 0", |scene| scene.parts = |parts| signature(parts, |raw| raw[32..].fill(0)), BAD),
        ("r beyond the order", |scene| scene.parts = |parts| signature(parts, |raw| raw[..32].fill(0xff)), BAD),
        ("s beyond the order", |scene| scene.parts = |parts| signature(parts, |raw| raw[32..].fill(0xff)), BAD),
        ("a longer signature", |scene| scene.parts = |parts| signature(parts, |raw| raw.push(0)), BAD),
        ("a shorter signature", |scene| scene.parts = |parts| signature(parts, |raw| raw.truncate(63)), BAD),
        (
            "a DER signature",
            |scene| {
                scene.parts = |parts| {
                    signature(parts, |raw| *raw = Signature::from_slice(raw).unwrap().to_der().as_bytes().to_vec());
                };
            },
            BAD,
        ),
    ]);
}

/// A payload as good as the signed one, but for its context.
fn forged_payload() -> String {
    let mut claims = Scene::good().claims;
    claims["ctx"] = "write:users".into();
    claims.to_string()
}

/// Changes the bytes of the signature.
fn signature(parts: &mut [String], change: fn(&mut Vec<u8>)) {
    let mut raw = base64::decode_url(&parts[2]).unwrap();
    change(&mut raw);
    parts[2] = base64::encode_url(raw);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_has_a_size() {
    let length = Scene::good().token().len();
    for (name, limit, expected) in
        [("just the limit", length, None), ("a byte over it", length - 1, Some((TokenTooLarge, "bytes, at most")))]
    {
        let (outcome, _) = Scene::with(|scene| scene.rules.max_size = limit).verify();
        check(name, outcome, VerifyError::reason, expected);
    }
    let scene = Scene::good();
    let mut verifier = scene.verifier(Counting::no());
    let outcome = verifier.verify(&"a".repeat(100 * 1024), &scene.request(), &scene.bundles(), scene.now);
    check("100 KiB", outcome, VerifyError::reason, Some((TokenTooLarge, "102400 bytes, at most 8192")));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_costs_little_is_checked_first() {
    let cases: [Case<usize>; 12] = [
        ("a good one: leaf, intermediate, token", |_| {}, 3),
        ("expired", |scene| scene.now = Timestamp::from_secs(NOW + 400), 0),
        ("for another service", |scene| scene.claims["aud"] = "orders".into(), 0),
        ("bound to another path", |scene| scene.claims["htp"] = "/".into(), 0),
        ("from another peer", |scene| scene.peer = Some(None), 0),
        ("of a wrong type", |scene| scene.header["typ"] = "JWT".into(), 0),
        ("of an unknown trust domain", |scene| scene.recipe.bundle_of = "elsewhere", 0),
        ("a leaf that is a CA", |scene| scene.recipe.leaf.path_length(0), 0),
        ("no certificate", |scene| scene.x5c = |x5c| x5c[0].clear(), 0),
        ("another's subject", |scene| scene.claims["sub"] = OTHER_WORKLOAD.into(), 2),
        ("zeros as signature", |scene| scene.parts = |parts| parts[2] = base64::encode_url([0; 64]), 2),
        ("signed with another key", |scene| scene.signer = Some(Key::p256(9)), 3),
    ];
    for (name, change, expected) in cases {
        let (_, asked) = Scene::with(change).verify();
        assert_eq!(asked, expected, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bad_token_costs_at_most_twelve_signature_checks() {
    // Many authorities of the chain's name, none of them its issuer.
    let namesakes: Vec<_> = (10..90).map(|key| Draft::authority("authority", Key::p256(key)).self_signed()).collect();
    let mut authorities: Vec<_> = namesakes.iter().collect();
    let scene = Scene::with(|scene| {
        scene.recipe.with_intermediates(3);
        scene.bundles = Some(bundle_set(&[("cluster.local", &authorities)]));
    });
    let (outcome, asked) = scene.verify();
    assert_eq!((outcome.unwrap_err().reason(), asked), (UntrustedChain, 11));
    // The issuer is among them, just within the budget, and the token's own signature is bad.
    let issuer = scene.recipe.authority.self_signed();
    authorities.truncate(7);
    authorities.push(&issuer);
    let scene = Scene::with(|scene| {
        scene.recipe.with_intermediates(3);
        scene.bundles = Some(bundle_set(&[("cluster.local", &authorities)]));
        scene.signer = Some(Key::p256(9));
    });
    let (outcome, asked) = scene.verify();
    assert_eq!((outcome.unwrap_err().reason(), asked), (BadSignature, 12));
}

#[wasm_bindgen_test(unsupported = test)]
fn every_reason_that_verification_has_was_seen() {
    let by_verification: BTreeSet<Reason> =
        Reason::ALL.into_iter().filter(|reason| reason.is_invalid_token()).collect();
    let changes: [fn(&mut Scene); 14] = [
        |scene| scene.now = Timestamp::from_secs(NOW + 400),
        |scene| scene.now = Timestamp::from_secs(NOW - 400),
        |scene| scene.claims["aud"] = "orders".into(),
        |scene| scene.signer = Some(Key::p256(9)),
        |scene| scene.recipe.leaf.forger = Some(Key::p256(9)),
        |scene| scene.recipe.bundle_of = "elsewhere",
        become_other,
        |scene| scene.parts = Vec::clear,
        |scene| scene.header["alg"] = "none".into(),
        |scene| scene.header["typ"] = "JWT".into(),
        |scene| scene.rules.max_size = 10,
        |scene| scene.rules.max_lifetime = Duration::from_secs(10),
        |scene| scene.claims["htm"] = "POST".into(),
        |scene| scene.peer = Some(None),
    ];
    let seen: BTreeSet<Reason> =
        changes.into_iter().map(|change| Scene::with(change).verify().0.unwrap_err().reason()).collect();
    assert_eq!(seen, by_verification);
}
