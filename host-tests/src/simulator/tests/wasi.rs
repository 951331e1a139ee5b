//! WASI, as Envoy offers it.

use super::*;

#[test]
fn standard_output_goes_to_the_log() {
    // One write in two parts.
    let code = on_request(
        "(i32.store (i32.const 1040) (i32.const 0)) (i32.store (i32.const 1044) (i32.const 3))
        (i32.store (i32.const 1048) (i32.const 3)) (i32.store (i32.const 1052) (i32.const 4))
        (call $note (call $write (i32.const 1) (i32.const 1040) (i32.const 2) (i32.const 1032)))
        (call $note (i32.load (i32.const 1032)))
        (call $note (call $write (i32.const 2) (i32.const 1040) (i32.const 1) (i32.const 1032)))
        (call $note (call $write (i32.const 3) (i32.const 1040) (i32.const 1) (i32.const 1032)))
        (call $note (call $write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 1032)))",
    );
    let host = Host::new();
    let (mut vm, root) =
        running(&host, &format!(r#"(data (i32.const 0) "one two\n") (data (i32.const 6) "\ff\n") {code}"#));
    assert_eq!(notes(&mut vm, root), b"0708E", "8 is a bad file, E (21) a bad address");
    let lines: Vec<_> = host.log().lines().into_iter().map(|line| (line.level, line.message)).collect();
    assert_eq!(lines, [(Level::Info, "one tw\u{fffd}".to_owned()), (Level::Error, "one".to_owned())]);
    assert!(host.log().contains(Level::Warn, "on") && !host.log().contains(Level::Warn, "tw"));
}

#[test]
fn there_is_no_environment_and_no_file() {
    let code = on_request(
        "(i64.store (i32.const 1032) (i64.const -1))
        (call $note (call $environ (i32.const 1032) (i32.const 1036)))
        (call $note (i64.eqz (i64.load (i32.const 1032))))
        (call $note (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)
            (i64.const 0) (i32.const 0) (i32.const 0)))
        (call $note (call $random (i32.const 1032) (i32.const 65537)))",
    );
    let (mut vm, root) = running(&Host::new(), &code);
    assert_eq!(notes(&mut vm, root), b"01\\L", "44: no such entry; 28: too much at once");
}

#[test]
fn an_exit_is_a_trap() {
    let (mut vm, root) = running(&Host::new(), &on_request("(call $exit (i32.const 3))"));
    let error = vm.request(root, Request::get("/")).unwrap_err().to_string();
    assert!(error.contains("the module ended itself with code 3"), "{error}");
}
