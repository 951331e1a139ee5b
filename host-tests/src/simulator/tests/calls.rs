//! HTTP calls of a module, and their answers.

use std::time::Duration;

use super::*;

/// Calls cluster "up" on each tick with the headers at 16 and notes the status; notes what it sees of each answer.
fn calling_module(pairs: &[u8]) -> String {
    let pairs_text: String = pairs.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let size = pairs.len();
    format!(
        r#"(data (i32.const 0) "up") (data (i32.const 2) "body") (data (i32.const 8) ":status") (data (i32.const 16) "{pairs_text}")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $tick_every (i32.const 1000))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
            (call $note (call $http_call (i32.const 0) (i32.const 2) (i32.const 16) (i32.const {size}) (i32.const 2)
                (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 1032)))
            (call $note (i32.load (i32.const 1032))))
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
            (call $note (local.get 1)) (call $note (local.get 2)) (call $note (local.get 3)) (call $note (local.get 4))
            (call $note (call $get_header (i32.const 6) (i32.const 8) (i32.const 7) (i32.const 1024) (i32.const 1028)))
            (if (local.get 2) (then (call $note_result)))
            (call $note (call $get_buffer (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 1024) (i32.const 1028)))
            (if (local.get 2) (then (call $note_result)))
            (drop (call $last_status (i32.const 1032) (i32.const 1024) (i32.const 1028)))
            (call $note (i32.load (i32.const 1032))))
        {}"#,
        on_request("")
    )
}

fn pairs(lines: &[(&str, &str)]) -> Vec<u8> {
    pairs::write(lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

const COMPLETE: [(&str, &str); 3] = [(":path", "/v1/bundle"), (":method", "GET"), (":authority", "companion")];

#[test]
fn a_call_needs_a_cluster_and_three_headers() {
    let cases: [(&str, &[(&str, &str)], bool, &[u8], usize); 3] = [
        ("complete", &COMPLETE, true, b"04", 1),
        ("unknown cluster", &COMPLETE, false, b"20", 0),
        ("no :authority", &COMPLETE[..2], true, b"20", 0),
    ];
    for (name, headers, known, noted, calls) in cases {
        let host = Host::new();
        if known {
            host.add_cluster("up");
        }
        let (mut vm, root) = running(&host, &calling_module(&pairs(headers)));
        vm.tick(root).unwrap();
        assert_eq!((notes(&mut vm, root).as_slice(), vm.http_calls().len()), (noted, calls), "{name}");
    }
}

#[test]
fn a_call_is_kept_for_the_test_and_answered_once() {
    let host = Host::new();
    host.add_cluster("up");
    let (mut vm, root) = running(&host, &calling_module(&pairs(&COMPLETE)));
    vm.tick(root).unwrap();
    vm.tick(root).unwrap();
    let calls = vm.http_calls();
    assert_eq!((calls[0].token, calls[1].token, calls[1].root_id.as_str()), (4, 8, "root"));
    let call = &calls[0];
    assert_eq!(
        (call.cluster.as_str(), call.body.as_slice(), call.timeout),
        ("up", b"body".as_slice(), Duration::from_secs(5))
    );
    assert_eq!(call.headers.lines(), [":path: /v1/bundle", ":method: GET", ":authority: companion"]);
    notes(&mut vm, root);
    vm.answer(8, HttpAnswer::new(304)).unwrap();
    assert!(matches!(vm.answer(8, HttpAnswer::new(200)), Err(Error::Missing { .. })));
    assert_eq!(vm.http_calls().len(), 1);
    vm.delete_root(root).unwrap();
    assert!(vm.http_calls().is_empty(), "calls go with their root context");
}

#[test]
fn what_a_module_sees_of_an_answer() {
    // Token; number of headers; size of the body; number of trailers; status of reading `:status`, and it; status of
    // reading the body, and it; proxy_get_status (';' is 11, a broken connection).
    let cases = [
        ("answer", HttpAnswer::new(200).header("etag", "e").body("xyz").trailer("t", "1"), "42310", "2000xyz0"),
        ("empty", HttpAnswer::new(404), "41000", "40400"),
        ("timeout", HttpAnswer::timeout(), "42H00", "5040upstream request timeout0"),
        ("reset", HttpAnswer::reset(), "40002", "1;"),
    ];
    for (name, answer, sizes, rest) in cases {
        let host = Host::new();
        host.add_cluster("up");
        let (mut vm, root) = running(&host, &calling_module(&pairs(&COMPLETE)));
        vm.tick(root).unwrap();
        notes(&mut vm, root);
        vm.answer(4, answer).unwrap();
        assert_eq!(String::from_utf8(notes(&mut vm, root)).unwrap(), format!("{sizes}{rest}"), "{name}");
    }
}
