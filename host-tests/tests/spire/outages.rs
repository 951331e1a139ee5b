//! What traffic sees when a part is gone: nothing, as long as tokens and trust bundles live, but for Envoy's own restart.

use crate::support::{Failure, Outcome, World, assert_nothing_lost, quiet, readiness, seconds, until, until_readiness};
use crate::token::Minted;
use scbte_host_tests::fixture::eventually;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Good calls a second, meanwhile.
const RATE: u32 = 50;
/// A companion whose source is alive signs its bundle again each minute.
const MORE_THAN_A_SIGNATURE: Duration = Duration::from_secs(65);
/// An idle stream is checked each minute.
const NOTICED_WITHIN: Duration = Duration::from_secs(90);
/// A new Envoy is trusted so soon after it is ready.
const TRUSTED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn an_agent_that_is_gone_costs_nothing() -> Outcome {
    let mut world = World::builder()?.start().await?;
    let load = world.load(RATE).await?;
    world.spire.agent.kill()?;
    let gone = |found: &Value| found["identity"]["live"] == false;
    until_readiness(world.companion()?, "the companion to miss its agent", gone).await?;
    let before = world.companion()?.admin("/v1/bundle").await?;
    sleep(MORE_THAN_A_SIGNATURE).await;
    it_goes_on_with_what_it_has(&world, before.text()).await?;

    world.spire.agent.restart().await?;
    let back = |found: &Value| found["identity"]["live"] == true;
    until_readiness(world.companion()?, "the companion to hear of its agent again", back).await?;
    // What SPIRE says now gets through again.
    world.spire.server.prepare().await?;
    world.settled_with_authorities(2).await?;
    assert_nothing_lost(&load.stop());
    Ok(())
}

async fn it_goes_on_with_what_it_has(world: &World, bundle: String) -> Outcome {
    let companion = world.companion()?;
    let found = readiness(companion).await?;
    assert_eq!((&found["ready"], &found["identity"]["live"]), (&true.into(), &false.into()), "{found}");
    let age = found["identity"]["age_seconds"].as_u64();
    assert!(age.is_some_and(|age| age >= MORE_THAN_A_SIGNATURE.as_secs()), "{found}");
    assert!(found["identity"]["error"].is_string(), "{found}");
    assert_eq!(companion.admin("/v1/bundle").await?.text(), bundle, "signed again without word of the agent");
    world.assert_serves("without an agent").await
}

#[tokio::test]
async fn an_agent_that_hangs_is_noticed() -> Outcome {
    let world = World::builder()?.start().await?;
    world.spire.agent.pause()?;
    let paused = Instant::now();
    let hangs = |found: &Value| found["identity"]["live"] == false;
    eventually("the companion to notice that its agent hangs", NOTICED_WITHIN, async || {
        let found = readiness(world.companion()?).await?;
        Ok(if hangs(&found) { Ok(()) } else { Err(found.to_string()) })
    })
    .await?;
    println!("figure: an agent that hangs is noticed after {}", seconds(paused.elapsed()));
    world.assert_serves("without an agent").await?;
    world.spire.agent.resume()?;
    let back = |found: &Value| found["identity"]["live"] == true;
    until_readiness(world.companion()?, "the companion to hear of its agent again", back).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_costs_nothing() -> Outcome {
    // An SVID would be replaced in the middle of the outage, and lives on until it is over.
    server_gone(Duration::from_secs(65), Duration::from_secs(120)).await
}

#[tokio::test]
#[ignore = "takes 8 minutes"]
async fn a_server_that_is_gone_for_minutes_costs_nothing() -> Outcome {
    server_gone(Duration::from_secs(6 * 60), Duration::from_secs(10 * 60)).await
}

async fn server_gone(outage: Duration, ttl: Duration) -> Outcome {
    let mut world = World::builder()?.start().await?;
    // Which gives a new SVID: its whole life is ahead.
    world.spire.server.update(&world.registration, &world.entry().ttl(ttl)).await?;
    let before = until_svid(&world, ttl, |minted| minted.svid_left() <= ttl).await?;
    let load = world.load(RATE).await?;
    world.spire.server.kill()?;
    sleep(outage).await;
    let found = readiness(world.companion()?).await?;
    assert_eq!((&found["ready"], &found["identity"]["live"]), (&true.into(), &true.into()), "{found}");
    let during = Minted::parse(&world.token().await?)?;
    assert_eq!(during.serial(), before.serial(), "an SVID, and no server to sign it");

    world.spire.server.restart().await?;
    until_svid(&world, ttl, |minted| minted.serial() != before.serial()).await?;
    assert_nothing_lost(&load.stop());
    Ok(())
}

/// Waits until the companion mints with a wanted SVID.
async fn until_svid(world: &World, within: Duration, wanted: impl Fn(&Minted) -> bool) -> Result<Minted, Failure> {
    let deadline = Instant::now() + within;
    loop {
        let minted = Minted::parse(&world.token().await?)?;
        if wanted(&minted) {
            return Ok(minted);
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for another SVID");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn companions_and_envoys_that_restart_are_soon_back() -> Outcome {
    let mut world = World::builder()?.start().await?;
    a_companion_is_killed(&mut world).await?;
    an_envoy_is_restarted(&mut world).await
}

/// Meanwhile the last token does.
async fn a_companion_is_killed(world: &mut World) -> Outcome {
    let load = world.load(RATE).await?;
    let seq = world.control().status().await?.seq;
    let killed = Instant::now();
    world.kill_companion()?;
    sleep(Duration::from_secs(3)).await;
    world.start_companion().await?;
    let back = Instant::now();
    world.settled_with(|status| status.seq > seq).await?;
    world.assert_serves("with a new companion").await?;
    sleep(Duration::from_secs(1)).await;
    let tally = load.stop();
    assert_eq!(tally.lost.count, 0, "{:?}", tally.lost.first.first());
    assert!(tally.not_minted.count > 0, "nobody missed the companion");
    for missed in &tally.not_minted.first {
        assert!(killed <= missed.at && missed.at <= back, "{missed:?}");
    }
    Ok(())
}

/// What is lost is lost while Envoy is not there: the filter of a new one has its bundle at once.
async fn an_envoy_is_restarted(world: &mut World) -> Outcome {
    let _quiet = quiet().await;
    let load = world.load(RATE).await?;
    sleep(Duration::from_secs(1)).await;
    let call = world.good_call().await?;
    let stopped = Instant::now();
    world.stop_envoy()?;
    world.start_envoy().await?;
    let ready = Instant::now();
    until(world, "the first good call", &call, |response| response.status == 200).await?;
    let trusted = Instant::now();
    println!("figure: a new Envoy is trusted {} after it is ready", seconds(trusted - ready));
    assert!(trusted - ready < TRUSTED_WITHIN, "trusted only after {:?}", trusted - ready);
    world.settled().await?;
    let settled = Instant::now();
    sleep(Duration::from_secs(2)).await;
    let tally = load.stop();
    assert!(tally.lost.count > 0, "nobody missed Envoy");
    for lost in &tally.lost.first {
        assert!(stopped <= lost.at && lost.at <= settled, "lost while Envoy was there: {}", lost.why);
    }
    assert!(tally.not_minted.count == 0, "{:?}", tally.not_minted.first.first());
    Ok(())
}
