//! The README's table of what is supported is the one that is tested.

use crate::features::features;
use std::path::Path;

/// Between these lines.
const BEGIN: &str = "<!-- what is supported: from core/tests/opa/features -->";
const END: &str = "<!-- end of what is supported -->";

fn table() -> String {
    let mut table = String::from("| Rego | refused, and what to write instead |\n|---|---|\n");
    for (_, feature) in features() {
        let refused = if feature.refused.is_empty() { "–".into() } else { feature.refused.replace('|', "\\|") };
        table.push_str(&format!("| {} | {refused} |\n", feature.title.replace('|', "\\|")));
    }
    table
}

#[test]
fn the_readme_has_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let found = readme.split_once(BEGIN).and_then(|(_, after)| after.split_once(END)).map(|(table, _)| table.trim());
    let table = table();
    assert_eq!(found, Some(table.trim()), "put this into README.md, between `{BEGIN}` and `{END}`:\n\n{table}");
}
