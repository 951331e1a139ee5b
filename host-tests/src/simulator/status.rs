//! The statuses a hostcall returns (proxy-wasm ABI 0.2.1, `proxy_status_t`, with Envoy's additions).

/// What a hostcall answers. The Rust SDK panics on one that it does not expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such key, header, property, function or metric.
    NotFound = 1,
    /// An argument makes no sense here.
    BadArgument = 2,
    /// The argument could not be serialised.
    SerializationFailure = 3,
    /// The argument could not be parsed.
    ParseFailure = 4,
    /// A pointer leads out of the module's memory.
    InvalidMemoryAccess = 6,
    /// The queue is empty.
    Empty = 7,
    /// The shared value has changed since it was read.
    CasMismatch = 8,
    /// The host failed.
    InternalFailure = 10,
    /// The connection broke.
    BrokenConnection = 11,
    /// The host does not offer this.
    Unimplemented = 12,
}

/// Why a hostcall did not end with [`Status::Ok`].
#[derive(Debug)]
pub(crate) enum Fault {
    /// The module gets this status and goes on.
    Status(Status),
    /// The VM dies.
    Trap(wasmtime::Error),
}

pub(crate) type Hosted<T = ()> = Result<T, Fault>;

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}
