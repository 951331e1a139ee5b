//! `scbte policy test`: the tests of a policy, and what of it they reach.

use super::{Loaded, MAX_FINDINGS, PolicyArgs, place_json};
use crate::clock;
use crate::commands::{Output, Result};
use crate::words::visible;
use scbte_core::policy::Place;
use scbte_core::policy::tools::{Coverage, FileCoverage, Suite, Test, TestOutcome, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Run the tests of a policy, and say which of its lines they reach
#[derive(clap::Args)]
#[command(after_help = "\
Tests are the rules `test_…` of `*_test.rego`, as for `opa test`; `todo_test_…` are skipped. The policy is answered for by \
the machine that decides in Envoy: it must be admitted. The tests' own code runs on an interpreter that knows most of \
OPA's builtins (of time only `time.now_ns`, which stands still; no crypto, io.jwt, http, uuid, yaml, urlquery, graph, JSON patches and schemas). `with` replaces `input`, data \
and `time.now_ns`; a test that replaces a rule has the policy interpreted, too, and says so. Not supported are tests \
that replace functions, and tests with cases (`test_x[case]`).

A line is covered when every condition on it was evaluated, and the rule or `else` that begins on it held.

Examples:
  scbte policy test policy/
  scbte policy test policy/ --coverage-min 90
  scbte policy test policy/ --run other_method")]
pub(crate) struct TestCommand {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Fail when less than this percentage of the lines is covered
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    coverage_min: Option<f64>,

    /// Only tests with this text in their name
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
}

fn percentage(text: &str) -> std::result::Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("expected a percentage from 0 to 100".to_owned()),
    }
}

/// What came of a test.
struct Ran {
    test: Test,
    verdict: Verdict,
    took: Duration,
}

impl TestCommand {
    pub(super) fn execute(self) -> Result<Output> {
        let loaded = self.policy.load()?;
        let suite = Suite::load(&loaded.source, &loaded.files.tests, &loaded.limits, clock::now(), MAX_FINDINGS);
        let mut suite = match suite {
            Ok(suite) => suite,
            Err(errors) => return Ok(loaded.refused(&errors, self.policy.json)),
        };
        let wanted = |test: &&Test| self.run.as_ref().is_none_or(|text| test.name.contains(text.as_str()));
        let tests: Vec<Test> = suite.tests().iter().filter(wanted).cloned().collect();
        let ran: Vec<Ran> = tests.into_iter().map(|test| run(&mut suite, test)).collect();
        let report = Report { loaded: &loaded, coverage: suite.coverage(), minimum: self.coverage_min, ran };
        let text = if self.policy.json { format!("{:#}\n", report.json()) } else { report.words() };
        Ok(Output { text, success: report.success() })
    }
}

fn run(suite: &mut Suite, test: Test) -> Ran {
    let start = Instant::now();
    let verdict = suite.run(&test);
    Ran { test, verdict, took: start.elapsed() }
}

struct Report<'a> {
    loaded: &'a Loaded,
    ran: Vec<Ran>,
    coverage: Coverage,
    minimum: Option<f64>,
}

/// Lines that are shown of one file.
const MAX_LINES: usize = 10;

impl Report<'_> {
    fn count(&self, outcome: fn(&TestOutcome) -> bool) -> usize {
        self.ran.iter().filter(|ran| outcome(&ran.verdict.outcome)).count()
    }

    fn passed(&self) -> usize {
        self.count(|outcome| *outcome == TestOutcome::Passed)
    }

    fn skipped(&self) -> usize {
        self.count(|outcome| *outcome == TestOutcome::Skipped)
    }

    fn failed(&self) -> usize {
        self.ran.len() - self.passed() - self.skipped()
    }

    fn covers_enough(&self) -> bool {
        self.minimum.is_none_or(|minimum| self.coverage.percent() >= minimum)
    }

    /// Nothing that ran is no success: the tests may not have been found.
    fn success(&self) -> bool {
        self.failed() == 0 && self.passed() > 0 && self.covers_enough()
    }

    fn words(&self) -> String {
        let mut text = String::new();
        let mut file = "";
        for ran in &self.ran {
            if ran.test.place.module != file {
                file = &ran.test.place.module;
                text += &format!("{}\n", self.loaded.files.place_of(file));
            }
            text += &self.test_words(ran);
        }
        text += "\ncoverage\n";
        text += &self.coverage.files.iter().map(|file| self.file_words(file)).collect::<String>();
        text + &self.summary()
    }

    fn test_words(&self, ran: &Ran) -> String {
        let name = ran.test.name.rsplit('.').next().unwrap_or(&ran.test.name);
        let word = match &ran.verdict.outcome {
            TestOutcome::Passed => "ok",
            TestOutcome::Failed(_) => "FAIL",
            TestOutcome::Skipped => "skip",
            TestOutcome::Error(..) => "ERROR",
        };
        let interpreted = ran.test.replaces.as_ref();
        let interpreted = interpreted.map(|rule| format!(", policy interpreted: replaces {rule}")).unwrap_or_default();
        let mut text = format!("  {word:<5}  {name}  ({:.1} ms{interpreted})\n", ran.took.as_secs_f64() * 1000.0);
        text += &match &ran.verdict.outcome {
            TestOutcome::Failed(place) => self.where_it_failed(place.as_ref().unwrap_or(&ran.test.place)),
            TestOutcome::Error(error, place) => {
                format!(
                    "         {}\n{}",
                    visible(error),
                    place.as_ref().map(|place| self.line(place)).unwrap_or_default()
                )
            }
            TestOutcome::Passed | TestOutcome::Skipped => String::new(),
        };
        // What a test prints is for whoever looks for its mistake.
        if !matches!(ran.verdict.outcome, TestOutcome::Passed) {
            text += &ran
                .verdict
                .printed
                .iter()
                .map(|line| format!("         printed: {}\n", visible(line)))
                .collect::<String>();
        }
        text
    }

    fn where_it_failed(&self, place: &Place) -> String {
        format!("         got no further than this line:\n{}", self.line(place))
    }

    fn line(&self, place: &Place) -> String {
        let place = self.loaded.shown(place);
        format!("         {}:{}  {}\n", place.module, place.line, visible(place.text.trim()))
    }

    fn file_words(&self, file: &FileCoverage) -> String {
        let all = file.covered.len() + file.not_covered.len();
        let path = self.loaded.files.place_of(&file.module);
        let mut text = format!("  {:>5.1} %  {path}  {} of {all} lines\n", file.percent(), file.covered.len());
        let module = self.loaded.source.modules.iter().find(|module| module.name == file.module);
        let lines: Vec<&str> = module.map(|module| module.rego.lines().collect()).unwrap_or_default();
        for number in file.not_covered.iter().take(MAX_LINES) {
            let line = usize::try_from(*number).ok().and_then(|number| lines.get(number.checked_sub(1)?));
            text += &format!("           not covered {number:>4}  {}\n", visible(line.unwrap_or(&"").trim()));
        }
        if file.not_covered.len() > MAX_LINES {
            text += &format!("           not covered       {}\n", ranges(&file.not_covered));
        }
        text
    }

    fn summary(&self) -> String {
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        let percent = self.coverage.percent();
        let mut text = format!("\n{passed} passed, {failed} failed, {skipped} skipped, {percent:.1} % covered\n");
        if passed + failed == 0 {
            text += "NO TESTS: there is no such rule `test_…` in a file `*_test.rego` here\n";
        }
        if let (Some(minimum), false) = (self.minimum, self.covers_enough()) {
            text += &format!("TOO LITTLE COVERED: --coverage-min asks for {minimum} %\n");
        }
        text
    }

    fn json(&self) -> Value {
        let file = |file: &FileCoverage| {
            json!({
                "file": self.loaded.files.place_of(&file.module),
                "covered": file.covered,
                "not_covered": file.not_covered,
                "percent": file.percent(),
            })
        };
        json!({
            "success": self.success(),
            "passed": self.passed(),
            "failed": self.failed(),
            "skipped": self.skipped(),
            "tests": self.ran.iter().map(|ran| self.test_json(ran)).collect::<Vec<_>>(),
            "coverage": {
                "percent": self.coverage.percent(),
                "minimum": self.minimum,
                "files": self.coverage.files.iter().map(file).collect::<Vec<_>>(),
            },
        })
    }

    fn test_json(&self, ran: &Ran) -> Value {
        let (outcome, error, place) = match &ran.verdict.outcome {
            TestOutcome::Passed => ("passed", None, None),
            TestOutcome::Failed(place) => ("failed", None, place.as_ref()),
            TestOutcome::Skipped => ("skipped", None, None),
            TestOutcome::Error(error, place) => ("error", Some(error), place.as_ref()),
        };
        json!({
            "name": ran.test.name,
            "place": place_json(&self.loaded.shown(&ran.test.place)),
            "outcome": outcome,
            "error": error,
            "stopped_at": place.map(|place| place_json(&self.loaded.shown(place))),
            "replaces": ran.test.replaces,
            "printed": ran.verdict.printed,
            "milliseconds": ran.took.as_secs_f64() * 1000.0,
        })
    }
}

/// `1-3, 7`
fn ranges(lines: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == *line => *end = *line,
            _ => ranges.push((*line, *line)),
        }
    }
    let words = ranges.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}
