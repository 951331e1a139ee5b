//! Pull: envelopes fetched from the companion, for where no control listener can be added.
//!
//! Every worker ticks, so one at a time fetches, by a lease in shared data; what comes back goes through the same
//! verification as a push. The first fetch is tried each second until one succeeds.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use scbte_core::config::PullConfig;
use scbte_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a fetch may take, and with it a lease.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Least time between two fetches.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time between two tries after failures.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// Who fetches, and until when nobody else should.
#[derive(Deserialize, Serialize)]
struct Lease {
    nonce: String,
    /// Microseconds since the epoch.
    until: u64,
}

/// Fetches envelopes for one root context.
pub(crate) struct Puller {
    config: PullConfig,
    path: String,
    lease_key: String,
    nonce: String,
    etag: Option<String>,
    under_way: Option<u32>,
    next: Timestamp,
    failures: u32,
    /// The last tick that lacked nothing, or the first of all.
    starved_since: Timestamp,
}

/// Why an envelope is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The interval is over.
    Renewal,
    /// A token names an authority that is not known: now, unless the companion is failing.
    Authority,
    /// There is nothing usable: each second.
    Everything,
}

/// What a fetch brought.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// An envelope, to be verified.
    Envelope(Vec<u8>),
    /// The same as before.
    Unchanged,
    /// Nothing, and why.
    Failed(String),
}

impl Puller {
    /// A puller of what is at `path`, for a target; `nonce` tells it from those of other VMs.
    pub(crate) fn new(config: PullConfig, path: &str, target: &str, nonce: String) -> Self {
        let lease_key = format!("scbte.pull.{target}.{path}");
        Self {
            config,
            path: path.to_owned(),
            lease_key,
            nonce,
            etag: None,
            under_way: None,
            next: Timestamp::default(),
            failures: 0,
            starved_since: Timestamp::default(),
        }
    }

    /// Fetches when it is time, nobody else does, and no answer is outstanding.
    pub(crate) fn tick(&mut self, need: Need, now: Timestamp) {
        if need != Need::Everything || self.starved_since == Timestamp::default() {
            self.starved_since = now;
        }
        let due = match need {
            Need::Renewal => now >= self.next || self.is_too_far(now),
            Need::Authority => now >= self.next || self.failures == 0,
            Need::Everything => true,
        };
        if self.under_way.is_some() || !due || !self.take_lease(need, now) {
            return;
        }
        self.next = now.plus(self.interval());
        match self.dispatch() {
            Ok(call) => self.under_way = Some(call),
            Err(why) => self.fail(&why, now),
        }
    }

    /// Reads the answer to a call, when it is this puller's; without a body's size there is none.
    pub(crate) fn answer(&mut self, call: u32, body_size: Option<usize>, now: Timestamp) -> Option<Fetched> {
        self.under_way.take_if(|mine| *mine == call)?;
        let fetched = body_size.map_or_else(|| Fetched::Failed("no answer".into()), read_answer);
        match &fetched {
            Fetched::Failed(why) => self.fail(why, now),
            _ => self.failures = 0,
        }
        Some(fetched)
    }

    /// Remembers the version of an envelope that was taken, so that it is not sent again.
    pub(crate) fn taken(&mut self) {
        self.etag = response_header("etag");
    }

    /// Up to a tenth longer or shorter, so that VMs and pods spread out.
    fn interval(&self) -> Duration {
        let spread = self.nonce.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 20;
        self.config.interval.saturating_mul(90_u32.saturating_add(spread)).checked_div(100).unwrap_or(RETRY)
    }

    /// The clock was set back: nobody waits longer than an interval.
    fn is_too_far(&self, now: Timestamp) -> bool {
        self.next > now.plus(self.config.interval.max(MAX_BACK_OFF).saturating_mul(2))
    }

    fn fail(&mut self, why: &str, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let back_off = RETRY.saturating_mul(1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX));
        self.next = now.plus(back_off.min(MAX_BACK_OFF));
        if self.failures == 1 {
            let cluster = &self.config.cluster;
            host::log(LogLevel::Warn, &format!("no `{}` from cluster `{cluster}`: {why}; trying again", self.path));
        }
    }

    fn dispatch(&self) -> Result<u32, String> {
        let mut headers = vec![(":method", "GET"), (":path", self.path.as_str()), (":authority", "localhost")];
        headers.extend(self.etag.as_deref().map(|etag| ("if-none-match", etag)));
        let call = hostcalls::dispatch_http_call(&self.config.cluster, headers, None, Vec::new(), TIMEOUT);
        call.map_err(|status| format!("the call was not made ({status:?}); is there such a cluster?"))
    }

    /// Writes a lease and reads it back: it is owned only if the nonce is one's own.
    fn take_lease(&self, need: Need, now: Timestamp) -> bool {
        let Ok((value, version)) = hostcalls::get_shared_data(&self.lease_key) else { return false };
        let held: Option<Lease> = value.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if held.is_some_and(|lease| self.is_taken(&lease, need, now)) {
            return false;
        }
        let span = self.config.interval.max(TIMEOUT);
        let lease = Lease { nonce: self.nonce.clone(), until: now.plus(span).micros() };
        let Ok(bytes) = serde_json::to_vec(&lease) else { return false };
        let _ = hostcalls::set_shared_data(&self.lease_key, Some(&bytes), version);
        let read = hostcalls::get_shared_data(&self.lease_key).ok().and_then(|(value, _)| value);
        read.is_some_and(|found| found == bytes)
    }

    /// A lease of another that has not ended. One that reaches further than twice the interval is nobody's: whoever
    /// wrote it wants to stop pulls. For an authority that is missing, only a fetch that is running counts; who has
    /// had nothing for long respects none, so that one written again and again cannot keep the service down.
    fn is_taken(&self, lease: &Lease, need: Need, now: Timestamp) -> bool {
        let until = Timestamp::from_micros(lease.until);
        let span = self.config.interval.max(TIMEOUT);
        let plausible = until <= now.plus(span.saturating_mul(2));
        let ends = if need == Need::Renewal { until } else { until.minus(span).plus(RETRY) };
        let patient = need != Need::Everything || now < self.starved_since.plus(TIMEOUT);
        lease.nonce != self.nonce && plausible && now < ends && patient
    }
}

fn read_answer(body_size: usize) -> Fetched {
    match response_header(":status").as_deref() {
        Some("200") => match hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size) {
            Ok(Some(body)) if !body.is_empty() => Fetched::Envelope(body),
            _ => Fetched::Failed("the answer is empty".into()),
        },
        Some("304") => Fetched::Unchanged,
        Some(status) => Fetched::Failed(format!("the answer is {status}")),
        None => Fetched::Failed("no answer".into()),
    }
}

fn response_header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
    value.and_then(|bytes| String::from_utf8(bytes).ok())
}
