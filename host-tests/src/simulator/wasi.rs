//! The part of `wasi_snapshot_preview1` that Envoy offers, as Envoy offers it: clocks, randomness, standard output and
//! standard error into the log; an empty environment; no files and no sockets.

use wasmtime::{Caller, Linker, Val};

use super::call::{Call, Slice};
use super::guest::Guest;
use super::log::Level;
use super::status::{Fault, Hosted};

const MODULE: &str = "wasi_snapshot_preview1";

const SUCCESS: i32 = 0;
const BAD_FILE: i32 = 8;
const FAULT: i32 = 21;
const INVALID: i32 = 28;
const NOT_SUPPORTED: i32 = 58;

/// The most random bytes Envoy gives at once.
const MAX_RANDOM: u32 = 64 * 1024;
/// `fd_write` is what stdout and stderr may do.
const RIGHT_TO_WRITE: u64 = 64;

/// Functions that always answer the same: their parameters, `l` being 64 bits wide, and the errno.
const FIXED: &[(&str, &str, i32)] = &[
    ("args_get", "ii", SUCCESS),
    ("environ_get", "ii", SUCCESS),
    ("fd_advise", "illi", SUCCESS),
    ("fd_close", "i", SUCCESS),
    ("fd_fdstat_set_flags", "ii", 52),
    ("fd_filestat_get", "ii", BAD_FILE),
    ("fd_prestat_dir_name", "iii", 52),
    ("fd_prestat_get", "ii", BAD_FILE),
    ("fd_read", "iiii", 52),
    ("fd_seek", "ilii", SUCCESS),
    ("path_create_directory", "iii", NOT_SUPPORTED),
    ("path_filestat_get", "iiiii", NOT_SUPPORTED),
    ("path_link", "iiiiiii", NOT_SUPPORTED),
    ("path_open", "iiiiillii", 44),
    ("path_remove_directory", "iii", NOT_SUPPORTED),
    ("path_rename", "iiiiii", NOT_SUPPORTED),
    ("path_symlink", "iiiii", NOT_SUPPORTED),
    ("path_unlink_file", "iii", NOT_SUPPORTED),
    ("sched_yield", "", SUCCESS),
    ("sock_shutdown", "ii", NOT_SUPPORTED),
];

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_fixed(linker)?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |caller: Caller<'_, Guest>, file: u32, parts: u32, count: u32, written: u32| {
            wasi(caller, |call| write(call, file, parts, count, written))
        },
    )?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |caller: Caller<'_, Guest>, file: u32, out: u32| {
        wasi(caller, |call| file_status(call, file, out))
    })?;
    for name in ["args_sizes_get", "environ_sizes_get"] {
        linker.func_wrap(MODULE, name, |caller: Caller<'_, Guest>, count: u32, size: u32| {
            wasi(caller, |call| call.write_u32(count, 0).and(call.write_u32(size, 0)).map(|()| SUCCESS))
        })?;
    }
    linker.func_wrap(MODULE, "poll_oneoff", |caller: Caller<'_, Guest>, _: u32, _: u32, _: u32, events: u32| {
        wasi(caller, |call| call.write_u32(events, 0).map(|()| SUCCESS))
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |caller: Caller<'_, Guest>, clock: u32, _precision: u64, out: u32| wasi(caller, |call| time(call, clock, out)),
    )?;
    linker.func_wrap(MODULE, "clock_res_get", |caller: Caller<'_, Guest>, clock: u32, out: u32| {
        wasi(caller, |call| if clock > 1 { Ok(NOT_SUPPORTED) } else { call.write_u64(out, 1).map(|()| SUCCESS) })
    })?;
    linker.func_wrap(MODULE, "random_get", |caller: Caller<'_, Guest>, out: u32, length: u32| {
        wasi(caller, |call| random(call, out, length))
    })?;
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the module ended itself with code {code}")))
    })?;
    Ok(())
}

fn add_fixed(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime::{FuncType, ValType};
    for &(name, parameters, errno) in FIXED {
        let parameters = parameters.chars().map(|kind| if kind == 'l' { ValType::I64 } else { ValType::I32 });
        let ty = FuncType::new(linker.engine(), parameters, [ValType::I32]);
        linker.func_new(MODULE, name, ty, move |_, _, results| {
            results.fill(Val::I32(errno));
            Ok(())
        })?;
    }
    Ok(())
}

fn wasi(caller: Caller<'_, Guest>, run: impl FnOnce(&mut Call<'_>) -> Hosted<i32>) -> wasmtime::Result<i32> {
    match run(&mut Call::new(caller)?) {
        Ok(errno) => Ok(errno),
        Err(Fault::Status(_)) => Ok(FAULT),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// A write is one line of the log.
fn write(call: &mut Call<'_>, file: u32, parts: u32, count: u32, written: u32) -> Hosted<i32> {
    let level = match file {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BAD_FILE),
    };
    let mut text = Vec::new();
    for part in 0..count {
        let at = parts.wrapping_add(part.wrapping_mul(8));
        text.extend(call.read(Slice(call.read_u32(at)?, call.read_u32(at.wrapping_add(4))?))?);
    }
    call.write_u32(written, u32::try_from(text.len()).unwrap_or(u32::MAX))?;
    if !text.is_empty() {
        call.guest().log(level, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Ok(SUCCESS)
}

fn file_status(call: &mut Call<'_>, file: u32, out: u32) -> Hosted<i32> {
    if file != 1 && file != 2 {
        return Ok(BAD_FILE);
    }
    let words = [0, RIGHT_TO_WRITE, 0].map(u64::to_le_bytes);
    call.write(out, words.as_flattened())?;
    Ok(SUCCESS)
}

fn time(call: &mut Call<'_>, clock: u32, out: u32) -> Hosted<i32> {
    let now = match clock {
        0 => call.guest().host.clock().wall(),
        1 => call.guest().host.clock().monotonic(),
        _ => return Ok(NOT_SUPPORTED),
    };
    call.write_u64(out, now)?;
    Ok(SUCCESS)
}

fn random(call: &mut Call<'_>, out: u32, length: u32) -> Hosted<i32> {
    if length > MAX_RANDOM {
        return Ok(INVALID);
    }
    let mut bytes = vec![0; length as usize];
    call.guest().random.fill(&mut bytes);
    call.write(out, &bytes)?;
    Ok(SUCCESS)
}
