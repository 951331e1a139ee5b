//! Tests of the built filter: [`simulator`] plays Envoy's part in wasmtime, in one process and without sleeping, so
//! that the filter's behaviour can be tested by the hundred; [`fixture`] starts the real Envoy, the companion and an
//! upstream, for the demo and for what only the real thing can show.

pub mod fixture;
#[cfg(feature = "simulator")]
pub mod simulator;
