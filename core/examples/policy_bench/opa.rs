//! The real OPA, by its own benchmark: the query prepared, the input parsed beforehand.

use crate::Outcome;
use crate::cases::{Case, Request, Verdict};
use crate::engine::check;
use crate::memory;
use crate::round::{Measured, Memory, Round};
use scbte_core::policy::PolicySource;
use serde::Deserialize;
use serde_json::Value as Json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A case as files. The variable `OPA_PATH` names the program.
struct Opa {
    program: OsString,
    folder: TempDir,
}

/// It measures each request for about a second: that cannot be set.
pub(crate) fn play(case: &Case) -> Outcome<Round> {
    let opa = Opa::new(case)?;
    let mut round = Round::of(case, "opa");
    for request in &case.requests {
        opa.write("input.json", &serde_json::to_string(&request.document()).unwrap_or_default())?;
        let load_ms = opa.check(request)?;
        let (nanoseconds, memory) = opa.bench()?;
        round.requests.push(Measured::new(request.name, nanoseconds));
        round.load_ms.get_or_insert(load_ms);
        let most = round.memory.map_or(memory, |known| known.most.max(memory));
        round.memory = Some(Memory { before: 0, most });
    }
    Ok(round)
}

impl Opa {
    fn new(case: &Case) -> Outcome<Self> {
        let program = std::env::var_os("OPA_PATH").ok_or("OPA_PATH does not name an OPA")?;
        let opa = Self { program, folder: tempfile::tempdir().map_err(|error| error.to_string())? };
        opa.write("policy.rego", &case.rego)?;
        opa.write("data.json", &case.data)?;
        Ok(opa)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Outcome<()> {
        std::fs::write(self.path(name), text).map_err(|error| format!("{name}: {error}"))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([name, "--format=json"]);
        for file in ["policy.rego", "data.json"] {
            command.arg("--data").arg(self.path(file));
        }
        command.arg("--input").arg(self.path("input.json"));
        command.arg(PolicySource::DEFAULT_ENTRYPOINT);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Whether it decides as expected; the milliseconds that it took to read and compile the policy.
    fn check(&self, request: &Request) -> Outcome<f64> {
        const LOADING: [&str; 2] = ["timer_rego_load_files_ns", "timer_rego_module_compile_ns"];
        let output = self.command("eval").arg("--metrics").output().map_err(|error| error.to_string())?;
        let answer: Json = read(&output.stdout, &output.stderr)?;
        let value = &answer["result"][0]["expressions"][0]["value"];
        let verdict = Verdict::of_value(value).ok_or_else(|| format!("no decision: {answer}"))?;
        check(request.name, &request.verdict, &verdict)?;
        Ok(LOADING.iter().filter_map(|timer| answer["metrics"][timer].as_f64()).sum::<f64>() / 1e6)
    }

    /// Nanoseconds of a decision, and bytes of memory.
    fn bench(&self) -> Outcome<(f64, u64)> {
        #[derive(Deserialize)]
        struct Result {
            #[serde(rename = "N")]
            evaluations: f64,
            #[serde(rename = "T")]
            nanoseconds: f64,
        }
        let mut command = self.command("bench");
        // Without what itself costs time, and with what saves it.
        command.args(["--metrics=false", "--benchmem=false", "--optimize-store-for-read-speed"]);
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let memory = watch(&mut process);
        let output = process.wait_with_output().map_err(|error| error.to_string())?;
        let result: Result = read(&output.stdout, &output.stderr)?;
        Ok((result.nanoseconds / result.evaluations, memory))
    }
}

/// Waits for the end, and gives the most memory that was seen.
fn watch(process: &mut Child) -> u64 {
    let id = process.id().to_string();
    let mut most = 0;
    while matches!(process.try_wait(), Ok(None)) {
        most = memory::most_of(&id).unwrap_or(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

fn read<T: for<'a> Deserialize<'a>>(output: &[u8], errors: &[u8]) -> Outcome<T> {
    serde_json::from_slice(output)
        .map_err(|error| format!("{error}: {}{}", String::from_utf8_lossy(output), String::from_utf8_lossy(errors)))
}
