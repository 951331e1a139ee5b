//! The decision log: a line of JSON for each denial and for sampled allows, at most ten a second and VM, then a count.
//! A denial is the attacker's to make, so what nobody signed cannot use up the lines of those who are known. The token
//! never gets here.
//!
//! Each decision has an ID, which a refused caller is told too: with it one finds the line, if there was room for it.

use crate::host;
use crate::metrics::Outcome;
use crate::policy::{Disagreement, PolicyVersion};
use proxy_wasm::types::LogLevel;
use scbte_core::time::Timestamp;
use scbte_core::verdict::{Denial, Verdict};
use scbte_core::verify::Caller;
use serde_json::{Map, Value, json};

/// Lines a second and VM.
const MAX_PER_SECOND: u32 = 10;

/// Lines of [`MAX_PER_SECOND`] for refusals of callers who proved nothing.
const MAX_UNPROVEN: u32 = 4;
/// Lines of [`MAX_PER_SECOND`] for allows.
const MAX_ALLOWS: u32 = 3;

/// Characters of a text that a client wrote.
const MAX_TEXT: usize = 256;

/// A decision, as it is told.
pub(crate) struct Decision<'a> {
    /// What was decided.
    pub(crate) verdict: &'a Verdict,
    /// What it counts as.
    pub(crate) outcome: Outcome,
    /// The request's method.
    pub(crate) method: &'a str,
    /// `:path`, as it was sent: what can hold secrets stays out of the line.
    pub(crate) target: &'a [u8],
    /// The policy in force.
    pub(crate) policy: PolicyVersion<'a>,
    /// What the policy to watch would have done, where that is another thing.
    pub(crate) disagreement: Option<&'a Disagreement>,
}

/// Tells decisions apart, and how many lines this second has seen.
pub(crate) struct DecisionLog {
    prefix: String,
    count: u64,
    /// One in how many allows is written; 0: none.
    sample_allows: u64,
    allows: u64,
    second: u64,
    written: Written,
    suppressed: u64,
}

/// Lines that this second has seen.
#[derive(Default)]
struct Written {
    all: u32,
    unproven: u32,
    allows: u32,
}

impl Written {
    /// Whether there is room for one more; then it counts.
    fn has_room(&mut self, verdict: &Verdict) -> bool {
        let (share, most) = match verdict {
            Verdict::Deny(Denial { caller: None, .. }) => (Some(&mut self.unproven), MAX_UNPROVEN),
            Verdict::Allow(_) | Verdict::Bypass => (Some(&mut self.allows), MAX_ALLOWS),
            Verdict::Deny(_) => (None, MAX_PER_SECOND),
        };
        let mut unused = 0;
        let share = share.unwrap_or(&mut unused);
        let room = self.all < MAX_PER_SECOND && *share < most;
        if room {
            *share = share.saturating_add(1);
            self.all = self.all.saturating_add(1);
        }
        room
    }
}

impl DecisionLog {
    /// A log whose IDs begin with what no other VM has.
    pub(crate) fn new(prefix: String, sample_allows: u64) -> Self {
        Self { prefix, count: 0, sample_allows, allows: 0, second: 0, written: Written::default(), suppressed: 0 }
    }

    /// Whether this decision is one to tell; counts allows.
    pub(crate) fn wants(&mut self, verdict: &Verdict, disagrees: bool) -> bool {
        match verdict {
            Verdict::Deny(_) => true,
            Verdict::Allow(_) => self.is_sampled() || disagrees,
            Verdict::Bypass => false,
        }
    }

    fn is_sampled(&mut self) -> bool {
        self.allows = self.allows.wrapping_add(1);
        self.allows.checked_rem(self.sample_allows) == Some(0)
    }

    /// Writes a decision, unless there were too many this second; its ID.
    pub(crate) fn write(&mut self, decision: &Decision<'_>, now: Timestamp) -> String {
        self.count = self.count.wrapping_add(1);
        let id = format!("{}-{:x}", self.prefix, self.count);
        if self.second != now.secs() {
            self.second = now.secs();
            self.written = Written::default();
            self.tell_suppressed();
        }
        if self.written.has_room(decision.verdict) {
            let line = Value::Object(line(&id, decision, now)).to_string();
            host::log(LogLevel::Info, &format!("decision {}", ascii(&line)));
        } else {
            self.suppressed = self.suppressed.saturating_add(1);
        }
        id
    }

    /// Says how many lines were left out.
    pub(crate) fn tell_suppressed(&mut self) {
        if self.suppressed > 0 {
            host::log(LogLevel::Info, &format!("{} more decisions were not logged", self.suppressed));
            self.suppressed = 0;
        }
    }
}

fn line(id: &str, decision: &Decision<'_>, now: Timestamp) -> Map<String, Value> {
    let claims = decision.verdict.caller().map(Caller::claims);
    let target = String::from_utf8_lossy(decision.target);
    let members = [
        ("decision_id", id.into()),
        ("timestamp", now.millis().into()),
        ("verdict", decision.outcome.verdict().into()),
        ("reason", decision.outcome.reason().into()),
        ("detail", detail(decision.verdict).map(cut).into()),
        ("sub", claims.map(|claims| claims.sub.as_str()).into()),
        ("ctx", claims.map(|claims| claims.ctx.as_str()).into()),
        ("method", cut(decision.method).into()),
        ("path", without_query(cut(&target)).into()),
        ("policy_revision", decision.policy.revision.map(cut).into()),
        ("policy_digest", decision.policy.digest.into()),
        ("shadow", decision.disagreement.map_or(Value::Null, shadow)),
    ];
    let present = members.into_iter().filter(|(_, value)| !value.is_null());
    let mut line = Map::new();
    line.extend(present.map(|(name, value)| (name.to_owned(), value)));
    line
}

fn shadow(disagreement: &Disagreement) -> Value {
    json!({"verdict": disagreement.result.label(), "detail": cut(&disagreement.detail)})
}

/// The query and the fragment can hold secrets, also where somebody encoded what begins them.
fn without_query(target: &str) -> &str {
    let begins = |at: &usize| {
        let rest = target.get(*at..).unwrap_or_default();
        let encoded = rest.get(..3).unwrap_or_default();
        rest.starts_with(['?', '#']) || encoded.eq_ignore_ascii_case("%3f") || encoded == "%23"
    };
    let end = target.char_indices().map(|(at, _)| at).find(begins);
    end.and_then(|end| target.get(..end)).unwrap_or(target)
}

fn detail(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Deny(Denial { explanation, detail, .. }) => explanation.as_deref().or(detail.as_deref()),
        Verdict::Allow(_) | Verdict::Bypass => None,
    }
}

/// JSON in ASCII alone: the log escapes everything else in a way that JSON does not know. In JSON, such characters stand
/// in strings only.
fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => ascii.push(character),
            other => {
                let mut units = [0; 2];
                ascii.extend(other.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    ascii
}

/// What a client wrote, cut, so that a line stays one that people can read.
fn cut(text: &str) -> &str {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}
