//! What was found as JSON, as a page of Markdown, and as a plot.

use super::{Growth, Line, Memory, Series, Start, plot};
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
    page.push_str(&growth.memory.as_ref().map(memory).unwrap_or_default());
    page.push_str(&growth.start.as_ref().map(start).unwrap_or_default());
    let machine = &growth.machine;
    let _ = writeln!(
        page,
        "\nEach point once, for {} s, on {} cores of {}, Envoy {}; added: over a bare Envoy with the same tokens.",
        growth.seconds, machine.cores, machine.cpu, machine.envoy
    );
    page
}

fn table(series: &Series) -> String {
    let mut table = format!("\n## By {}\n\n| |", series.quantity);
    for Line { name, .. } in &series.lines {
        let _ = write!(table, " {name}, µs | {name} token, bytes | with {name}, MiB |");
    }
    table.push_str("\n|--:|");
    table.push_str(&"--:|".repeat(3 * series.lines.len()));
    let values = series.lines.first().map(|line| line.points.iter().map(|point| point.x));
    for (at, x) in values.into_iter().flatten().enumerate() {
        let _ = write!(table, "\n| {x} |");
        for point in series.lines.iter().filter_map(|line| line.points.get(at)) {
            let _ = write!(table, " {:.1} | {} | {:.0} |", point.added_cpu_us, point.token_bytes, point.resident_mib);
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
        "\n## Start\n\nReady after {} s, without the filter after {} s: {} s more, the goal being {START_GOAL} s: {}.\n",
        spread(start.filter, 2),
        spread(start.none, 2),
        spread(start.added, 2),
        word(met)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::memory::Flood;
    use crate::growth::{Name, Point};

    #[test]
    fn a_line_of_a_series_is_a_column() {
        let point = |x, added_cpu_us, token_bytes, resident_mib| Point {
            x,
            added_cpu_us,
            cpu_us: 0.0,
            token_bytes,
            resident_mib,
        };
        let lines = vec![
            Line { name: "hot".into(), points: vec![point(1, 8.0, 1300, 120.0), point(2, 8.5, 1301, 121.0)] },
            Line { name: "fresh".into(), points: vec![point(1, 50.0, 1310, 130.0), point(2, 51.0, 1311, 131.0)] },
        ];
        let table = table(&Series { name: Name::Workers, quantity: "Envoy workers".into(), lines });
        let head = "| | hot, µs | hot token, bytes | with hot, MiB | fresh, µs | fresh token, bytes | with fresh, MiB |\n\
                    |--:|--:|--:|--:|--:|--:|--:|\n";
        assert!(table.contains(head), "{table}");
        assert!(table.contains("| 2 | 8.5 | 1301 | 121 | 51.0 | 1311 | 131 |"), "{table}");
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
