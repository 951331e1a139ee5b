//! One measurement: start a contender, warm it up, load it, and see that every answer was the expected one.

use crate::contender::Contender;
use crate::cpu::Cores;
use crate::error::Error;
use crate::load::{Counted, Load, PATH};
use crate::servers::{Counts, Running, Setting};
use crate::tokens::{Identities, Pools};
use scbte_host_tests::fixture::{Request, Tools, send};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// After the load has ended, what servers still do for it.
const LAST_WORK: Duration = Duration::from_millis(50);

/// How measurements are made.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    pub(crate) identities: Identities,
    pub(crate) folder: PathBuf,
    pub(crate) pools: Pools,
    pub(crate) cores: Cores,
    pub(crate) policies: u32,
    pub(crate) connections: u32,
    pub(crate) warm_up: Duration,
    pub(crate) span: Duration,
}

/// What a contender cost in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    #[serde(serialize_with = "name")]
    pub(crate) contender: Contender,
    pub(crate) round: usize,
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// CPU time of all its servers, per request.
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

fn name<S: serde::Serializer>(contender: &Contender, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(contender.name())
}

/// What was counted under load.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) load: Counted,
    pub(crate) counts: Counts,
    pub(crate) cpu: Duration,
}

impl Loaded {
    /// CPU time per answer.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counts.all_answers() as f64
    }
}

impl Bench {
    /// Measures a contender once.
    pub(crate) async fn measure(&self, contender: Contender, round: usize) -> Result<Measurement, Error> {
        let folder = self.folder.join(contender.name());
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let tokens = self.identities.mint(contender.tokens(), &self.pools)?;
        let cores = self.cores.server_core.to_string();
        let mut running = Running::start(contender.servers(), &self.setting(&folder, &cores)).await?;
        self.probe(contender, &running, &tokens).await?;
        let mut load = Load::new(&folder, &tokens, self.cores.load_core, self.connections)?;
        load.run(running.port, self.warm_up).await?;
        let loaded = under_load(&running, &mut load, self.span).await?;
        running.check()?;
        check(contender, &loaded)?;
        Ok(Measurement {
            contender,
            round,
            requests: loaded.counts.all_answers(),
            requests_per_second: loaded.load.requests_per_second(),
            cpu_us: loaded.cpu_us(),
            p50_ms: loaded.load.p50_ms(),
            p99_ms: loaded.load.p99_ms(),
        })
    }

    pub(crate) fn setting<'a>(&'a self, folder: &'a std::path::Path, cores: &'a str) -> Setting<'a> {
        let Self { tools, identities, policies, .. } = self;
        Setting { tools, folder, identities, cores, workers: 1, policies: *policies }
    }

    /// Counters know classes only: so one answer is looked at; and, where a token is needed, one without it.
    async fn probe(&self, contender: Contender, running: &Running, tokens: &[String]) -> Result<(), Error> {
        let unlikely = |expected: u16, found: u16| Error::Unexpected {
            contender,
            expected: format!("status {expected}"),
            found: format!("status {found}"),
        };
        let token = tokens.last().ok_or_else(|| Error::other("there is no token"))?;
        let response = send(running.port, &Request::get(PATH).bearer(token)).await?;
        if response.status != contender.status() {
            return Err(unlikely(contender.status(), response.status));
        }
        let without = send(running.port, &Request::get(PATH)).await?.status;
        match contender {
            Contender::None | Contender::TrivialWasm => Ok(()),
            _ if (400..500).contains(&without) => Ok(()),
            _ => Err(unlikely(401, without)),
        }
    }
}

/// Loads servers for some time, and counts.
pub(crate) async fn under_load(running: &Running, load: &mut Load, span: Duration) -> Result<Loaded, Error> {
    let before = running.counts().await?;
    let cpu = running.cpu()?;
    let counted = load.run(running.port, span).await?;
    tokio::time::sleep(LAST_WORK).await;
    let ended = || Error::other("a thread of the servers ended meanwhile, and its time with it");
    let cpu = running.cpu()?.checked_sub(cpu).ok_or_else(ended)?;
    Ok(Loaded { load: counted, counts: running.counts().await?.since(&before), cpu })
}

fn check(contender: Contender, loaded: &Loaded) -> Result<(), Error> {
    let unexpected = |expected: &str, found: String| Error::Unexpected { contender, expected: expected.into(), found };
    let class = format!("{}xx", contender.status() / 100);
    let (all, expected) = (loaded.counts.all_answers(), loaded.counts.answers(&class));
    if all == 0 || all != expected {
        return Err(unexpected(&format!("answers of {class} only"), format!("{expected} of {all} answers")));
    }
    let refused = if contender.status() == 200 { 0 } else { loaded.load.requests };
    if loaded.load.refused != refused || loaded.load.broken != 0 {
        return Err(unexpected(&format!("{refused} refusals and nothing broken"), format!("{:?}", loaded.load)));
    }
    check_verified(contender.verified_by(), loaded).map_err(|(expected, found)| Error::Unexpected {
        contender,
        expected,
        found,
    })
}

/// Whether the filter verified every token so, by the label of its counter; else what was expected, and found.
pub(crate) fn check_verified(only: Option<&str>, loaded: &Loaded) -> Result<(), (String, String)> {
    let all = loaded.counts.all_answers();
    for label in ["hit", "chain_hit", "miss"] {
        let found = loaded.counts.verified_by(label);
        let may_be = only == Some(label);
        if !may_be && found > 0 {
            return Err((format!("no token verified by `{label}`"), format!("{found} of {all}")));
        }
        // Those on their way when the counters were read.
        if may_be && found.abs_diff(all) > all / 100 + 100 {
            return Err((format!("every token verified by `{label}`"), format!("{found} of {all}")));
        }
    }
    Ok(())
}
