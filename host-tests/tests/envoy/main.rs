//! The built filter in the real Envoy, with two workers, the companion and an upstream: what the simulator cannot show,
//! because Envoy itself takes part in it.

mod bytes;
mod capabilities;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod demo;
mod func_e;
mod headers;
mod modes;
mod observability;
mod paths;
mod policy_delivery;
mod pull;
mod push;
mod reload;
mod support;
mod trap;
mod verdicts;
