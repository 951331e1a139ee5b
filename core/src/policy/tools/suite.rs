//! Running the tests of a policy: the rules `test_…` of its test modules.
//!
//! Almost every test replaces `input` by `with`, which the machine does not have. So the tests themselves run on
//! regorus' interpreter; but what they ask of the policy is answered by the machine that decides in Envoy (the
//! interpreter alone would differ from OPA, and from the machine, in places). Only a test that replaces a rule or a
//! function of the policy has the policy interpreted, too, and says so.

use super::super::admission::{self, Compilable, Findings, Parsed, located, static_path};
use super::super::error::{AdmissionError, Place, Refusal};
use super::super::{Limits, Module, Policy, PolicySource, RegoVersion};
use super::clock::{self, NOW};
use super::machines::{Machines, Question, Unanswered};
use super::stubs::{ASK, ASK_ARGUMENTS, Replaced, Surface};
use crate::time::Timestamp;
use admission::{Visitor, walk_rule};
use regorus::unstable::{Expr, LiteralStmt, Rule, RuleHead, Span};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::value::Object;
use regorus::{Engine, PolicyLengthConfig, Rc, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A policy with its tests.
pub struct Suite {
    /// The tests, with rules that ask the machine.
    engine: Engine,
    /// The tests, with the policy itself.
    interpreter: Engine,
    machines: Arc<Mutex<Machines>>,
    tests: Vec<Test>,
    modules: Vec<Module>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// For example `data.scbte_test.test_get`.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// The rule that the test replaces, if it does: then the policy is interpreted.
    pub replaces: Option<String>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// `todo_test_…`
    Todo,
    /// `test_x[case]`
    Cases,
    /// Replaces a function.
    Function,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it passed.
    pub outcome: TestOutcome,
    /// What it printed.
    pub printed: Vec<String>,
}

/// Whether a test passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    /// Its value is true.
    Passed,
    /// It is not; with the line that was looked at last.
    Failed(Option<Place>),
    /// The author left it for later.
    Skipped,
    /// It could not be evaluated.
    Error(String, Option<Place>),
}

/// Lines of the policy that the tests reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Of each module of the policy.
    pub files: Vec<FileCoverage>,
}

/// Lines of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCoverage {
    /// The module's name.
    pub module: String,
    /// Lines whose conditions were evaluated, and whose rules or `else` held.
    pub covered: BTreeSet<u32>,
    /// The other lines with conditions, rules or `else`.
    pub not_covered: BTreeSet<u32>,
}

/// How long one test may take.
const TIME: Duration = Duration::from_secs(10);

/// Work of the interpreter between two looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

impl Suite {
    /// Admits a policy and loads it with its tests, for which it is always the same time.
    ///
    /// # Errors
    /// Up to `most` reasons why the policy may not run, or why the tests cannot be read.
    pub fn load(
        source: &PolicySource,
        tests: &[Module],
        limits: &Limits,
        now: Timestamp,
        most: usize,
    ) -> Result<Self, Vec<AdmissionError>> {
        Policy::admit_or_tell(source, limits, most)?;
        let mut found = Findings::new(most);
        let suite = Self::prepare(source, tests, limits, now, &mut found);
        found.finish(suite)
    }

    fn prepare(
        source: &PolicySource,
        modules: &[Module],
        limits: &Limits,
        now: Timestamp,
        found: &mut Findings,
    ) -> Option<Self> {
        let parsed = admission::parse(source, found)?;
        let compilable = admission::check(source, limits, found)?;
        let test_modules = admission::parse_tests(modules, source.rego_version, found)?;
        let mut surface = Surface::new(&parsed, &source.data);
        let replaced = replaced(&test_modules, &mut surface);
        let stubs = surface.modules(source.rego_version);
        let stubs: Vec<Module> = stubs.into_iter().map(|(name, rego)| Module { name, rego }).collect();
        let machines = Arc::new(Mutex::new(Machines::new(source.clone(), limits.clone())));
        let mut engine = found.note(engine(stubs.iter().chain(modules), &compilable, now))?;
        found.note(answer_by(&mut engine, &machines))?;
        let interpreter = found.note(self::engine(compilable.modules.iter().chain(modules), &compilable, now))?;
        let tests = test_modules.iter().flat_map(|module| tests_of(module, &replaced)).collect();
        Some(Self { engine, interpreter, machines, tests, modules: source.modules.clone() })
    }

    /// The tests, in the order of the modules and lines.
    #[must_use]
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Runs one test.
    pub fn run(&mut self, test: &Test) -> Verdict {
        match test.form {
            Form::Todo => return TestOutcome::Skipped.into(),
            Form::Cases => {
                let problem = "a test with cases, `test_x[case] if …`, is not supported: write one rule for each";
                return TestOutcome::Error(problem.to_owned(), Some(test.place.clone())).into();
            }
            Form::Function => {
                let problem = "a test that replaces a function with `with` is not supported: only `input`, data, \
                    `time.now_ns` and rules can be replaced";
                return TestOutcome::Error(problem.to_owned(), Some(test.place.clone())).into();
            }
            Form::Plain => {}
        }
        let engine = if test.replaces.is_some() { &mut self.interpreter } else { &mut self.engine };
        engine.clear_coverage_data();
        let result = engine.eval_rule(test.name.clone());
        let printed = engine.take_prints().unwrap_or_default();
        let outcome = match result {
            Ok(Value::Bool(true)) => TestOutcome::Passed,
            Ok(_) => TestOutcome::Failed(last_line(engine, test)),
            Err(error) => {
                let text = error.downcast_ref::<Unanswered>().map(ToString::to_string);
                let error = self.original(located(&error, Refusal::Syntax));
                let text = text.unwrap_or_else(|| match error.refusal {
                    Refusal::Syntax(text) => text,
                    other => other.to_string(),
                });
                TestOutcome::Error(clock::restored(&text), error.place)
            }
        };
        Verdict { outcome, printed }
    }

    /// An error in the policy, with the line as its author wrote it; one in a stub has no place.
    fn original(&self, mut error: AdmissionError) -> AdmissionError {
        if error.place.as_ref().is_some_and(|place| place.module.starts_with("__scbte")) {
            error.place = None;
        }
        if let Some(place) = &mut error.place
            && let Some(module) = self.modules.iter().find(|module| module.name == place.module)
        {
            let line = usize::try_from(place.line).ok().and_then(|line| module.rego.lines().nth(line.checked_sub(1)?));
            *place = Place::new(&module.name, place.line, 1, line.unwrap_or_default());
        }
        error
    }

    /// The lines that the tests reached so far; tests that had the policy interpreted do not count.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage { files: lock(&self.machines).coverage() }
    }
}

fn lock(machines: &Mutex<Machines>) -> MutexGuard<'_, Machines> {
    machines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<TestOutcome> for Verdict {
    fn from(outcome: TestOutcome) -> Self {
        Self { outcome, printed: Vec::new() }
    }
}

impl Coverage {
    /// Covered lines of all lines that can be, in percent; 100 where there are none.
    #[must_use]
    pub fn percent(&self) -> f64 {
        let count = |lines: fn(&FileCoverage) -> usize| self.files.iter().map(lines).fold(0, usize::saturating_add);
        percent(count(|file| file.covered.len()), count(|file| file.not_covered.len()))
    }
}

impl FileCoverage {
    /// Covered lines of this module, in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        percent(self.covered.len(), self.not_covered.len())
    }
}

fn percent(covered: usize, not_covered: usize) -> f64 {
    let exact = |number: usize| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
    match covered.saturating_add(not_covered) {
        0 => 100.0,
        all => 100.0 * exact(covered) / exact(all),
    }
}

/// An interpreter with these modules.
fn engine<'a>(
    modules: impl Iterator<Item = &'a Module>,
    compilable: &Compilable,
    now: Timestamp,
) -> Result<Engine, AdmissionError> {
    let mut engine = Engine::new();
    engine.set_rego_v0(compilable.rego_version == RegoVersion::V0);
    engine.set_policy_length_config(PolicyLengthConfig { max_col: NonZeroU32::MAX, ..PolicyLengthConfig::default() });
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME, check_interval: CHECK_INTERVAL });
    // As OPA and the machine have it: a builtin that fails is undefined.
    engine.set_strict_builtin_errors(false);
    engine.set_gather_prints(true);
    for module in modules.map(clock::replaced).chain([clock::module()]) {
        let added = engine.add_policy(module.name, module.rego);
        added.map_err(|error| located(&error, Refusal::Syntax))?;
    }
    let tell = move |_: Vec<Value>| Ok(Value::from(now.nanos()));
    let added = engine.add_extension(NOW.to_owned(), 0, Box::new(tell));
    added.map_err(|error| Refusal::Compile(error.to_string()))?;
    engine.add_data(compilable.data.clone()).map_err(|error| located(&error, Refusal::Data))?;
    engine.set_enable_coverage(true);
    Ok(engine)
}

/// Has the machines answer what the stubs ask.
fn answer_by(engine: &mut Engine, machines: &Arc<Mutex<Machines>>) -> Result<(), Refusal> {
    let machines = Arc::clone(machines);
    let ask = move |arguments: Vec<Value>| Ok(answer(&mut lock(&machines), &arguments)?);
    engine
        .add_extension(ASK.to_owned(), ASK_ARGUMENTS, Box::new(ask))
        .map_err(|error| Refusal::Compile(error.to_string()))
}

fn answer(machines: &mut Machines, arguments: &[Value]) -> Result<Value, Unanswered> {
    let [Value::String(rule), arguments, input, data, now] = arguments else { return Ok(Value::Undefined) };
    machines.answer(Question {
        rule,
        arguments: arguments.as_array().ok().map(|arguments| arguments.as_slice()),
        input: the_one(input).unwrap_or(Value::Undefined),
        data: document(data),
        now: Timestamp::from_nanos(now.as_u64().unwrap_or_default()),
    })
}

/// What is in an array of one element or none.
fn the_one(array: &Value) -> Option<Value> {
    elements(array).first().cloned()
}

/// The data document, of `[[path, [value]], …]`.
fn document(entries: &Value) -> Value {
    let mut data = Value::Object(Rc::new(Object::new()));
    for entry in elements(entries) {
        if let [path, value] = elements(entry)
            && let Some(value) = the_one(value)
        {
            put(&mut data, elements(path), value);
        }
    }
    data
}

fn elements(array: &Value) -> &[Value] {
    array.as_array().map(|array| array.as_slice()).unwrap_or_default()
}

fn put(into: &mut Value, path: &[Value], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *into = value;
        return;
    };
    if let Ok(members) = into.as_object_mut() {
        let member = members.get_or_insert_with(name.clone(), || Value::Object(Rc::new(Object::new())));
        put(member, rest, value);
    }
}

/// What each rule of the test modules replaces by `with` that the machine cannot, by its name; with what the rules that
/// it mentions do.
fn replaced(modules: &[Parsed], surface: &mut Surface) -> HashMap<String, (Replaced, String)> {
    let mut replaced: HashMap<String, (Replaced, String)> = HashMap::new();
    let mut mentions: Vec<(String, HashSet<String>)> = Vec::new();
    for module in modules {
        for (rule, head) in module.rules() {
            let name = admission::head_name(head).map_or("", Span::text).to_owned();
            let mut reader = Reader { module, surface, replaced: None, names: HashSet::new() };
            walk_rule(rule, &mut reader);
            let Reader { replaced: target, names, .. } = reader;
            replaced.extend(target.map(|target| (name.clone(), target)));
            mentions.push((name, names));
        }
    }
    loop {
        let before = replaced.len();
        for (name, names) in &mentions {
            if let Some(target) = names.iter().find_map(|mentioned| replaced.get(mentioned).cloned()) {
                replaced.entry(name.clone()).or_insert(target);
            }
        }
        if replaced.len() == before {
            return replaced;
        }
    }
}

/// Reads one rule of a test module.
struct Reader<'a> {
    module: &'a Parsed,
    surface: &'a mut Surface,
    replaced: Option<(Replaced, String)>,
    names: HashSet<String>,
}

impl Visitor for Reader<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        for with in &statement.with_mods {
            let target = static_path(&with.refr).unwrap_or_default();
            let replaced = self.surface.replaces(self.module, &target);
            let known = self.replaced.as_ref().map_or(Replaced::Facts, |(known, _)| *known);
            if replaced != Replaced::Facts && known != Replaced::Function {
                self.replaced = Some((replaced, with.refr.span().text().to_owned()));
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Var { span, .. } => self.names.extend([span.text().to_owned()]),
            Expr::RefDot { field, .. } => self.names.extend([field.0.text().to_owned()]),
            Expr::RefBrack { index, .. } => self.names.extend(admission::string_of(index).map(str::to_owned)),
            Expr::Call { fcn, .. } => self.names.extend(static_path(fcn).unwrap_or_default()),
            _ => {}
        }
    }
}

/// The tests of a module, each name once.
fn tests_of(module: &Parsed, replaced: &HashMap<String, (Replaced, String)>) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for (rule, _) in module.rules() {
        let Rule::Spec { head, span, .. } = rule else { continue };
        let (refr, form) = match head {
            RuleHead::Compr { refr, .. } => (refr, Form::Plain),
            RuleHead::Set { refr, .. } => (refr, Form::Cases),
            RuleHead::Func { .. } => continue,
        };
        let (name, form) = match refr.as_ref() {
            Expr::RefBrack { refr, .. } => (refr.span().text(), Form::Cases),
            _ => (refr.span().text(), form),
        };
        let form = match name {
            name if name.starts_with("todo_test_") => Form::Todo,
            name if name.starts_with("test_") => form,
            _ => continue,
        };
        let (form, replaces) = match replaced.get(name) {
            Some((Replaced::Function, _)) if form == Form::Plain => (Form::Function, None),
            Some((_, rule)) => (form, Some(rule.clone())),
            None => (form, None),
        };
        let name = module.path_of(name);
        if !tests.iter().any(|test| test.name == name) {
            tests.push(Test { name, place: Place::of(span), replaces, form });
        }
    }
    tests
}

/// The line of a failed test that the interpreter looked at last.
fn last_line(engine: &Engine, test: &Test) -> Option<Place> {
    let report = engine.get_coverage_report().ok()?;
    let file = report.files.into_iter().find(|file| file.path == test.place.module)?;
    let lines: Vec<&str> = file.code.lines().collect();
    let number = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    let first = test.place.line;
    // A rule ends where a line begins with something else than white space or a bracket.
    let mut rest = lines.iter().enumerate().skip(usize::try_from(first).ok()?);
    let next = rest.find(|(_, line)| line.starts_with(|first: char| first.is_alphabetic() || first == '_'));
    let end = next.map_or(u32::MAX, |(line, _)| number(line));
    let last = *file.covered.range(first..=end).next_back()?;
    let text = clock::restored(lines.get(usize::try_from(last).ok()?.checked_sub(1)?)?);
    let indent = text.chars().take_while(|character| character.is_whitespace()).count();
    Some(Place { column: number(indent).saturating_add(1), ..Place::new(&file.path, last, 1, &text) })
}
