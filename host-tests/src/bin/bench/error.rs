//! Why the benchmark cannot go on. A measurement that is not what it should be is an error, not a number.

use crate::contender::Contender;
use scbte_host_tests::fixture;
use std::io;
use std::path::Path;

/// Why the benchmark cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program under test.
    #[error("{0}")]
    Fixture(#[from] fixture::Error),
    /// The operating system says no.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// What was measured is not what should be measured.
    #[error("{contender}: expected {expected}, found {found}", contender = .contender.name())]
    Unexpected { contender: Contender, expected: String, found: String },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// For `map_err`: an I/O error on a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("`{}`", path.display()))
    }

    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// For `map_err`: anything that says what is wrong.
    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}
