//! What the policies are asked about: requests, and documents that no request makes.

use scbte_core::policy::Input;
use scbte_core::time::Timestamp;
use serde_json::{Map, Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An input, as a request where it can be one.
pub(crate) struct Given {
    pub(crate) document: Map<String, Json>,
    request: Option<Request>,
}

/// What the filter takes from a request whose token it has verified.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) sub: String,
    pub(crate) ctx: String,
    pub(crate) aud: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) trust_domain: String,
    pub(crate) host: String,
    /// Names and values, without what needs decoding.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) claims: Map<String, Json>,
    pub(crate) source_address: Option<String>,
    pub(crate) peer_spiffe_id: Option<String>,
}

/// The time of this run, for OPA knows no other.
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap())
}

impl Request {
    pub(crate) fn new(claims: &Json) -> Self {
        Self {
            sub: "spiffe://cluster.local/ns/production/sa/api-gateway".to_owned(),
            ctx: "read:users".to_owned(),
            aud: "api".to_owned(),
            method: "GET".to_owned(),
            path: "/api/v1/users".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            host: "api.example".to_owned(),
            query: vec![("page".to_owned(), "1".to_owned())],
            headers: vec![("x-team".to_owned(), "a".to_owned())],
            claims: claims.as_object().unwrap().clone(),
            source_address: Some("10.1.2.3".to_owned()),
            peer_spiffe_id: None,
        }
    }

    /// The README's table of the policy's input, in JSON.
    fn document(&self, now: Timestamp) -> Map<String, Json> {
        let segments: Vec<&str> = self.path.strip_prefix('/').unwrap_or(&self.path).split('/').collect();
        let mut query: Map<String, Json> = Map::new();
        for (name, value) in &self.query {
            let values = query.entry(name.clone()).or_insert_with(|| json!([]));
            values.as_array_mut().unwrap().push(json!(value));
        }
        let mut source = Map::new();
        source.extend(self.source_address.iter().map(|address| ("address".to_owned(), json!(address))));
        source.extend(self.peer_spiffe_id.iter().map(|id| ("peer_spiffe_id".to_owned(), json!(id))));
        let headers: Map<String, Json> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let document = json!({
            "sub": self.sub, "ctx": self.ctx, "aud": self.aud, "method": self.method, "path": self.path,
            "timestamp": now.millis(), "trust_domain": self.trust_domain, "path_segments": segments,
            "query": query, "host": self.host, "headers": headers, "claims": self.claims, "source": source,
        });
        document.as_object().unwrap().clone()
    }
}

impl Given {
    pub(crate) fn request(request: Request, now: Timestamp) -> Self {
        Self { document: request.document(now), request: Some(request) }
    }

    pub(crate) fn document(document: &Json) -> Self {
        Self { document: document.as_object().unwrap().clone(), request: None }
    }

    /// Calls with what the filter would make of the request.
    pub(crate) fn with_input<T>(&self, call: impl FnOnce(&Input<'_>) -> T) -> Option<T> {
        let request = self.request.as_ref()?;
        let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = query.join("&");
        let headers: Vec<(&str, &[u8])> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let claims = Json::from(request.claims.clone()).to_string();
        Some(call(&Input {
            sub: &request.sub,
            ctx: &request.ctx,
            aud: &request.aud,
            method: &request.method,
            path: &request.path,
            trust_domain: &request.trust_domain,
            query: Some(&query),
            host: &request.host,
            headers: &headers,
            claims: &claims,
            source_address: request.source_address.as_deref(),
            peer_spiffe_id: request.peer_spiffe_id.as_deref(),
        }))
    }
}

/// Data that all policies share.
pub(crate) fn data() -> Json {
    json!({
        "grants": {
            "spiffe://cluster.local/ns/production/sa/api-gateway": ["read:users"],
            "spiffe://cluster.local/ns/production/sa/order-service": ["write:orders"]
        },
        "roles": {
            "admin": {"permissions": ["read", "write", "delete"], "level": 3},
            "reader": {"permissions": ["read"], "level": 1},
            "nobody": {"permissions": [], "level": 0}
        },
        "denied": ["mallory", "", "x"],
        "limits": {"max": 100, "min": -5},
        "flags": {"on": true, "off": false, "none": null},
        "networks": ["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32"],
        "matrix": [[1, 2], [3, 4], []],
        "people": [
            {"name": "alice", "teams": ["a", "b"], "age": 30},
            {"name": "bob", "teams": [], "age": 25, "retired": true},
            {"name": "carol", "teams": ["b"]}
        ]
    })
}

/// Inputs by hand: the usual, the empty, the wrong, the odd.
pub(crate) fn by_hand(now: Timestamp) -> Vec<Given> {
    let usual = json!({
        "a": 1, "b": 2, "n": 7, "m": 3, "s": "alice", "t": "al", "flag": true, "off": false, "none": null,
        "xs": ["a", "b", "c"], "ys": ["b", "d"], "ns": [3, 1, 2], "roles": ["reader", "admin"],
        "o": {"x": 1, "y": 2}, "oo": {"p": {"q": {"r": 1}}, "l": [{"v": 1}, {"v": 2}]},
        "os": [{"id": "a", "n": 1}, {"id": "b", "n": 5, "bad": true}, {"n": 2}]
    });
    let mut inputs = vec![
        Given::request(Request::new(&usual), now),
        Given::request(
            Request {
                sub: "spiffe://cluster.local/ns/production/sa/order-service".to_owned(),
                ctx: "write:orders".to_owned(),
                method: "POST".to_owned(),
                path: "/api/v1/orders".to_owned(),
                query: vec![],
                headers: vec![],
                source_address: Some("2001:db8::7".to_owned()),
                peer_spiffe_id: Some("spiffe://cluster.local/ns/production/sa/order-service".to_owned()),
                ..Request::new(&json!({"a": 2, "b": 1, "n": -4, "m": 0, "s": "bob", "t": "", "flag": false, "xs": [],
                    "ys": ["a"], "ns": [], "roles": ["nobody", "ghost"], "o": {}, "oo": {}, "os": []}))
            },
            now,
        ),
        Given::request(
            Request {
                sub: "spiffe://other.example/x".to_owned(),
                ctx: "admin".to_owned(),
                path: "/".to_owned(),
                query: vec![("page".into(), "2".into()), ("page".into(), "3".into()), ("q".into(), String::new())],
                source_address: None,
                ..Request::new(&json!({}))
            },
            now,
        ),
    ];
    for claims in [
        // Of other types than expected
        json!({"a": "1", "b": null, "n": "7", "m": true, "s": 5, "t": ["al"], "flag": "true", "xs": "abc",
            "ys": {"b": 1}, "ns": ["3", null, [1]], "roles": "admin", "o": [1, 2], "oo": [], "os": {"a": {"n": 1}}}),
        json!({"a": [1], "b": {"x": 1}, "n": null, "m": [], "s": null, "t": {}, "flag": 0, "xs": {"k": "a", "l": "b"},
            "ys": null, "ns": {"x": 3}, "roles": [["admin"], 1, null, true], "o": null, "oo": {"p": {"q": 1}, "l": {}},
            "os": [1, "a", null, {}]}),
        // Empty
        json!({"a": "", "b": "", "n": 0, "m": 0, "s": "", "t": "", "flag": null, "xs": [""], "ys": [""], "ns": [0],
            "roles": [""], "o": {"": 1}, "oo": {"p": {}, "l": []}, "os": [{}]}),
        // Unicode
        json!({"a": "é", "b": "e\u{301}", "n": 1, "m": 2, "s": "a\u{1d4b3}b\u{7ff}\u{0}", "t": "\u{1d4b3}",
            "xs": ["ß", "İ", "ς", "\u{fffd}"], "ys": ["SS", "i", "Σ"], "ns": [1], "roles": ["admın"],
            "o": {"é": 1, "\u{1d4b3}": 2}, "os": [{"id": "é"}]}),
        // Numbers
        json!({"a": 9_007_199_254_740_993_u64, "b": 9_007_199_254_740_992_u64, "n": u64::MAX, "m": i64::MIN,
            "s": "9007199254740993", "ns": [u64::MAX, i64::MIN, i64::MAX], "o": {"x": i64::MAX, "y": -1}}),
        json!({"a": 0.1, "b": 0.2, "n": 1.5, "m": -0.5, "ns": [0.1, 0.2, 0.7, 5.0], "o": {"x": 5.0, "y": 1e-7},
            "s": "0.1", "xs": [1, 1.0, "1"]}),
        json!({"a": 5.0, "b": 5, "n": 1e30, "m": 1e22, "ns": [-0.0, 0, 1e300], "o": {"x": 5, "y": 1e16}}),
        // Text that means something elsewhere
        json!({"a": "*", "b": "a*", "s": "^a.*$", "t": "%s%d%", "xs": ["\\", "\"", "'", "\n", "$1", "../", "%2f"],
            "ys": ["a b", "a\tb", " a "], "roles": ["admin ", "Admin", "ADMIN"], "o": {"a.b": 1, "0": 2, "1": 3}}),
        json!({"a": true, "b": false, "n": 2, "m": 2, "s": "10.1.2.3", "t": "10.0.0.0/8", "flag": true,
            "xs": [1, 2, 2, 1], "ys": [2, 1], "ns": [2, 2], "roles": ["admin", "admin"], "o": {"x": true, "y": false},
            "os": [{"id": "a", "n": 1}, {"id": "a", "n": 2}]}),
    ] {
        inputs.push(Given::request(Request::new(&claims), now));
    }
    for document in [
        json!({}),
        json!({"claims": {}}),
        json!({"claims": null, "sub": null, "ctx": 1, "method": ["GET"], "path": {}, "path_segments": "a"}),
        json!({"claims": [1, 2], "sub": "", "ctx": "", "method": "get", "path": "", "path_segments": [], "query": []}),
        json!({"claims": "x", "sub": false, "timestamp": "now", "headers": 1, "source": []}),
    ] {
        inputs.push(Given::document(&document));
    }
    inputs
}
