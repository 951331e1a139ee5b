//! One HTTP stream as Envoy's filter chain keeps it: two halves, each with what the filter may see of it just now.
//!
//! A map can be read only in its own callback and, when that paused, from then on; the access log sees the headers
//! again. A body that is paused is buffered, and the filter sees all of it each time; else it sees one chunk at a time.

use std::collections::{BTreeMap, VecDeque};

use super::headers::Headers;
use super::local_reply::Sent;
use super::properties::Properties;
use super::request::{Request, Response};

/// The half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the caller to the upstream.
    Request,
    /// From the upstream, or from a filter, to the caller.
    Response,
}

/// What arrives next.
#[derive(Debug)]
pub(crate) enum Part {
    Headers { end: bool },
    Data { chunk: Vec<u8>, end: bool },
    Trailers,
}

/// Which callback a part goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Headers,
    Data,
    Trailers,
}

impl Part {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Headers { .. } => Phase::Headers,
            Self::Data { .. } => Phase::Data,
            Self::Trailers => Phase::Trailers,
        }
    }
}

/// Where the filter has stopped the iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What follows is still shown to this filter.
    Single,
    /// What follows waits.
    All,
}

/// The buffer that the filter sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    #[default]
    Nothing,
    Chunk,
    Buffer,
}

#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) view: View,
    pub(crate) chunk: Vec<u8>,
    pub(crate) buffer: Vec<u8>,
    /// What has left this filter.
    pub(crate) passed: Vec<u8>,
}

impl Body {
    pub(crate) fn seen(&mut self) -> Option<&mut Vec<u8>> {
        match self.view {
            View::Nothing => None,
            View::Chunk => Some(&mut self.chunk),
            View::Buffer => Some(&mut self.buffer),
        }
    }

    /// Shows a chunk: behind what is buffered, or alone.
    pub(crate) fn show(&mut self, chunk: Vec<u8>) -> usize {
        if self.view == View::Buffer {
            self.buffer.extend(chunk);
            return self.buffer.len();
        }
        self.view = View::Chunk;
        self.chunk = chunk;
        self.chunk.len()
    }

    pub(crate) fn hold(&mut self) {
        self.buffer.append(&mut self.chunk);
        self.view = View::Buffer;
    }

    pub(crate) fn pass(&mut self) {
        self.passed.append(&mut self.buffer);
        self.passed.append(&mut self.chunk);
        self.view = View::Nothing;
    }
}

#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) headers: Headers,
    pub(crate) headers_visible: bool,
    pub(crate) body: Body,
    pub(crate) trailers: Option<Headers>,
    pub(crate) trailers_visible: bool,
    pub(crate) incoming: VecDeque<Part>,
    pub(crate) stop: Option<Stop>,
    /// The module asked to go on.
    pub(crate) resume: bool,
}

impl Half {
    fn new(headers: Headers, chunks: Vec<Vec<u8>>, trailers: Option<Headers>) -> Self {
        let mut incoming = VecDeque::from([Part::Headers { end: chunks.is_empty() && trailers.is_none() }]);
        let last = chunks.len().checked_sub(1).filter(|_| trailers.is_none());
        incoming.extend(chunks.into_iter().enumerate().map(|(i, chunk)| Part::Data { chunk, end: last == Some(i) }));
        incoming.extend(trailers.iter().map(|_| Part::Trailers));
        Self {
            headers,
            headers_visible: false,
            body: Body::default(),
            trailers,
            trailers_visible: false,
            incoming,
            stop: None,
            resume: false,
        }
    }

    pub(crate) fn hide(&mut self) {
        (self.headers_visible, self.trailers_visible) = (false, false);
        if self.body.view == View::Chunk {
            self.body.view = View::Nothing;
        }
    }

    /// Goes on after a stop. What waited comes to the filter as one chunk, or passes it by when it was seen.
    pub(crate) fn go_on(&mut self) {
        if self.stop.take() == Some(Stop::All) {
            self.join_incoming();
        }
        self.body.pass();
    }

    fn join_incoming(&mut self) {
        let (mut joined, mut ended, mut some) = (Vec::new(), false, false);
        self.incoming.retain_mut(|part| {
            let Part::Data { chunk, end } = part else {
                return true;
            };
            joined.append(chunk);
            (ended, some) = (ended | *end, true);
            false
        });
        if some {
            self.incoming.push_front(Part::Data { chunk: joined, end: ended });
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stop.is_none() && self.incoming.is_empty()
    }
}

/// What the host keeps of a stream's context.
#[derive(Debug)]
pub(crate) struct StreamContext {
    /// The root's context id.
    pub(crate) root: u32,
    pub(crate) stop_single: bool,
    pub(crate) properties: Properties,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    pub(crate) request: Half,
    pub(crate) response: Option<Half>,
    pub(crate) upstream: Response,
    pub(crate) sent: Option<Sent>,
    pub(crate) reset: bool,
    /// Counts the replies and resets: whoever runs a callback must look whether it turned the stream.
    pub(crate) turns: u32,
    /// The access log's turn: all headers can be read.
    pub(crate) logging: bool,
}

impl StreamContext {
    pub(crate) fn new(root: u32, stop_single: bool, request: Request) -> Self {
        Self {
            root,
            stop_single,
            properties: request.properties,
            filter_state: BTreeMap::new(),
            request: Half::new(request.headers, request.chunks, request.trailers),
            response: None,
            upstream: request.upstream,
            sent: None,
            reset: false,
            turns: 0,
            logging: false,
        }
    }

    pub(crate) fn half(&mut self, side: Side) -> Option<&mut Half> {
        match side {
            Side::Request => Some(&mut self.request),
            Side::Response => self.response.as_mut(),
        }
    }

    /// The upstream's answer, in HTTP/1.1's chunks.
    pub(crate) fn respond(&mut self) {
        let Response { headers, body } = self.upstream.clone();
        let chunks = if body.is_empty() { vec![] } else { vec![body, vec![]] };
        self.response = Some(Half::new(headers, chunks, None));
    }

    /// The module's own answer. It passes the filter's response callbacks, unless a response was already on its way.
    pub(crate) fn reply(&mut self, sent: Sent) {
        if self.sent.is_some() {
            return;
        }
        match &self.response {
            None => self.start_reply(sent),
            Some(started) if started.body.passed.is_empty() && started.body.view == View::Nothing => {
                self.start_reply(sent);
                self.response.as_mut().map(Half::pass_by);
            }
            Some(_) => self.reset(),
        }
    }

    /// Ends the stream without an answer.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.turns += 1;
    }

    fn start_reply(&mut self, sent: Sent) {
        let Response { headers, body } = sent.response_to(&self.request.headers);
        let chunks = if body.is_empty() { vec![] } else { vec![body] };
        self.response = Some(Half::new(headers, chunks, None));
        self.sent = Some(sent);
        self.turns += 1;
    }
}

impl Half {
    fn pass_by(&mut self) {
        for part in self.incoming.drain(..) {
            if let Part::Data { mut chunk, .. } = part {
                self.body.passed.append(&mut chunk);
            }
        }
    }
}
