//! Which SVID a companion mints with, and which it cannot.

use crate::support::{Failure, GATEWAY, ORDER_SERVICE as ORDER_SERVICE_PATH, Outcome, until_readiness};
use crate::token::Minted;
use scbte_host_tests::fixture::spire::{KeyType, Spire, SpireTools};
use scbte_host_tests::fixture::{API_GATEWAY, AUDIENCE, Companion, ORDER_SERVICE, Ports, TRUST_DOMAIN, Tools};
use std::path::Path;

/// A companion that is this workload, ready or not.
async fn companion(spire: &Spire, program: &Path, state: &Path, more: &[&str]) -> Result<Companion, Failure> {
    std::fs::create_dir_all(state)?;
    let builder = Companion::builder(&Tools::find()?, state, &Ports::free()).identity(spire.identity(program));
    Ok(builder.without_push().with(more).launch(&state.join("companion.log")).await?)
}

#[tokio::test]
async fn a_key_that_is_not_p256_is_refused_by_name_of_the_setting() -> Outcome {
    for key_type in [KeyType::EcP384, KeyType::Rsa2048] {
        let folder = tempfile::tempdir()?;
        let builder = Spire::builder(SpireTools::find()?, TRUST_DOMAIN).svid_key_type(key_type);
        let spire = builder.start(&folder.path().join("spire")).await?;
        let program = spire.workload(&Tools::find()?.scbte, "gateway").await?;
        spire.server.create(&spire.entry(&program, GATEWAY)).await?;
        let companion = companion(&spire, &program, &folder.path().join("state"), &[]).await?;
        let told = |found: &serde_json::Value| {
            found["identity"]["error"].as_str().is_some_and(|why| why.contains("workload_x509_svid_key_type"))
        };
        let found = until_readiness(&companion, &format!("{key_type:?} to be refused"), told).await?;
        assert_eq!(found["ready"], false, "{key_type:?}: {found}");
        let answer = companion.ask_token(AUDIENCE, "read:users").await?;
        let error = answer.member("error");
        assert_eq!((answer.status, error.as_deref()), (503, Some("identity_unavailable")), "{key_type:?}");
    }
    Ok(())
}

#[tokio::test]
async fn of_several_identities_the_named_one_mints() -> Outcome {
    let folder = tempfile::tempdir()?;
    let spire = Spire::builder(SpireTools::find()?, TRUST_DOMAIN).start(&folder.path().join("spire")).await?;
    let program = spire.workload(&Tools::find()?.scbte, "both").await?;
    for path in [GATEWAY, ORDER_SERVICE_PATH] {
        spire.server.create(&spire.entry(&program, path)).await?;
    }
    for wanted in [API_GATEWAY, ORDER_SERVICE] {
        let state = folder.path().join(wanted.rsplit('/').next().unwrap_or_default());
        let mut companion = companion(&spire, &program, &state, &["--spiffe-id", wanted]).await?;
        companion.ready().await?;
        let minted = Minted::parse(&companion.token(AUDIENCE, "read:users").await?)?;
        assert_eq!(minted.claims["sub"], wanted);
    }
    let nobody = "spiffe://cluster.local/nobody";
    let companion = companion(&spire, &program, &folder.path().join("nobody"), &["--spiffe-id", nobody]).await?;
    let told = |found: &serde_json::Value| {
        let why = found["identity"]["error"].as_str().unwrap_or_default();
        [nobody, API_GATEWAY, ORDER_SERVICE].iter().all(|id| why.contains(id))
    };
    until_readiness(&companion, "to be told which there are", told).await?;
    assert_eq!(companion.ask_token(AUDIENCE, "read:users").await?.status, 503);
    Ok(())
}
