//! What a policy's author needs and the filter does not: evaluating a document, warnings, explanations, tests.
//!
//! Only with the feature `policy-tools`. Whether a policy is admitted, and what it decides, comes from the very code
//! that the filter runs: nothing here admits or decides.

mod clock;
mod evaluation;
mod explanation;
mod machines;
mod notes;
mod outline;
mod packages;
mod recording;
mod shown;
mod stubs;
mod suite;
mod warnings;

pub use evaluation::{Evaluation, InputError, document};
pub use explanation::{Body, Call, Condition, Explainer, Explanation, Outcome};
pub use packages::{packages, rules};
pub use shown::Shown;
pub use suite::{Coverage, FileCoverage, Suite, Test, TestOutcome, Verdict};
pub use warnings::{Warning, warnings};
