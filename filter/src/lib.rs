//! The SCBTE proxy-wasm filter: the adapter between Envoy and the rules of `scbte-core`.
//!
//! Two kinds of listeners run this module. On a data listener `data` judges each request, reading top to bottom like
//! the request path of the design; on a control listener `control` takes signed envelopes. Both meet in Envoy's
//! shared data, which `store` reads and writes and never believes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable
)]
#![expect(missing_docs, reason = "nothing is public but the entry point that the SDK's macro makes")]

#[cfg(feature = "test-hooks")]
mod allocations;
mod control;
mod data;
mod decision_log;
mod header_map;
mod host;
mod host_verifier;
mod metrics;
mod policy;
mod pull;
mod root;
mod roots;
mod service;
mod status;
mod store;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
