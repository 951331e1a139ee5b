//! Log, time, ticks and contexts.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall, hostcall_at_any_time};
use crate::simulator::guest::{Action, Guest};
use crate::simulator::log::Level;
use crate::simulator::status::{Hosted, Status};

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "proxy_log", |caller: Caller<'_, Guest>, level: u32, text: u32, length: u32| {
        hostcall_at_any_time(caller, |call| log(call, level, Slice(text, length)))
    })?;
    linker.func_wrap(MODULE, "proxy_get_log_level", |caller: Caller<'_, Guest>, out: u32| {
        hostcall(caller, |call| {
            let level = call.guest().host.log().level();
            call.write_u32(out, level as u32)
        })
    })?;
    linker.func_wrap(MODULE, "proxy_get_current_time_nanoseconds", |caller: Caller<'_, Guest>, out: u32| {
        hostcall(caller, |call| {
            let now = call.guest().host.clock().wall();
            call.write_u64(out, now)
        })
    })?;
    linker.func_wrap(MODULE, "proxy_set_tick_period_milliseconds", |caller: Caller<'_, Guest>, period: u32| {
        hostcall(caller, |call| set_tick_period(call.guest(), period))
    })?;
    linker.func_wrap(MODULE, "proxy_set_effective_context", |caller: Caller<'_, Guest>, id: u32| {
        hostcall(caller, |call| if call.guest().set_effective(id) { Ok(()) } else { Err(Status::BadArgument.into()) })
    })?;
    linker.func_wrap(MODULE, "proxy_done", |caller: Caller<'_, Guest>| hostcall(caller, |call| done(call.guest())))?;
    linker.func_wrap(MODULE, "proxy_get_status", |caller: Caller<'_, Guest>, code: u32, message: u32, size: u32| {
        hostcall(caller, |call| last_status(call, code, Out(message, size)))
    })?;
    Ok(())
}

fn log(call: &mut Call<'_>, level: u32, text: Slice) -> Hosted {
    let level = Level::from_abi(level).ok_or(Status::BadArgument)?;
    let text = call.read(text)?;
    call.guest().log(level, &text);
    Ok(())
}

/// 0 ends the ticks.
fn set_tick_period(guest: &mut Guest, milliseconds: u32) -> Hosted {
    let root = guest.current_root();
    let root = guest.root(root).ok_or(Status::BadArgument)?;
    root.tick_period = (milliseconds > 0).then_some(Duration::from_millis(milliseconds.into()));
    Ok(())
}

fn done(guest: &mut Guest) -> Hosted {
    let current = guest.current();
    guest.root(current).filter(|root| root.finishing).ok_or(Status::NotFound)?;
    guest.actions.push_back(Action::Done { root: current });
    Ok(())
}

/// How the call that is being answered ended.
fn last_status(call: &mut Call<'_>, code: u32, out: Out) -> Hosted {
    let guest = call.guest();
    let root = guest.current_root();
    let broken = guest.root(root).and_then(|root| root.answer.as_ref()).is_some_and(|answer| answer.headers.is_none());
    let (status, message) = if broken { (Status::BrokenConnection, "reset") } else { (Status::Ok, "") };
    call.write_u32(code, status as u32)?;
    call.give(message.as_bytes(), out)
}
