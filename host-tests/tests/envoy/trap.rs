//! A VM that traps: refused while Envoy waits, then served again, with the trust bundle from shared data.

use crate::support::{Outcome, SOON, gateway, start_with};
use scbte_host_tests::fixture::{Request, Tools, eventually};

/// Connections that are enough to reach both workers.
const BOTH_WORKERS: usize = 12;

#[tokio::test]
async fn a_trapped_vm_refuses_and_then_serves_again() -> Outcome {
    let mut stack = start_with(Tools::find()?.with_test_hooks()?, |builder| builder).await?;
    let call = Request::get("/api/v1/users").bearer(&gateway(&stack)?.good_token("read:users"));
    assert_eq!(stack.send(&call).await?.status, 200, "before");
    // Nobody pushes from now on: only shared data has the bundle.
    stack.stop_companion()?;
    let seq = stack.control().status().await?.seq;

    let trap = call.clone().header("x-test-trap", "1");
    for _ in 0..BOTH_WORKERS {
        assert_eq!(stack.send(&trap).await?.status, 503, "the call that traps");
    }
    // In the back-off nothing passes, not even what a bypass would let through.
    let mut refused = 0;
    for _ in 0..BOTH_WORKERS {
        let response = stack.send(&call).await?;
        assert!([200, 503].contains(&response.status), "{}", response.status);
        refused += usize::from(response.status == 503);
    }
    assert!(refused > 0, "no back-off was seen");

    eventually("both workers to serve again", SOON, async || {
        for _ in 0..BOTH_WORKERS {
            let response = stack.send(&call).await?;
            if response.status != 200 {
                return Ok(Err(format!("{} {}", response.status, response.text())));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    let status = stack.settled().await?;
    assert_eq!(status.seq, seq, "without a new push");
    let metrics = stack.envoy()?.prometheus().await?;
    let reloads = metrics.lines().filter(|line| line.contains("vm_reload_success") && !line.ends_with(" 0"));
    assert!(reloads.count() > 0, "Envoy counted no reload");
    Ok(())
}

#[tokio::test]
async fn the_shipped_filter_has_no_way_to_trap() -> Outcome {
    let stack = crate::support::shared().await?;
    for _ in 0..BOTH_WORKERS {
        let response = stack.send(&crate::support::good_call(&stack).await?.header("x-test-trap", "1")).await?;
        assert_eq!(response.status, 200);
    }
    Ok(())
}
