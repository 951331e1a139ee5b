//! Header maps. One that is not there now is a bad argument, except that reading all of it gives nothing.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::headers::Headers;
use crate::simulator::status::{Hosted, Status};
use crate::simulator::stream::{Side, StreamContext};

/// The highest `proxy_map_type_t`.
const LAST_KIND: u32 = 7;

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_readers(linker)?;
    add_writers(linker)
}

fn add_readers(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_header_map_value",
        |caller: Caller<'_, Guest>, kind: u32, name: u32, size: u32, out: u32, out_size: u32| {
            hostcall(caller, |call| get(call, kind, Slice(name, size), Out(out, out_size)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_header_map_pairs",
        |caller: Caller<'_, Guest>, kind: u32, out: u32, out_size: u32| {
            hostcall(caller, |call| get_all(call, kind, Out(out, out_size)))
        },
    )?;
    linker.func_wrap(MODULE, "proxy_get_header_map_size", |caller: Caller<'_, Guest>, kind: u32, out: u32| {
        hostcall(caller, |call| {
            let size = writable(call.guest(), kind)?.byte_size();
            call.write_u32(out, u32::try_from(size).unwrap_or(u32::MAX))
        })
    })?;
    Ok(())
}

fn add_writers(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_add_header_map_value",
        |caller: Caller<'_, Guest>, kind: u32, name: u32, name_size: u32, value: u32, size: u32| {
            hostcall(caller, |call| change(call, kind, Slice(name, name_size), Slice(value, size), Headers::add))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_replace_header_map_value",
        |caller: Caller<'_, Guest>, kind: u32, name: u32, name_size: u32, value: u32, size: u32| {
            hostcall(caller, |call| change(call, kind, Slice(name, name_size), Slice(value, size), Headers::set))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_remove_header_map_value",
        |caller: Caller<'_, Guest>, kind: u32, name: u32, size: u32| {
            hostcall(caller, |call| {
                let name = call.text(Slice(name, size))?;
                writable(call.guest(), kind)?.remove(&name);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_header_map_pairs",
        |caller: Caller<'_, Guest>, kind: u32, data: u32, size: u32| {
            hostcall(caller, |call| set_all(call, kind, Slice(data, size)))
        },
    )?;
    Ok(())
}

fn get(call: &mut Call<'_>, kind: u32, name: Slice, out: Out) -> Hosted {
    check(kind)?;
    let name = call.text(name)?;
    let guest = call.guest();
    let absent = if guest.current_stream().is_some_and(|stream| stream.logging) {
        Status::NotFound
    } else {
        Status::BadArgument
    };
    let headers = readable(guest, kind).ok_or(absent)?;
    let value = headers.get(&name).ok_or(Status::NotFound)?.to_vec();
    call.give(&value, out)
}

fn get_all(call: &mut Call<'_>, kind: u32, out: Out) -> Hosted {
    check(kind)?;
    let filled = readable(call.guest(), kind).filter(|headers| !headers.is_empty());
    let pairs = filled.map(Headers::to_pairs).unwrap_or_default();
    call.give(&pairs, out)
}

fn set_all(call: &mut Call<'_>, kind: u32, pairs: Slice) -> Hosted {
    let pairs = call.read(pairs)?;
    let headers = writable(call.guest(), kind)?;
    headers.clear();
    headers.extend_from_pairs(&pairs);
    Ok(())
}

fn change(call: &mut Call<'_>, kind: u32, name: Slice, value: Slice, how: fn(&mut Headers, &str, Vec<u8>)) -> Hosted {
    let (name, value) = (call.text(name)?, call.read(value)?);
    how(writable(call.guest(), kind)?, &name, value);
    Ok(())
}

fn check(kind: u32) -> Hosted {
    if kind > LAST_KIND { Err(Status::BadArgument.into()) } else { Ok(()) }
}

fn readable(guest: &mut Guest, kind: u32) -> Option<&Headers> {
    match kind {
        0..=3 => stream_map(guest.current_stream()?, kind, true).map(|headers| &*headers),
        6 | 7 => {
            let root = guest.current_root();
            let answer = guest.root(root)?.answer.as_ref()?;
            if kind == 6 { answer.headers.as_ref() } else { answer.trailers.as_ref() }
        }
        _ => None,
    }
}

fn writable(guest: &mut Guest, kind: u32) -> Hosted<&mut Headers> {
    let found = guest.current_stream().and_then(|stream| stream_map(stream, kind, false));
    Ok(found.ok_or(Status::BadArgument)?)
}

fn stream_map(stream: &mut StreamContext, kind: u32, reading: bool) -> Option<&mut Headers> {
    let side = if kind < 2 { Side::Request } else { Side::Response };
    let logging = stream.logging;
    let half = stream.half(side)?;
    match kind {
        0 | 2 if half.headers_visible || logging && reading => Some(&mut half.headers),
        1 | 3 if half.trailers_visible && !logging => half.trailers.as_mut(),
        _ => None,
    }
}
