//! What a policy sees of a request: `input`.

use super::error::PolicyEngineError;
use super::query;
use super::uses::{Member, Uses};
use super::value::{self, Unusable, from_text, object};
use crate::json;
use crate::time::Timestamp;
use regorus::value::{Array, Object};
use regorus::{Rc, Value};
use std::borrow::Cow;
use std::net::IpAddr;

/// One request, verified. What the policy does not use (see [`Uses`]) may be left empty.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The caller's SPIFFE ID.
    pub sub: &'a str,
    /// The context that the token claims.
    pub ctx: &'a str,
    /// The audience that matched.
    pub aud: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The path that the upstream will serve, without the query. `input.path_segments` comes from it.
    pub path: &'a str,
    /// The caller's trust domain.
    pub trust_domain: &'a str,
    /// The query as it came, without `?`; decoded into an object of arrays.
    pub query: Option<&'a str>,
    /// The request's authority.
    pub host: &'a str,
    /// The headers that the configuration names, names in lower case; those of one name are joined with `,`, bytes
    /// that are not UTF-8 become U+FFFD.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// All claims of the token: a JSON object. It is parsed for policies that use it, on each request.
    pub claims: &'a str,
    /// The peer's IP address, without the port; an IPv4 address inside an IPv6 one is taken out.
    pub source_address: Option<&'a str>,
    /// The SPIFFE ID of the peer's TLS certificate.
    pub peer_spiffe_id: Option<&'a str>,
}

/// The names of the members that a policy uses, made once.
#[derive(Debug)]
pub(super) struct InputKeys {
    members: Vec<(Member, Value)>,
    address: Value,
    peer_spiffe_id: Value,
}

impl InputKeys {
    #[inline]
    pub(super) fn new(uses: &Uses) -> Self {
        Self {
            members: uses.iter().map(|member| (member, from_text(member.name()))).collect(),
            address: from_text("address"),
            peer_spiffe_id: from_text("peer_spiffe_id"),
        }
    }

    /// Builds `input`, with the members that are used.
    #[inline]
    pub(super) fn build(&self, input: &Input<'_>, now: Timestamp) -> Result<Value, PolicyEngineError> {
        let mut members = Object::new();
        for (member, name) in &self.members {
            members.insert(name.clone(), self.member(*member, input, now)?);
        }
        Ok(object(members))
    }

    #[inline]
    fn member(&self, member: Member, input: &Input<'_>, now: Timestamp) -> Result<Value, PolicyEngineError> {
        Ok(match member {
            Member::Sub => from_text(input.sub),
            Member::Ctx => from_text(input.ctx),
            Member::Aud => from_text(input.aud),
            Member::Method => from_text(input.method),
            Member::Path => from_text(input.path),
            Member::Timestamp => Value::from(now.millis()),
            Member::TrustDomain => from_text(input.trust_domain),
            Member::PathSegments => path_segments(input.path),
            Member::Query => query::decode(input.query.unwrap_or_default()),
            Member::Host => from_text(input.host),
            Member::Headers => headers(input.headers),
            Member::Claims => claims(input.claims)?,
            Member::Source => self.source(input),
        })
    }

    #[inline]
    fn source(&self, input: &Input<'_>) -> Value {
        let address = input.source_address.map(canonical_address);
        let parts = [(&self.address, address.as_deref()), (&self.peer_spiffe_id, input.peer_spiffe_id)];
        let present = parts.into_iter().filter_map(|(name, part)| Some((name.clone(), from_text(part?))));
        object(present.collect())
    }
}

/// `::ffff:10.0.0.1` is `10.0.0.1`: a policy that compares the text must not miss a client because the proxy's socket is
/// an IPv6 one.
#[inline]
fn canonical_address(address: &str) -> Cow<'_, str> {
    match address.parse::<IpAddr>() {
        Ok(parsed) if parsed != parsed.to_canonical() => parsed.to_canonical().to_string().into(),
        _ => address.into(),
    }
}

/// `/a/b` is `["a", "b"]`, `/a/` is `["a", ""]`, `/` is `[""]`; nothing is decoded.
#[inline]
fn path_segments(path: &str) -> Value {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let segments: Array = relative.split('/').map(from_text).collect();
    Value::Array(Rc::new(segments))
}

#[inline]
fn headers(headers: &[(&str, &[u8])]) -> Value {
    let mut joined: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(headers.len());
    for &(name, bytes) in headers {
        let text = String::from_utf8_lossy(bytes);
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => {
                let value = value.to_mut();
                value.push(',');
                value.push_str(&text);
            }
            None => joined.push((name, text)),
        }
    }
    object(joined.into_iter().map(|(name, text)| (from_text(name), from_text(&text))).collect())
}

#[inline]
fn claims(text: &str) -> Result<Value, PolicyEngineError> {
    let members =
        json::parse_object(text.as_bytes()).map_err(|error| PolicyEngineError::InputClaims(error.to_string()))?;
    value::from_object(&members, json::MAX_DEPTH.into()).map_err(|problem| match problem {
        Unusable::TooDeep => PolicyEngineError::InputClaims("nested too deeply".to_owned()),
        Unusable::NotWhole(number) => PolicyEngineError::InputNumber(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn build(uses: &[&str], change: impl FnOnce(&mut Input<'_>)) -> Result<Value, PolicyEngineError> {
        let claims = json!({"n": 1, "neg": -1, "list": [null, {"deep": true}]}).to_string();
        let mut input = Input {
            sub: "spiffe://td/a",
            ctx: "read:x",
            aud: "api",
            method: "GET",
            path: "/a/b",
            trust_domain: "td",
            query: Some("q=1"),
            host: "api.example",
            headers: &[],
            claims: &claims,
            source_address: Some("10.0.0.1"),
            peer_spiffe_id: None,
        };
        change(&mut input);
        let mut used = Uses::default();
        uses.iter().for_each(|name| used.add(name));
        InputKeys::new(&used).build(&input, Timestamp::from_nanos(1_700_000_000_123_456_789))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_member_has_the_design_s_form() {
        let mut all = Uses::default();
        all.add_all();
        let names: Vec<_> = all.iter().map(Member::name).collect();
        let expected = json!({
            "sub": "spiffe://td/a", "ctx": "read:x", "aud": "api", "method": "GET", "path": "/a/b",
            "timestamp": 1_700_000_000_123_u64, "trust_domain": "td", "path_segments": ["a", "b"],
            "query": {"q": ["1"]}, "host": "api.example", "headers": {"x-a": "1,2", "x-b": "\u{fffd}"},
            "claims": {"n": 1, "neg": -1, "list": [null, {"deep": true}]},
            "source": {"address": "10.0.0.1"}
        });
        let built = build(&names, |input| input.headers = &[("x-a", b"1"), ("x-b", b"\xff"), ("x-a", b"2")]);
        assert_eq!(built.unwrap(), Value::from_json_str(&expected.to_string()).unwrap());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn mapped_addresses_are_taken_out() {
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("no address", "no address"),
        ] {
            assert_eq!(canonical_address(address), expected);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_not_used_is_not_built() {
        let built = build(&["sub", "no_such_member"], |_| {}).unwrap();
        assert_eq!(built, Value::from_json_str(r#"{"sub": "spiffe://td/a"}"#).unwrap());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn path_segments_keep_what_the_path_says() {
        for (path, expected) in [
            ("/a/b", r#"["a","b"]"#),
            ("/a/", r#"["a",""]"#),
            ("/", r#"[""]"#),
            ("", r#"[""]"#),
            ("/a%2Fb", r#"["a%2Fb"]"#),
            ("*", r#"["*"]"#),
        ] {
            assert_eq!(path_segments(path), Value::from_json_str(expected).unwrap(), "{path}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn numbers_that_are_not_whole_are_an_error() {
        for (number, ok) in [
            (json!(0), true),
            (json!(u64::MAX), true),
            (json!(i64::MIN), true),
            (json!(0.5), false),
            (json!(5.0), false),
            (json!(-0.0), false),
            (json!(1e3), false),
            (json!(1e30), false),
        ] {
            let result = claims(&json!({"a": [number]}).to_string());
            let expected = if ok { None } else { Some(PolicyEngineError::InputNumber(number.to_string())) };
            assert_eq!(result.err(), expected, "{number}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn claims_beyond_the_depth_limit_are_an_error() {
        let nest = |depth| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
        for (depth, ok) in [(16, true), (17, false)] {
            assert_eq!(claims(&nest(depth).to_string()).is_ok(), ok, "{depth}");
        }
    }
}
