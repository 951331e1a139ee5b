//! A forced rotation of SPIRE's authority, as its administrator does it when a key may have leaked, under load: no good
//! request is lost, and nothing that the old authority vouched for is admitted once it is revoked.

use crate::support::{
    AFTER_PUSH, Failure, GATEWAY, Outcome, SOON, USERS, World, assert_admitted, assert_nothing_lost, assert_refused,
    quiet, seconds,
};
use crate::token::Minted;
use futures_util::future::try_join_all;
use scbte_host_tests::fixture::spire::AuthorityId;
use scbte_host_tests::fixture::{
    API_GATEWAY, Error, Load, Request, Response, TRUST_DOMAIN, Tally, Workload, eventually,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Good requests a second, at least, while the authority changes.
const RATE: u32 = 1_000;
/// How long, at least.
const LASTS: Duration = Duration::from_secs(60);
/// How long the load may take to catch up with what a busy machine kept it from.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(3 * 60);
/// How long SVIDs live: so long the rotation has to wait for old tokens.
const TTL: Duration = Duration::from_secs(60);
/// How long SPIRE may take to replace SVIDs of a tainted authority.
const REPLACED_WITHIN: Duration = Duration::from_secs(60);
/// New connections that a token is tried on: each of Envoy's workers gets some.
const CONNECTIONS: usize = 16;

#[tokio::test]
async fn a_forced_rotation_under_load_loses_no_request() -> Outcome {
    let world = World::builder()?.ttl(TTL).start().await?;
    let survivor = survivor(&world).await?;
    let load = world.load(RATE + RATE / 20).await?;
    let old = replace_authority(&world).await?;
    revoke(&world, &old, &survivor).await?;
    long_enough(&load).await?;
    let tally = load.stop();
    assert_heavy(&world, &tally).await
}

/// Has an SVID of the authority that will be revoked, and outlives it: SPIRE has handed it out and knows no more of it.
pub(crate) async fn survivor(world: &World) -> Result<Workload, Failure> {
    let program = world.spire.workload(&world.spire.tools.agent, "survivor").await?;
    let entry = world.spire.entry(&program, GATEWAY).ttl(Duration::from_secs(60 * 60));
    world.spire.server.create(&entry).await?;
    Ok(world.spire.agent.fetch(&program, API_GATEWAY).await?)
}

/// Prepare, activate and taint; returns the old authority once nothing of it is in use any more.
pub(crate) async fn replace_authority(world: &World) -> Result<AuthorityId, Failure> {
    let server = &world.spire.server;
    let old = server.active_authority().await?;
    let new = server.prepare().await?;
    world.settled_with_authorities(2).await?;
    server.activate(&new).await?;
    server.taint(&old).await?;
    let left = old_svids_replaced(world, &old, &new).await?;
    sleep(left).await;
    Ok(old)
}

/// Waits until the companion mints with an SVID of the new authority; returns how long the last old one lives yet.
async fn old_svids_replaced(world: &World, old: &AuthorityId, new: &AuthorityId) -> Result<Duration, Failure> {
    let deadline = Instant::now() + REPLACED_WITHIN;
    let mut ends = Instant::now();
    loop {
        let minted = Minted::parse(&world.token().await?)?;
        let authority = minted.authority();
        if authority == new.as_str() {
            return Ok(ends.saturating_duration_since(Instant::now()));
        }
        assert_eq!(authority, old.as_str());
        assert!(Instant::now() < deadline, "tokens are still of the old authority after {REPLACED_WITHIN:?}");
        ends = Instant::now() + minted.svid_left() + Duration::from_secs(1);
        sleep(Duration::from_millis(100)).await;
    }
}

async fn revoke(world: &World, old: &AuthorityId, survivor: &Workload) -> Outcome {
    let _quiet = quiet().await;
    let call = Request::get(USERS).bearer(&survivor.good_token("read:users"));
    // So that it is remembered by every worker.
    for response in everywhere(world, &call).await? {
        assert_admitted(&response, "of the old authority, not yet revoked");
    }
    let began = Instant::now();
    world.spire.server.revoke(old).await?;
    let revoked = Instant::now();
    pushed(world).await?;
    let pushed = Instant::now();
    let refused = refused_everywhere(world, &call).await?;
    println!(
        "figure: revoked to pushed {}, pushed to refused by every worker {} (SPIRE's command took {})",
        seconds(pushed - revoked),
        seconds(refused - pushed),
        seconds(revoked - began)
    );
    assert!(refused - pushed < AFTER_PUSH, "refused {:?} after the push", refused - pushed);
    for response in everywhere(world, &call).await? {
        assert_refused(&response, 401, "untrusted_chain", "of the old authority, revoked");
    }
    Ok(())
}

/// Waits until the bundle without the old authority is in force at the control API.
async fn pushed(world: &World) -> Result<(), Error> {
    eventually("the bundle without the old authority", SOON, async || {
        let status = world.control().status().await?;
        let count = status.trust_domains.get(TRUST_DOMAIN).copied();
        Ok(if count == Some(1) { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await
}

/// When a call was refused on every connection.
async fn refused_everywhere(world: &World, call: &Request) -> Result<Instant, Error> {
    eventually("every worker to refuse the old authority", SOON, async || {
        let admitted = everywhere(world, call).await?.iter().filter(|response| response.status == 200).count();
        Ok(if admitted == 0 { Ok(Instant::now()) } else { Err(format!("{admitted} of {CONNECTIONS} are admitted")) })
    })
    .await
}

async fn everywhere(world: &World, call: &Request) -> Result<Vec<Response>, Error> {
    try_join_all((0..CONNECTIONS).map(|_| world.send(call))).await
}

/// Waits until the load has lasted and is as heavy as it should be, or has lost something.
async fn long_enough(load: &Load) -> Result<(), Error> {
    sleep(LASTS.saturating_sub(load.so_far().lasted)).await;
    eventually("the load to be as heavy as it should", CAUGHT_UP_WITHIN, async || {
        let tally = load.so_far();
        let enough = tally.rate() >= f64::from(RATE) || tally.lost.count > 0;
        Ok(if enough { Ok(()) } else { Err(format!("{:.0} a second", tally.rate())) })
    })
    .await
}

/// Checks that the load was what it should be, and that nothing was lost.
async fn assert_heavy(world: &World, tally: &Tally) -> Outcome {
    println!(
        "figure: forced rotation under load: {} good requests in {}, {:.0}/s, {} lost, the slowest took {}",
        tally.good,
        seconds(tally.lasted),
        tally.rate(),
        tally.lost.count,
        seconds(tally.slowest)
    );
    assert_nothing_lost(tally);
    assert!(tally.lasted >= LASTS && tally.rate() >= f64::from(RATE), "{tally:?}");
    for worker in 0..2 {
        let stat = format!("listener.127.0.0.1_{}.worker_{worker}.downstream_cx_total", world.ports.data);
        assert!(world.envoy()?.stat(&stat).await? > 0, "worker {worker} had no connection");
    }
    Ok(())
}
