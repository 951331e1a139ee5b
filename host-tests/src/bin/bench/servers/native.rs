//! Envoy's own filters: `jwt_authn`, which believes a key, and RBAC over what the token says.

use super::{Running, Setting, replace_filter, stack, start_envoy};
use crate::error::Error;
use crate::load::PATH;
use crate::tokens::{CONTEXT, ISSUER};
use scbte_host_tests::fixture::{API_GATEWAY, AUDIENCE, Ports};
use serde_json::{Map, Value, json};

pub(super) async fn start(setting: &Setting<'_>, cache: bool) -> Result<Running, Error> {
    let filters = [jwt_authn(&setting.identities.jwks()?, cache), rbac(setting.policies)];
    let stack = stack(setting, Ports::free(), move |config| replace_filter(config, &filters)).await?;
    start_envoy(setting, stack, Vec::new()).await
}

fn jwt_authn(jwks: &Value, cache: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": jwks.to_string()},
        "payload_in_metadata": "claims",
    });
    if cache {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"issuer": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
        },
    })
}

/// RBAC asks its policies in the order of their names: the last one is the caller's.
fn rbac(policies: u32) -> Value {
    let last = policies.saturating_sub(1);
    let other = |at| (format!("{at:05}"), policy(&format!("{API_GATEWAY}-{at}"), &format!("{PATH}-{at}")));
    let all = (0..last).map(other).chain([(format!("{last:05}"), policy(API_GATEWAY, PATH))]);
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": all.collect::<Map<_, _>>()},
        },
    })
}

fn policy(sub: &str, path: &str) -> Value {
    json!({
        "permissions": [{"and_rules": {"rules": [
            {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
            {"url_path": {"path": {"exact": path}}},
        ]}}],
        "principals": [{"and_ids": {"ids": [claim("sub", sub), claim("ctx", CONTEXT)]}}],
    })
}

fn claim(name: &str, value: &str) -> Value {
    json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "claims"}, {"key": name}],
        "value": {"string_match": {"exact": value}},
    }})
}
