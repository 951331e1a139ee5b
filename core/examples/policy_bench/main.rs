//! What a policy costs: the time of a decision, its instructions, the time and the memory to load it.
//!
//! `scripts/bench-policy` builds this for the machine it runs on and, with the filter's own features, for wasm, and
//! calls it once for each engine, case and round. It prints a line of JSON each time ([`round::Round`]); `report` makes
//! the tables of those lines. An engine that decides a request otherwise than expected ends it with an error.

mod cases;
#[cfg(feature = "policy-tools")]
mod count;
mod engine;
mod interpreter;
mod machine;
mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod opa;
mod report;
mod round;
mod stopwatch;

use cases::{CASES, Case};
use round::Round;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: policy_bench cases
       policy_bench instructions|machine|interpreter|opa CASE MILLISECONDS
       policy_bench report FOLDER NOTE…    (of FOLDER/rounds.jsonl; writes policy.md and policy.json there)";

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(output) => {
            println!("{output}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("policy_bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<String> {
    match arguments {
        ["cases"] => Ok(CASES.map(|(name, _)| name).join("\n")),
        ["report", folder, notes @ ..] => report::write(folder.as_ref(), notes),
        [engine, case, time] => {
            let time = time.parse().map_err(|_| USAGE)?;
            let round = play(engine, &cases::find(case)?, Duration::from_millis(time));
            Ok(round.map_err(|problem| format!("{engine}, {case}: {problem}"))?.line())
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn play(engine: &str, case: &Case, time: Duration) -> Outcome<Round> {
    match engine {
        #[cfg(feature = "policy-tools")]
        "instructions" => count::play(case),
        "machine" => engine::play::<machine::Machine<'_>>(case, time),
        "interpreter" => engine::play::<interpreter::Interpreter>(case, time),
        #[cfg(not(target_arch = "wasm32"))]
        "opa" => opa::play(case),
        _ => Err(format!("there is no such engine here\n{USAGE}")),
    }
}
