//! Starts companions on free ports, speaks HTTP to them, runs commands.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The identity that test companions mint as.
pub(crate) const API_GATEWAY: &str = "spiffe://cluster.local/ns/production/sa/api-gateway";
/// A dev trust domain's, for [`API_GATEWAY`].
const DEV_IDENTITY: [&str; 4] = ["--dev-trust-domain", "cluster.local", "--spiffe-id", API_GATEWAY];
/// A request for a token.
pub(crate) const TOKEN_REQUEST: &str = r#"{"aud":"api.production.svc.cluster.local","ctx":"read:users"}"#;

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Printed {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs `scbte` with these arguments and nothing on standard input.
pub(crate) fn scbte<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Printed {
    scbte_with("", arguments)
}

/// Runs `scbte` with a text on standard input.
pub(crate) fn scbte_with<A: AsRef<std::ffi::OsStr>>(input: &str, arguments: impl IntoIterator<Item = A>) -> Printed {
    let mut child =
        command().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who does not read it has ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Printed {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Printed {
    /// Standard output of a command that must have gone well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }
}

/// The program, without settings from the tester's environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scbte"));
    let is_setting = |name: &str| name.starts_with("SCBTE_") || name.starts_with("SPIFFE_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// A running companion; it ends with this value.
pub(crate) struct Companion {
    child: Child,
    lines: Receiver<Value>,
    /// Its state folder.
    pub(crate) state: PathBuf,
    /// Where its token API listens.
    pub(crate) token_api: String,
    /// Where its admin API listens.
    pub(crate) admin_api: String,
    _root: Option<TempDir>,
}

impl Companion {
    /// Starts one with a new state folder.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        let mut companion = Self::start_in(&state, arguments);
        companion._root = Some(root);
        companion
    }

    /// Starts one with this state folder.
    pub(crate) fn start_in(state: &Path, arguments: &[&str]) -> Self {
        Self::start_as(&DEV_IDENTITY, state, arguments)
    }

    /// Starts one whose identity comes from what `identity` names.
    pub(crate) fn start_as(identity: &[&str], state: &Path, arguments: &[&str]) -> Self {
        Self::start_command(run_command(identity, state, arguments), state)
    }

    /// Starts one by a whole command, which must ask for JSON logs.
    pub(crate) fn start_command(command: Command, state: &Path) -> Self {
        let (child, lines) = spawn(command);
        let mut companion = Self {
            child,
            lines,
            state: state.to_owned(),
            token_api: String::new(),
            admin_api: String::new(),
            _root: None,
        };
        companion.token_api = companion.address("token API listens");
        companion.admin_api = companion.address("admin API listens");
        companion
    }

    fn address(&self, message: &str) -> String {
        self.wait_for_line(message)["address"].as_str().unwrap().to_owned()
    }

    /// Waits for a log line with this message.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, message: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line `{message}`"));
            if line["message"] == message {
                return line;
            }
        }
    }

    /// All log lines so far that nobody waited for.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    /// `POST /token` with a good request.
    pub(crate) fn token(&self) -> String {
        let answer = self.post_token(TOKEN_REQUEST);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// `POST /token` with a body.
    pub(crate) fn post_token(&self, body: &str) -> Answer {
        post(&self.token_api, "/token", &[], body)
    }

    /// `GET` of the admin API.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        get(&self.admin_api, path, &[])
    }

    /// The number that a metric has, 0 when it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_command(identity: &[&str], state: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.arg("run").args(identity).args(["--target", "demo", "--log-format", "json", "--state-dir"]).arg(state);
    for (flag, free) in [("--token-listen", "127.0.0.1:0"), ("--admin-listen", "127.0.0.1:0")] {
        if !arguments.contains(&flag) {
            command.args([flag, free]);
        }
    }
    command.args(arguments);
    command
}

fn spawn(mut command: Command) -> (Child, Receiver<Value>) {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line).unwrap_or_else(|_| serde_json::json!({"message": line}));
            if sender.send(parsed).is_err() {
                return;
            }
        }
    });
    (child, lines)
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Status and `error` of the body.
    pub(crate) fn problem(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
}

/// `GET` with a good `Host`.
pub(crate) fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    exchange(address, &request("GET", path, headers, ""))
}

/// `POST` of JSON, with a good `Host`, unless the headers say otherwise.
pub(crate) fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    exchange(address, &request("POST", path, &all, body))
}

/// A request as it goes over the wire.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += "host: localhost\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

/// Sends bytes to `IP:PORT` or `unix:///path` and reads the answer.
#[track_caller]
pub(crate) fn exchange(address: &str, request: &str) -> Answer {
    let mut answer = Vec::new();
    match address.strip_prefix("unix://") {
        Some(path) => {
            let mut stream = UnixStream::connect(path).unwrap();
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut answer);
        }
        None => {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut answer);
        }
    }
    parse(&String::from_utf8_lossy(&answer))
}

#[track_caller]
fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
}

/// Waits until a condition holds; how long it took.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}
