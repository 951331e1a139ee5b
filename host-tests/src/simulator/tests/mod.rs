//! The simulator's own tests, on modules of a few lines of WebAssembly text.
//!
//! A module notes what it sees, one digit for each status or size, and answers with its notes as the body.

mod calls;
mod lifecycle;
mod process;
mod streams;
mod wasi;

use super::*;

/// Imports, memory and helpers. 0–1023 is for a test's strings; results of hostcalls go to 1024 (address), 1028 (length)
/// and 1032; notes are collected from 2048 on.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick_every (param i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_pairs" (func $get_headers (param i32 i32 i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
    (import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_status" (func $last_status (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_done" (func $done (result i32)))
    (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 8192))
    (global $noted (mut i32) (i32.const 0))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        global.get $free
        (global.set $free (i32.add (global.get $free) (local.get $size))))
    (func $note (param $digit i32)
        (i32.store8 (i32.add (i32.const 2048) (global.get $noted)) (i32.add (i32.const 48) (local.get $digit)))
        (global.set $noted (i32.add (global.get $noted) (i32.const 1))))
    (func $note_bytes (param $at i32) (param $size i32)
        (memory.copy (i32.add (i32.const 2048) (global.get $noted)) (local.get $at) (local.get $size))
        (global.set $noted (i32.add (global.get $noted) (local.get $size))))
    (func $note_result (call $note_bytes (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
    (func $answer
        (drop (call $send (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 2048) (global.get $noted)
            (i32.const 0) (i32.const 0) (i32.const -1)))
        (global.set $noted (i32.const 0)))
"#;

fn module(rest: &str) -> Module {
    let bytes = wat::parse_str(format!("(module {PRELUDE} {rest})")).unwrap();
    Module::from_bytes("a test's module", &bytes).unwrap()
}

fn start(host: &Host, rest: &str) -> Vm {
    Vm::start(host, &module(rest), &VmConfig::with_vm_id("vm")).unwrap()
}

/// A VM with one configured root.
fn running(host: &Host, rest: &str) -> (Vm, Root) {
    let mut vm = start(host, rest);
    let root = vm.configure(&Plugin::new("root", "{}")).unwrap();
    (vm, root)
}

/// The body of the module's answer to a GET.
fn notes(vm: &mut Vm, root: Root) -> Vec<u8> {
    vm.request(root, Request::get("/")).unwrap().local_reply().body.clone()
}

/// A module whose request callback runs this and answers with its notes.
fn on_request(code: &str) -> String {
    format!(
        r#"(func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
            {code} (call $answer) (i32.const 1))"#
    )
}
