//! `scbte policy`: what an author and a job of CI see, and the exit codes.

use crate::harness::{API_GATEWAY, Companion, Printed, scbte, scbte_with};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ORDER_SERVICE: &str = "spiffe://cluster.local/ns/production/sa/order-service";

/// The policy of the demo.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn policy(command: &str, path: &Path, more: &[&str]) -> Printed {
    scbte(["policy", command, path.to_str().unwrap()].iter().chain(more))
}

/// The outcome with `--json`.
#[track_caller]
fn json_of(printed: &Printed) -> Value {
    serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{printed:?}"))
}

/// Checks the exit code, and that every part is printed.
#[track_caller]
fn says(printed: &Printed, code: i32, parts: &[&str]) {
    for part in parts {
        let found = printed.out.contains(part) || printed.err.contains(part);
        assert!(printed.code == code && found, "{part}\n{}\n{}{}", printed.code, printed.out, printed.err);
    }
}

fn request(sub: &str, ctx: &str, method: &str, path: &str) -> String {
    json!({"sub": sub, "ctx": ctx, "method": method, "path": path}).to_string()
}

#[test]
fn what_the_filter_admits_is_said() {
    let printed = policy("check", &example(), &["--strict"]);
    says(&printed, 0, &["admitted: 1 Rego file, entry point data.scbte.allow", "input.ctx, input.method, input.path"]);
    let outcome = json_of(&policy("check", &example(), &["--json"]));
    assert_eq!((&outcome["admitted"], &outcome["findings"]), (&json!(true), &json!([])));
    assert_eq!(outcome["reads"], json!(["ctx", "method", "path", "sub", "timestamp"]));
    assert_eq!(outcome["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn every_finding_has_its_place_and_its_line() {
    // Name, files, options, exit code, and what is printed.
    let cases: &[(&str, &[(&str, &str)], &[&str], i32, &[&str])] = &[
        (
            "several errors in several files",
            &[
                ("a.rego", "package scbte\n\nallow if {\n\tnope(1)\n\thttp.send({})\n}\n"),
                ("lib/b.rego", "package lib\n\nx if regex.match(`(`, input.path)\n"),
            ],
            &[],
            1,
            &[
                "/a.rego:4:2: error: `nope` may not be called",
                "  4 |  nope(1)\n    |  ^\n",
                "/a.rego:5:2: error: `http.send` may not be called",
                "/lib/b.rego:3:6: error: `regex.match`: invalid regex `(`: unclosed group",
                "NOT ADMITTED: 3 errors",
            ],
        ),
        (
            "no Rego",
            &[("a.rego", "package scbte\nallow if {\n"), ("b.rego", "package b\nx := [\n")],
            &[],
            1,
            &["/a.rego:3:1: error: syntax", "(nothing here", "/b.rego:3:1: error: syntax", "NOT ADMITTED: 2 errors"],
        ),
        (
            "the old language",
            &[("a.rego", "package scbte\nallow { input.sub }\n")],
            &[],
            1,
            &["`if` keyword is required", "hint: Rego from before OPA 1.0 is read with --rego-v0"],
        ),
        (
            "the old language, said so",
            &[("a.rego", "package scbte\nallow { input.sub }\n")],
            &["--rego-v0"],
            0,
            &["admitted"],
        ),
        (
            "another entry point",
            &[("a.rego", "package authz\nallow if input.sub\n")],
            &[],
            1,
            &["error: entry point `data.scbte.allow`: no such rule", "hint: --entrypoint data.authz.allow"],
        ),
        (
            "another entry point, said so",
            &[("a.rego", "package authz\nallow if input.sub\n")],
            &["--entrypoint", "data.authz.allow"],
            0,
            &["admitted: 1 Rego file, entry point data.authz.allow"],
        ),
        (
            "data in the way of a rule",
            &[("a.rego", "package scbte\nallow if input.sub\n"), ("scbte/data.json", r#"{"allow": true}"#)],
            &[],
            1,
            &["error: data: `scbte.allow` is in the way of the rule `data.scbte.allow`"],
        ),
        (
            "a misspelt member",
            &[("a.rego", "package scbte\nallow if input.subject == \"a\"\n")],
            &["--strict"],
            1,
            &["a.rego:2:10: warning: `input.subject` is always undefined: did you mean `input.sub`?", "1 warning"],
        ),
        (
            "a misspelt member, leniently",
            &[("a.rego", "package scbte\nallow if input.subject == \"a\"\n")],
            &[],
            0,
            &["admitted"],
        ),
        ("a folder without Rego", &[("data.json", "{}")], &[], 2, &["error: there is no Rego file in"]),
        (
            "data that is no JSON",
            &[("a.rego", "package scbte"), ("data.json", "{")],
            &[],
            2,
            &["data.json`: not acceptable JSON"],
        ),
    ];
    for (name, files, options, code, parts) in cases {
        let root = folder(files);
        let printed = policy("check", root.path(), options);
        assert_eq!(printed.code, *code, "{name}: {printed:?}");
        says(&printed, *code, parts);
    }
    let root = folder(&[("a.rego", "package scbte\nallow if {\n\tnope(1)\n}\n")]);
    let finding = &json_of(&policy("check", root.path(), &["--json"]))["findings"][0];
    assert_eq!((&finding["line"], &finding["column"], &finding["text"]), (&json!(3), &json!(2), &json!("\tnope(1)")));
    assert_eq!(finding["severity"], "error");
}

#[test]
fn wrong_arguments_are_told_apart_from_findings() {
    let (example, long) = (example(), "r".repeat(129));
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/src/policy_bundle/fixtures/policy.pub.pem").to_owned();
    for (command, more, part) in [
        ("check", &["--max-instructions", "5"][..], "expected a whole number from 100"),
        ("eval", &[], "--input"),
        ("eval", &["--input", "/nowhere.json"], "`/nowhere.json`: No such file"),
        ("explain", &[], "--token <TOKEN>|--input <FILE>"),
        ("explain", &["--token", "x"], "--method"),
        ("explain", &["--token", "x", "--method", "GET", "--path", "/"], "this is no SCBTE token"),
        ("build", &[], "--output"),
        ("test", &["--coverage-min", "101"], "expected a percentage"),
        ("check", &["--scope", "x"], "--verification-key"),
        ("check", &["--verification-key", "/nowhere.pem"], "there is no `/nowhere.pem`"),
        ("build", &["--output", "/nowhere/x.tar.gz"], "/nowhere/x.tar.gz"),
        ("build", &["--output", "x.tar.gz", "--revision", &long], "at most 128 printable characters, found 129"),
        ("build", &["--output", "x.tar.gz", "--revision", "a\nb"], "found a control character"),
        ("check", &["--max-data", "1GiB"], "expected a size from 1KiB to 64MiB"),
        ("eval", &["--input", "-", "--max-data", "1B"], "expected a size from 1KiB to 64MiB"),
        ("check", &["--verification-key", &key], "is a folder: only bundles are signed"),
        ("build", &["--output", "x.tar.gz", "--verification-key", &key], "is a folder: only bundles are signed"),
    ] {
        says(&policy(command, &example, more), 2, &[part]);
    }
    says(&policy("check", Path::new("/nowhere"), &[]), 2, &["error: `/nowhere`: No such file"]);
    says(&scbte(["policy", "check"]), 2, &["required arguments"]);
}

#[test]
fn a_bundle_is_built_of_what_is_admitted() {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (file("first.tar.gz"), file("second.tar.gz"));
    let outcome = json_of(&policy("build", &example(), &["-o", &first, "--revision", "1.2.3", "--json"]));
    assert_eq!((&outcome["revision"], &outcome["roots"]), (&json!("1.2.3"), &json!(["grants", "scbte"])));

    // Of a copy, made later and elsewhere: the same bytes.
    let copy = folder(&[]);
    for entry in fs::read_dir(example()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let printed = policy("build", copy.path(), &["-o", &second, "--revision", "1.2.3"]);
    says(&printed, 0, &["revision  1.2.3", outcome["digest"].as_str().unwrap()]);
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());

    // What is in it is what was checked.
    let digest = |path: &str| json_of(&policy("check", Path::new(path), &["--json"]))["digest"].clone();
    assert_eq!(digest(&first), outcome["policy_digest"]);
    assert_eq!(digest(example().to_str().unwrap()), outcome["policy_digest"]);
    says(&policy("test", Path::new(&first), &[]), 1, &["NO TESTS"]);

    // Without a revision it is called by its digest.
    let unnamed = json_of(&policy("build", &example(), &["-o", &first, "--json"]));
    assert!(unnamed["policy_digest"].as_str().unwrap().starts_with(unnamed["revision"].as_str().unwrap()));

    let refused = file("refused.tar.gz");
    for (rego, options, code) in [
        ("package scbte\nallow if rand.intn(\"x\", 2) == 1\n", &[][..], 1),
        ("package scbte\nallow if { x := 1; input.sub }\n", &["--strict"], 1),
        ("package scbte\nallow if { x := 1; input.sub }\n", &[], 0),
    ] {
        let root = folder(&[("a.rego", rego)]);
        let printed = policy("build", root.path(), &[&["-o", refused.as_str()], options].concat());
        assert_eq!((printed.code, Path::new(&refused).exists()), (code, code == 0), "{rego}: {printed:?}");
    }
}

/// What a bundle could not hold is said when it is checked, and a bundle that is there stays when the next is not made.
#[test]
fn what_no_bundle_could_hold_is_refused_before_one_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("bundle.tar.gz");
    let build = |path: &Path, more: &[&str]| policy("build", path, &[&["-o", output.to_str().unwrap()], more].concat());
    build(&example(), &[]).good();
    let good = fs::read(&output).unwrap();
    let data = format!(r#"{{"big": "{}"}}"#, "x".repeat(1 << 20));
    let rego = ("allow.rego", "package scbte\n\nallow if input.ctx == data.big\n");
    for (files, options, code, parts) in [
        (&[rego, (".manifest", r#"{"roots": ["grants"]}"#)][..], &[][..], 1, "is outside of the roots `grants`"),
        (&[rego, (".manifest", r#"{"roots": ["a", "a/b"]}"#)], &[], 1, "the roots `a` and `a/b` overlap"),
        (&[rego, (".manifest", "[]")], &[], 2, "found an array, expected an object"),
        (&[rego, ("data.yaml", "big: no")], &[], 2, "data in YAML is not supported"),
        (&[rego, ("data.json", &data)], &[], 1, "at most 1048576 is allowed"),
        (&[rego, ("data.json", &data)], &["--max-data", "2MiB"], 0, ""),
    ] {
        let root = folder(files);
        says(&policy("check", root.path(), options), code, &[parts]);
        if code > 0 {
            says(&build(root.path(), options), code, &[parts]);
            assert_eq!(fs::read(&output).unwrap(), good, "{parts}");
        }
    }
    let outcome = json_of(&policy("check", folder(&[rego, (".manifest", r#"{"roots": []}"#)]).path(), &["--json"]));
    assert_eq!((&outcome["admitted"], &outcome["findings"][0]["severity"]), (&json!(true), &json!("error")));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing half made is left");
    // What is no file is written to, not replaced.
    let link = scratch.path().join("link.tar.gz");
    std::os::unix::fs::symlink(&output, &link).unwrap();
    policy("build", &example(), &["-o", link.to_str().unwrap(), "--revision", "linked"]).good();
    assert!(link.is_symlink() && fs::read(&output).unwrap() != good);
}

#[test]
fn a_bundle_of_opa_must_be_signed_with_the_key() {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy_bundle/fixtures").join(name);
    let check = |bundle: &str, key: &str, more: &[&str]| {
        let key = fixture(key).to_str().unwrap().to_owned();
        policy("check", &fixture(bundle), &[&["--verification-key", key.as_str()], more].concat())
    };
    says(&check("policy.tar.gz", "policy.pub.pem", &[]), 0, &["admitted"]);
    says(&check("policy.tar.gz", "policy.pub.pem", &["--verification-key-id", "default"]), 0, &["admitted"]);
    // Signed as it should be; its numbers are what admission refuses.
    says(&check("rs256.tar.gz", "rsa.pub.pem", &[]), 1, &["the number `-0.5`"]);
    says(&check("policy.tar.gz", "ec.pub.pem", &[]), 2, &["signature"]);
    says(&check("es256.tar.gz", "rsa.pub.pem", &[]), 2, &["the bundle is signed with ES256, the key is for RS256"]);
    says(&check("es256.tar.gz", "ec.pub.pem", &["--scope", "x"]), 2, &["signed for the scope none, expected `x`"]);
    says(&check("es256.tar.gz", "README.md", &[]), 2, &["expected a public key as PEM"]);

    let own = tempfile::tempdir().unwrap();
    let own = own.path().join("own.tar.gz");
    policy("build", &example(), &["-o", own.to_str().unwrap()]).good();
    let key = fixture("ec.pub.pem");
    says(&policy("check", &own, &["--verification-key", key.to_str().unwrap()]), 2, &["the bundle is not signed"]);
}

#[test]
fn a_decision_is_told_and_is_the_exit_code() {
    let allowed = request(API_GATEWAY, "read:users", "GET", "/api/v1/users");
    let eval = |input: &str, more: &[&str]| {
        let example = example();
        let base = ["policy", "eval", example.to_str().unwrap(), "--input", "-"];
        scbte_with(input, base.iter().chain(more))
    };
    says(
        &eval(&allowed, &[]),
        0,
        &["ALLOWED", "{\"allow\":true}", "instructions", "filled in as the filter would: `timestamp`"],
    );
    let denied = request(ORDER_SERVICE, "read:users", "GET", "/api/v1/users");
    says(&eval(&denied, &[]), 1, &["DENIED: 403 policy_denied, reason `context_not_granted`"]);
    let outcome = json_of(&eval(&denied, &["--json"]));
    assert_eq!((&outcome["decision"], &outcome["status"]), (&json!("deny"), &json!(403)));
    assert!(outcome["instructions"].as_u64().unwrap() > 10);
    // Left as it is, the time condition has no time.
    says(&eval(&allowed, &["--as-is"]), 1, &["not_permitted"]);
    says(&eval(r#"{"subject": "x"}"#, &[]), 1, &["note: the filter never sets `subject`"]);
    says(&eval("[]", &[]), 2, &["found an array, expected an object"]);
    says(&eval(r#"{"sub": "a", "sub": "b"}"#, &[]), 2, &["not acceptable JSON"]);

    // The clock is what one says.
    let timed = json!({"sub": API_GATEWAY, "ctx": "read:users", "method": "GET", "path": "/api/v1/users",
        "timestamp": 1_767_225_600_000_u64});
    says(&eval(&timed.to_string(), &["--at", "2026-01-01T00:00:00Z"]), 0, &["ALLOWED"]);
    says(&eval(&timed.to_string(), &["--at", "2025-12-31T23:00:00Z"]), 1, &["not_permitted"]);

    // What is no decision, and what takes too long.
    let root = folder(&[("a.rego", "package scbte\nallow := {\"allow\": 1}\n")]);
    let input = root.path().join("input.json");
    fs::write(&input, r#"{"claims": {"xs": [1, 2, 3]}}"#).unwrap();
    let input = input.to_str().unwrap();
    says(
        &policy("eval", root.path(), &["--input", input]),
        1,
        &["ERROR: 500 policy_engine_error: the policy's result is an object"],
    );
    fs::write(root.path().join("a.rego"), "package scbte\nallow if { numbers.range(1, input.claims.n) }\n").unwrap();
    says(&policy("eval", root.path(), &["--input", input]), 1, &["NOT ADMITTED", "`numbers.range`"]);
    fs::write(root.path().join("a.rego"), "package scbte\nallow if { some x in input.claims.xs; some y in input.claims.xs; some z in input.claims.xs; [x, y, z] == [9, 9, 9] }\n").unwrap();
    let exhausted = policy("eval", root.path(), &["--input", input, "--max-instructions", "100"]);
    says(
        &exhausted,
        1,
        &["ERROR: 500 policy_engine_error: the policy took more than 100 instructions", "more than 100"],
    );
}

const TESTS: &str = r#"package scbte_test

import data.scbte

test_get if scbte.allow with input as {"sub": "a", "method": "GET"}

test_other_method if {
	i := {"sub": "a", "method": "PUT"}
	print("method", i.method)
	scbte.allow with input as i
}

todo_test_later if false

test_mocked if scbte.allow with data.scbte.known as true with input.method as "GET"
"#;

const POLICY: &str = "package scbte\n\nallow if {\n\tknown\n\tinput.method == \"GET\"\n}\n\nallow if input.claims.admin\n\nknown if input.sub in data.people\n";

#[test]
fn tests_are_run_and_told() {
    let root = folder(&[("p.rego", POLICY), ("p_test.rego", TESTS), ("data.json", r#"{"people": ["a"]}"#)]);
    let printed = policy("test", root.path(), &[]);
    says(
        &printed,
        1,
        &[
            "  ok     test_get  (",
            "  FAIL   test_other_method  (",
            "got no further than this line:",
            "/p_test.rego:10  scbte.allow with input as i",
            "printed: p_test.rego:9: method PUT",
            "  skip   todo_test_later",
            "  ok     test_mocked  (",
            "policy interpreted: replaces data.scbte.known",
            "not covered    8  allow if input.claims.admin",
            "2 passed, 1 failed, 1 skipped, 80.0 % covered",
        ],
    );
    // Only some of them.
    says(&policy("test", root.path(), &["--run", "get"]), 0, &["1 passed, 0 failed, 0 skipped"]);
    says(&policy("test", root.path(), &["--run", "get", "--coverage-min", "80"]), 0, &["80.0 % covered"]);
    says(&policy("test", root.path(), &["--run", "get", "--coverage-min", "81%"]), 1, &["TOO LITTLE COVERED"]);
    says(&policy("test", root.path(), &["--run", "nothing"]), 1, &["NO TESTS"]);

    let outcome = json_of(&policy("test", root.path(), &["--json"]));
    let outcomes: Vec<_> =
        outcome["tests"].as_array().unwrap().iter().map(|test| test["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "failed", "skipped", "passed"]);
    assert_eq!(outcome["tests"][1]["stopped_at"]["line"], 10);
    assert_eq!(outcome["coverage"]["files"][0]["not_covered"], json!([8]));
    assert_eq!((&outcome["success"], &outcome["passed"]), (&json!(false), &json!(2)));

    // A policy that is not admitted is not tested.
    fs::write(root.path().join("p.rego"), "package scbte\nallow if rand.intn(\"x\", 2) == 1\n").unwrap();
    says(&policy("test", root.path(), &[]), 1, &["NOT ADMITTED: 1 error"]);
}

#[test]
fn the_example_is_tested_in_full() {
    says(
        &policy("test", &example(), &["--coverage-min", "100"]),
        0,
        &["9 passed, 0 failed, 0 skipped, 100.0 % covered"],
    );
}

/// From a 403 to the line that caused it, in one command.
#[test]
fn a_denial_is_explained_from_its_token() {
    let companion = Companion::start(&[]);
    let token = companion.token();
    let example = example();
    let explain = |more: &[&str]| {
        scbte(
            ["policy", "explain", example.to_str().unwrap(), "--token", &token]
                .iter()
                .copied()
                .chain(more.iter().copied()),
        )
    };
    let printed = explain(&["--method", "POST", "--path", "/api/v1/users?page=2"]);
    says(
        &printed,
        1,
        &[
            "DENIED: 403 policy_denied, reason `not_permitted`",
            "signature and chain were NOT CHECKED",
            "allow.rego:17  else := {\"allow\": false, \"reason\": \"not_permitted\"}",
            "allow.rego:23  input.method == \"GET\" fails; input.method is \"POST\"",
            "  # api-gateway reads users.",
            "           holds    22  input.ctx == \"read:users\"\n           FAILS    23  input.method == \"GET\"\n                          input.method is \"POST\"\n           -        24",
        ],
    );
    assert!(!printed.out.contains(&token));
    says(&explain(&["--method", "GET", "--path", "/api/v1/users"]), 0, &["ALLOWED", "decided by", "allow.rego:11"]);

    // The input is the filter's.
    let headers = ["--header", "X-Team: red", "--host", "api.example", "--source-address", "::ffff:10.0.0.7"];
    let outcome = json_of(&explain(&[&["--method", "GET", "--path", "/a/b?x=1&x=2", "--json"], &headers[..]].concat()));
    let input = &outcome["input"];
    assert_eq!((&input["sub"], &input["trust_domain"]), (&json!(API_GATEWAY), &json!("cluster.local")));
    assert_eq!((&input["path"], &input["path_segments"]), (&json!("/a/b"), &json!(["a", "b"])));
    assert_eq!((&input["query"], &input["headers"]), (&json!({"x": ["1", "2"]}), &json!({"x-team": "red"})));
    assert_eq!((&input["source"], &input["host"]), (&json!({"address": "10.0.0.7"}), &json!("api.example")));
    assert_eq!(input["claims"]["ctx"], "read:users");
    assert_eq!((&outcome["decision"], &outcome["steps"]["rule"]), (&json!("deny"), &json!("data.scbte.allow")));

    // What the filter would refuse before it asks the policy.
    says(&explain(&["--method", "GET", "--path", "/a//b"]), 2, &["the filter answers 400 before the policy is asked"]);
    let later = explain(&["--method", "GET", "--path", "/", "--at", "2100-01-01T00:00:00Z", "--aud", "other"]);
    says(&later, 1, &["would answer 401 before it asks the policy: the token expired", "this service is `other`"]);
}

#[test]
fn an_explanation_never_contradicts_the_decision() {
    let rules = "package scbte
default allow := {\"allow\": false, \"reason\": \"default\"}
allow := {\"allow\": true} if { not blocked; some team in input.claims.teams; data.teams[team] }
blocked if input.claims.level in data.blocked
blocked if every x in input.claims.xs { x > 2 }
";
    let root = folder(&[("a.rego", rules), ("data.json", r#"{"teams": {"red": true}, "blocked": [3]}"#)]);
    let cases = [
        (json!({"teams": ["red"], "xs": [1]}), "decided by"),
        (json!({"teams": ["blue", "red"], "xs": [1]}), "(1 of 2 times)"),
        (
            json!({"teams": ["blue"], "xs": [1]}),
            "data.teams[team] fails; data.teams[team] is undefined; team is \"blue\"",
        ),
        (json!({"teams": ["red"], "level": 3, "xs": [1]}), "because     `blocked` holds"),
        (json!({"teams": ["red"], "xs": [3, 4]}), "because     `blocked` holds"),
        (json!({"teams": [], "xs": [1]}), "the default at"),
        (json!({}), "the default at"),
    ];
    for (claims, part) in cases {
        let input = root.path().join("input.json");
        fs::write(&input, json!({ "claims": claims }).to_string()).unwrap();
        let input = input.to_str().unwrap();
        let decided = json_of(&policy("eval", root.path(), &["--input", input, "--json"]));
        let printed = policy("explain", root.path(), &["--input", input]);
        says(&printed, i32::from(decided["decision"] != "allow"), &[part]);
        let steps = json_of(&policy("explain", root.path(), &["--input", input, "--json"]));
        assert_eq!(steps["value"], decided["value"], "{claims}");
        assert_eq!(steps["steps"]["value"]["json"], decided["value"], "{claims}");
        assert!(policy("explain", root.path(), &["--input", input, "--all"]).out.len() >= printed.out.len());
    }
}

#[test]
fn what_is_shown_of_a_long_policy_is_bounded() {
    let rules: String =
        (0..300).map(|n| format!("allow if {{ input.method == \"GET\"; input.path == \"/{n}\" }}\n")).collect();
    let root = folder(&[("a.rego", &format!("package scbte\n{rules}"))]);
    let input = root.path().join("input.json");
    fs::write(&input, json!({"method": "GET", "path": "x".repeat(5000)}).to_string()).unwrap();
    let printed = policy("explain", root.path(), &["--input", input.to_str().unwrap()]);
    says(&printed, 1, &["… 295 bodies that got less far are left out (--all tells of them)", "nothing: no rule gives"]);
    assert!(
        printed.out.lines().count() < 60 && printed.out.lines().all(|line| line.chars().count() < 300),
        "{}",
        printed.out
    );
    let all = policy("explain", root.path(), &["--input", input.to_str().unwrap(), "--all"]);
    assert!(all.out.lines().count() > 900);
}
