//! Paths that two servers could read differently are refused; those that Envoy makes plain are judged as the upstream
//! will see them.

use crate::support::{Outcome, Own, USERS, assert_admitted, assert_refused, assert_serves, gateway, shared, until};
use scbte_host_tests::fixture::{Listener, Request};

#[tokio::test]
async fn an_ambiguous_path_is_refused_and_the_next_call_served() -> Outcome {
    let stack = shared().await?;
    let token = gateway(&stack)?.good_token("read:users");
    for path in [
        &b"/api/v1/users%2fadmin"[..],
        b"/api/v1/users%2F",
        b"/api%2fv1/users",
        b"/api/v1/users%5cadmin",
        b"/api/v1%5Cusers",
        b"/api/v1/users%3fa=b",
        b"/api/v1/users%23a",
        b"/api/v1/users%zz",
        b"/api/v1/users%",
        b"/api/v1/users%2",
        b"/api/v1/users%00",
        b"/api/v1/users%0d%0a",
        b"/api/v1/users%7f",
        b"/api/v1/users#a",
        b"/api/v1/users\xff",
        b"/healthz/..%2fapi/v1/users",
        b"/%2e%2e%2fapi/v1/users",
        b"api/v1/users",
    ] {
        let name = String::from_utf8_lossy(path);
        for request in [Request::get(path), Request::get(path).bearer(&token)] {
            let response = stack.send(&request).await?;
            assert_eq!(response.status, 400, "{name}: {}", response.text());
        }
        assert_serves(&stack, &name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_path_is_judged_as_the_upstream_sees_it() -> Outcome {
    let stack = shared().await?;
    let token = gateway(&stack)?.good_token("read:users");
    for (sent, seen) in [
        ("/api/v1/users", USERS),
        ("/api/v1//users", USERS),
        ("//api/v1/users", USERS),
        ("/api/v1/./users", USERS),
        ("/api/v1/orders/../users", USERS),
        ("/api/v1/%75sers", USERS),
        ("/api/v1/orders/%2e%2e/users", USERS),
        ("/api/v1/users?a=%2f..", "/api/v1/users?a=%2f.."),
    ] {
        let response = stack.send(&Request::get(sent).bearer(&token)).await?;
        assert_admitted(&response, sent);
        assert_eq!(response.json()["path"], seen, "{sent}");
    }
    for denied in ["/api/v1/users/", "/api/v1/users/../orders", "/api/v1/Users", "/api/v1/users/1", "/api/v1"] {
        let response = stack.send(&Request::get(denied).bearer(&token)).await?;
        assert_refused(&response, 403, "not_permitted", denied);
    }
    Ok(())
}

/// Where Envoy normalises nothing, the filter refuses what it would have to guess.
pub(crate) async fn without_normalisation_the_filter_alone_refuses(stack: &Own) -> Outcome {
    stack.reload(|config| {
        let manager = config.connection_manager(Listener::Data)?;
        manager["normalize_path"] = false.into();
        manager["merge_slashes"] = false.into();
        Ok(())
    })?;
    let token = gateway(stack)?.good_token("read:users");
    let doubled = Request::get("//api/v1/users").bearer(&token);
    until(stack, "paths as they are", &doubled, |found| found.reason().as_deref() == Some("ambiguous_path")).await?;
    for path in [
        "//api/v1/users",
        "/api/v1//users",
        "/api/v1/./users",
        "/api/v1/orders/../users",
        "/api/v1/%75sers",
        "/..;/users",
        "/api/v1/%2e/users",
        "/api/v1/users%2fadmin",
        "/api/v1/users%5cadmin",
        "/api/v1/users\\admin",
        "/api/v1/users/..",
    ] {
        let response = stack.send(&Request::get(path).bearer(&token)).await?;
        assert_refused(&response, 400, "ambiguous_path", path);
    }
    assert_serves(stack, "after ambiguous paths").await
}
