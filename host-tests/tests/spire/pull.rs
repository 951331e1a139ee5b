//! Pull: the filter fetches trust bundles itself, one of its VMs for all of them, and follows a forced rotation.

use crate::rotation::{replace_authority, survivor};
use crate::support::{Failure, Outcome, USERS, World, assert_admitted, assert_nothing_lost, until};
use scbte_host_tests::fixture::{Ports, Request, TRUST_DOMAIN};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// `trust.pull.interval`. The filter's own is up to a tenth shorter or longer.
const INTERVAL: Duration = Duration::from_secs(5);
/// Intervals in which fetches are counted.
const INTERVALS: u32 = 8;
/// Fetches by Envoy's own count: the name is that of the cluster.
const FETCHES: &str = "cluster.scbte_companion.upstream_rq_total";

/// A world whose companion pushes nothing; the control listener is there for its status only.
async fn pulling(settings: &TempDir) -> Result<World, Failure> {
    let ports = Ports::free();
    let companion = format!("127.0.0.1:{}", ports.admin);
    let file = settings.path().join("settings.json");
    std::fs::write(&file, format!(r#"{{"trust": {{"pull": {{"interval": "{}s"}}}}}}"#, INTERVAL.as_secs()))?;
    let file = file.display().to_string();
    let pull = ["--pull-cluster", "scbte_companion", "--companion", &companion, "--filter-settings", &file];
    let world = World::builder()?.ttl(Duration::from_secs(40));
    world.stack(|stack| stack.ports(ports).without_push().render_with(&pull)).start().await
}

#[tokio::test]
async fn one_vm_fetches_for_all() -> Outcome {
    let settings = tempfile::tempdir()?;
    let world = pulling(&settings).await?;
    world.assert_serves("pulled").await?;
    fetches_are_one_an_interval(&world).await?;

    let survivor = survivor(&world).await?;
    let call = Request::get(USERS).bearer(&survivor.good_token("read:users"));
    let load = world.load(200).await?;
    let old = replace_authority(&world).await?;
    assert_admitted(&world.send(&call).await?, "of the old authority, not yet revoked");
    world.spire.server.revoke(&old).await?;
    let began = Instant::now();
    world.settled_with_authorities(1).await?;
    until(&world, "the old authority to be refused", &call, |response| response.status == 401).await?;
    assert!(began.elapsed() < 2 * INTERVAL, "refused only after {:?}", began.elapsed());
    assert_nothing_lost(&load.stop());
    Ok(())
}

/// Two workers and the main thread would make three times as many, each for itself.
async fn fetches_are_one_an_interval(world: &World) -> Outcome {
    let envoy = world.envoy()?;
    let before = envoy.stat(FETCHES).await?;
    sleep(INTERVAL * INTERVALS).await;
    let fetches = envoy.stat(FETCHES).await? - before;
    let expected = u64::from(INTERVALS);
    // Fewer, where a busy machine is late with its ticks.
    assert!((expected / 2..=expected + 2).contains(&fetches), "{fetches} fetches in {INTERVALS} intervals");
    let roots = world.control().status().await?;
    assert!(roots.roots.len() >= 2 && roots.is_everywhere(), "{roots:?}");
    assert_eq!(roots.trust_domains.get(TRUST_DOMAIN), Some(&1));
    Ok(())
}
