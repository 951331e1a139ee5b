//! The README's way to a tested policy, typed as it stands there: what it shows is what is printed.

use crate::harness::command;
use std::fs;
use std::path::Path;

const README: &str = include_str!("../../../README.md");

/// A block of the README: its language and its text.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    let begin = README.find("### From an empty folder to an enforced policy").unwrap();
    let end = README.find("### From a 403 to the line that caused it").unwrap();
    let parts = README[begin..end].split("\n```").skip(1).step_by(2);
    parts.map(|block| block.split_once('\n').unwrap())
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rsplit_once("  (") {
        Some((before, time)) if time.ends_with(" ms)") => before,
        _ => line,
    });
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

fn printed(folder: &Path, line: &str) -> String {
    let words = line.strip_prefix("$ scbte ").unwrap().split_whitespace();
    let output = command().args(words).current_dir(folder).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, format!("{before}{text}\n")).unwrap();
}

#[test]
fn the_way_to_a_tested_policy_is_as_the_readme_shows_it() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join("policy").join(name);
    fs::create_dir(root.path().join("policy")).unwrap();
    let mut commands = 0;
    for (language, text) in blocks() {
        match (language, text.split_once('\n')) {
            ("json", _) => append(&file("data.json"), text),
            ("rego", _) if !file("orders.rego").exists() => append(&file("orders.rego"), text),
            ("rego", _) => append(&file("orders_test.rego"), text),
            ("console", Some((line, rest))) if line.starts_with("$ echo '") => {
                let request = line.split('\'').nth(1).unwrap();
                fs::write(root.path().join("request.json"), request).unwrap();
                let (line, shown) = rest.split_once('\n').unwrap();
                assert_eq!(printed(root.path(), line).trim_end(), shown.trim_end(), "{line}");
                commands += 1;
            }
            ("console", Some((line, shown))) if line.starts_with("$ scbte policy") => {
                let found = without_times(&printed(root.path(), line));
                assert_eq!(found.trim_end(), without_times(shown).trim_end(), "{line}");
                commands += 1;
                // The slip of the pen is mended.
                let rego = fs::read_to_string(file("orders.rego")).unwrap();
                fs::write(file("orders.rego"), rego.replace("input.methd", "input.method")).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(commands, 6, "check twice, test twice, eval, build");
}
