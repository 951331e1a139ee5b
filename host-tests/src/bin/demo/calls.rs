//! The first part of the story: who may do what, and what is refused.

use crate::tell::{Expected, Teller};
use scbte_host_tests::fixture::{
    API_GATEWAY, AUDIENCE, Authority, Error, Mint, ORDER_SERVICE, Request, Stack, TRUST_DOMAIN,
};

const USERS: &str = "/api/v1/users";
const ORDERS: &str = "/api/v1/orders";

/// Makes the calls and tells what came back.
pub(crate) async fn tell(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    teller.title("Who may do what");
    admitted(stack, teller).await?;
    teller.title("What is refused");
    refused(stack, teller).await?;
    teller.title("What a caller cannot smuggle in");
    smuggled(stack, teller).await
}

async fn admitted(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let token = stack.companion()?.token(AUDIENCE, "read:users").await?;
    let gateway = Expected::Admitted { subject: API_GATEWAY };
    call(stack, teller, "read:users as api-gateway", Request::get(USERS).bearer(&token), gateway).await?;
    let token = mint(stack, ORDER_SERVICE, AUDIENCE, "write:orders", &[]).await?;
    let orders = Expected::Admitted { subject: ORDER_SERVICE };
    call(stack, teller, "write:orders as order-service", Request::post(ORDERS).bearer(&token), orders).await
}

async fn refused(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let expired = mint(stack, API_GATEWAY, AUDIENCE, "read:users", &["--iat-offset=-600"]).await?;
    let for_another = mint(stack, API_GATEWAY, "billing.production.svc.cluster.local", "read:users", &[]).await?;
    let not_allowed = mint(stack, ORDER_SERVICE, AUDIENCE, "read:users", &[]).await?;
    let borrowed = mint(stack, ORDER_SERVICE, AUDIENCE, "read:users", &["--sub", API_GATEWAY]).await?;
    let stranger = Authority::new(TRUST_DOMAIN)?.issue(API_GATEWAY)?.good_token("read:users");
    for (asked, token, status, reason) in [
        ("no token", None, 401, "missing_bearer_token"),
        ("a token that expired", Some(expired), 401, "expired"),
        ("a token for another service", Some(for_another), 401, "audience_mismatch"),
        ("api-gateway's name, order-service's chain", Some(borrowed), 401, "subject_mismatch"),
        ("a CA of the same name that nobody trusts", Some(stranger), 401, "untrusted_chain"),
        ("read:users as order-service", Some(not_allowed), 403, "context_not_granted"),
    ] {
        let request = token.iter().fold(Request::get(USERS), |request, token| request.bearer(token));
        call(stack, teller, asked, request, Expected::Refused { status, reason }).await?;
    }
    Ok(())
}

async fn smuggled(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let token = stack.companion()?.token(AUDIENCE, "read:users").await?;
    let spoofed = Request::get(USERS).bearer(&token).header("x-scbte-subject", "spiffe://cluster.local/admin");
    let gateway = Expected::Admitted { subject: API_GATEWAY };
    call(stack, teller, "with an x-scbte-subject of its own", spoofed, gateway).await?;
    let ambiguous = Request::get("/api/v1/users%3fadmin").bearer(&token);
    let refused = Expected::Refused { status: 400, reason: "ambiguous_path" };
    call(stack, teller, "a path that servers read differently", ambiguous, refused).await
}

async fn call(
    stack: &Stack,
    teller: &mut Teller,
    asked: &str,
    request: Request,
    expected: Expected,
) -> Result<(), Error> {
    let response = stack.send(&request).await?;
    teller.call(&format!("{:<26}  {asked}", request.line()), &response, &expected);
    Ok(())
}

/// A token for any workload, as the command line mints it.
pub(crate) async fn mint(stack: &Stack, spiffe_id: &str, aud: &str, ctx: &str, more: &[&str]) -> Result<String, Error> {
    stack.scbte().mint(&Mint { spiffe_id, aud, ctx, more }).await
}
