//! Answers that OPA gives and the machine, left alone, would not. Every expectation is OPA 1.22's.

use super::*;
use wasm_bindgen_test::wasm_bindgen_test;

/// Rules, claims, and whether OPA allows.
pub(super) fn cases() -> Vec<(&'static str, Value, bool)> {
    vec![
        // `input` and `data`, first named in a loop that does not run
        (
            "allow if { every x in input.claims.none { x == input.sub }; not input.claims.blocked }",
            json!({"none": []}),
            true,
        ),
        (
            "allow if { every x in data.none { x == input.sub }; not input.claims.blocked }",
            json!({"blocked": true}),
            false,
        ),
        (
            "allow if { y := [x | some x in []; x == input.sub]; not input.claims.blocked }",
            json!({"blocked": true}),
            false,
        ),
        ("allow if { y := [x | some x in []; x == input.sub]; not input.claims.blocked }", json!({}), true),
        // `not` over an undefined operand
        ("allow if not startswith(input.claims.team, \"x\")", json!({}), false),
        ("allow if not startswith(input.claims.team, \"x\")", json!({"team": "y"}), true),
        ("allow if not startswith(lower(input.claims.team), \"x\")", json!({}), false),
        ("allow if not input.claims.a in [1]", json!({}), false),
        ("allow if not 1 in input.claims.a", json!({}), false),
        ("allow if not input.claims.a != 1", json!({}), false),
        ("allow if not input.claims.a < 1", json!({}), false),
        ("allow if not input.claims.a == 1", json!({}), true),
        ("allow if not lower(input.claims.a) == \"x\"", json!({}), false),
        ("allow if not [input.claims.a] == [1]", json!({}), false),
        ("allow if not blocked[input.claims.a]\nblocked contains \"x\"", json!({}), false),
        ("allow if not blocked[input.claims.a]\nblocked contains \"x\"", json!({"a": "y"}), true),
        ("allow if not f(input.claims.a)\nf(x) if x == 1", json!({}), false),
        ("allow if not f(input.claims.a)\nf(_) := false", json!({}), false),
        ("allow if not f(input.claims.a).b == 1\nf(x) := x if x", json!({}), false),
        ("allow if not f(input.claims.a).b == 1\nf(x) := x if x", json!({"a": {}}), true),
        ("allow if { some x in input.claims.xs; not x.bad == true }", json!({"xs": [{"bad": true}, {}]}), true),
        ("allow if { some x in input.claims.xs; not x.bad > 1 }", json!({"xs": [{"bad": 2}, {}]}), false),
        // Assigning what is undefined
        ("allow if { x := input.claims.a; not x }", json!({}), false),
        ("allow if { x := input.claims.a; not x }", json!({"a": false}), true),
        // A function's parameter
        ("allow if f(input.claims.a)\nf(_) := true", json!({}), false),
        // Undefined elements
        ("allow if count([x.a | some x in input.claims.xs]) == 1", json!({"xs": [{"a": 1}, {}]}), true),
        ("allow if count({k: v.a | some k, v in input.claims.m}) == 1", json!({"m": {"x": {"a": 1}, "y": {}}}), true),
        // `else` after a loop, and after an undefined value
        ("allow if { some x in input.claims.xs; x == 1 } else if input.claims.b", json!({"xs": [2], "b": true}), true),
        ("allow := input.claims.a if true\nelse := true", json!({}), true),
        // Regexes are ASCII
        (r"allow if regex.match(`^\d+$`, input.claims.s)", json!({"s": "123"}), true),
        (r"allow if regex.match(`^\d+$`, input.claims.s)", json!({"s": "١٢٣"}), false),
        (r"allow if regex.match(`^[\w.]+$`, input.claims.s)", json!({"s": "a_1."}), true),
        (r"allow if regex.match(`^[\w.]+$`, input.claims.s)", json!({"s": "ä"}), false),
        (r"allow if regex.match(`^[^\s]+$`, input.claims.s)", json!({"s": "a\u{a0}"}), true),
        (r"allow if regex.match(`\bcat\b`, input.claims.s)", json!({"s": "äcat"}), true),
        ("allow if regex.match(\"^\\\\d\\\\.\\\"$\", input.claims.s)", json!({"s": "1.\""}), true),
        (r"allow if regex.match(`(?i)^\w$`, input.claims.s)", json!({"s": "\u{212a}"}), true),
        // Quantifiers over what is no collection
        ("allow if every x in input.claims.xs { x == 1 }", json!({}), false),
        ("allow if every x in input.claims.xs { x == 1 }", json!({"xs": []}), true),
        ("allow if every x in input.claims.xs { not x.bad == 1 }", json!({"xs": [{}]}), true),
        (
            "allow if every x in input.claims.xs { k := x; input.claims.m[k] }",
            json!({"xs": ["a", "b"], "m": {"a": 1}}),
            false,
        ),
        (
            "allow if every x in input.claims.xs { k := x; input.claims.m[k] }",
            json!({"xs": ["a"], "m": {"a": 1}}),
            true,
        ),
        ("allow if every x in input.claims.xs { input.claims.m[x] }", json!({"xs": ["a", "b"], "m": {"a": 1}}), false),
        ("allow if every x in input.claims.xs { input.claims.m[x] }", json!({"xs": ["a"], "m": {"a": 1}}), true),
        ("allow if every x in input.claims.xs { x = 1 }", json!({"xs": [1, 2]}), false),
        ("allow if every x in input.claims.xs { x = 1 }", json!({"xs": [1, 1]}), true),
        ("allow if every k, v in input.claims.m { not input.claims.m[v]; k == \"a\" }", json!({"m": {"a": 1}}), true),
        // Comprehensions without a loop
        ("allow if { x := [1 | input.claims.a]; count(x) == 1 }", json!({}), false),
        ("allow if { x := [1 | input.claims.a]; count(x) == 0 }", json!({}), true),
        // Globs
        ("allow if glob.match(\"read:*\", null, input.ctx)", json!({}), true),
        ("allow if glob.match(\"/api/*\", [\"/\"], input.path)", json!({}), false),
        ("allow if glob.match(\"/api/*/users\", [\"/\"], input.path)", json!({}), true),
        ("allow if glob.match(\"/api/**\", [\"/\"], input.path)", json!({}), true),
        ("allow if glob.match(\"read:*\", [\":\"], input.ctx)", json!({}), true),
        ("allow if glob.match(\"*:*:*\", [\":\"], input.ctx)", json!({}), false),
        ("allow if glob.match(\"rea?:users\", [], input.ctx)", json!({}), true),
        ("allow if glob.match(\"*\", [], input.claims.s)", json!({"s": "a\u{0}b"}), true),
        ("allow if glob.match(input.claims.s, [], input.ctx)", json!({"s": "*:users"}), true),
        // Arithmetic: a type error is undefined where it stands
        ("allow if { some n in input.claims.ns; n + 1 > 5 }", json!({"ns": ["a", 5]}), true),
        ("allow if count([n | some n in input.claims.ns; n * 2 > 5]) == 1", json!({"ns": [3, "a", 1]}), true),
        ("allow if every n in input.claims.ns { n % 2 == 0 }", json!({"ns": [2, 4]}), true),
        ("allow if every n in input.claims.ns { n % 2 == 0 }", json!({"ns": [2, "a"]}), false),
        ("allow if not input.claims.a + 1", json!({"a": "x"}), true),
        ("allow if not input.claims.a + 1", json!({}), false),
        ("allow if input.claims.a / 2 == 3", json!({"a": 6}), true),
        ("allow if not input.claims.a / 0 == 3", json!({"a": 6}), false),
        // Builtins of our own
        ("allow if count(input.claims.s) == 3", json!({"s": "a\u{1d4b3}b"}), true),
        ("allow if upper(input.claims.s) == \"ß\"", json!({"s": "ß"}), true),
        ("allow if lower(input.claims.s) == \"οσ\"", json!({"s": "ΟΣ"}), true),
        ("allow if substring(input.claims.s, 18446744073709551615, 1) == \"\"", json!({"s": "a"}), false),
        ("allow if sprintf(\"%s %d\", [input.claims.n, input.claims.n]) == \"%!s(int64=1) 1\"", json!({"n": 1}), true),
        ("allow if sprintf(\"%v\", [set()]) == \"set()\"", json!({}), true),
        ("allow if base64url.decode(input.claims.s) == \"n\"", json!({"s": "bm"}), true),
        ("allow if base64.decode(input.claims.s) == \"alice\"", json!({"s": "YWxp\nY2V="}), true),
        ("allow if net.cidr_contains(\"10.0.0.0/8\", input.claims.s)", json!({"s": "::ffff:10.1.2.3"}), true),
        ("allow if object.subset(input.claims.o, {\"a\": {\"b\": 1}})", json!({"o": {"a": {"b": 1, "c": 2}}}), true),
        ("allow if to_number(input.claims.s) == 7", json!({"s": "7"}), true),
        ("allow if regex.split(`-+`, input.claims.s) == [\"a\", \"b\"]", json!({"s": "a--b"}), true),
        // Comparisons between types
        ("allow if input.claims.a < \"x\"", json!({"a": 1}), true),
        ("allow if input.claims.a == 1", json!({"a": "1"}), false),
        ("allow if input.claims.a", json!({"a": null}), true),
        ("allow if input.claims.a", json!({"a": false}), false),
        // Patterns
        ("allow if { [\"a\", x] = input.claims.p; x == 1 }", json!({"p": ["a", 1]}), true),
        ("allow if { [\"a\", x] = input.claims.p; x == 1 }", json!({"p": ["a", 1, 2]}), false),
        ("allow if f(\"get\", 1) == 1\nf(\"get\", x) := x\nf(\"put\", x) := x + 1", json!({}), true),
    ]
}

#[wasm_bindgen_test(unsupported = test)]
fn decisions_are_opa_s() {
    for (rules, claims, expected) in cases() {
        assert_eq!(allows(rules, &claims), expected, "{rules}\n{claims}");
    }
}
