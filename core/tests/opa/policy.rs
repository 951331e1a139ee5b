//! A policy as it is given to both engines.

use crate::opa::Language;
use scbte_core::policy::{Limits, Module, Policy, PolicySource, RegoVersion};
use serde_json::Value as Json;

/// One policy of many, in packages that no other has.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) language: Language,
    package: String,
    /// Names and texts; the text's `scbte` is this policy's package.
    modules: Vec<(String, String)>,
}

impl Case {
    /// `rules` follow the line `package scbte`; or they are modules, each with its own.
    pub(crate) fn new(number: usize, name: &str, language: Language, rules: &str) -> Self {
        let package = format!("p{number}");
        let whole = if rules.starts_with("package ") { rules.to_owned() } else { format!("package scbte\n{rules}") };
        let whole = format!("\n{whole}");
        let modules = whole.split("\npackage ").skip(1).enumerate().map(|(index, module)| {
            let text = format!("package {}\n", module.trim_end()).replace("scbte", &package);
            (format!("{package}_{index}.rego"), text)
        });
        let modules = modules.collect();
        Self { name: name.to_owned(), language, package, modules }
    }

    pub(crate) fn entrypoint(&self) -> String {
        format!("data.{}.allow", self.package)
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|(name, rego)| (name.as_str(), rego.as_str()))
    }

    /// What the filter makes of it; what is wrong with it if it may not run.
    pub(crate) fn admit(&self, data: &Json) -> Result<Policy, String> {
        let modules = self.modules().map(|(name, rego)| Module { name: name.to_owned(), rego: rego.to_owned() });
        let source = PolicySource {
            modules: modules.collect(),
            data: data.clone(),
            entrypoint: self.entrypoint(),
            rego_version: match self.language {
                Language::V0 => RegoVersion::V0,
                Language::V1 => RegoVersion::V1,
            },
        };
        // Some go through all arguments of a function.
        let limits = Limits { max_instructions: 100_000_000, ..Limits::default() };
        Policy::admit(&source, &limits).map_err(|error| error.to_string())
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}]", self.name)?;
        self.modules.iter().try_for_each(|(_, rego)| write!(formatter, "\n{rego}"))
    }
}
