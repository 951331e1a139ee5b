//! Streams: what a filter sees of a body, when it sees which headers, local replies, pauses.

use super::*;

/// Notes the size and the end of what each body callback sees; pauses as told, and answers at the end when told so.
fn body_module(on_headers: u32, on_body: u32, answers: bool) -> String {
    let answer = if answers { "(call $answer) (return (i32.const 1))" } else { "(return (i32.const 0))" };
    format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const {on_headers}))
        (func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
            (call $note (local.get $size))
            (call $note (local.get $end))
            (drop (call $get_buffer (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 1024) (i32.const 1028)))
            (call $note (i32.load (i32.const 1028)))
            (if (local.get $end) (then {answer}))
            (i32.const {on_body}))
        (func (export "proxy_on_log") (param i32)
            (drop (call $log (i32.const 2) (i32.const 2048) (global.get $noted))))"#
    )
}

#[test]
fn bodies_are_buffered_while_paused() {
    const PAUSED: Outcome = Outcome::Paused(Side::Request);
    let one_by_one = "303202111"; // abc, de, f: size, end, what the buffer holds
    let together = "303505616";
    let cases: [(&str, (u32, u32, bool), bool, &str, Option<&[u8]>); 5] = [
        ("flowing", (0, 0, false), true, one_by_one, Some(b"abcdef")),
        ("paused in the body", (0, 1, false), true, together, Some(b"abcdef")),
        ("paused from the headers on", (1, 1, false), true, together, Some(b"abcdef")),
        ("paused in the headers only", (1, 0, false), true, one_by_one, Some(b"abcdef")),
        ("stop iteration not allowed", (1, 1, false), false, "", None),
    ];
    for (name, (on_headers, on_body, answers), allowed, noted, passed) in cases {
        let mut vm = start(&Host::new(), &body_module(on_headers, on_body, answers));
        let plugin = Plugin::new("root", "");
        let plugin = if allowed { plugin.allow_on_headers_stop_iteration() } else { plugin };
        let root = vm.configure(&plugin).unwrap();
        let exchange = vm.request(root, Request::put("/").chunks(["abc", "de", "f"])).unwrap();
        assert_eq!(exchange.log[0].message, noted, "{name}");
        match passed {
            Some(body) => assert_eq!(exchange.continued().body, body, "{name}"),
            None => assert_eq!(exchange.outcome, PAUSED, "{name}"),
        }
    }
}

#[test]
fn a_buffered_body_can_be_answered() {
    let mut vm = start(&Host::new(), &body_module(1, 1, true));
    let root = vm.configure(&Plugin::new("root", "").allow_on_headers_stop_iteration()).unwrap();
    let exchange = vm.request(root, Request::put("/").body("abc")).unwrap();
    assert_eq!(exchange.local_reply().body, b"303313", "HTTP/1.1 ends a body with an empty chunk");
}

#[test]
fn trailers_let_a_paused_body_go() {
    let code = [
        body_module(0, 1, false).as_str(),
        r#"(func (export "proxy_on_request_trailers") (param $id i32) (param $count i32) (result i32)
            (call $note (local.get $count)) (i32.const 0))"#,
    ]
    .concat();
    let (mut vm, root) = running(&Host::new(), &code);
    let request = Request::put("/").chunks(["ab", "c"]).trailer("x-t", "1").trailer("x-t", "2");
    let exchange = vm.request(root, request).unwrap();
    assert_eq!(exchange.log[0].message, "2023032");
    assert_eq!(exchange.continued().body, b"abc");
    assert_eq!(exchange.continued().trailers.as_ref().unwrap().lines(), ["x-t: 1", "x-t: 2"]);
}

#[test]
fn a_body_can_be_replaced() {
    let code = r#"(data (i32.const 0) "new")
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (drop (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 3)))
            (i32.const 0))"#;
    let (mut vm, root) = running(&Host::new(), code);
    let exchange = vm.request(root, Request::put("/").chunks(["old one"])).unwrap();
    assert_eq!(exchange.continued().body, b"new");
}

/// `x-a` at 0; each callback notes the status of reading it from the request and, in the response's, from the response.
fn seen_module(on_headers: u32, answers: bool) -> String {
    let read = |map: u32| {
        format!(
            "(call $note (call $get_header (i32.const {map}) (i32.const 0) (i32.const 3) (i32.const 1024) \
             (i32.const 1028)))"
        )
    };
    let (request, response) = (read(0), read(2));
    let answer = if answers {
        "(drop (call $send (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 0) \
         (i32.const 0) (i32.const -1)))"
    } else {
        ""
    };
    format!(
        r#"(data (i32.const 0) "x-ax-b")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            {request} {response} {answer} (i32.const {on_headers}))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {request} (i32.const 0))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            {request} {response}
            (drop (call $set_header (i32.const 2) (i32.const 3) (i32.const 3) (i32.const 0) (i32.const 1)))
            (i32.const 0))
        (func (export "proxy_on_log") (param i32)
            {request} {response}
            (drop (call $log (i32.const 2) (i32.const 2048) (global.get $noted))))"#
    )
}

#[test]
fn header_maps_can_be_read_in_their_time_only() {
    // 0: there; 1: no such header; 2: no such map. Request headers, body, response headers, log.
    let cases = [
        ("continued", 0, false, "0222101", 200),
        ("paused, then continued in the body", 1, false, "0200101", 200),
        ("answered: the reply passes the response callback", 1, true, "020101", 403),
        ("answered, whatever is returned", 0, true, "020101", 403),
    ];
    for (name, on_headers, answers, statuses, status) in cases {
        let mut vm = start(&Host::new(), &seen_module(on_headers, answers));
        let root = vm.configure(&Plugin::new("root", "").allow_on_headers_stop_iteration()).unwrap();
        let exchange = vm.request(root, Request::put("/").header("x-a", b"\xff").chunks(["b"])).unwrap();
        assert_eq!(exchange.log[0].message, statuses, "{name}");
        assert_eq!((exchange.status(), exchange.response().headers.text("x-b")), (status, Some("x")), "{name}");
    }
}

#[test]
fn headers_arrive_as_envoys_pairs() {
    let code =
        on_request("(drop (call $get_headers (i32.const 0) (i32.const 1024) (i32.const 1028))) (call $note_result)");
    let (mut vm, root) = running(&Host::new(), &code);
    let request = Request::get("/p").header("X-A", b"\xff\0").header("x-a", "").header("x-b", "1");
    let reply = vm.request(root, request).unwrap().local_reply().body.clone();
    let mut expected = Headers::request();
    for (name, value) in [(":authority", "api.example"), (":path", "/p"), (":method", "GET"), (":scheme", "http")] {
        expected.add(name, value);
    }
    expected.add("x-a", b"\xff\0");
    expected.add("x-a", "");
    expected.add("x-b", "1");
    assert_eq!(reply, expected.to_pairs());
}

/// Pauses in the headers; a tick then does this for stream 2, the first after root context 1.
fn resumed_module(on_tick: &str) -> String {
    format!(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $tick_every (i32.const 1000))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32) (drop (call $effective (i32.const 2))) {on_tick})
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param i32) (result i32)
            (call $note (local.get $size)) (i32.const 0))
        (func (export "proxy_on_log") (param i32)
            (drop (call $log (i32.const 2) (i32.const 2048) (global.get $noted))))"#
    )
}

#[test]
fn a_paused_stream_can_be_let_go_from_elsewhere() {
    type Check = fn(&Exchange) -> bool;
    let cases: [(&str, &str, bool, &str, Check); 5] = [
        ("nothing", "", false, "", |x| x.outcome == Outcome::Paused(Side::Request)),
        ("go on", "(drop (call $continue (i32.const 0)))", false, "3", |x| x.continued().body == b"abc"),
        ("go on, body seen", "(drop (call $continue (i32.const 0)))", true, "21", |x| x.continued().body == b"abc"),
        ("answer", "(call $answer)", false, "", |x| x.local_reply().body.is_empty()),
        ("reset", "(drop (call $close (i32.const 0)))", false, "", |x| x.outcome == Outcome::Reset),
    ];
    for (name, on_tick, allowed, noted, check) in cases {
        let mut vm = start(&Host::new(), &resumed_module(on_tick));
        let plugin = Plugin::new("root", "");
        let plugin = if allowed { plugin.allow_on_headers_stop_iteration() } else { plugin };
        let root = vm.configure(&plugin).unwrap();
        let stream = vm.begin(root, Request::put("/").chunks(["ab", "c"])).unwrap();
        vm.tick(root).unwrap();
        let exchange = vm.finish(stream).unwrap();
        assert_eq!(exchange.log[0].message, noted, "{name}");
        assert!(check(&exchange), "{name}: {exchange:?}");
    }
}

#[test]
fn the_first_of_two_replies_counts_and_one_in_the_response_is_direct() {
    let send = |status: u32| {
        format!(
            "(drop (call $send (i32.const {status}) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3) \
             (i32.const 0) (i32.const 0) (i32.const 7)))"
        )
    };
    let on = |name: &str, code: &str| {
        format!("(func (export \"{name}\") (param i32 i32 i32) (result i32) {code} (i32.const 1))")
    };
    let twice = on("proxy_on_request_headers", &[send(418), send(419)].concat());
    let late = on("proxy_on_response_headers", &send(502));
    for (name, callback, status) in [("twice", twice, 418), ("late", late, 502)] {
        let (mut vm, root) = running(&Host::new(), &format!("(data (i32.const 0) \"a b\") {callback}"));
        let exchange = vm.request(root, Request::get("/").upstream(Response::new(200).body("gone"))).unwrap();
        let reply = exchange.local_reply();
        assert_eq!((reply.status, exchange.status(), reply.grpc_status), (status, status as u16, Some(7)), "{name}");
        assert_eq!((reply.body.as_slice(), reply.details.as_str()), (b"a b".as_slice(), "a_b"), "{name}");
    }
}

#[test]
fn properties_come_from_the_request_the_process_and_the_plugin() {
    let get = |at: u32, size: u32| {
        format!(
            "(call $note (call $get_property (i32.const {at}) (i32.const {size}) (i32.const 1024) (i32.const 1028)))
             (call $note_result) (i64.store (i32.const 1024) (i64.const 0))"
        )
    };
    let set = "(call $note (call $set_property (i32.const 30) (i32.const 4) (i32.const 0) (i32.const 2)))";
    let code = [get(0, 8), get(10, 14), get(30, 4), set.to_owned(), get(30, 4)].concat();
    let data =
        r#"(data (i32.const 0) "source\00x") (data (i32.const 10) "plugin_root_id") (data (i32.const 30) "mine")"#;
    let (mut vm, root) = running(&Host::new(), &format!("{data} {}", on_request(&code)));
    let exchange = vm.request(root, Request::get("/").property("source.x", "ip")).unwrap();
    assert_eq!(exchange.local_reply().body, b"0ip0root100so");
    assert_eq!(exchange.filter_state("mine"), Some("so"));
    assert_eq!(
        vm.request(root, Request::get("/")).unwrap().local_reply().body,
        b"10root100so",
        "no property, no state left"
    );
    vm.host().set_property("source.x", "host");
    assert_eq!(notes(&mut vm, root), b"0host0root100so");
}
