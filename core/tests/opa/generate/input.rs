//! Inputs: requests whose claims are missing, of the expected types, or of any.

use crate::inputs::{Given, Request};
use fastrand::Rng;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value as Json, json};

/// Requests from a seed.
pub(crate) fn inputs(seed: u64, count: usize, now: Timestamp) -> Vec<Given> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| Given::request(request(&mut rng), now)).collect()
}

fn request(rng: &mut Rng) -> Request {
    Request {
        sub: pick(rng, &["spiffe://cluster.local/ns/production/sa/api-gateway", "spiffe://td/x"]).to_owned(),
        ctx: pick(rng, &["read:users", "write:orders", "admin"]).to_owned(),
        method: pick(rng, &["GET", "POST", "get"]).to_owned(),
        path: pick(rng, &["/api/v1/users", "/api", "/", "/a/b/", "/api/v1/%41"]).to_owned(),
        query: (0..rng.usize(..3)).map(|_| ("page".to_owned(), pick(rng, &["1", "", "b"]).to_owned())).collect(),
        source_address: rng.bool().then(|| pick(rng, &["10.1.2.3", "192.168.1.7", "2001:db8::1"]).to_owned()),
        ..Request::new(&Json::Object(claims(rng)))
    }
}

fn pick<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.usize(..items.len())]
}

fn claims(rng: &mut Rng) -> Map<String, Json> {
    let members: [(&str, fn(&mut Rng) -> Json); 15] = [
        ("a", number),
        ("b", number),
        ("n", number),
        ("m", number),
        ("s", text),
        ("t", text),
        ("flag", |rng| json!(rng.bool())),
        ("off", |rng| json!(rng.bool())),
        ("xs", |rng| list(rng, text)),
        ("ys", |rng| list(rng, text)),
        ("ns", |rng| list(rng, number)),
        ("roles", |rng| list(rng, |rng| json!(pick(rng, &["admin", "reader", "nobody", "ghost"])))),
        ("o", |rng| json!({"x": number(rng), pick(rng, &["y", "a", "alice", ""]): number(rng)})),
        ("os", |rng| list(rng, record)),
        ("oo", |rng| json!({"p": {"q": {"r": number(rng)}}, "l": list(rng, number)})),
    ];
    let mut claims = Map::new();
    for (name, usual) in members {
        match rng.u32(..100) {
            0..12 => {}
            12..24 => drop(claims.insert(name.to_owned(), anything(rng, 2))),
            _ => drop(claims.insert(name.to_owned(), usual(rng))),
        }
    }
    claims
}

fn text(rng: &mut Rng) -> Json {
    json!(pick(
        rng,
        &["a", "b", "c", "alice", "al", "x", "", "1", "é", "a/b", "a\u{1d4b3}", "admin", "10.1.2.3", "\u{0}"]
    ))
}

fn number(rng: &mut Rng) -> Json {
    match rng.u32(..20) {
        0 => json!(u64::MAX),
        1 => json!(i64::MIN),
        2 => json!(9_007_199_254_740_993_u64),
        _ => json!(rng.i64(-2..8)),
    }
}

fn record(rng: &mut Rng) -> Json {
    match rng.u32(..4) {
        0 => json!({"id": text(rng)}),
        1 => json!({"id": text(rng), "n": number(rng), "bad": rng.bool()}),
        _ => json!({"id": text(rng), "n": number(rng)}),
    }
}

fn list(rng: &mut Rng, item: impl Fn(&mut Rng) -> Json) -> Json {
    (0..rng.usize(..4)).map(|_| item(rng)).collect()
}

fn anything(rng: &mut Rng, depth: usize) -> Json {
    match rng.u32(..if depth == 0 { 4 } else { 7 }) {
        0 => Json::Null,
        1 => json!(rng.bool()),
        2 => text(rng),
        3 => number(rng),
        4 => list(rng, |rng| anything(rng, depth - 1)),
        5 => json!({pick(rng, &["x", "y", "n", "id", "0"]): anything(rng, depth - 1)}),
        _ => json!({}),
    }
}
