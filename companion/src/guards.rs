//! Guards against forged requests to `POST /token`, as the SPIFFE Workload Endpoint has them.
//!
//! Everything in the pod can reach the endpoint, so something there may be made to call it for others: a browser by a
//! web page (CSRF, DNS rebinding), a proxy or a URL fetcher by a crafted link (SSRF). Such requests carry a foreign
//! `Host`, an `Origin`, or a proxy's headers, and cannot carry `content-type: application/json` or a header of choice.

use crate::problem::Problem;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, header};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a deployment adds to the guards.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuardRules {
    /// Names beside localhost and the loopback addresses that `Host` may have, in lower case.
    pub(crate) hosts: Vec<String>,
    /// A header that must be there.
    pub(crate) required_header: Option<HeaderName>,
}

/// Refuses a request that may have been forged.
pub(crate) fn check(request: &Parts, rules: &GuardRules) -> Result<(), Problem> {
    check_host(request, rules)?;
    check_proxies(&request.headers)?;
    check_required(&request.headers, rules)?;
    check_content_type(&request.headers)
}

/// `Host`, and the authority of an absolute-form target (RFC 9112 §3.2.2), must be this machine's.
fn check_host(request: &Parts, rules: &GuardRules) -> Result<(), Problem> {
    let refused = || Problem::forbidden("`host` must be localhost, a loopback address or a configured name");
    let mut values = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else { return Err(refused()) };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| refused())?;
    let authorities = [Some(&host), request.uri.authority()];
    match authorities.into_iter().flatten().all(|authority| is_local(authority, rules)) {
        true => Ok(()),
        false => Err(refused()),
    }
}

fn is_local(authority: &Authority, rules: &GuardRules) -> bool {
    // User information in front of the host has no place here.
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host().to_ascii_lowercase();
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
        || rules.hosts.contains(&host)
}

/// Browsers send `Origin`, proxies say that they are there.
fn check_proxies(headers: &HeaderMap) -> Result<(), Problem> {
    let betrays = |name: &&HeaderName| {
        matches!(name.as_str(), "origin" | "via" | "forwarded") || name.as_str().starts_with("x-forwarded-")
    };
    match headers.keys().find(betrays) {
        Some(name) => Err(Problem::forbidden(format!("requests with `{name}` are refused: call this API directly"))),
        None => Ok(()),
    }
}

fn check_required(headers: &HeaderMap, rules: &GuardRules) -> Result<(), Problem> {
    match &rules.required_header {
        Some(name) if !headers.contains_key(name) => {
            Err(Problem::forbidden(format!("requests must have the header `{name}`")))
        }
        _ => Ok(()),
    }
}

/// Browsers send JSON to other origins only after they asked, which nobody here answers.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Problem::unsupported_media_type()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Problem::unsupported_media_type()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    /// A request target and headers; a good `content-type` is added where there is none.
    fn checked(target: &str, headers: &[(&str, &str)], rules: &GuardRules) -> &'static str {
        let mut request = Request::post(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, rules).map_or_else(|problem| problem.error(), |()| "ok")
    }

    #[test]
    fn the_host_must_be_here() {
        let rules = GuardRules { hosts: vec!["tokens.internal".into()], required_header: None };
        for (host, expected) in [
            ("localhost", "ok"),
            ("LocalHost:8090", "ok"),
            ("127.0.0.1:8090", "ok"),
            ("127.8.9.1", "ok"),
            ("[::1]:8090", "ok"),
            ("tokens.internal", "ok"),
            ("Tokens.Internal:80", "ok"),
            ("evil.example", "forbidden"),
            ("localhost.evil.example", "forbidden"),
            ("localhost@evil.example", "forbidden"),
            ("evil@localhost", "forbidden"),
            ("169.254.169.254", "forbidden"),
            ("10.0.0.1", "forbidden"),
            ("0.0.0.0", "forbidden"),
            ("[::]", "forbidden"),
            ("127.0.0.1.evil.example", "forbidden"),
            ("", "forbidden"),
        ] {
            assert_eq!(checked("/token", &[("host", host)], &rules), expected, "{host:?}");
        }
        let none = GuardRules::default();
        assert_eq!(checked("/token", &[], &none), "forbidden", "no host");
        assert_eq!(checked("/token", &[("host", "localhost"), ("host", "localhost")], &none), "forbidden", "two hosts");
        assert_eq!(checked("http://evil.example/token", &[("host", "localhost")], &none), "forbidden");
        assert_eq!(checked("http://localhost/token", &[("host", "localhost")], &none), "ok");
    }

    #[test]
    fn browsers_and_proxies_are_refused() {
        for name in ["Origin", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Anything"] {
            let headers = [("host", "localhost"), (name, "null")];
            assert_eq!(checked("/token", &headers, &GuardRules::default()), "forbidden", "{name}");
        }
        let rules = GuardRules { hosts: vec![], required_header: Some(HeaderName::from_static("x-scbte-client")) };
        assert_eq!(checked("/token", &[("host", "localhost")], &rules), "forbidden");
        assert_eq!(checked("/token", &[("host", "localhost"), ("X-Scbte-Client", "1")], &rules), "ok");
    }

    #[test]
    fn only_json_is_taken() {
        for (value, expected) in [
            ("application/json", "ok"),
            ("Application/JSON; charset=utf-8", "ok"),
            ("text/plain", "unsupported_media_type"),
            ("application/x-www-form-urlencoded", "unsupported_media_type"),
            ("application/jsonp", "unsupported_media_type"),
            ("text/plain; application/json", "unsupported_media_type"),
            ("", "unsupported_media_type"),
        ] {
            let headers = [("host", "localhost"), ("content-type", value)];
            assert_eq!(checked("/token", &headers, &GuardRules::default()), expected, "{value:?}");
        }
        let (parts, ()) = Request::post("/token").header("host", "localhost").body(()).unwrap().into_parts();
        assert!(check(&parts, &GuardRules::default()).is_err(), "none");
    }
}
