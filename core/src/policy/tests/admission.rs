use super::*;
use crate::policy::Refusal;
use wasm_bindgen_test::wasm_bindgen_test;

/// Rules, and what the refusal must say, with line and column.
const REFUSED: &[(&str, &str)] = &[
    // Syntax and compilation
    ("allow if {", "3:1: syntax: expecting expression"),
    ("allow if input.x ==", "3:1: syntax: expecting expression"),
    ("allow { input.x }", "`if` keyword is required before rule body"),
    ("allow if nope", "cannot be compiled: use of undefined variable `nope` is unsafe"),
    ("allow if nope(1)", "2:10: `nope` may not be called in a policy: there is no such function here"),
    ("allow if f(1)", "2:10: `f` may not be called in a policy: there is no such function here"),
    ("allow if startwith(input.path, \"/a\")", "may not be called in a policy: did you mean `startswith`?"),
    ("allow if { x > 3; x := 1 }", "2:19: declaring a variable after it was mentioned is not supported"),
    ("allow if { some x, y; x = input.claims.a; x }", "2:20: declaring a variable that is not used"),
    ("allow if every x in input.claims.xs { true }", "declaring a variable that is not used"),
    ("allow if { some input; input.x }", "2:17: a variable with the name `input` or `data`"),
    ("allow if { x := 1; x := 2 }", "declaring a variable twice"),
    ("allow if count([y | some x in input.claims.xs; x := 1; y := x]) == 1", "declaring a variable twice"),
    ("allow if 1[0]", "a look-up in a literal"),
    ("allow if input.claims.xs[{_}]", "a look-up by a set or object with variables"),
    ("allow if {input.claims.a, 1}", "a set as a condition"),
    ("allow := true\nunused if unused", "recursion: data.scbte.unused → data.scbte.unused"),
    ("allow := true\ninput := 1", "input cannot be shadowed"),
    // Entry point
    ("other := true", "entry point `data.scbte.allow`: no such rule"),
    ("allow(x) := x", "entry point `data.scbte.allow`: a function cannot decide"),
    ("allow contains 1", "entry point `data.scbte.allow`: a set cannot decide"),
    ("allow[k] := true if some k in input.claims.x", "a partial object cannot decide"),
    // Recursion
    ("allow if allow", "2:10: recursion: data.scbte.allow → data.scbte.allow"),
    ("allow if y\ny if z\nz if y", "recursion: data.scbte.y → data.scbte.z → data.scbte.y"),
    ("allow if f(1)\nf(x) if g(x)\ng(x) if f(x)", "recursion: data.scbte.f → data.scbte.g → data.scbte.f"),
    ("allow if not y\ny if not allow", "recursion: data.scbte.allow → data.scbte.y → data.scbte.allow"),
    ("allow if count([1 | x]) == 0\nx if count({1 | allow}) == 0", "recursion"),
    ("allow if data.scbte.allow", "recursion"),
    ("allow if data.scbte[input.ctx]", "2:10: a reference over the rules of a package"),
    ("allow if data.scbte == {}", "recursion: data.scbte.allow → data.scbte.allow"),
    // What the machine evaluates differently
    ("allow if f(1)\ndefault f(_) := true", "3:1: a default for a function is not supported"),
    ("default allow := count([])", "a computed default is not supported"),
    ("allow if x with input as {}\nx := true", "2:12: `with` is not supported"),
    ("allow if a.b\na.b := true", "3:1: a rule name with dots is not supported"),
    ("allow if { {\"a\": x} = input.claims; x }", "`=` with an object or set is not supported"),
    ("allow if { {\"a\": x} := input.claims; x }", "a pattern other than variables, scalars and arrays"),
    ("allow if f(input.claims)\nf({\"a\": x}) if x", "a pattern other than variables, scalars and arrays"),
    ("allow if \"a\", 1 in input.claims", "`key, value in …` is not supported"),
    ("allow if not data.denied[_] == input.sub", "2:26: a variable that only a `not` mentions"),
    ("allow if { some i; not data.denied[i] == input.sub }", "a variable that only a `not` mentions"),
    ("allow if { some k; input.claims[k] == count(k) }", "2:45: a variable that a call needs"),
    ("allow if { x := [input.claims[k], k + 1]; x }", "a variable that a call needs"),
    ("allow if not input.sub = \"x\"", "`not` with `=` or `:=` is not supported"),
    (
        "allow if { some x in input.claims.xs; y := [z | z := x.a; z > 3]; count(y) == 0 }",
        "put the comprehension into a function",
    ),
    ("allow if every x in x { x }\nx := [1]", "2:21: a variable of `every` that its collection mentions"),
    ("allow if { [\"a\", x] := input.claims.xs; x }", "2:14: `:=` to a literal is not supported"),
    ("allow if input.claims.a > 0.5", "2:27: the number `0.5`: only whole numbers"),
    ("allow if input.claims.a == 1e3", "the number `1e3`"),
    ("allow if input.claims.a == 18446744073709551616", "the number `18446744073709551616`"),
    ("allow if count(1)\ncount(x) if x", "a rule or import with the name of a builtin function"),
    ("allow if f(1,2,3,4,5,6,7,8,9)\nf(a,b,c,d,e,g,h,i,j) if a", "parameters of a function: found 9, at most 8"),
    ("allow if f(1, 2)\nf(x) if x", "`f`: found 2 arguments, expected 1"),
    ("allow if { count(input.claims, n); n > 1 }", "`count`: found 2 arguments, expected 1"),
    // Two values at once
    (
        "allow := true if input.claims.a\nallow := false if input.claims.b",
        "3:1: `allow` could get two different values",
    ),
    (
        "allow if not deny\ndeny if input.claims.a\ndeny := false if input.claims.b",
        "`deny` could get two different values",
    ),
    ("allow := x if some x in input.claims.xs", "`data.scbte.allow` could get two different values"),
    ("allow if f(1) == 1\nf(x) := x\nf(x) := x + 1", "`f` could get two different values"),
    ("allow if f(input.claims.xs) == 1\nf(xs) := x if some x in xs", "`data.scbte.f` could get two different values"),
    ("allow if {x: y | some y in [1, 2]; x := \"a\"} == {}", "could get two different values"),
    (
        "allow if not o.x == 2\no[k] := v if { some v in input.claims.xs; k := \"x\" }",
        "`o` could get two different values",
    ),
    ("default allow := true\ndefault allow := false", "`allow` could get two different values"),
    // Numbers and imports
    ("allow if input.claims.x == -0", "the number `-0`"),
    ("import future.keywords.not_there\nallow := true", "2:1: an import of what is neither data nor a keyword"),
    ("import rego.v2\nallow := true", "an import of what is neither data nor a keyword"),
    // Functions
    (
        "allow if http.send({\"url\": \"http://x\", \"method\": \"GET\"}).status_code == 200",
        "`http.send` may not be called",
    ),
    ("allow if rand.intn(\"x\", 2) == 1", "`rand.intn` may not be called"),
    ("allow if opa.runtime().env", "`opa.runtime` may not be called"),
    ("allow if time.clock(1)[0] > 1", "`time.clock` may not be called"),
    ("allow if uuid.rfc4122(\"x\")", "`uuid.rfc4122` may not be called"),
    ("allow if trace(\"x\")", "`trace` may not be called"),
    ("allow if print(\"x\")", "`print` may not be called"),
    ("allow if { walk(input, [_, x]); x }", "`walk` may not be called"),
    ("allow if __builtin_host_await(1, \"x\")", "`__builtin_host_await` may not be called"),
    ("allow if io.jwt.decode(\"x\")", "`io.jwt.decode` may not be called"),
    ("allow if count(numbers.range(1, 1000000000)) > 1", "`numbers.range` may not be called"),
    ("allow if sprintf(\"%1000000000d\", [1]) == \"\"", "`sprintf`: found `%1`"),
    ("allow if sprintf(input.sub, [1]) == \"\"", "`sprintf`: found `input.sub`, expected a string literal"),
    ("allow if sprintf(\"%s\", input.claims.xs) == \"\"", "`sprintf`: expected the values as an array literal"),
    ("allow if sprintf(\"%s\", [1, 2]) == \"\"", "`sprintf`: the format asks for 1 values, found 2"),
    ("allow if bits.lsh(1, 4000000000) > 1", "`bits.lsh`: found `4000000000`, expected a literal number up to 1000"),
    ("allow if bits.lsh(1, input.claims.n) > 1", "`bits.lsh`: found `input.claims.n`"),
    ("allow if replace(input.path, \"\", input.path) == \"\"", "`replace`: the literal is empty"),
    (
        "allow if replace(input.path, \"a\", input.path) == \"\"",
        "`replace`: found `input.path`, expected a string literal",
    ),
    // Regexes and globs
    ("allow if regex.match(`a(`, input.path)", "2:10: `regex.match`: invalid regex `a(`: unclosed group"),
    ("allow if not regex.match(`a(`, input.path)", "invalid regex"),
    (
        "allow if regex.match(input.claims.re, input.path)",
        "`regex.match`: found `input.claims.re`, expected a string literal",
    ),
    (r"allow if regex.match(`^(\pL{1,100}){1,10}$`, input.path)", "is over 102400 bytes when compiled"),
    ("allow if regex.match(`(?P<a.b>x)`, input.path)", "has a group whose name has other characters"),
    ("allow if regex.match(`(?P<é>x)`, input.path)", "has a group whose name has other characters"),
    ("allow if regex.match(`a{ 1}`, input.path)", "has a repetition that OPA reads as text"),
    ("allow if regex.match(`a{1 ,2}`, input.path)", "has a repetition that OPA reads as text"),
    ("allow if regex.match(`a{01}`, input.path)", "has a repetition that OPA reads as text"),
    ("allow if regex.match(`a{0,01}?`, input.path)", "has a repetition that OPA reads as text"),
    ("allow if regex.match(`x{1001}`, input.path)", "repeats more than 1000 times"),
    ("allow if regex.match(`(x{10}){101}`, input.path)", "repeats more than 1000 times"),
    ("allow if regex.match(`a**`, input.path)", "repeats a repetition"),
    ("allow if regex.match(`[a&&b]`, input.path)", "which OPA reads differently"),
    ("allow if regex.match(`[a[b]]`, input.path)", "which OPA reads differently"),
    ("allow if regex.match(`(?x)a b`, input.path)", "has a flag that OPA does not have"),
    (r"allow if regex.match(`\Ba`, input.path)", "boundary that is not supported"),
    (r"allow if regex.match(`\p{Alphabetic}`, input.path)", "has a Unicode class other than"),
    (r"allow if regex.match(`(?i)\pL`, input.path)", "together with `(?i)`"),
    ("allow if glob.match(\"/api/{a,b}\", [\"/\"], input.path)", "are not supported in a glob"),
];

#[wasm_bindgen_test(unsupported = test)]
fn what_may_not_run_is_refused() {
    let mut wrong = Vec::new();
    for (rules, expected) in REFUSED {
        match admit(rules, json!({})) {
            Ok(_) => wrong.push(format!("admitted: {rules}")),
            Err(error) if error.to_string().contains(expected) => {}
            Err(error) => wrong.push(format!("{rules}\n{error}\nexpected: {expected}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_refusal_shows_the_place() {
    let error = admit("allow if {\n\tinput.sub == \"a\"\n\tregex.match(`(`, input.path)\n}", json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "policy.rego:4:2: `regex.match`: invalid regex `(`: unclosed group\n   regex.match(`(`, input.path)\n   ^"
    );
    let place = error.place.unwrap();
    assert_eq!((place.line, place.column, place.text.as_str()), (4, 2, "\tregex.match(`(`, input.path)"));
}

#[wasm_bindgen_test(unsupported = test)]
fn text_that_is_dangerous_to_parse_is_refused_at_once() {
    let chain =
        |operator: &str| format!("allow if 1 == 1{}", format!("{operator}1").repeat(100_000 / operator.len() / 2));
    for (name, rules) in [
        ("nested arrays", format!("allow if {}{}", "[".repeat(5000), "]".repeat(5000))),
        ("nested sets", format!("allow if {}1{}", "{".repeat(40), "}".repeat(40))),
        ("nested calls", format!("allow if {}1{}", "f(".repeat(40), ")".repeat(40))),
        ("nested parentheses", format!("allow if {}1{}", "(".repeat(40), ")".repeat(40))),
        ("a long sum", chain("+")),
        ("a long sum over lines", chain("+\n")),
        ("a long product", chain("*")),
        ("a long union", chain("|")),
        ("a long difference", chain(" -")),
        ("a long sum of brackets", format!("allow if 1 == 1{}", "+[0,0][0]\n".repeat(10_000))),
        ("a long reference", format!("allow if input{}", ".a".repeat(20_000))),
        ("a long reference by key", format!("allow if input{}", "[0]".repeat(20_000))),
        ("many minus signs", format!("allow if 1 == {}1", "- ".repeat(20_000))),
        ("a huge number", "allow if 1e999999999 > 1".to_owned()),
        ("a number with many digits", format!("allow if {} > 1", "9".repeat(10_000))),
        ("a long line", format!("allow if \"{}\" == input.sub", "x".repeat(2000))),
        ("a NUL", "allow if \0".to_owned()),
        ("no text", "\u{feff}".to_owned()),
    ] {
        assert!(admit(&rules, json!({})).is_err(), "{name}");
    }
    // What authors write is far from the bounds.
    let many: String =
        (0..300).map(|n| format!("allow if {{ input.path == \"/{n}\"; input.claims.a[0].b == {n} }}\n")).collect();
    assert!(admit(&many, json!({})).is_ok());
}

#[wasm_bindgen_test(unsupported = test)]
fn deep_calls_are_refused() {
    let chain = |length: usize| {
        let rules: String = (1..length).map(|n| format!("r{n} if r{}\n", n + 1)).collect();
        format!("allow if r1\n{rules}r{length} := true")
    };
    assert!(admit(&chain(60), json!({})).is_ok());
    for length in [64, 500, 3000] {
        let error = admit(&chain(length), json!({})).unwrap_err();
        assert!(matches!(error.refusal, Refusal::TooMuch { limit: 64, .. }), "{error}");
    }
    assert!(allows(&chain(60), &json!({})));
}

#[wasm_bindgen_test(unsupported = test)]
fn sizes_are_bounded() {
    let limits = Limits { max_source_bytes: 100, max_data_bytes: 64, max_data_depth: 2, ..Limits::default() };
    let rego = |length: usize| format!("package scbte\nallow := true #{}", "x".repeat(length));
    for (name, source, admitted) in [
        ("fits", source(&rego(10), json!({"a": {"b": 1}})), true),
        ("source", source(&rego(100), json!({})), false),
        ("data", source(&rego(1), json!({"a": "x".repeat(64)})), false),
        ("depth of the data", source(&rego(1), json!({"a": {"b": {}}})), false),
        ("data that is no object", source(&rego(1), json!([])), false),
    ] {
        assert_eq!(Policy::admit(&source, &limits).is_ok(), admitted, "{name}");
    }
    let mut many = source(&rego(1), json!({}));
    many.modules = (0..65).map(|n| Module { name: format!("{n}.rego"), rego: "package x".into() }).collect();
    assert!(Policy::admit(&many, &Limits::default()).is_err());
    assert!(Policy::admit(&PolicySource { modules: vec![], ..source("", json!({})) }, &Limits::default()).is_err());
}

/// Natively only: it is the work that is bounded, and here it is done.
#[test]
fn the_work_of_admission_is_bounded() {
    let shared: String =
        (0..400).map(|n| format!("shared if {{ {}true }}\n", format!("input.path == \"/{n}\"; ").repeat(10))).collect();
    let askers: String = (0..2000).map(|n| format!("r{n} if shared\n")).collect();
    match admit(&format!("allow if shared\n{shared}{askers}"), json!({})).map(drop) {
        Err(AdmissionError { refusal: Refusal::TooMuch { what, .. }, .. })
            if what.starts_with("instructions of all rules") => {}
        other => panic!("{other:?}"),
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn data_may_not_hide_a_rule_or_be_found_by_a_number() {
    for (data, admitted) in [
        (json!({"grants": 1}), true),
        (json!({"scbte": {"grants": 1}}), true),
        (json!({"scbte": {"allow": true}}), false),
        (json!({"scbte": {"unused": true}}), false),
        (json!({"scbte": 1}), false),
        (json!({"denied": [{"42": true}]}), false),
        (json!({"denied": [{"a42": true}]}), true),
        (json!({"limits": {"ratio": 0.5}}), false),
        (json!({"limits": {"max": 5.0}}), true),
        (json!({"limits": {"max": 1e30}}), false),
        (json!({"limits": {"max": -0.0}}), false),
        (json!({"limits": {"max": 9_007_199_254_740_991.0}}), true),
        (json!({"limits": {"max": 9_007_199_254_740_992.0}}), false),
    ] {
        let result = admit("allow := true\nunused := 1", data.clone());
        assert_eq!(result.is_ok(), admitted, "{data}");
        if let Err(error) = result {
            assert!(matches!(error.refusal, Refusal::Data(_) | Refusal::Number(_)), "{error}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn arrays_of_the_data_are_looked_up_by_numbers() {
    let data = json!({"list": [1], "map": {"a": [1]}, "people": [{"teams": ["x"]}]});
    for (rules, admitted) in [
        ("allow if data.list[0]", true),
        ("allow if data.list[_] == 1", true),
        ("allow if { data.list[i] == 1; data.list[i] }", true),
        ("allow if data.list[count(input.claims)]", true),
        ("allow if { i := 0; data.list[i] }", true),
        ("allow if { i := input.claims.a + 1; data.list[i] }", true),
        ("allow if { list := data.list; list[input.claims.a] }", true),
        ("allow if data.map[input.claims.a]", true),
        ("allow if data.map[input.claims.a][0]", true),
        ("allow if input.claims[input.ctx]", true),
        ("allow if data.people[i].teams[0]", true),
        ("allow if data.list[\"0\"]", false),
        ("allow if data.list[input.claims.a]", false),
        ("allow if { i := input.claims.a; data.list[i] }", false),
        ("allow if { some i in input.claims.xs; data.list[i] }", false),
        ("allow if { some i, _ in input.claims.xs; data.list[i] }", false),
        ("allow if data.map[_][input.claims.a]", false),
        ("allow if data.map[input.claims.a][input.claims.b]", false),
        ("allow if data.people[i].teams[input.claims.a]", false),
        ("allow if f(input.claims.a)\nf(x) if data.list[x]", false),
    ] {
        let result = admit(rules, data.clone()).map(drop).map_err(|error| error.to_string());
        match result {
            Ok(()) => assert!(admitted, "{rules}"),
            Err(error) => assert!(!admitted && error.contains("an array of the data"), "{rules}: {error}"),
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_language_is_a_setting() {
    let v0 = "package scbte\nallow { input.method == \"GET\"; not input.claims.blocked }";
    let mut source = source(v0, json!({}));
    assert!(Policy::admit(&source, &Limits::default()).is_err());
    source.rego_version = RegoVersion::V0;
    let mut policy = Policy::admit(&source, &Limits::default()).unwrap();
    assert!(matches!(evaluate(&mut policy, &json!({})), Ok(Decision::Allow { .. })));
    assert!(matches!(evaluate(&mut policy, &json!({"blocked": true})), Ok(Decision::Deny { .. })));

    // Two bodies of one rule in v0 are two definitions.
    source.modules[0].rego = "package scbte\nallow = input.claims.a { true } { input.claims.b }".into();
    assert!(Policy::admit(&source, &Limits::default()).is_err());
}

#[wasm_bindgen_test(unsupported = test)]
fn rules_of_several_packages() {
    let mut source = source(
        "package scbte\nimport data.lib.users as people\nallow if people.known(input.sub)\nallow if data.lib.users.admin",
        json!({}),
    );
    source.modules.push(Module {
        name: "lib.rego".into(),
        rego: "package lib.users\nknown(id) if endswith(id, \"/api-gateway\")\nadmin if input.claims.admin".into(),
    });
    let mut policy = Policy::admit(&source, &Limits::default()).unwrap();
    assert!(matches!(evaluate(&mut policy, &json!({})), Ok(Decision::Allow { .. })));
    assert_eq!(policy.digest(), source.digest());

    // A rule that is named by the input.
    let mut dynamic = source.clone();
    dynamic.modules[0].rego = "package scbte\nallow if data.lib.users[input.ctx]".into();
    let error = Policy::admit(&dynamic, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("a reference over the rules of a package is not supported"), "{error}");

    // Recursion through packages.
    source.modules[1].rego = "package lib.users\nknown(id) if data.scbte.allow\nadmin if known(\"x\")".into();
    let error = Policy::admit(&source, &Limits::default()).unwrap_err();
    assert!(matches!(error.refusal, Refusal::Recursion(_)), "{error}");
}
