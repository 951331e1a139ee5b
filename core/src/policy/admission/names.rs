//! What names stand for.
//!
//! In OPA an import holds in its module, and is what its name stands for even if there is a rule with that name. The
//! machine's compiler knows the imports of all modules of a package together, looks for rules and for packages inside of
//! the package first, and takes a function that is not called, or a rule that is looked up by a computed name, for
//! data that is not there. So a name that the two could take for different things is refused.

use super::super::error::{AdmissionError, Refusal};
use super::findings::Findings;
use super::rewrite::Rewrite;
use super::scopes::{Use, walk};
use super::syntax::{Parsed, head_name, static_path, string_of};
use super::tree::{Visitor, walk_module};
use super::variables::declarations;
use regorus::unstable::{Expr, Import, LiteralStmt, Rule, RuleHead, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Refuses it. Collects how imports of packages are to be written, whose rules the machine's compiler would not find.
pub(super) fn check(modules: &[Parsed], rewrites: &mut Vec<Rewrite>, found: &mut Findings) {
    let defined = Defined::by(modules);
    for module in modules {
        let names = Names::of(module, modules, &defined);
        names.check_imports(found);
        walk_module(&module.tree, &mut Variables { names: &names, found });
        for (rule, _) in module.rules() {
            walk(rule, &mut |reference, used| {
                found.note(names.check(reference, used));
                rewrites.extend(names.package(reference, used));
            });
        }
    }
}

/// The name under which a module knows what it imports; none for what only turns on keywords.
pub(in crate::policy) fn import_name(import: &Import) -> Option<&str> {
    if !matches!(head_name(&import.refr)?.text(), "input" | "data") {
        return None;
    }
    match (&import.r#as, import.refr.as_ref()) {
        (Some(alias), _) => Some(alias.text()),
        (None, Expr::Var { span, .. }) => Some(span.text()),
        (None, Expr::RefDot { field, .. }) => Some(field.0.text()),
        (None, Expr::RefBrack { index, .. }) => string_of(index),
        (None, _) => None,
    }
}

/// The paths of all rules and functions, beginning with `data`.
struct Defined {
    all: BTreeSet<Vec<String>>,
    functions: BTreeSet<Vec<String>>,
}

impl Defined {
    fn by(modules: &[Parsed]) -> Self {
        let mut defined = Self { all: BTreeSet::new(), functions: BTreeSet::new() };
        for module in modules {
            for (rule, head) in module.rules() {
                let Some(name) = head_name(head) else { continue };
                let path = path_in(&module.package, name.text());
                if matches!(rule, Rule::Spec { head: RuleHead::Func { .. }, .. }) {
                    defined.functions.insert(path.clone());
                }
                defined.all.insert(path);
            }
        }
        defined
    }

    /// Whether there are rules behind the path, which is none itself.
    fn behind(&self, path: &[String]) -> bool {
        self.all.range(path.to_vec()..).find(|rule| rule.len() > path.len()).is_some_and(|rule| rule.starts_with(path))
    }

    /// Whether the path is that of a function, or leads through one.
    fn function(&self, path: &[String]) -> bool {
        (1..=path.len()).any(|length| path.get(..length).is_some_and(|path| self.functions.contains(path)))
    }
}

fn path_in(package: &[String], name: &str) -> Vec<String> {
    ["data"].into_iter().chain(package.iter().map(String::as_str)).chain([name]).map(str::to_owned).collect()
}

/// What the names of one module stand for.
struct Names<'a> {
    module: &'a Parsed,
    defined: &'a Defined,
    imports: BTreeMap<&'a str, Vec<String>>,
    /// Imports of the other modules of the package.
    others: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Names<'a> {
    fn of(module: &'a Parsed, all: &'a [Parsed], defined: &'a Defined) -> Self {
        let others = all.iter().filter(|other| other.package == module.package && other.index != module.index);
        let mut names = Self { module, defined, imports: BTreeMap::new(), others: BTreeMap::new() };
        names.imports.extend(imports(module).map(|(_, name, path)| (name, path)));
        names.others.extend(others.flat_map(imports).map(|(_, name, path)| (name, path)));
        names
    }

    fn check_imports(&self, found: &mut Findings) {
        let mut before = BTreeSet::new();
        for (span, name, path) in imports(self.module) {
            let refuse = |construct, advice| Err(Refusal::Unsupported { construct, advice }.at(span));
            let own = path_in(&self.module.package, name);
            found.note(if !before.insert(name) {
                refuse("a second import under one name is", "give it another name, `import … as …`")
            } else if self.others.get(name).is_some_and(|other| *other != path) {
                let construct = "an import under the name of another import of the same package is";
                refuse(construct, "give it another name, `import … as …`")
            } else if self.defined.all.contains(&own) {
                refuse("an import with the name of a rule is", "give it another name, `import … as …`")
            } else if self.defined.behind(&own) && own != path {
                let construct = "an import with the name of a package inside of this one is";
                refuse(construct, "give it another name, `import … as …`")
            } else {
                Ok(())
            });
        }
    }

    fn check(&self, reference: &Expr, used: Use) -> Result<(), AdmissionError> {
        let Some(name) = head_name(reference) else { return Ok(()) };
        let refuse = |construct, advice| Err(Refusal::Unsupported { construct, advice }.at(name));
        if used == Use::CallOfVariable {
            return refuse("a variable with the name of a called function is", "rename it");
        }
        let Some(mut path) = self.path_of(name.text()) else {
            if self.others.contains_key(name.text()) {
                return refuse("a name that only another module of the package imports is", "import it here, too");
            }
            if self.defined.behind(&path_in(&self.module.package, name.text())) {
                return refuse("a package without its whole path is", "write `data.…`, or import it");
            }
            return Ok(());
        };
        if used == Use::Call {
            return Ok(());
        }
        let computed = extend(&mut path, reference);
        if self.defined.function(&path) {
            return refuse("a function that is not called is", "call it, or write a rule");
        }
        if computed && self.defined.behind(&path) {
            return refuse("a reference over the rules of a package is", "name the rule");
        }
        Ok(())
    }

    /// How the name of an imported package is to be written.
    fn package(&self, reference: &Expr, used: Use) -> Option<Rewrite> {
        let name = head_name(reference).filter(|_| used == Use::Value)?;
        let path = self.imports.get(name.text()).filter(|path| self.defined.behind(path))?;
        Some(Rewrite::path(self.module.index, name, path))
    }

    fn is_known(&self, name: &str) -> bool {
        !matches!(name, "input" | "data") && (self.path_of(name).is_some() || self.others.contains_key(name))
    }

    /// What a name stands for that is no variable.
    fn path_of(&self, name: &str) -> Option<Vec<String>> {
        if matches!(name, "input" | "data") {
            return Some(vec![name.to_owned()]);
        }
        let own = || Some(path_in(&self.module.package, name)).filter(|path| self.defined.all.contains(path));
        self.imports.get(name).cloned().or_else(own)
    }
}

/// The machine's compiler takes a variable of `some` for the rule or import of its name.
struct Variables<'a, 'f> {
    names: &'a Names<'a>,
    found: &'f mut Findings,
}

impl Visitor for Variables<'_, '_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        for name in declarations(statement).into_iter().filter(|name| self.names.is_known(name.text())) {
            let construct = "a variable with the name of a rule or import of the package is";
            self.found.add(Refusal::Unsupported { construct, advice: "rename it" }.at(name));
        }
    }
}

/// Where, name and path of each import.
fn imports(module: &Parsed) -> impl Iterator<Item = (&Span, &str, Vec<String>)> {
    module
        .tree
        .imports
        .iter()
        .filter_map(|import| Some((&import.span, import_name(import)?, static_path(&import.refr)?)))
}

/// Adds the literal names that a reference begins with; whether others follow. The machine's compiler takes a raw
/// string for a computed one.
fn extend(path: &mut Vec<String>, reference: &Expr) -> bool {
    let (refr, name) = match reference {
        Expr::RefDot { refr, field, .. } => (refr, Some(field.0.text())),
        Expr::RefBrack { refr, index, .. } => {
            (refr, Some(index.as_ref()).filter(|index| matches!(index, Expr::String { .. })).and_then(string_of))
        }
        _ => return false,
    };
    let computed = extend(path, refr);
    match name {
        Some(name) if !computed => path.push(name.to_owned()),
        _ => return true,
    }
    false
}
