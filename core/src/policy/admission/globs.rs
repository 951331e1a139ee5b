//! Globs of `glob.match`: what is known before they run.

use super::super::functions::is_supported_glob;

/// Refuses a glob with what is not implemented.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    if is_supported_glob(pattern) {
        return Ok(());
    }
    Err("`[…]`, `{…}`, `\\` and `,` are not supported in a glob, nor more than 256 bytes: use several, or a regex"
        .to_owned())
}
