//! How long it takes from a change of SPIRE's trust bundle to the last worker's use of it.

use crate::support::{Outcome, World, seconds};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Changes that are measured.
const CHANGES: usize = 9;
/// The agent asks its server each second here, the companion pushes at once, a worker looks each second: two seconds,
/// and some for a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_change_of_the_bundle_is_soon_in_use() -> Outcome {
    let world = World::builder()?.start().await?;
    let mut took = Vec::new();
    for change in 0..CHANGES {
        // At any moment of the second in which everybody looks.
        sleep(Duration::from_millis(fastrand::u64(..1_000))).await;
        // Another one each time: all of them are in the bundle.
        world.spire.server.prepare().await?;
        let changed = Instant::now();
        world.settled_with_authorities(change + 2).await?;
        took.push(changed.elapsed());
    }
    took.sort();
    let (median, longest) = (took[CHANGES / 2], took[CHANGES - 1]);
    println!(
        "figure: from SPIRE's bundle change to the last worker's use: p50 {}, max {} ({CHANGES} changes; the agent asks \
         its server each second)",
        seconds(median),
        seconds(longest)
    );
    assert!(longest < LONGEST, "{took:?}");
    Ok(())
}
