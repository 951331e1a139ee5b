//! What the filter's cost depends on: series of one quantity, each point beside a bare Envoy with the same tokens; and
//! its memory and its start.

mod case;
mod memory;
mod plot;
mod report;
mod start;

use crate::check;
use crate::error::Error;
use crate::load::Load;
use crate::machine::Machine;
use crate::report::spread;
use crate::round::{Bench, Loaded, under_load};
use crate::servers::{Running, Setting};
use crate::statistics::Spread;
use crate::tokens::Pools;
use case::Case;
use clap::ValueEnum;
use memory::Memory;
use serde::{Deserialize, Serialize};
use start::Start;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How often a point is measured.
const PAIRS: usize = 3;

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    TokenSize,
    ChainLength,
    Grants,
    TrustDomains,
    DistinctTokens,
    Workers,
    Memory,
    Start,
}

/// One quantity, varied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    name: Name,
    /// What is on the horizontal axis.
    quantity: String,
    lines: Vec<Line>,
}

/// The points of one kind of request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    name: String,
    points: Vec<Point>,
}

/// What was measured at one value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    x: u32,
    /// Over a bare Envoy with the same tokens, measured just before.
    added_cpu_us: Spread,
    cpu_us: Spread,
    /// Length of a token in bytes.
    token_bytes: usize,
    /// Resident memory of Envoy with the filter, after the load.
    resident_mib: f64,
}

/// Everything that was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Growth {
    machine: Machine,
    seconds: u64,
    long: bool,
    pools: Pools,
    series: Vec<Series>,
    memory: Option<Memory>,
    start: Option<Start>,
}

/// Measures what was asked for, or everything, and writes `growth.json`, `.md` and `.svg`; returns the page. What was not
/// asked for is kept from an earlier run, if that was of the same programs on the same machine, measured the same way.
pub(crate) async fn run(bench: &Bench, only: &[Name], long: bool, results: &Path) -> Result<String, Error> {
    let is_wanted = |name: &Name| only.is_empty() || only.contains(name);
    let machine = Machine::find(&bench.tools.envoy, &bench.tools.wasm)?;
    let (seconds, pools) = (bench.span.as_secs(), bench.pools);
    let mut growth = Growth { machine, seconds, long, pools, series: Vec::new(), memory: None, start: None };
    if !only.is_empty() {
        growth = growth.beside(earlier(results)?).ok_or_else(|| unlike(results))?;
    }
    let mut page = String::new();
    for name in Name::value_variants().iter().copied().filter(is_wanted) {
        match name {
            Name::Memory => growth.memory = Some(memory::measure(bench, long).await?),
            Name::Start => growth.start = Some(start::measure(bench).await?),
            _ => growth.put(series(bench, name, long).await?),
        }
        // After each: what takes long may be interrupted.
        page = report::write(&growth, results)?;
    }
    Ok(page)
}

fn unlike(results: &Path) -> Error {
    let file = results.join("growth.json");
    Error::other(format!(
        "{} is of another machine, of other programs, or was measured otherwise: remove it, measure everything, or name \
         another folder with --results",
        file.display()
    ))
}

/// What is there; some of it took an hour, so what cannot be read is not taken for nothing.
fn earlier(results: &Path) -> Result<Option<Growth>, Error> {
    let file = results.join("growth.json");
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| unlike(results)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(&file)(error)),
    }
}

impl Growth {
    /// What an earlier run found, to be added to; none where it was of something else.
    fn beside(self, earlier: Option<Self>) -> Option<Self> {
        match earlier {
            None => Some(self),
            Some(earlier) => Some(earlier).filter(|earlier| earlier.is_like(&self)),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let how = |growth: &Self| (growth.seconds, growth.long, growth.pools);
        self.machine == other.machine && how(self) == how(other)
    }

    fn put(&mut self, series: Series) {
        self.series.retain(|earlier| earlier.name != series.name);
        self.series.push(series);
        self.series.sort_by_key(|series| series.name);
    }
}

async fn series(bench: &Bench, name: Name, long: bool) -> Result<Series, Error> {
    let plan = case::plan(name, long);
    println!("==> {}", plan.quantity);
    let mut lines = Vec::new();
    for line in plan.lines {
        let mut points = Vec::new();
        let label = case::label(name, *line);
        for x in plan.values {
            let point = point(bench, &Case::new(bench, name, *line, *x)?, *x).await?;
            let (added, resident) = (spread(Some(point.added_cpu_us), 1), point.resident_mib);
            println!("    {label:<10} {x:>9}   {added} µs added, {resident:.0} MiB");
            points.push(point);
        }
        lines.push(Line { name: label.to_owned(), points });
    }
    Ok(Series { name, quantity: plan.quantity.to_owned(), lines })
}

/// The bare Envoy and the one with the filter run side by side, and are loaded in turn: what else the machine does meets
/// both.
async fn point(bench: &Bench, case: &Case, x: u32) -> Result<Point, Error> {
    let cores = bench.cores.server_core.to_string();
    let (bare_folder, folder) = (folder(bench, "none")?, folder(bench, "filter")?);
    let setting = Setting { workers: case.workers, ..bench.setting(&bare_folder, &cores) };
    let bare = Running::start(crate::contender::Servers::Bare, &setting).await?;
    let setting = Setting { folder: &folder, ..setting };
    let filter = Running::start_filter(&setting, &case.settings).await?;

    let mut bare_load = warm(bench, &bare, &bare_folder, &case.tokens).await?;
    let mut load = warm(bench, &filter, &folder, &case.tokens).await?;
    let (mut added, mut all) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let base = measure(bench, &bare, &mut bare_load).await?.cpu_us();
        let loaded = measure(bench, &filter, &mut load).await?;
        check::verified(Some(case.verified_by), &loaded)?;
        added.push(loaded.cpu_us() - base);
        all.push(loaded.cpu_us());
    }
    let token_bytes = case.tokens.first().map_or(0, String::len);
    let spread = |values: Vec<f64>| Spread::of(values).ok_or_else(|| Error::other("nothing was measured"));
    Ok(Point {
        x,
        added_cpu_us: spread(added)?,
        cpu_us: spread(all)?,
        token_bytes,
        resident_mib: mib(filter.memory()?),
    })
}

/// A load of which each token was seen.
async fn warm(bench: &Bench, running: &Running, folder: &Path, tokens: &[String]) -> Result<Load, Error> {
    let mut load = Load::new(folder, tokens, bench.cores.load_core, bench.connections)?;
    load.run(running.port, bench.warm_up).await?;
    while !load.has_sent_all() {
        load.run(running.port, bench.warm_up).await?;
    }
    Ok(load)
}

/// Loads, and sees that every answer was 200.
async fn measure(bench: &Bench, running: &Running, load: &mut Load) -> Result<Loaded, Error> {
    let loaded = under_load(running, load, bench.span).await?;
    check::answers("2xx", &loaded)?;
    Ok(loaded)
}

fn folder(bench: &Bench, name: &str) -> Result<PathBuf, Error> {
    let folder = bench.folder.join("growth").join(name);
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    Ok(folder)
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_again_takes_the_place_of_what_was_before() {
        let of = |name, quantity: &str| Series { name, quantity: quantity.into(), lines: Vec::new() };
        let series = vec![of(Name::Grants, "old"), of(Name::Workers, "other")];
        let machine = serde_json::from_value(serde_json::json!({
            "cpu": "a", "cores": 2, "kernel": "b", "envoy": "c", "filter_bytes": 1, "versions": {},
        }));
        let pools = Pools { hot: 1, fresh: 2, svids: 3 };
        let machine = machine.unwrap();
        let mut growth = Growth { machine, seconds: 5, long: false, pools, series, memory: None, start: None };
        growth.put(of(Name::TokenSize, "new"));
        growth.put(of(Name::Grants, "new"));
        let found: Vec<_> = growth.series.iter().map(|series| (series.name, series.quantity.as_str())).collect();
        assert_eq!(found, [(Name::TokenSize, "new"), (Name::Grants, "new"), (Name::Workers, "other")]);

        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(earlier(folder.path()), Ok(None)));
        fs::write(folder.path().join("growth.json"), "{}").unwrap();
        assert!(earlier(folder.path()).is_err_and(|error| error.to_string().contains("remove it")));

        let mut other: Growth = serde_json::from_str(&serde_json::to_string(&growth).unwrap()).unwrap();
        assert!(growth.is_like(&other));
        other.long = true;
        assert!(!growth.is_like(&other));
        other.long = false;
        other.machine.filter_bytes = 2;
        assert!(!growth.is_like(&other));
    }
}
