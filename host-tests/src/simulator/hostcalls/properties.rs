//! Properties. What a module sets becomes filter state of its stream (`%FILTER_STATE(wasm.NAME:PLAIN)%`), which the
//! module can read again under its name; outside a stream there is nowhere to set it.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::properties::PropertyPath;
use crate::simulator::status::{Hosted, Status};

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_property",
        |caller: Caller<'_, Guest>, path: u32, size: u32, out: u32, out_size: u32| {
            hostcall(caller, |call| {
                let path = PropertyPath::from_abi(&call.read(Slice(path, size))?);
                let value = find(call.guest(), &path).ok_or(Status::NotFound)?;
                call.give(&value, Out(out, out_size))
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_property",
        |caller: Caller<'_, Guest>, path: u32, size: u32, value: u32, value_size: u32| {
            hostcall(caller, |call| set(call, Slice(path, size), Slice(value, value_size)))
        },
    )?;
    Ok(())
}

fn find(guest: &mut Guest, path: &PropertyPath) -> Option<Vec<u8>> {
    let of_stream = guest.current_stream().and_then(|stream| stream.properties.get(path).cloned());
    of_stream
        .or_else(|| guest.host.property(path))
        .or_else(|| of_plugin(guest, &path.parts()))
        .or_else(|| of_filter_state(guest, &path.parts()))
}

fn of_plugin(guest: &mut Guest, path: &[&[u8]]) -> Option<Vec<u8>> {
    let root = guest.current_root();
    let plugin = guest.root(root)?.plugin.clone();
    let value = match path {
        [b"plugin_root_id"] => &plugin.root_id,
        [b"plugin_name"] => &plugin.name,
        [b"plugin_vm_id"] => &guest.vm_id,
        _ => return None,
    };
    Some(value.clone().into_bytes())
}

fn of_filter_state(guest: &mut Guest, path: &[&[u8]]) -> Option<Vec<u8>> {
    let name = match path {
        [name] => name,
        [b"filter_state", name] => name.strip_prefix(b"wasm.")?,
        _ => return None,
    };
    let name = String::from_utf8_lossy(name);
    guest.current_stream()?.filter_state.get(name.as_ref()).cloned()
}

fn set(call: &mut Call<'_>, path: Slice, value: Slice) -> Hosted {
    let (path, value) = (call.text(path)?, call.read(value)?);
    let stream = call.guest().current_stream().ok_or(Status::NotFound)?;
    stream.filter_state.insert(path, value);
    Ok(())
}
