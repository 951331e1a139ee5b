//! One measurement: start a contender, see that it decides as the others do, warm it up, load it, and see that what was
//! counted is what it is measured for.

use crate::check;
use crate::contender::{Contender, Servers};
use crate::cpu::Cores;
use crate::error::Error;
use crate::load::{Counted, Load, PATH};
use crate::servers::{Counts, Running, Setting};
use crate::tokens::{CONTEXT, Identities, OTHER_CONTEXT, Pools};
use scbte_host_tests::fixture::{Request, Tools, send};
use serde::Serialize;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After the load has ended, what servers still do for it.
const LAST_WORK: Duration = Duration::from_millis(50);
/// A path that the policy permits to somebody else only.
const OTHER_PATH: &str = "/api/v1/orders";
/// What who decides says to a good token that the policy denies.
const DENIED: RangeInclusive<u16> = 403..=403;

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
    /// Share of the core that the servers had. With less than all, something else was busy: the machine, or wrk.
    pub(crate) core_share: f64,
    /// The CPU time without what it adds, where that is not `none`'s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base_cpu_us: Option<f64>,
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
    /// Each has at most one request under way.
    pub(crate) connections: u64,
}

impl Loaded {
    /// CPU time per answer.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counts.all_answers() as f64
    }
}

impl Bench {
    /// Removes logs and keys of a run that went well.
    pub(crate) fn clean_up(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.folder).map_err(Error::file(&self.folder))
    }

    /// Measures a contender once, with its own base if it has one.
    pub(crate) async fn measure(&self, contender: Contender, round: usize) -> Result<Measurement, Error> {
        let tokens = self.identities.mint(contender.tokens(), &self.pools)?;
        let base_cpu_us = match contender.own_base() {
            Some(servers) => Some(self.base(contender, servers, &tokens).await?.cpu_us()),
            None => None,
        };
        let folder = self.folder_of(contender)?;
        let cores = self.cores.server_core.to_string();
        let mut running = Running::start(contender.servers(), &self.setting(&folder, &cores)).await?;
        self.probe(contender, &running, &tokens).await?;
        let loaded = self.load(&mut running, &folder, &tokens).await?;
        check::contender(contender, &loaded).map_err(|unlike| unlike.by(contender))?;
        Ok(Measurement {
            contender,
            round,
            requests: loaded.counts.all_answers(),
            requests_per_second: loaded.load.requests_per_second(),
            cpu_us: loaded.cpu_us(),
            core_share: loaded.load.requests_per_second() * loaded.cpu_us() / 1e6,
            base_cpu_us,
            p50_ms: loaded.load.p50_ms(),
            p99_ms: loaded.load.p99_ms(),
        })
    }

    async fn base(&self, contender: Contender, servers: Servers, tokens: &[String]) -> Result<Loaded, Error> {
        let folder = self.folder_of(contender)?;
        let cores = self.cores.server_core.to_string();
        let mut running = Running::start(servers, &self.setting(&folder, &cores)).await?;
        let loaded = self.load(&mut running, &folder, tokens).await?;
        check::answers("2xx", &loaded).map_err(|unlike| unlike.by(contender))?;
        Ok(loaded)
    }

    /// Warms servers up, and loads them.
    async fn load(&self, running: &mut Running, folder: &Path, tokens: &[String]) -> Result<Loaded, Error> {
        let mut load = Load::new(folder, tokens, self.cores.load_core, self.connections)?;
        load.run(running.port, self.warm_up).await?;
        let loaded = under_load(running, &mut load, self.span).await?;
        running.check()?;
        Ok(loaded)
    }

    fn folder_of(&self, contender: Contender) -> Result<PathBuf, Error> {
        let folder = self.folder.join(contender.name());
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        Ok(folder)
    }

    pub(crate) fn setting<'a>(&'a self, folder: &'a Path, cores: &'a str) -> Setting<'a> {
        let Self { tools, identities, policies, .. } = self;
        Setting { tools, folder, identities, cores, workers: 1, policies: *policies }
    }

    /// Counters know classes only, and a server that lets everything pass is fast: so one answer is looked at, and who
    /// decides is asked what it must refuse.
    async fn probe(&self, contender: Contender, running: &Running, tokens: &[String]) -> Result<(), Error> {
        let own = tokens.last().ok_or_else(|| Error::other("there is no token"))?;
        let get = |path| Request::get(path);
        let mut probes = vec![("a token of its own", get(PATH).bearer(own), contender.status()..=contender.status())];
        if contender.decides() {
            let [good, other] = [CONTEXT, OTHER_CONTEXT].map(|context| self.identities.token(context));
            let post = Request::post(PATH).bearer(&good);
            probes.extend([
                ("a good token", get(PATH).bearer(&good), 200..=200),
                ("another path", get(OTHER_PATH).bearer(&good), DENIED),
                ("another method", post, DENIED),
                ("another context", get(PATH).bearer(&other), DENIED),
                ("no token", get(PATH), 401..=403),
            ]);
        }
        for (what, request, expected) in probes {
            let found = send(running.port, &request).await?.status;
            if !expected.contains(&found) {
                let (expected, found) = (format!("{what}: status {}", range(&expected)), format!("status {found}"));
                return Err(Error::Unexpected { contender, expected, found });
            }
        }
        Ok(())
    }
}

fn range(of: &RangeInclusive<u16>) -> String {
    if of.start() == of.end() { of.start().to_string() } else { format!("{} to {}", of.start(), of.end()) }
}

/// Loads servers for some time, and counts; what was counted is to be checked.
pub(crate) async fn under_load(running: &Running, load: &mut Load, span: Duration) -> Result<Loaded, Error> {
    // Of an earlier load, too.
    tokio::time::sleep(LAST_WORK).await;
    let before = running.counts().await?;
    let cpu = running.cpu()?;
    let counted = load.run(running.port, span).await?;
    tokio::time::sleep(LAST_WORK).await;
    let cpu = running.cpu()?.since(&cpu)?;
    let counts = running.counts().await?.since(&before);
    Ok(Loaded { load: counted, counts, cpu, connections: load.connections() })
}
