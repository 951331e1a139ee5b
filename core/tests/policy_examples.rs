//! Runs the `test_` rules of the example policy, as `opa test policy/` does.
//!
//! They replace `input` by `with`, which the policy machine cannot; regorus' interpreter can.

use regorus::unstable::{Expr, Parser, Rule, RuleHead, Source};
use regorus::{Engine, Value};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the `test_` rules, as written.
fn tests_in(name: &str) -> Vec<String> {
    let source = Source::from_contents(name.to_owned(), read(name)).unwrap();
    let mut parser = Parser::new(&source).unwrap();
    parser.enable_rego_v1().unwrap();
    let module = parser.parse().unwrap();
    let heads = module.policy.iter().filter_map(|rule| match rule.as_ref() {
        Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } => match refr.as_ref() {
            Expr::Var { span, .. } => Some(span.text().to_owned()),
            _ => None,
        },
        _ => None,
    });
    heads.filter(|name| name.starts_with("test_")).collect()
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    for name in ["allow.rego", "allow_test.rego"] {
        engine.add_policy(name.to_owned(), read(name)).unwrap();
    }
    engine.add_data_json(&read("data.json")).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    engine.add_extension("time.now_ns".to_owned(), 0, Box::new(move |_| Ok(Value::from(now)))).unwrap();
    engine
}

#[test]
fn all_test_rules_hold() {
    let tests = tests_in("allow_test.rego");
    assert_eq!(tests.len(), 9, "{tests:?}");
    for test in tests {
        let result = engine().eval_rule(format!("data.scbte_test.{test}"));
        assert!(matches!(result, Ok(Value::Bool(true))), "{test}: {result:?}");
    }
}

/// A rule that does not hold must fail here, or the test above could not.
#[test]
fn a_broken_policy_fails_them() {
    let broken = read("allow.rego").replace("+ 300000000000", "+ 999000000000");
    let mut engine = Engine::new();
    engine.add_policy("allow.rego".to_owned(), broken).unwrap();
    engine.add_policy("allow_test.rego".to_owned(), read("allow_test.rego")).unwrap();
    engine.add_data_json(&read("data.json")).unwrap();
    engine
        .add_extension("time.now_ns".to_owned(), 0, Box::new(|_| Ok(Value::from(1_700_000_000_000_000_000_u64))))
        .unwrap();
    let result = engine.eval_rule("data.scbte_test.test_timestamp_far_ahead".to_owned());
    assert!(!matches!(result, Ok(Value::Bool(true))), "{result:?}");
}
