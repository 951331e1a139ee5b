//! Shared data of the VM's vm_id.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::status::{Hosted, Status};

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_shared_data",
        |caller: Caller<'_, Guest>, key: u32, key_size: u32, out: u32, out_size: u32, cas: u32| {
            hostcall(caller, |call| get(call, Slice(key, key_size), Out(out, out_size), cas))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_shared_data",
        |caller: Caller<'_, Guest>, key: u32, key_size: u32, value: u32, size: u32, cas: u32| {
            hostcall(caller, |call| set(call, Slice(key, key_size), Slice(value, size), cas))
        },
    )?;
    Ok(())
}

fn get(call: &mut Call<'_>, key: Slice, out: Out, cas_out: u32) -> Hosted {
    let key = call.text(key)?;
    let guest = call.guest();
    let (value, cas) = guest.host.shared_data().get(&guest.vm_id, &key).ok_or(Status::NotFound)?;
    call.give(&value, out)?;
    call.write_u32(cas_out, cas)
}

fn set(call: &mut Call<'_>, key: Slice, value: Slice, cas: u32) -> Hosted {
    let (key, value) = (call.text(key)?, call.read(value)?);
    let guest = call.guest();
    Ok(guest.host.shared_data().set(&guest.vm_id, &key, &value, Some(cas))?)
}
