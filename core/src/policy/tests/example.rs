//! The policy of the demo, `policy/allow.rego`, on the machine.

use super::*;
use wasm_bindgen_test::wasm_bindgen_test;

const REGO: &str = include_str!("../../../../policy/allow.rego");
const DATA: &str = include_str!("../../../../policy/data.json");
const API_GATEWAY: &str = "spiffe://cluster.local/ns/production/sa/api-gateway";
const ORDER_SERVICE: &str = "spiffe://cluster.local/ns/production/sa/order-service";

fn policy(rego: &str) -> Policy {
    Policy::admit(&source(rego, serde_json::from_str(DATA).unwrap()), &Limits::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn decide(policy: &mut Policy, sub: &str, ctx: &str, method: &str, path: &str) -> Decision {
    let input = Input {
        sub,
        ctx,
        aud: "",
        method,
        path,
        trust_domain: "cluster.local",
        query: None,
        host: "",
        headers: &[],
        claims: "{}",
        source_address: None,
        peer_spiffe_id: None,
    };
    policy.evaluate(&input, NOW).unwrap()
}

fn denied(reason: &str) -> Decision {
    Decision::Deny { reason: reason.into(), status: 403, response_headers: vec![] }
}

#[wasm_bindgen_test(unsupported = test)]
fn two_rules_and_nothing_else() {
    let mut policy = policy(REGO);
    let allowed = Decision::Allow { headers: vec![], response_headers: vec![] };
    for (sub, ctx, method, path, expected) in [
        (API_GATEWAY, "read:users", "GET", "/api/v1/users", allowed.clone()),
        (ORDER_SERVICE, "write:orders", "POST", "/api/v1/orders", allowed),
        (API_GATEWAY, "write:orders", "POST", "/api/v1/orders", denied("context_not_granted")),
        (ORDER_SERVICE, "read:users", "GET", "/api/v1/users", denied("context_not_granted")),
        (API_GATEWAY, "read:users", "POST", "/api/v1/users", denied("not_permitted")),
        (API_GATEWAY, "read:users", "get", "/api/v1/users", denied("not_permitted")),
        (API_GATEWAY, "read:users", "GET", "/api/v1/users/", denied("not_permitted")),
        (API_GATEWAY, "read:users", "GET", "/api/v1/orders", denied("not_permitted")),
        (ORDER_SERVICE, "write:orders", "GET", "/api/v1/orders", denied("not_permitted")),
        (
            "spiffe://cluster.local/ns/production/sa/other",
            "read:users",
            "GET",
            "/api/v1/users",
            denied("unknown_workload"),
        ),
        (
            "spiffe://example.org/ns/production/sa/api-gateway",
            "read:users",
            "GET",
            "/api/v1/users",
            denied("unknown_workload"),
        ),
    ] {
        assert_eq!(decide(&mut policy, sub, ctx, method, path), expected, "{sub} {ctx} {method} {path}");
    }
}

/// On the machine both clocks are one, so the condition is failed by an `input.timestamp` from somewhere else.
#[wasm_bindgen_test(unsupported = test)]
fn the_time_condition_counts() {
    assert_eq!(REGO.matches("input.timestamp * 1000000").count(), 1);
    for (ahead_ms, allowed) in [(-600_000, true), (0, true), (299_999, true), (300_000, false), (600_000, false)] {
        let ahead = format!("(input.timestamp + {ahead_ms}) * 1000000").replace("+ -", "- ");
        let mut policy = policy(&REGO.replace("input.timestamp * 1000000", &ahead));
        let decision = decide(&mut policy, API_GATEWAY, "read:users", "GET", "/api/v1/users");
        assert_eq!(matches!(decision, Decision::Allow { .. }), allowed, "{ahead_ms}: {decision:?}");
        // Only the first rule has the condition.
        let decision = decide(&mut policy, ORDER_SERVICE, "write:orders", "POST", "/api/v1/orders");
        assert!(matches!(decision, Decision::Allow { .. }), "{ahead_ms}: {decision:?}");
    }
}
