//! What was found as JSON, as a page of Markdown, and as a plot.

use super::start::STARTS;
use super::{Growth, Line, Memory, Name, PAIRS, Series, Start, plot};
use crate::error::Error;
use crate::report::{spread, word};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// MiB that the filter may add with one worker, and with each further one.
const MEMORY_GOALS: (f64, f64) = (90.0, 3.0);
/// Seconds until the listener is ready.
const START_GOAL: f64 = 1.5;

pub(super) fn write(growth: &Growth, folder: &Path) -> Result<String, Error> {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).map_err(Error::file(&folder.join(name)));
    write("growth.json", &serde_json::to_string_pretty(growth).map_err(Error::other)?)?;
    let page = page(growth);
    write("growth.md", &page)?;
    plot::write(growth, &folder.join("growth.svg"))?;
    Ok(page)
}

fn page(growth: &Growth) -> String {
    let mut page = "# What the filter's cost depends on\n".to_owned();
    growth.series.iter().for_each(|series| page.push_str(&table(series)));
    if !growth.series.is_empty() {
        let _ = writeln!(
            page,
            "\nµs: median of {PAIRS} pairs of {} s, smallest and largest in parentheses, over a bare Envoy with the same \
             tokens that was measured just before.",
            growth.seconds
        );
    }
    page.push_str(&growth.memory.as_ref().map(memory).unwrap_or_default());
    page.push_str(&growth.start.as_ref().map(start).unwrap_or_default());
    let machine = &growth.machine;
    let _ = writeln!(
        page,
        "\nOn {} cores of {}, Envoy {}, a filter of {} bytes. The parts may be of several runs, with the same \
         tokens, seconds and versions.",
        machine.cores, machine.cpu, machine.envoy, machine.filter_bytes
    );
    page
}

fn table(series: &Series) -> String {
    let mut table = format!("\n## By {}\n\n| |", series.quantity);
    // What fills the memory: of the other series it says nothing but how far two Envoys are apart.
    let fills = matches!(series.name, Name::TokenSize | Name::Grants | Name::TrustDomains | Name::DistinctTokens);
    for Line { name, .. } in &series.lines {
        let memory = if fills { format!(" with {name}, MiB |") } else { String::new() };
        let _ = write!(table, " {name}, µs | {name} token, bytes |{memory}");
    }
    table.push_str("\n|--:|");
    table.push_str(&"--:|".repeat((2 + usize::from(fills)) * series.lines.len()));
    let values = series.lines.first().map(|line| line.points.iter().map(|point| point.x));
    for (at, x) in values.into_iter().flatten().enumerate() {
        let _ = write!(table, "\n| {x} |");
        for point in series.lines.iter().filter_map(|line| line.points.get(at)) {
            let added = spread(Some(point.added_cpu_us), 1);
            let memory = if fills { format!(" {:.0} |", point.resident_mib) } else { String::new() };
            let _ = write!(table, " {added} | {} |{memory}", point.token_bytes);
        }
    }
    table + "\n"
}

fn memory(memory: &Memory) -> String {
    let (first, further) = (memory.added(), memory.further_worker());
    let mut text =
        "\n## Memory\n\nResident memory of Envoy with the filter over that without, its cache of tokens full.\n\n\
                    | | measured, MiB | goal | |\n|---|--:|--:|---|\n"
            .to_owned();
    for (what, found, goal) in
        [("the filter, one worker", first, MEMORY_GOALS.0), ("each further worker", further, MEMORY_GOALS.1)]
    {
        let _ = writeln!(text, "| {what} | {found:.1} | ≤ {goal} | {} |", word(found <= goal));
    }
    text.push_str("\n| distinct valid tokens so far | invalid ones | resident, MiB |\n|--:|--:|--:|\n");
    for flood in &memory.flood {
        let _ = writeln!(text, "| {} | {} | {:.1} |", flood.valid, flood.invalid, flood.resident_mib);
    }
    // The first of them is before the flood, the second after its first tenth.
    if let ([_, tenth, ..], Some(last)) = (memory.flood.as_slice(), memory.flood.last()) {
        let grown = last.resident_mib - tenth.resident_mib;
        let _ = writeln!(text, "\nFrom {} tokens on, when the cache of tokens was full, {grown:+.1} MiB.", tenth.valid);
    }
    text
}

fn start(start: &Start) -> String {
    let met = start.added.is_some_and(|added| added.median <= START_GOAL);
    format!(
        "\n## Start\n\nOn one core ready after {} s, without the filter after {} s: {} s more, the goal being {START_GOAL} s: \
         {}. Median of {STARTS} starts, smallest and largest in parentheses.\n",
        spread(start.filter, 2),
        spread(start.none, 2),
        spread(start.added, 2),
        word(met)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::Point;
    use crate::growth::memory::Flood;
    use crate::statistics::Spread;

    #[test]
    fn a_line_of_a_series_is_a_column() {
        let point = |x, added_cpu_us, token_bytes, resident_mib| Point {
            x,
            added_cpu_us: Spread { min: added_cpu_us - 1.0, median: added_cpu_us, max: added_cpu_us + 1.0 },
            cpu_us: Spread { min: 0.0, median: 0.0, max: 0.0 },
            token_bytes,
            resident_mib,
        };
        let lines = vec![
            Line { name: "hot".into(), points: vec![point(1, 8.0, 1300, 120.0), point(2, 8.5, 1301, 121.0)] },
            Line { name: "fresh".into(), points: vec![point(1, 50.0, 1310, 130.0), point(2, 51.0, 1311, 131.0)] },
        ];
        let series = |name| Series { name, quantity: "Envoy workers".into(), lines: lines.clone() };
        let page = table(&series(Name::Grants));
        let head = "| | hot, µs | hot token, bytes | with hot, MiB | fresh, µs | fresh token, bytes | with fresh, MiB |\n\
                    |--:|--:|--:|--:|--:|--:|--:|\n";
        assert!(page.contains(head), "{page}");
        assert!(page.contains("| 2 | 8.5 (7.5–9.5) | 1301 | 121 | 51.0 (50.0–52.0) | 1311 | 131 |"), "{page}");
        let page = table(&series(Name::Workers));
        assert!(page.contains("|--:|--:|--:|--:|--:|\n| 1 |"), "{page}");
        assert!(page.contains("| 2 | 8.5 (7.5–9.5) | 1301 | 51.0 (50.0–52.0) | 1311 |"), "{page}");
    }

    #[test]
    fn memory_is_what_the_filter_adds() {
        let found = Memory { none: vec![50.0, 52.0], filter: vec![130.0, 136.0], flood: Vec::new() };
        let after = |valid, invalid, resident_mib| Flood { valid, invalid, resident_mib };
        let found = Memory { flood: vec![after(0, 0, 120.0), after(10, 0, 130.0), after(100, 100, 131.5)], ..found };
        let text = memory(&found);
        assert!(text.contains("| the filter, one worker | 80.0 | ≤ 90 | met |"));
        assert!(text.contains("| each further worker | 4.0 | ≤ 3 | **missed** |"));
        assert!(
            text.contains("| 100 | 100 | 131.5 |\n\nFrom 10 tokens on, when the cache of tokens was full, +1.5 MiB."),
            "{text}"
        );
    }
}
