//! The rules of `scbte-core` from outside, as tables: one good value, one change each, the reason code it must give.
//!
//! One binary, so that it is linked once; `wasm_bindgen_test` lets the same functions run in Node as wasm32.

mod chain;
mod common;
mod envelope;
mod mutation;
#[cfg(not(target_arch = "wasm32"))]
mod rsa;
mod token;
mod vectors;
mod verify;
