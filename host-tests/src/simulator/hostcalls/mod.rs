//! The hostcalls of the proxy-wasm ABI 0.2.1 (module `env`), one file for each group.

mod buffers;
mod context;
mod foreign;
mod header_maps;
mod http_call;
mod metrics;
mod properties;
mod shared_data;
mod streams;
mod unmodelled;

use wasmtime::Linker;

use super::guest::Guest;

const MODULE: &str = "env";

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    buffers::add_to(linker)?;
    context::add_to(linker)?;
    foreign::add_to(linker)?;
    header_maps::add_to(linker)?;
    http_call::add_to(linker)?;
    metrics::add_to(linker)?;
    properties::add_to(linker)?;
    shared_data::add_to(linker)?;
    streams::add_to(linker)?;
    unmodelled::add_to(linker)
}
