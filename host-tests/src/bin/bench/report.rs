//! Results as JSON and as a page of Markdown.

use crate::contender::Contender;
use crate::error::Error;
use crate::goals::{Goal, goals};
use crate::machine::Machine;
use crate::round::{Bench, Measurement};
use crate::statistics::{Measured, Spread};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Everything that a run found.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) bench: &'a Bench,
    /// Of the source, where git knows.
    pub(crate) commit: Option<&'a str>,
    pub(crate) rounds: usize,
    pub(crate) measurements: &'a [Measurement],
    /// Contenders that could not run, and why.
    pub(crate) left_out: &'a [(Contender, String)],
}

impl Report<'_> {
    /// Writes `results.json` and `results.md` and returns the latter.
    pub(crate) fn write(&self, folder: &Path) -> Result<String, Error> {
        let measured = Measured::new(self.measurements);
        let write =
            |name: &str, text: &str| fs::write(folder.join(name), text).map_err(Error::file(&folder.join(name)));
        let json = serde_json::to_string_pretty(&self.json(&measured)).map_err(Error::other)?;
        write("results.json", &json)?;
        let page = self.page(&measured);
        write("results.md", &page)?;
        Ok(page)
    }

    fn json(&self, measured: &Measured) -> Value {
        let contenders = measured.contenders().into_iter().map(|one| (one.name().to_owned(), of_one(measured, one)));
        let left_out = self.left_out.iter().map(|(one, why)| (one.name().to_owned(), Value::from(why.as_str())));
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "seconds": self.bench.span.as_secs(),
            "warm_up_seconds": self.bench.warm_up.as_secs(),
            "commit": self.commit,
            "connections": self.bench.connections,
            "tokens": self.bench.pools.fresh,
            "svids": self.bench.pools.svids,
            "hot_tokens": self.bench.pools.hot,
            "rbac_policies": self.bench.policies,
            "contenders": contenders.collect::<Map<_, _>>(),
            "left_out": left_out.collect::<Map<_, _>>(),
            "goals": goals(measured),
            "measurements": self.measurements,
        })
    }

    fn page(&self, measured: &Measured) -> String {
        let mut page = "# What a request costs\n\n".to_owned();
        page.push_str(&table(measured, self.left_out));
        page.push_str(READING);
        page.push_str(&caveats(self.rounds, self.measurements));
        page.push_str(&goals_table(&goals(measured)));
        page.push_str("\n## What each contender does not check\n\n");
        for one in measured.contenders() {
            let _ = writeln!(page, "- `{}` ({}): {}", one.name(), one.description(), one.unchecked());
        }
        page.push_str(&self.how());
        page
    }

    fn how(&self) -> String {
        let Self { machine, bench, rounds, commit, .. } = self;
        let commit = commit.map(|commit| format!(" of commit {commit}")).unwrap_or_default();
        let rounds = if *rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
        let Machine { cpu, cores, kernel, envoy, filter_bytes, versions } = machine;
        let versions: Vec<_> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let versions = versions.join(", ");
        let (seconds, warm_up) = (bench.span.as_secs(), bench.warm_up.as_secs());
        format!(
            "\n## How it was measured\n\n\
             {cores} cores of {cpu}, Linux {kernel}, Envoy {envoy}, {versions}, a filter of {filter_bytes} bytes{commit}; {rounds} \
             of {seconds} s after {warm_up} s of warming up. One Envoy worker and every other server of a contender on one \
             core, all counted; wrk with {} connections on another. SCBTE's companion does not run: the benchmark pushes the \
             trust bundle once, before it measures. Envoy answers by itself, so no upstream is counted. The tokens are of \
             the same form for all: {} hot ones, {} fresh ones, {} of an SVID each, minted anew for each measurement. \
             RBAC has {} policies, of which the last one fits. Before it was measured, each contender that decides admitted a good token, and refused one with another path, \
             method or context, and none at all. Every answer was of the expected class (2xx or 4xx) and reached wrk; \
             SCBTE's own counters say that each token was verified, and each request decided, as the contender's name \
             says, and `jwt_authn`'s say that its cache found every token, or none.\n",
            bench.connections, bench.pools.hot, bench.pools.fresh, bench.pools.svids, bench.policies
        )
    }
}

const READING: &str = "\nCPU: time of all servers together, per request. Added: over the mean of the two `none` next to it \
in the same round; for `middleware-opa`, in which there is no Envoy, over the same Express without its middleware. \
Everything is the median of the rounds, with smallest and largest. The ratio is that of added CPU, round by round. p50 and \
p99 are wrk's, of a core that is fully loaded by a closed loop, with wrk's own correction for coordinated omission (a \
latency of more than twice the mean interval between a connection's answers counts for those that were not sent \
meanwhile, too): they tell contenders apart and promise nothing.\n";

/// Servers that have less of their core than this are not fully loaded.
pub(crate) const LOADED: f64 = 0.9;

/// What makes numbers worth less.
fn caveats(rounds: usize, measurements: &[Measurement]) -> String {
    let mut text = String::new();
    if rounds == 1 {
        text.push_str("\nOne round is a first look: nothing says how far another would be from it.\n");
    }
    let idle: Vec<_> = measurements.iter().filter(|one| one.core_share < LOADED).collect();
    if !idle.is_empty() {
        let mut names: Vec<_> = idle.iter().map(|one| format!("`{}`", one.contender.name())).collect();
        names.sort_unstable();
        names.dedup();
        let _ = writeln!(
            text,
            "\n**Not fully loaded.** In {} of {} measurements ({}) the servers had less than {LOADED} of their core: the \
             machine was busy with something else, or wrk was the limit. Requests/s, p50 and p99 say less there.",
            idle.len(),
            measurements.len(),
            names.join(", ")
        );
    }
    text
}

fn of_one(measured: &Measured, one: Contender) -> Value {
    json!({
        "requests_per_second": measured.spread(one, |found| found.requests_per_second),
        "cpu_us": measured.spread(one, |found| found.cpu_us),
        "base_cpu_us": measured.own_base(one),
        "added_cpu_us": measured.added(one),
        "p50_ms": measured.spread(one, |found| found.p50_ms),
        "p99_ms": measured.spread(one, |found| found.p99_ms),
        "peer": one.peer().map(Contender::name),
        "added_cpu_ratio_to_peer": one.peer().and_then(|peer| measured.added_ratio(one, peer)),
        "does_not_check": one.unchecked(),
    })
}

fn table(measured: &Measured, left_out: &[(Contender, String)]) -> String {
    let mut table = "| | requests/s | CPU, µs | added, µs | added, to its peer | p50, ms | p99, ms |\n\
                     |---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for one in measured.contenders() {
        let value = |value: fn(&Measurement) -> f64, digits| spread(measured.spread(one, value), digits);
        let peer = one.peer().and_then(|peer| Some((peer, measured.added_ratio(one, peer)?)));
        let ratio =
            peer.map_or_else(String::new, |(peer, ratio)| format!("{} × `{}`", spread(Some(ratio), 2), peer.name()));
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {ratio} | {} | {} |",
            one.name(),
            value(|found| found.requests_per_second, 0),
            value(|found| found.cpu_us, 1),
            spread(measured.added(one), 1),
            value(|found| found.p50_ms, 2),
            value(|found| found.p99_ms, 2),
        );
    }
    for (one, why) in left_out {
        let _ = writeln!(table, "| `{}` | not measured: {} | | | | | |", one.name(), why.replace(['\n', '|'], " "));
    }
    let own_bases = measured.contenders().into_iter().filter_map(|one| Some((one, measured.own_base(one)?)));
    for (one, base) in own_bases {
        let _ = writeln!(table, "\nWhat `{}` is added to takes {} µs.", one.name(), spread(Some(base), 1));
    }
    table
}

fn goals_table(goals: &[Goal]) -> String {
    if goals.iter().all(|goal| goal.measured.is_none()) {
        return String::new();
    }
    let mut table = "\n## Goals\n\n| | goal | measured | | stretch |\n|---|--:|--:|---|---|\n".to_owned();
    for Goal { what, limit, measured, met, stretch } in goals {
        let stretch = stretch.map_or_else(String::new, |stretch| format!("{} {}", stretch.limit, word(stretch.met)));
        let verdict = met.map_or("not measured", word);
        let _ = writeln!(table, "| {what} | {limit} | {} | {verdict} | {stretch} |", spread(*measured, 2));
    }
    table
}

/// The tables' word.
pub(crate) const fn word(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// `median (min–max)`, or only the one that there is.
pub(crate) fn spread(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(String::new, |Spread { min, median, max }| {
        if min.to_bits() == max.to_bits() {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::{measured, measurement};

    #[test]
    fn a_row_has_the_median_and_what_lies_around_it() {
        let rows = [(0, 16.0), (1, 18.0), (2, 20.0)].map(|(round, cpu)| {
            [(Contender::None, round, 10.0), (Contender::ScbteHot, round, cpu), (Contender::NativeCache, round, 18.0)]
        });
        let table = table(&measured(rows.as_flattened()), &[(Contender::ExtAuthzOpa, "no plugin".to_owned())]);
        let row = table.lines().find(|line| line.contains("| `scbte-hot`")).unwrap();
        let expected = "| `scbte-hot` | 55556 (50000–62500) | 18.0 (16.0–20.0) | 8.0 (6.0–10.0) | \
                        1.00 (0.75–1.25) × `native-cache` | 1.80 (1.60–2.00) | 3.60 (3.20–4.00) |";
        assert_eq!(row, expected);
        assert!(table.contains("| `ext-authz-opa` | not measured: no plugin | | | | | |"), "{table}");
    }

    #[test]
    fn what_makes_numbers_worth_less_is_said() {
        let with = |core_share, contender| Measurement { core_share, ..measurement(&(contender, 0, 10.0)) };
        let idle = [with(0.5, Contender::ScbteHot), with(0.95, Contender::None), with(0.4, Contender::ScbteHot)];
        let text = caveats(3, &idle);
        assert!(text.contains("In 2 of 3 measurements (`scbte-hot`)") && !text.contains("One round"), "{text}");
        assert!(caveats(1, &idle[1..2]).contains("One round is a first look"));
        assert_eq!(caveats(7, &idle[1..2]), "");
    }

    #[test]
    fn a_goal_that_is_missed_says_so() {
        let rows = [(Contender::None, 0, 10.0), (Contender::ScbteHot, 0, 30.0), (Contender::NativeCache, 0, 20.0)];
        assert!(goals_table(&goals(&measured(&rows))).contains("| 2.00 | **missed** | 0.85 **missed** |"));
    }
}
