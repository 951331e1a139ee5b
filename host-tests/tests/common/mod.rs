//! What the suites with the real Envoy share: how tests end, and what an answer should be.

use scbte_host_tests::fixture::{API_GATEWAY, Response};
use std::fmt::{Debug, Formatter};
use std::time::Duration;

/// What the demo's policy lets the API gateway do.
pub(crate) const USERS: &str = "/api/v1/users";
/// What the demo's policy lets the order service do.
pub(crate) const ORDERS: &str = "/api/v1/orders";
/// How long something may take that happens soon, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What a test returns.
pub(crate) type Outcome = Result<(), Failure>;

/// An error as its author meant it to be read.
pub(crate) struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Debug for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The last lines of a log, for the reader of a failure.
pub(crate) fn print_end(whose: &str, log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let end = lines.iter().skip(lines.len().saturating_sub(20));
    eprintln!("the end of {whose} log:\n{}", end.map(|line| format!("  | {line}\n")).collect::<String>());
}

/// Checks that a call was admitted as the API gateway's.
#[track_caller]
pub(crate) fn assert_admitted(response: &Response, name: &str) {
    assert_admitted_as(API_GATEWAY, response, name);
}

/// Checks that a call was admitted as this workload's.
#[track_caller]
pub(crate) fn assert_admitted_as(subject: &str, response: &Response, name: &str) {
    assert_eq!(response.status, 200, "{name}: {}", response.text());
    assert_eq!(response.upstream_header("x-scbte-subject").as_deref(), Some(subject), "{name}");
}

/// Checks the status and the reason of a refusal.
#[track_caller]
pub(crate) fn assert_refused(response: &Response, status: u16, reason: &str, name: &str) {
    assert_eq!((response.status, response.reason().as_deref()), (status, Some(reason)), "{name}: {}", response.text());
}
