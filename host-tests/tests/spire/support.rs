//! What the tests share: a SPIRE of their own with a registered API gateway, and the stack around its companion.

pub(crate) use crate::common::{Failure, Outcome, SOON, USERS, assert_admitted, assert_admitted_as, assert_refused};

use crate::common::print_end;
use scbte_host_tests::fixture::spire::{Entry, EntryId, Spire, SpireBuilder, SpireTools};
use scbte_host_tests::fixture::{
    AUDIENCE, Companion, Error, Load, Ports, Request, Response, Stack, StackBuilder, TRUST_DOMAIN, Tally, Tools,
    eventually,
};
use serde_json::Value;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The path of the API gateway's SPIFFE ID.
pub(crate) const GATEWAY: &str = "/ns/production/sa/api-gateway";
/// The path of the order service's SPIFFE ID.
pub(crate) const ORDER_SERVICE: &str = "/ns/production/sa/order-service";
/// Longest time in which a withdrawn authority may be used after the push of the bundle without it.
pub(crate) const AFTER_PUSH: Duration = Duration::from_secs(2);

/// Taken to read while an Envoy starts, which is what costs most here.
static STARTS: RwLock<()> = RwLock::const_new(());

/// Waits for others to have started, and lets nobody start: for measuring what takes a second or two.
pub(crate) async fn quiet() -> RwLockWriteGuard<'static, ()> {
    STARTS.write().await
}

/// To be held while an Envoy starts.
pub(crate) async fn starting() -> RwLockReadGuard<'static, ()> {
    STARTS.read().await
}

/// SPIRE and a stack whose companion is the API gateway, in a folder that goes with them.
pub(crate) struct World {
    // The stack first, then SPIRE, then the folder that all of them write to.
    stack: Stack,
    /// SPIRE of the stack's trust domain.
    pub(crate) spire: Spire,
    /// The program that the API gateway's companion runs.
    pub(crate) gateway: PathBuf,
    /// Its registration.
    pub(crate) registration: EntryId,
    folder: TempDir,
}

/// What a world shall be like.
pub(crate) struct WorldBuilder {
    spire: SpireBuilder,
    stack: StackBuilder,
    ttl: Option<Duration>,
}

impl WorldBuilder {
    /// With a changed SPIRE.
    pub(crate) fn spire(self, change: impl FnOnce(SpireBuilder) -> SpireBuilder) -> Self {
        Self { spire: change(self.spire), ..self }
    }

    /// With a changed stack.
    pub(crate) fn stack(self, change: impl FnOnce(StackBuilder) -> StackBuilder) -> Self {
        Self { stack: change(self.stack), ..self }
    }

    /// With SVIDs of the API gateway that live this long.
    pub(crate) fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// Starts everything and waits until every worker has the trust bundle.
    pub(crate) async fn start(self) -> Result<World, Failure> {
        let _starting = starting().await;
        let folder = tempfile::tempdir()?;
        let spire = self.spire.start(&folder.path().join("spire")).await?;
        let gateway = spire.workload(&Tools::find()?.scbte, "gateway").await?;
        let entry = spire.entry(&gateway, GATEWAY);
        let registration = spire.server.create(&self.ttl.into_iter().fold(entry, Entry::ttl)).await?;
        let stack = self.stack.identity(spire.identity(&gateway)).start(&folder.path().join("stack")).await?;
        Ok(World { stack, spire, gateway, registration, folder })
    }
}

impl World {
    /// The usual world.
    pub(crate) fn builder() -> Result<WorldBuilder, Failure> {
        let spire = Spire::builder(SpireTools::find()?, TRUST_DOMAIN);
        Ok(WorldBuilder { spire, stack: Stack::builder(Tools::find()?), ttl: None })
    }

    /// Of the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API gateway's registration.
    pub(crate) fn entry(&self) -> Entry {
        self.spire.entry(&self.gateway, GATEWAY)
    }

    /// A good call of the API gateway, with a new token.
    pub(crate) async fn good_call(&self) -> Result<Request, Failure> {
        Ok(Request::get(USERS).bearer(&self.token().await?))
    }

    /// A new token of the API gateway.
    pub(crate) async fn token(&self) -> Result<String, Failure> {
        Ok(self.companion()?.token(AUDIENCE, "read:users").await?)
    }

    /// Makes a good call and checks that it is admitted.
    pub(crate) async fn assert_serves(&self, name: &str) -> Outcome {
        assert_admitted(&self.send(&self.good_call().await?).await?, name);
        Ok(())
    }

    /// Steady good calls of the API gateway.
    pub(crate) async fn load(&self, per_second: u32) -> Result<Load, Failure> {
        Ok(Load::start(self.ports, per_second).await?)
    }

    /// Waits until every worker trusts so many authorities of SPIRE.
    pub(crate) async fn settled_with_authorities(&self, count: usize) -> Outcome {
        self.settled_with(|status| status.trust_domains.get(TRUST_DOMAIN) == Some(&count)).await?;
        Ok(())
    }

    /// Another companion, beside the stack's: it pushes nothing, and need not be ready.
    pub(crate) async fn another_companion(&self, spire: &Spire, program: &Path) -> Result<Companion, Failure> {
        let name = program.file_name().unwrap_or_default();
        let state = self.folder().join("companions").join(name);
        std::fs::create_dir_all(&state)?;
        let builder = Companion::builder(&self.tools, &state, &Ports::free());
        Ok(builder.identity(spire.identity(program)).without_push().launch(&state.join("companion.log")).await?)
    }
}

impl Deref for World {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_end("Envoy's", &self.stack.envoy().map(|envoy| envoy.log()).unwrap_or_default());
            print_end("the companion's", &self.stack.companion().map(Companion::log).unwrap_or_default());
            print_end("the SPIRE agent's", &self.spire.agent.log());
        }
    }
}

/// What a companion says of itself.
pub(crate) async fn readiness(companion: &Companion) -> Result<Value, Error> {
    Ok(companion.admin("/readyz").await?.json())
}

/// Waits until a companion says of itself what is wanted.
pub(crate) async fn until_readiness(
    companion: &Companion,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, Error> {
    eventually(what, SOON, async || {
        let found = readiness(companion).await?;
        Ok(if wanted(&found) { Ok(found) } else { Err(found.to_string()) })
    })
    .await
}

/// Waits until the answer to a call is a wanted one.
pub(crate) async fn until(
    stack: &Stack,
    what: &str,
    call: &Request,
    wanted: impl Fn(&Response) -> bool,
) -> Result<Response, Error> {
    eventually(what, SOON, async || {
        let response = stack.send(call).await?;
        Ok(if wanted(&response) { Ok(response) } else { Err(format!("{} {}", response.status, response.text())) })
    })
    .await
}

/// Checks that every call was good, and every token was minted.
#[track_caller]
pub(crate) fn assert_nothing_lost(tally: &Tally) {
    let first = tally.lost.first.first().or(tally.not_minted.first.first()).map(|lost| lost.why.as_str());
    assert_eq!((tally.lost.count, tally.not_minted.count, first), (0, 0, None), "of {} calls", tally.good);
}

/// A duration as figures have it.
pub(crate) fn seconds(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}
