//! What one can try while the demo is up: lines to copy into another terminal.

use crate::tell::Teller;
use scbte_host_tests::fixture::{API_GATEWAY, AUDIENCE, Ports};
use std::path::Path;

/// Says what to try.
pub(crate) fn tell(ports: &Ports, folder: &Path, teller: &Teller) {
    let Ports { data, envoy_admin, control, token, admin, .. } = ports;
    let state = folder.display();
    teller.title("Up until Ctrl-C. Try, in the repository's folder:");
    for (why, lines) in [
        (
            "a token, and a call that is admitted with it",
            format!(
                "TOKEN=$(target/scbte token mint --dev-ca {state} --spiffe-id {API_GATEWAY} --aud {AUDIENCE} --ctx read:users)\n\
                 curl -i -H \"authorization: Bearer $TOKEN\" http://127.0.0.1:{data}/api/v1/users"
            ),
        ),
        (
            "one that is refused: order-service may do that, api-gateway may not",
            format!("curl -i -X POST -H \"authorization: Bearer $TOKEN\" http://127.0.0.1:{data}/api/v1/orders"),
        ),
        ("what is in the token", "target/scbte token inspect \"$TOKEN\"".to_owned()),
        (
            "the same token from the companion, as an application gets it",
            format!(
                "curl -s -H 'content-type: application/json' -d '{{\"aud\":\"{AUDIENCE}\",\"ctx\":\"read:users\"}}' http://127.0.0.1:{token}/token"
            ),
        ),
        (
            "what the filter trusts, and what it counts",
            format!(
                "curl -s http://127.0.0.1:{control}/v1/status\n\
                 curl -s http://127.0.0.1:{envoy_admin}/stats/prometheus | grep scbte_"
            ),
        ),
        ("whether the companion is ready", format!("curl -s http://127.0.0.1:{admin}/readyz")),
    ] {
        teller.note(&format!("# {why}"));
        lines.lines().for_each(|line| println!("  {line}"));
    }
    println!();
    teller.note(&format!(
        "logs: {state}/access.log, {state}/envoy.log, {state}/companion.log; Envoy's configuration: {state}/envoy.yaml"
    ));
}
