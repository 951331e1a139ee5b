//! What the tests share: a stack for each test that changes something, one for all that do not, and good calls.

use scbte_host_tests::fixture::{
    API_GATEWAY, AUDIENCE, Authority, Error, Request, Response, Stack, StackBuilder, Tools, Workload, eventually,
};
use std::fmt::{Debug, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// What the demo's policy lets the API gateway do.
pub(crate) const USERS: &str = "/api/v1/users";
/// What the demo's policy lets the order service do.
pub(crate) const ORDERS: &str = "/api/v1/orders";
/// How long something may take that Envoy does soon, on a busy machine.
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

/// A stack in a folder that goes with it.
pub(crate) struct Own {
    // Before the folder, which its programs write to.
    stack: Stack,
    _folder: TempDir,
}

impl Deref for Own {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stack.envoy().map(|envoy| envoy.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let end = lines.iter().skip(lines.len().saturating_sub(20));
            eprintln!("the end of Envoy's log:\n{}", end.map(|line| format!("  | {line}\n")).collect::<String>());
        }
    }
}

/// A stack for one test.
pub(crate) async fn start(build: impl FnOnce(StackBuilder) -> StackBuilder) -> Result<Own, Failure> {
    start_with(Tools::find()?, build).await
}

/// The same of other programs.
pub(crate) async fn start_with(tools: Tools, build: impl FnOnce(StackBuilder) -> StackBuilder) -> Result<Own, Failure> {
    let folder = tempfile::tempdir()?;
    let stack = build(Stack::builder(tools)).start(folder.path()).await?;
    Ok(Own { stack, _folder: folder })
}

/// The demo's stack, for tests that only make calls; it ends with the last test that uses it.
pub(crate) async fn shared() -> Result<Arc<Own>, Failure> {
    static SHARED: Mutex<Weak<Own>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(stack) = shared.upgrade() {
        return Ok(stack);
    }
    let stack = Arc::new(start(|builder| builder).await?);
    *shared = Arc::downgrade(&stack);
    Ok(stack)
}

/// The API gateway, with an SVID of the stack's dev CA.
pub(crate) fn gateway(stack: &Stack) -> Result<Workload, Error> {
    Authority::load(&stack.folder)?.issue(API_GATEWAY)
}

/// A call that is admitted.
pub(crate) async fn good_call(stack: &Stack) -> Result<Request, Error> {
    Ok(Request::get(USERS).bearer(&stack.companion()?.token(AUDIENCE, "read:users").await?))
}

/// Makes a good call and checks that it is admitted.
pub(crate) async fn assert_serves(stack: &Stack, after: &str) -> Outcome {
    let response = stack.send(&good_call(stack).await?).await?;
    assert_admitted(&response, after);
    Ok(())
}

/// Checks that a call was admitted as the API gateway's.
#[track_caller]
pub(crate) fn assert_admitted(response: &Response, name: &str) {
    assert_eq!(response.status, 200, "{name}: {}", response.text());
    assert_eq!(response.upstream_header("x-scbte-subject").as_deref(), Some(API_GATEWAY), "{name}");
}

/// Checks the status and the reason of a refusal.
#[track_caller]
pub(crate) fn assert_refused(response: &Response, status: u16, reason: &str, name: &str) {
    assert_eq!((response.status, response.reason().as_deref()), (status, Some(reason)), "{name}: {}", response.text());
}

/// Repeats a call until its answer is a wanted one: a new configuration reaches each worker in its own time.
pub(crate) async fn until(
    stack: &Stack,
    what: &str,
    request: &Request,
    wanted: impl Fn(&Response) -> bool,
) -> Result<Response, Error> {
    eventually(what, SOON, async || {
        let response = stack.send(request).await?;
        Ok(if wanted(&response) { Ok(response) } else { Err(format!("{} {}", response.status, response.text())) })
    })
    .await
}
