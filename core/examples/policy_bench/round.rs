//! What one round found out about one engine and one case.

use crate::cases::Case;
use serde::{Deserialize, Serialize};

/// A line of `rounds.jsonl`.
#[derive(Deserialize, Serialize)]
pub(crate) struct Round {
    pub(crate) case: String,
    pub(crate) engine: String,
    pub(crate) wasm: bool,
    pub(crate) rego_bytes: usize,
    pub(crate) data_bytes: usize,
    pub(crate) load_ms: Option<f64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) requests: Vec<Measured>,
}

/// Bytes.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Memory {
    /// Before the policy was loaded.
    pub(crate) before: u64,
    /// At most, until the end.
    pub(crate) most: u64,
}

/// What deciding about one request takes.
#[derive(Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) request: String,
    /// Nanoseconds; or instructions.
    pub(crate) cost: f64,
}

impl Measured {
    pub(crate) fn new(request: &str, cost: f64) -> Self {
        Self { request: request.to_owned(), cost }
    }
}

impl Round {
    /// With nothing measured yet.
    pub(crate) fn of(case: &Case, engine: &str) -> Self {
        Self {
            case: case.name.clone(),
            engine: engine.to_owned(),
            wasm: cfg!(target_arch = "wasm32"),
            rego_bytes: case.rego.len(),
            data_bytes: case.data.len(),
            load_ms: None,
            memory: None,
            requests: Vec::new(),
        }
    }

    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
