//! What a request costs on each path, in wasm instructions and allocations: the same on every machine, so that no change
//! makes a path dearer unseen, nor leaves a part of it out. `costs.json` has what was measured last, by the compiler that
//! built the module.
//!
//! `SCBTE_WRITE_COSTS=1 ./scripts/test simulator` writes the file anew.

use crate::common::key::Key;
use crate::common::scene::Scene;
use crate::world::{Worker, data_config, denial, request_of};
use scbte_host_tests::simulator::{Exchange, Module, Request};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Per cent by which a path may get dearer, or cheaper.
const TOLERANCE: u64 = 3;
/// Requests before the measured ones: afterwards the caches know what they shall, and the decision log of this second is full.
const WARM_UP: usize = 20;
/// Measured requests; the median counts, since the allocator's work depends on what came before.
const MEASURED: usize = 21;

/// What a request costs, from its first callback to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    /// wasm instructions, in the module as it is shipped.
    instructions: u64,
    /// Allocations, the host's included.
    allocations: u64,
}

/// By path.
type Costs = BTreeMap<String, Cost>;
/// By compiler.
type Recorded = BTreeMap<String, Costs>;

/// A path: its requests, and what shows that they took it.
struct Case {
    name: &'static str,
    status: u16,
    /// A denial's `error` and `detail`.
    denial: Option<(&'static str, Option<&'static str>)>,
    /// How a token that was verified was found in the caches.
    cache: Option<&'static str>,
    request: fn(usize) -> Request,
}

const PATHS: [Case; 7] = [
    Case {
        name: "bypass",
        status: 200,
        denial: None,
        cache: None,
        request: |_| request(&Scene { path: "/healthz", ..caller() }),
    },
    Case {
        name: "no-token",
        status: 401,
        denial: Some(("missing_bearer_token", None)),
        cache: None,
        request: |_| Request::get("/api/v1/users"),
    },
    Case { name: "hot", status: 200, denial: None, cache: Some("hit"), request: |_| request(&caller()) },
    Case {
        name: "fresh",
        status: 200,
        denial: None,
        cache: Some("chain_hit"),
        request: |round| request(&with_id(caller(), round)),
    },
    Case {
        name: "new-svid",
        status: 200,
        denial: None,
        cache: Some("miss"),
        request: |round| {
            let mut scene = with_id(caller(), round);
            scene.recipe.leaf.key = Key::p256(u8::try_from(100 + round).unwrap());
            request(&scene)
        },
    },
    Case {
        name: "bad-signature",
        status: 401,
        denial: Some(("invalid_token", Some("bad_signature"))),
        cache: None,
        request: |round| request(&Scene { signer: Some(Key::p256(77)), ..with_id(caller(), round) }),
    },
    Case {
        name: "policy-denied",
        status: 403,
        denial: Some(("policy_denied", Some("not_permitted"))),
        cache: Some("hit"),
        request: |_| request(&Scene { path: "/api/v1/orders", ..caller() }),
    },
];

/// As in the benchmark: a chain of one certificate.
fn caller() -> Scene {
    Scene::with(|scene| scene.recipe.intermediates.clear())
}

fn with_id(mut scene: Scene, round: usize) -> Scene {
    scene.claims["jti"] = format!("id-{round:04}").into();
    scene
}

fn request(scene: &Scene) -> Request {
    request_of(scene)
        .header("host", "api.production.svc.cluster.local")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*")
        .header("x-forwarded-proto", "http")
        .header("x-request-id", "6b7f2a1e-5d0c-4d0e-9a51-0c2f6f0f2b11")
}

fn worker(module: &Module) -> Worker {
    let policy = |name: &str| fs::read_to_string(root().join("policy").join(name)).unwrap();
    let mut config = data_config();
    config["policy"] = json!({"rego": policy("allow.rego")});
    config["policy"]["data"] = serde_json::from_str(&policy("data.json")).unwrap();
    Worker::ready_with(module, &config)
}

fn measure(shipped: &Module, counting: &Module, case: &Case) -> Cost {
    let (mut shipped, mut counting) = (worker(shipped), worker(counting));
    let mut costs: Vec<Cost> = Vec::new();
    for round in 0..WARM_UP + MEASURED {
        let known = cached(&shipped);
        let exchange = shipped.call((case.request)(round));
        check(case, &exchange);
        if round >= WARM_UP {
            check_cached(case, &known, &cached(&shipped));
        }
        let before = counting.vm.allocations().unwrap().expect("a module with `test-hooks`");
        check(case, &counting.call((case.request)(round)));
        let allocations = counting.vm.allocations().unwrap().unwrap() - before;
        costs.push(Cost { instructions: exchange.fuel, allocations });
    }
    let median = |of: fn(&Cost) -> u64| {
        let mut values: Vec<u64> = costs[WARM_UP..].iter().map(of).collect();
        values.sort_unstable();
        values[MEASURED / 2]
    };
    Cost { instructions: median(|cost| cost.instructions), allocations: median(|cost| cost.allocations) }
}

/// Whether the answer is the path's, and not another one of the same status.
fn check(case: &Case, exchange: &Exchange) {
    assert_eq!(exchange.status(), case.status, "{}", case.name);
    if let Some((error, detail)) = case.denial {
        let expected = (case.status, error.to_owned(), detail.map(str::to_owned));
        assert_eq!(denial(exchange), expected, "{}", case.name);
    }
}

/// Whether the request took its path through the caches, and only that.
fn check_cached(case: &Case, before: &[u64; 3], after: &[u64; 3]) {
    for ((result, before), after) in CACHE_RESULTS.iter().zip(before).zip(after) {
        assert_eq!(after - before, u64::from(case.cache == Some(*result)), "{}: {result}", case.name);
    }
}

const CACHE_RESULTS: [&str; 3] = ["hit", "chain_hit", "miss"];

/// How many tokens were verified by each of [`CACHE_RESULTS`].
fn cached(worker: &Worker) -> [u64; 3] {
    let count = |result| worker.vm.host().metrics().counter_with("scbte_token_cache_total", &[("result", result)]);
    CACHE_RESULTS.map(count)
}

/// Says so where it is seen: cargo shows nothing of a test that passed.
fn leave_out(what: &str) {
    println!("{what}");
    if let Some(file) = env::var_os("SCBTE_LEFT_OUT") {
        let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
        writeln!(file, "{what}").unwrap();
    }
}

#[test]
fn every_path_costs_what_is_recorded() {
    let shipped = Module::built().unwrap();
    let hooks = env::var_os("SCBTE_WASM_TEST_HOOKS")
        .map_or_else(|| root().join("target/scbte-filter-test-hooks.wasm"), PathBuf::from);
    let counting = Module::from_file(&hooks).unwrap();
    let found: Costs = PATHS.map(|case| (case.name.to_owned(), measure(&shipped, &counting, &case))).into();
    let compiler = env::var("SCBTE_WASM_RUSTC").unwrap_or_else(|_| "unknown compiler".to_owned());
    println!("{compiler}: {}", serde_json::to_string_pretty(&found).unwrap());

    let mut recorded: Recorded = serde_json::from_str(&fs::read_to_string(file()).unwrap()).unwrap();
    if env::var_os("SCBTE_WRITE_COSTS").is_some() {
        recorded.insert(compiler, found);
        fs::write(file(), serde_json::to_string_pretty(&recorded).unwrap() + "\n").unwrap();
        return;
    }
    let Some(expected) = recorded.get(&compiler) else {
        assert!(
            env::var_os("CI").is_none(),
            "costs.json has nothing for `{compiler}`: write it with SCBTE_WRITE_COSTS=1"
        );
        leave_out(&format!(
            "left out: what requests cost in instructions; costs.json has nothing for `{compiler}`, and other compilers' \
             modules cost otherwise"
        ));
        return;
    };
    let changed = changed(expected, &found);
    let remedy = "if that must be, or is a gain to keep: SCBTE_WRITE_COSTS=1 ./scripts/test simulator";
    assert!(changed.is_empty(), "{}\n{remedy}", changed.join("\n"));
}

/// What costs more or less than is recorded, by more than the tolerance, or is not recorded. What got cheaper is recorded
/// too, or it could get dearer again unseen; and it may be a check that was lost.
fn changed(expected: &Costs, found: &Costs) -> Vec<String> {
    let gone = expected.keys().filter(|path| !found.contains_key(*path));
    let mut changed: Vec<String> = gone.map(|path| format!("{path} is recorded and was not measured")).collect();
    for (path, cost) in found {
        let Some(known) = expected.get(path) else {
            changed.push(format!("{path} is not recorded"));
            continue;
        };
        for (what, known, cost) in [
            ("instructions", known.instructions, cost.instructions),
            ("allocations", known.allocations, cost.allocations),
        ] {
            if cost.abs_diff(known) * 100 > known * TOLERANCE {
                let way = if cost > known { "" } else { "only " };
                changed.push(format!("{path} takes {way}{cost} {what}, {known} are recorded"));
            }
        }
    }
    changed
}

fn file() -> PathBuf {
    root().join("host-tests/tests/simulator/costs.json")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn what_is_dearer_or_cheaper_is_named() {
    let costs = |instructions, allocations| Costs::from([("hot".to_owned(), Cost { instructions, allocations })]);
    let recorded = costs(1000, 100);
    for (name, found, expected) in [
        ("the same", costs(1000, 100), &[][..]),
        ("within the tolerance", costs(1030, 103), &[]),
        ("within the tolerance, cheaper", costs(970, 97), &[]),
        ("fewer instructions", costs(969, 100), &["hot takes only 969 instructions, 1000 are recorded"]),
        ("fewer allocations", costs(1000, 96), &["hot takes only 96 allocations, 100 are recorded"]),
        ("more instructions", costs(1031, 100), &["hot takes 1031 instructions, 1000 are recorded"]),
        ("more allocations", costs(1000, 104), &["hot takes 104 allocations, 100 are recorded"]),
    ] {
        assert_eq!(changed(&recorded, &found), expected, "{name}");
    }
    assert_eq!(changed(&Costs::new(), &recorded), ["hot is not recorded"]);
    assert_eq!(changed(&recorded, &Costs::new()), ["hot is recorded and was not measured"]);
}
