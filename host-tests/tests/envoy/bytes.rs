//! Requests that are odd by their bytes: each gets a clean answer, and the next call is served.

use crate::support::{Outcome, USERS, assert_admitted, assert_serves, gateway, good_call, shared};
use scbte_host_tests::fixture::{API_GATEWAY, Authority, Error, Request, Stack, TRUST_DOMAIN, claims};
use serde_json::Value;

#[tokio::test]
async fn odd_bytes_in_the_token_header_are_refused() -> Outcome {
    let stack = shared().await?;
    let good = gateway(&stack)?.good_token("read:users");
    let bearer = |token: &[u8]| [b"Bearer ", token].concat();
    for (name, value) in [
        ("only odd bytes", bearer(b"\xff")),
        ("odd bytes before", bearer(&[b"\xff", good.as_bytes()].concat())),
        ("odd bytes behind", bearer(&[good.as_bytes(), b"\xff\xfe"].concat())),
        ("half a character", bearer(&[good.as_bytes(), b"\xc3"].concat())),
        ("an odd scheme", [b"B\xffarer ", good.as_bytes()].concat()),
    ] {
        let response = stack.send(&Request::get(USERS).header("authorization", value)).await?;
        assert!([400, 401].contains(&response.status), "{name}: {} {}", response.status, response.text());
        assert_serves(&stack, name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn odd_bytes_in_any_other_header_change_nothing() -> Outcome {
    let stack = shared().await?;
    for name in ["x-odd", "cookie", "user-agent", "accept-language", "x-request-id", "x-forwarded-for", "referer"] {
        let response = stack.send(&good_call(&stack).await?.header(name, b"a\xffb")).await?;
        assert_admitted(&response, name);
    }
    let response = stack.send(&good_call(&stack).await?.header("x-odd", b"a\xffb")).await?;
    assert_eq!(response.upstream_header("x-odd").as_deref(), Some("a\u{ff}b"));
    let response = stack.send(&good_call(&stack).await?.header("x-scbte-subject", b"\xff")).await?;
    assert_admitted(&response, "a reserved header of odd bytes");
    assert_serves(&stack, "after odd bytes").await
}

#[tokio::test]
async fn two_token_headers_are_refused() -> Outcome {
    let stack = shared().await?;
    let bearer = format!("Bearer {}", gateway(&stack)?.good_token("read:users"));
    for (name, second) in
        [("twice the same", bearer.as_str()), ("another scheme", "Basic YTpi"), ("no token", "Bearer")]
    {
        for pair in [[bearer.as_str(), second], [second, bearer.as_str()]] {
            let request =
                pair.iter().fold(Request::get(USERS), |request, value| request.header("authorization", value));
            let response = stack.send(&request).await?;
            assert_eq!(response.status, 401, "{name}: {}", response.text());
        }
    }
    assert_serves(&stack, "after two token headers").await
}

#[tokio::test]
async fn a_token_beyond_measure_is_refused() -> Outcome {
    let stack = shared().await?;
    let caller = gateway(&stack)?;
    let deep = format!("{}1{}", "[".repeat(900), "]".repeat(900));
    let mut deep_claims = Value::Object(claims(API_GATEWAY, "read:users")).to_string();
    deep_claims.insert_str(1, &format!("\"deep\":{deep},"));
    for (name, token, statuses) in [
        ("100 KB", "a".repeat(100 << 10), &[400, 401, 431][..]),
        ("50 KB", "a".repeat(50 << 10), &[401]),
        ("20,000 dots", ".".repeat(20_000), &[401]),
        ("a chain of 12", long_chain(12)?, &[401]),
        ("a chain of 5", long_chain(5)?, &[401]),
        ("claims 900 deep", caller.odd_token(|_| {}, deep_claims.as_bytes()), &[401]),
        ("claims of half a JSON", caller.odd_token(|_| {}, b"{\"sub\":"), &[401]),
        ("claims that are no text", caller.odd_token(|_| {}, b"\xff\xfe"), &[401]),
        ("a header 900 deep", header_of(&format!("{{\"alg\":{deep}}}")), &[401]),
    ] {
        let response = stack.send(&Request::get(USERS).bearer(&token)).await?;
        assert!(statuses.contains(&response.status), "{name}: {} {}", response.status, response.text());
        assert_serves(&stack, name).await?;
    }
    assert_no_trap(&stack).await
}

/// A token with a chain of this many certificates.
fn long_chain(length: usize) -> Result<String, Error> {
    let root = Authority::new(TRUST_DOMAIN)?;
    let mut issuer = root.intermediate(TRUST_DOMAIN)?;
    for _ in 2..length {
        issuer = issuer.intermediate(TRUST_DOMAIN)?;
    }
    let workload = issuer.issue(API_GATEWAY)?;
    assert_eq!(workload.chain.len(), length);
    Ok(workload.good_token("read:users"))
}

fn header_of(json: &str) -> String {
    format!("{}.e30.AA", scbte_core::base64::encode_url(json))
}

/// Envoy counts the VMs that it had to start again.
async fn assert_no_trap(stack: &Stack) -> Outcome {
    let stats = stack.envoy()?.prometheus().await?;
    let reloads = stats.lines().filter(|line| line.contains("vm_reload") && !line.starts_with('#'));
    let trapped: Vec<_> = reloads.filter(|line| !line.ends_with(" 0")).collect();
    assert!(trapped.is_empty(), "{trapped:?}");
    Ok(())
}
