//! What a VM's store holds: its contexts, which of them runs, and what its hostcalls asked for.

use std::collections::{BTreeMap, VecDeque};

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use super::host::Host;
use super::local_reply::Sent;
use super::log::{Level, LogLine};
use super::metrics::MetricIds;
use super::root::RootContext;
use super::stream::{Side, StreamContext};

/// As much as Envoy gives a module.
const MEMORY_BYTES: usize = 1 << 30;

/// What a hostcall asked for and Envoy does only after the callback has returned.
#[derive(Debug)]
pub(crate) enum Action {
    Reply { stream: u32, sent: Sent },
    Continue { stream: u32, side: Side },
    Reset { stream: u32 },
    Done { root: u32 },
}

#[derive(Debug)]
pub(crate) enum Context {
    Root(RootContext),
    Stream(Box<StreamContext>),
}

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) host: Host,
    pub(crate) number: u32,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) random: fastrand::Rng,
    pub(crate) limits: StoreLimits,
    pub(crate) metric_ids: MetricIds,
    pub(crate) actions: VecDeque<Action>,
    /// `_initialize` may log and use WASI, but not call Envoy.
    pub(crate) starting: bool,
    contexts: BTreeMap<u32, Context>,
    last_context: u32,
    last_call: u32,
    running: u32,
    effective: Option<u32>,
}

impl Guest {
    pub(crate) fn new(host: &Host, number: u32, vm_id: &str, vm_configuration: &[u8]) -> Self {
        Self {
            host: host.clone(),
            number,
            vm_id: vm_id.to_owned(),
            vm_configuration: vm_configuration.to_vec(),
            random: fastrand::Rng::with_seed(host.next_seed()),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_BYTES).build(),
            metric_ids: MetricIds::default(),
            actions: VecDeque::new(),
            starting: true,
            contexts: BTreeMap::new(),
            last_context: 0,
            last_call: 0,
            running: 0,
            effective: None,
        }
    }

    /// For a store that never runs anything.
    pub(crate) fn nowhere() -> Self {
        Self::new(&Host::new(), 0, "", b"")
    }

    pub(crate) fn add(&mut self, context: Context) -> u32 {
        self.last_context += 1;
        self.contexts.insert(self.last_context, context);
        self.last_context
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Context> {
        self.contexts.remove(&id)
    }

    /// Makes the context the one that runs.
    pub(crate) fn enter(&mut self, id: u32) {
        (self.running, self.effective) = (id, None);
    }

    /// `proxy_set_effective_context`: hostcalls are for that context until the callback returns.
    pub(crate) fn set_effective(&mut self, id: u32) -> bool {
        let known = self.contexts.contains_key(&id);
        if known {
            self.effective = Some(id);
        }
        known
    }

    /// The context that hostcalls are for.
    pub(crate) fn current(&self) -> u32 {
        self.effective.filter(|id| self.contexts.contains_key(id)).unwrap_or(self.running)
    }

    /// The root context that hostcalls are for: the current one, or the stream's.
    pub(crate) fn current_root(&self) -> u32 {
        match self.contexts.get(&self.current()) {
            Some(Context::Stream(stream)) => stream.root,
            Some(Context::Root(_)) | None => self.current(),
        }
    }

    pub(crate) fn root(&mut self, id: u32) -> Option<&mut RootContext> {
        match self.contexts.get_mut(&id) {
            Some(Context::Root(root)) => Some(root),
            Some(Context::Stream(_)) | None => None,
        }
    }

    pub(crate) fn stream(&mut self, id: u32) -> Option<&mut StreamContext> {
        match self.contexts.get_mut(&id) {
            Some(Context::Stream(stream)) => Some(stream),
            Some(Context::Root(_)) | None => None,
        }
    }

    pub(crate) fn current_stream(&mut self) -> Option<&mut StreamContext> {
        self.stream(self.current())
    }

    pub(crate) fn roots(&self) -> impl Iterator<Item = (u32, &RootContext)> {
        self.contexts.iter().filter_map(|(id, context)| match context {
            Context::Root(root) => Some((*id, root)),
            Context::Stream(_) => None,
        })
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = (u32, &StreamContext)> {
        self.contexts.iter().filter_map(|(id, context)| match context {
            Context::Root(_) => None,
            Context::Stream(stream) => Some((*id, stream.as_ref())),
        })
    }

    /// Envoy's tokens of HTTP calls have 0 in their low two bits.
    pub(crate) fn next_call(&mut self) -> u32 {
        self.last_call += 4;
        self.last_call
    }

    pub(crate) fn log(&mut self, level: Level, message: &[u8]) {
        let root = self.current_root();
        let root_id = self.root(root).map(|root| root.plugin.root_id.clone()).unwrap_or_default();
        let message = String::from_utf8_lossy(message).into_owned();
        self.host.log().push(LogLine { level, vm: self.number, root_id, message });
    }
}
