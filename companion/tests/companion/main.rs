//! The built `scbte`, from outside: its command line, its listeners, and what it does about Envoys.

mod admin;
mod cli;
mod control;
mod harness;
mod kubernetes;
mod policy;
mod policy_delivery;
mod push;
mod readme;
mod render;
mod rotation;
mod tokens;
