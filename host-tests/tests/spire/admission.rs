//! Who is registered with SPIRE gets tokens that are admitted; who is not, or not any more, gets none.

use crate::common::ORDERS;
use crate::support::{
    Failure, ORDER_SERVICE as ORDER_SERVICE_PATH, Outcome, SOON, World, assert_admitted_as, readiness, until_readiness,
};
use scbte_host_tests::fixture::{AUDIENCE, Companion, ORDER_SERVICE, Request, Status, TRUST_DOMAIN, eventually};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A companion whose source is alive signs its bundle again each minute.
const MORE_THAN_A_SIGNATURE: Duration = Duration::from_secs(65);

#[tokio::test]
async fn tokens_are_for_those_who_are_registered() -> Outcome {
    let world = World::builder()?.start().await?;
    world.assert_serves("with an SVID of SPIRE").await?;
    let orders = an_unregistered_workload_gets_no_token_until_it_is_registered(&world).await?;
    one_whose_registration_is_deleted_mints_no_more(&world, &orders).await?;

    world.spire.server.create(&world.entry()).await?;
    until_readiness(world.companion()?, "the API gateway to be ready again", |found| found["ready"] == true).await?;
    world.assert_serves("registered again").await
}

async fn an_unregistered_workload_gets_no_token_until_it_is_registered(world: &World) -> Result<Companion, Failure> {
    let program = world.spire.workload(&world.tools.scbte, "orders").await?;
    let orders = world.another_companion(&world.spire, &program).await?;
    let found = until_readiness(&orders, "to be told why", |found| found["identity"]["error"].is_string()).await?;
    assert_eq!((&found["ready"], &found["identity"]["live"]), (&false.into(), &false.into()), "{found}");
    let why = found["identity"]["error"].as_str().unwrap_or_default();
    assert!(why.contains("registration entry"), "{found}");
    assert_no_token(&orders).await?;

    let began = Instant::now();
    world.spire.server.create(&world.spire.entry(&program, ORDER_SERVICE_PATH)).await?;
    until_readiness(&orders, "a new registration to be known", |found| found["ready"] == true).await?;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "registered, and ready only after {took:?}");
    assert_orders(world, &orders, "just registered").await?;
    Ok(orders)
}

async fn one_whose_registration_is_deleted_mints_no_more(world: &World, orders: &Companion) -> Outcome {
    let gateway = world.companion()?;
    world.spire.server.delete(world.registration.clone()).await?;
    eventually("minting to stop", SOON, async || {
        let status = gateway.ask_token(AUDIENCE, "read:users").await?.status;
        Ok(if status == 503 { Ok(()) } else { Err(status.to_string()) })
    })
    .await?;
    assert_no_token(gateway).await?;
    let ready = readiness(gateway).await?;
    assert_eq!((&ready["ready"], &ready["identity"]["spiffe_id"]), (&false.into(), &Value::Null), "{ready}");
    the_last_bundle_stays(world, orders).await
}

/// It is handed out and used as it is, not signed again, and nothing empty takes its place.
async fn the_last_bundle_stays(world: &World, orders: &Companion) -> Outcome {
    let gateway = world.companion()?;
    let (bundle, before) = (gateway.admin("/v1/bundle").await?, world.control().status().await?);
    assert_eq!(bundle.status, 200);
    let began = Instant::now();
    while began.elapsed() < MORE_THAN_A_SIGNATURE {
        let status = world.control().status().await?;
        assert_eq!(in_force(&status), in_force(&before));
        assert_orders(world, orders, "somebody else's token").await?;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(gateway.admin("/v1/bundle").await?.text(), bundle.text(), "signed again");
    Ok(())
}

fn in_force(status: &Status) -> (Option<u64>, Option<&String>, Option<&usize>) {
    (status.seq, status.revision.as_ref(), status.trust_domains.get(TRUST_DOMAIN))
}

async fn assert_no_token(companion: &Companion) -> Outcome {
    let answer = companion.ask_token(AUDIENCE, "read:users").await?;
    let error = answer.member("error");
    assert_eq!((answer.status, error.as_deref()), (503, Some("identity_unavailable")), "{}", answer.text());
    assert_eq!(companion.admin("/readyz").await?.status, 503);
    Ok(())
}

async fn assert_orders(world: &World, orders: &Companion, name: &str) -> Outcome {
    let token = orders.token(AUDIENCE, "write:orders").await?;
    let response = world.send(&Request::post(ORDERS).bearer(&token)).await?;
    assert_admitted_as(ORDER_SERVICE, &response, name);
    Ok(())
}
