//! The real OPA, run as a server on a Unix socket.

use crate::json;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// OPA's language version, for all modules of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    V0,
    V1,
}

/// Policies and data as files.
pub(crate) struct Files {
    folder: TempDir,
    language: Language,
}

/// Why OPA refuses a file: its first error's code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpaRefusal {
    pub(crate) code: String,
    pub(crate) message: String,
    /// After so many times without what was refused before; without its siblings a module may be refused as well.
    pub(crate) round: usize,
}

/// What OPA says to one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Undefined,
    /// The value, its numbers as [`json::exact`] writes them.
    Value(Json),
    /// A conflict, say.
    Error(String),
}

/// The program named by the variable `OPA_PATH`, else the one that `scripts/setup` links.
fn program() -> PathBuf {
    let linked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/opa");
    let program = std::env::var_os("OPA_PATH").map_or(linked, PathBuf::from);
    assert!(program.exists(), "there is no OPA at {}: run ./scripts/setup opa, or set OPA_PATH", program.display());
    program
}

impl OpaRefusal {
    /// Under the same code OPA reports conflicts and functions that there are not.
    pub(crate) fn is_of_types(&self) -> bool {
        let of_types = ["invalid argument", "match error", "undefined ref: "];
        self.code == "rego_type_error" && of_types.iter().any(|part| self.message.contains(part))
    }
}

impl Files {
    /// Writes the modules, by their names, and the data.
    pub(crate) fn write<'a>(
        language: Language,
        modules: impl Iterator<Item = (&'a str, &'a str)>,
        data: &Json,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, rego) in modules {
            std::fs::write(folder.path().join(name), rego).unwrap();
        }
        std::fs::write(folder.path().join("data.json"), data.to_string()).unwrap();
        Self { folder, language }
    }

    /// Deletes the modules that OPA refuses, and says why. Each stage of its compiler stops at its first errors, so this
    /// asks until nothing is left.
    pub(crate) fn refused(&self) -> BTreeMap<String, OpaRefusal> {
        let mut all = BTreeMap::new();
        for round in 0.. {
            let refused = self.check(round);
            if refused.is_empty() {
                break;
            }
            for name in refused.keys() {
                std::fs::remove_file(self.folder.path().join(name)).unwrap();
            }
            all.extend(refused);
        }
        all
    }

    fn check(&self, round: usize) -> BTreeMap<String, OpaRefusal> {
        #[derive(Deserialize)]
        struct Report {
            errors: Vec<Error>,
        }
        #[derive(Deserialize)]
        struct Error {
            message: String,
            code: String,
            location: Place,
        }
        #[derive(Deserialize)]
        struct Place {
            file: PathBuf,
        }
        let mut command = self.command("check");
        let output = command.args(["--format=json", "--max-errors=100000"]).arg(self.folder.path()).output().unwrap();
        if output.status.success() {
            return BTreeMap::new();
        }
        let report: Report = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let errors = report.errors.into_iter().rev().map(|error| {
            let name = error.location.file.file_name().unwrap().to_str().unwrap().to_owned();
            (name, OpaRefusal { code: error.code, message: error.message, round })
        });
        let mut errors: Vec<_> = errors.collect();
        // Where a type does not fit, OPA says of what depends on it that it is not there.
        errors.sort_by_key(|(_, refusal)| refusal.is_of_types());
        errors.into_iter().collect()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program());
        command.arg(name);
        if self.language == Language::V0 {
            command.arg("--v0-compatible");
        }
        command
    }

    /// Serves what is there.
    pub(crate) fn serve(self) -> Opa {
        let socket = self.folder.path().join("opa.sock");
        let log = std::fs::File::create(self.folder.path().join("opa.log")).unwrap();
        let mut command = self.command("run");
        command.args(["--server", "--log-level=error", "--skip-version-check", "--addr"]);
        command.arg(format!("unix://{}", socket.display())).arg(self.folder.path().join("data.json"));
        let mut names: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "rego"));
        command.args(names).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        let mut opa = Opa { process, socket, connection: None, files: self };
        opa.wait();
        opa
    }
}

/// A running OPA; ends when dropped.
pub(crate) struct Opa {
    process: Child,
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
    files: Files,
}

impl Opa {
    /// Asks for the value of a rule, for example `data.scbte.allow`.
    pub(crate) fn ask(&mut self, entrypoint: &str, input: &Map<String, Json>) -> Answer {
        #[derive(Deserialize)]
        struct Failure {
            message: String,
            #[serde(default)]
            errors: Vec<Map<String, Json>>,
        }
        let path = entrypoint.replace('.', "/");
        let body = format!(r#"{{"input":{}}}"#, Json::Object(input.clone()));
        let (status, answer) = self.post(&format!("/v1/{path}"), &body);
        if status != 200 {
            let failure: Failure = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
            let messages: Vec<&str> = failure.errors.iter().filter_map(|error| error["message"].as_str()).collect();
            return Answer::Error(format!("{}: {}", failure.message, messages.join("; ")));
        }
        match json::exact(&answer)["result"].take() {
            Json::Null if !answer.contains("\"result\"") => Answer::Undefined,
            value => Answer::Value(value),
        }
    }

    /// HTTP/1.0: an answer without a length ends with the connection.
    fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let mut connection = self.connection.take().unwrap_or_else(|| self.connect().unwrap());
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.get_mut().write_all((head + body).as_bytes()).unwrap();
        let (mut status, mut length) = (0, None);
        loop {
            let mut line = String::new();
            connection.read_line(&mut line).unwrap();
            match line.trim_end().split_once([' ', ':']) {
                None => break,
                Some((version, rest)) if version.starts_with("HTTP/") => status = rest[..3].parse().unwrap(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse().unwrap());
                }
                Some(_) => {}
            }
        }
        let mut answer = Vec::new();
        match length {
            Some(length) => {
                answer.resize(length, 0);
                connection.read_exact(&mut answer).unwrap();
                self.connection = Some(connection);
            }
            None => drop(connection.read_to_end(&mut answer).unwrap()),
        }
        (status, String::from_utf8(answer).unwrap())
    }

    fn connect(&self) -> std::io::Result<BufReader<UnixStream>> {
        UnixStream::connect(&self.socket).map(BufReader::new)
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.connection.is_none() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "OPA does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
            self.connection = self.connect().ok();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.files.folder.path().join("opa.log")).unwrap_or_default()
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
