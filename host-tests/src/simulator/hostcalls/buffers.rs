//! Buffers: bodies, configurations, and the bodies of answers to calls.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::status::{Hosted, Status};
use crate::simulator::stream::{Side, StreamContext};

/// The highest `proxy_buffer_type_t`.
const LAST_KIND: u32 = 8;

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_buffer_bytes",
        |caller: Caller<'_, Guest>, kind: u32, start: u32, length: u32, data: u32, size: u32| {
            hostcall(caller, |call| get(call, kind, Slice(start, length), Out(data, size)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_buffer_status",
        |caller: Caller<'_, Guest>, kind: u32, length: u32, flags: u32| {
            hostcall(caller, |call| status(call, kind, length, flags))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_buffer_bytes",
        |caller: Caller<'_, Guest>, kind: u32, start: u32, length: u32, data: u32, size: u32| {
            hostcall(caller, |call| set(call, kind, Slice(start, length), Slice(data, size)))
        },
    )?;
    Ok(())
}

/// What lies beyond the end is left out.
fn get(call: &mut Call<'_>, kind: u32, Slice(start, length): Slice, out: Out) -> Hosted {
    let buffer = find(call.guest(), kind)?;
    let end = start.checked_add(length).ok_or(Status::BadArgument)?;
    let size = buffer.len();
    let range = size.min(start as usize)..size.min(end as usize);
    call.give(&buffer[range], out)
}

fn status(call: &mut Call<'_>, kind: u32, length: u32, flags: u32) -> Hosted {
    let size = u32::try_from(find(call.guest(), kind)?.len()).map_err(|_| Status::InternalFailure)?;
    call.write_u32(length, size)?;
    call.write_u32(flags, 0)
}

fn find(guest: &mut Guest, kind: u32) -> Hosted<Vec<u8>> {
    let root = guest.current_root();
    let found = match kind {
        0 | 1 => return body_side(kind).map(|side| body(guest, side).cloned().unwrap_or_default()),
        4 => guest.root(root).and_then(|root| root.answer.as_ref()?.headers.as_ref().and(root.answer.as_ref())),
        6 => return Ok(guest.vm_configuration.clone()),
        7 => return configuration(guest),
        kind if kind > LAST_KIND => return Err(Status::BadArgument.into()),
        _ => None,
    };
    Ok(found.ok_or(Status::NotFound)?.body.clone())
}

fn configuration(guest: &mut Guest) -> Hosted<Vec<u8>> {
    let current = guest.current();
    let root = guest.root(current).filter(|root| root.configuring).ok_or(Status::NotFound)?;
    Ok(root.plugin.configuration.clone())
}

/// Envoy replaces at the start, appends behind the end, and does nothing else.
fn set(call: &mut Call<'_>, kind: u32, Slice(start, length): Slice, data: Slice) -> Hosted {
    let data = call.read(data)?;
    let Some(buffer) = body(call.guest(), body_side(kind)?) else {
        return Err(Status::BadArgument.into());
    };
    if start == 0 {
        let replaced = buffer.len().min(length as usize);
        buffer.splice(..replaced, data);
    } else if start as usize >= buffer.len() {
        buffer.extend(data);
    } else {
        return Err(Status::BadArgument.into());
    }
    Ok(())
}

fn body_side(kind: u32) -> Hosted<Side> {
    match kind {
        0 => Ok(Side::Request),
        1 => Ok(Side::Response),
        _ => Err(Status::BadArgument.into()),
    }
}

fn body(guest: &mut Guest, side: Side) -> Option<&mut Vec<u8>> {
    let stream: &mut StreamContext = guest.current_stream()?;
    stream.half(side)?.body.seen()
}
