//! A server's own middleware: Express, with jose for the token and an OPA server that it asks for each request.

use super::{Counter, Running, Setting, answers, clean, spare, stack, start_opa, tool};
use crate::cpu::pinned;
use crate::error::Error;
use crate::tokens::ISSUER;
use scbte_host_tests::fixture::{AUDIENCE, Ports, Process, Stack};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

const MODULES: &str = "run ./scripts/setup middleware, or set SCBTE_MIDDLEWARE";
const OPA: &str = "run ./scripts/setup opa, or set OPA_PATH";

pub(super) async fn start(setting: &Setting<'_>) -> Result<Running, Error> {
    let opa = opa_program()?;
    // Only its ports: Envoy has no part in it.
    let stack = stack(setting, Ports::free(), |_| Ok(())).await?;
    let (health, _) = spare(&stack.ports);
    let policy = ["allow.rego", "data.json"].map(|name| setting.tools.policy.join(name).display().to_string());
    let opa = start_opa(setting, &opa, health, &policy).await?;
    let settings = json!({
        "port": stack.ports.data,
        "opa": format!("http://127.0.0.1:{health}/v1/data/scbte/allow"),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwk": setting.identities.jwks()?["keys"][0],
    });
    start_node(setting, stack, &settings, Some(opa)).await
}

/// Without its middleware: what it is measured over.
pub(super) async fn start_open(setting: &Setting<'_>) -> Result<Running, Error> {
    let stack = stack(setting, Ports::free(), |_| Ok(())).await?;
    let settings = json!({"port": stack.ports.data, "open": true});
    start_node(setting, stack, &settings, None).await
}

/// Where the middleware is, beside its modules.
pub(crate) fn program() -> Result<PathBuf, Error> {
    tool("middleware", "SCBTE_MIDDLEWARE", "tools/middleware/server.mjs", MODULES)
}

/// Where OPA is.
pub(crate) fn opa_program() -> Result<PathBuf, Error> {
    tool("OPA", "OPA_PATH", "tools/opa", OPA)
}

async fn start_node(
    setting: &Setting<'_>,
    stack: Stack,
    settings: &Value,
    opa: Option<Process>,
) -> Result<Running, Error> {
    let began = Instant::now();
    let port = stack.ports.data;
    let mut command = clean(pinned(setting.cores, Path::new("node")));
    command.env("NODE_ENV", "production").arg(program()?).arg(settings.to_string());
    let mut node = Process::start("middleware", command, &setting.folder.join("middleware.log"))?;
    answers("the middleware to be ready", &mut node, port, "/served").await?;
    let started_in = began.elapsed();
    let others: Vec<_> = [node].into_iter().chain(opa).collect();
    let processes = others.iter().map(Process::id).collect();
    let counter = Counter::Middleware(port);
    Ok(Running { port, started_in, processes, counter, envoy: None, others, _stack: stack })
}
