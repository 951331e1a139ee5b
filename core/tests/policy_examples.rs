//! Runs the tests of the example policy, as `scbte test policy/` and `opa test policy/` do.

use scbte_core::policy::tools::{Suite, TestOutcome};
use scbte_core::policy::{Limits, Module, PolicySource, RegoVersion};
use scbte_core::time::Timestamp;
use std::path::Path;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn module(name: &str, rego: String) -> Module {
    Module { name: name.into(), rego }
}

/// The tests that do not pass, and how many there are.
fn failed(policy: String) -> (Vec<String>, usize) {
    let source = PolicySource {
        modules: vec![module("allow.rego", policy)],
        data: serde_json::from_str(&read("data.json")).unwrap(),
        entrypoint: PolicySource::DEFAULT_ENTRYPOINT.into(),
        rego_version: RegoVersion::V1,
    };
    let tests = [module("allow_test.rego", read("allow_test.rego"))];
    let mut suite = Suite::load(&source, &tests, &Limits::default(), NOW, 9).unwrap_or_else(|e| panic!("{e:?}"));
    let tests = suite.tests().to_vec();
    let failed = tests.iter().filter(|test| suite.run(test).outcome != TestOutcome::Passed);
    (failed.map(|test| test.name.clone()).collect(), tests.len())
}

#[test]
fn all_tests_pass() {
    assert_eq!(failed(read("allow.rego")), (vec![], 9));
}

/// A policy that is wrong must fail them, or the test above could not.
#[test]
fn a_broken_policy_fails_them() {
    let (failed, _) = failed(read("allow.rego").replace("+ 300000000000", "+ 999000000000"));
    assert_eq!(failed, ["data.scbte_test.test_timestamp_far_ahead"]);
}
