//! A control API that does what a test wants: what an Envoy has, what it takes, and how it fails.

use scbte_core::envelope::{Payload as _, PolicyPayload};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What an Envoy has and how it answers.
#[derive(Debug, Default)]
pub(crate) struct Envoy {
    /// The `seq` in force.
    pub(crate) seq: Option<u64>,
    /// The revision in force.
    pub(crate) revision: Option<String>,
    /// The answer to every push, instead of taking it.
    pub(crate) refuses: Option<u16>,
    /// Never answers.
    pub(crate) hangs: bool,
    /// The envelopes that were pushed, and when.
    pub(crate) pushed: Vec<(String, Instant)>,
    /// The policy in force.
    pub(crate) policy: HeldPolicy,
}

/// Which policy an Envoy has.
#[derive(Debug, Default)]
pub(crate) struct HeldPolicy {
    /// Its `seq`.
    pub(crate) seq: Option<u64>,
    /// Its revision.
    pub(crate) revision: Option<String>,
    /// How many were pushed.
    pub(crate) pushes: usize,
}

/// A control API on a free port; it ends with this value.
pub(crate) struct FakeControl {
    envoy: Arc<Mutex<Envoy>>,
    stop: Arc<AtomicBool>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl FakeControl {
    /// One with nothing in force.
    pub(crate) fn start() -> Self {
        Self::start_on(0)
    }

    /// One on this port, as after a restart.
    pub(crate) fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (envoy, stop) = (Arc::new(Mutex::new(Envoy::default())), Arc::new(AtomicBool::new(false)));
        let (shared, stopping) = (Arc::clone(&envoy), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let envoy = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &envoy));
            }
        });
        Self { envoy, stop, port, thread: Some(thread) }
    }

    /// What it has.
    pub(crate) fn envoy(&self) -> MutexGuard<'_, Envoy> {
        self.envoy.lock().unwrap()
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for FakeControl {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it from waiting.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(stream: &TcpStream, envoy: &Mutex<Envoy>) {
    let Some((line, body)) = read(stream) else { return };
    while envoy.lock().unwrap().hangs {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, json) = match line.as_str() {
        "GET /v1/status" => status(&envoy.lock().unwrap()),
        "PUT /v1/bundle" => take(&mut envoy.lock().unwrap(), body),
        "PUT /v1/policy" => take_policy(&mut envoy.lock().unwrap().policy, &body),
        other => (404, json!({"error": other})),
    };
    let text = json.to_string();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    let _ = (&*stream).write_all((head + &text).as_bytes());
}

fn read(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let target = lines.first()?.strip_suffix(" http/1.1")?;
    let (method, path) = target.split_once(' ')?;
    Some((format!("{} {path}", method.to_uppercase()), String::from_utf8(body).ok()?))
}

fn status(envoy: &Envoy) -> (u16, Value) {
    let policy = json!({"seq": envoy.policy.seq, "revision": envoy.policy.revision});
    let (seq, revision) = (envoy.seq, &envoy.revision);
    (200, json!({"seq": seq, "revision": revision, "policy": policy, "roots": [], "oldest_seq": null, "version": "0"}))
}

fn take_policy(held: &mut HeldPolicy, text: &str) -> (u16, Value) {
    let payload = payload(text);
    let policy = PolicyPayload::read(payload.as_object().unwrap()).unwrap();
    let (seq, revision) = (payload["seq"].as_u64(), policy.revision().to_string());
    held.pushes += 1;
    if held.seq > seq {
        return (409, json!({"error": "conflict", "detail": "an envelope with a greater `seq` is in force"}));
    }
    (held.seq, held.revision) = (seq, Some(revision.clone()));
    (200, json!({"seq": seq, "revision": revision}))
}

fn take(envoy: &mut Envoy, text: String) -> (u16, Value) {
    let (seq, revision) = facts(&text);
    envoy.pushed.push((text, Instant::now()));
    if let Some(status) = envoy.refuses {
        return (status, json!({"error": "untrusted_envelope", "detail": "as the test wants it"}));
    }
    if envoy.seq.is_some_and(|held| seq < held) {
        return (409, json!({"error": "conflict", "detail": "an envelope with a greater `seq` is in force"}));
    }
    (envoy.seq, envoy.revision) = (Some(seq), Some(revision.clone()));
    (200, json!({"seq": seq, "revision": revision}))
}

/// `seq` and revision of an envelope.
pub(crate) fn facts(envelope: &str) -> (u64, String) {
    let payload = payload(envelope);
    let revision = scbte_core::bundle::Revision::of(&payload["trust_domains"]).unwrap();
    (payload["seq"].as_u64().unwrap(), revision.to_string())
}

fn payload(envelope: &str) -> Value {
    let payload = scbte_core::base64::decode_url(envelope.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
