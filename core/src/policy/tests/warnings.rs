//! The strict checks. Where OPA has the same check, every expectation is that of `opa check --strict` 1.22.

use super::*;
use crate::policy::tools::warnings;

/// Rules of the package `scbte`, which begin at line 2, and what is told of them.
const CASES: &[(&str, &[&str])] = &[
    // OPA's
    ("allow if { x := 1; true }", &["2:12: the variable `x` is not used"]),
    ("allow if { some k, v in input.claims; v == 1 }", &[]),
    ("allow if { some x in input.claims }", &[]),
    ("allow if f(1)\nf(x) if true", &["3:3: the parameter `x` is not used"]),
    ("allow if f(1)\nf(_) if true", &[]),
    ("allow if f(1)\nf(x) := true if input.sub else := x", &[]),
    ("allow if f([1, 2])\nf([x, y]) if x == 1", &["3:7: the parameter `y` is not used"]),
    ("allow if count([1 | x := input.sub]) == 1", &["2:21: the variable `x` is not used"]),
    ("allow if count([y | y := input.sub; z := 1]) == 1", &["2:37: the variable `z` is not used"]),
    ("allow if { [x, y] := input.claims.p; x == 1 }", &["2:16: the variable `y` is not used"]),
    ("allow if { some x in input.claims; y := x }", &["2:36: the variable `y` is not used"]),
    ("import data.foo\nallow if true", &["2:1: the import `data.foo` is not used"]),
    ("import data.foo\nallow if foo.bar", &[]),
    ("import data.foo as f\nallow if input.sub in f", &[]),
    ("import data.foo as f\nallow if input.sub == \"f\"", &["2:1: the import `data.foo` is not used"]),
    ("import rego.v1\nallow if true", &[]),
    // Only here
    ("allow if { count := 1; count == 1 }", &["2:12: `count` hides the builtin of that name"]),
    ("allow if f(1)\nf(time) if time == 1", &["3:3: `time` hides the builtin of that name"]),
    ("allow if input.subject == \"x\"", &["2:10: `input.subject` is always undefined: did you mean `input.sub`?"]),
    ("allow if input[\"pathSegments\"][0] == \"x\"", &["did you mean `input.path_segments`?"]),
    ("allow if input.methd == \"GET\"", &["did you mean `input.method`?"]),
    ("allow if input.Sub == \"a\"", &["did you mean `input.sub`?"]),
    ("allow if not input.blocked", &["`input.blocked` is always undefined: `input` has sub, ctx, aud"]),
    ("allow if input.source.ip == \"x\"", &["`input.source.ip` is always undefined: `input.source` has address"]),
    ("allow if { input.claims.anything; input.headers[\"x-team\"]; input.query.q; input.source.address }", &[]),
    ("allow if data.f.bar", &["2:10: nothing defines `data.f`: `data` has foo, scbte"]),
    ("allow if data.fooo.bar", &["2:10: nothing defines `data.fooo`: did you mean `data.foo`?"]),
    ("allow if input.sub in data.grants", &["2:23: nothing defines `data.grants`: `data` has foo, scbte"]),
    ("allow if data.foo.bat.x", &["2:10: nothing defines `data.foo.bat`: did you mean `data.foo.bar`?"]),
    ("allow if data.scbte.helpr\nhelper if input.sub", &["nothing defines `data.scbte.helpr`", "never asked by"]),
    ("allow if { data.foo[input.ctx]; data.foo.bar; data.scbte.helper }\nhelper if input.sub", &[]),
    ("import data.fob\nallow if fob", &["2:8: nothing defines `data.fob`: did you mean `data.foo`?"]),
    ("allow := \"yes\" if input.sub", &["2:11: `yes` is no decision"]),
    ("default allow := {\"alow\": true}", &["is no decision: expected a boolean or an object"]),
    (
        "allow := {\"allow\": 1} if input.sub\nelse := {\"allow\": input.ctx == \"a\"}",
        &["2:10: `{\"allow\": 1}` is no"],
    ),
    ("allow := {key: true} if key := input.ctx", &[]),
    (
        "allow if true\nunused if input.sub\nunused if input.ctx",
        &["3:1: the rule `data.scbte.unused` is never asked by"],
    ),
    ("allow if helper\nhelper if deeper\ndeeper if input.sub", &[]),
];

#[test]
fn what_is_probably_not_meant_is_told() {
    let mut wrong = Vec::new();
    for (rules, expected) in CASES {
        let source = source(&format!("package scbte\n{rules}\n"), json!({"foo": {"bar": true}}));
        let policy = Policy::admit(&source, &Limits::default());
        let found: Vec<String> = match policy {
            Ok(policy) => {
                let told = warnings(&source, &policy);
                told.iter().map(|(warning, place)| format!("{}:{}: {warning}", place.line, place.column)).collect()
            }
            Err(error) => vec![format!("refused: {error}")],
        };
        let same =
            found.len() == expected.len() && found.iter().zip(*expected).all(|(found, part)| found.contains(part));
        if !same {
            wrong.push(format!("{rules}\n  found: {found:#?}\n  expected: {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
