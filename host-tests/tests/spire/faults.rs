//! What the real SPIRE cannot be made to do: whatever the Workload API says that cannot be used, the last good trust
//! bundle and SVID stay in force.

use crate::fake_workload_api::{Behaviour, FakeWorkloadApi, X509Svid, X509SvidResponse};
use crate::support::{
    Failure, Outcome, SOON, USERS, assert_admitted, assert_refused, readiness, starting, until_readiness,
};
use crate::token::Minted;
use scbte_host_tests::fixture::{
    API_GATEWAY, AUDIENCE, Authority, Companion, Error, Identity, ORDER_SERVICE, Ports, Request, Stack, Status,
    TRUST_DOMAIN, Tools, eventually,
};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::Code;

/// A federated trust domain.
const PARTNER: &str = "partner.example";
/// How long a slow agent takes for its first message.
const SLOW: Duration = Duration::from_secs(10);

/// What a good message is made of.
struct Issuers {
    own: Authority,
    partner: Authority,
}

impl Issuers {
    fn new() -> Result<Self, Failure> {
        Ok(Self { own: Authority::new(TRUST_DOMAIN)?, partner: Authority::new(PARTNER)? })
    }

    /// As SPIRE would say it to a workload of these identities.
    fn message(&self, ids: &[&str]) -> Result<X509SvidResponse, Error> {
        let svid = |id: &&str| {
            let workload = self.own.issue(id)?;
            let (x509_svid, x509_svid_key) = (workload.chain.concat(), workload.key_der()?);
            Ok(X509Svid { spiffe_id: id.to_string(), x509_svid, x509_svid_key, bundle: self.own.der()? })
        };
        let svids = ids.iter().map(svid).collect::<Result<_, Error>>()?;
        let federated_bundles = [(format!("spiffe://{PARTNER}"), self.partner.der()?)].into();
        Ok(X509SvidResponse { svids, crl: Vec::new(), federated_bundles })
    }
}

fn identity(folder: &TempDir) -> Result<Identity, Failure> {
    Ok(Identity::WorkloadApi { socket: folder.path().join("agent.sock"), program: Tools::find()?.scbte })
}

/// A companion of a Workload API of the test's own.
async fn companion(folder: &TempDir, more: &[&str]) -> Result<Companion, Failure> {
    let state = folder.path().join("state");
    let builder = Companion::builder(&Tools::find()?, &state, &Ports::free()).identity(identity(folder)?);
    Ok(builder.without_push().with(more).launch(&folder.path().join("companion.log")).await?)
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let issuers = Issuers::new()?;
    let good = issuers.message(&[API_GATEWAY])?;
    let api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::Say(good.clone()))?;
    let stack = Stack::builder(Tools::find()?).identity(identity(&folder)?);
    let starting = starting().await;
    let stack = stack.start(&folder.path().join("stack")).await?;
    drop(starting);
    let revision = stack.control().status().await?.revision;
    for (name, fault) in faults(&issuers, &good)? {
        api.behave(fault);
        until_readiness(stack.companion()?, name, |found| found["identity"]["error"].is_string()).await?;
        assert_both_are_known(&stack, &issuers, name).await?;
        assert_eq!(stack.control().status().await?.revision, revision, "{name}");
        api.behave(Behaviour::Say(good.clone()));
        until_readiness(stack.companion()?, &format!("to get over: {name}"), is_well).await?;
    }
    a_stream_that_ends_all_the_time_is_followed(&stack, &api, &issuers).await?;
    a_domain_without_authorities_has_no_valid_workloads(&stack, &api, &issuers).await
}

fn is_well(found: &Value) -> bool {
    found["identity"]["live"] == true && found["identity"]["error"].is_null()
}

fn faults(issuers: &Issuers, good: &X509SvidResponse) -> Result<Vec<(&'static str, Behaviour)>, Failure> {
    let with = |change: &dyn Fn(&mut X509SvidResponse)| {
        let mut message = good.clone();
        change(&mut message);
        Behaviour::Say(message)
    };
    let garbage = || b"no certificate".to_vec();
    let federated =
        |id: &str, bundle: Vec<u8>| with(&|message| drop(message.federated_bundles.insert(id.into(), bundle.clone())));
    let another_key = issuers.own.issue(API_GATEWAY)?.key_der()?;
    Ok(vec![
        ("a bundle that is no certificate", with(&|message| message.svids[0].bundle = garbage())),
        ("a bundle with something behind its certificate", with(&|message| message.svids[0].bundle.extend(garbage()))),
        ("a bundle without an authority", with(&|message| message.svids[0].bundle.clear())),
        ("a federated bundle that is no certificate", federated(&format!("spiffe://{PARTNER}"), garbage())),
        ("a federated bundle of nobody", federated("spiffe://", issuers.partner.der()?)),
        ("no SVID", with(&|message| message.svids.clear())),
        ("a chain that is no certificate", with(&|message| message.svids[0].x509_svid = garbage())),
        ("the key of another SVID", with(&|message| message.svids[0].x509_svid_key = another_key.clone())),
        ("a key that is none", with(&|message| message.svids[0].x509_svid_key = garbage())),
        ("an internal error", Behaviour::Fail(Code::Internal)),
        ("an agent that is not ready", Behaviour::Fail(Code::Unavailable)),
    ])
}

/// Our own workload is minted for and admitted; the partner's is known, and the demo's policy grants it nothing.
async fn assert_both_are_known(stack: &Stack, issuers: &Issuers, name: &str) -> Outcome {
    let token = stack.companion()?.token(AUDIENCE, "read:users").await?;
    assert_admitted(&stack.send(&Request::get(USERS).bearer(&token)).await?, name);
    let response = stack.send(&partners_call(issuers)?).await?;
    assert_refused(&response, 403, "unknown_workload", name);
    Ok(())
}

fn partners_call(issuers: &Issuers) -> Result<Request, Failure> {
    let reporter = issuers.partner.issue("spiffe://partner.example/ns/billing/sa/reporter")?;
    Ok(Request::get(USERS).bearer(&reporter.good_token("read:users")))
}

/// Each message gets through, though the stream is open for a moment only.
async fn a_stream_that_ends_all_the_time_is_followed(
    stack: &Stack,
    api: &FakeWorkloadApi,
    issuers: &Issuers,
) -> Outcome {
    let mut message = issuers.message(&[API_GATEWAY])?;
    message.svids[0].bundle.extend(Authority::new(TRUST_DOMAIN)?.der()?);
    api.behave(Behaviour::SayAndEnd(message));
    stack.settled_with(|status| status.trust_domains.get(TRUST_DOMAIN) == Some(&2)).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        assert_both_are_known(stack, issuers, "a stream that ends all the time").await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// That is no fault: it is how a trust domain without authorities is told of.
async fn a_domain_without_authorities_has_no_valid_workloads(
    stack: &Stack,
    api: &FakeWorkloadApi,
    issuers: &Issuers,
) -> Outcome {
    let call = partners_call(issuers)?;
    let mut message = issuers.message(&[API_GATEWAY])?;
    message.federated_bundles.insert(format!("spiffe://{PARTNER}"), Vec::new());
    api.behave(Behaviour::Say(message.clone()));
    stack.settled_with(|status| status.trust_domains.get(PARTNER) == Some(&0)).await?;
    assert_refused(&stack.send(&call).await?, 401, "untrusted_chain", "a domain without authorities");
    let token = stack.companion()?.token(AUDIENCE, "read:users").await?;
    assert_admitted(&stack.send(&Request::get(USERS).bearer(&token)).await?, "our own");

    message.federated_bundles.clear();
    api.behave(Behaviour::Say(message));
    stack.settled_with(|status| !status.trust_domains.contains_key(PARTNER)).await?;
    assert_refused(&stack.send(&call).await?, 401, "unknown_trust_domain", "a domain that is not there any more");
    Ok(())
}

#[tokio::test]
async fn a_slow_agent_is_waited_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    let message = Issuers::new()?.message(&[API_GATEWAY])?;
    let _api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::SayAfter(SLOW, message))?;
    let began = Instant::now();
    let companion = companion(&folder, &[]).await?;
    while began.elapsed() < SLOW - Duration::from_secs(1) {
        let (ready, token) = (readiness(&companion).await?, companion.ask_token(AUDIENCE, "read:users").await?);
        assert_eq!((&ready["ready"], token.status), (&false.into(), 503), "{ready}");
        sleep(Duration::from_millis(500)).await;
    }
    until_readiness(&companion, "the first message", |found| found["ready"] == true).await?;
    companion.token(AUDIENCE, "read:users").await?;
    Ok(())
}

/// SPIRE takes an identity back for a moment while it replaces the SVIDs of a tainted authority.
#[tokio::test]
async fn a_withdrawal_counts_when_it_lasts() -> Outcome {
    let folder = tempfile::tempdir()?;
    let message = Issuers::new()?.message(&[API_GATEWAY])?;
    let api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::Say(message.clone()))?;
    let mut companion = companion(&folder, &[]).await?;
    companion.ready().await?;

    api.behave(Behaviour::Fail(Code::PermissionDenied));
    let said = |found: &Value| found["identity"]["live"] == false;
    until_readiness(&companion, "the withdrawal to be known", said).await?;
    let token = companion.token(AUDIENCE, "read:users").await;
    api.behave(Behaviour::Say(message));
    until_readiness(&companion, "the identity to be back", is_well).await?;
    token?;

    api.behave(Behaviour::Fail(Code::PermissionDenied));
    let gone = |found: &Value| found["identity"]["spiffe_id"].is_null();
    let found = until_readiness(&companion, "the withdrawal to count", gone).await?;
    assert_eq!(found["ready"], false, "{found}");
    assert_eq!(companion.ask_token(AUDIENCE, "read:users").await?.status, 503);
    assert_eq!(companion.admin("/v1/bundle").await?.status, 200, "the bundle is still handed out");
    Ok(())
}

/// The same: a trust domain that is not in a message for a moment.
#[tokio::test]
async fn a_trust_domain_is_gone_when_that_lasts() -> Outcome {
    let folder = tempfile::tempdir()?;
    let good = Issuers::new()?.message(&[API_GATEWAY])?;
    let partial = X509SvidResponse { federated_bundles: HashMap::new(), ..good.clone() };
    let api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::Say(good.clone()))?;
    let mut companion = companion(&folder, &[]).await?;
    companion.ready().await?;
    let signed = companion.admin("/v1/bundle").await?.text();
    let has = |found: &Value| found["bundle"]["trust_domains"].get(PARTNER).is_some();

    api.behave(Behaviour::Say(partial.clone()));
    let noticed = |found: &Value| found["identity"]["error"].to_string().contains(PARTNER);
    until_readiness(&companion, "the message to be noticed", noticed).await?;
    api.behave(Behaviour::Say(good));
    let found = until_readiness(&companion, "the trust domain to be back", is_well).await?;
    assert!(has(&found), "{found}");
    assert_eq!(companion.admin("/v1/bundle").await?.text(), signed, "nothing was signed meanwhile");

    api.behave(Behaviour::Say(partial));
    until_readiness(&companion, "the trust domain to be gone", |found| !has(found) && is_well(found)).await?;
    Ok(())
}

/// Two companions look after one Envoy. The agent of one hangs, while that of the other says that an authority is gone.
#[tokio::test]
async fn an_agent_that_hangs_brings_back_no_removed_authority() -> Outcome {
    let folder = tempfile::tempdir()?;
    let one = Issuers::new()?.message(&[API_GATEWAY])?;
    let mut two = one.clone();
    two.svids[0].bundle.extend(Authority::new(TRUST_DOMAIN)?.der()?);
    let api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::Say(two.clone()))?;
    let other_socket = folder.path().join("other.sock");
    let other_api = FakeWorkloadApi::start(&other_socket, Behaviour::Say(two))?;
    let stack = Stack::builder(Tools::find()?).identity(identity(&folder)?);
    let starting = starting().await;
    let stack = stack.start(&folder.path().join("stack")).await?;
    drop(starting);

    let state = folder.path().join("other");
    fs::create_dir(&state)?;
    fs::copy(stack.folder.join("envelope.jwk"), state.join("envelope.jwk"))?;
    let ports = Ports { control: stack.ports.control, ..Ports::free() };
    let other = Identity::WorkloadApi { socket: other_socket, program: Tools::find()?.scbte };
    let other = Companion::builder(&stack.tools, &state, &ports).identity(other);
    let other = other.start(&folder.path().join("other.log")).await?;
    let authorities = |status: &Status| status.trust_domains.get(TRUST_DOMAIN).copied();
    stack.settled_with(|status| authorities(status) == Some(2)).await?;

    api.behave(Behaviour::Hang);
    other_api.behave(Behaviour::Say(one));
    stack.settled_with(|status| authorities(status) == Some(1)).await?;
    let began = Instant::now();
    // Both would have signed again by then, and contested many times.
    while began.elapsed() < Duration::from_secs(75) {
        assert_eq!(authorities(&stack.control().status().await?), Some(1), "after {:?}", began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    let hangs = readiness(stack.companion()?).await?;
    assert_eq!(hangs["identity"]["live"], false, "{hangs}");
    assert_eq!(readiness(&other).await?["targets"][0]["state"], "in_sync");
    Ok(())
}

#[tokio::test]
async fn of_several_svids_the_first_or_the_named_one_mints() -> Outcome {
    for (more, expected) in [(&[][..], ORDER_SERVICE), (&["--spiffe-id", API_GATEWAY], API_GATEWAY)] {
        let folder = tempfile::tempdir()?;
        let issuers = Issuers::new()?;
        let message = issuers.message(&[ORDER_SERVICE, API_GATEWAY])?;
        let api = FakeWorkloadApi::start(&folder.path().join("agent.sock"), Behaviour::Say(message))?;
        let mut companion = companion(&folder, more).await?;
        companion.ready().await?;
        let before = Minted::parse(&companion.token(AUDIENCE, "read:users").await?)?;
        assert_eq!(before.claims["sub"], expected, "{more:?}");

        // Somebody registers another workload, which comes first now.
        api.behave(Behaviour::Say(issuers.message(&[API_GATEWAY, ORDER_SERVICE])?));
        let token = eventually("an SVID of the new message", SOON, async || {
            let token = companion.token(AUDIENCE, "read:users").await?;
            let is_new = Minted::parse(&token).is_ok_and(|minted| minted.serial() != before.serial());
            Ok(if is_new { Ok(token) } else { Err("the old one".to_owned()) })
        })
        .await?;
        let renewed = Minted::parse(&token)?;
        assert_eq!(renewed.claims["sub"], expected, "{more:?}: it stays who it was");
    }
    Ok(())
}
