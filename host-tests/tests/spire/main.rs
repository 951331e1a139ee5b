//! Real SPIRE, a server and an agent for each test, with the companion as its workload and the real Envoy with two
//! workers: identities, rotation, federation and outages. Figures are printed in lines that begin with `figure:`.
//!
//! Most of these tests wait most of the time: run them with more threads than there are cores.

mod admission;
#[path = "../common/mod.rs"]
mod common;
mod fake_workload_api;
mod faults;
mod federation;
mod identities;
mod natural_rotation;
mod outages;
mod propagation;
mod pull;
mod rotation;
mod shipped;
mod support;
mod token;
mod upstream;
