//! Hostcalls of the ABI that are there, so that a module loads, and refuse: shared queues and gRPC.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::MODULE;
use crate::simulator::guest::Guest;
use crate::simulator::status::Status;

/// The name, the number of parameters (all are 32 bits wide), and the answer: for gRPC that of an Envoy which does not
/// know the cluster or the call.
const REFUSED: &[(&str, usize, Status)] = &[
    ("proxy_register_shared_queue", 3, Status::Unimplemented),
    ("proxy_resolve_shared_queue", 5, Status::Unimplemented),
    ("proxy_enqueue_shared_queue", 3, Status::Unimplemented),
    ("proxy_dequeue_shared_queue", 3, Status::Unimplemented),
    ("proxy_grpc_call", 12, Status::ParseFailure),
    ("proxy_grpc_stream", 9, Status::ParseFailure),
    ("proxy_grpc_send", 4, Status::BadArgument),
    ("proxy_grpc_cancel", 1, Status::BadArgument),
    ("proxy_grpc_close", 1, Status::BadArgument),
];

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for &(name, parameters, status) in REFUSED {
        let ty = FuncType::new(linker.engine(), vec![ValType::I32; parameters], [ValType::I32]);
        linker.func_new(MODULE, name, ty, move |caller: Caller<'_, Guest>, _, results| {
            if caller.data().starting {
                return Err(wasmtime::Error::msg("restricted_callback: the module calls Envoy while it starts"));
            }
            results.fill(Val::I32(status as i32));
            Ok(())
        })?;
    }
    Ok(())
}
