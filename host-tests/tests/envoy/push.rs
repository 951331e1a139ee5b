//! How trust bundles get to Envoy: whoever starts first, and with two companions on one Envoy.

use crate::support::{Failure, Outcome, SOON, assert_serves, gateway, good_call, start, until};
use crate::verdicts;
use scbte_host_tests::fixture::{Companion, Ports, Request, Stack, TRUST_DOMAIN, eventually};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test]
async fn an_envoy_that_starts_after_its_companion_is_served() -> Outcome {
    let mut stack = start(|builder| builder.without_envoy()).await?;
    in_state(stack.companion()?, "away").await?;
    stack.start_envoy().await?;
    let began = Instant::now();
    let call = good_call(&stack).await?;
    until(&stack, "the first good call", &call, |response| response.status == 200).await?;
    assert!(began.elapsed() < Duration::from_secs(5), "served after {:?}", began.elapsed());
    in_state(stack.companion()?, "in_sync").await
}

#[tokio::test]
async fn an_envoy_that_starts_before_its_companion_waits_for_it() -> Outcome {
    let mut stack = start(|builder| builder.without_companion()).await?;
    verdicts::without_a_bundle_it_cannot_judge(&stack).await?;
    stack.start_companion().await?;
    stack.settled().await?;
    assert_serves(&stack, "with the companion").await?;

    // It is in nobody's way when it is gone; a new one carries on.
    let token = gateway(&stack)?.good_token("read:users");
    stack.stop_companion()?;
    let response = stack.send(&Request::get("/api/v1/users").bearer(&token)).await?;
    assert_eq!(response.status, 200, "without the companion: {}", response.text());
    let seq = stack.control().status().await?.seq;
    // What it remembers beside its key is lost: the clock orders envelopes as well.
    fs::remove_file(stack.folder.join("envelope.seq"))?;
    stack.start_companion().await?;
    stack.settled_with(|status| status.seq > seq).await?;
    assert_serves(&stack, "with a new companion").await
}

#[tokio::test]
async fn two_companions_on_one_envoy_do_not_fight() -> Outcome {
    let stack = start(|builder| builder).await?;
    let second = stack.folder.join("second");
    fs::create_dir(&second)?;
    for name in ["ca.pem", "ca.key", "envelope.jwk"] {
        fs::copy(stack.folder.join(name), second.join(name))?;
    }
    let ports = Ports { control: stack.ports.control, ..Ports::free() };
    let other = Companion::builder(&stack.tools, &second, &ports).start(&stack.folder.join("second.log")).await?;
    let both = [stack.companion()?, &other];
    in_sync(&both).await?;
    they_keep_still(&stack).await?;
    assert_eq!(conflicts(&both).await?, [0, 0]);

    // One learns of a new CA before the other one does: that settles too, once both have it.
    stack.scbte().dev_ca("prepare").await?;
    sleep(Duration::from_secs(2)).await;
    fs::copy(stack.folder.join("ca.pem"), second.join("ca.new"))?;
    fs::rename(second.join("ca.new"), second.join("ca.pem"))?;
    stack.settled_with(|status| status.trust_domains.get(TRUST_DOMAIN) == Some(&2)).await?;
    in_sync(&both).await?;
    let before = conflicts(&both).await?;
    they_keep_still(&stack).await?;
    assert_eq!(conflicts(&both).await?, before, "they go on fighting");
    assert_serves(&stack, "with two companions").await
}

/// Waits until companions call themselves ready, and what they say of their Envoy is that it has their bundle.
async fn in_sync(companions: &[&Companion]) -> Outcome {
    for companion in companions {
        in_state(companion, "in_sync").await?;
    }
    Ok(())
}

async fn in_state(companion: &Companion, state: &str) -> Outcome {
    let what = format!("a companion to be ready and its Envoy `{state}`");
    eventually(&what, SOON, async || {
        let ready = companion.admin("/readyz").await?;
        let found = ready.json()["targets"][0]["state"] == state;
        Ok(if ready.status == 200 && found { Ok(()) } else { Err(ready.text()) })
    })
    .await?;
    Ok(())
}

/// Each companion signs anew once a minute; two that fight would do so all the time.
async fn they_keep_still(stack: &Stack) -> Outcome {
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        seen.extend(stack.control().status().await?.seq);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(seen.len() <= 3, "they go on pushing: {seen:?}");
    Ok(())
}

/// `scbte_bundle_conflicts_total` of each.
async fn conflicts(both: &[&Companion]) -> Result<Vec<u64>, Failure> {
    let mut counts = Vec::new();
    for companion in both {
        let metrics = companion.admin("/metrics").await?.text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("scbte_bundle_conflicts_total ")?.parse().ok());
        counts.push(count.unwrap_or_else(|| panic!("no scbte_bundle_conflicts_total in:\n{metrics}")));
    }
    Ok(counts)
}
