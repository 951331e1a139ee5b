//! Every part of the language that authors of authorization policies use: what is supported, and what is refused.
//!
//! This is the README's table.

mod builtins;
mod expressions;
mod iteration;
mod rules;
mod v0;

use crate::opa::Language;

/// A row of the README's table, and the policies that show that it is true.
pub(crate) struct Feature {
    /// What authors call it.
    pub(crate) title: &'static str,
    /// What of it is refused, and what to write instead; empty where all is supported.
    pub(crate) refused: &'static str,
    /// Policies that are admitted, and decide as OPA does.
    pub(crate) admitted: &'static [&'static str],
    /// Policies that are refused, and what the refusal says.
    pub(crate) not_admitted: &'static [(&'static str, &'static str)],
}

/// One policy of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) language: Language,
    pub(crate) rules: &'static str,
    pub(crate) refused: Option<&'static str>,
}

/// The whole table.
pub(crate) fn features() -> Vec<(Language, &'static Feature)> {
    let v1 = [rules::FEATURES, expressions::FEATURES, iteration::FEATURES, builtins::FEATURES];
    let v1 = v1.into_iter().flatten().map(|feature| (Language::V1, feature));
    v1.chain(v0::FEATURES.iter().map(|feature| (Language::V0, feature))).collect()
}

/// Every policy of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (language, feature) in features() {
        let name = feature.title;
        rows.extend(feature.admitted.iter().map(|rules| Row { name, language, rules, refused: None }));
        rows.extend(feature.not_admitted.iter().map(|(rules, why)| Row { name, language, rules, refused: Some(why) }));
    }
    rows
}
