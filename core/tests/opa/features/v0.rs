//! Rego v0, by the setting `policy.rego_version`.

use super::Feature;

pub(crate) const FEATURES: &[Feature] = &[Feature {
    title: "Rego v0 (`rego_version: 0`)",
    refused: "as above; without the imports of `future.keywords`, rules with the name of a keyword",
    admitted: &[
        "default allow = false\nallow { input.method == \"GET\" }",
        "allow { input.claims.a == 1; not input.claims.off }",
        "allow = true { input.claims.a == 1 } else = false { input.claims.b == 2 }",
        "allow { deny == set() }\ndeny[x] { x := input.claims.xs[_]; x == \"a\" }",
        "allow { count(deny) == 0 }\ndeny[\"a\"] { input.claims.a == 1 }\ndeny[\"b\"] { input.claims.b == 1 }",
        "allow { m.a }\nm[k] = true { k := input.claims.xs[_] }",
        "allow { f(input.claims.a) == 2 }\nf(x) = y { y := x + 1 }",
        "allow { f(input.claims.a) }\nf(1) = true\nf(2) = true",
        "allow { some i; input.claims.xs[i] == \"b\" }",
        "allow { input.claims.xs[_] == \"b\" }",
        "allow { data.roles[input.claims.roles[_]].level == 3 }",
        "allow { input.claims.a == 1 } { input.claims.a == 2 }",
        "import future.keywords.in\nallow { input.claims.s in [\"alice\"] }",
        "import future.keywords\nallow if { some x in input.claims.xs; x == \"a\" }",
        "import future.keywords.every\nallow { every x in input.claims.ns { x > 0 } }",
        "import rego.v1\nallow if input.claims.a == 1",
        "allow { x := [y | y := input.claims.xs[_]]; count(x) == 3 }",
        "allow { startswith(input.path, \"/api\") }",
        "allow = x { x := input.claims.flag }",
        "allow = input.claims.flag",
        "allow { x = input.claims.a; x == 1 }",
    ],
    not_admitted: &[
        ("allow if input.claims.a", "the name of a keyword"),
        ("in = true\nallow { input.claims.a }", "the name of a keyword"),
        ("allow { all([true]) }", "`all` may not be called"),
        ("allow = input.claims.a { true } { input.claims.b }", "could get two different values"),
        ("allow { not data.denied[_] == input.sub }", "a variable that only a `not` mentions"),
    ],
}];
