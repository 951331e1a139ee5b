//! Denials in Envoy's log: at most ten a second, then a count. A denial is the attacker's to make.

use crate::host;
use proxy_wasm::types::LogLevel;
use scbte_core::time::Timestamp;
use scbte_core::verdict::Denial;

/// Lines a second and VM.
const MAX_PER_SECOND: u32 = 10;

/// Characters of a text that a client wrote.
const MAX_TEXT: usize = 256;

/// How many lines this second has seen.
#[derive(Default)]
pub(crate) struct DenialLog {
    second: u64,
    written: u32,
    suppressed: u64,
}

impl DenialLog {
    /// Writes a denial, unless there were too many this second. Never the token.
    pub(crate) fn write(&mut self, verdict: &str, denial: &Denial, method: &str, path: &str, now: Timestamp) {
        if self.second != now.secs() {
            self.second = now.secs();
            self.written = 0;
            self.tell_suppressed();
        }
        if self.written >= MAX_PER_SECOND {
            self.suppressed = self.suppressed.saturating_add(1);
            return;
        }
        self.written = self.written.saturating_add(1);
        host::log(LogLevel::Info, &line(verdict, denial, method, path));
    }

    /// Says how many lines were left out.
    pub(crate) fn tell_suppressed(&mut self) {
        if self.suppressed > 0 {
            host::log(LogLevel::Info, &format!("{} more denials were not logged", self.suppressed));
            self.suppressed = 0;
        }
    }
}

fn line(verdict: &str, denial: &Denial, method: &str, path: &str) -> String {
    let caller = denial.caller.as_ref().map_or("unknown", |caller| caller.claims().sub.as_str());
    let detail = denial.explanation.as_deref().or(denial.detail.as_deref()).unwrap_or_default();
    let (path, detail) = (cut(path), cut(detail));
    format!("{verdict} {} sub={caller} method={method:?} path={path:?} detail={detail:?}", denial.reason.code())
}

/// What a client wrote, quoted by the caller of this and cut, so that it cannot pass for the line's own words.
fn cut(text: &str) -> &str {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}
