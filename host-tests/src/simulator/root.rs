//! Plugins and their root contexts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::http_call::{HttpAnswer, HttpCall};

/// A plugin's configuration, as a listener has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) configuration: Vec<u8>,
    pub(crate) allow_on_headers_stop_iteration: bool,
}

impl Plugin {
    /// A plugin with this root_id and this configuration (JSON, for our filter), named `scbte`.
    pub fn new(root_id: &str, configuration: impl AsRef<[u8]>) -> Self {
        Self {
            name: "scbte".to_owned(),
            root_id: root_id.to_owned(),
            configuration: configuration.as_ref().to_vec(),
            allow_on_headers_stop_iteration: false,
        }
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets `allow_on_headers_stop_iteration`: without it a pause in the headers' callback holds the body back too.
    #[must_use]
    pub fn allow_on_headers_stop_iteration(mut self) -> Self {
        self.allow_on_headers_stop_iteration = true;
        self
    }
}

/// A root context of a [`Vm`](super::Vm); good over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root(pub(crate) usize);

/// What the host keeps of a root context.
#[derive(Debug)]
pub(crate) struct RootContext {
    pub(crate) plugin: Arc<Plugin>,
    /// The plugin's configuration can be read only while it is applied.
    pub(crate) configuring: bool,
    pub(crate) tick_period: Option<Duration>,
    pub(crate) calls: BTreeMap<u32, HttpCall>,
    /// The answer that the running callback may read.
    pub(crate) answer: Option<HttpAnswer>,
    /// `proxy_on_done` returned false, so `proxy_done` is awaited.
    pub(crate) finishing: bool,
}

impl RootContext {
    pub(crate) fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin, configuring: true, tick_period: None, calls: BTreeMap::new(), answer: None, finishing: false }
    }
}
