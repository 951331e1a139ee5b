//! The SCBTE companion and its command line.
//!
//! [`app`] shows how the companion's parts fit together; each subcommand is a file in [`commands`].
#![forbid(unsafe_code)]

mod admin_api;
mod allow_list;
mod app;
mod certificate_summary;
mod clock;
mod commands;
mod control_client;
mod dev_ca;
mod dev_source;
mod dev_state;
mod envelope_key;
mod envelopes;
mod guards;
mod http_client;
mod identity;
mod listen;
mod logging;
mod metrics;
mod minter;
mod policy_bundle;
mod policy_files;
mod policy_limits;
mod policy_source;
mod problem;
mod readiness;
mod reconciler;
mod serve;
mod settings;
mod state;
mod subject;
mod token_api;
mod token_request;
mod words;
mod workload_api;

use clap::Parser as _;
use commands::{Command, Output};
use std::io::Write as _;
use std::process::ExitCode;

/// SCBTE: tokens that say who calls and what for, checked inside Envoy without a call to anybody
#[derive(clap::Parser)]
#[command(version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let result = Cli::parse().command.execute();
    match result.and_then(|output| print(&output).map(|()| output.success)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is::<commands::Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn print(output: &Output) -> commands::Result<()> {
    match std::io::stdout().lock().write_all(output.text.as_bytes()) {
        // Whoever read it has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
