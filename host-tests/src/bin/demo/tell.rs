//! What the demo prints: short lines, each `ok` or `FAILED`, in colour on a terminal only.

use scbte_host_tests::fixture::Response;
use std::io::{IsTerminal as _, stdout};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";

/// Prints, and counts what was as it should be.
#[derive(Debug)]
pub(crate) struct Teller {
    coloured: bool,
    ok: usize,
    failed: usize,
}

/// What should come back.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// 200, and the upstream saw this caller.
    Admitted {
        /// Its SPIFFE ID.
        subject: &'static str,
    },
    /// This status, for this reason.
    Refused {
        /// The status.
        status: u16,
        /// The body's `detail`, else its `error`.
        reason: &'static str,
    },
}

impl Expected {
    /// Whether a response is the expected one.
    pub(crate) fn matches(&self, response: &Response) -> bool {
        match self {
            Self::Admitted { subject } => {
                response.status == 200 && response.upstream_header("x-scbte-subject").as_deref() == Some(subject)
            }
            Self::Refused { status, reason } => {
                response.status == *status && response.reason().as_deref() == Some(reason)
            }
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Admitted { subject } => write!(formatter, "200 and {subject} before the upstream"),
            Self::Refused { status, reason } => write!(formatter, "{status} {reason}"),
        }
    }
}

impl Teller {
    /// Colours are for a terminal, and for nobody who set `NO_COLOR`.
    pub(crate) fn new() -> Self {
        let coloured = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { coloured, ok: 0, failed: 0 }
    }

    /// A heading.
    pub(crate) fn title(&self, text: &str) {
        println!("\n{}", self.colour(BOLD, text));
    }

    /// Something beside the story.
    pub(crate) fn note(&self, text: &str) {
        println!("  {}", self.colour(DIM, text));
    }

    /// One call: what was asked, and what came back.
    pub(crate) fn call(&mut self, asked: &str, response: &Response, expected: &Expected) {
        let as_it_should = expected.matches(response);
        let wish = if as_it_should { String::new() } else { format!("  (expected {expected})") };
        self.line(as_it_should, &format!("{asked:<72} → {}{wish}", came_back(response)));
    }

    /// Something that happened, and whether it was as it should be.
    pub(crate) fn line(&mut self, as_it_should: bool, text: &str) {
        if as_it_should {
            self.ok += 1;
            println!("  {}  {text}", self.colour(GREEN, "ok"));
        } else {
            self.failed += 1;
            println!("  {}  {text}", self.colour(RED, "FAILED"));
        }
    }

    /// How it went.
    pub(crate) fn sum_up(&self) {
        println!("\n{} ok, {} failed", self.ok, self.failed);
    }

    /// Whether everything was as it should be.
    pub(crate) fn all_is_well(&self) -> bool {
        self.failed == 0
    }

    fn colour(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The status, and who the upstream saw or why the call was refused.
fn came_back(response: &Response) -> String {
    let status = response.status;
    match (status, response.upstream_header("x-scbte-subject")) {
        (200, Some(subject)) => format!("{status}  upstream saw {subject}"),
        (200, None) => format!("{status}  upstream saw nobody"),
        _ => format!("{status}  {}", response.reason().unwrap_or_else(|| response.text())),
    }
}
