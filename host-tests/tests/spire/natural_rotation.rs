//! SPIRE rotates by itself, quickly: authorities and SVIDs come and go while good calls go on, and none is lost.
//!
//! SPIRE prepares the next authority when half of the life of the active one is over, and activates it when a sixth is
//! left; it looks each ten seconds.

use crate::support::{Outcome, World, assert_nothing_lost, seconds};
use crate::token::Minted;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Good calls a second.
const RATE: u32 = 100;

/// How quickly, and for how long.
struct Pace {
    /// How long authorities live. A sixth of it, less the ten seconds until SPIRE looks, is what the last SVIDs of an
    /// authority get, and they are replaced when half of that is over: a token needs ten seconds.
    ca_ttl: &'static str,
    /// How long SVIDs live, if their authority lives as long.
    ttl: Duration,
    /// Goes on until so many authorities signed,
    authorities: usize,
    /// with so many SVIDs,
    svids: usize,
    /// at least so long,
    least: Duration,
    /// and no longer than this.
    most: Duration,
}

#[tokio::test]
async fn a_quick_rotation_loses_no_call() -> Outcome {
    let secs = Duration::from_secs;
    let (least, most) = (secs(180), secs(290));
    rotates(Pace { ca_ttl: "165s", ttl: secs(40), authorities: 3, svids: 8, least, most }).await
}

#[tokio::test]
#[ignore = "takes 20 minutes"]
async fn a_natural_rotation_loses_no_call() -> Outcome {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (least, most) = (minutes(20), minutes(25));
    rotates(Pace { ca_ttl: "6m", ttl: minutes(1), authorities: 4, svids: 30, least, most }).await
}

async fn rotates(pace: Pace) -> Outcome {
    let world = World::builder()?.spire(|spire| spire.ca_ttl(pace.ca_ttl)).ttl(pace.ttl).start().await?;
    let load = world.load(RATE).await?;
    let (mut authorities, mut svids) = (BTreeSet::new(), BTreeSet::new());
    let began = Instant::now();
    while began.elapsed() < pace.least || authorities.len() < pace.authorities {
        let minted = Minted::parse(&world.token().await?)?;
        authorities.insert(minted.authority());
        svids.insert(minted.serial());
        assert!(began.elapsed() < pace.most, "only {} authorities", authorities.len());
        sleep(Duration::from_millis(500)).await;
    }
    let tally = load.stop();
    println!(
        "figure: natural rotation: {} authorities, {} SVIDs, {} good calls in {}, {} lost",
        authorities.len(),
        svids.len(),
        tally.good,
        seconds(tally.lasted),
        tally.lost.count
    );
    assert_nothing_lost(&tally);
    assert!(svids.len() >= pace.svids, "only {} SVIDs", svids.len());
    assert!(tally.rate() >= f64::from(RATE) * 0.9, "{:.0} calls a second", tally.rate());
    Ok(())
}
