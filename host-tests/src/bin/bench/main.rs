//! What a request costs: with the filter, with Envoy's own filters, with an OPA that is asked, and with a middleware;
//! each over none. `scripts/bench` builds what is needed and runs it; `growth` shows what the filter's cost depends on.
//!
//! One core is the servers', another the load generator's. However it ends, every process it started ends with it.

mod check;
mod contender;
mod cpu;
mod error;
mod goals;
mod growth;
mod lap;
mod load;
mod machine;
mod plot;
mod report;
mod round;
mod servers;
mod statistics;
mod tokens;

use clap::{Args, Parser, Subcommand};
use contender::Contender;
use error::Error;
use machine::Machine;
use report::{LOADED, Report};
use round::{Bench, Measurement};
use scbte_host_tests::fixture::{Tools, interrupted};
use statistics::Measured;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokens::{Identities, Pools};

/// Measures what a request costs, with the filter and with others
#[derive(Debug, Parser)]
#[command(name = "scbte-bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often each contender is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Only these contenders; `none` and those they are compared with run, too
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = Contender::parse)]
    only: Vec<Contender>,
    /// Name the contenders, and what each does not check
    #[arg(long)]
    list: bool,
    /// Only see whether these arguments will do
    #[arg(long, hide = true, global = true)]
    check: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures what the filter's cost, its memory and its start depend on
    Growth {
        /// Only these
        #[arg(value_name = "NAME,…", value_delimiter = ',')]
        only: Vec<growth::Name>,
        /// A million distinct tokens instead of 100,000
        #[arg(long)]
        long: bool,
        #[command(flatten)]
        how: How,
    },
}

impl Arguments {
    const fn how(&self) -> &How {
        match &self.command {
            Some(Command::Growth { how, .. }) => how,
            None => &self.how,
        }
    }
}

/// How measurements are made.
#[derive(Debug, Args)]
struct How {
    /// How long each measurement takes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
    seconds: u16,
    /// How long each is loaded before, so that V8 has optimised the module
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=60))]
    warm_up: u16,
    #[command(flatten)]
    pools: Pools,
    /// Policies of RBAC, of which the last one fits
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    policies: u32,
    /// Connections of the load generator
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    #[command(flatten)]
    cores: cpu::Cores,
    /// Where the results go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    results: PathBuf,
}

/// Roughly what starting a contender and minting its tokens takes.
const AROUND: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    if arguments.check {
        return match arguments.how().cores.check() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error),
        };
    }
    // Whichever comes first; what the other one holds is dropped, and with it every process.
    let ended = tokio::select! {
        ended = start(&arguments) => ended.map(|()| 0),
        signal = interrupted() => Ok(128 + signal),
    };
    match ended {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => {
            let results = arguments.how().results.display();
            eprintln!("interrupted: what is in {results} is of whole rounds or series, or of an earlier run");
            tell_of_logs(arguments.how());
            ExitCode::from(code)
        }
        Err(error) => {
            tell_of_logs(arguments.how());
            failure(&error)
        }
    }
}

fn failure(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// What is left of a run that did not come to its end.
fn tell_of_logs(how: &How) {
    let folder = run_folder(how);
    if fs::read_dir(&folder).is_ok_and(|mut found| found.next().is_some()) {
        eprintln!("what the servers said: {} (with the keys that this run made for itself)", folder.display());
    }
}

fn list() {
    for one in Contender::ALL {
        println!("{:<20} {}\n{:<20} does not check: {}", one.name(), one.description(), "", one.unchecked());
    }
}

async fn start(arguments: &Arguments) -> Result<(), Error> {
    match &arguments.command {
        None => run(arguments).await,
        Some(Command::Growth { only, long, how }) => {
            let bench = bench(how)?;
            let page = growth::run(&bench, only, *long, &how.results).await?;
            println!("\n{page}\n==> {}/growth.md, and beside it .json and .svg", how.results.display());
            bench.clean_up()
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let results = &arguments.how.results;
    let bench = bench(&arguments.how)?;
    let machine = Machine::find(&bench.tools.envoy, &bench.tools.wasm)?;
    let commit = machine::commit();
    let (wanted, left_out) = available(lap::with_peers(&arguments.only), &arguments.only)?;
    let rounds = usize::from(arguments.rounds);
    let laps: Vec<_> = (0..rounds).map(|round| lap::lap(round, &wanted)).collect();
    announce(&arguments.how, laps.iter().map(Vec::len).sum());
    let mut measurements = Vec::new();
    let mut page = String::new();
    for (round, lap) in laps.iter().enumerate() {
        println!("==> round {} of {rounds}", round + 1);
        for contender in lap {
            let measurement = bench.measure(*contender, round).await?;
            tell(&measurement);
            measurements.push(measurement);
        }
        // After each: what takes long may fail or be interrupted.
        let (rounds, measurements) = (round + 1, measurements.as_slice());
        let (machine, commit) = (&machine, commit.as_deref());
        page = Report { machine, bench: &bench, commit, rounds, measurements, left_out: &left_out }.write(results)?;
        plot::added_cpu(&Measured::new(measurements), &results.join("results.svg"))?;
    }
    println!("\n{page}\n==> {}/results.{{md,json,svg}}", results.display());
    bench.clean_up()
}

fn bench(how: &How) -> Result<Bench, Error> {
    how.cores.check()?;
    let folder = run_folder(how);
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    // Logs, and what callers and the companion prove themselves with: nobody else's.
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(Error::file(&folder))?;
    Ok(Bench {
        tools: Tools::find()?,
        identities: Identities::new()?,
        folder: std::path::absolute(&folder).map_err(Error::file(&folder))?,
        pools: how.pools,
        cores: how.cores,
        policies: how.policies,
        connections: how.connections,
        warm_up: Duration::from_secs(how.warm_up.into()),
        span: Duration::from_secs(how.seconds.into()),
    })
}

fn run_folder(how: &How) -> PathBuf {
    how.results.join("run")
}

/// What can run. Only the program of `ext-authz-opa` may be missing, and only where nobody asked for it by name.
fn available(wanted: Vec<Contender>, only: &[Contender]) -> Result<(Vec<Contender>, Vec<(Contender, String)>), Error> {
    let Err(error) = servers::ext_authz_program() else { return Ok((wanted, Vec::new())) };
    if only.contains(&Contender::ExtAuthzOpa) {
        return Err(error);
    }
    let is_missing = |one: &Contender| *one == Contender::ExtAuthzOpa;
    let (missing, rest): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_missing);
    missing.iter().for_each(|one| println!("left out: {} ({error})", one.name()));
    Ok((rest, missing.into_iter().map(|one| (one, error.to_string())).collect()))
}

fn announce(how: &How, measurements: usize) {
    let each = Duration::from_secs((how.seconds + how.warm_up).into()) + AROUND;
    let all = each * u32::try_from(measurements).unwrap_or(u32::MAX);
    let minutes = all.as_secs().div_ceil(60);
    println!("{measurements} measurements, about {minutes} {}", if minutes == 1 { "minute" } else { "minutes" });
}

fn tell(found: &Measurement) {
    let Measurement { contender, requests, requests_per_second, cpu_us, core_share, p50_ms, p99_ms, .. } = found;
    let idle = if *core_share < LOADED { format!("   only {core_share:.2} of the core") } else { String::new() };
    println!(
        "    {:<20} {cpu_us:>7.1} µs CPU   {requests_per_second:>8.0} requests/s   p50 {p50_ms:.2} ms   p99 {p99_ms:.2} ms   {requests} requests{idle}",
        contender.name()
    );
}
