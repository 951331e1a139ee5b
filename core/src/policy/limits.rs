//! What a policy may cost.

/// Limits on a policy and on one evaluation of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of the machine in one evaluation (about 0.1 µs each in Envoy). What functions and comparisons read and
    /// make is paid for beside them: 16 elements, or 256 bytes of text, for each instruction.
    pub max_instructions: usize,
    /// Bytes of Rego in all modules together.
    pub max_source_bytes: usize,
    /// Bytes of the data document as compact JSON.
    pub max_data_bytes: usize,
    /// Objects and arrays inside one another in the data document.
    pub max_data_depth: usize,
    /// The header that carries the token: a policy may not set it.
    pub token_header: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_instructions: 25_000,
            max_source_bytes: 256 * 1024,
            max_data_bytes: 1024 * 1024,
            max_data_depth: 16,
            token_header: "authorization".to_owned(),
        }
    }
}
