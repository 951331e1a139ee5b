//! Policies from the companion: a change takes effect on every worker without a restart and without a lost call, and what
//! admission refuses changes nothing.

use crate::support::{Failure, Outcome, Own, SOON, USERS, gateway, start, until};
use scbte_host_tests::fixture::{Error, Listener, Load, Ports, Request, Stack, StackBuilder, eventually};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

/// Allows the demo's call, and one more context.
fn policy(context: &str) -> String {
    format!(
        "package scbte\n\ndefault allow := false\n\nallow if input.ctx == \"read:users\"\n\nallow if input.ctx == \"{context}\"\n"
    )
}

/// A stack whose policy is a folder that the companion watches.
async fn watched(folder: &Path, build: impl FnOnce(StackBuilder) -> StackBuilder) -> Result<Own, Failure> {
    let folder = folder.display().to_string();
    start(|builder| {
        build(builder).companion_with(&["--policy", &folder]).edit(|config| {
            config.edit_filter(Listener::Data, |filter| {
                filter["policy"] = json!({"source": "companion"});
                if let Some(pull) = filter["trust"].get_mut("pull") {
                    pull["interval"] = json!("1s");
                }
            })
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

/// Waits until every worker runs the companion's policy, and that answers so.
async fn everywhere(stack: &Stack, context: &str, expected: u16) -> Outcome {
    let call = call(stack, context)?;
    eventually("the policy on every worker", SOON, async || {
        let newest = readiness(stack).await?["policy"]["digest"].as_str().map(str::to_owned);
        let status = stack.control().status().await?;
        let everywhere = newest.is_some() && status.roots.iter().all(|root| root.policy == newest);
        let found = stack.send(&call).await?.status;
        Ok(if everywhere && found == expected { Ok(()) } else { Err(format!("{found}; {newest:?}; {status:?}")) })
    })
    .await?;
    Ok(())
}

async fn readiness(stack: &Stack) -> Result<Value, Error> {
    Ok(stack.companion()?.admin("/readyz").await?.json())
}

#[tokio::test]
async fn a_policy_changes_without_a_restart_and_without_a_lost_call() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(folder.path(), &policy("read:reports"))?;
    let stack = watched(folder.path(), |builder| builder).await?;
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

#[tokio::test]
async fn a_policy_is_pulled_as_trust_bundles_are() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(folder.path(), &policy("read:reports"))?;
    let ports = Ports::free();
    let companion = format!("127.0.0.1:{}", ports.admin);
    let pull = ["--pull-cluster", "scbte_companion", "--companion", &companion, "--no-control"];
    let mut stack =
        watched(folder.path(), |builder| builder.ports(ports).without_push().render_with(&pull).without_envoy())
            .await?;
    stack.start_envoy().await?;
    let (reports, invoices) = (call(&stack, "read:reports")?, call(&stack, "read:invoices")?);
    until(&stack, "the first policy", &reports, |response| response.status == 200).await?;

    write(folder.path(), &policy("read:invoices"))?;
    until(&stack, "the new policy", &invoices, |response| response.status == 200).await?;
    until(&stack, "the old one to be gone", &reports, |response| response.status == 403).await?;
    let metrics = stack.envoy()?.prometheus().await?;
    assert!(metrics.contains(r#"scbte_policy_pulls_total{result="ok"}"#), "pulls are not counted");
    Ok(())
}

/// A folder as the kubelet swaps a ConfigMap: rule and data of one version, by one rename.
fn swap(folder: &Path, word: &str) -> Outcome {
    let version = folder.join(format!("..{word}"));
    fs::create_dir(&version)?;
    let rego = format!(
        r#"package scbte

allow := {{"allow": true, "headers": {{"x-rule": "{word}", "x-data": data.word}}}}
"#
    );
    fs::write(version.join("allow.rego"), rego)?;
    fs::write(version.join("data.json"), json!({"word": word}).to_string())?;
    symlink(format!("..{word}"), folder.join("..next"))?;
    fs::rename(folder.join("..next"), folder.join("..data"))?;
    for name in ["allow.rego", "data.json"] {
        if folder.join(name).symlink_metadata().is_err() {
            symlink(format!("..data/{name}"), folder.join(name))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_call_sees_half_of_a_change() -> Outcome {
    let folder = tempfile::tempdir()?;
    swap(folder.path(), "first")?;
    let stack = watched(folder.path(), |builder| builder).await?;
    let call = call(&stack, "read:users")?;
    for word in ["second", "third", "fourth"] {
        swap(folder.path(), word)?;
        until(&stack, "the change", &call, |response| {
            let headers = &response.json()["headers"];
            assert_eq!(headers["x-rule"], headers["x-data"], "a mix");
            headers["x-rule"] == word
        })
        .await?;
    }
    Ok(())
}
