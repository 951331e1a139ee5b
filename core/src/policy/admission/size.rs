//! How much a policy may be.

use super::super::error::Refusal;
use super::super::limits::Limits;
use super::super::source::PolicySource;

/// Modules, at most.
const MAX_MODULES: usize = 64;

/// Refuses what is larger than the limits; the data's depth is checked when it is converted.
pub(super) fn check(source: &PolicySource, limits: &Limits) -> Result<(), Refusal> {
    at_most("modules", source.modules.len(), MAX_MODULES)?;
    let rego = source.modules.iter().map(|module| module.rego.len()).fold(0, usize::saturating_add);
    at_most("bytes of Rego", rego, limits.max_source_bytes)?;
    at_most("bytes of data (`policy.max_data`)", source.data.to_string().len(), limits.max_data_bytes)
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found <= limit { Ok(()) } else { Err(Refusal::TooMuch { what, found, limit }) }
}
