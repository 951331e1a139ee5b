//! What the tests share: a stack for each test that changes something, one for all that do not, and good calls.

pub(crate) use crate::common::{Failure, ORDERS, Outcome, SOON, USERS, assert_admitted, assert_refused};

use crate::common::print_end;
use scbte_host_tests::fixture::{
    API_GATEWAY, AUDIENCE, Authority, Error, Request, Response, Stack, StackBuilder, Tools, Workload, eventually,
};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use tempfile::TempDir;
use tokio::sync::Mutex;

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
            print_end("Envoy's", &self.stack.envoy().map(|envoy| envoy.log()).unwrap_or_default());
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
