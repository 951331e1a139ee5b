//! What VMs share: shared data, the clock, metrics, foreign functions, randomness.

use std::time::Duration;

use super::*;

/// Key "k" at 0, value "v" at 1.
fn set(value_size: u32, cas: &str) -> String {
    format!("(call $note (call $set_shared (i32.const 0) (i32.const 1) (i32.const 1) (i32.const {value_size}) {cas}))")
}

const GET: &str = "(call $note (call $get_shared (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028) \
                   (i32.const 1032)))";

#[test]
fn shared_data_follows_envoys_cas_rules() {
    let found = "(i32.load (i32.const 1032))";
    let stale = "(i32.add (i32.load (i32.const 1032)) (i32.const 1000))";
    let code = [
        GET,                       // 1: not found
        &set(1, "(i32.const 77)"), // 0: a new key ignores the CAS
        GET,                       // 0
        "(call $note_result)",     // v
        &set(1, stale),            // 8: mismatch
        &set(1, found),            // 0
        &set(1, found),            // 8: a CAS is good once
        &set(0, "(i32.const 0)"),  // 0: unconditional
        GET,                       // 0, with a null pointer and a CAS
        "(call $note (i32.load (i32.const 1024)))",
        "(call $note (i32.eqz (i32.load (i32.const 1032))))",
    ];
    let (mut vm, root) = running(&Host::new(), &format!("(data (i32.const 0) \"kv\") {}", on_request(&code.concat())));
    assert_eq!(notes(&mut vm, root).escape_ascii().to_string(), "100v8080000");
}

#[test]
fn shared_data_belongs_to_the_vm_id_and_outlives_an_instance() {
    let host = Host::new();
    let code = format!("(data (i32.const 0) \"kv\") {}", on_request(&[GET, &set(1, "(i32.const 0)")].concat()));
    let (mut first, root) = running(&host, &code);
    let (mut second, other_root) = running(&host, &code);
    let mut stranger = Vm::start(&host, &module(&code), &VmConfig::with_vm_id("other")).unwrap();
    let stranger_root = stranger.configure(&Plugin::new("root", "{}")).unwrap();
    assert_eq!(notes(&mut first, root), b"10");
    assert_eq!(notes(&mut second, other_root), b"00", "workers share");
    assert_eq!(notes(&mut stranger, stranger_root), b"10", "vm_ids do not");
    first.reload().unwrap();
    assert_eq!(notes(&mut first, root), b"00", "a reload keeps it");
    drop((first, second));
    assert_eq!(host.shared_data().get("vm", "k"), None, "it goes with the last VM");
    assert!(host.shared_data().get("other", "k").is_some());
}

#[test]
fn the_clock_moves_only_when_told() {
    let host = Host::new();
    let read = "(drop (call $now (i32.const 1032)))
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 1040)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 1048)))
        (call $note_bytes (i32.const 1032) (i32.const 24))";
    let (mut vm, root) = running(&host, &on_request(read));
    let start = host.clock().now();
    let cases: [(&str, &dyn Fn(), Duration, Duration); 3] = [
        ("still", &|| (), start, Duration::ZERO),
        (
            "advanced",
            &|| host.clock().advance(Duration::from_secs(7)),
            start + Duration::from_secs(7),
            Duration::from_secs(7),
        ),
        ("set back", &|| host.clock().set(Duration::from_secs(5)), Duration::from_secs(5), Duration::from_secs(7)),
    ];
    for (name, act, wall, monotonic) in cases {
        act();
        let expected = [wall, wall, monotonic].map(|time| u64::try_from(time.as_nanos()).unwrap().to_le_bytes());
        assert_eq!(notes(&mut vm, root), expected.as_flattened(), "{name}");
    }
    assert_eq!(host.clock().unix_seconds(), 5);
}

#[test]
fn metrics_are_of_the_process() {
    let host = Host::new();
    let define = "(call $note (call $define (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1032)))";
    let add = |by: i32| format!("(call $note (call $increment (i32.load (i32.const 1032)) (i64.const {by})))");
    let code = [define, &add(2), define, &add(3), &add(0), &add(-1)].concat();
    let code = format!("(data (i32.const 0) \"c\") {}", on_request(&code));
    let (mut first, root) = running(&host, &code);
    assert_eq!(host.metrics().counter("c"), None, "not yet defined");
    assert_eq!(notes(&mut first, root), b"000022", "counters refuse what is not positive");
    let (mut second, root) = running(&host, &code);
    notes(&mut second, root);
    assert_eq!(host.metrics().counter("c"), Some(10));
}

#[test]
fn a_foreign_function_is_absent_until_registered() {
    let host = Host::new();
    let call = "(call $note (call $foreign (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 3) (i32.const 1024)
        (i32.const 1028)))";
    let code = [call, "(call $note_result)", "(i64.store (i32.const 1024) (i64.const 0))"].concat();
    let (mut vm, root) = running(&host, &format!("(data (i32.const 0) \"fabc\") {}", on_request(&code)));
    assert_eq!(notes(&mut vm, root), b"1");
    host.foreign().register("f", |argument| Ok(argument.iter().rev().copied().collect()));
    assert_eq!(notes(&mut vm, root), b"0cba");
    host.foreign().register("f", |_| Err(Status::BadArgument));
    assert_eq!(notes(&mut vm, root), b"2");
    host.foreign().remove("f");
    assert_eq!(notes(&mut vm, root), b"1");
    assert_eq!(host.foreign().calls("f"), 4);
}

#[test]
fn randomness_is_seeded_and_differs_between_vms() {
    let code = on_request(
        "(drop (call $random (i32.const 1032) (i32.const 8))) (call $note_bytes (i32.const 1032) (i32.const 8))",
    );
    let bytes = |host: &Host| {
        let (mut vm, root) = running(host, &code);
        notes(&mut vm, root)
    };
    let host = Host::new();
    let (first, second) = (bytes(&host), bytes(&host));
    assert_ne!(first, second, "two VMs");
    assert_eq!(
        [first.clone(), second],
        [0, 1].map({
            let again = Host::new();
            move |_| bytes(&again)
        }),
        "the same seed"
    );
    assert_ne!(first, bytes(&Host::with_seed(1)), "another seed");
}
