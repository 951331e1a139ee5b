//! What can go wrong with a module, as Envoy would refuse or lose it.

use std::path::PathBuf;

use super::log::LogLine;

/// Why the simulator could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module has not been built.
    #[error("no module at `{}`: run ./scripts/build first", path.display())]
    NoModule {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is not a module that wasmtime accepts.
    #[error("`{name}` is not a usable module: {reason}")]
    InvalidModule {
        /// The file or the name given to the bytes.
        name: String,
        /// Wasmtime's reason.
        reason: String,
    },
    /// The module wants functions that Envoy does not have.
    #[error("the module imports what the host does not offer: {}", names.join(", "))]
    UnknownImports {
        /// `module.name`, with the type that is wanted.
        names: Vec<String>,
    },
    /// The module lacks an export that every proxy-wasm module has.
    #[error("the module does not export `{name}`")]
    MissingExport {
        /// The export.
        name: &'static str,
    },
    /// `proxy_on_vm_start` returned false.
    #[error("the module refused to start for root_id `{root_id}`; it logged:\n{}", lines(log))]
    StartRefused {
        /// The plugin's root_id.
        root_id: String,
        /// The last lines that this VM logged.
        log: Vec<LogLine>,
    },
    /// `proxy_on_configure` returned false: Envoy rejects the listener, and a running one stays.
    #[error("the module refused the configuration of root_id `{root_id}`; it logged:\n{}", lines(log))]
    ConfigurationRefused {
        /// The plugin's root_id.
        root_id: String,
        /// The last lines that this VM logged.
        log: Vec<LogLine>,
    },
    /// The module trapped: the VM is dead, and Envoy answers 503 until it is reloaded.
    #[error("the module trapped in `{function}`: {reason}; it logged:\n{}", lines(log))]
    Trapped {
        /// The export that was running.
        function: String,
        /// Wasmtime's reason.
        reason: String,
        /// The last lines that this VM logged.
        log: Vec<LogLine>,
    },
    /// The VM has trapped before and was not reloaded.
    #[error("the VM is dead: it trapped and was not reloaded")]
    Dead,
    /// The test used a root context, stream or call that is not there.
    #[error("there is no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// A root context is deleted only when its streams have ended.
    #[error("the root context of root_id `{root_id}` still has {streams} open streams")]
    InUse {
        /// The plugin's root_id.
        root_id: String,
        /// How many.
        streams: usize,
    },
    /// Envoy calls `proxy_on_tick` only after `proxy_set_tick_period_milliseconds`.
    #[error("the root context of root_id `{root_id}` has set no tick period, so Envoy would never tick it")]
    NoTickPeriod {
        /// The plugin's root_id.
        root_id: String,
    },
}

fn lines(log: &[LogLine]) -> String {
    log.iter().map(|line| format!("  {line}\n")).collect()
}
