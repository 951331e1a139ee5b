//! Two trust domains, each with a SPIRE of its own: foreign tokens are admitted while they are federated, and each chain
//! is validated against its own domain's authorities only.

use crate::support::{Failure, Outcome, USERS, World, assert_admitted_as, assert_refused, until};
use scbte_host_tests::fixture::spire::{Spire, SpireTools, UpstreamAuthority};
use scbte_host_tests::fixture::{API_GATEWAY, AUDIENCE, Authority, Companion, Request, Stack, TRUST_DOMAIN, Tools};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The foreign trust domain.
const PARTNER: &str = "partner.example";
/// Its workload.
const REPORTER: &str = "/ns/billing/sa/reporter";

#[tokio::test]
async fn foreign_workloads_are_admitted_while_federated() -> Outcome {
    let policy = tempfile::tempdir()?;
    let tools = Tools { policy: policy_that_knows_the_partner(policy.path())?, ..Tools::find()? };
    let world = World::builder()?.stack(|_| Stack::builder(tools)).start().await?;
    let root = Authority::new(PARTNER)?;
    let partner = partner(&world, &root).await?;
    let reporter = reporter(&world, &partner).await?;

    refused(&world, &reporter, "before").await?;
    world.spire.server.set_bundle(PARTNER, &partner.server.bundle().await?).await?;
    refused(&world, &reporter, "known to SPIRE, but not to this workload").await?;

    let federated = world.entry().federates_with(PARTNER);
    world.spire.server.update(&world.registration, &federated).await?;
    let call = admitted(&world, &reporter, "federated").await?;
    world.assert_serves("our own, federated").await?;
    it_vouches_for_its_own_only(&world, &root).await?;

    world.spire.server.update(&world.registration, &world.entry()).await?;
    refused_again(&world, &reporter, &call, "the entry does not federate any more").await?;

    world.spire.server.update(&world.registration, &federated).await?;
    let call = admitted(&world, &reporter, "federated again").await?;
    world.spire.server.delete_bundle(PARTNER).await?;
    refused_again(&world, &reporter, &call, "the federation is over").await?;
    world.assert_serves("our own, after the federation").await
}

/// The demo's policy, with one grant more.
fn policy_that_knows_the_partner(folder: &Path) -> std::io::Result<PathBuf> {
    let demo = Tools::find().map_err(std::io::Error::other)?.policy;
    fs::copy(demo.join("allow.rego"), folder.join("allow.rego"))?;
    let mut data: Value = serde_json::from_slice(&fs::read(demo.join("data.json"))?)?;
    data["grants"][format!("spiffe://{PARTNER}{REPORTER}")] = json!(["read:users"]);
    fs::write(folder.join("data.json"), data.to_string())?;
    Ok(folder.to_owned())
}

/// The partner's SPIRE, below an authority that the test has the key of.
async fn partner(world: &World, root: &Authority) -> Result<Spire, Failure> {
    let folder = world.folder().join("partner");
    fs::create_dir(&folder)?;
    let (certificate, key) = (folder.join("root.crt"), folder.join("root.key"));
    root.write(&certificate, &key)?;
    let builder = Spire::builder(SpireTools::find()?, PARTNER).upstream(UpstreamAuthority { certificate, key });
    Ok(builder.start(&folder).await?)
}

/// The partner's workload.
async fn reporter(world: &World, partner: &Spire) -> Result<Companion, Failure> {
    let program = partner.workload(&world.tools.scbte, "reporter").await?;
    partner.server.create(&partner.entry(&program, REPORTER)).await?;
    let mut reporter = world.another_companion(partner, &program).await?;
    reporter.ready().await?;
    Ok(reporter)
}

async fn call(reporter: &Companion) -> Result<Request, Failure> {
    Ok(Request::get(USERS).bearer(&reporter.token(AUDIENCE, "read:users").await?))
}

async fn refused(world: &World, reporter: &Companion, name: &str) -> Outcome {
    let response = world.send(&call(reporter).await?).await?;
    assert_refused(&response, 401, "unknown_trust_domain", name);
    Ok(())
}

/// Waits until it is admitted on every worker; returns the call.
async fn admitted(world: &World, reporter: &Companion, name: &str) -> Result<Request, Failure> {
    let call = call(reporter).await?;
    until(world, name, &call, |response| response.status == 200).await?;
    world.settled().await?;
    assert_admitted_as(&format!("spiffe://{PARTNER}{REPORTER}"), &world.send(&call).await?, name);
    Ok(call)
}

/// With the very token that was admitted, too: what is remembered of it must not help.
async fn refused_again(world: &World, reporter: &Companion, admitted: &Request, name: &str) -> Outcome {
    until(world, name, admitted, |response| response.status != 200).await?;
    world.settled().await?;
    assert_refused(&world.send(admitted).await?, 401, "unknown_trust_domain", name);
    refused(world, reporter, name).await
}

async fn it_vouches_for_its_own_only(world: &World, root: &Authority) -> Outcome {
    for (name, forger) in [
        ("our name, vouched for by the partner's root", root),
        ("the same, with an intermediate of our name", &root.intermediate(TRUST_DOMAIN)?),
    ] {
        let token = forger.issue(API_GATEWAY)?.good_token("read:users");
        let response = world.send(&Request::get(USERS).bearer(&token)).await?;
        assert_refused(&response, 401, "untrusted_chain", name);
    }
    Ok(())
}
