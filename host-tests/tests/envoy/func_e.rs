//! The same configuration by func-e.

use crate::support::{Outcome, USERS, assert_refused, assert_serves, start};
use scbte_host_tests::fixture::{Envoy, Process, Request};
use std::env;
use std::path::PathBuf;
use std::process::Command;

#[tokio::test]
async fn func_e_runs_the_same_configuration() -> Outcome {
    let Some(func_e) = env::var_os("FUNC_E").map(PathBuf::from) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "FUNC_E is not set: run ./scripts/setup func-e");
        eprintln!("SKIPPED: FUNC_E is not set, so func-e was not tried");
        return Ok(());
    };
    let stack = start(|builder| builder.without_envoy()).await?;
    let mut command = Command::new(func_e);
    command.arg("run").arg("-c").arg(stack.config_file()).env("ENVOY_PATH", &stack.tools.envoy);
    // Envoys of other tests must not be met in shared memory, nor the user's own files.
    command.args(["--use-dynamic-base-id"]);
    for (variable, folder) in [
        ("FUNC_E_CONFIG_HOME", "config"),
        ("FUNC_E_DATA_HOME", "data"),
        ("FUNC_E_STATE_HOME", "state"),
        ("FUNC_E_RUNTIME_DIR", "run"),
    ] {
        command.env(variable, stack.folder.join("func-e").join(folder));
    }
    let process = Process::start("func-e", command, &stack.folder.join("func-e.log"))?;
    let mut envoy = Envoy::supervise(process, stack.ports.envoy_admin).await?;
    stack.settled().await?;
    assert_serves(&stack, "by func-e").await?;
    assert_refused(&stack.send(&Request::get(USERS)).await?, 401, "missing_bearer_token", "by func-e");
    // func-e ends its Envoy when it is asked to end; a killed one could not.
    envoy.process().stop()?;
    let gone = std::net::TcpListener::bind(("127.0.0.1", stack.ports.data));
    assert!(gone.is_ok(), "func-e left its Envoy behind");
    Ok(())
}
