//! The demo itself, as a person runs it.

use crate::support::{Failure, Outcome, SOON};
use scbte_host_tests::fixture::{Error, Ports, Process, Request, Tools, eventually, send};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn demo(folder: &Path, ports: &Ports, arguments: &[&str]) -> Result<Command, Failure> {
    let tools = Tools::find()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_scbte-demo"));
    command.args(arguments).arg("--state-dir").arg(folder.join("demo")).envs(ports.environment());
    command.env("ENVOY_PATH", tools.envoy).env("SCBTE_BIN", tools.scbte).env("SCBTE_WASM", tools.wasm);
    Ok(command)
}

async fn finish(command: Command) -> Result<Output, Failure> {
    Ok(tokio::process::Command::from(command).kill_on_drop(true).output().await?)
}

#[tokio::test]
async fn the_story_is_as_it_should_be() -> Outcome {
    let folder = tempfile::tempdir()?;
    let output = finish(demo(folder.path(), &Ports::free(), &["--check"])?).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains("FAILED") && !told.contains('\x1b'), "{told}");
    for part in [
        "started in ",
        "read:users as api-gateway ",
        "→ 200  upstream saw spiffe://cluster.local/ns/production/sa/api-gateway",
        "→ 401  missing_bearer_token",
        "→ 401  expired",
        "→ 401  audience_mismatch",
        "→ 401  subject_mismatch",
        "→ 403  context_not_granted",
        "→ 400  ambiguous_path",
        "→ 401  untrusted_chain",
        " 0 lost",
        "served again",
        ", 0 failed",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_named_before_anything_starts() -> Outcome {
    let ports = Ports::free();
    for (port, (variable, _)) in
        [ports.data, ports.envoy_admin, ports.control, ports.token, ports.admin, ports.upstream]
            .iter()
            .zip(ports.environment())
    {
        let folder = tempfile::tempdir()?;
        let taken = TcpListener::bind(("127.0.0.1", *port))?;
        let output = finish(demo(folder.path(), &ports, &["--check"])?).await?;
        drop(taken);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains(&format!("port {port}")) && said.contains(variable), "{said}");
        assert!(!folder.path().join("demo").exists(), "something was started");
    }
    Ok(())
}

#[tokio::test]
async fn it_stays_up_and_ends_whole() -> Outcome {
    let folder = tempfile::tempdir()?;
    let ports = Ports::free();
    let log = folder.path().join("demo.log");
    let mut process = Process::start("the demo", demo(folder.path(), &ports, &["--up"])?, &log)?;
    eventually("the demo to be up", Duration::from_secs(180), async || {
        process.check_running()?;
        let told = process.log();
        Ok(if told.contains("Up until Ctrl-C") { Ok(()) } else { Err(told) })
    })
    .await?;
    try_what_it_says(&process.log(), folder.path()).await?;
    let status = process.stop()?;
    assert_eq!(status.code(), Some(0), "ended by SIGTERM: {}", process.log());
    for port in [ports.data, ports.envoy_admin, ports.control, ports.token, ports.admin, ports.upstream] {
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "somebody still listens on port {port}");
    }
    Ok(())
}

/// Runs the lines that the demo gives to copy, in a shell, as they are.
async fn try_what_it_says(told: &str, folder: &Path) -> Outcome {
    let tools = Tools::find()?;
    std::fs::create_dir(folder.join("target"))?;
    std::os::unix::fs::symlink(&tools.scbte, folder.join("target/scbte"))?;
    let start = told.find("Up until Ctrl-C").unwrap_or_default();
    let lines = told[start..].lines().filter(|line| line.contains("target/scbte ") || line.contains("curl "));
    let script = lines.map(|line| format!("{}\n", line.trim())).collect::<String>();
    let mut shell = tokio::process::Command::new("bash");
    let output = shell.args(["-e", "-o", "pipefail", "-c", &script]).current_dir(folder).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in
        ["HTTP/1.1 200", "HTTP/1.1 403", "not_permitted", "\"token\"", "\"trust_domains\"", "scbte_requests_total"]
    {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    Ok(())
}

#[tokio::test]
async fn an_interrupted_start_leaves_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let ports = Ports::free();
    let log = folder.path().join("demo.log");
    let mut process = Process::start("the demo", demo(folder.path(), &ports, &["--check"])?, &log)?;
    eventually("the companion to answer", SOON, async || {
        let answer = send(ports.token, &Request::get("/healthz")).await;
        Ok::<_, Error>(answer.map(drop).map_err(|error| error.to_string()))
    })
    .await?;
    let status = process.stop()?;
    assert_eq!(status.code(), Some(128 + 15));
    for port in [ports.data, ports.envoy_admin, ports.control, ports.token, ports.admin, ports.upstream] {
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "somebody still listens on port {port}");
    }
    Ok(())
}
