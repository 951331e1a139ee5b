//! Policies from the companion: a change takes effect on every worker without a restart and without a lost call, and what
//! admission refuses changes nothing.

use crate::support::{Failure, Outcome, Own, SOON, USERS, gateway, start, until};
use scbte_host_tests::fixture::{Error, Listener, Load, Request, Stack, eventually};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Allows the demo's call, and one more context.
fn policy(context: &str) -> String {
    format!(
        "package scbte\n\ndefault allow := false\n\nallow if input.ctx == \"read:users\"\n\nallow if input.ctx == \"{context}\"\n"
    )
}

/// A stack whose policy is a folder that the companion watches.
async fn watched(folder: &Path) -> Result<Own, Failure> {
    let arguments = ["--policy".to_owned(), folder.display().to_string()];
    start(move |builder| {
        builder.companion_with(&[arguments[0].as_str(), arguments[1].as_str()]).edit(|config| {
            config.edit_filter(Listener::Data, |filter| filter["policy"] = json!({"source": "companion"}))
        })
    })
    .await
}

/// Replaces the policy as an editor does.
fn write(folder: &Path, text: &str) -> Outcome {
    fs::write(folder.join("allow.new"), text)?;
    fs::rename(folder.join("allow.new"), folder.join("allow.rego"))?;
    Ok(())
}

fn call(stack: &Stack, context: &str) -> Result<Request, Error> {
    Ok(Request::get(USERS).bearer(&gateway(stack)?.good_token(context)))
}

/// Waits until every worker runs what the status says; each of a few calls meets another one.
async fn everywhere(stack: &Stack, context: &str, status: u16) -> Outcome {
    let call = call(stack, context)?;
    for _ in 0..8 {
        until(stack, "the new policy on every worker", &call, |response| response.status == status).await?;
    }
    Ok(())
}

async fn readiness(stack: &Stack) -> Result<Value, Error> {
    Ok(stack.companion()?.admin("/readyz").await?.json())
}

#[tokio::test]
async fn a_policy_changes_without_a_restart_and_without_a_lost_call() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(folder.path(), &policy("read:reports"))?;
    let stack = watched(folder.path()).await?;
    everywhere(&stack, "read:reports", 200).await?;
    let load = Load::start(stack.ports, 100).await?;

    let changed = Instant::now();
    write(folder.path(), &policy("read:invoices"))?;
    everywhere(&stack, "read:invoices", 200).await?;
    println!("figure: a changed policy is in force on every worker after {:.2} s", changed.elapsed().as_secs_f64());
    everywhere(&stack, "read:reports", 403).await?;

    write(folder.path(), "package scbte\n\nallow if {\n")?;
    let refused = eventually("the companion to say what is wrong", SOON, async || {
        let found = readiness(&stack).await?;
        Ok(if found["policy"]["error"].is_string() { Ok(found) } else { Err(found.to_string()) })
    })
    .await?;
    assert!(refused["policy"]["error"].to_string().contains("allow.rego:"), "{refused}");
    assert_eq!(refused["ready"], true, "the last good policy is in force");
    everywhere(&stack, "read:invoices", 200).await?;

    write(folder.path(), &policy("read:reports"))?;
    everywhere(&stack, "read:reports", 200).await?;
    everywhere(&stack, "read:invoices", 403).await?;
    let tally = load.stop();
    assert!(tally.good > 100 && tally.lost.count == 0, "{tally:?}");
    Ok(())
}

#[tokio::test]
async fn until_a_policy_is_there_nothing_passes() -> Outcome {
    let stack = start(|builder| {
        builder.edit(|config| {
            config.edit_filter(Listener::Data, |filter| filter["policy"] = json!({"source": "companion"}))
        })
    })
    .await?;
    let refused = stack.send(&call(&stack, "read:users")?).await?;
    assert_eq!((refused.status, refused.member("error").as_deref()), (503, Some("policy_unavailable")));
    Ok(())
}
