//! Exchanges: a request through the filter, and the answer back.

use std::collections::BTreeMap;

use super::Error;
use super::guest::Context;
use super::headers::Headers;
use super::log::LogLine;
use super::request::{Request, Response};
use super::root::Root;
use super::stream::{Half, Part, Phase, Side, Stop, StreamContext};
use super::vm::{Vm, abi_size, missing};

/// A stream that is open in a [`Vm`].
#[derive(Debug)]
#[must_use = "an open stream is ended with `Vm::finish`"]
pub struct StreamId {
    context: u32,
    generation: u32,
    logged: usize,
    fuel: u64,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What became of it.
    pub outcome: Outcome,
    /// What the filter has set with `set_property`, by name: `%FILTER_STATE(wasm.NAME:PLAIN)%` in an access log.
    pub filter_state: BTreeMap<String, Vec<u8>>,
    /// As [`Vm::fuel_used`].
    pub fuel: u64,
    /// What the VM logged meanwhile.
    pub log: Vec<LogLine>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The filter answered it.
    LocalReply(LocalReply),
    /// It went to the upstream.
    Continued(Continued),
    /// The filter holds it and has not gone on: Envoy answers 504 after the stream's idle timeout.
    Paused(Side),
    /// The filter ended the stream without an answer.
    Reset,
}

/// An answer of the filter's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The status that the filter gave. A gRPC caller gets 200 for it: see [`Exchange::status`].
    pub status: u32,
    /// What the caller gets: the filter's headers, Envoy's, and what the response callbacks have changed.
    pub headers: Headers,
    /// What the caller gets; nothing for HEAD and gRPC.
    pub body: Vec<u8>,
    /// The gRPC status that the filter gave; in `headers` is the one a gRPC caller gets.
    pub grpc_status: Option<u32>,
    /// `%RESPONSE_CODE_DETAILS%`; the Rust SDK gives none.
    pub details: String,
}

/// A request that went to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// The headers that the upstream gets.
    pub headers: Headers,
    /// The body that the upstream gets.
    pub body: Vec<u8>,
    /// The trailers that the upstream gets.
    pub trailers: Option<Headers>,
    /// What the caller gets.
    pub response: Response,
}

impl Exchange {
    /// The filter's own answer.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn local_reply(&self) -> &LocalReply {
        match &self.outcome {
            Outcome::LocalReply(reply) => reply,
            other => panic!("expected a local reply, found {other:#?}\nlog: {:#?}", self.log),
        }
    }

    /// What went to the upstream.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn continued(&self) -> &Continued {
        match &self.outcome {
            Outcome::Continued(continued) => continued,
            other => panic!("expected a request to the upstream, found {other:#?}\nlog: {:#?}", self.log),
        }
    }

    /// The HTTP status that the caller gets.
    ///
    /// # Panics
    /// When it gets none: the stream was paused or reset.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.response().status()
    }

    /// What the caller gets, from the filter or the upstream.
    ///
    /// # Panics
    /// When it gets nothing: the stream was paused or reset.
    #[track_caller]
    pub fn response(&self) -> Response {
        match &self.outcome {
            Outcome::LocalReply(reply) => Response { headers: reply.headers.clone(), body: reply.body.clone() },
            Outcome::Continued(continued) => continued.response.clone(),
            other => panic!("expected a response, found {other:?}\nlog: {:#?}", self.log),
        }
    }

    /// Filter state as text; `None` when it is not there or not UTF-8.
    pub fn filter_state(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.filter_state.get(name)?).ok()
    }
}

/// The exports for one half of a stream.
struct Callbacks {
    headers: &'static str,
    body: &'static str,
    trailers: &'static str,
}

impl Side {
    fn callbacks(self) -> Callbacks {
        match self {
            Self::Request => Callbacks {
                headers: "proxy_on_request_headers",
                body: "proxy_on_request_body",
                trailers: "proxy_on_request_trailers",
            },
            Self::Response => Callbacks {
                headers: "proxy_on_response_headers",
                body: "proxy_on_response_body",
                trailers: "proxy_on_response_trailers",
            },
        }
    }
}

impl Vm {
    /// Sends a request through the filter, and its answer back: [`Vm::begin`] and [`Vm::finish`] in one.
    ///
    /// # Errors
    /// When the module traps: Envoy answers 503.
    pub fn request(&mut self, root: Root, request: Request) -> Result<Exchange, Error> {
        let stream = self.begin(root, request)?;
        self.finish(stream)
    }

    /// Opens a stream and sends the whole request into the filter, as far as it lets it. Before it is finished, ticks
    /// and answers to calls may come between, which may let a paused stream go on.
    ///
    /// # Errors
    /// When the module traps.
    pub fn begin(&mut self, root: Root, request: Request) -> Result<StreamId, Error> {
        let (root, plugin) = self.plugin_of(root)?;
        let (logged, fuel) = (self.host().log().len(), self.instance()?.fuel_used());
        let stream = StreamContext::new(root, plugin.allow_on_headers_stop_iteration, request);
        let context = self.guest()?.add(Context::Stream(Box::new(stream)));
        let id = StreamId { context, generation: self.generation(), logged, fuel };
        self.measured(|vm| {
            vm.call::<_, ()>("proxy_on_context_create", context, (context, root))?;
            vm.settle()?;
            vm.advance(context, Side::Request)?;
            vm.resume_streams()
        })?;
        Ok(id)
    }

    /// Ends a stream: the upstream's or the filter's answer through the response callbacks, then `proxy_on_log`,
    /// `proxy_on_done` and `proxy_on_delete`. On a paused stream the caller goes away.
    ///
    /// # Errors
    /// When the module traps, or has been reloaded since.
    pub fn finish(&mut self, id: StreamId) -> Result<Exchange, Error> {
        if id.generation != self.generation() {
            return Err(missing("such stream: its VM has been reloaded"));
        }
        self.measured(|vm| vm.respond(id.context).and_then(|()| vm.close(id.context)))?;
        let total = self.instance()?.fuel_used() - id.fuel;
        let Some(Context::Stream(stream)) = self.guest()?.remove(id.context) else {
            return Err(missing("such stream"));
        };
        let log = self.host().log().since(id.logged, self.number());
        let filter_state = stream.filter_state.clone();
        self.set_fuel_used(total);
        Ok(Exchange { outcome: outcome(*stream), filter_state, fuel: total, log })
    }

    /// Lets every stream go on that was asked to.
    pub(crate) fn resume_streams(&mut self) -> Result<(), Error> {
        let streams: Vec<_> = self.guest()?.streams().map(|(id, _)| id).collect();
        for id in streams {
            self.start_reply_from_elsewhere(id)?;
            for side in [Side::Request, Side::Response] {
                if self.half(id, side)?.is_some_and(|half| std::mem::take(&mut half.resume) && half.stop.is_some()) {
                    self.half(id, side)?.into_iter().for_each(Half::go_on);
                    self.advance(id, side)?;
                }
            }
        }
        Ok(())
    }

    /// Another context's callback has answered this stream, or ended it.
    fn start_reply_from_elsewhere(&mut self, id: u32) -> Result<(), Error> {
        let stream = self.stream(id)?;
        let unseen = |half: &Half| matches!(half.incoming.front(), Some(Part::Headers { .. }));
        if stream.reset || stream.sent.is_some() && stream.response.as_ref().is_some_and(unseen) {
            return self.turned(id, Side::Request);
        }
        Ok(())
    }

    fn respond(&mut self, id: u32) -> Result<(), Error> {
        let stream = self.stream(id)?;
        if stream.response.is_none() && stream.request.is_done() && !stream.reset {
            stream.respond();
            self.advance(id, Side::Response)?;
        }
        Ok(())
    }

    fn close(&mut self, id: u32) -> Result<(), Error> {
        self.stream(id)?.logging = true;
        self.call::<_, ()>("proxy_on_log", id, id)?;
        self.stream(id)?.logging = false;
        self.call::<_, u32>("proxy_on_done", id, id)?;
        self.call::<_, ()>("proxy_on_delete", id, id)?;
        self.guest()?.actions.clear();
        Ok(())
    }

    /// Shows the filter what arrives on a side, until it stops, answers or everything has passed.
    fn advance(&mut self, id: u32, side: Side) -> Result<(), Error> {
        while let Some(part) = self.next_part(id, side)? {
            let (turns, phase) = (self.stream(id)?.turns, part.phase());
            let paused = self.show(id, side, part)?;
            if self.stream(id)?.turns != turns {
                return self.turned(id, side);
            }
            self.after(id, side, phase, paused)?;
        }
        Ok(())
    }

    fn next_part(&mut self, id: u32, side: Side) -> Result<Option<Part>, Error> {
        let half = self.half(id, side)?;
        Ok(half.filter(|half| half.stop != Some(Stop::All)).and_then(|half| half.incoming.pop_front()))
    }

    /// Runs the callback for a part; whether the filter pauses.
    fn show(&mut self, id: u32, side: Side, part: Part) -> Result<bool, Error> {
        let half = self.half(id, side)?.ok_or_else(|| missing("such half of the stream"))?;
        let callbacks = side.callbacks();
        let action = match part {
            Part::Headers { end } => {
                half.headers_visible = true;
                let count = abi_size(half.headers.len());
                self.call(callbacks.headers, id, (id, count, u32::from(end)))?
            }
            Part::Data { chunk, end } => {
                let size = abi_size(half.body.show(chunk));
                self.call(callbacks.body, id, (id, size, u32::from(end)))?
            }
            Part::Trailers => {
                half.trailers_visible = true;
                let count = abi_size(half.trailers.as_ref().map_or(0, Headers::len));
                self.call(callbacks.trailers, id, (id, count))?
            }
        };
        self.settle()?;
        Ok(action.unwrap_or(CONTINUE) != CONTINUE)
    }

    fn after(&mut self, id: u32, side: Side, phase: Phase, paused: bool) -> Result<(), Error> {
        let stop = if self.stream(id)?.stop_single { Stop::Single } else { Stop::All };
        let Some(half) = self.half(id, side)? else {
            return Ok(());
        };
        let resumed = std::mem::take(&mut half.resume);
        if paused && !resumed {
            half.pause(phase, stop);
        } else {
            half.pass(phase);
        }
        Ok(())
    }

    /// The filter has answered or reset the stream: the request goes no further, and its answer starts.
    fn turned(&mut self, id: u32, side: Side) -> Result<(), Error> {
        let stream = self.stream(id)?;
        stream.request.incoming.clear();
        if side == Side::Request && !stream.reset {
            return self.advance(id, Side::Response);
        }
        Ok(())
    }

    fn stream(&mut self, id: u32) -> Result<&mut StreamContext, Error> {
        self.guest()?.stream(id).ok_or_else(|| missing("such stream"))
    }

    fn half(&mut self, id: u32, side: Side) -> Result<Option<&mut Half>, Error> {
        Ok(self.stream(id)?.half(side))
    }
}

/// `proxy_action_t`; anything else stops the iteration.
const CONTINUE: u32 = 0;

impl Half {
    /// After the headers what follows may wait too; what the filter has not let pass of a body is buffered.
    fn pause(&mut self, phase: Phase, after_headers: Stop) {
        self.stop = Some(if phase == Phase::Headers { after_headers } else { Stop::Single });
        if phase == Phase::Data {
            self.body.hold();
        }
    }

    /// What the filter saw goes on, with what it held before. Headers that it held stay visible.
    fn pass(&mut self, phase: Phase) {
        match phase {
            Phase::Headers => self.headers_visible = false,
            Phase::Data => {}
            Phase::Trailers => self.trailers_visible = false,
        }
        self.stop = None;
        self.body.pass();
    }
}

fn outcome(stream: StreamContext) -> Outcome {
    if stream.reset {
        return Outcome::Reset;
    }
    let Some(answered) = stream.response else {
        return Outcome::Paused(Side::Request);
    };
    if !answered.is_done() {
        return Outcome::Paused(Side::Response);
    }
    let response = Response { headers: answered.headers, body: answered.body.passed };
    match stream.sent {
        Some(sent) => Outcome::LocalReply(LocalReply {
            status: sent.status,
            headers: response.headers,
            body: response.body,
            grpc_status: sent.grpc_status,
            details: sent.details,
        }),
        None => Outcome::Continued(Continued {
            headers: stream.request.headers,
            body: stream.request.body.passed,
            trailers: stream.request.trailers,
            response,
        }),
    }
}
