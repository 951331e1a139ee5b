//! Many rounds as two tables, and as JSON.

use crate::Outcome;
use crate::round::{Memory, Round};
use crate::stopwatch::median;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// Engines in the order of the tables' columns: title, name, whether in wasm.
const ENGINES: [(&str, &str, bool); 5] = [
    ("SCBTE, wasm", "machine", true),
    ("SCBTE, native", "machine", false),
    ("interpreter, wasm", "interpreter", true),
    ("interpreter, native", "interpreter", false),
    ("OPA", "opa", false),
];

/// What is written to `policy.json`.
#[derive(Serialize)]
struct Report<'a> {
    notes: &'a [&'a str],
    cases: Vec<Case<'a>>,
}

#[derive(Serialize)]
struct Case<'a> {
    name: &'a str,
    rego_bytes: usize,
    data_bytes: usize,
    engines: Vec<Loaded>,
    requests: Vec<Request<'a>>,
}

/// How an engine takes a policy in.
#[derive(Serialize)]
struct Loaded {
    engine: &'static str,
    load_ms: Option<Spread>,
    memory: Option<Memory>,
}

#[derive(Serialize)]
struct Request<'a> {
    name: &'a str,
    instructions: Option<f64>,
    nanoseconds: Vec<Time>,
}

#[derive(Serialize)]
struct Time {
    engine: &'static str,
    #[serde(flatten)]
    spread: Option<Spread>,
}

/// Over the rounds.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

/// Reads the rounds; writes and gives the tables.
pub(crate) fn write(folder: &Path, notes: &[&str]) -> Outcome<String> {
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let lines = std::fs::read_to_string(folder.join("rounds.jsonl")).map_err(|error| problem(&error))?;
    let rounds = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Round>, _>>();
    let rounds = rounds.map_err(|error| problem(&error))?;
    let report = Report::new(&rounds, notes);
    let json = serde_json::to_string_pretty(&report).map_err(|error| problem(&error))?;
    let markdown = report.markdown();
    std::fs::write(folder.join("policy.json"), json).map_err(|error| problem(&error))?;
    std::fs::write(folder.join("policy.md"), &markdown).map_err(|error| problem(&error))?;
    Ok(markdown)
}

impl<'a> Report<'a> {
    fn new(rounds: &'a [Round], notes: &'a [&'a str]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for round in rounds {
            if !names.contains(&round.case.as_str()) {
                names.push(&round.case);
            }
        }
        let of_case = |name| rounds.iter().filter(|round| round.case == name).collect::<Vec<_>>();
        Self { notes, cases: names.into_iter().filter_map(|name| Case::new(&of_case(name))).collect() }
    }

    fn markdown(&self) -> String {
        let mut text =
            String::from("Time of one decision in µs: the median of the rounds (their minimum–maximum).\n\n");
        let titles = ENGINES.map(|(title, ..)| title);
        row(&mut text, &[&["policy", "request", "instructions"][..], &titles].concat());
        row(&mut text, &[&["---", "---"][..], &["--:"; 6]].concat());
        for case in &self.cases {
            for request in &case.requests {
                row(&mut text, &request.cells(case.name));
            }
        }
        text.push_str("\nLoading a policy: time in ms; memory in MiB, at most (wasm: linear memory, before → at most; else the process).\n\n");
        row(&mut text, &[&["policy", "Rego, KiB", "data, KiB"][..], &titles].concat());
        row(&mut text, &[&["---"][..], &["--:"; 7]].concat());
        for case in &self.cases {
            row(&mut text, &case.cells());
        }
        text.push('\n');
        for note in self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

impl<'a> Case<'a> {
    fn new(rounds: &[&'a Round]) -> Option<Self> {
        let first = rounds.first()?;
        let requests = first.requests.iter().map(|request| Request::new(&request.request, rounds));
        Some(Self {
            name: &first.case,
            rego_bytes: first.rego_bytes,
            data_bytes: first.data_bytes,
            engines: ENGINES.map(|(title, name, wasm)| Loaded::new(title, &of_engine(rounds, name, wasm))).into(),
            requests: requests.collect(),
        })
    }

    fn cells(&self) -> Vec<String> {
        let kibibytes = |bytes: usize| number(bytes as f64 / 1024.0);
        let mut cells = vec![self.name.to_owned(), kibibytes(self.rego_bytes), kibibytes(self.data_bytes)];
        cells.extend(self.engines.iter().map(Loaded::cell));
        cells
    }
}

impl Loaded {
    fn new(engine: &'static str, rounds: &[&Round]) -> Self {
        let memory = rounds.iter().filter_map(|round| round.memory);
        Self {
            engine,
            load_ms: Spread::of(rounds.iter().filter_map(|round| round.load_ms).collect()),
            memory: memory.max_by_key(|memory| memory.most),
        }
    }

    fn cell(&self) -> String {
        let (Some(load), Some(memory)) = (&self.load_ms, &self.memory) else { return NOTHING.to_owned() };
        let mebibytes = |bytes: u64| number(bytes as f64 / 1024.0 / 1024.0);
        let before =
            if self.engine.ends_with("wasm") { format!("{} → ", mebibytes(memory.before)) } else { String::new() };
        format!("{} ms, {before}{} MiB", number(load.median), mebibytes(memory.most))
    }
}

impl<'a> Request<'a> {
    fn new(name: &'a str, rounds: &[&'a Round]) -> Self {
        let time = |(title, engine, wasm)| Time {
            engine: title,
            spread: Spread::of(costs(&of_engine(rounds, engine, wasm), name)),
        };
        Self {
            name,
            instructions: costs(&of_engine(rounds, "instructions", false), name).first().copied(),
            nanoseconds: ENGINES.map(time).into(),
        }
    }

    fn cells(&self, case: &str) -> Vec<String> {
        let instructions = self.instructions.map_or_else(|| NOTHING.to_owned(), |count| count.to_string());
        let mut cells = vec![case.to_owned(), self.name.to_owned(), instructions];
        cells.extend(self.nanoseconds.iter().map(|time| time.spread.map_or_else(|| NOTHING.to_owned(), microseconds)));
        cells
    }
}

fn of_engine<'a>(rounds: &[&'a Round], name: &str, wasm: bool) -> Vec<&'a Round> {
    rounds.iter().copied().filter(|round| round.engine == name && round.wasm == wasm).collect()
}

fn costs(rounds: &[&Round], request: &str) -> Vec<f64> {
    let requests = rounds.iter().flat_map(|round| &round.requests);
    requests.filter(|measured| measured.request == request).map(|measured| measured.cost).collect()
}

impl Spread {
    fn of(values: Vec<f64>) -> Option<Self> {
        let min = values.iter().copied().min_by(f64::total_cmp)?;
        let max = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { min, median: median(values), max })
    }
}

fn microseconds(spread: Spread) -> String {
    let Spread { min, median, max } = spread;
    let [min, median, max] = [min, median, max].map(|nanoseconds| number(nanoseconds / 1e3));
    format!("{median} ({min}–{max})")
}

/// With about three digits.
fn number(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// In the cell of what was not measured.
const NOTHING: &str = "–";

fn row(text: &mut String, cells: &[impl AsRef<str>]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
