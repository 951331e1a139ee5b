//! Metrics.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::metrics::Kind;
use crate::simulator::status::{Hosted, Status};

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_define_metric",
        |caller: Caller<'_, Guest>, kind: u32, name: u32, size: u32, out: u32| {
            hostcall(caller, |call| define(call, kind, Slice(name, size), out))
        },
    )?;
    linker.func_wrap(MODULE, "proxy_increment_metric", |caller: Caller<'_, Guest>, id: u32, by: i64| {
        hostcall(caller, |call| {
            let guest = call.guest();
            Ok(guest.metric_ids.increment(guest.host.metrics(), id, by)?)
        })
    })?;
    linker.func_wrap(MODULE, "proxy_record_metric", |caller: Caller<'_, Guest>, id: u32, value: u64| {
        hostcall(caller, |call| {
            let guest = call.guest();
            Ok(guest.metric_ids.record(guest.host.metrics(), id, value)?)
        })
    })?;
    linker.func_wrap(MODULE, "proxy_get_metric", |caller: Caller<'_, Guest>, id: u32, out: u32| {
        hostcall(caller, |call| {
            let guest = call.guest();
            let value = guest.metric_ids.get(guest.host.metrics(), id)?;
            call.write_u64(out, value)
        })
    })?;
    Ok(())
}

fn define(call: &mut Call<'_>, kind: u32, name: Slice, out: u32) -> Hosted {
    let name = call.text(name)?;
    let kind = Kind::from_abi(kind).ok_or(Status::BadArgument)?;
    let guest = call.guest();
    let id = guest.metric_ids.define(guest.host.metrics(), kind, &name);
    call.write_u32(out, id)
}
