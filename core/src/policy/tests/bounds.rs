//! What a policy, its data or a request could take the proxy down with: each is refused, or ends in an error.

use super::*;
use crate::policy::{Refusal, Stop, functions};
use std::fmt::Write;
use wasm_bindgen_test::wasm_bindgen_test;

/// A body in which each variable is made of the one before.
fn growing(steps: usize, step: &str, end: &str) -> String {
    let step = |n: usize| step.replace("NEXT", &format!("x{}", n + 1)).replace("LAST", &format!("x{n}"));
    let lines: String = (0..steps).map(|n| step(n) + "\n").collect();
    let end = end.replace("LAST", &format!("x{steps}"));
    format!("allow if {{\nx0 := input.claims.x\n{lines}{end}\n}}")
}

#[wasm_bindgen_test(unsupported = test)]
fn values_do_not_outgrow_their_bounds() {
    let text = json!({"x": "a".repeat(4096)});
    let numbers = json!({"x": (0..1000).collect::<Vec<_>>()});
    for (step, end, claims) in [
        ("NEXT := sprintf(\"%s%s\", [LAST, LAST])", "LAST == \"\"", &text),
        ("NEXT := concat(\"\", [LAST, LAST])", "LAST == \"\"", &text),
        ("NEXT := concat(\"-----------------\", split(LAST, \"\"))", "LAST == \"\"", &text),
        ("NEXT := replace(LAST, \"a\", \"aaaaaaaaaa\")", "LAST == \"\"", &text),
        ("NEXT := regex.replace(LAST, `a`, \"aaaaaaaaaa\")", "LAST == \"\"", &text),
        ("NEXT := regex.replace(LAST, `a+`, \"$0$0$0$0$0\")", "LAST == \"\"", &text),
        ("NEXT := base64.encode(hex.encode(LAST))", "LAST == \"\"", &text),
        ("NEXT := array.concat(LAST, LAST)", "LAST == []", &numbers),
        ("NEXT := bits.lsh(LAST, 1000)", "LAST > 1", &json!({"x": 1})),
        ("NEXT := LAST * LAST", "LAST > 1", &json!({"x": 12345})),
    ] {
        let rules = growing(30, step, end);
        let mut policy = admit(&rules, json!({})).unwrap_or_else(|error| panic!("{step}: {error}"));
        let result = evaluate(&mut policy, claims);
        let stopped = [Stop::TooLarge, Stop::Work].map(|stop| Err(PolicyEngineError::Unsupported(stop)));
        assert!(stopped.contains(&result), "{step}: {result:?}");
    }
}

/// Small programs that would look at much.
const WORK: &[&str] = &[
    "allow if { some x in input.claims.xs; input.claims.ys != input.claims.zs; x < 0 }",
    "allow if { some x in input.claims.xs; input.claims.ys = input.claims.zs; x < 0 }",
    "allow if { some x in input.claims.xs; not 9000 in input.claims.ys; x < 0 }",
    "allow if { some x in input.claims.xs; input.claims.ys < input.claims.zs; x < 0 }",
    "allow if { some x in input.claims.xs; f(x) == {} }\nf(x) := {input.claims.ys | x >= 0}",
    "allow if { some x in input.claims.xs; f(x) == {} }\nf(x) := {input.claims.ys: 1 | x >= 0}",
    "allow if { some x in input.claims.xs; s[input.claims.ys]; x < 0 }\ns contains y if y := input.claims.zs",
    "allow if { some x in input.claims.xs; sort(input.claims.ys) == x }",
    "allow if { some x in input.claims.xs; sum(input.claims.ys) == x * 1000000 }",
    "allow if { some x in input.claims.xs; object.subset(input.claims.ys, input.claims.zs); x < 0 }",
    "allow if { some x in input.claims.xs; upper(input.claims.text) == sprintf(\"%d\", [x]) }",
    "allow if { some x in input.claims.xs; sprintf(\"%v\", [input.claims.ys]) == sprintf(\"%d\", [x]) }",
    "allow if { some x in input.claims.xs; split(input.claims.text, \"\") == x }",
    "allow if { some x in input.claims.xs; indexof(input.claims.text, \"b\") == x }",
    "allow if { some x in input.claims.xs; trim(input.claims.text, input.claims.text) == sprintf(\"%d\", [x]) }",
    "allow if { some x in input.claims.xs; glob.match(\"**x**y**z\", [], input.claims.text); x < 0 }",
    "allow if { some x in input.claims.xs; regex.match(`(a|aa)*b{50}`, input.claims.text); x < 0 }",
    "allow if { some x in input.claims.xs; regex.find_n(`a.*b|a`, input.claims.text, -1) == x }",
    "allow if { some x in input.claims.xs; strings.any_prefix_match(input.claims.texts, input.claims.texts); x < 0 }",
    "allow if { some x in input.claims.xs; startswith(input.claims.text, input.claims.text); x < 0 }",
    "allow if { some x in input.claims.xs; net.cidr_is_valid(input.claims.text); x < 0 }",
    "allow if { some x in input.claims.xs; max(input.claims.ys) == x; x < 0 }",
    // Sets in sets: each comparison sorts both, and what is in them.
    "allow if { w := [[x8, i] | some i in array.slice(input.claims.xs, 0, 300)]; sort(w) == [] }\nx0 := {1}\nz0 := {2}\n\
     x1 := {x0} | {z0}\nz1 := x1 | {{1}}\nx2 := {x1} | {z1}\nz2 := x2 | {{2}}\nx3 := {x2} | {z2}\nz3 := x3 | {{3}}\n\
     x4 := {x3} | {z3}\nz4 := x4 | {{4}}\nx5 := {x4} | {z4}\nz5 := x5 | {{5}}\nx6 := {x5} | {z5}\nz6 := x6 | {{6}}\n\
     x7 := {x6} | {z6}\nz7 := x7 | {{7}}\nx8 := {x7} | {z7}",
];

#[wasm_bindgen_test(unsupported = test)]
fn what_a_function_looks_at_is_paid_for() {
    let numbers: Vec<u32> = (0..4000).collect();
    let texts: Vec<String> = (0..1000).map(|n| format!("t{n}")).collect();
    let lines = vec!["a".repeat(900); 8].join("\n");
    let claims = json!({
        "xs": numbers, "ys": numbers, "zs": numbers, "text": "a".repeat(8000), "texts": texts, "lines": lines,
        "map": {&lines: 1},
    });
    let long_literals = ["input.claims.lines == `LINES`", "input.claims.map[`LINES`]"].map(|condition| {
        format!("allow if {{ some x in input.claims.xs; {condition}; x < 0 }}").replace("LINES", &lines)
    });
    for rules in WORK.iter().copied().chain(long_literals.iter().map(String::as_str)) {
        let mut policy = admit(rules, json!({})).unwrap_or_else(|error| panic!("{rules}: {error}"));
        let result = evaluate(&mut policy, &claims);
        assert_eq!(result, Err(PolicyEngineError::Unsupported(Stop::Work)), "{rules}");
        // The next one begins anew.
        assert!(evaluate(&mut policy, &json!({})).is_ok(), "{rules}");
    }
}

/// Two values of 2^30 elements, which share most of them.
#[wasm_bindgen_test(unsupported = test)]
fn shared_elements_are_paid_for_each_time() {
    for end in
        ["LAST == y30", "LAST != y30", "LAST < y30", "count({LAST, y30}) == 1", "sprintf(\"%v\", [LAST]) == \"\""]
    {
        let rules = growing(30, "NEXT := [LAST, LAST]", end);
        let others: String = (0..30).map(|n| format!("y{} := [y{n}, y{n}]\n", n + 1)).collect();
        let rules = rules.replace("x1 :=", &format!("y0 := input.claims.y\n{others}x1 :="));
        let mut policy = admit(&rules, json!({})).unwrap_or_else(|error| panic!("{end}: {error}"));
        let result = evaluate(&mut policy, &json!({"x": 1, "y": 1}));
        let stopped = [Stop::TooLarge, Stop::Work].map(|stop| Err(PolicyEngineError::Unsupported(stop)));
        assert!(stopped.contains(&result), "{end}: {result:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_ordinary_request_spends_little() {
    let rules = r#"allow if {
        input.method == "GET"
        regex.match(`^/api/v[0-9]+/users$`, input.path)
        glob.match("/api/*/users", ["/"], input.path)
        some role in input.claims.roles
        role in data.roles
        input.claims.team == input.headers["x-team"]
    }"#;
    let mut policy = admit(rules, json!({"roles": ["a", "b"]})).unwrap();
    let result = evaluate(&mut policy, &json!({"roles": ["b"], "team": "red"}));
    assert!(matches!(result, Ok(Decision::Allow { .. })), "{result:?}");
    let all = Limits::default().max_instructions * 16;
    let spent = all - functions::left();
    assert!(spent < 100, "{spent}");
}

/// Functions that each wrap what they get, called in one another.
fn wrapping(levels: usize, calls: usize) -> String {
    let wrapped = format!("{}x{}", "[".repeat(levels), "]".repeat(levels));
    let mut rules = format!("f0(x) := {wrapped}\n");
    for n in 1..=calls {
        writeln!(rules, "f{n}(x) := f{}({wrapped})", n - 1).unwrap();
    }
    format!("{rules}allow if f{calls}(input.claims.x) != sprintf(\"%v\", [f{calls}([input.claims.x])])")
}

#[wasm_bindgen_test(unsupported = test)]
fn values_are_not_deep() {
    for rules in [
        wrapping(8, 15),
        growing(25, "NEXT := [[[[[[LAST]]]]]]", "LAST"),
        growing(25, "NEXT := {\"a\": {\"b\": {[[[LAST]]]}}}", "LAST"),
        growing(25, "NEXT := {[[[[LAST]]]]: 1}", "LAST"),
        growing(25, "NEXT := [[[[[y]]]] | y := LAST]", "LAST"),
        "allow if g == 1\n".to_owned()
            + &(0..30).map(|n| format!("r{n} := [[[[[r{}]]]]]\n", n + 1)).collect::<String>()
            + "r30 := 1\ng := r0",
    ] {
        let error = admit(&rules, json!({})).map(drop).unwrap_err();
        assert!(error.to_string().contains("inside one another in a value"), "{rules}: {error}");
    }
    // As deep again and again is no deeper.
    let calls = growing(15, "NEXT := f(LAST)", "count(LAST) == 1");
    let steps: String = (0..10).map(|n| format!("x{} := [y | some y in array.slice(x{n}, 0, 1)]\n", n + 1)).collect();
    let passing = format!("{calls}\nf(x0) := x10 if {{\n{steps}}}");
    assert!(allows(&passing, &json!({"x": [[[1]]]})));
}

/// In a thread whose stack is as small as the filter's; functions that are not optimised take more of it.
#[cfg(not(target_arch = "wasm32"))]
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[cfg(target_arch = "wasm32")]
fn on_a_small_stack(run: impl FnOnce()) {
    run();
}

#[wasm_bindgen_test(unsupported = test)]
fn the_bounds_hold_on_a_small_stack() {
    on_a_small_stack(|| {
        let nested = (0..15).fold(json!(1), |inner, _| json!([inner]));
        let mut policy = admit(&wrapping(8, 12), json!({})).unwrap_or_else(|error| panic!("{error}"));
        assert!(evaluate(&mut policy, &json!({ "x": nested })).is_ok());
    });
}

#[wasm_bindgen_test(unsupported = test)]
fn expressions_at_the_bound_are_compiled_on_a_small_stack() {
    // As many operators as there may be, in as many brackets.
    let sum = |operators: usize, brackets: usize| {
        let each = operators / brackets;
        let (open, close) = ("(".repeat(brackets), format!("{})", " + 1\n".repeat(each - 1)).repeat(brackets));
        format!("allow if {open}input.claims.x{close} > 1")
    };
    let chain = format!("allow if input.claims{} == 1", ".a".repeat(62));
    on_a_small_stack(move || {
        for rules in [sum(60, 10), sum(61, 1), sum(60, 2), chain] {
            assert!(admit(&rules, json!({})).is_ok(), "{rules}");
        }
        for rules in [sum(62, 1), sum(70, 10), sum(620, 10)] {
            let error = admit(&rules, json!({})).map(drop).unwrap_err();
            assert!(error.to_string().contains("operators and look-ups in one expression"), "{error}");
        }
    });
}

#[wasm_bindgen_test(unsupported = test)]
fn what_would_take_long_to_admit_is_refused() {
    let lines =
        |count: usize, line: &str| -> String { (0..count).map(|n| line.replace('N', &n.to_string()) + "\n").collect() };
    for (name, rules) in [
        ("conditions", format!("allow if {{\n{}}}", lines(256, "input.a"))),
        ("conditions of a comprehension", format!("allow if count([1 |\n{}]) > 1", lines(256, "input.a"))),
        ("definitions of a rule", lines(2001, "allow if input.claims.a == N")),
        ("definitions of a function", "allow if f(1)\n".to_owned() + &lines(2001, "f(N) := N")),
        ("rules", "allow := true\n".to_owned() + &lines(4000, "rN := N")),
        ("imports", lines(257, "import data.aN") + "allow := true"),
        ("brackets", lines(500, "rN := [[[[[[[[N]]]]]]]]") + "allow := true"),
        ("regexes", lines(257, "allow if regex.match(`aN`, input.path)")),
        ("characters in regexes", lines(60, r"allow if regex.match(`\pL\pL\pLN`, input.path)")),
    ] {
        let error = admit(&rules, json!({})).map(drop).unwrap_err();
        let refused = matches!(error.refusal, Refusal::TooMuch { .. } | Refusal::Argument { .. });
        assert!(refused, "{name}: {error}");
    }
    // A literal is one regex, however often it stands there.
    let same = lines(300, "allow if { regex.match(`^/api/v[0-9]+$`, input.path); input.claims.a == N }");
    assert!(admit(&same, json!({})).is_ok());
    let many = lines(1000, "allow if { input.sub == \"spiffe://td/N\"; input.path == \"/N\" }");
    assert!(admit(&many, json!({})).is_ok());
}

#[wasm_bindgen_test(unsupported = test)]
fn large_data_is_no_problem() {
    let grants = (0..100_000).map(|n| (format!("spiffe://td/{n}"), json!(["read:users"])));
    let limits = Limits { max_data_bytes: 16 << 20, ..Limits::default() };
    let data = json!({"grants": grants.collect::<serde_json::Map<_, _>>()});
    let rules = "package scbte\nallow if input.ctx in data.grants[\"spiffe://td/99999\"]\n\
                 allow if object.get(data.grants, input.sub, [])[0] == input.ctx";
    let mut policy = Policy::admit(&source(rules, data), &limits).unwrap();
    assert!(matches!(evaluate(&mut policy, &json!({})), Ok(Decision::Allow { .. })));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_admission_would_look_at_for_long_is_refused() {
    let bodies = "{1}{1}{1}{1}\n".repeat(400);
    let long = "n".repeat(900);
    let uses = "p.r;\n".repeat(200);
    let users: String = (0..4).map(|n| format!("b{n} if {{ {uses}true }}\n")).collect();
    let importer = format!("package scbte\nimport data.{long} as p\nallow if b0\n{users}");
    let imported = format!("package {long}\nr := 1\n");
    let many = PolicySource {
        modules: [importer, imported].map(|rego| Module { name: "a.rego".into(), rego }).into(),
        ..source("", json!({}))
    };
    let nested: Vec<Value> = (0..30_000).map(|_| json!({"": {"": {}}})).collect();
    for (name, source, what) in [
        (
            "bodies",
            source(&format!("package scbte\nallow if f(1)\nf(1) := 1 if {bodies}\nf(2) := 2 if {bodies}\n"), json!({})),
            "definitions of one rule",
        ),
        ("imports", many, "bytes that imported paths"),
        (
            "names",
            source("package scbte\nallow := true\n", json!({"l": [{"n".repeat(1025): 1}]})),
            "bytes in a member name of the data",
        ),
        (
            "collections",
            source("package scbte\nallow := true\n", json!({"l": nested})),
            "objects and arrays in the data",
        ),
    ] {
        match Policy::admit(&source, &Limits::default()).map(drop) {
            Err(AdmissionError { refusal: Refusal::TooMuch { what: found, .. }, .. }) if found.starts_with(what) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Lines that authors can write are not too long when they are written out.
#[wasm_bindgen_test(unsupported = test)]
fn what_is_written_out_may_be_longer_than_a_line() {
    let calls = r"regex.match(`^\w+$`, input.claims.s); ".repeat(25);
    let rules = format!("allow if {{ {calls}true }}");
    assert!(rules.len() < 1024);
    let mut policy = admit(&rules, json!({})).unwrap();
    assert!(matches!(evaluate(&mut policy, &json!({"s": "abc"})), Ok(Decision::Allow { .. })));
}

/// OPA rounds to 64 bits of precision there.
#[wasm_bindgen_test(unsupported = test)]
fn numbers_that_opa_would_round_end_an_evaluation() {
    for (number, function, expected) in [
        (json!(9_223_372_036_854_775_807_u64), "round", true),
        (json!(9_223_372_036_854_775_809_u64), "round", false),
        (json!(u64::MAX), "round", false),
        (json!(u64::MAX), "ceil", true),
        (json!(u64::MAX), "abs", true),
        (json!(i64::MIN), "floor", true),
    ] {
        let rules = format!("allow if {function}(input.claims.x) == input.claims.x");
        let result = evaluate(&mut admit(&rules, json!({})).unwrap(), &json!({"x": number}));
        assert_eq!(matches!(result, Ok(Decision::Allow { .. })), expected, "{function}({number}): {result:?}");
    }
    let beyond = "allow if ceil(input.claims.x + 1) == input.claims.x + 1";
    let result = evaluate(&mut admit(beyond, json!({})).unwrap(), &json!({"x": u64::MAX}));
    assert_eq!(result, Err(PolicyEngineError::Unsupported(Stop::TooLarge)));
    let least = "allow if abs(input.claims.x) == 9223372036854775808";
    let result = evaluate(&mut admit(least, json!({})).unwrap(), &json!({"x": i64::MIN}));
    assert!(matches!(result, Ok(Decision::Allow { .. })), "{result:?}");
}
