//! Local replies, and going on with or ending a stream. Envoy does them when the callback has returned.

use wasmtime::{Caller, Linker};

use super::MODULE;
use crate::simulator::call::{Call, Slice, hostcall};
use crate::simulator::guest::{Action, Guest};
use crate::simulator::headers::Headers;
use crate::simulator::local_reply::Sent;
use crate::simulator::status::{Hosted, Status};
use crate::simulator::stream::Side;

/// The highest gRPC status that is one; others, -1 first of all, stand for none.
const LAST_GRPC_STATUS: u32 = 16;

/// What the module sends, in its memory.
struct Reply {
    status: u32,
    details: Slice,
    body: Slice,
    headers: Slice,
    grpc_status: u32,
}

pub(crate) fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_send_local_response",
        |caller: Caller<'_, Guest>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         grpc_status: u32| {
            let (details, body) = (Slice(details, details_size), Slice(body, body_size));
            let headers = Slice(headers, headers_size);
            hostcall(caller, |call| send(call, &Reply { status, details, body, headers, grpc_status }))
        },
    )?;
    linker.func_wrap(MODULE, "proxy_continue_stream", |caller: Caller<'_, Guest>, kind: u32| {
        hostcall(caller, |call| go_on(call.guest(), kind))
    })?;
    linker.func_wrap(MODULE, "proxy_close_stream", |caller: Caller<'_, Guest>, kind: u32| {
        hostcall(caller, |call| close(call.guest(), kind))
    })?;
    Ok(())
}

/// Without a stream nothing is sent, and nobody is told.
fn send(call: &mut Call<'_>, reply: &Reply) -> Hosted {
    let details: String = call.text(reply.details)?.split_whitespace().collect::<Vec<_>>().join("_");
    let body = call.read(reply.body)?;
    let mut headers = Headers::response();
    headers.extend_from_pairs(&call.read(reply.headers)?);
    let grpc_status = Some(reply.grpc_status).filter(|status| *status <= LAST_GRPC_STATUS);
    let guest = call.guest();
    let stream = guest.current();
    if guest.stream(stream).is_some() {
        let sent = Sent { status: reply.status, details, headers, body, grpc_status };
        guest.actions.push_back(Action::Reply { stream, sent });
    }
    Ok(())
}

fn go_on(guest: &mut Guest, kind: u32) -> Hosted {
    let side = match kind {
        0 => Side::Request,
        1 => Side::Response,
        2 => return Ok(()),
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    let current = guest.current();
    if let Some(stream) = guest.stream(current) {
        // Envoy hides the request's maps at once, whichever side it is.
        stream.request.hide();
        guest.actions.push_back(Action::Continue { stream: current, side });
    }
    Ok(())
}

fn close(guest: &mut Guest, kind: u32) -> Hosted {
    let current = guest.current();
    match kind {
        0 | 1 if guest.stream(current).is_some() => guest.actions.push_back(Action::Reset { stream: current }),
        0..=3 => {}
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}
