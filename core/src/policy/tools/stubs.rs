//! Modules in the place of the policy's, whose rules ask the machine.

use super::super::RegoVersion;
use super::super::admission::{Parsed, head_name, import_name, static_path};
use regorus::unstable::{Rule, RuleHead, Span};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The function that asks the machine.
pub(super) const ASK: &str = "__scbte_ask";

/// Arguments of [`ASK`]: the rule, a function's arguments in an array, `input` in an array, the data, the time.
pub(super) const ASK_ARGUMENTS: u8 = 5;

/// What the rules of a policy look like from outside.
pub(super) struct Surface {
    packages: BTreeMap<Vec<String>, Package>,
    /// The paths of the data that the policy can see besides its rules.
    data: BTreeSet<Vec<String>>,
}

/// A package of the policy.
#[derive(Default)]
struct Package {
    /// As it is written.
    name: String,
    /// Rules with their paths; functions with the number of their parameters.
    rules: BTreeMap<String, (String, Option<usize>)>,
}

/// What a test replaces with `with`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// `input`, data or the clock: the machine gets what stands in their place.
    Facts,
    /// A rule, or a package: only the interpreter can do that.
    Rule,
    /// A function, which nothing here can replace.
    Function,
}

impl Surface {
    /// Of a policy and its data.
    pub(super) fn new(modules: &[Parsed], data: &Json) -> Self {
        let mut surface = Self { packages: BTreeMap::new(), data: BTreeSet::new() };
        for module in modules {
            let package = surface.packages.entry(module.package.clone()).or_default();
            module.tree.package.refr.span().text().clone_into(&mut package.name);
            for (rule, head) in module.rules() {
                let parameters = match rule {
                    Rule::Spec { head: RuleHead::Func { args, .. }, .. } => Some(args.len()),
                    _ => None,
                };
                let name = head_name(head).map_or("", Span::text);
                package.rules.insert(name.to_owned(), (module.path_of(name), parameters));
            }
        }
        surface.add_data(&mut Vec::new(), data);
        surface
    }

    /// The paths under which there is data and nothing else.
    fn add_data(&mut self, path: &mut Vec<String>, data: &Json) {
        let Json::Object(members) = data else {
            self.data.insert(path.clone());
            return;
        };
        if !path.is_empty() && !self.packages.keys().any(|package| package.starts_with(path)) {
            self.data.insert(path.clone());
            return;
        }
        for (name, member) in members {
            path.push(name.clone());
            self.add_data(path, member);
            path.pop();
        }
    }

    /// Takes in what a test replaces with `with`.
    pub(super) fn replaces(&mut self, module: &Parsed, target: &[String]) -> Replaced {
        let Some((first, rest)) = target.split_first() else { return Replaced::Function };
        let mut imports = module.tree.imports.iter();
        let imported = imports.find(|import| import_name(import) == Some(first));
        let path = match imported.and_then(|import| static_path(&import.refr)) {
            Some(path) => [&path[..], rest].concat(),
            None => target.to_vec(),
        };
        match path.split_first().map(|(root, rest)| (root.as_str(), rest)) {
            Some(("input", _)) => Replaced::Facts,
            Some(("time", [name])) if name == "now_ns" => Replaced::Facts,
            Some(("data", rest)) if !rest.is_empty() => self.replaces_data(rest),
            // A rule or function of the package that the test is in.
            _ => match self.packages.get(&module.package).and_then(|package| package.rules.get(first)) {
                Some((_, None)) => Replaced::Rule,
                _ => Replaced::Function,
            },
        }
    }

    fn replaces_data(&mut self, path: &[String]) -> Replaced {
        for (place, package) in &self.packages {
            let name = path.strip_prefix(place.as_slice()).and_then(|rest| rest.first());
            match name.and_then(|name| package.rules.get(name)) {
                Some((_, Some(_))) => return Replaced::Function,
                Some((_, None)) => return Replaced::Rule,
                None if place.starts_with(path) => return Replaced::Rule,
                None => {}
            }
        }
        let known = self.data.iter().any(|known| path.starts_with(known));
        if !known {
            // What is below goes with it.
            self.data.retain(|known| !known.starts_with(path));
            self.data.insert(path.to_vec());
        }
        Replaced::Facts
    }

    /// The modules.
    pub(super) fn modules(&self, version: RegoVersion) -> Vec<(String, String)> {
        let packages = self.packages.values().enumerate();
        packages
            .map(|(index, package)| {
                let rules = package.rules.iter();
                let rules: String =
                    rules.map(|(name, (path, parameters))| self.rule(name, path, *parameters, version)).collect();
                (format!("__scbte_{index}.rego"), format!("package {}\n{rules}", package.name))
            })
            .collect()
    }

    fn rule(&self, name: &str, path: &str, parameters: Option<usize>, version: RegoVersion) -> String {
        let parameters = parameters.map(|number| (0..number).map(|index| format!("__scbte_{index}")).collect());
        let parameters: Option<Vec<String>> = parameters;
        let list = parameters.map(|parameters| parameters.join(", "));
        let head = list.as_ref().map(|list| format!("({list})")).unwrap_or_default();
        let arguments = list.map_or_else(|| "null".to_owned(), |list| format!("[{list}]"));
        let path = Json::from(path);
        let keyword = match version {
            RegoVersion::V0 => "",
            RegoVersion::V1 => "if ",
        };
        format!(
            "{name}{head} := __scbte_value {keyword}{{\n\
             \t__scbte_input := [__scbte_any | __scbte_any := input]\n\
             \t__scbte_value := {ASK}({path}, {arguments}, __scbte_input, {}, time.now_ns())\n}}\n",
            self.data_expression()
        )
    }

    /// `[[path, [value]], …]`, with an empty array for what is undefined.
    fn data_expression(&self) -> String {
        let entries = self.data.iter().map(|path| {
            let names = Json::from(path.clone());
            let keys: String = path.iter().map(|name| format!("[{}]", Json::from(name.as_str()))).collect();
            format!("[{names}, [__scbte_any | __scbte_any := data{keys}]]")
        });
        format!("[{}]", entries.collect::<Vec<_>>().join(", "))
    }
}
