//! The functions that a policy may call.
//!
//! All are deterministic, end in time that is bounded by their arguments, cannot panic and give OPA's answers, provided
//! that the arguments that [`Argument`] names are literals within its bounds; `functions` has them. What is not in the table is refused, with the reason where it is one of [`ABSENT`].

use super::super::error::Refusal;
use super::super::spelling;
use super::findings::Findings;
use super::names::import_name;
use super::rewrite::Rewrite;
use super::syntax::{Parsed, static_path, string_of};
use super::tree::{Visitor, walk_module};
use super::{formats, globs, regexes, templates};
use regorus::Value;
use regorus::unstable::{BUILTINS as KNOWN_TO_REGORUS, Expr, Rule, RuleHead};

/// Arguments of a function, at most: the machine has room for no more.
pub(super) const MAX_ARGUMENTS: usize = 8;

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// Any value.
    Any,
    /// A string literal.
    Literal,
    /// A string literal that is not empty.
    NonEmpty,
    /// A literal whole number up to 1,000.
    SmallNumber,
    /// A literal regular expression.
    Regex,
    /// A literal replacement for matches of the regular expression before it.
    Template,
    /// A literal format, with the arguments it asks for.
    Format,
    /// A glob; if it is literal, with what is supported only.
    Glob,
}

/// Name and arguments of every function that a policy may call.
const BUILTINS: &[(&str, &[Argument])] = {
    use Argument::{Any, Format, Glob, Literal, NonEmpty, Regex, SmallNumber, Template};
    &[
        // Aggregates
        ("count", &[Any]),
        ("max", &[Any]),
        ("min", &[Any]),
        ("product", &[Any]),
        ("sort", &[Any]),
        ("sum", &[Any]),
        // Arrays, sets, objects
        ("array.concat", &[Any, Any]),
        ("array.reverse", &[Any]),
        ("array.slice", &[Any, Any, Any]),
        ("intersection", &[Any]),
        ("union", &[Any]),
        ("object.filter", &[Any, Any]),
        ("object.get", &[Any, Any, Any]),
        ("object.keys", &[Any]),
        ("object.remove", &[Any, Any]),
        ("object.subset", &[Any, Any]),
        ("object.union", &[Any, Any]),
        ("object.union_n", &[Any]),
        // Numbers
        ("abs", &[Any]),
        ("ceil", &[Any]),
        ("floor", &[Any]),
        ("format_int", &[Any, Any]),
        ("round", &[Any]),
        ("to_number", &[Any]),
        ("bits.and", &[Any, Any]),
        ("bits.lsh", &[Any, SmallNumber]),
        ("bits.negate", &[Any]),
        ("bits.or", &[Any, Any]),
        ("bits.rsh", &[Any, SmallNumber]),
        ("bits.xor", &[Any, Any]),
        // Strings; where one text is put into another again and again, it is a literal
        ("concat", &[Literal, Any]),
        ("contains", &[Any, Any]),
        ("endswith", &[Any, Any]),
        ("indexof", &[Any, NonEmpty]),
        ("lower", &[Any]),
        ("replace", &[Any, NonEmpty, Literal]),
        ("split", &[Any, Any]),
        ("sprintf", &[Format, Any]),
        ("startswith", &[Any, Any]),
        ("strings.count", &[Any, Any]),
        ("strings.any_prefix_match", &[Any, Any]),
        ("strings.any_suffix_match", &[Any, Any]),
        ("strings.reverse", &[Any]),
        ("substring", &[Any, Any, Any]),
        ("trim", &[Any, Any]),
        ("trim_left", &[Any, Any]),
        ("trim_prefix", &[Any, Any]),
        ("trim_right", &[Any, Any]),
        ("trim_space", &[Any]),
        ("trim_suffix", &[Any, Any]),
        ("upper", &[Any]),
        // Patterns
        ("glob.match", &[Glob, Any, Any]),
        ("regex.find_all_string_submatch_n", &[Regex, Any, Any]),
        ("regex.find_n", &[Regex, Any, Any]),
        ("regex.match", &[Regex, Any]),
        ("regex.replace", &[Any, Regex, Template]),
        ("regex.split", &[Regex, Any]),
        // Types
        ("is_array", &[Any]),
        ("is_boolean", &[Any]),
        ("is_null", &[Any]),
        ("is_number", &[Any]),
        ("is_object", &[Any]),
        ("is_set", &[Any]),
        ("is_string", &[Any]),
        ("type_name", &[Any]),
        // Encodings
        ("base64.decode", &[Any]),
        ("base64.is_valid", &[Any]),
        ("base64.encode", &[Any]),
        ("base64url.decode", &[Any]),
        ("base64url.encode", &[Any]),
        ("base64url.encode_no_pad", &[Any]),
        ("hex.decode", &[Any]),
        ("hex.encode", &[Any]),
        // Networks, time
        ("net.cidr_contains", &[Any, Any]),
        ("net.cidr_is_valid", &[Any]),
        ("time.now_ns", &[]),
    ]
};

/// Functions of OPA, or the beginnings of their names, and why they are absent.
const ABSENT: &[(&str, &str)] = &[
    ("http.send", NOT_OF_THE_INPUT),
    ("net.lookup_ip_addr", NOT_OF_THE_INPUT),
    ("opa.runtime", NOT_OF_THE_INPUT),
    ("rand.", NOT_OF_THE_INPUT),
    ("uuid.", NOT_OF_THE_INPUT),
    ("rego.metadata", NOT_OF_THE_INPUT),
    ("time.", "of `time` there is `time.now_ns` only"),
    ("graph.", NOT_BOUNDED),
    ("net.cidr_expand", NOT_BOUNDED),
    ("numbers.range", NOT_BOUNDED),
    ("walk", NOT_BOUNDED),
    ("io.jwt.", VERIFIED),
    ("crypto.", VERIFIED),
    ("print", "it is for tests"),
    ("trace", "it is for tests"),
];
const NOT_OF_THE_INPUT: &str = "its result does not follow from the request and the data alone";
const NOT_BOUNDED: &str = "its result is not bounded by the size of its arguments";
const VERIFIED: &str = "the token is verified before the policy is asked, its claims are `input.claims`";

fn why_not(function: &str) -> String {
    if let Some((_, why)) = ABSENT.iter().find(|(name, _)| function.starts_with(name)) {
        return (*why).to_owned();
    }
    let close = spelling::closest(function, BUILTINS.iter().map(|(name, _)| *name));
    close.map_or_else(|| "there is no such function here".to_owned(), |name| format!("did you mean `{name}`?"))
}

/// Whether a rule of this name would hide a builtin, or its namespace.
pub(in crate::policy) fn is_builtin_name(name: &str) -> bool {
    let first = |path: &'static str| path.split('.').next();
    KNOWN_TO_REGORUS.keys().any(|path| first(path) == Some(name))
        || BUILTINS.iter().any(|(path, _)| first(path) == Some(name))
}

/// Whether the called function is a builtin that a policy may call.
pub(super) fn is_builtin(function: &Expr) -> bool {
    let path = static_path(function).map(|path| path.join("."));
    path.is_some_and(|path| BUILTINS.iter().any(|(name, _)| *name == path))
}

/// Checks every call; collects the regexes, and how they are to be written for the machine.
pub(super) fn check(
    module: &Parsed,
    all: &[Parsed],
    regexes: &mut regexes::Checked,
    rewrites: &mut Vec<Rewrite>,
    found: &mut Findings,
) {
    walk_module(&module.tree, &mut Calls { module, all, regexes, rewrites, found });
}

struct Calls<'a> {
    module: &'a Parsed,
    all: &'a [Parsed],
    regexes: &'a mut regexes::Checked,
    rewrites: &'a mut Vec<Rewrite>,
    found: &'a mut Findings,
}

impl Visitor for Calls<'_> {
    fn expr(&mut self, expr: &Expr) {
        let Expr::Call { fcn, params, .. } = expr else { return };
        let Some(path) = static_path(fcn) else {
            return self.found.add(Refusal::no_function(fcn.span().text()).at(fcn.span()));
        };
        let params: Vec<&Expr> = params.iter().map(AsRef::as_ref).collect();
        let function = path.join(".");
        let result = match self.own_function(&path) {
            Some(arity) => check_arity(&function, arity, params.len()),
            None => self.check_builtin(&function, &params),
        };
        self.found.note(result.map_err(|refusal| refusal.at(expr.span())));
    }
}

impl Calls<'_> {
    /// How many parameters the called function of the policy has.
    fn own_function(&self, path: &[String]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let imports = self.module.tree.imports.iter();
        let imported =
            imports.filter(|import| import_name(import) == Some(first)).find_map(|import| static_path(&import.refr));
        let absolute = match imported {
            _ if first == "data" => path.to_vec(),
            Some(prefix) => [&prefix[..], rest].concat(),
            None => [&["data".to_owned()][..], &self.module.package, path].concat(),
        };
        let (name, package) = absolute.get(1..)?.split_last()?;
        let modules = self.all.iter().filter(|module| module.package == package);
        modules.flat_map(Parsed::rules).find_map(|(rule, head)| match (rule, head) {
            (Rule::Spec { head: RuleHead::Func { args, .. }, .. }, Expr::Var { span, .. }) if span.text() == name => {
                Some(args.len())
            }
            _ => None,
        })
    }

    fn check_builtin(&mut self, function: &str, params: &[&Expr]) -> Result<(), Refusal> {
        let Some((_, arguments)) = BUILTINS.iter().find(|(name, _)| *name == function) else {
            return Err(Refusal::Builtin { function: function.to_owned(), why: why_not(function) });
        };
        check_arity(function, arguments.len(), params.len())?;
        for (argument, param) in arguments.iter().zip(params) {
            self.check_argument(*argument, param, params)
                .map_err(|problem| Refusal::Argument { function: function.to_owned(), problem })?;
        }
        Ok(())
    }

    fn check_argument(&mut self, argument: Argument, param: &Expr, params: &[&Expr]) -> Result<(), String> {
        match argument {
            Argument::Any => Ok(()),
            Argument::Literal => literal(param).map(drop),
            Argument::NonEmpty => match literal(param)? {
                "" => Err("the literal is empty".to_owned()),
                _ => Ok(()),
            },
            Argument::SmallNumber => small_number(param),
            Argument::Regex => {
                let rewritten = self.regexes.check(literal(param)?)?;
                self.rewrites.extend(rewritten.map(|regex| Rewrite::string(self.module.index, param, &regex)));
                Ok(())
            }
            Argument::Template => {
                let template = literal(param)?;
                let regex = params.get(1).and_then(|regex| string_of(regex));
                // One that is refused is told of.
                regex
                    .and_then(|regex| self.regexes.get(regex))
                    .map_or(Ok(()), |regex| templates::check(template, regex))
            }
            Argument::Format => formats::check(literal(param)?, params.get(1).copied()),
            Argument::Glob => string_of(param).map_or(Ok(()), globs::check_pattern),
        }
    }
}

/// One argument more than a function has would be its output.
fn check_arity(function: &str, expected: usize, found: usize) -> Result<(), Refusal> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("found {found} arguments, expected {expected}");
    Err(Refusal::Argument { function: function.to_owned(), problem })
}

fn literal(expr: &Expr) -> Result<&str, String> {
    let found = || format!("found `{}`, expected a string literal", expr.span().text());
    string_of(expr).ok_or_else(found)
}

fn small_number(expr: &Expr) -> Result<(), String> {
    match expr {
        Expr::Number { value: Value::Number(number), .. } if number.as_u64().is_some_and(|number| number <= 1000) => {
            Ok(())
        }
        _ => Err(format!("found `{}`, expected a literal number up to 1000", expr.span().text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use wasm_bindgen_test::wasm_bindgen_test;

    /// What is admitted must not hang on what else regorus is built with: the companion's has more in it than the
    /// filter's. This runs with both.
    #[wasm_bindgen_test(unsupported = test)]
    fn the_names_of_builtins_are_the_same_in_every_build() {
        let first = |path: &&'static str| path.split('.').next();
        let names: BTreeSet<&str> =
            KNOWN_TO_REGORUS.keys().chain(BUILTINS.iter().map(|(path, _)| path)).filter_map(first).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let expected = "__builtin_sets abs array base64 base64url bits ceil concat contains count endswith floor \
             format_int glob hex indexof indexof_n intersection is_array is_boolean is_null is_number \
             is_object is_set is_string json lower max min net numbers object product rand regex \
             replace round semver sort split sprintf startswith strings substring sum time to_number \
             trace trim trim_left trim_prefix trim_right trim_space trim_suffix type_name union units \
             upper";
        assert_eq!(names.join(" "), expected);
        assert!(names.iter().all(|name| is_builtin_name(name)));
    }
}
