//! The second part of the story: the trust domain gets a new CA while calls go on, and the old one is removed.

use crate::calls::mint;
use crate::tell::{Expected, Teller};
use scbte_host_tests::fixture::{
    API_GATEWAY, AUDIENCE, Error, Ports, Request, Stack, Status, TRUST_DOMAIN, companion_token, eventually, send,
};
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Good calls while the CA changes, at least: fewer would prove little.
const ENOUGH_CALLS: usize = 20;
/// How long the companion may take to have an SVID of the new CA.
const NEW_SVID_WITHIN: Duration = Duration::from_secs(20);

/// Rotates the CA under steady calls and tells what happened.
pub(crate) async fn tell(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    teller.title("A new CA, while calls go on");
    let steady = Steady::start(stack.ports);
    let old_token = mint(stack, API_GATEWAY, AUDIENCE, "read:users", &[]).await?;
    prepare(stack, teller).await?;
    activate(stack, teller).await?;
    let good = Expected::Admitted { subject: API_GATEWAY };
    call(stack, teller, "a token of the old CA, still trusted", &old_token, good).await?;
    revoke(stack, teller).await?;
    let refused = Expected::Refused { status: 401, reason: "untrusted_chain" };
    call(stack, teller, "a token of the old CA, now removed", &old_token, refused).await?;
    let new_token = mint(stack, API_GATEWAY, AUDIENCE, "read:users", &[]).await?;
    call(stack, teller, "a token of the new CA", &new_token, Expected::Admitted { subject: API_GATEWAY }).await?;
    let tally = steady.stop();
    let lost = tally.lost.first().map(|first| format!(", the first one: {first}")).unwrap_or_default();
    let text = format!("{} good calls meanwhile, {} lost{lost}", tally.good, tally.lost.len());
    teller.line(tally.lost.is_empty() && tally.good >= ENOUGH_CALLS, &text);
    Ok(())
}

async fn prepare(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let began = Instant::now();
    let before = authorities(&stack.settled().await?);
    // A demo that was interrupted may have left one.
    let prepared = stack.folder.join("ca.next.key").exists();
    if !prepared {
        stack.scbte().dev_ca("prepare").await?;
    }
    let wanted = before + usize::from(!prepared);
    stack.settled_with(|status| authorities(status) == wanted).await?;
    teller.line(true, &format!("prepare: every worker trusts the new CA too{}", after(began)));
    Ok(())
}

async fn activate(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let began = Instant::now();
    let companion = stack.companion()?;
    let before = key_id(&companion.token(AUDIENCE, "read:users").await?);
    stack.scbte().dev_ca("activate").await?;
    eventually("an SVID of the new CA", NEW_SVID_WITHIN, async || {
        let found = key_id(&companion.token(AUDIENCE, "read:users").await?);
        Ok(if found == before { Err("still the old SVID".to_owned()) } else { Ok(()) })
    })
    .await?;
    teller.line(true, &format!("activate: the companion signs with an SVID of the new CA{}", after(began)));
    Ok(())
}

async fn revoke(stack: &Stack, teller: &mut Teller) -> Result<(), Error> {
    let began = Instant::now();
    stack.scbte().dev_ca("revoke").await?;
    stack.settled_with(|status| authorities(status) == 1).await?;
    teller.line(true, &format!("revoke: no worker trusts the old CA{}", after(began)));
    Ok(())
}

async fn call(stack: &Stack, teller: &mut Teller, asked: &str, token: &str, expected: Expected) -> Result<(), Error> {
    let request = Request::get("/api/v1/users").bearer(token);
    let response = stack.send(&request).await?;
    teller.call(&format!("{:<26}  {asked}", request.line()), &response, &expected);
    Ok(())
}

fn authorities(status: &Status) -> usize {
    status.trust_domains.get(TRUST_DOMAIN).copied().unwrap_or_default()
}

fn after(began: Instant) -> String {
    format!(", after {:.1} s", began.elapsed().as_secs_f64())
}

/// The header of a token, which names the SVID's key: another SVID, another header.
fn key_id(token: &str) -> String {
    token.split('.').next().unwrap_or_default().to_owned()
}

/// Good calls, one after the other, each with a token of its own, until it is stopped.
struct Steady {
    tally: Arc<Mutex<Tally>>,
    task: JoinHandle<()>,
}

/// What became of the steady calls.
#[derive(Clone, Debug, Default)]
struct Tally {
    good: usize,
    lost: Vec<String>,
}

impl Tally {
    fn count(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.good += 1,
            Err(why) => self.lost.push(why),
        }
    }
}

impl Steady {
    fn start(ports: Ports) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let counted = Arc::clone(&tally);
        let task = tokio::spawn(async move {
            loop {
                let result = one_call(ports).await;
                lock(&counted).count(result);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { tally, task }
    }

    fn stop(&self) -> Tally {
        self.task.abort();
        lock(&self.tally).clone()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn one_call(ports: Ports) -> Result<(), String> {
    let wanted = json!({"aud": AUDIENCE, "ctx": "read:users"});
    let token = companion_token(ports.token, &wanted).await.map_err(|error| error.to_string())?;
    let response = send(ports.data, &Request::get("/api/v1/users").bearer(&token)).await;
    let response = response.map_err(|error| error.to_string())?;
    match response.status {
        200 => Ok(()),
        status => Err(format!("{status} {}", response.text())),
    }
}
