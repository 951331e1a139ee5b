//! VMs and root contexts: starting, configuring, replacing, trapping, reloading.

use super::*;

#[test]
fn a_module_must_fit_the_host() {
    let load = |wat: &str| {
        let host = Host::new();
        let module = Module::from_bytes("m", &wat::parse_str(wat).unwrap())?;
        Vm::start(&host, &module, &VmConfig::default()).map(drop)
    };
    let abi = r#"(func (export "proxy_abi_version_0_2_1"))"#;
    let memory = r#"(memory (export "memory") 1)"#;
    let cases = [
        (
            r#"(module (import "env" "proxy_new" (func (param i32) (result i32))))"#.to_owned(),
            "`env.proxy_new` ((type (func (param i32) (result i32))))",
        ),
        (r#"(module (import "env" "proxy_done" (func (param i32))))"#.to_owned(), "incompatible import type"),
        (format!("(module {abi})"), "does not export `memory`"),
        (format!("(module {memory})"), "does not export `proxy_abi_version_0_2_1`"),
        (format!("(module {memory} {abi})"), "does not export `proxy_on_memory_allocate`"),
    ];
    for (wat, expected) in cases {
        let error = load(&wat).unwrap_err().to_string();
        assert!(error.contains(expected), "{wat}: {error}");
    }
    let missing = Module::from_file(std::path::Path::new("no/such.wasm")).unwrap_err();
    assert_eq!(missing.to_string(), "no module at `no/such.wasm`: run ./scripts/build first");
}

#[test]
fn a_starting_module_may_log_but_not_call_envoy() {
    let start = |code: &str| {
        let host = Host::new();
        let started =
            Vm::start(&host, &module(&format!(r#"(func (export "_initialize") {code})"#)), &VmConfig::default());
        started.map(|_| host.log().lines().len()).map_err(|error| error.to_string())
    };
    assert_eq!(start("(drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))"), Ok(1));
    assert!(start("(drop (call $now (i32.const 1024)))").unwrap_err().contains("restricted_callback"));
    assert!(
        start("(drop (call $queue (i32.const 0) (i32.const 0) (i32.const 1024)))").unwrap_err().contains("restricted")
    );
}

/// Logs its configuration, and refuses one that begins with "r"; answers requests with the number of requests so far,
/// and traps when that is 3.
const COUNTING: &str = r#"
    (global $requests (mut i32) (i32.const 0))
    (func $configuration (result i32)
        (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 1024) (i32.const 1028)))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $configuration))
        (drop (call $log (i32.const 3) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
        (i32.ne (i32.load8_u (i32.load (i32.const 1024))) (i32.const 114)))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
        (call $note (global.get $requests))
        (call $note (call $configuration))
        (if (i32.eq (global.get $requests) (i32.const 3)) (then unreachable))
        (call $answer) (i32.const 1))
    (func (export "proxy_on_delete") (param $id i32)
        (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get $id)))
        (drop (call $log (i32.const 0) (i32.const 0) (i32.const 1))))"#;

fn logged(host: &Host) -> Vec<(String, String)> {
    host.log().take().into_iter().map(|line| (line.root_id, line.message)).collect()
}

#[test]
fn root_contexts_come_and_go_while_statics_stay() {
    let host = Host::new();
    let mut vm = start(&host, COUNTING);
    let (data, control) = (Plugin::new("data", "one"), Plugin::new("control", "two"));
    let (first, second) = (vm.configure(&data).unwrap(), vm.configure(&control).unwrap());
    assert_eq!(vm.configure(&data).unwrap(), first, "the same plugin has the same root context");
    let pair = |root: &str, message: &str| (root.to_owned(), message.to_owned());
    assert_eq!(logged(&host), [pair("data", "one"), pair("control", "two")]);
    assert_eq!(notes(&mut vm, first), b"11", "the configuration can be read only while it is applied");
    let third = vm.configure(&Plugin::new("data", "three")).unwrap();
    let stream = vm.begin(first, Request::get("/")).unwrap();
    assert!(matches!(vm.delete_root(first), Err(Error::InUse { streams: 1, .. })));
    assert_eq!(vm.finish(stream).unwrap().local_reply().body, b"21", "statics are of the VM");
    assert!(vm.delete_root(first).unwrap());
    assert!(matches!(vm.request(first, Request::get("/")), Err(Error::Missing { .. })));
    assert!(third != first && second != third);
    assert_eq!(logged(&host).last(), Some(&pair("data", "1")), "proxy_on_delete of context 1");
}

#[test]
fn a_refused_configuration_leaves_the_others() {
    let host = Host::new();
    let (mut vm, root) = running(&host, COUNTING);
    let refused = Plugin::new("data", "refuse this");
    for result in [vm.configure(&refused).map(drop), vm.canary(&refused)] {
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("refused the configuration of root_id `data`") && error.contains("refuse this"),
            "{error}"
        );
    }
    assert_eq!(notes(&mut vm, root), b"11");
    vm.canary(&Plugin::new("data", "fine")).unwrap();
    assert_eq!(notes(&mut vm, root), b"21", "a canary is another VM");
}

#[test]
fn a_trap_kills_the_vm_until_it_is_reloaded() {
    let host = Host::new();
    let (mut vm, root) = running(&host, COUNTING);
    let other = vm.configure(&Plugin::new("other", "{}")).unwrap();
    host.shared_data().set("vm", "k", b"v", None).unwrap();
    let open = vm.begin(root, Request::get("/")).unwrap();
    notes(&mut vm, other);
    let Err(Error::Trapped { function, reason, log }) = vm.request(root, Request::get("/")) else { panic!("no trap") };
    assert_eq!(function, "proxy_on_request_headers");
    assert!(reason.contains("unreachable"), "{reason}");
    assert_eq!(log.iter().filter(|line| line.level == Level::Warn).count(), 2, "{log:?}");
    assert!(matches!(vm.request(other, Request::get("/")), Err(Error::Dead)), "all roots of the VM are dead");
    assert!(matches!(vm.tick_all(), Ok(())) && !vm.is_alive() && vm.memory_bytes() == 0);
    vm.reload().unwrap();
    assert!(matches!(vm.finish(open), Err(Error::Missing { .. })), "streams are lost");
    assert_eq!(notes(&mut vm, other), b"11", "statics are new, root contexts are configured again");
    assert_eq!(notes(&mut vm, root), b"21");
    assert!(host.shared_data().get("vm", "k").is_some());
}

#[test]
fn a_root_context_may_ask_to_wait_before_it_is_deleted() {
    let code = r#"(func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $tick_every (i32.const 10))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32) (drop (call $done)))"#;
    let (mut vm, root) = running(&Host::new(), code);
    vm.tick(root).unwrap();
    assert!(!vm.delete_root(root).unwrap(), "proxy_done before its time does nothing");
    vm.tick(root).unwrap();
    assert!(matches!(vm.tick(root), Err(Error::Missing { .. })));
}

#[test]
fn ticks_come_only_to_those_who_asked() {
    let code = r#"(func (export "proxy_on_tick") (param i32) (drop (call $tick_every (i32.const 0))))
        (func (export "proxy_on_configure") (param $id i32) (param i32) (result i32)
            (if (i32.eq (local.get $id) (i32.const 2)) (then (drop (call $tick_every (i32.const 1000)))))
            (i32.const 1))"#;
    let (mut vm, silent) = running(&Host::new(), code);
    let root = vm.configure(&Plugin::new("ticking", "")).unwrap();
    assert!(matches!(vm.tick(silent), Err(Error::NoTickPeriod { .. })));
    assert_eq!(vm.tick_period(root), Some(std::time::Duration::from_secs(1)));
    vm.tick_all().unwrap();
    assert_eq!(vm.tick_period(root), None, "0 ends them");
}

#[test]
fn fuel_and_memory_can_be_read() {
    let code = on_request("(drop (memory.grow (i32.const 1)))");
    let (mut vm, root) = running(&Host::new(), &code);
    assert_eq!(vm.memory_bytes(), 65536);
    notes(&mut vm, root);
    let fuel = vm.fuel_used();
    assert_eq!((vm.memory_bytes(), fuel > 0), (131_072, true));
    assert_eq!(vm.request(root, Request::get("/")).unwrap().fuel, fuel);
}
