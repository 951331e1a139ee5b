//! Pull: where no control listener can be added, the filter fetches trust bundles from the companion.

use crate::support::{Outcome, assert_admitted, good_call, start, until};
use scbte_host_tests::fixture::{API_GATEWAY, Authority, Ports, Request};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_filter_fetches_what_nobody_pushes() -> Outcome {
    let ports = Ports::free();
    let companion = format!("127.0.0.1:{}", ports.admin);
    let mut stack = start(|builder| {
        let pull = ["--pull-cluster", "scbte_companion", "--companion", &companion, "--no-control"];
        builder.ports(ports).render_with(&pull).without_envoy()
    })
    .await?;
    stack.start_envoy().await?;
    let began = Instant::now();
    let call = good_call(&stack).await?;
    until(&stack, "the first good call", &call, |response| response.status == 200).await?;
    assert!(began.elapsed() < Duration::from_secs(5), "served after {:?}", began.elapsed());

    // A token of an authority that is not known yet makes the filter look for a newer bundle at once.
    stack.scbte().dev_ca("prepare").await?;
    stack.scbte().dev_ca("activate").await?;
    let token = Authority::load(&stack.folder)?.issue(API_GATEWAY)?.good_token("read:users");
    let call = Request::get("/api/v1/users").bearer(&token);
    let began = Instant::now();
    let response = until(&stack, "the new authority", &call, |response| response.status == 200).await?;
    assert_admitted(&response, "by the new authority");
    assert!(began.elapsed() < Duration::from_secs(10), "not before the interval was over: {:?}", began.elapsed());
    let metrics = stack.envoy()?.prometheus().await?;
    assert!(metrics.contains(r#"scbte_bundle_pulls_total{result="ok"}"#), "pulls are not counted");
    Ok(())
}
