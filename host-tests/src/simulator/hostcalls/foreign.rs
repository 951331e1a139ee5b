//! Foreign functions.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Out, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::status::Hosted;

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_call_foreign_function",
        |caller: Caller<'_, Guest>, name: u32, name_size: u32, argument: u32, size: u32, out: u32, out_size: u32| {
            hostcall(caller, |call| run(call, Slice(name, name_size), Slice(argument, size), Out(out, out_size)))
        },
    )?;
    Ok(())
}

fn run(call: &mut Call<'_>, name: Slice, argument: Slice, out: Out) -> Hosted {
    let (name, argument) = (call.text(name)?, call.read(argument)?);
    let result = call.guest().host.foreign().call(&name, &argument)?;
    call.give(&result, out)
}
