//! How long Envoy takes until its listeners are ready, on one core, with the filter and without.

use super::folder;
use crate::contender::Servers;
use crate::error::Error;
use crate::round::Bench;
use crate::servers::Running;
use crate::statistics::Spread;
use serde::{Deserialize, Serialize};

/// How often each is started.
pub(super) const STARTS: usize = 5;

/// Seconds until Envoy says that it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(super) none: Option<Spread>,
    pub(super) filter: Option<Spread>,
    /// With the filter over without, start by start.
    pub(super) added: Option<Spread>,
}

pub(super) async fn measure(bench: &Bench) -> Result<Start, Error> {
    println!("==> start");
    let (mut none, mut filter) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        none.push(seconds(bench, Servers::Bare).await?);
        filter.push(seconds(bench, Servers::Scbte).await?);
    }
    let added = filter.iter().zip(&none).map(|(filter, none)| filter - none);
    let added = Spread::of(added);
    println!("    {:.2} s more with the filter", added.map_or(f64::NAN, |added| added.median));
    Ok(Start { none: Spread::of(none), filter: Spread::of(filter), added })
}

async fn seconds(bench: &Bench, servers: Servers) -> Result<f64, Error> {
    let folder = folder(bench, "start")?;
    let cores = bench.cores.server_core.to_string();
    let running = Running::start(servers, &bench.setting(&folder, &cores)).await?;
    Ok(running.started_in.as_secs_f64())
}
