//! HTTP calls to clusters: kept for the test to answer.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Slice, hostcall};
use crate::simulator::guest::Guest;
use crate::simulator::headers::Headers;
use crate::simulator::http_call::HttpCall;
use crate::simulator::status::{Hosted, Status};

/// Without these Envoy makes no call.
const REQUIRED: [&str; 3] = [":path", ":method", ":authority"];

/// What the module asks for, in its memory.
struct Wanted {
    cluster: Slice,
    headers: Slice,
    body: Slice,
    trailers: Slice,
    timeout: i32,
}

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_http_call",
        |caller: Caller<'_, Guest>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         trailers: u32,
         trailers_size: u32,
         timeout: i32,
         token: u32| {
            let wanted = Wanted {
                cluster: Slice(cluster, cluster_size),
                headers: Slice(headers, headers_size),
                body: Slice(body, body_size),
                trailers: Slice(trailers, trailers_size),
                timeout,
            };
            hostcall(caller, |call| {
                let number = dispatch(call, &wanted)?;
                call.write_u32(token, number)
            })
        },
    )?;
    Ok(())
}

/// The call belongs to the root context, also when a stream makes it.
fn dispatch(call: &mut Call<'_>, wanted: &Wanted) -> Hosted<u32> {
    let cluster = call.text(wanted.cluster)?;
    let (mut headers, mut trailers) = (Headers::request(), Headers::trailers());
    headers.extend_from_pairs(&call.read(wanted.headers)?);
    trailers.extend_from_pairs(&call.read(wanted.trailers)?);
    let body = call.read(wanted.body)?;
    let guest = call.guest();
    let possible = guest.host.has_cluster(&cluster) && REQUIRED.iter().all(|name| headers.contains(name));
    let timeout = u64::try_from(wanted.timeout).ok().filter(|_| possible).ok_or(Status::BadArgument)?;
    let context = guest.current_root();
    let root_id = guest.root(context).ok_or(Status::BadArgument)?.plugin.root_id.clone();
    let (token, dispatched) = (guest.next_call(), guest.host.clock().now());
    let timeout = Duration::from_millis(timeout);
    let made = HttpCall { token, root_id, cluster, headers, body, trailers, timeout, dispatched, context };
    guest.root(context).ok_or(Status::BadArgument)?.calls.insert(token, made);
    Ok(token)
}
