//! The caches of [`Verifier`]: what is remembered, what is still checked, what is forgotten.

use crate::common::key::Key;
use crate::common::pki::{Draft, Recipe, WORKLOAD, bundle_set};
use crate::common::scene::{AUDIENCE, Scene};
use crate::common::verifier::Counting;
use crate::common::{NOW, now};
use scbte_core::base64;
use scbte_core::bundle::BundleSet;
use scbte_core::reason::Reason::{
    self, AudienceMismatch, BadSignature, BindingMismatch, Expired, NotYetValid, PeerMismatch, UnknownTrustDomain,
    UntrustedChain,
};
use scbte_core::time::Timestamp;
use scbte_core::verify::{
    CHAIN_CACHE_CAPACITY, MAX_REMEMBERED_CLAIMS, Request, Source, TOKEN_CACHE_CAPACITY, Verifier, VerifyError,
};
use std::time::Duration;
use wasm_bindgen_test::wasm_bindgen_test;

/// A case: its name, what is changed in a good call or chain, what is expected.
type Case<T, E> = (&'static str, fn(&mut T), E);

/// A service that has seen the good call once, and what it needs to see others.
struct Service {
    scene: Scene,
    signatures: &'static Counting,
    verifier: Verifier,
    bundles: BundleSet,
}

impl Service {
    fn new(scene: Scene) -> Self {
        let signatures = Counting::truthful();
        let (verifier, bundles) = (scene.verifier(signatures), scene.bundles());
        Self { scene, signatures, verifier, bundles }
    }

    /// One that remembers the scene's token.
    fn warm(scene: Scene) -> Self {
        let mut service = Self::new(scene);
        assert_eq!(service.call(), (Ok(Source::Full), 3));
        service
    }

    /// The scene's call, as it is now: what comes out, and how many signature checks it cost.
    fn call(&mut self) -> (Result<Source, Reason>, usize) {
        let token = self.scene.token();
        self.call_with(&token)
    }

    fn call_with(&mut self, token: &str) -> (Result<Source, Reason>, usize) {
        let outcome = self.verifier.verify(token, &self.scene.request(), &self.bundles, self.scene.now);
        (outcome.map(|caller| caller.source()).map_err(|error| error.reason()), self.signatures.asked())
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_is_verified_once_and_a_chain_once() {
    let mut service = Service::warm(Scene::good());
    assert_eq!(service.call(), (Ok(Source::TokenCache), 0));
    service.scene.claims["jti"] = "id-2".into();
    assert_eq!(service.call(), (Ok(Source::ChainCache), 1));
    assert_eq!(service.call(), (Ok(Source::TokenCache), 0));
    assert_eq!(service.verifier.remembered(), (2, 1));
    // The same leaf with another chain is another chain.
    service.scene.x5c = |x5c| x5c.push(x5c[1].clone());
    assert_eq!(service.call(), (Ok(Source::Full), 3));
    assert_eq!(service.verifier.remembered(), (3, 2));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_remembered_token_is_still_held_against_the_request() {
    let cases: [Case<Scene, Reason>; 7] = [
        ("expired since", |scene| scene.now = Timestamp::from_secs(NOW + 330), Expired),
        ("the clock was set back", |scene| scene.now = Timestamp::from_secs(NOW - 31), NotYetValid),
        ("another method", |scene| scene.method = "POST", BindingMismatch),
        ("another path", |scene| scene.path = "/api/v1/orders", BindingMismatch),
        ("another peer", |scene| scene.peer = Some(Some("spiffe://cluster.local/other")), PeerMismatch),
        ("an unknown peer", |scene| scene.peer = Some(None), PeerMismatch),
        ("no path", |scene| scene.path = "", BindingMismatch),
    ];
    for (name, change, reason) in cases {
        let mut service = Service::warm(Scene::with(|scene| {
            scene.claims["htm"] = "GET".into();
            scene.claims["htp"] = "/api/v1/users".into();
        }));
        change(&mut service.scene);
        assert_eq!(service.call(), (Err(reason), 0), "{name}");
        // The refusal is this request's alone.
        service.scene = Scene { claims: service.scene.claims, ..Scene::good() };
        assert_eq!(service.call(), (Ok(Source::TokenCache), 0), "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_verifier_of_another_audience_does_not_know_the_token() {
    let mut service = Service::warm(Scene::good());
    service.scene.audiences = vec!["orders"];
    service.verifier = service.scene.verifier(service.signatures);
    assert_eq!(service.call(), (Err(AudienceMismatch), 0));
    assert_eq!(service.verifier.remembered(), (0, 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_revision_of_the_bundle_set_empties_the_caches() {
    let authority = Recipe::good().authority.self_signed();
    let other = Draft::authority("other", Key::p256(4)).self_signed();
    for (name, bundles, expected) in [
        ("the authority was removed", bundle_set(&[("cluster.local", &[&other])]), (Err(UntrustedChain), 0)),
        ("all authorities were removed", bundle_set(&[("cluster.local", &[])]), (Err(UntrustedChain), 0)),
        ("the trust domain was removed", bundle_set(&[]), (Err(UnknownTrustDomain), 0)),
        (
            "the authority is now another domain's",
            bundle_set(&[("cluster.local", &[]), ("partner.example", &[&authority])]),
            (Err(UntrustedChain), 0),
        ),
        ("an authority was added", bundle_set(&[("cluster.local", &[&authority, &other])]), (Ok(Source::Full), 3)),
        ("nothing changed", bundle_set(&[("cluster.local", &[&authority])]), (Ok(Source::TokenCache), 0)),
    ] {
        let mut service = Service::warm(Scene::good());
        service.bundles = bundles;
        assert_eq!(service.call(), expected, "{name}");
        let remembered = usize::from(expected.0.is_ok());
        assert_eq!(service.verifier.remembered(), (remembered, remembered), "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_remembered_token_ends_with_its_chain() {
    let cases: [Case<Recipe, Reason>; 3] = [
        ("the leaf", |recipe| recipe.leaf.valid(-10, 60), Expired),
        ("the intermediate", |recipe| recipe.intermediate().valid(-10, 60), Expired),
        ("the authority", |recipe| recipe.authority.valid(-10, 60), UntrustedChain),
    ];
    for (name, change, reason) in cases {
        let mut service = Service::warm(Scene::with(|scene| change(&mut scene.recipe)));
        service.scene.now = Timestamp::from_secs(NOW + 60).plus(Duration::from_millis(999));
        assert_eq!(service.call(), (Ok(Source::TokenCache), 0), "{name}: in its last second");
        service.scene.now = Timestamp::from_secs(NOW + 61);
        let (outcome, asked) = service.call();
        assert_eq!((outcome, asked), (Err(reason), 0), "{name}");
        // Another token of the same chain fares no better.
        service.scene.claims["jti"] = "id-2".into();
        assert_eq!(service.call().0, Err(reason), "{name}: another token");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_failed_is_not_remembered() {
    let cases: [Case<Scene, (usize, usize)>; 6] = [
        ("a bad signature: its chain is good", |scene| scene.signer = Some(Key::p256(9)), (0, 1)),
        (
            "another's subject: its chain is good",
            |scene| scene.claims["sub"] = "spiffe://cluster.local/b".into(),
            (0, 1),
        ),
        ("an untrusted chain", |scene| scene.recipe.leaf.forger = Some(Key::p256(9)), (0, 0)),
        ("expired", |scene| scene.now = Timestamp::from_secs(NOW + 400), (0, 0)),
        ("for another service", |scene| scene.claims["aud"] = "orders".into(), (0, 0)),
        ("malformed", |scene| scene.parts = Vec::clear, (0, 0)),
    ];
    for (name, change, remembered) in cases {
        let mut service = Service::new(Scene::with(change));
        for _ in 0..2 {
            assert!(service.call().0.is_err(), "{name}");
            assert_eq!(service.verifier.remembered(), remembered, "{name}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_header_is_remembered_only_when_its_minter_signed() {
    let mut service = Service::warm(Scene::good());
    assert_eq!(service.verifier.remembered_headers(), 1);
    // Anybody can write headers with a chain that was seen: they find the chain, and leave nothing.
    for id in 0..3 {
        service.scene = Scene { signer: Some(Key::p256(9)), ..Scene::good() };
        service.scene.header["kid"] = id.into();
        assert_eq!(service.call(), (Err(BadSignature), 1));
        assert_eq!((service.verifier.remembered_headers(), service.verifier.remembered()), (1, (1, 1)));
    }
    // The minter may have several.
    service.scene.signer = None;
    assert_eq!(service.call(), (Ok(Source::ChainCache), 1));
    assert_eq!((service.verifier.remembered_headers(), service.verifier.remembered()), (2, (2, 1)));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_remembered_header_ends_with_its_chain_and_with_the_bundle() {
    let another = |service: &mut Service| {
        service.scene.claims["jti"] = "id-2".into();
        service.call()
    };
    let mut service = Service::warm(Scene::good());
    service.scene.header["typ"] = "JWT".into();
    assert_eq!(service.call(), (Err(Reason::UnsupportedType), 0), "another header is judged anew");
    let mut service = Service::warm(Scene::good());
    service.bundles = bundle_set(&[("cluster.local", &[])]);
    assert_eq!(another(&mut service), (Err(UntrustedChain), 0));
    assert_eq!(service.verifier.remembered_headers(), 0);
    let mut service = Service::warm(Scene::with(|scene| scene.recipe.leaf.valid(-10, 60)));
    service.scene.now = Timestamp::from_secs(NOW + 61);
    assert_eq!(another(&mut service), (Err(Expired), 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn long_claims_are_accepted_and_not_remembered() {
    for (length, again) in
        [(MAX_REMEMBERED_CLAIMS, (Source::TokenCache, 0)), (MAX_REMEMBERED_CLAIMS + 1, (Source::ChainCache, 1))]
    {
        let mut service = Service::warm(Scene::with(|scene| {
            scene.rules.max_size = 64 * 1024;
            scene.claims["x"] = "".into();
            scene.claims["x"] = "x".repeat(length - scene.claims.to_string().len()).into();
        }));
        assert_eq!(service.call(), (Ok(again.0), again.1), "{length}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_remembered_chain_does_not_vouch_for_a_signature() {
    let mut service = Service::warm(Scene::good());
    service.scene.signer = Some(Key::p256(9));
    assert_eq!(service.call(), (Err(BadSignature), 1));
    assert_eq!(service.verifier.remembered(), (1, 1));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_byte_more_is_another_token() {
    let mut service = Service::warm(Scene::good());
    let good = service.scene.token();
    for other in [format!("{good}="), format!("{good} "), format!(" {good}"), good.replace('.', ".."), good[1..].into()]
    {
        let (outcome, asked) = service.call_with(&other);
        assert_eq!((outcome, asked), (Err(Reason::Malformed), 0), "{other}");
    }
}

/// The header of a good token, base64url, and a signature that has the right form and no more.
fn unsigned_parts(scene: &Scene) -> (String, String) {
    let token = scene.token();
    (token.split('.').next().unwrap().to_owned(), base64::encode_url([1; 64]))
}

fn claims(id: usize) -> String {
    let exp = NOW + 300;
    let claims =
        format!(r#"{{"sub":"{WORKLOAD}","aud":"{AUDIENCE}","ctx":"read:users","iat":{NOW},"exp":{exp},"jti":"{id}"}}"#);
    base64::encode_url(claims)
}

fn verify(verifier: &mut Verifier, token: &str, bundles: &BundleSet) -> Result<Source, VerifyError> {
    let request = Request { method: "GET", path: "/api/v1/users", peer: None };
    verifier.verify(token, &request, bundles, now()).map(|caller| caller.source())
}

#[wasm_bindgen_test(unsupported = test)]
fn a_flood_of_tokens_stays_bounded() {
    const FLOOD: usize = 10_000;
    let scene = Scene::good();
    let (header, signature) = unsigned_parts(&scene);
    let bundles = scene.bundles();
    let good = Counting::yes();
    let mut verifier = scene.verifier(good);
    for id in 0..FLOOD {
        verify(&mut verifier, &format!("{header}.{}.{signature}", claims(id)), &bundles).unwrap();
    }
    assert_eq!(verifier.remembered(), (TOKEN_CACHE_CAPACITY.get(), 1));
    assert_eq!(good.asked(), FLOOD + 2);

    // Each with a good chain and a bad signature of its own.
    let truth = Counting::truthful();
    let mut verifier = scene.verifier(truth);
    verify(&mut verifier, &scene.token(), &bundles).unwrap();
    truth.asked();
    for id in 0..FLOOD {
        let zeros = base64::encode_url([0; 64]);
        verify(&mut verifier, &format!("{header}.{}.{zeros}", claims(id)), &bundles).unwrap_err();
    }
    assert_eq!((verifier.remembered(), truth.asked()), ((1, 1), 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_flood_of_chains_stays_bounded() {
    let flood = CHAIN_CACHE_CAPACITY.get() + 500;
    let mut scene = Scene::good();
    scene.recipe.intermediates.clear();
    let bundles = scene.bundles();
    let leaf = scene.recipe.chain().remove(0);
    // Anything passes for the issuer's signature here, so each of these is another chain.
    let token = |id: usize| {
        let mut leaf = leaf.clone();
        let at = leaf.len() - 3;
        leaf[at..].copy_from_slice(&u64::try_from(id).unwrap().to_be_bytes()[5..]);
        let x5c = base64::encode_standard(leaf);
        let header = base64::encode_url(format!(r#"{{"alg":"ES256","typ":"scbte+jwt","x5c":["{x5c}"]}}"#));
        format!("{header}.{}.{}", claims(id), base64::encode_url([1; 64]))
    };
    let (yes, no) = (Counting::yes(), Counting::no());
    let (mut believer, mut sceptic) = (scene.verifier(yes), scene.verifier(no));
    for id in 0..flood {
        verify(&mut believer, &token(id), &bundles).unwrap();
        assert_eq!(verify(&mut sceptic, &token(id), &bundles).unwrap_err().reason(), UntrustedChain);
    }
    assert_eq!(believer.remembered(), (flood, CHAIN_CACHE_CAPACITY.get()));
    assert_eq!(yes.asked(), 2 * flood);
    assert_eq!((sceptic.remembered(), no.asked()), ((0, 0), flood));
}
