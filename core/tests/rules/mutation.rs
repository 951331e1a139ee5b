//! Thousands of damaged tokens, envelopes, certificates and JSON texts: nothing panics, and nothing that was changed
//! passes for what was signed. The seed is fixed; a failure names the round.

use crate::common::key::Key;
use crate::common::pki::Recipe;
use crate::common::scene::{AUDIENCE, Scene, signed};
use crate::common::verifier::Counting;
use crate::common::{NOW, SKEW, now};
use fastrand::Rng;
use scbte_core::bundle::BundleSet;
use scbte_core::certificate::{Anchor, Intermediate, Leaf};
use scbte_core::envelope::{Envelope, Trust};
use scbte_core::jwk::PublicKey;
use scbte_core::signature::InModule;
use scbte_core::{base64, chain, json};
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

/// Bytes that mean something to one of the formats.
const TELLING: &[u8] = b".=-_+/AZaz09{}[]\",:\\ \n\0\x30\x06\x82\x80\xff";

/// A text with one to three small changes; never the text itself.
fn mutant(random: &mut Rng, original: &[u8]) -> Vec<u8> {
    loop {
        let mut bytes = original.to_vec();
        for _ in 0..random.usize(1..=3) {
            change(random, &mut bytes);
        }
        if bytes != original {
            return bytes;
        }
    }
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(random.u8(..));
    }
    let at = random.usize(..bytes.len());
    let end = random.usize(at..=bytes.len().min(at + 40));
    match random.u8(..8) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes[at] = *random.choice(TELLING).unwrap(),
        3 => bytes.insert(at, *random.choice(TELLING).unwrap()),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            let target = random.usize(..=bytes.len());
            drop(bytes.splice(target..target, copy));
        }
        6 => {
            let other = random.usize(..bytes.len());
            bytes.swap(at, other);
        }
        _ => bytes.truncate(at),
    }
}

/// Runs a check on so many mutants of a text.
fn mutate(rounds: usize, original: &[u8], mut check: impl FnMut(usize, &[u8])) {
    let mut random = Rng::with_seed(0x5cb7e);
    for round in 0..rounds {
        check(round, &mutant(&mut random, original));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn no_mutant_of_a_token_verifies() {
    let scene = Scene::good();
    let (token, bundles) = (scene.token(), scene.bundles());
    let mut verifier = scene.verifier(Counting::truthful());
    // Even where the good token and its chain are remembered.
    verifier.verify(&token, &scene.request(), &bundles, scene.now).unwrap();
    mutate(4_000, token.as_bytes(), |round, text| {
        // A header that is not UTF-8 never gets here.
        if let Ok(text) = str::from_utf8(text) {
            let outcome = verifier.verify(text, &scene.request(), &bundles, scene.now);
            assert!(outcome.is_err(), "round {round}: {text}");
        }
    });
    assert_eq!(verifier.remembered(), (1, 1));
}

#[wasm_bindgen_test(unsupported = test)]
fn no_mutant_of_an_envelope_opens() {
    let key = Key::p256(20);
    let trust = Trust {
        keys: vec![PublicKey::from_point(key.public()).unwrap()],
        target: "demo".into(),
        allow_dev: true,
        skew: SKEW,
    };
    let header = json!({"alg": "ES256", "typ": "scbte-bundle+jwt"}).to_string();
    let bundle = json!({"keys": [{"use": "x509-svid", "x5c": [base64::encode_standard(authority())]}]});
    let members = json!({"iat": NOW, "exp": NOW + 60, "seq": NOW, "target": "demo", "trust_domains": {"td": bundle}});
    let text = signed(&header, &members.to_string(), &key).join(".");
    let open = |text: &str| Envelope::<BundleSet>::open(text, &trust, &InModule, now());
    open(&text).unwrap();
    mutate(3_000, text.as_bytes(), |round, text| {
        if let Ok(text) = str::from_utf8(text) {
            assert!(open(text).is_err(), "round {round}: {text}");
        }
    });
}

fn authority() -> Vec<u8> {
    Recipe::good().authority.self_signed().der
}

#[wasm_bindgen_test(unsupported = test)]
fn no_mutant_of_a_certificate_is_on_a_valid_path() {
    let recipe = Recipe::good();
    let (good, bundles) = (recipe.chain(), recipe.bundles());
    for position in 0..good.len() {
        mutate(3_000, &good[position], |round, der| {
            let mut chain = good.clone();
            chain[position] = der.to_vec();
            let outcome = chain::validate(&chain, &bundles, &InModule, now(), SKEW);
            assert!(outcome.is_err(), "certificate {position}, round {round}");
        });
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn no_mutant_of_a_certificate_panics_even_if_its_signature_is_believed() {
    let recipe = Recipe::good();
    let good = recipe.chain();
    let yes = Counting::yes();
    mutate(4_000, &authority(), |_, der| {
        let _ = (Leaf::parse(der), Intermediate::parse(der), Anchor::parse(der));
        // An authority is believed as it is: whatever is left of it must do for path building.
        let bundle = json!({"cluster.local": {"keys": [{"use": "x509-svid", "x5c": [base64::encode_standard(der)]}]}});
        if let Ok(bundles) = BundleSet::from_json(bundle.as_object().unwrap()) {
            let _ = chain::validate(&good, &bundles, yes, now(), SKEW);
        }
    });
    let bundles = recipe.bundles();
    mutate(4_000, &good[0], |round, der| {
        let chain = [der.to_vec(), good[1].clone()];
        if let Ok(valid) = chain::validate(&chain, &bundles, yes, now(), SKEW) {
            let leaf = Leaf::parse(der).unwrap();
            assert_eq!((&valid.id, &valid.spki), (&leaf.id, &leaf.spki), "round {round}");
            assert_eq!(valid.id.trust_domain().as_str(), "cluster.local", "round {round}");
        }
    });
}

#[wasm_bindgen_test(unsupported = test)]
fn claims_that_are_accepted_keep_the_rules() {
    let scene = Scene::good();
    let bundles = scene.bundles();
    let signature = base64::encode_url([1; 64]);
    let header = scene.token().split('.').next().unwrap().to_owned();
    let mut verifier = scene.verifier(Counting::yes());
    let mut accepted = 0;
    mutate(4_000, scene.claims.to_string().as_bytes(), |round, claims| {
        let token = format!("{header}.{}.{signature}", base64::encode_url(claims));
        let Ok(caller) = verifier.verify(&token, &scene.request(), &bundles, scene.now) else { return };
        let text = claims;
        let claims: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(claims["sub"], scene.claims["sub"], "round {round}");
        assert_eq!(caller.audience(), AUDIENCE, "round {round}");
        assert_eq!(caller.claims().text.as_bytes(), text, "round {round}");
        let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert!(iat < exp && exp - iat <= 300 && iat <= NOW + 30 && exp > NOW - 30, "round {round}");
        assert!(claims["jti"].as_str().unwrap().len() <= 128, "round {round}");
        accepted += 1;
    });
    assert!(accepted > 0, "a change of `jti` or `ctx` is a good token");
}

#[wasm_bindgen_test(unsupported = test)]
fn headers_that_are_accepted_keep_the_rules() {
    let scene = Scene::good();
    let bundles = scene.bundles();
    let token = scene.token();
    let header = base64::decode_url(token.split('.').next().unwrap()).unwrap();
    let payload = base64::encode_url(scene.claims.to_string());
    let mut verifier = scene.verifier(Counting::yes());
    mutate(4_000, &header, |round, header| {
        let token = format!("{}.{payload}.{}", base64::encode_url(header), base64::encode_url([1; 64]));
        if verifier.verify(&token, &scene.request(), &bundles, scene.now).is_ok() {
            let header: Value = serde_json::from_slice(header).unwrap();
            assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("scbte+jwt")), "round {round}");
        }
    });
}

#[wasm_bindgen_test(unsupported = test)]
fn strict_json_reads_what_serde_json_reads_or_nothing() {
    let text = br#"{"a":[1,-2,3.5e2,true,null,"x\u00e9\n"],"b":{"c":{"d":[[],{}]},"e":""},"f":18446744073709551615}"#;
    let mut accepted = 0;
    mutate(20_000, text, |round, text| {
        if let Ok(value) = json::parse(text) {
            assert_eq!(serde_json::from_slice::<Value>(text).unwrap(), value, "round {round}");
            accepted += 1;
        }
    });
    assert!(accepted > 100, "{accepted} were accepted");
}
