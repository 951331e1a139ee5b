//! Envelopes: who signed, for whom, when; what they carry; which of two is in force.

use crate::common::key::Key;
use crate::common::pki::{Draft, Issued, Recipe, bundle_json};
use crate::common::scene::{Scene, signed};
use crate::common::verifier::Counting;
use crate::common::{NOW, SKEW, now};
use scbte_core::base64;
use scbte_core::bundle::{BundleSet, Revision};
use scbte_core::certificate::Anchor;
use scbte_core::envelope::{
    Envelope, EnvelopeError, LIFETIME, Order, PolicyPayload, Trust, order, policy_json, policy_revision, sign,
};
use scbte_core::jwk::PublicKey;
use scbte_core::reason::Reason;
use scbte_core::signature::InModule;
use scbte_core::spiffe_id::TrustDomain;
use scbte_core::time::Timestamp;
use scbte_core::verify::VerifyError;
use serde_json::{Map, Value, json};
use std::time::Duration;
use wasm_bindgen_test::wasm_bindgen_test;

/// The envelope keys.
const FIRST: u8 = 20;
const SECOND: u8 = 21;
const STRANGER: u8 = 22;

fn public(number: u8) -> PublicKey {
    PublicKey::from_point(Key::p256(number).public()).unwrap()
}

/// An envelope before it is signed, and who it comes to. Good as it comes.
struct Unsealed {
    header: Value,
    members: Value,
    signer: Key,
    /// Changes the JSON of the payload before it is signed.
    json: fn(&mut String),
    /// Changes the parts after it is signed.
    parts: fn(&mut Vec<String>),
    trust: Trust,
    now: Timestamp,
}

impl Unsealed {
    fn good() -> Self {
        let seq = NOW * 1_000_000;
        let members = json!({"iat": NOW, "exp": NOW + 86_400, "seq": seq, "target": "demo", "trust_domains": bundle()});
        Self {
            header: json!({"alg": "ES256", "typ": "scbte-bundle+jwt"}),
            members,
            signer: Key::p256(FIRST),
            json: |_| {},
            parts: |_| {},
            trust: Trust { keys: vec![public(FIRST)], target: "demo".into(), allow_dev: false, skew: SKEW },
            now: now(),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut unsealed = Self::good();
        change(&mut unsealed);
        unsealed
    }

    fn text(&self) -> String {
        let mut payload = self.members.to_string();
        (self.json)(&mut payload);
        let mut parts = signed(&self.header.to_string(), &payload, &self.signer);
        (self.parts)(&mut parts);
        parts.join(".")
    }

    fn open(&self) -> Result<Envelope<BundleSet>, EnvelopeError> {
        Envelope::open(&self.text(), &self.trust, &InModule, self.now)
    }
}

fn authority() -> Issued {
    Recipe::good().authority.self_signed()
}

fn bundle() -> Map<String, Value> {
    bundle_json(&[("cluster.local", &[&authority()])])
}

/// What a case expects: to be accepted, or the control API's status and a part of the message.
type Expected = Option<(u16, &'static str)>;
/// A case: its name, what is changed in a good envelope, what is expected.
type Case<E = Expected, T = Unsealed> = (&'static str, fn(&mut T), E);

/// A change and its name.
type Change = (&'static str, fn(&mut Unsealed));
/// A case: its name, the change, seconds since it was signed, `max_age`, whether it is usable and whether it is ahead.
type Aged = (&'static str, fn(&mut Unsealed), i64, Duration, (bool, bool));

fn run(cases: &[Case]) {
    for (name, change, expected) in cases {
        check(name, Unsealed::with(change).open(), *expected);
    }
}

#[track_caller]
fn check<T>(name: &str, outcome: Result<Envelope<T>, EnvelopeError>, expected: Expected) {
    match (outcome, expected) {
        (Ok(_), None) => {}
        (Err(error), Some((status, part))) => {
            let message = error.to_string();
            assert_eq!((error.status(), message.contains(part)), (status, true), "{name}: {message}");
        }
        (Err(error), None) => panic!("{name}: refused: {error}"),
        (Ok(_), Some(expected)) => panic!("{name}: accepted, expected {expected:?}"),
    }
}

/// Removes a member.
fn without(members: &mut Value, name: &str) {
    members.as_object_mut().unwrap().remove(name).unwrap();
}

#[wasm_bindgen_test(unsupported = test)]
fn a_sealed_envelope_opens() {
    let signing = sign::Signing { target: "demo", now: now(), seq: NOW * 1_000_000, dev: false, kid: None };
    let text = sign::seal::<BundleSet>(&signing, ("trust_domains", bundle().into()), Key::p256(FIRST).signing());
    let envelope = Envelope::<BundleSet>::open(&text, &Unsealed::good().trust, &InModule, now()).unwrap();
    assert_eq!((envelope.iat, envelope.exp, envelope.seq), (now(), now().plus(LIFETIME), NOW * 1_000_000));
    let bundle = envelope.payload.get(&TrustDomain::parse("cluster.local").unwrap()).unwrap();
    assert_eq!(bundle.anchors().iter().map(Anchor::der).collect::<Vec<_>>(), [authority().der]);
    assert_eq!(envelope.age(now().plus(Duration::from_secs(7))), Duration::from_secs(7));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_pinned_key_signed_it() {
    const BAD: Expected = Some((401, "the signature is by none of the pinned envelope keys"));
    run(&[
        ("the pinned key", |_| {}, None),
        ("another key", |it| it.signer = Key::p256(STRANGER), BAD),
        ("the second pinned key", |it| rotate(it, SECOND), None),
        ("a key that was removed", |it| it.trust.keys = vec![public(SECOND)], BAD),
        ("no pinned key", |it| it.trust.keys.clear(), BAD),
        ("the fourth pinned key", |it| it.trust.keys = [SECOND, 30, 31, FIRST].map(public).into(), None),
        ("the fifth pinned key", |it| it.trust.keys = [SECOND, 30, 31, 32, FIRST].map(public).into(), BAD),
        ("a modified payload", |it| it.parts = |parts| parts[1] = base64::encode_url(r#"{"iat":1}"#), BAD),
        (
            "a modified header",
            |it| it.parts = |parts| parts[0] = base64::encode_url(r#"{"typ":"scbte-bundle+jwt","alg":"ES256"}"#),
            BAD,
        ),
        ("no signature", |it| it.parts = |parts| parts[2].clear(), BAD),
        ("zeros as signature", |it| it.parts = |parts| parts[2] = base64::encode_url([0; 64]), BAD),
        (
            "a key that the header brings along",
            |it| {
                it.signer = Key::p256(STRANGER);
                it.header["jwk"] = serde_json::to_value(public(STRANGER)).unwrap();
            },
            BAD,
        ),
    ]);
}

/// Pins both keys and signs with this one.
fn rotate(unsealed: &mut Unsealed, signer: u8) {
    unsealed.trust.keys = vec![public(FIRST), public(SECOND)];
    unsealed.signer = Key::p256(signer);
}

#[wasm_bindgen_test(unsupported = test)]
fn kid_chooses_among_the_pinned_keys() {
    let (first, second) = (public(FIRST).with_thumbprint(), public(SECOND).with_thumbprint());
    let (first_kid, second_kid) = (first.thumbprint(), second.thumbprint());
    for (name, kid, keys, signer, accepted, most) in [
        ("none: all are tried", None, vec![first.clone(), second.clone()], SECOND, true, 2),
        ("the first's", Some(&first_kid), vec![first.clone(), second.clone()], FIRST, true, 1),
        ("the second's", Some(&second_kid), vec![first.clone(), second.clone()], SECOND, true, 1),
        ("the first's, signed by the second", Some(&first_kid), vec![first.clone(), second.clone()], SECOND, false, 1),
        ("unknown", Some(&"unknown".to_owned()), vec![first.clone(), second.clone()], FIRST, false, 0),
        (
            "unknown, but a pinned key has no kid",
            Some(&"unknown".to_owned()),
            vec![first, public(SECOND)],
            SECOND,
            true,
            1,
        ),
        ("none, by a stranger", None, [FIRST, SECOND, 30, 31].map(public).into(), STRANGER, false, 4),
    ] {
        let unsealed = Unsealed::with(|it| {
            it.trust.keys = keys;
            it.signer = Key::p256(signer);
            if let Some(kid) = kid {
                it.header["kid"] = kid.as_str().into();
            }
        });
        let signatures = Counting::truthful();
        let outcome = Envelope::<BundleSet>::open(&unsealed.text(), &unsealed.trust, signatures, unsealed.now);
        assert_eq!((outcome.is_ok(), signatures.asked()), (accepted, most), "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_is_tried_only_for_an_envelope_of_its_kind() {
    let kind: Expected = Some((400, "`typ` must be `scbte-bundle+jwt`"));
    run(&[
        ("a policy envelope", |it| it.header["typ"] = "scbte-policy+jwt".into(), kind),
        ("a token's type", |it| it.header["typ"] = "scbte+jwt".into(), kind),
        ("JWT", |it| it.header["typ"] = "JWT".into(), kind),
        ("no type", |it| without(&mut it.header, "typ"), kind),
        ("another algorithm", |it| it.header["alg"] = "none".into(), Some((400, "`alg` must be `ES256`"))),
        ("crit", |it| it.header["crit"] = json!(["exp"]), Some((400, "`crit` is not accepted"))),
        ("a header of 1024 bytes", |it| pad(it, 768), None),
        ("a longer header", |it| pad(it, 769), Some((400, "`header` must be at most 1024 bytes"))),
        ("nothing", |it| it.parts = Vec::clear, Some((400, "expected three parts"))),
        ("a padded payload", |it| it.parts = |parts| parts[1].push('='), Some((400, "the payload is not canonical"))),
    ]);
}

/// Makes the header's JSON this long; base64url makes four bytes of three.
fn pad(unsealed: &mut Unsealed, length: usize) {
    unsealed.header["pad"] = "".into();
    let room = length - unsealed.header.to_string().len();
    unsealed.header["pad"] = "a".repeat(room).into();
}

#[wasm_bindgen_test(unsupported = test)]
fn each_member_has_its_rule() {
    const IAT: Expected = Some((400, "`iat` must be an integer"));
    const EXP: Expected = Some((400, "`exp` must be an integer"));
    const SEQ: Expected = Some((400, "`seq` must be an integer"));
    const TARGET: Expected = Some((400, "`target` must be a string"));
    const DEV: Expected = Some((400, "`dev` must be a boolean"));
    const TRUST_DOMAINS: Expected = Some((400, "`trust_domains` must be an object"));
    run(&[
        ("no iat", |it| without(&mut it.members, "iat"), IAT),
        ("iat a string", |it| it.members["iat"] = NOW.to_string().into(), IAT),
        ("iat a double", |it| it.members["iat"] = (NOW as f64 + 0.5).into(), IAT),
        ("iat negative", |it| it.members["iat"] = (-1).into(), IAT),
        ("iat beyond 2^53", |it| it.members["iat"] = ((1_u64 << 53) + 1).into(), IAT),
        ("no exp", |it| without(&mut it.members, "exp"), EXP),
        ("exp null", |it| it.members["exp"] = Value::Null, EXP),
        ("no seq", |it| without(&mut it.members, "seq"), SEQ),
        ("seq a list", |it| it.members["seq"] = json!([1]), SEQ),
        ("seq beyond 2^53", |it| it.members["seq"] = ((1_u64 << 53) + 1).into(), SEQ),
        ("seq 0", |it| it.members["seq"] = 0.into(), None),
        ("no target", |it| without(&mut it.members, "target"), TARGET),
        ("target a list", |it| it.members["target"] = json!(["demo"]), TARGET),
        (
            "another target",
            |it| it.members["target"] = "other".into(),
            Some((401, "for target `other`, this is `demo`")),
        ),
        ("a target in upper case", |it| it.members["target"] = "DEMO".into(), Some((401, "for target `DEMO`"))),
        ("an empty target", |it| it.members["target"] = "".into(), Some((401, "for target ``"))),
        ("dev false", |it| it.members["dev"] = false.into(), None),
        ("dev", |it| it.members["dev"] = true.into(), Some((401, "an embedded dev trust domain"))),
        (
            "dev where it is allowed",
            |it| {
                it.members["dev"] = true.into();
                it.trust.allow_dev = true;
            },
            None,
        ),
        ("dev a number", |it| it.members["dev"] = 0.into(), DEV),
        ("dev null", |it| it.members["dev"] = Value::Null, DEV),
        ("no trust domains", |it| without(&mut it.members, "trust_domains"), TRUST_DOMAINS),
        ("trust domains a list", |it| it.members["trust_domains"] = json!([]), TRUST_DOMAINS),
        ("members that nobody knows", |it| it.members["later"] = json!({"a": 1}), None),
        (
            "a payload that is a list",
            |it| it.json = |json| *json = "[]".into(),
            Some((400, "`payload` must be an object")),
        ),
        (
            "a payload that is no JSON",
            |it| it.json = |json| *json = "foo".into(),
            Some((400, "the payload is not acceptable")),
        ),
        (
            "target twice",
            |it| it.json = |json| *json = json.replacen('{', r#"{"target":"demo","#, 1),
            Some((400, "member `target` appears twice")),
        ),
        (
            "a trust domain twice",
            |it| {
                it.json = |json| {
                    *json = json.replace(r#""trust_domains":{"#, r#""trust_domains":{"cluster\u002elocal":{},"#);
                };
            },
            Some((400, "member `cluster.local` appears twice")),
        ),
        (
            "nested 900 deep",
            |it| it.json = |json| *json = format!(r#"{{"a":{}"#, "[".repeat(900)),
            Some((400, "nested too deeply")),
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_envelope_has_its_time() {
    const OVER: Expected = Some((409, "the envelope expired at"));
    const LONG: Expected = Some((400, "`exp` must be later than `iat`, by at most 24 h"));
    run(&[
        ("just before exp", |it| it.now = Timestamp::from_nanos((NOW + 86_400) * 1_000_000_000 - 1), None),
        ("at exp: no skew here", |it| it.now = Timestamp::from_secs(NOW + 86_400), OVER),
        ("a shorter life", |it| it.members["exp"] = (NOW + 1).into(), None),
        ("a longer life", |it| it.members["exp"] = (NOW + 86_401).into(), LONG),
        ("the longest life", |it| it.members["exp"] = (1_u64 << 53).into(), LONG),
        ("exp = iat", |it| it.members["exp"] = NOW.into(), LONG),
        ("exp before iat", |it| it.members["exp"] = (NOW - 1).into(), LONG),
        ("iat ahead by the skew", |it| it.now = Timestamp::from_secs(NOW - 30), None),
        (
            "iat ahead by more",
            |it| {
                it.members["seq"] = 1.into();
                it.now = Timestamp::from_nanos((NOW - 30) * 1_000_000_000 - 1);
            },
            Some((409, "`iat` lies 30.000000001s ahead")),
        ),
        ("seq ahead by the skew", |it| it.members["seq"] = ((NOW + 30) * 1_000_000).into(), None),
        (
            "seq ahead by more",
            |it| it.members["seq"] = ((NOW + 30) * 1_000_000 + 1).into(),
            Some((409, "`seq` lies 30.000001s ahead")),
        ),
        ("seq ahead by centuries", |it| it.members["seq"] = (1_u64 << 53).into(), Some((409, "`seq` lies"))),
        (
            "iat ahead by aeons",
            |it| {
                it.members["iat"] = (1_u64 << 53).into();
                it.members["exp"] = (1_u64 << 53).into();
            },
            LONG,
        ),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bundle_set_is_read_strictly() {
    const DOMAINS: [&str; 9] =
        ["", "Cluster.local", "cluster local", "cluster.local/a", "spiffe://cluster.local", "a:1", "é", "a%20", "*"];
    for name in DOMAINS {
        let unsealed = Unsealed::with(|it| it.members["trust_domains"] = json!({name: {"keys": []}}));
        check(name, unsealed.open(), Some((400, "trust domain:")));
    }
    let certificate = || base64::encode_standard(authority().der);
    let (der, pem) = (certificate(), format!("-----BEGIN CERTIFICATE-----\n{}", certificate()));
    for (name, bundle, anchors) in [
        ("no authority", json!({"keys": []}), Ok(0)),
        ("one", json!({"keys": [{"use": "x509-svid", "x5c": [der]}]}), Ok(1)),
        (
            "with the rest of a SPIFFE bundle",
            json!({"keys": [{"use": "x509-svid", "kty": "EC", "crv": "P-256", "x5c": [der]}], "spiffe_sequence": 1, "spiffe_refresh_hint": 60}),
            Ok(1),
        ),
        (
            "the same twice",
            json!({"keys": [{"use": "x509-svid", "x5c": [der]}, {"use": "x509-svid", "x5c": [der]}]}),
            Ok(2),
        ),
        ("only the first of x5c is read", json!({"keys": [{"use": "x509-svid", "x5c": [der, "!", 7]}]}), Ok(1)),
        (
            "JWT authorities are others' concern",
            json!({"keys": [{"use": "jwt-svid", "x5c": ["!"]}, {"use": "jwt-svid"}]}),
            Ok(0),
        ),
        ("an unknown use", json!({"keys": [{"use": "wit-svid"}, {"use": 7}, {}, 7, null]}), Ok(0)),
        ("no keys", json!({}), Err("`keys` of trust domain `cluster.local` must be an array, found null")),
        ("keys an object", json!({"keys": {}}), Err("must be an array, found an object")),
        ("a list for a bundle", json!([]), Err("must be an array, found null")),
        ("null for a bundle", Value::Null, Err("must be an array, found null")),
        ("no x5c", json!({"keys": [{"use": "x509-svid"}]}), Err("`x5c` of trust domain `cluster.local` must be")),
        ("an empty x5c", json!({"keys": [{"use": "x509-svid", "x5c": []}]}), Err("`x5c` of trust domain")),
        ("x5c a string", json!({"keys": [{"use": "x509-svid", "x5c": der}]}), Err("`x5c` of trust domain")),
        ("x5c of numbers", json!({"keys": [{"use": "x509-svid", "x5c": [7]}]}), Err("`x5c` of trust domain")),
        ("x5c in PEM", json!({"keys": [{"use": "x509-svid", "x5c": [pem]}]}), Err("not canonical base64")),
        (
            "no certificate",
            json!({"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}),
            Err("an authority of trust domain `cluster.local`: does not parse"),
        ),
        (
            "one of two is no certificate",
            json!({"keys": [{"use": "x509-svid", "x5c": [der]}, {"use": "x509-svid", "x5c": ["AAAA"]}]}),
            Err("does not parse"),
        ),
    ] {
        let opened = Unsealed::with(|it| it.members["trust_domains"] = json!({"cluster.local": bundle})).open();
        let count =
            |envelope: Envelope<BundleSet>| envelope.payload.iter().map(|(_, it)| it.anchors().len()).sum::<usize>();
        let found = opened.map(count);
        match (found, anchors) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
            (Err(error), Err(part)) => {
                assert_eq!((error.status(), error.to_string().contains(part)), (400, true), "{name}: {error}");
            }
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
    // No trust domain at all is the truth of a workload that has lost all trust.
    assert_eq!(Unsealed::with(|it| it.members["trust_domains"] = json!({})).open().unwrap().payload.iter().count(), 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_policy_envelope_is_one_of_another_kind() {
    let good = json!({"modules": {"allow.rego": "package scbte"}, "data": {"a": [1]}, "entrypoint": "data.scbte.allow", "rego_version": 1});
    let open = |typ: &str, policy: &Value| {
        let unsealed = Unsealed::with(|it| {
            it.header["typ"] = typ.into();
            without(&mut it.members, "trust_domains");
            it.members["policy"] = policy.clone();
        });
        Envelope::<PolicyPayload>::open(&unsealed.text(), &unsealed.trust, &InModule, unsealed.now)
    };
    let opened = open("scbte-policy+jwt", &good).unwrap();
    let source = &opened.payload.policy.source;
    assert_eq!(
        (source.entrypoint.as_str(), source.modules.len(), &source.data),
        ("data.scbte.allow", 1, &good["data"])
    );
    assert_eq!(opened.revision(), policy_revision(&opened.payload.policy, None).unwrap());
    let with = |data: Value| {
        let mut policy = good.clone();
        policy["data"] = data;
        open("scbte-policy+jwt", &policy).unwrap().revision()
    };
    // As doubles the two are one number.
    assert_ne!(with(json!({"a": 1_234_567_890_123_456_789_u64})), with(json!({"a": 1_234_567_890_123_456_788_u64})));
    assert_eq!(with(json!({"a": 1, "b": 2})), with(serde_json::from_str(r#"{"b": 2, "a": 1}"#).unwrap()));
    check("a bundle's type", open("scbte-bundle+jwt", &good), Some((400, "`typ` must be `scbte-policy+jwt`")));
    let shadowed = open("scbte-policy+jwt", &{
        let mut policy = good.clone();
        policy["revision"] = "7".into();
        policy["shadow"] = good.clone();
        policy
    });
    let shadowed = shadowed.unwrap();
    let both = shadowed.revision();
    let PolicyPayload { policy, shadow, .. } = shadowed.payload;
    let named = policy_revision(&policy, None).unwrap();
    assert_ne!(named, both, "the policy to watch counts");
    assert_ne!(named, opened.revision(), "the author's revision counts");
    assert_eq!((policy.revision.as_deref(), shadow.as_ref().map(|shadow| &shadow.source)), (Some("7"), Some(source)));
    assert_eq!(policy_json(&policy, shadow.as_ref())["shadow"], good);
    let cases: [Case<Expected, Value>; 12] = [
        ("a shadow", |policy| policy["shadow"] = policy.clone(), None),
        (
            "a shadow's shadow",
            |policy| {
                policy["shadow"] = policy.clone();
                policy["shadow"]["shadow"] = policy["shadow"].clone();
            },
            Some((400, "`policy.shadow.shadow` must be left out")),
        ),
        ("a revision that is no text", |policy| policy["revision"] = 1.into(), Some((400, "`policy`: "))),
        ("Rego v0", |policy| policy["rego_version"] = 0.into(), None),
        ("Rego v2", |policy| policy["rego_version"] = 2.into(), Some((400, "`policy.rego_version` must be 0 or 1"))),
        ("no Rego version", |policy| without(policy, "rego_version"), Some((400, "missing field `rego_version`"))),
        ("no data", |policy| without(policy, "data"), None),
        ("data a list", |policy| policy["data"] = json!([]), Some((400, "`policy`: "))),
        ("no entry point", |policy| without(policy, "entrypoint"), Some((400, "missing field `entrypoint`"))),
        ("a module that is no text", |policy| policy["modules"] = json!({"a": 1}), Some((400, "`policy`: "))),
        ("a member that nobody knows", |policy| policy["later"] = 1.into(), Some((400, "unknown field `later`"))),
        ("a string", |policy| *policy = "package scbte".into(), Some((400, "`policy`: "))),
    ];
    for (name, change, expected) in cases {
        let mut policy = good.clone();
        change(&mut policy);
        check(name, open("scbte-policy+jwt", &policy), expected);
    }
    let unsealed = Unsealed::with(|it| it.header["typ"] = "scbte-policy+jwt".into());
    let outcome = Envelope::<PolicyPayload>::open(&unsealed.text(), &unsealed.trust, &InModule, unsealed.now);
    check("no policy in it", outcome, Some((400, "`policy` must be an object")));
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_and_envelopes_are_not_mistaken_for_each_other() {
    // The worst case: the envelope key is pinned, and is the very key of the leaf.
    let scene = Scene::good();
    let trust =
        Trust { keys: vec![PublicKey::from_point(scene.recipe.leaf.key.public()).unwrap()], ..Unsealed::good().trust };
    let outcome = Envelope::<BundleSet>::open(&scene.token(), &trust, &InModule, now());
    check("a token as a bundle envelope", outcome, Some((400, "`header` must be at most 1024 bytes")));
    let chainless = Scene::with(|scene| scene.header["x5c"] = json!([])).token();
    let outcome = Envelope::<BundleSet>::open(&chainless, &trust, &InModule, now());
    check(
        "a small token as a bundle envelope",
        outcome,
        Some((400, "`typ` must be `scbte-bundle+jwt`, found `scbte+jwt`")),
    );
    let outcome = Envelope::<PolicyPayload>::open(&chainless, &trust, &InModule, now());
    check(
        "a small token as a policy envelope",
        outcome,
        Some((400, "`typ` must be `scbte-policy+jwt`, found `scbte+jwt`")),
    );

    let signatures = Counting::truthful();
    let outcome =
        scene.verifier(signatures).verify(&Unsealed::good().text(), &scene.request(), &scene.bundles(), scene.now);
    let reason = outcome.as_ref().map_err(VerifyError::reason).err();
    assert_eq!((reason, signatures.asked()), (Some(Reason::UnsupportedType), 0), "an envelope as a token");
}

#[wasm_bindgen_test(unsupported = test)]
fn the_higher_seq_is_in_force() {
    for (name, held, offered, expected) in [
        ("newer", (5, "a"), (6, "b"), Order::Newer),
        ("newer by much", (5, "a"), (u64::MAX, "b"), Order::Newer),
        ("newer with the same bytes", (5, "a"), (6, "a"), Order::Newer),
        ("the same", (5, "a"), (5, "a"), Order::Same),
        ("another of the same seq", (5, "a"), (5, "b"), Order::Conflict),
        ("older", (5, "a"), (4, "b"), Order::Conflict),
        ("older with the same bytes", (5, "a"), (4, "a"), Order::Conflict),
        ("oldest", (u64::MAX, "a"), (0, "a"), Order::Conflict),
    ] {
        assert_eq!(order((held.0, held.1.as_bytes()), (offered.0, offered.1.as_bytes())), expected, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_envelope_is_used_for_its_age_and_not_before_its_time() {
    let hour = Duration::from_secs(3_600);
    let shorter = |it: &mut Unsealed| it.members["exp"] = (NOW + 60).into();
    let later_seq = |it: &mut Unsealed| it.members["seq"] = ((NOW + 20) * 1_000_000).into();
    let earlier_seq = |it: &mut Unsealed| it.members["seq"] = 1.into();
    let unchanged = |_: &mut Unsealed| {};
    let cases: [Aged; 13] = [
        ("fresh", unchanged, 0, hour, (true, false)),
        ("just younger than max_age", unchanged, 3_599, hour, (true, false)),
        ("of max_age", unchanged, 3_600, hour, (false, false)),
        ("max_age beyond exp, just before exp", unchanged, 86_399, 2 * LIFETIME, (true, false)),
        ("max_age beyond exp, at exp", unchanged, 86_400, 2 * LIFETIME, (false, false)),
        ("exp before max_age", shorter, 59, hour, (true, false)),
        ("exp before max_age, at exp", shorter, 60, hour, (false, false)),
        ("the clock went back by the skew", unchanged, -30, hour, (true, false)),
        ("the clock went back by more", unchanged, -31, hour, (false, true)),
        ("only iat ahead, by more", earlier_seq, -31, hour, (false, true)),
        ("seq ahead, within the skew", later_seq, -10, hour, (true, false)),
        ("seq ahead by more", later_seq, -11, hour, (false, true)),
        ("no age is allowed", unchanged, 0, Duration::ZERO, (false, false)),
    ];
    for (name, change, offset, max_age, expected) in cases {
        let envelope = Unsealed::with(change).open().unwrap();
        let now = Timestamp::from_secs(NOW.checked_add_signed(offset).unwrap());
        assert_eq!((envelope.is_usable(max_age, SKEW, now), envelope.is_ahead(SKEW, now)), expected, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_revision_is_the_contents() {
    let revision = |change: fn(&mut Unsealed)| Unsealed::with(change).open().unwrap().revision();
    let good = revision(|_| {});
    let same: [Change; 4] = [
        ("signed again later", |it| {
            it.members["iat"] = (NOW + 5).into();
            it.members["seq"] = ((NOW + 5) * 1_000_000).into();
        }),
        ("signed by another", |it| rotate(it, SECOND)),
        ("with a kid and a dev mark", |it| {
            it.header["kid"] = "kid".into();
            it.members["dev"] = false.into();
        }),
        ("spelt otherwise", |it| {
            it.json =
                |json| *json = json.replace("cluster.local", r"cluster\u002elocal").replace(r#""use""#, r#" "use" "#);
        }),
    ];
    for (name, change) in same {
        assert_eq!(revision(change), good, "{name}");
    }
    let other: [Change; 5] = [
        ("another name", |it| it.members["trust_domains"] = bundle_json(&[("other", &[&authority()])]).into()),
        ("no authority", |it| it.members["trust_domains"] = bundle_json(&[("cluster.local", &[])]).into()),
        ("no trust domain", |it| it.members["trust_domains"] = json!({})),
        ("one authority more", |it| {
            let more = Draft::authority("more", Key::p256(4)).self_signed();
            it.members["trust_domains"] = bundle_json(&[("cluster.local", &[&authority(), &more])]).into();
        }),
        ("one trust domain more", |it| {
            it.members["trust_domains"] = bundle_json(&[("cluster.local", &[&authority()]), ("partner", &[])]).into();
        }),
    ];
    for (name, change) in other {
        assert_ne!(revision(change), good, "{name}");
    }
    assert_eq!(good.to_string().len(), 64);
}

/// Members in another order mean the same; serde_json sorts them, so both orders are written by hand.
#[wasm_bindgen_test(unsupported = test)]
fn the_order_of_members_is_no_content() {
    let revision = |text: &str| Revision::of(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(revision(r#"{"a":1,"b":{"c":2,"d":[3]}}"#), revision(r#"{"b":{"d":[3],"c":2},"a":1}"#));
    assert_ne!(revision(r#"{"a":[1,2]}"#), revision(r#"{"a":[2,1]}"#));
}
