//! The configurations of SPIRE that the README goes by are ones that SPIRE takes.

use crate::support::Outcome;
use scbte_host_tests::fixture::spire::SpireTools;
use std::path::Path;
use std::process::Command;

#[test]
fn the_shipped_configurations_are_valid() -> Outcome {
    let tools = SpireTools::find()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-config/spire");
    for (program, name) in [(&tools.server, "server.conf"), (&tools.agent, "agent.conf")] {
        let output = Command::new(program).args(["validate", "-config"]).arg(folder.join(name)).output()?;
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}
