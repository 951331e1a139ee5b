//! Every builtin function and operator, with arguments of all kinds in all combinations.

use crate::inputs::{Given, Request};
use crate::opa::Language;
use crate::policy::Case;
use scbte_core::time::Timestamp;
use serde_json::{Value as Json, json};

/// `#a`, `#b`, `#c` are the arguments: each goes through [`values`] and [`SETS`].
#[rustfmt::skip]
const CALLS: &[&str] = &[
    "count(#a)", "max(#a)", "min(#a)", "sum(#a)", "product(#a)", "sort(#a)", "array.concat(#a, #b)", "array.reverse(#a)",
    "array.slice(#a, #b, #c)", "union(#a)", "intersection(#a)", "union({#a, #b})", "intersection({#a, #b})", "object.get(#a, #b, #c)",
    "object.keys(#a)", "object.filter(#a, #b)", "object.remove(#a, #b)", "object.subset(#a, #b)", "object.union(#a, #b)",
    "object.union_n([#a, #b])", "abs(#a)", "ceil(#a)", "floor(#a)", "format_int(#a, #b)", "format_int(#a, 2)",
    "format_int(#a, 16)", "bits.and(#a, #b)", "bits.or(#a, #b)", "bits.xor(#a, #b)", "bits.negate(#a)", "bits.lsh(#a, 3)",
    "bits.rsh(#a, 70)", "bits.rsh(#a, 1)", "#a + #b", "#a - #b", "#a * #b", "#a % #b", "#a & #b", "#a | #b", "#a == #b", "#a != #b", "#a < #b",
    "#a <= #b", "#a > #b", "#a >= #b", "#a in #b", "concat(\",\", #a)", "contains(#a, #b)", "endswith(#a, #b)", "startswith(#a, #b)",
    "indexof(#a, \"b\")", "indexof(#a, \"\u{1d4b3}\")", "lower(#a)", "upper(#a)", "replace(#a, \"a\", \"<>\")",
    "replace(#a, \"\u{301}\", \"\")", "split(#a, #b)", "split(#a, \"\")", "sprintf(\"%v|%s|%d\", [#a, #a, #a])",
    "strings.any_prefix_match(#a, #b)", "strings.any_suffix_match(#a, #b)", "strings.count(#a, #b)", "strings.reverse(#a)",
    "substring(#a, #b, #c)", "trim(#a, #b)", "trim_left(#a, #b)", "trim_prefix(#a, #b)", "trim_right(#a, #b)", "trim_space(#a)",
    "trim_suffix(#a, #b)", "glob.match(#a, [], #b)", "glob.match(#a, null, #b)", "glob.match(#a, [\"/\", \"a\"], #b)",
    "glob.match(\"a*\", #a, \"abc\")", "glob.match(\"**b*\", #a, #b)", "regex.match(`^[a-c]*$`, #a)", "regex.match(`(?i)B`, #a)",
    "regex.find_n(`[a-c]`, #a, #b)", "regex.find_n(``, #a, -1)", "regex.find_all_string_submatch_n(`(.)(b)?`, #a, #b)",
    "regex.replace(#a, `(b)?`, \"[$1]\")", "regex.replace(#a, `(?P<x>a)`, \"${x}$x$0$$\")", "regex.split(`b?`, #a)",
    "regex.split(`/`, #a)", "is_array(#a)", "is_boolean(#a)", "is_null(#a)", "is_number(#a)", "is_object(#a)", "is_set(#a)",
    "is_string(#a)", "type_name(#a)", "base64.encode(#a)", "base64.is_valid(#a)", "base64url.encode(#a)",
    "base64url.encode_no_pad(#a)", "hex.encode(#a)", "net.cidr_contains(#a, #b)", "net.cidr_is_valid(#a)", "#a[#b]",
    "{#a: #b}[#b]", "[#a, #b][#c]", "member(#a, #b, #a)", "not_false(#a)", "[#a, #b] == [#b, #a]", "{#a, #b} == {#b}", "first(#a)", "pair(#a)",
    "elements(#a, #b)", "listed(#a)", "mapped(#a)",
];

/// Calls that end the evaluation for some arguments, which are therefore asked about one by one.
const STOPPING: &[&str] =
    &["#a / 2", "7 / #a", "round(#a)", "to_number(#a)", "base64.decode(#a)", "base64url.decode(#a)", "hex.decode(#a)"];

/// What no JSON has.
const SETS: &str = "[set(), {1}, {\"a\", \"b\"}, {\"\"}, {3, 1, 2}, {null, true, 1, \"a\", []}, {[1], [0]}, {{1}}, [set()], \
                    {\"a\": {1}}, {{\"a\": 1}, [2]}]";

/// Where there are three arguments, the last two go through these.
const FEW: &str = "[0, 1, -1, 2, 5, 100, 9223372036854775807, \"a\", \"\", null, [], [\"a\"], {}]";

const HELPERS: &str = "not_false(x) := true if x\nelse := false\nfirst([x, _]) := x\npair(p) := [y, x] if [x, y] = p\n\
                       listed(x) := [[k, v] | some k, v in x]\nmapped(x) := {k: v | some k, v in x}\n\
                       member(x, y, z) := s[z] if s := {x} | {y}\nelements(x, y) := [z | some z in {x} | {y} | {[x]} | {1}] if { not is_set(x); not is_set(y) }\n";

/// Policies that go through all arguments in one decision.
pub(crate) fn policies() -> Vec<Case> {
    let policies = CALLS.iter().enumerate().map(|(number, call)| {
        let letters: Vec<&str> =
            ["a", "b", "c"].into_iter().filter(|letter| call.contains(&format!("#{letter}"))).collect();
        let loops = letters.iter().map(|letter| {
            let values =
                if (letters.len() > 2 || call.starts_with("elements")) && *letter != "a" { FEW } else { "values" };
            format!("some i{letter}, {letter} in {values}; ")
        });
        let loops: String = loops.collect();
        let indices: String = letters.iter().map(|letter| format!("i{letter}, ")).collect();
        let rules = format!(
            "{HELPERS}values := array.concat(input.claims.values, {SETS})\n\
             allow := {{\"allow\": true, \"v\": [[{indices}r] | {loops}r := {}]}}",
            call.replace('#', "")
        );
        Case::new(number, call, Language::V1, &rules)
    });
    policies.collect()
}

/// Policies whose calls can end the evaluation: about one argument each.
pub(crate) fn stopping() -> Vec<Case> {
    let policies = STOPPING.iter().enumerate().map(|(number, call)| {
        let rules = format!("allow := {{\"allow\": true, \"v\": {}}}", call.replace("#a", "input.claims.a"));
        Case::new(number, call, Language::V1, &rules)
    });
    policies.collect()
}

#[rustfmt::skip]
fn values() -> Vec<Json> {
    let numbers = [0, 1, 2, 3, 7, -1, -7, 64, 100, i64::MAX, i64::MIN, 9_007_199_254_740_993];
    let texts = [
        "", "a", "b", "ab", "abc", "ABC", "aXbXc", "1", "-1", "7", "0", "-0", "+1", "007", "1e3", "0x10", "12a", "inf", "é",
        "e\u{301}", "\u{1d4b3}b\u{1d4b3}", "ß", "ΑΣ", "İ", "ŉ", "ᾳ", "ǆ", "\u{0}", "a\nb", " a\t", "\u{a0}a\u{2003}", "/a/b", "*",
        "a*", "**", "?", "%s%d", "$1", "10.1.2.3", "10.0.0.0/8", "10.1.2.3/8", "::ffff:10.1.2.3", "::ffff:10.0.0.0/104",
        "::ffff:0:0/96", "2001:db8::/32", "2001:db8::1", "::/0", "0.0.0.0/0", "300.1.1.1", "10.0.0.0/33", "10.0.0.0/08",
        "fe80::1%eth0", "1.2.3.4/24/1", "YWI=", "YWI", "YWJ=", "YW I=", "YW\nI=", "_-8", "//8=", "6162", "616", "6Z", "FF",
    ];
    let mut values = vec![Json::Null, json!(true), json!(false), json!(u64::MAX)];
    values.extend(numbers.map(Json::from));
    values.extend(texts.map(Json::from));
    values.extend([
        json!([]), json!([1]), json!([3, 1, 2]), json!(["b", "a"]), json!(["a", ["a"]]), json!([null, 1, "a"]), json!([[1], [2]]),
        json!([["a", "b"], ["c"]]), json!(["/a", "/"]), json!([u64::MAX, 1]), json!({}), json!({"a": 1}), json!({"a": {"b": 1}}),
        json!({"a": {"b": 2, "c": [1]}}), json!({"b": 2, "a": 1}), json!({"0": 1}), json!({"a": null}),
    ]);
    values
}

/// One request with all arguments.
pub(crate) fn all(now: Timestamp) -> Vec<Given> {
    vec![Given::request(Request::new(&json!({"values": values()})), now)]
}

/// A request for each argument.
pub(crate) fn each(now: Timestamp) -> Vec<Given> {
    values().into_iter().map(|value| Given::request(Request::new(&json!({"a": value})), now)).collect()
}

/// What depends on the version of Unicode.
#[rustfmt::skip]
const LETTERS: &[&str] = &[
    "upper(input.claims.a)", "lower(input.claims.a)", "sprintf(\"%v\", [[input.claims.a]])", "count(input.claims.a)",
    "regex.find_n(`[\\\\pL]+`, input.claims.a, -1)", "regex.find_n(`(?i)[a-zα-ω]+`, input.claims.a, -1)",
    "regex.find_n(`[\\\\p{Lu}]+`, input.claims.a, -1)", "regex.find_n(`[\\\\p{Greek}\\\\p{Cyrillic}]+`, input.claims.a, -1)",
    "regex.find_n(`[\\\\pN]+`, input.claims.a, -1)", "regex.find_n(`[^\\\\PL\\\\p{Nd}]+`, input.claims.a, -1)",
    "regex.find_n(`\\\\PL+`, input.claims.a, -1)", "regex.find_n(`(?i)[^a-yο-ω]+`, input.claims.a, -1)", "regex.find_n(`[[:alpha:]]+`, input.claims.a, -1)",
    "strings.reverse(input.claims.a)", "substring(input.claims.a, 70000, 10)",
];

/// Policies about text with every character there is.
pub(crate) fn letters() -> Vec<Case> {
    let policies = LETTERS.iter().enumerate().map(|(number, call)| {
        Case::new(
            number,
            call,
            Language::V1,
            &format!("allow := {{\"allow\": true, \"v\": {}}}", call.replace("\\\\", "\\")),
        )
    });
    policies.collect()
}

/// Every character, in four texts; and the spaces around a letter.
pub(crate) fn texts(now: Timestamp) -> Vec<Given> {
    let characters: Vec<char> = ('\0'..=char::MAX).collect();
    let mut texts: Vec<String> = characters.chunks(300_000).map(|chunk| chunk.iter().collect()).collect();
    texts.push("ΑΣ ΑΣΑ Σ ß ﬁ ᾼ ǅ İı Kk ſs".to_owned());
    texts.iter().map(|text| Given::request(Request::new(&json!({"a": text})), now)).collect()
}
