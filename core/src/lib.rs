//! The pure rules of Stateless Context-Bound Token Exchange (SCBTE).
//!
//! Nothing here does I/O, reads a clock or knows of a proxy: time comes in as [`time::Timestamp`], signatures are
//! checked through [`signature::SignatureVerifier`]. What a client sends reaches only code that cannot panic, which
//! the lints below enforce.
//!
//! A request goes through the modules in this order: [`headers`] and [`path`], [`bypass`], [`token`], [`verify`]
//! (with [`chain`] and [`bundle`]), [`policy`]; what comes out is a [`verdict::Verdict`] with a [`reason::Reason`].
//!
//! The filter has this crate built for size and itself for speed. What every request goes through is `#[inline]`, so that
//! it is built with the filter.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may panic: that is how it fails"
    )
)]

pub mod audience;
pub mod base64;
pub mod bundle;
pub mod bypass;
pub mod cache;
pub mod certificate;
pub mod chain;
pub mod config;
pub mod context;
pub mod envelope;
pub mod header_map;
pub mod headers;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod path;
pub mod policy;
pub mod reason;
pub mod signature;
pub mod spiffe_id;
pub mod time;
pub mod token;
pub mod verdict;
pub mod verify;
