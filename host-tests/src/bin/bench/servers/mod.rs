//! The servers of a contender: started fresh for each measurement, all on one core, all counted.

mod bare;
mod ext_authz;
mod filter;
mod middleware;
mod native;

use crate::contender::Servers;
use crate::cpu::{RunTimes, pinned, resident};
use crate::error::Error;
use crate::tokens::Identities;
use scbte_host_tests::fixture::{Envoy, EnvoyConfig, Ports, Process, Request, Stack, Tools, eventually, send};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use ext_authz::program as ext_authz_program;
pub(crate) use filter::Settings;
pub(crate) use middleware::{opa_program, program as middleware_program};

/// How long a server other than Envoy may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What servers are started from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) folder: &'a Path,
    pub(crate) identities: &'a Identities,
    /// As `taskset` reads them.
    pub(crate) cores: &'a str,
    pub(crate) workers: u32,
    /// Policies of RBAC.
    pub(crate) policies: u32,
}

/// Running servers. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where requests go.
    pub(crate) port: u16,
    /// Until Envoy was ready, or the server answered.
    pub(crate) started_in: Duration,
    processes: Vec<u32>,
    counter: Counter,
    // Ended in this order.
    envoy: Option<Envoy>,
    others: Vec<Process>,
    _stack: Stack,
}

/// Who counts answers.
#[derive(Clone, Copy, Debug)]
enum Counter {
    EnvoyAdmin(u16),
    Middleware(u16),
}

/// Answers by class of their status, and how the filter verified tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Running {
    /// Starts what a contender is made of.
    pub(crate) async fn start(servers: Servers, setting: &Setting<'_>) -> Result<Self, Error> {
        match servers {
            Servers::Bare => bare::start(setting).await,
            Servers::Trivial => filter::start_trivial(setting).await,
            Servers::Scbte => filter::start(setting, &Settings::default()).await,
            Servers::Native { cache } => native::start(setting, cache).await,
            Servers::ExtAuthz => ext_authz::start(setting).await,
            Servers::Middleware => middleware::start(setting).await,
            Servers::OpenMiddleware => middleware::start_open(setting).await,
        }
    }

    /// Starts Envoy with the filter, set up otherwise than for the usual round.
    pub(crate) async fn start_filter(setting: &Setting<'_>, settings: &Settings) -> Result<Self, Error> {
        filter::start(setting, settings).await
    }

    /// The time that all servers have run.
    pub(crate) fn cpu(&self) -> Result<RunTimes, Error> {
        RunTimes::of(&self.processes)
    }

    /// The resident memory of all servers, in KiB.
    pub(crate) fn memory(&self) -> Result<u64, Error> {
        self.processes.iter().map(|process| resident(*process)).sum()
    }

    /// What has been counted so far.
    pub(crate) async fn counts(&self) -> Result<Counts, Error> {
        match self.counter {
            Counter::EnvoyAdmin(port) => {
                let text = send(port, &Request::get("/stats?filter=scbte")).await?.text();
                Ok(text.lines().filter_map(line).collect())
            }
            Counter::Middleware(port) => {
                let response = send(port, &Request::get("/served")).await?;
                serde_json::from_slice(&response.body).map(Counts).map_err(Error::other)
            }
        }
    }

    /// Fails when a server has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let envoy = self.envoy.iter_mut().map(Envoy::process);
        Ok(envoy.chain(&mut self.others).try_for_each(Process::check_running)?)
    }
}

impl Counts {
    /// Answers of a class: `2xx` for example.
    pub(crate) fn answers(&self, class: &str) -> u64 {
        // Envoy's name, or the middleware's.
        [format!("http.scbte_data.downstream_rq_{class}"), class.to_owned()].iter().map(|name| self.of(name)).sum()
    }

    /// All answers.
    pub(crate) fn all_answers(&self) -> u64 {
        ["2xx", "3xx", "4xx", "5xx"].into_iter().map(|class| self.answers(class)).sum()
    }

    /// Tokens that the filter verified so: `hit`, `chain_hit` or `miss`.
    pub(crate) fn verified_by(&self, label: &str) -> u64 {
        self.of(&format!("wasmcustom.result=.={label};.;scbte_token_cache_total"))
    }

    /// Requests that the filter decided with a reason; `none` where it admitted them.
    pub(crate) fn decided(&self, reason: &str) -> u64 {
        let is_one =
            |name: &str| name.ends_with(";.;scbte_requests_total") && name.contains(&format!("reason=.={reason};.;"));
        self.0.iter().filter(|(name, _)| is_one(name)).map(|(_, count)| count).sum()
    }

    /// Tokens that Envoy's `jwt_authn` found in its cache.
    pub(crate) fn jwt_cache_hits(&self) -> u64 {
        self.of("http.scbte_data.jwt_authn.jwt_cache_hit")
    }

    /// What was counted since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(name, count)| (name.clone(), count.saturating_sub(before.of(name)))).collect())
    }

    fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl FromIterator<(String, u64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

fn line(text: &str) -> Option<(String, u64)> {
    let (name, value) = text.rsplit_once(": ")?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// A stack of an Envoy that answers by itself, which is not started yet; `edit` makes it a contender's.
async fn stack(
    setting: &Setting<'_>,
    ports: Ports,
    edit: impl FnOnce(&mut EnvoyConfig) -> Result<(), scbte_host_tests::fixture::Error> + 'static,
) -> Result<Stack, Error> {
    let builder = Stack::builder(setting.tools.clone()).ports(ports).without_companion().without_envoy();
    Ok(builder.edit(bare::without_upstream).edit(edit).start(setting.folder).await?)
}

/// Starts a stack's Envoy; the others are its helpers.
async fn start_envoy(setting: &Setting<'_>, stack: Stack, others: Vec<Process>) -> Result<Running, Error> {
    let began = Instant::now();
    let command = pinned(setting.cores, &setting.tools.envoy);
    let log = setting.folder.join("envoy.log");
    let admin = stack.ports.envoy_admin;
    let mut envoy = Envoy::run(command, setting.workers, &stack.config_file(), admin, &log).await?;
    let started_in = began.elapsed();
    let processes = others.iter().map(Process::id).chain([envoy.process().id()]).collect();
    let (port, counter) = (stack.ports.data, Counter::EnvoyAdmin(admin));
    Ok(Running { port, started_in, processes, counter, envoy: Some(envoy), others, _stack: stack })
}

/// Starts an OPA, or an OPA with the plugin, and waits until it is ready. `health`: where it says so.
async fn start_opa(setting: &Setting<'_>, program: &Path, health: u16, arguments: &[String]) -> Result<Process, Error> {
    let mut command = clean(pinned(setting.cores, program));
    command.args(["run", "--server", "--log-level", "error", "--skip-version-check"]).args(arguments);
    command.arg("--addr").arg(format!("127.0.0.1:{health}"));
    let mut process = Process::start("OPA", command, &setting.folder.join("opa.log"))?;
    answers("OPA to be ready", &mut process, health, "/health").await?;
    Ok(process)
}

/// Waits until a server answers 200.
async fn answers(what: &str, process: &mut Process, port: u16, path: &str) -> Result<(), Error> {
    let request = Request::get(path);
    eventually(what, READY_WITHIN, async || {
        process.check_running()?;
        Ok(match send(port, &request).await {
            Ok(response) if response.status == 200 => Ok(()),
            Ok(response) => Err(response.text()),
            Err(error) => Err(error.to_string()),
        })
    })
    .await?;
    Ok(())
}

/// Only PATH of the environment, for `taskset`: no setting of somebody's reaches a server.
fn clean(mut command: Command) -> Command {
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command
}

/// What a variable names, else something in `target`.
pub(crate) fn tool(what: &str, variable: &str, name: &str, remedy: &str) -> Result<PathBuf, Error> {
    let path = env::var_os(variable).map_or_else(|| Path::new("target").join(name), PathBuf::from);
    if !path.exists() {
        return Err(Error::Other(format!("there is no {what} at `{}`: {remedy}", path.display())));
    }
    std::path::absolute(&path).map_err(Error::file(&path))
}

/// Puts a filter where SCBTE's is.
fn replace_filter(config: &mut EnvoyConfig, filters: &[Value]) -> Result<(), scbte_host_tests::fixture::Error> {
    bare::without_filter(config)?.splice(0..0, filters.iter().cloned());
    Ok(())
}

/// Ports that the stack has no use for, without a companion.
fn spare(ports: &Ports) -> (u16, u16) {
    (ports.token, ports.admin)
}
