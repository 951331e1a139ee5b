//! The filter's behaviour, in the simulated host: the built module, an injected clock, no sleeping.

#[expect(dead_code, reason = "shared with the tests of the core, which use all of it")]
#[path = "../../../core/tests/rules/common/mod.rs"]
mod common;

mod configuration;
mod control;
mod costs;
mod decisions;
mod peers;
mod policy;
mod pull;
mod requests;
mod rotation;
mod signatures;
mod world;
