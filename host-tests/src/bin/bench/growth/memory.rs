//! Memory: what the filter adds to Envoy, with one worker and with two, and what a flood of distinct tokens adds to that.

use super::case::of_workers;
use super::{folder, mib};
use crate::check;
use crate::contender::Servers;
use crate::error::Error;
use crate::load::Load;
use crate::round::{Bench, under_load};
use crate::servers::{Running, Setting};
use crate::tokens::{Kind, Pools};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Portions that the tokens of a kind are minted and sent in.
const PORTIONS: u32 = 10;
/// For how long they are sent before it is seen whether all were.
const SPAN: Duration = Duration::from_secs(2);

/// Seconds in which the memory does not fall, and for how many this is waited for.
const CALM: u32 = 4;
const LONGEST_WAIT: u32 = 60;

/// Resident memory of Envoy in MiB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Without the filter, by number of workers: 1, 2.
    pub(super) none: Vec<f64>,
    /// With it, after more distinct tokens than its cache of tokens holds.
    pub(super) filter: Vec<f64>,
    /// After so many distinct tokens, in order.
    pub(super) flood: Vec<Flood>,
}

/// After a part of the flood.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Flood {
    /// Valid ones so far.
    pub(super) valid: u32,
    /// Invalid ones so far.
    pub(super) invalid: u32,
    pub(super) resident_mib: f64,
}

impl Memory {
    /// What the filter adds with one worker.
    pub(super) fn added(&self) -> f64 {
        at(&self.filter, 0) - at(&self.none, 0)
    }

    /// What it adds with each further worker.
    pub(super) fn further_worker(&self) -> f64 {
        (at(&self.filter, 1) - at(&self.filter, 0)) - (at(&self.none, 1) - at(&self.none, 0))
    }
}

fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(f64::NAN)
}

pub(super) async fn measure(bench: &Bench, long: bool) -> Result<Memory, Error> {
    println!("==> memory");
    let mut memory = Memory { none: Vec::new(), filter: Vec::new(), flood: Vec::new() };
    for workers in [1, 2] {
        memory.none.push(after_load(bench, Servers::Bare, workers).await?);
        memory.filter.push(after_load(bench, Servers::Scbte, workers).await?);
    }
    println!("    the filter {:.1} MiB, each further worker {:.1}", memory.added(), memory.further_worker());
    memory.flood = flood(bench, if long { 1_000_000 } else { 100_000 }).await?;
    Ok(memory)
}

/// After each worker has seen more distinct tokens than the filter remembers.
async fn after_load(bench: &Bench, servers: Servers, workers: u32) -> Result<f64, Error> {
    let folder = folder(bench, "memory")?;
    let cores = bench.cores.server_core.to_string();
    let setting = Setting { workers, ..bench.setting(&folder, &cores) };
    let running = Running::start(servers, &setting).await?;
    let tokens = bench.identities.mint(Kind::Fresh, &of_workers(&bench.pools, workers))?;
    send_all(bench, &running, &folder, &tokens, "2xx").await?;
    settled(&running).await
}

/// Resident memory in MiB when it no longer falls: what V8 compiled with is given back bit by bit.
async fn settled(running: &Running) -> Result<f64, Error> {
    let (mut last, mut calm) = (f64::MAX, 0);
    for _ in 0..LONGEST_WAIT {
        let now = mib(running.memory()?);
        calm = if last - now < 0.5 { calm + 1 } else { 0 };
        if calm == CALM {
            return Ok(now);
        }
        last = now;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(last)
}

async fn flood(bench: &Bench, all: u32) -> Result<Vec<Flood>, Error> {
    let folder = folder(bench, "flood")?;
    let cores = bench.cores.server_core.to_string();
    let running = Running::start(Servers::Scbte, &bench.setting(&folder, &cores)).await?;
    let portion = all / PORTIONS;
    let (mut valid, mut invalid) = (0, 0);
    let mut flood = vec![Flood { valid: 0, invalid: 0, resident_mib: settled(&running).await? }];
    for (kind, class) in [(Kind::Fresh, "2xx"), (Kind::BadSignature, "4xx")] {
        for _ in 0..PORTIONS {
            let tokens = bench.identities.mint(kind, &Pools { fresh: portion, ..bench.pools })?;
            send_all(bench, &running, &folder, &tokens, class).await?;
            if class == "2xx" {
                valid += portion;
            } else {
                invalid += portion;
            }
            let resident_mib = settled(&running).await?;
            println!("    {valid} valid, {invalid} invalid tokens   {resident_mib:.1} MiB");
            flood.push(Flood { valid, invalid, resident_mib });
        }
    }
    Ok(flood)
}

/// Sends each at least once.
async fn send_all(
    bench: &Bench,
    running: &Running,
    folder: &Path,
    tokens: &[String],
    class: &str,
) -> Result<(), Error> {
    let mut load = Load::new(folder, tokens, bench.cores.load_core, bench.connections)?;
    while !load.has_sent_all() {
        check::answers(class, &under_load(running, &mut load, SPAN).await?)?;
    }
    Ok(())
}
