//! A new configuration of a running Envoy, over LDS: it takes effect without a restart, keeps the trust bundle, and one
//! that the filter refuses changes nothing.

use crate::support::{Outcome, Own, SOON, assert_admitted, assert_refused, assert_serves, good_call, start, until};
use scbte_host_tests::fixture::{Error, Listener, Stack, eventually};
use serde_json::{Value, json};

const DENY_ALL: &str = "package scbte\n\nallow := {\"allow\": false, \"reason\": \"closed\"}\n";

/// Delivers the data listener with a changed filter configuration.
fn reload(stack: &Own, edit: impl FnOnce(&mut Value)) -> Result<(), Error> {
    stack.reload(|config| config.edit_filter(Listener::Data, edit))
}

async fn counted(stack: &Stack, counter: &str, beyond: u64) -> Result<(), Error> {
    eventually(&format!("{counter} beyond {beyond}"), SOON, async || {
        let count = stack.envoy()?.stat(counter).await?;
        Ok(if count > beyond { Ok(()) } else { Err(count.to_string()) })
    })
    .await
}

#[tokio::test]
async fn a_new_configuration_is_taken_or_refused_whole() -> Outcome {
    let mut stack = start(|builder| builder.watched()).await?;
    one_that_the_filter_refuses_changes_nothing(&stack).await?;
    a_good_one_takes_effect_and_keeps_the_trust_bundle(&mut stack).await
}

async fn one_that_the_filter_refuses_changes_nothing(stack: &Own) -> Outcome {
    const REJECTED: &str = "listener_manager.lds.update_rejected";
    let edits: [(&str, fn(&mut Value)); 6] = [
        ("an unknown member", |filter| filter["polciy"] = json!({})),
        ("no audiences", |filter| filter["audiences"] = json!([])),
        ("no policy", |filter| filter["policy"] = json!({})),
        ("a policy that does not compile", |filter| filter["policy"]["rego"] = "package scbte\nallow if".into()),
        ("a policy that recurs", |filter| filter["policy"]["rego"] = "package scbte\nallow if b\nb if allow".into()),
        ("a control listener's member", |filter| filter["control"] = json!({})),
    ];
    for (name, edit) in edits {
        let before = stack.envoy()?.stat(REJECTED).await?;
        reload(stack, edit)?;
        counted(stack, REJECTED, before).await.map_err(|error| Error::Config(format!("{name}: {error}")))?;
        assert_serves(stack, name).await?;
    }
    Ok(())
}

async fn a_good_one_takes_effect_and_keeps_the_trust_bundle(stack: &mut Own) -> Outcome {
    let call = good_call(stack).await?;
    assert_admitted(&stack.send(&call).await?, "before");
    // What is in shared data must do: nobody pushes.
    stack.stop_companion()?;

    reload(stack, |filter| filter["policy"]["rego"] = DENY_ALL.into())?;
    let denied = until(stack, "the new policy", &call, |response| response.status == 403).await?;
    assert_refused(&denied, 403, "closed", "another policy");

    reload(stack, |filter| {
        filter["policy"]["rego"] = DENY_ALL.into();
        filter["mode"] = "shadow".into();
    })?;
    until(stack, "shadow mode", &call, |response| response.status == 200).await?;

    reload(stack, |filter| filter["audiences"] = json!(["billing"]))?;
    let refused = until(stack, "other audiences", &call, |response| response.status == 401).await?;
    assert_refused(&refused, 401, "audience_mismatch", "other audiences");

    reload(stack, |_| ())?;
    until(stack, "the first configuration", &call, |response| response.status == 200).await?;
    assert_admitted(&stack.send(&call).await?, "as before");
    Ok(())
}
