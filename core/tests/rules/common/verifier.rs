//! Verifiers that count.

use scbte_core::signature::{Algorithm, BadSignature, InModule, SignatureVerifier};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts how often it is asked.
#[derive(Debug)]
pub(crate) struct Counting {
    answer: Answer,
    asked: AtomicUsize,
}

/// What it answers.
#[derive(Debug)]
enum Answer {
    Truth,
    Always(Result<(), BadSignature>),
}

impl Counting {
    /// Answers the truth.
    pub(crate) fn truthful() -> &'static Self {
        Self::new(Answer::Truth)
    }

    /// Says that every signature is good.
    pub(crate) fn yes() -> &'static Self {
        Self::new(Answer::Always(Ok(())))
    }

    /// Says that every signature is bad.
    pub(crate) fn no() -> &'static Self {
        Self::new(Answer::Always(Err(BadSignature)))
    }

    // A service's verifier lives as long as the service: here, as long as the test's process.
    fn new(answer: Answer) -> &'static Self {
        Box::leak(Box::new(Self { answer, asked: AtomicUsize::new(0) }))
    }

    /// How often it was asked since it was asked this.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl SignatureVerifier for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn verify(&self, algorithm: Algorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer {
            Answer::Truth => InModule.verify(algorithm, spki, message, signature),
            Answer::Always(answer) => answer,
        }
    }
}
