//! Envoy's proxy-wasm host, played in wasmtime: the process ([`Host`]), its workers' VMs ([`Vm`]) and their streams.
//!
//! It keeps state where Envoy keeps state and answers as Envoy 1.40 answered when the same module was run in both;
//! where the two are known to differ, the item says so. It follows the proxy-wasm ABI 0.2.1 and the sources of Envoy
//! and proxy-wasm-cpp-host. Time stands still, randomness is seeded, nothing sleeps and nothing is sent anywhere.
//!
//! ```no_run
//! use scbte_host_tests::simulator::{Host, Module, Plugin, Request, Vm, VmConfig, verify_signature};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new();
//! host.foreign().register("verify_signature", verify_signature);
//! let mut vm = Vm::start(&host, &Module::built()?, &VmConfig::with_vm_id("scbte"))?;
//! let root = vm.configure(&Plugin::new("data", r#"{"audiences": ["a"]}"#))?;
//! let exchange = vm.request(root, Request::get("/api").header("authorization", b"Bearer \xff"))?;
//! assert_eq!(exchange.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! Not modelled: shared queues and gRPC calls (no cluster speaks it), access to parts of a property, buffer limits,
//! `request.*` and `response.*` properties other than those a test sets, other filters, and what Envoy does to headers
//! before the filter sees them.

mod call;
mod clock;
mod error;
mod exchange;
mod foreign;
mod guest;
mod headers;
mod host;
mod hostcalls;
mod http_call;
mod instance;
mod local_reply;
mod log;
mod metrics;
mod module;
mod pairs;
mod properties;
mod request;
mod root;
mod shared_data;
mod status;
mod stream;
mod verify_signature;
mod vm;
mod wasi;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use error::Error;
pub use exchange::{Continued, Exchange, LocalReply, Outcome, StreamId};
pub use foreign::ForeignFunctions;
pub use headers::Headers;
pub use host::Host;
pub use http_call::{HttpAnswer, HttpCall};
pub use log::{Level, Log, LogLine};
pub use metrics::Metrics;
pub use module::Module;
pub use properties::PropertyPath;
pub use request::{Request, Response};
pub use root::{Plugin, Root};
pub use shared_data::SharedData;
pub use status::Status;
pub use stream::Side;
pub use verify_signature::verify_signature;
pub use vm::{Vm, VmConfig};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a test has panicked with the lock held: no value here is left half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
