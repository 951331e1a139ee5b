//! One hostcall: the module's memory and the store behind it.

use wasmtime::{Caller, Extern, Memory};

use super::guest::Guest;
use super::status::{Fault, Hosted, Status};

/// Bytes in the module's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice(pub(crate) u32, pub(crate) u32);

/// Where the module wants the address and the length of what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out(pub(crate) u32, pub(crate) u32);

pub(crate) struct Call<'a> {
    caller: Caller<'a, Guest>,
    memory: Memory,
}

/// Runs a hostcall of the ABI. While the module starts, Envoy traps it instead.
pub(crate) fn hostcall(caller: Caller<'_, Guest>, run: impl FnOnce(&mut Call<'_>) -> Hosted) -> wasmtime::Result<u32> {
    if caller.data().starting {
        return Err(wasmtime::Error::msg("restricted_callback: the module calls Envoy while it starts"));
    }
    hostcall_at_any_time(caller, run)
}

/// Runs a hostcall that a module may use while it starts.
pub(crate) fn hostcall_at_any_time(
    caller: Caller<'_, Guest>,
    run: impl FnOnce(&mut Call<'_>) -> Hosted,
) -> wasmtime::Result<u32> {
    match run(&mut Call::new(caller)?) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Fault::Status(status)) => Ok(status as u32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(mut caller: Caller<'a, Guest>) -> wasmtime::Result<Self> {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("the module exports no memory"))?;
        Ok(Self { caller, memory })
    }

    pub(crate) fn guest(&mut self) -> &mut Guest {
        self.caller.data_mut()
    }

    pub(crate) fn read(&self, Slice(at, length): Slice) -> Hosted<Vec<u8>> {
        let (at, length) = (at as usize, length as usize);
        let data = self.memory.data(&self.caller).get(at..).and_then(|rest| rest.get(..length));
        Ok(data.ok_or(Status::InvalidMemoryAccess)?.to_vec())
    }

    /// Text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, slice: Slice) -> Hosted<String> {
        Ok(String::from_utf8_lossy(&self.read(slice)?).into_owned())
    }

    pub(crate) fn read_u32(&self, at: u32) -> Hosted<u32> {
        let bytes = self.read(Slice(at, 4))?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Status::InvalidMemoryAccess)?))
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Hosted {
        let written = self.memory.write(&mut self.caller, at as usize, bytes);
        Ok(written.map_err(|_| Status::InvalidMemoryAccess)?)
    }

    pub(crate) fn write_u32(&mut self, at: u32, value: u32) -> Hosted {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, value: u64) -> Hosted {
        self.write(at, &value.to_le_bytes())
    }

    /// Gives bytes to the module, in memory that it allocates; nothing at all is a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], Out(at, length_at): Out) -> Hosted {
        let address = if bytes.is_empty() { 0 } else { self.place(bytes)? };
        self.write_u32(at, address)?;
        self.write_u32(length_at, length(bytes.len())?)
    }

    fn place(&mut self, bytes: &[u8]) -> Hosted<u32> {
        let address = self.allocate(length(bytes.len())?).map_err(Fault::Trap)?;
        if address == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        self.write(address, bytes)?;
        Ok(address)
    }

    fn allocate(&mut self, length: u32) -> wasmtime::Result<u32> {
        let function = ALLOCATORS.iter().find_map(|name| self.caller.get_export(name)?.into_func());
        let function = function.ok_or_else(|| wasmtime::Error::msg("the module exports no allocator"))?;
        function.typed::<u32, u32>(&self.caller)?.call(&mut self.caller, length)
    }
}

/// The names under which modules export their allocator, in Envoy's order.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

fn length(length: usize) -> Hosted<u32> {
    Ok(u32::try_from(length).map_err(|_| Status::InvalidMemoryAccess)?)
}
