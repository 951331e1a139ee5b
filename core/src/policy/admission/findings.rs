//! What the checks find wrong, collected.

use super::super::error::AdmissionError;

/// Refusals in the order in which they are found, up to a number; what comes after is forgotten.
pub(in crate::policy) struct Findings {
    list: Vec<AdmissionError>,
    limit: usize,
}

impl Findings {
    /// Keeps this many.
    pub(in crate::policy) const fn new(limit: usize) -> Self {
        Self { list: Vec::new(), limit }
    }

    /// One more, if it is not there already.
    pub(in crate::policy) fn add(&mut self, error: impl Into<AdmissionError>) {
        let error = error.into();
        if self.list.len() < self.limit && !self.list.contains(&error) {
            self.list.push(error);
        }
    }

    /// The value, or nothing and one refusal more.
    pub(in crate::policy) fn note<T>(&mut self, result: Result<T, impl Into<AdmissionError>>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// The value if there is one and nothing is wrong.
    pub(in crate::policy) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<AdmissionError>> {
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => Err(self.list),
        }
    }

    /// Whether nothing is wrong so far.
    pub(in crate::policy) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
