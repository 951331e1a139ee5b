//! Which module an instruction comes from.
//!
//! The compiler numbers the modules in the order in which it meets their rules, but lists them in the order in which
//! they were added. So what it says about the origin of an instruction names another module. The list is put into the
//! order of the numbers, which the definitions of the rules tell: they are compiled in the order of the modules.

use super::super::source::Module;
use regorus::rvm::program::{Program, SourceFile};
use std::collections::BTreeMap;

/// The modules, by index, in which each rule is defined, in order.
pub(in crate::policy) type Definitions = BTreeMap<String, Vec<usize>>;

/// Puts the program's list of modules into the order of its numbers.
pub(super) fn mend(program: &mut Program, modules: &[Module], definitions: &Definitions) {
    let mut found: BTreeMap<usize, usize> = BTreeMap::new();
    for rule in &program.rule_infos {
        let of_rule = definitions.get(&rule.name).map(Vec::as_slice).unwrap_or_default();
        for (bodies, module) in rule.definitions.iter().zip(of_rule) {
            let start = bodies.first().and_then(|start| usize::try_from(*start).ok());
            let span = start.and_then(|start| program.instruction_spans.get(start)?.as_ref());
            found.extend(span.map(|span| (span.source_index, *module)));
        }
    }
    let unknown = || SourceFile::new(String::new(), String::new());
    let named = |module: &Module| SourceFile::new(module.name.clone(), module.rego.clone());
    let numbers = 0..program.sources.len().max(found.len());
    let modules = numbers.map(|number| found.get(&number).and_then(|module| modules.get(*module)));
    program.sources = modules.map(|module| module.map_or_else(unknown, named)).collect();
}
