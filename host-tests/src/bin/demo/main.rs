//! The demo: a real Envoy with the filter, the companion and an upstream, and a story of calls that are admitted or
//! refused. `scripts/demo` builds what is needed and runs it.
//!
//! Without arguments it tells the story and stays up; `--check` tells it, and fails when something in it is not as it
//! should be; `--up` only starts everything and stays up. However it ends, every process it started ends with it.

mod calls;
mod hints;
mod restart;
mod rotation;
mod tell;

use clap::Parser;
use scbte_host_tests::fixture::{Error, Ports, Stack, Tools, interrupted};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tell::Teller;

/// Shows SCBTE at work, with a real Envoy.
#[derive(Debug, Parser)]
#[command(name = "scbte-demo")]
struct Arguments {
    /// Tell the story, say whether all of it was as it should be, and exit
    #[arg(long, conflicts_with = "up")]
    check: bool,
    /// Start everything and stay up, without the story
    #[arg(long)]
    up: bool,
    /// Where keys and logs are kept
    #[arg(long, value_name = "FOLDER", default_value = "target/demo")]
    state_dir: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let up = Cell::new(false);
    // Whichever comes first; what the other one holds is dropped, and with it every process.
    let ended = tokio::select! {
        ended = run(&arguments, &up) => ended,
        signal = interrupted() => Ok(if up.get() { 0 } else { 128 + signal }),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exit code; while everything is up it does not end.
async fn run(arguments: &Arguments, up: &Cell<bool>) -> Result<u8, Error> {
    let mut teller = Teller::new();
    let mut stack = start(&arguments.state_dir, &teller).await?;
    if !arguments.up {
        calls::tell(&stack, &mut teller).await?;
        rotation::tell(&stack, &mut teller).await?;
        restart::tell(&mut stack, &mut teller).await?;
        teller.sum_up();
    }
    if arguments.check {
        return Ok(u8::from(!teller.all_is_well()));
    }
    hints::tell(&stack.ports, &arguments.state_dir, &teller);
    up.set(true);
    std::future::pending().await
}

async fn start(folder: &Path, teller: &Teller) -> Result<Stack, Error> {
    let began = Instant::now();
    // Before anything is started: a part that cannot listen would leave the others half alive.
    let ports = Ports::from_environment()?;
    let stack = Stack::builder(Tools::find()?).ports(ports).start(folder).await?;
    teller
        .title("SCBTE: an upstream behind Envoy, with the filter, and a companion with the trust domain cluster.local");
    teller.note(&format!("started in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(stack)
}
