//! Policies, their data, and requests with the decisions that are expected. Nothing in them is left to chance.

use crate::Outcome;
use scbte_core::policy::{Decision, Input, Limits, Module, PolicySource, RegoVersion};
use scbte_core::time::Timestamp;
use serde_json::{Map, Value as Json, json};

/// When all requests are made.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What is measured, by name.
pub(crate) const CASES: [(&str, fn() -> Case); 8] = [
    ("example", example),
    ("grants-10", || grants(10)),
    ("grants-1000", || grants(1_000)),
    ("grants-10000", || grants(10_000)),
    ("grants-100000", || grants(100_000)),
    ("rules-1000", || rules(1_000)),
    ("globs-1000", || globs(1_000)),
    ("regexes-200", || regexes(200)),
];

/// A policy and what is asked of it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rego: String,
    /// As text, as a configuration or a bundle brings it: reading it is part of loading the policy.
    pub(crate) data: String,
    pub(crate) limits: Limits,
    pub(crate) requests: Vec<Request>,
}

/// A request, and what is to be decided about it.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    sub: String,
    ctx: &'static str,
    method: &'static str,
    path: String,
}

/// A decision, whichever engine made it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    /// With the policy's reason.
    Deny(String),
}

pub(crate) fn find(name: &str) -> Outcome<Case> {
    let found = CASES.iter().find(|(known, _)| *known == name);
    found.map(|(_, make)| make()).ok_or_else(|| format!("there is no case `{name}`"))
}

impl Case {
    fn new(name: impl Into<String>, rego: impl Into<String>, data: impl Into<String>, requests: Vec<Request>) -> Self {
        Self { name: name.into(), rego: rego.into(), data: data.into(), limits: Limits::default(), requests }
    }

    /// The policy as the filter gets it.
    pub(crate) fn source(&self) -> Outcome<PolicySource> {
        Ok(PolicySource {
            modules: vec![Module { name: "policy.rego".to_owned(), rego: self.rego.clone() }],
            data: serde_json::from_str(&self.data).map_err(|error| error.to_string())?,
            entrypoint: PolicySource::DEFAULT_ENTRYPOINT.to_owned(),
            rego_version: RegoVersion::V1,
        })
    }
}

impl Request {
    /// The target is a method and a path.
    fn new(name: &'static str, sub: String, ctx: &'static str, target: (&'static str, &str), verdict: Verdict) -> Self {
        let (method, path) = target;
        Self { name, verdict, sub, ctx, method, path: path.to_owned() }
    }

    /// As the filter gives it to the policy.
    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            sub: &self.sub,
            ctx: self.ctx,
            aud: "api.production.svc.cluster.local",
            method: self.method,
            path: &self.path,
            trust_domain: "cluster.local",
            query: None,
            host: "api.production.svc.cluster.local",
            headers: &[],
            claims: "{}",
            source_address: None,
            peer_spiffe_id: None,
        }
    }

    /// The members of it that the policies here use, for the other engines.
    pub(crate) fn document(&self) -> Map<String, Json> {
        let members = [
            ("sub", json!(self.sub)),
            ("ctx", json!(self.ctx)),
            ("method", json!(self.method)),
            ("path", json!(self.path)),
            ("timestamp", json!(NOW.millis())),
        ];
        members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect()
    }
}

impl Verdict {
    fn deny(reason: &str) -> Self {
        Self::Deny(reason.to_owned())
    }

    /// Of the entry point's value; nothing where it is no decision.
    pub(crate) fn of_value(value: &Json) -> Option<Self> {
        let reason = value["reason"].as_str().unwrap_or(Decision::DEFAULT_DENY);
        let allow = value.as_bool().or_else(|| value["allow"].as_bool())?;
        Some(if allow { Self::Allow } else { Self::deny(reason) })
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow { .. } => Self::Allow,
            Decision::Deny { reason, .. } => Self::Deny(reason),
        }
    }
}

/// The repository's own policy.
fn example() -> Case {
    let (rego, data) = (include_str!("../../../policy/allow.rego"), include_str!("../../../policy/data.json"));
    let users = ("GET", "/api/v1/users");
    let requests = vec![
        Request::new("allowed", workload("api-gateway"), "read:users", users, Verdict::Allow),
        Request::new("not permitted", workload("order-service"), "write:orders", users, Verdict::deny("not_permitted")),
        Request::new("unknown workload", workload("other"), "read:users", users, Verdict::deny("unknown_workload")),
    ];
    Case::new("example", rego, data, requests)
}

const GRANTS: &str = "package scbte

default allow := false

allow if {
	some grant in data.grants[input.sub]
	grant.ctx == input.ctx
	input.method in grant.methods
	startswith(input.path, grant.prefix)
}
";

/// What a workload may do; the number stays the same, however many workloads there are.
const GRANTS_EACH: usize = 5;

/// Who may do what, in data. The workload that is asked about is in the middle; the grant that counts is its last.
fn grants(count: usize) -> Case {
    let workloads = count / GRANTS_EACH;
    let each: Vec<String> = (0..GRANTS_EACH).map(grant).collect();
    let each = each.join(",");
    // Text at once, of one piece, and no tree before it: wasm's memory never shrinks, and what loading takes is to be seen.
    let mut data = String::with_capacity(workloads * (each.len() + 100) + 100);
    data.push_str(r#"{"grants":{"#);
    for number in 0..workloads {
        let comma = if number == 0 { "" } else { "," };
        data.push_str(&format!(r#"{comma}"{}":[{each}]"#, numbered_workload(number)));
    }
    data.push_str("}}");

    let known = || numbered_workload(workloads / 2);
    let target = ("GET", "/api/v1/area4/items/17");
    let denied = || Verdict::deny(Decision::DEFAULT_DENY);
    let requests = vec![
        Request::new("allowed", known(), "read:area4", target, Verdict::Allow),
        Request::new("not granted", known(), "read:other", target, denied()),
        Request::new("unknown workload", numbered_workload(workloads), "read:area4", target, denied()),
    ];
    let mut case = Case::new(format!("grants-{count}"), GRANTS, data, requests);
    // As `policy.max_data` raises it; the smaller ones fit into the default.
    case.limits.max_data_bytes = case.limits.max_data_bytes.max(case.data.len());
    case
}

fn grant(number: usize) -> String {
    format!(r#"{{"ctx":"read:area{number}","methods":["GET","HEAD"],"prefix":"/api/v1/area{number}/"}}"#)
}

/// A rule for each workload.
fn rules(count: usize) -> Case {
    let rule = |number| {
        let sub = numbered_workload(number);
        format!(
            "allow if {{\n\tinput.sub == \"{sub}\"\n\tinput.ctx == \"read:items\"\n\tinput.method == \"GET\"\n\tinput.path == \"/api/v1/items\"\n}}\n"
        )
    };
    let sub = numbered_workload;
    one_of_many("rules", count, rule, sub, |_| "/api/v1/items".to_owned())
}

/// A glob for each path.
fn globs(count: usize) -> Case {
    let rule = |number| format!("allow if glob.match(\"/api/v1/area{number:05}/*/items\", [\"/\"], input.path)\n");
    one_of_many("globs", count, rule, any_workload, |number| format!("/api/v1/area{number:05}/blue/items"))
}

/// A regex for each path.
fn regexes(count: usize) -> Case {
    let rule = |number| format!("allow if regex.match(`^/api/v1/area{number:05}/[0-9]+$`, input.path)\n");
    one_of_many("regexes", count, rule, any_workload, |number| format!("/api/v1/area{number:05}/17"))
}

/// Numbered definitions of one rule, and requests for the first, for the last, and for one that is not there.
fn one_of_many(
    name: &str,
    count: usize,
    rule: impl Fn(usize) -> String,
    sub: impl Fn(usize) -> String,
    path: impl Fn(usize) -> String,
) -> Case {
    let rules: Vec<String> = (0..count).map(rule).collect();
    let rego = format!("package scbte\n\ndefault allow := false\n\n{}", rules.join("\n"));
    let request =
        |name, number, verdict| Request::new(name, sub(number), "read:items", ("GET", &path(number)), verdict);
    let requests = vec![
        request("the first", 0, Verdict::Allow),
        request("the last", count - 1, Verdict::Allow),
        request("none", count, Verdict::deny(Decision::DEFAULT_DENY)),
    ];
    Case::new(format!("{name}-{count}"), rego, "{}", requests)
}

fn workload(name: &str) -> String {
    format!("spiffe://cluster.local/ns/production/sa/{name}")
}

fn numbered_workload(number: usize) -> String {
    workload(&format!("workload-{number:05}"))
}

fn any_workload(_: usize) -> String {
    workload("any")
}
