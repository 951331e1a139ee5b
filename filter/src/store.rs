//! The envelope in force, shared through Envoy's shared data.
//!
//! Shared data is open to every other plugin of the same Envoy, so each VM verifies what it reads. One that finds an
//! unverifiable or older value keeps its own, writes it back, and counts it.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel, Status};
use scbte_core::envelope::{self, Envelope, EnvelopeError, Order, Payload, Trust};
use scbte_core::signature::SignatureVerifier;
use scbte_core::time::Timestamp;

/// Writes are tried again when another VM was faster; more often than that is no race but a fight.
const WRITE_ATTEMPTS: usize = 3;

/// Why an offered envelope is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It does not verify.
    Envelope(EnvelopeError),
    /// It is older than the one in force, or another with the same `seq`.
    Conflict {
        /// The `seq` in force.
        held: u64,
    },
    /// What it carries may not run here.
    Policy(String),
    /// Shared data did not take it: other VMs kept writing, or the host failed.
    Busy,
}

impl Refused {
    /// The control API's status for it.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Envelope(error) => error.status(),
            Self::Conflict { .. } => 409,
            Self::Policy(_) => 422,
            Self::Busy => 503,
        }
    }

    /// The stable code of the answer.
    pub(crate) fn code(&self) -> &'static str {
        match self.status() {
            401 => "untrusted_envelope",
            409 => "conflict",
            422 => "policy_refused",
            503 => "busy",
            _ => "malformed_envelope",
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Envelope(error) => error.fmt(formatter),
            Self::Conflict { held } => write!(formatter, "an envelope with `seq` {held} is in force"),
            Self::Policy(why) => formatter.write_str(why),
            Self::Busy => formatter.write_str("shared data did not take it, try again"),
        }
    }
}

/// The envelope in force, with its text.
struct Held<P> {
    text: Vec<u8>,
    envelope: Envelope<P>,
}

/// One kind of envelope: what is in force here, and its place in shared data.
pub(crate) struct Store<P> {
    key: String,
    trust: Trust,
    signatures: &'static dyn SignatureVerifier,
    held: Option<Held<P>>,
    /// Shared data's version of the value last looked at.
    seen: Option<u32>,
    rejected: u64,
}

impl<P: Payload> Store<P> {
    /// A store with nothing in force; several targets share one Envoy, so the target is part of the key.
    pub(crate) fn new(kind: &str, trust: Trust, signatures: &'static dyn SignatureVerifier) -> Self {
        let key = format!("scbte.{kind}.{}", trust.target);
        Self { key, trust, signatures, held: None, seen: None, rejected: 0 }
    }

    /// The envelope in force, be it usable or not.
    pub(crate) fn current(&self) -> Option<&Envelope<P>> {
        self.held.as_ref().map(|held| &held.envelope)
    }

    /// How often shared data held something unverifiable or older.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Looks at shared data; whether another envelope is in force now. Cheap when nothing was written.
    pub(crate) fn look(&mut self, now: Timestamp) -> bool {
        let Ok((value, version)) = hostcalls::get_shared_data(&self.key) else { return false };
        if version.is_some() && version == self.seen {
            return false;
        }
        self.seen = version;
        let Some(text) = value else { return self.write_back(false) };
        if self.held.as_ref().is_some_and(|held| held.text == text) {
            return false;
        }
        self.judge_shared(text, now)
    }

    fn judge_shared(&mut self, text: Vec<u8>, now: Timestamp) -> bool {
        match self.open(&text, now) {
            Ok(envelope) if self.order(&envelope, &text, now) == Order::Newer => {
                self.held = Some(Held { text, envelope });
                true
            }
            Ok(_) => self.write_back(true),
            Err(error) => {
                let key = &self.key;
                host::log(LogLevel::Warn, &format!("shared data `{key}` holds no envelope for here: {error}"));
                self.write_back(true)
            }
        }
    }

    /// Takes an envelope that was pushed or pulled: its `seq` and revision.
    pub(crate) fn offer(&mut self, text: &[u8], now: Timestamp) -> Result<(u64, String), Refused> {
        let envelope = self.open(text, now)?;
        self.take(envelope, text, now)
    }

    /// Takes one that was opened.
    pub(crate) fn take(
        &mut self,
        envelope: Envelope<P>,
        text: &[u8],
        now: Timestamp,
    ) -> Result<(u64, String), Refused> {
        let answer = (envelope.seq, envelope.revision().to_string());
        for _ in 0..WRITE_ATTEMPTS {
            self.look(now);
            match self.order(&envelope, text, now) {
                Order::Same => return Ok(answer),
                Order::Conflict => return Err(Refused::Conflict { held: self.held_seq() }),
                Order::Newer => {}
            }
            let written = hostcalls::set_shared_data(&self.key, Some(text), self.seen);
            self.seen = None;
            match written {
                Ok(()) => {
                    self.held = Some(Held { text: text.to_vec(), envelope });
                    return Ok(answer);
                }
                Err(Status::CasMismatch) => {}
                Err(_) => return Err(Refused::Busy),
            }
        }
        Err(Refused::Busy)
    }

    fn held_seq(&self) -> u64 {
        self.current().map_or(0, |envelope| envelope.seq)
    }

    /// Verifies an envelope.
    pub(crate) fn open(&self, text: &[u8], now: Timestamp) -> Result<Envelope<P>, Refused> {
        // What is not text cannot be a compact JWS: the parser says so.
        let text = std::str::from_utf8(text).unwrap_or_default();
        Envelope::open(text, &self.trust, self.signatures, now).map_err(Refused::Envelope)
    }

    /// How an envelope relates to the one in force. One that lies ahead of the clock, which must have jumped, or that
    /// has expired orders nothing: it must not lock newer ones out.
    pub(crate) fn order(&self, envelope: &Envelope<P>, text: &[u8], now: Timestamp) -> Order {
        match &self.held {
            Some(held) if now < held.envelope.exp && !held.envelope.is_ahead(self.trust.skew, now) => {
                envelope::order((held.envelope.seq, &held.text), (envelope.seq, text))
            }
            _ => Order::Newer,
        }
    }

    /// Puts one's own envelope back; never news for oneself.
    fn write_back(&mut self, count: bool) -> bool {
        self.rejected = self.rejected.saturating_add(u64::from(count));
        if let Some(held) = &self.held {
            // When another VM was faster, the next look judges what it wrote.
            let _ = hostcalls::set_shared_data(&self.key, Some(&held.text), self.seen);
            self.seen = None;
        }
        false
    }
}
