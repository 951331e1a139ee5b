//! Bundles as OPA makes them, as we make them, and as an attacker would.

use super::*;
use crate::policy_bundle::key::KeyError;
use flate2::Compression;
use flate2::write::GzEncoder;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use scbte_core::base64;
use scbte_core::policy::RegoVersion;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

const ES256: &[u8] = include_bytes!("fixtures/es256.tar.gz");
const RS256: &[u8] = include_bytes!("fixtures/rs256.tar.gz");
const EC_KEY: &str = include_str!("fixtures/ec.pub.pem");
const RSA_KEY: &str = include_str!("fixtures/rsa.pub.pem");
const EC_JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"zJMfv4lI_lAO4ipG-sXgKTqy6Ve1pIX8WVxNZ3ZgwvM",
    "y":"eignumpLmn1MpSQXp8df9GmYkklw6X9a-6FG-NzciiU","kid":"another"}"#;

fn key(text: &str) -> VerificationKey {
    VerificationKey::parse(text).unwrap()
}

/// An archive of raw entries: name, kind, content.
fn pack(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = files.iter().map(|(name, content)| (*name, EntryType::Regular, *content)).collect();
    pack(&entries)
}

const POLICY: (&str, &[u8]) = ("allow.rego", b"package scbte\nallow := true");

fn refusal(bytes: &[u8]) -> String {
    Bundle::read(bytes, None).map_or_else(|error| error.to_string(), |bundle| format!("taken: {bundle:?}"))
}

#[test]
fn a_bundle_is_what_was_put_into_it() {
    let manifest = Manifest {
        revision: "1.2.3".into(),
        roots: Some(vec!["scbte".into(), "grants".into()]),
        rego_version: Some(RegoVersion::V1),
    };
    let module = |name: &str| Module { name: name.into(), rego: "package scbte.x\n".into() };
    let data = json!({"grants": {"b": [1.0, 2], "a": "ä"}}).as_object().unwrap().clone();
    let bundle = Bundle::new(manifest, vec![module("z.rego"), module("a/b.rego")], data);
    let bytes = bundle.write().unwrap();
    let read = Bundle::read(&bytes, None).unwrap();
    assert_eq!((&read.manifest, &read.modules, &read.data), (&bundle.manifest, &bundle.modules, &bundle.data));
    // Reproducible.
    assert_eq!(bundle.write().unwrap(), bytes);
    assert_eq!(read.write().unwrap(), bytes);
}

#[test]
fn a_bundle_of_opa_is_read() {
    let bundle = Bundle::read(ES256, None).unwrap();
    let names = |modules: &[Module]| modules.iter().map(|module| module.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&bundle.modules), ["src/allow.rego"]);
    assert_eq!(names(&bundle.tests), ["src/allow_test.rego"]);
    assert_eq!(bundle.data["lib"]["people"], json!(["a", "b\u{2028}<&>\u{7}\u{8}\"/ä"]));
    assert_eq!(
        (bundle.manifest.roots, bundle.manifest.rego_version),
        (Some(vec![String::new()]), Some(RegoVersion::V1))
    );
}

#[test]
fn hostile_archives_are_refused() {
    let bomb = files(&[("data.json", &vec![b' '; archive::MAX_SIZE + 1])]);
    assert!(bomb.len() < 1 << 20);
    let many: Vec<(String, Vec<u8>)> = (0..1025).map(|n| (format!("{n}.rego"), b"package a".to_vec())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, text)| (name.as_str(), text.as_slice())).collect();
    let mut truncated = files(&[POLICY]);
    truncated.truncate(truncated.len() / 2);
    for (name, bytes, expected) in [
        ("a bomb", bomb, "more than 33554432 bytes when unpacked"),
        ("too many files", files(&many), "more than 1024 files"),
        ("no gzip", b"hello".to_vec(), "not a tar archive in gzip"),
        ("half of one", truncated, "not a tar archive in gzip"),
        ("nothing", Vec::new(), "not a tar archive in gzip"),
        ("a way out", files(&[("../allow.rego", b"")]), "`../allow.rego` is not plain: an empty part, `.` or `..`"),
        ("a way out inside", files(&[("a/../allow.rego", b"")]), "is not plain"),
        ("two slashes", files(&[("//allow.rego", b"")]), "is not plain"),
        ("a dot", files(&[("a/./allow.rego", b"")]), "is not plain"),
        ("a backslash", files(&[("a\\allow.rego", b"")]), "a backslash, a control character"),
        ("a control character", files(&[("a\u{1b}.rego", b"")]), "a backslash, a control character"),
        ("twice", files(&[POLICY, POLICY]), "`allow.rego` is in the archive twice"),
        ("twice, spelled differently", files(&[POLICY, ("./allow.rego", b"")]), "is in the archive twice"),
        ("twice, as OPA spells it", files(&[POLICY, ("/allow.rego", b"")]), "is in the archive twice"),
        ("a link", pack(&[("allow.rego", EntryType::Symlink, b"")]), "neither a file nor a folder"),
        ("a hard link", pack(&[("allow.rego", EntryType::Link, b"")]), "neither a file nor a folder"),
        ("a device", pack(&[("allow.rego", EntryType::Char, b"")]), "neither a file nor a folder"),
        ("bytes", files(&[("allow.rego", b"\xff")]), "`allow.rego` is not UTF-8"),
        ("YAML", files(&[("data.yaml", b"a: no")]), "data in YAML is not supported"),
        ("Wasm", files(&[POLICY, ("policy.wasm", b"")]), "rules as Wasm are not supported"),
        (
            "a rule in a test",
            files(&[POLICY, ("a_test.rego", b"package scbte\nallow if input.x")]),
            "`a_test.rego` is left out as a test, but its rule `allow`",
        ),
        ("a delta", files(&[("patch.json", b"{}")]), "delta bundles are not supported"),
        ("another manifest", files(&[(".manifest.pb", b"")]), "protocol buffers are not supported"),
        ("a manifest elsewhere", files(&[("a/.manifest", b"{}")]), "belongs into the root"),
        ("no JSON", files(&[(".manifest", b"{")]), "`.manifest` is not acceptable JSON"),
        (
            "data twice",
            files(&[("data.json", br#"{"a": {"x": 1}}"#), ("a/data.json", br#"{"x": 2}"#)]),
            "already something at `data.a.x`",
        ),
        ("a member twice", files(&[("data.json", br#"{"a": 1, "a": 2}"#)]), "not acceptable JSON"),
        ("deep data", files(&[("data.json", "[".repeat(100).as_bytes())]), "not acceptable JSON"),
    ] {
        assert!(refusal(&bytes).contains(expected), "{name}: {}", refusal(&bytes));
    }
    assert!(
        Bundle::read(&pack(&[("a", EntryType::Directory, b""), ("./b.rego", EntryType::Regular, b"package b")]), None)
            .is_ok()
    );
}

#[test]
fn a_manifest_is_held_to_what_it_says() {
    let read = |manifest: Value, data: &str| {
        let manifest = manifest.to_string();
        refusal(&files(&[POLICY, (".manifest", manifest.as_bytes()), ("data.json", data.as_bytes())]))
    };
    for (manifest, data, expected) in [
        (json!({"roots": [""]}), r#"{"a": 1}"#, "taken"),
        (json!({"roots": null, "rego_version": null, "unknown": 1}), r#"{"a": 1}"#, "taken"),
        (json!({"roots": ["scbte", "a/b"]}), r#"{"a": {"b": 1}}"#, "taken"),
        (json!({"roots": ["/scbte/"]}), "{}", "taken"),
        (json!({"roots": ["scbte", "a/b"]}), r#"{"a": {"c": 1}}"#, "`data.a.c` is outside of the roots `scbte`, `a/b`"),
        (json!({"roots": ["scbte", "a/b"]}), r#"{"a": 1}"#, "`data.a` is outside"),
        (json!({"roots": ["scbt", "a"]}), "{}", "`package scbte in allow.rego` is outside"),
        (json!({"roots": []}), "{}", "is outside of the roots"),
        (json!({"roots": ["a", "a/b"]}), "{}", "the roots `a` and `a/b` overlap"),
        (json!({"roots": ["", "a"]}), "{}", "overlap"),
        (json!({"roots": "a"}), "{}", "`roots`: found a string, expected an array of strings"),
        (json!({"roots": [1]}), "{}", "`roots`: found a number, expected strings"),
        (json!({"revision": 1}), "{}", "`revision`: found a number"),
        (json!({"revision": "ä".repeat(128)}), "{}", "taken"),
        (
            json!({"revision": "r".repeat(129)}),
            "{}",
            "`revision`: expected at most 128 printable characters, found 129",
        ),
        (json!({"revision": "a\nb"}), "{}", "found a control character"),
        (json!({"wasm": []}), "{}", "taken"),
        (json!({"wasm": [{"entrypoint": "scbte/allow", "module": "/policy.wasm"}]}), "{}", "`wasm`: rules as Wasm"),
        (json!({"rego_version": 2}), "{}", "`rego_version`: found a number, expected 0 or 1"),
        (json!({"file_rego_versions": {"/a.rego": 1}}), "{}", "taken"),
        (json!({"file_rego_versions": {"/a.rego": 0}}), "{}", "files of one version only"),
        (json!({"rego_version": 0, "file_rego_versions": {"/a.rego": 0}}), "{}", "taken"),
        (json!([]), "{}", "found an array, expected an object"),
    ] {
        let found = read(manifest.clone(), data);
        assert!(found.contains(expected), "{manifest}: {found}");
    }
}

#[test]
fn the_roots_of_a_policy() {
    let module = |package: &str| Module { name: format!("{package}.rego"), rego: format!("package {package}\n") };
    let data = json!({"grants": 1, "lib": {"x": 1}}).as_object().unwrap().clone();
    let modules = [module("scbte"), module("scbte.sub"), module("lib.users"), module("scbte2")];
    assert_eq!(Manifest::roots_of(&modules, RegoVersion::V1, &data), ["grants", "lib", "scbte", "scbte2"]);
}

/// What is wrong with a bundle's signature.
fn verify(bytes: &[u8], key: &VerificationKey) -> Result<(), SignatureError> {
    match Bundle::read(bytes, Some(key)) {
        Ok(_) => Ok(()),
        Err(BundleError::Signature(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// What is in the files is looked at once it is known whose they are.
#[test]
fn nothing_is_parsed_before_the_signature() {
    let deep = "[".repeat(1_000_000);
    for (name, file) in [
        ("JSON", ("data.json", &b"{"[..])),
        ("deep JSON", ("data.json", deep.as_bytes())),
        ("a manifest", (".manifest", b"[]")),
        ("YAML", ("data.yaml", b"a: [}")),
        ("no text", ("allow.rego", b"\xff")),
        ("Wasm", ("policy.wasm", b"")),
    ] {
        assert_eq!(verify(&files(&[file]), &key(EC_KEY)), Err(SignatureError::Unsigned), "{name}");
        let altered = changed(|files| {
            files.retain(|(path, _)| path != file.0);
            files.push((file.0.to_owned(), file.1.to_vec()));
        });
        assert!(altered.is_err(), "{name}");
    }
}

#[test]
fn signatures_of_opa_count() {
    for (name, bundle, text, expected) in [
        ("ES256", ES256, EC_KEY, Ok(())),
        ("ES256, JWK", ES256, EC_JWK, Ok(())),
        ("RS256", RS256, RSA_KEY, Ok(())),
        ("another algorithm", RS256, EC_KEY, Err("signed with RS256, the key is for ES256")),
        ("another algorithm", ES256, RSA_KEY, Err("signed with ES256, the key is for RS256")),
    ] {
        let found = verify(bundle, &key(text)).map_err(|error| error.to_string());
        assert_eq!(found.is_ok(), expected.is_ok(), "{name}: {found:?}");
        if let (Err(found), Err(expected)) = (found, expected) {
            assert!(found.contains(expected), "{name}: {found}");
        }
    }
    let with = |change: fn(&mut VerificationKey)| {
        let mut key = key(EC_KEY);
        change(&mut key);
        verify(ES256, &key)
    };
    assert_eq!(with(|key| key.id = Some("default".into())), Ok(()));
    assert!(matches!(with(|key| key.id = Some("k1".into())), Err(SignatureError::KeyId { .. })));
    assert!(matches!(with(|key| key.scope = Some("prod".into())), Err(SignatureError::Scope { .. })));
}

/// The files of a bundle that OPA signed, changed.
fn changed(change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Result<(), SignatureError> {
    let archive = Archive::read(ES256).unwrap();
    let mut all: Vec<(String, Vec<u8>)> =
        archive.files().map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
    change(&mut all);
    let all: Vec<(&str, &[u8])> = all.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    verify(&files(&all), &key(EC_KEY))
}

fn replace(files: &mut [(String, Vec<u8>)], path: &str, from: &str, to: &str) {
    let (_, content) = files.iter_mut().find(|(name, _)| name == path).unwrap();
    let text = String::from_utf8(content.clone()).unwrap();
    assert!(text.contains(from), "{text}");
    *content = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn what_was_altered_after_signing_is_refused() {
    let altered = |path: &str| Err(SignatureError::Altered(path.to_owned()));
    assert_eq!(changed(|_| {}), Ok(()));
    // White space and the order of members are not part of a document.
    assert_eq!(changed(|files| replace(files, "data.json", "{\"lib\":", "{ \"lib\" : \n")), Ok(()));
    assert_eq!(
        changed(|files| replace(
            files,
            ".manifest",
            "\"revision\":\"\",\"roots\":[\"\"]",
            "\"roots\":[\"\"],\"revision\":\"\""
        )),
        Ok(())
    );
    for (path, from, to) in [
        ("data.json", "\"a\"", "\"c\""),
        ("data.json", "1.0", "1"),
        ("data.json", "1e3", "1000"),
        ("data.json", "true", "false"),
        ("src/allow.rego", "input.sub", "input.ctx"),
        ("src/allow.rego", "\n", "\n\n"),
        (".manifest", "\"revision\":\"\"", "\"revision\":\"x\""),
    ] {
        assert_eq!(changed(|files| replace(files, path, from, to)), altered(path), "{path} {from}");
    }
    assert_eq!(
        changed(|files| files.push(("more.rego".into(), b"package x".to_vec()))),
        Err(SignatureError::NotListed("more.rego".into()))
    );
    assert_eq!(
        changed(|files| files.push(("note.txt".into(), Vec::new()))),
        Err(SignatureError::NotListed("note.txt".into()))
    );
    assert_eq!(
        changed(|files| files.retain(|(path, _)| path != "src/allow.rego")),
        Err(SignatureError::Missing("src/allow.rego".into()))
    );
    assert_eq!(changed(|files| files.retain(|(path, _)| path != ".signatures.json")), Err(SignatureError::Unsigned));
}

/// A bundle of one file, with a signature of our own.
struct Signed {
    key: SigningKey,
    header: Value,
    payload: Value,
}

impl Signed {
    fn good() -> Self {
        let hash: String = Sha256::digest(POLICY.1).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            key: SigningKey::try_generate().unwrap(),
            header: json!({"alg": "ES256"}),
            payload: json!({"files": [{"name": POLICY.0, "hash": hash, "algorithm": "SHA-256"}]}),
        }
    }

    fn verify(&self, signatures: impl Fn(&str) -> Value) -> Result<(), SignatureError> {
        let part = |value: &Value| base64::encode_url(value.to_string());
        let input = format!("{}.{}", part(&self.header), part(&self.payload));
        let signature: Signature = self.key.sign(input.as_bytes());
        let token = format!("{input}.{}", base64::encode_url(signature.to_bytes()));
        let content = signatures(&token).to_string();
        let point = self.key.verifying_key().to_sec1_point(false);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64::encode_url(point.x().unwrap()),
            "y": base64::encode_url(point.y().unwrap())});
        let bytes = files(&[POLICY, (".signatures.json", content.as_bytes())]);
        verify(&bytes, &key(&jwk.to_string()))
    }
}

#[test]
fn odd_signatures_are_refused() {
    let one = |token: &str| json!({"signatures": [token]});
    assert_eq!(Signed::good().verify(one), Ok(()));
    let form = |result: Result<(), SignatureError>| matches!(result, Err(SignatureError::Form(_)));
    assert!(form(Signed::good().verify(|token| json!({"signatures": [token, token]}))));
    assert!(form(Signed::good().verify(|_| json!({"signatures": []}))));
    assert!(form(Signed::good().verify(|_| json!({}))));
    assert!(form(Signed::good().verify(|token| json!({"signatures": [token], "plugin": "mine"}))));
    assert!(form(Signed::good().verify(|_| json!({"signatures": ["a.b"]}))));
    // Cut off and spelled otherwise.
    let spoilt = |spoil: fn(&str) -> String| Signed::good().verify(|token| json!({"signatures": [spoil(token)]}));
    assert!(form(spoilt(|token| format!("{token}="))));
    assert_eq!(spoilt(|token| token.rsplit_once('.').unwrap().0.to_owned() + "."), Err(SignatureError::BadSignature));

    type Change = (&'static str, fn(&mut Signed), fn(&SignatureError) -> bool);
    let changes: [Change; 10] = [
        ("no algorithm", |s| s.header = json!({}), |e| matches!(e, SignatureError::Algorithm { .. })),
        ("none", |s| s.header["alg"] = json!("none"), |e| matches!(e, SignatureError::Algorithm { .. })),
        ("a secret", |s| s.header["alg"] = json!("HS256"), |e| matches!(e, SignatureError::Algorithm { .. })),
        ("critical", |s| s.header["crit"] = json!(["x"]), |e| matches!(e, SignatureError::Form(_))),
        ("no files", |s| s.payload = json!({}), |e| matches!(e, SignatureError::Form(_))),
        ("an empty list", |s| s.payload = json!({"files": []}), |e| matches!(e, SignatureError::NotListed(_))),
        (
            "MD5",
            |s| s.payload["files"][0]["algorithm"] = json!("MD5"),
            |e| matches!(e, SignatureError::HashAlgorithm(..)),
        ),
        (
            "a short hash",
            |s| s.payload["files"][0]["hash"] = json!("abcd"),
            |e| matches!(e, SignatureError::Altered(_)),
        ),
        ("no hex", |s| s.payload["files"][0]["hash"] = json!("xyz"), |e| matches!(e, SignatureError::Form(_))),
        ("a scope", |s| s.payload["scope"] = json!("prod"), |e| matches!(e, SignatureError::Scope { .. })),
    ];
    for (name, change, expected) in changes {
        let mut signed = Signed::good();
        change(&mut signed);
        let error = signed.verify(one).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
    let (mut signed, other) = (Signed::good(), Signed::good());
    let twice = signed.payload["files"][0].clone();
    signed.payload["files"].as_array_mut().unwrap().push(twice);
    assert!(form(signed.verify(one)), "listed twice");
    // By another key.
    let stranger = Signed { key: other.key, ..Signed::good() };
    let foreign = |_: &str| {
        let token = std::cell::RefCell::new(String::new());
        let _ = stranger.verify(|own| {
            *token.borrow_mut() = own.to_owned();
            json!({})
        });
        json!({"signatures": [token.into_inner()]})
    };
    assert_eq!(Signed::good().verify(foreign), Err(SignatureError::BadSignature));
}

#[test]
fn keys_are_read_from_pem_and_jwk() {
    let rsa_jwk = r#"{"kty":"RSA","e":"AQAB","n":"uBPOyW8YtG5UHRs15oqofSFS6QQtdtjf-1YgPEgsodXR1YaeuwftbpOG_kYoeLH9lKec1fw6QEEegiIYhHckG9fEPuOPmU0ULOyG802Do5i17sgtNvPnqUE9LBHEe37L67c0UsLKDvovx9PT1goV1f19zpcfZsrljXRBKlfXvgehbFCpPEjhYhgu0lLPeGHs9QbNG7YPu6HTEBwv5_jvXDq56Fa7D6rKHmtyvaFo6rAOnEo_w05cCHGFEAht5a-kzxvAwDWCAA2KHelK5VUCHwwWlFzBQ2QeucHZ1S-6PnM2Hvz5f3mj7J0QY4Tb-_ih4eXNaF3c5h4t-WhXi34kTQ"}"#;
    assert_eq!(key(EC_JWK), key(EC_KEY));
    assert_eq!(key(rsa_jwk), key(RSA_KEY));
    for (name, text, expected) in [
        ("nothing", "", KeyError::Form),
        ("text", "secret", KeyError::Form),
        ("no JWK", "{}", KeyError::Form),
        ("a secret", r#"{"kty":"oct","k":"AQ"}"#, KeyError::Kind),
        ("another curve", r#"{"kty":"EC","crv":"P-384","x":"AQ","y":"AQ"}"#, KeyError::Kind),
        ("a small modulus", r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#, KeyError::Kind),
        ("a private JWK", r#"{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ","d":"AQ"}"#, KeyError::Private),
        ("a private key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", KeyError::Private),
        ("something else", "-----BEGIN X-----\nMAA=\n-----END X-----\n", KeyError::Label("X".into())),
        ("no key", "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", KeyError::Form),
    ] {
        assert_eq!(VerificationKey::parse(text), Err(expected), "{name}");
    }
}
