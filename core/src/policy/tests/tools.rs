//! Evaluating documents, explaining, and running tests.

use super::*;
use crate::policy::Refusal;
use crate::policy::tools::{Call, Condition, Explainer, Outcome, Suite, TestOutcome, warnings};
use serde_json::Map;

fn document(claims: &Value) -> Map<String, Value> {
    let input = json!({"sub": "spiffe://cluster.local/ns/production/sa/api-gateway", "ctx": "read:users",
        "aud": "api", "method": "GET", "path": "/api/v1/users", "claims": claims});
    input.as_object().unwrap().clone()
}

/// The rules of the package `scbte`, which begin at line 2, explained.
fn explain(rules: &str, claims: &Value) -> (Decision, Call) {
    let source = source(&format!("package scbte\n{rules}\n"), json!({"granted": ["a"]}));
    let mut explainer = Explainer::new(&source, &Limits::default(), 9).unwrap_or_else(|e| panic!("{rules}: {e:?}"));
    let explanation = explainer.explain(&document(claims), NOW).unwrap();
    (explanation.evaluation.decision.unwrap(), explanation.call.unwrap_or_else(|| panic!("{rules}: not watched")))
}

/// Whatever the machine does, it can be watched, and does the same then.
#[test]
fn every_semantic_can_be_watched() {
    for (rules, claims, expected) in semantics::cases() {
        let source = source(&format!("package scbte\n{rules}\n"), json!({}));
        let mut explainer = Explainer::new(&source, &Limits::default(), 1).unwrap();
        let explanation = explainer.explain(&document(&claims), NOW).unwrap();
        let allowed = matches!(explanation.evaluation.decision, Ok(Decision::Allow { .. }));
        assert_eq!(allowed, expected, "{rules}\n{claims}");
        let call = explanation.call.unwrap_or_else(|| panic!("{rules}: {claims}: not watched"));
        let held = call.bodies.iter().any(|body| body.outcome == Outcome::Held);
        assert_eq!(held, explanation.evaluation.value.is_some(), "{rules}\n{claims}\n{call:#?}");
        // A body holds when all its conditions do.
        for body in call.bodies.iter().filter(|body| !body.conditions.is_empty()) {
            let all = body.conditions.iter().all(|condition| condition.outcome == Outcome::Held);
            assert_eq!(all, body.outcome == Outcome::Held, "{rules}\n{claims}\n{body:#?}");
        }
    }
}

fn words(condition: &Condition) -> String {
    let outcome = match condition.outcome {
        Outcome::Held => "ok",
        Outcome::Failed => "fails",
        Outcome::NotReached => "-",
        Outcome::OtherArguments => "other",
    };
    let values = condition.values.iter().map(|(text, value)| format!("{text} is {value}"));
    format!("{outcome} {} | {}", condition.text, values.collect::<Vec<_>>().join(", "))
}

#[test]
fn conditions_are_told_with_their_values() {
    // Rules, claims, and the conditions of the first body of `allow`.
    let cases: &[(&str, Value, &[&str])] = &[
        (
            "allow if { input.method == \"POST\"; input.path == \"/\" }",
            json!({}),
            &["fails input.method == \"POST\" | input.method is \"GET\"", "- input.path == \"/\" | "],
        ),
        (
            "allow if { input.method == \"GET\"; startswith(input.path, \"/admin\") }",
            json!({}),
            &[
                "ok input.method == \"GET\" | input.method is \"GET\"",
                "fails startswith(input.path, \"/admin\") | input.path is \"/api/v1/users\"",
            ],
        ),
        (
            "allow if not input.claims.blocked",
            json!({"blocked": true}),
            &["fails not input.claims.blocked | input.claims.blocked is true"],
        ),
        ("allow if input.claims.team", json!({}), &["fails input.claims.team | input.claims.team is undefined"]),
        (
            "allow if input.claims.n + 1 > 3",
            json!({"n": "x"}),
            &["fails input.claims.n + 1 > 3 | input.claims.n is \"x\""],
        ),
        (
            "allow if input.claims.team in data.granted",
            json!({"team": "b"}),
            &["fails input.claims.team in data.granted | input.claims.team is \"b\", data.granted is [\"a\"]"],
        ),
        (
            "allow if { some team in input.claims.teams; data.people[team] }",
            json!({"teams": ["b"]}),
            &[
                "ok some team in input.claims.teams | input.claims.teams is [\"b\"]",
                "fails data.people[team] | data.people[team] is undefined, team is \"b\"",
            ],
        ),
        (
            "allow if { team := lower(input.claims.team); team == \"x\" }",
            json!({"team": "B"}),
            &[
                "ok team := lower(input.claims.team) | lower(input.claims.team) is \"b\", input.claims.team is \"B\"",
                "fails team == \"x\" | team is \"b\"",
            ],
        ),
        (
            "allow if { some x in input.claims.xs; x.a > 1; x.b }",
            json!({"xs": [{"a": 1, "b": true}, {"a": 2}]}),
            &[
                "ok some x in input.claims.xs | input.claims.xs is [{\"a\":1,\"b\":true},{\"a\":2}]",
                "ok x.a > 1 | x.a is 2",
                "fails x.b | x.b is undefined",
            ],
        ),
        (
            "allow if every x in input.claims.xs { x.a > 1 }",
            json!({"xs": [{"a": 2}, {"a": 1}]}),
            &["fails every x in input.claims.xs { x.a > 1 } | input.claims.xs is [{\"a\":2},{\"a\":1}], x.a is 1"],
        ),
        (
            r"allow if regex.match(`^\d+$`, input.claims.n)",
            json!({"n": "7a"}),
            &[r#"fails regex.match(`^\d+$`, input.claims.n) | input.claims.n is "7a""#],
        ),
        (
            "allow if count([x | some x in input.claims.xs; x > 1]) == 0",
            json!({"xs": [1, 2]}),
            &[
                "fails count([x | some x in input.claims.xs; x > 1]) == 0 | count([x | some x in input.claims.xs; x > 1]) is 1, [x | some x in input.claims.xs; x > 1] is [2]",
            ],
        ),
    ];
    for (rules, claims, expected) in cases {
        let (_, call) = explain(rules, claims);
        let told: Vec<String> = call.bodies[0].conditions.iter().map(words).collect();
        assert_eq!(told, *expected, "{rules}");
    }
}

#[test]
fn the_rules_that_were_asked_are_told() {
    let rules = "# Who may.\nallow := true if permitted\nelse := {\"allow\": false, \"reason\": \"no\"}\n\
        permitted if f(\"GET\", input.method)\nf(\"PUT\", _) := true\nf(\"GET\", method) if method == \"PUT\"\n\
        permitted if input.claims.admin";
    let (decision, call) = explain(rules, &json!({}));
    assert_eq!(decision, Decision::Deny { reason: "no".into(), status: 403, response_headers: vec![] });
    let [first, second] = call.bodies.as_slice() else { panic!("{call:#?}") };
    assert_eq!((first.outcome, first.about.as_deref()), (Outcome::Failed, Some("Who may.")));
    assert_eq!((second.outcome, second.place.line), (Outcome::Held, 4));
    assert_eq!(second.head, "else := {\"allow\": false, \"reason\": \"no\"}");

    let permitted = &first.conditions[0].calls[0];
    assert_eq!((permitted.rule.as_str(), permitted.value.to_string().as_str()), ("data.scbte.permitted", "undefined"));
    let function = &permitted.bodies[0].conditions[0].calls[0];
    let arguments: Vec<String> = function.arguments.iter().map(|(_, value)| value.to_string()).collect();
    assert_eq!(arguments, ["\"GET\"", "\"GET\""]);
    let outcomes: Vec<_> = function.bodies.iter().map(|body| body.outcome).collect();
    assert_eq!(outcomes, [Outcome::OtherArguments, Outcome::Failed]);

    // A default.
    let (_, call) = explain("default allow := false\nallow if input.claims.admin", &json!({}));
    assert_eq!(call.default.map(|place| place.line), Some(2));
}

#[test]
fn instructions_are_counted() {
    let mut policy = admit("allow if { some x in input.claims.xs; x == 9 }", json!({})).unwrap();
    for length in [0, 1, 10, 100] {
        let input = document(&json!({"xs": vec![1; length]}));
        let used = policy.evaluate_document(&input, NOW).unwrap().instructions.unwrap();
        for (budget, enough) in [(used, true), (used - 1, false)] {
            policy.max_instructions = budget;
            let evaluation = policy.evaluate_document(&input, NOW).unwrap();
            assert_eq!((evaluation.decision.is_ok(), evaluation.instructions.is_some()), (enough, enough), "{length}");
        }
        policy.max_instructions = Limits::default().max_instructions;
    }
    let nested = (0..20).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(policy.evaluate_document(&document(&nested), NOW).is_err());
}

#[test]
fn everything_that_is_wrong_is_found() {
    let rego = "package scbte\nimport data.x as count\nallow if {\n\tnope(1)\n\thttp.send({})\n\tx with input as {}\n}\n\
        allow := 1 if regex.match(`(`, input.path)\nx := true\n";
    let mut source = source(rego, json!([]));
    let found = |source: &PolicySource| -> Vec<(u32, String)> {
        let errors = Policy::admit_or_tell(source, &Limits::default(), 50).unwrap_err();
        assert_eq!(Policy::admit(source, &Limits::default()).unwrap_err(), errors[0]);
        errors
            .iter()
            .map(|error| (error.place.as_ref().map_or(0, |place| place.line), error.refusal.to_string()))
            .collect()
    };
    let all = found(&source);
    for (line, part) in [
        (2, "name of a builtin function"),
        (4, "`nope` may not be called"),
        (5, "`http.send` may not be called"),
        (6, "`with` is not supported"),
        (8, "invalid regex `(`"),
        (8, "`allow` could get two different values"),
        (0, "found an array, expected an object"),
    ] {
        assert!(all.iter().any(|(at, text)| *at == line && text.contains(part)), "{line} {part}: {all:#?}");
    }
    // What is not Rego, in every module.
    source.modules = ["package a\nx if {", "package b\ny := 1", "package c\nz := ["]
        .map(|rego| Module { name: rego[8..9].to_owned() + ".rego", rego: rego.into() })
        .into();
    let errors = Policy::admit_or_tell(&source, &Limits::default(), 50).unwrap_err();
    let modules: Vec<_> = errors.iter().map(|error| error.place.as_ref().unwrap().module.as_str()).collect();
    assert_eq!(modules, ["a.rego", "c.rego"]);
    assert!(errors.iter().all(|error| matches!(error.refusal, Refusal::Syntax(_))));
    assert_eq!(Policy::admit_or_tell(&source, &Limits::default(), 1).unwrap_err().len(), 1);
}

/// The compiler mixes up the modules.
#[test]
fn places_are_in_their_module() {
    let modules = [
        (
            "z.rego",
            "package lib\n\nhelper if input.claims.helper\n\nloop if { some n in input.claims.ns; [1 | n.a > 3] == [] }",
        ),
        ("a.rego", "package scbte\nother := 1\nallow if data.lib.helper"),
        ("m.rego", "package scbte\n\n\nallow if input.claims.b"),
    ];
    let modules = modules.map(|(name, rego)| Module { name: name.into(), rego: rego.into() });
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut source = source("", json!({}));
        source.modules = order.map(|index| modules[index].clone()).into();
        let mut explainer = Explainer::new(&source, &Limits::default(), 1).unwrap();
        let call = explainer.explain(&document(&json!({})), NOW).unwrap().call.unwrap();
        let mut places: Vec<String> = call.bodies.iter().map(|body| body.place.to_string()).collect();
        places.sort_unstable();
        assert_eq!(places, ["a.rego:3:1", "m.rego:4:1"], "{order:?}");
        let helper = call.bodies.iter().flat_map(|body| &body.conditions).find_map(|condition| condition.calls.first());
        assert_eq!(helper.unwrap().bodies[0].place.to_string(), "z.rego:3:1", "{order:?}");

        source
            .modules
            .iter_mut()
            .for_each(|module| module.rego = module.rego.replace("data.lib.helper", "data.lib.loop"));
        let error = Policy::admit(&source, &Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with("z.rego:5:43: a condition of a comprehension"), "{order:?}: {error}");
    }
}

const POLICY: &str = r#"package scbte
default allow := false
allow if {
	known
	f(input.method)
}
allow := {"allow": false, "status": 7} if input.ctx == "bad:status"
known if input.sub in data.people
f("GET") := true
f(method) if method == "HEAD"
teams contains team if some team in input.claims.teams
late if input.timestamp * 1000000 < time.now_ns()
reason := "x" if not data.titles[input.nothing]
"#;

fn suite(tests: &str) -> Suite {
    let mut source = source(&POLICY.replace("allow := {", "else := {"), json!({"people": ["a"]}));
    source.modules[0].rego = source.modules[0].rego.replace("default allow := false\n", "");
    let tests = Module { name: "policy_test.rego".into(), rego: tests.into() };
    Suite::load(&source, &[tests], &Limits::default(), NOW, 9).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn outcomes(suite: &mut Suite) -> Vec<(String, String)> {
    let words = |outcome: TestOutcome| match outcome {
        TestOutcome::Passed => "passed".to_owned(),
        TestOutcome::Failed(place) => format!("failed at {}", place.map_or(0, |place| place.line)),
        TestOutcome::Skipped => "skipped".to_owned(),
        TestOutcome::Error(text, _) => text,
    };
    let tests = suite.tests().to_vec();
    tests.iter().map(|test| (test.name.clone(), words(suite.run(test).outcome))).collect()
}

#[test]
fn tests_ask_the_machine() {
    // The rule of a test in the package `scbte_test`, and what comes of it.
    let cases = [
        ("test_x if data.scbte.allow with input as {\"sub\": \"a\", \"method\": \"GET\"}", "passed"),
        ("test_x if data.scbte.allow with input as {\"sub\": \"b\", \"method\": \"GET\"}", "failed at 2"),
        ("test_x if not data.scbte.allow with input as {}", "passed"),
        ("test_x if not data.scbte.allow", "passed"),
        ("test_x if data.scbte.known with input.sub as \"a\"", "passed"),
        ("test_x if data.scbte.known with input.sub as \"z\" with data.people as [\"z\"]", "passed"),
        ("test_x if data.scbte.known with input.sub as \"a\" with data.people as []", "failed at 2"),
        ("test_x if data.scbte.f(\"HEAD\")", "passed"),
        ("test_x if data.scbte.f(\"PUT\")", "failed at 2"),
        (
            "test_x if data.scbte.teams == {\"a\", \"b\"} with input as {\"claims\": {\"teams\": [\"b\", \"a\", \"a\"]}}",
            "passed",
        ),
        ("test_x if \"a\" in data.scbte.teams with input as {\"claims\": {\"teams\": [\"a\"]}}", "passed"),
        ("test_x if data.scbte.late with input.timestamp as 1 with time.now_ns as 1000001", "passed"),
        ("test_x if data.scbte.late with input.timestamp as 1 with time.now_ns as 1000000", "failed at 2"),
        ("test_x if data.scbte.late with input.timestamp as 1699999999999", "passed"),
        ("test_x if data.scbte.late with input.timestamp as 1700000000000", "failed at 2"),
        // Neither a text nor somebody else's function is the clock.
        ("test_x if time.now_ns() == 1700000000000000000", "passed"),
        ("test_x if \"time.now_ns\" == concat(\".\", [\"time\", \"now_ns\"]) # time.now_ns()", "passed"),
        ("test_x if x.time.now_ns == 1\nx := {\"time\": {\"now_ns\": 1}}", "passed"),
        ("test_x if data.scbte.late with time.now_ns as early with input.timestamp as 1\nearly := 5", "failed at 2"),
        ("test_x if nope(time.now_ns())", "could not find function nope"),
        (
            "test_x if {\n\ti := {\"sub\": \"a\", \"method\": \"GET\"}\n\tdata.scbte.allow with input as i\n\ti.sub == \"b\"\n}",
            "failed at 5",
        ),
        ("todo_test_x if false", "skipped"),
        (
            "test_x[c] if some c in [1, 2]",
            "a test with cases, `test_x[case] if …`, is not supported: write one rule for each",
        ),
        ("test_x := 1", "failed at 2"),
        // What regorus' interpreter alone would answer differently from OPA.
        ("test_x if not data.scbte.reason with input as {}", "passed"),
        // A decision that the filter cannot read.
        (
            "test_x if data.scbte.allow with input.ctx as \"bad:status\"",
            "`data.scbte.allow`: the decision's `status` is 7, expected an integer in 400–599",
        ),
        // Replaced rules and functions.
        ("test_x if data.scbte.allow with data.scbte.known as true with input.method as \"GET\"", "passed"),
        (
            "test_x if data.scbte.allow with data.scbte.f as true with input as {\"sub\": \"a\", \"method\": \"PUT\"}",
            "a test that replaces a function with `with` is not supported",
        ),
        ("test_x if data.scbte.known with count as 1", "a test that replaces a function with `with` is not supported"),
    ];
    for (test, expected) in cases {
        let mut suite = suite(&format!("package scbte_test\n{test}\n"));
        let found = outcomes(&mut suite);
        assert!(found.len() == 1 && found[0].1.starts_with(expected), "{test}: {found:?}");
        assert!(found[0].0.ends_with("test_x"));
    }
}

#[test]
fn a_replaced_rule_is_said_to_be_interpreted() {
    let mut suite = suite(
        "package scbte\ntest_a if helper(true)\ntest_b if known with input.sub as \"a\"\ntest_a if true\n\
         helper(value) if allow with data.scbte.known as value with input.method as \"GET\"\n\
         test_c if { print(\"seen\", 1); known with data.scbte.teams as 1 with input.sub as \"a\" }\n",
    );
    let replaces: Vec<_> = suite.tests().iter().map(|test| test.replaces.clone()).collect();
    assert_eq!(replaces, [Some("data.scbte.known".into()), None, Some("data.scbte.teams".into())]);
    let tests = suite.tests().to_vec();
    let verdicts: Vec<_> = tests.iter().map(|test| suite.run(test)).collect();
    assert!(verdicts.iter().all(|verdict| verdict.outcome == TestOutcome::Passed), "{verdicts:?}");
    assert_eq!(verdicts[2].printed, ["policy_test.rego:6: seen 1"]);
}

#[test]
fn covered_is_what_the_machine_reached() {
    let covered = |tests: &str| {
        let mut suite = suite(&format!("package scbte_test\n{tests}\n"));
        assert!(outcomes(&mut suite).iter().all(|(_, outcome)| outcome == "passed"), "{tests}");
        let coverage = suite.coverage();
        assert_eq!(coverage.files.len(), 1);
        (coverage.files[0].covered.iter().copied().collect::<Vec<_>>(), coverage.percent())
    };
    // Lines of the policy without its default: `allow` 2–5, `else` 6, `known` 7, `f` 8 and 9, the rest 10–12.
    assert_eq!(covered("test_x if true"), (vec![], 0.0));
    // `allow` fails at `known`: nothing holds; both conditions and `else` were looked at.
    assert_eq!(covered("test_x if not data.scbte.allow with input as {\"sub\": \"b\"}").0, [3]);
    assert_eq!(
        covered("test_x if data.scbte.allow with input as {\"sub\": \"a\", \"method\": \"GET\"}").0,
        [2, 3, 4, 7, 8]
    );
    assert_eq!(covered("test_x if data.scbte.f(\"HEAD\")").0, [9]);
    let (lines, percent) = covered("test_x if data.scbte.teams with input.claims.teams as [1]");
    assert_eq!((lines, percent.round()), (vec![10], 10.0));
}

#[test]
fn a_package_may_have_any_name() {
    let mut source = source("package scbte\nallow if data.lib[\"a-b\"].helper\nunused := 1", json!({}));
    let lib = "package lib[\"a-b\"]\nhelper if input.sub == \"a\"";
    source.modules.push(Module { name: "lib.rego".into(), rego: lib.into() });
    let policy = Policy::admit(&source, &Limits::default()).unwrap();
    let unreached: Vec<String> = warnings(&source, &policy).iter().map(|(warning, _)| warning.to_string()).collect();
    assert_eq!(unreached, ["the rule `data.scbte.unused` is never asked by `data.scbte.allow`"]);

    let tests = "package t\ntest_x if data.scbte.allow with input.sub as \"a\"\n\
        test_y if data.lib[\"a-b\"].helper with input.sub as \"a\"\ntest_z if not data.lib[\"a-b\"].helper";
    let tests = Module { name: "t_test.rego".into(), rego: tests.into() };
    let mut suite = Suite::load(&source, &[tests], &Limits::default(), NOW, 9).unwrap();
    assert!(outcomes(&mut suite).iter().all(|(_, outcome)| outcome == "passed"));
    let lines: Vec<_> = suite.coverage().files.iter().map(|file| file.covered.len()).collect();
    assert_eq!(lines, [1, 1]);

    source.entrypoint = "data.lib[\"a-b\"].helper".into();
    assert!(Policy::admit(&source, &Limits::default()).is_ok());
}

#[test]
fn what_cannot_run_is_told_before_any_test() {
    let module = |rego: &str| [Module { name: "t.rego".into(), rego: rego.into() }];
    let policy = source("package scbte\nallow if rand.intn(\"x\", 2) == 1", json!({}));
    let error = Suite::load(&policy, &module("package t"), &Limits::default(), NOW, 9).err().unwrap();
    assert!(error[0].to_string().contains("`rand.intn` may not be called"));
    let policy = source("package scbte\nallow := true", json!({}));
    let error = Suite::load(&policy, &module("package t\ntest_x if {"), &Limits::default(), NOW, 9).err().unwrap();
    assert!(error[0].to_string().starts_with("t.rego:2:12: syntax"), "{}", error[0]);
}
