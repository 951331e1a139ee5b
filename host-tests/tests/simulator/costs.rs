//! What a request costs on each path, in wasm instructions and allocations: the same on every machine, so that no change
//! makes a path dearer unseen. `costs.json` has what was measured last, by the compiler that built the module.
//!
//! `SCBTE_WRITE_COSTS=1 ./scripts/test simulator` writes the file anew.

use crate::common::key::Key;
use crate::common::scene::Scene;
use crate::world::{Worker, data_config, request_of};
use scbte_host_tests::simulator::{Module, Request};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Per cent by which a path may get dearer.
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

/// The path's name, the expected status, and its requests.
type Case = (&'static str, u16, fn(usize) -> Request);

const PATHS: [Case; 7] = [
    ("bypass", 200, |_| request(&Scene { path: "/healthz", ..caller() })),
    ("no-token", 401, |_| Request::get("/api/v1/users")),
    ("hot", 200, |_| request(&caller())),
    ("fresh", 200, |round| request(&with_id(caller(), round))),
    ("new-svid", 200, |round| {
        let mut scene = with_id(caller(), round);
        scene.recipe.leaf.key = Key::p256(u8::try_from(100 + round).unwrap());
        request(&scene)
    }),
    ("bad-signature", 401, |round| request(&Scene { signer: Some(Key::p256(77)), ..with_id(caller(), round) })),
    ("policy-denied", 403, |_| request(&Scene { path: "/api/v1/orders", ..caller() })),
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

fn measure(shipped: &Module, counting: &Module, (_, status, request): Case) -> Cost {
    let (mut shipped, mut counting) = (worker(shipped), worker(counting));
    let mut costs: Vec<Cost> = Vec::new();
    for round in 0..WARM_UP + MEASURED {
        let exchange = shipped.call(request(round));
        assert_eq!(exchange.status(), status);
        let before = counting.vm.allocations().unwrap().expect("a module with `test-hooks`");
        assert_eq!(counting.call(request(round)).status(), status);
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

#[test]
fn no_path_gets_dearer() {
    let shipped = Module::built().unwrap();
    let hooks = env::var_os("SCBTE_WASM_TEST_HOOKS")
        .map_or_else(|| root().join("target/scbte-filter-test-hooks.wasm"), PathBuf::from);
    let counting = Module::from_file(&hooks).unwrap();
    let found: Costs = PATHS.map(|case| (case.0.to_owned(), measure(&shipped, &counting, case))).into();
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
        println!("left out: costs.json has nothing for `{compiler}`, and other compilers' modules cost otherwise");
        return;
    };
    let dearer = dearer(expected, &found);
    assert!(dearer.is_empty(), "{}\nif that must be: SCBTE_WRITE_COSTS=1 ./scripts/test simulator", dearer.join("\n"));
}

/// What costs more than is recorded, by more than the tolerance, or is not recorded.
fn dearer(expected: &Costs, found: &Costs) -> Vec<String> {
    let gone = expected.keys().filter(|path| !found.contains_key(*path));
    let mut dearer: Vec<String> = gone.map(|path| format!("{path} is recorded and was not measured")).collect();
    for (path, cost) in found {
        let Some(known) = expected.get(path) else {
            dearer.push(format!("{path} is not recorded"));
            continue;
        };
        for (what, known, cost) in [
            ("instructions", known.instructions, cost.instructions),
            ("allocations", known.allocations, cost.allocations),
        ] {
            if cost * 100 > known * (100 + TOLERANCE) {
                dearer.push(format!("{path} takes {cost} {what}, {known} are recorded"));
            }
        }
    }
    dearer
}

fn file() -> PathBuf {
    root().join("host-tests/tests/simulator/costs.json")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn what_is_dearer_is_named() {
    let costs = |instructions, allocations| Costs::from([("hot".to_owned(), Cost { instructions, allocations })]);
    let recorded = costs(1000, 100);
    for (name, found, expected) in [
        ("the same", costs(1000, 100), &[][..]),
        ("cheaper", costs(500, 10), &[]),
        ("within the tolerance", costs(1030, 103), &[]),
        ("more instructions", costs(1031, 100), &["hot takes 1031 instructions, 1000 are recorded"]),
        ("more allocations", costs(1000, 104), &["hot takes 104 allocations, 100 are recorded"]),
    ] {
        assert_eq!(dearer(&recorded, &found), expected, "{name}");
    }
    assert_eq!(dearer(&Costs::new(), &recorded), ["hot is not recorded"]);
    assert_eq!(dearer(&recorded, &Costs::new()), ["hot is recorded and was not measured"]);
}
