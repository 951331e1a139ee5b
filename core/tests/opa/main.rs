//! The same answers as OPA: policies by hand and by chance, decided by this engine and by the real OPA.
//!
//! A policy is either refused at admission, with a reason, or each of its values is OPA's. What a request's own values
//! make impossible to decide alike (a division with a remainder, say) is an error, which never allows.

#![cfg(not(target_arch = "wasm32"))]

mod compare;
mod features;
mod generate;
mod inputs;
mod json;
mod opa;
mod policy;
mod sweep;
mod table;

use compare::compare;
use opa::Language;
use policy::Case;
use std::ops::Range;
use std::path::Path;

/// Each row of the README's table: admitted or refused as it says, and decided alike.
#[test]
fn features() {
    let now = inputs::now();
    let rows = features::rows();
    let cases = rows.iter().enumerate().map(|(number, row)| Case::new(number, row.name, row.language, row.rules));
    let cases: Vec<Case> = cases.collect();
    let outcome = compare(&cases, &inputs::by_hand(now), now);
    outcome.report("features");
    let mut wrong = Vec::new();
    for ((row, case), admission) in rows.iter().zip(&cases).zip(&outcome.admissions) {
        match (row.refused, admission) {
            (None, Ok(())) => {}
            (Some(expected), Err(refusal)) if refusal.contains(expected) => {}
            _ => wrong.push(format!("expected: {:?}\nfound: {admission:?}\n{case}", row.refused)),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    outcome.assert_same();
    assert!(outcome.decides(85), "most policies by hand allow some requests, and not others");
}

/// The policies that come with the repository.
#[test]
fn examples() {
    let now = inputs::now();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/allow.rego");
    let example = std::fs::read_to_string(path).unwrap();
    let package = example.find("package ").unwrap();
    let cases = [Case::new(0, "policy/allow.rego", Language::V1, &example[package..])];
    let outcome = compare(&cases, &inputs::by_hand(now), now);
    outcome.report("examples");
    outcome.assert_same();
    assert!(outcome.admissions.iter().all(Result::is_ok) && outcome.allowed > 0);
}

#[test]
fn builtins_with_all_arguments() {
    let now = inputs::now();
    let outcome = compare(&sweep::policies(), &sweep::all(now), now);
    outcome.report("builtins");
    outcome.assert_same();
    assert!(outcome.stops.is_empty() && outcome.allowed == outcome.admissions.len(), "each call is compared");
    let outcome = compare(&sweep::stopping(), &sweep::each(now), now);
    outcome.report("builtins that can end an evaluation");
    outcome.assert_same();
    assert!(outcome.admissions.iter().all(Result::is_ok));
}

#[test]
fn every_character() {
    let now = inputs::now();
    let outcome = compare(&sweep::letters(), &sweep::texts(now), now);
    outcome.report("every character");
    outcome.assert_same();
    assert!(outcome.admissions.iter().all(Result::is_ok));
}

#[test]
fn policies_by_chance() {
    generated("policies", generate::policy, 0..200);
}

#[test]
fn packages_by_chance() {
    generated("packages", generate::packages, 0..200);
}

#[test]
fn changed_policies() {
    mutated(0..1500);
}

#[test]
#[ignore = "takes minutes"]
fn many_policies_by_chance() {
    for seed in seeds(1000, 20) {
        generated("policies", generate::policy, seed * 500..(seed + 1) * 500);
    }
}

#[test]
#[ignore = "takes minutes"]
fn many_packages_by_chance() {
    for seed in seeds(1000, 20) {
        generated("packages", generate::packages, seed * 500..(seed + 1) * 500);
    }
}

#[test]
#[ignore = "takes minutes"]
fn many_changed_policies() {
    for seed in seeds(1000, 20) {
        mutated(seed * 2000..(seed + 1) * 2000);
    }
}

/// So many, from one on that the variable `SEED` can name.
fn seeds(from: u64, count: u64) -> Range<u64> {
    let from = std::env::var("SEED").map_or(from, |seed| seed.parse().unwrap());
    from..from + count
}

/// Policies from seeds, each with requests from seeds.
fn generated(name: &str, write: fn(u64) -> String, seeds: Range<u64>) {
    let now = inputs::now();
    let cases = seeds
        .clone()
        .enumerate()
        .map(|(number, seed)| Case::new(number, &format!("seed {seed}"), Language::V1, &write(seed)));
    let outcome = compare(&cases.collect::<Vec<_>>(), &generate::inputs(seeds.start, 20, now), now);
    outcome.report(&format!("{name} by chance, seeds {seeds:?}"));
    outcome.assert_same();
    assert!(outcome.admits(50), "policies by chance are mostly admitted");
    assert!(outcome.decides(20), "and some of them allow some requests, and not others");
}

/// Policies of the table, changed by these seeds, with requests from seeds.
fn mutated(seeds: Range<u64>) {
    let now = inputs::now();
    let rows: Vec<_> = features::rows().into_iter().filter(|row| row.refused.is_none()).collect();
    let cases = seeds.clone().enumerate().map(|(number, seed)| {
        let row = &rows[fastrand::Rng::with_seed(seed).usize(..rows.len())];
        Case::new(number, &format!("seed {seed} of {}", row.name), row.language, &generate::mutated(row.rules, seed))
    });
    let outcome = compare(&cases.collect::<Vec<_>>(), &generate::inputs(seeds.start, 15, now), now);
    outcome.report(&format!("changed by chance, seeds {seeds:?}"));
    outcome.assert_same();
    assert!(outcome.admits(25), "many changed policies are still policies");
    assert!(outcome.decides(20), "and some of them allow some requests, and not others");
}
