//! The process: what all VMs of one Envoy share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::clock::Clock;
use super::foreign::ForeignFunctions;
use super::lock;
use super::log::Log;
use super::metrics::Metrics;
use super::properties::{Properties, PropertyPath};
use super::shared_data::SharedData;

/// One Envoy process. Clones are the same process; each test makes its own.
#[derive(Clone)]
pub struct Host(Arc<Process>);

struct Process {
    clock: Clock,
    shared_data: SharedData,
    metrics: Metrics,
    foreign: ForeignFunctions,
    log: Log,
    clusters: Mutex<BTreeSet<String>>,
    properties: Mutex<Properties>,
    seeds: Mutex<fastrand::Rng>,
    vms: AtomicU32,
}

impl Host {
    /// A process without clusters, foreign functions and node metadata, always with the same randomness.
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// The same, with other randomness. Each VM has its own, which follows from the seed and the order of their starts.
    pub fn with_seed(seed: u64) -> Self {
        Self(Arc::new(Process {
            clock: Clock::new(),
            shared_data: SharedData::default(),
            metrics: Metrics::default(),
            foreign: ForeignFunctions::default(),
            log: Log::new(),
            clusters: Mutex::default(),
            properties: Mutex::default(),
            seeds: Mutex::new(fastrand::Rng::with_seed(seed)),
            vms: AtomicU32::new(0),
        }))
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Shared data of all vm_ids.
    pub fn shared_data(&self) -> &SharedData {
        &self.0.shared_data
    }

    /// Metrics of all VMs.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Foreign functions; none at the start.
    pub fn foreign(&self) -> &ForeignFunctions {
        &self.0.foreign
    }

    /// What the modules have logged.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Declares a cluster. A call to one that is not declared gets [`Status::BadArgument`](super::Status::BadArgument).
    pub fn add_cluster(&self, name: &str) {
        lock(&self.0.clusters).insert(name.to_owned());
    }

    /// Takes a cluster away.
    pub fn remove_cluster(&self, name: &str) {
        lock(&self.0.clusters).remove(name);
    }

    /// Sets a property that is there in every callback; those of a connection or request belong to the
    /// [`Request`](super::Request).
    pub fn set_property(&self, path: impl Into<PropertyPath>, value: impl AsRef<[u8]>) {
        lock(&self.0.properties).insert(path.into(), value.as_ref().to_vec());
    }

    /// Sets a string in the node's metadata, where Envoy 1.40 has it: `xds.node.metadata.NAME`. (`node.metadata.NAME`,
    /// its place in old Envoys, is not found in 1.40.)
    pub fn set_node_metadata(&self, name: &str, value: &str) {
        self.set_property(["xds", "node", "metadata", name], value);
    }

    pub(crate) fn property(&self, path: &PropertyPath) -> Option<Vec<u8>> {
        lock(&self.0.properties).get(path).cloned()
    }

    pub(crate) fn has_cluster(&self, name: &str) -> bool {
        lock(&self.0.clusters).contains(name)
    }

    pub(crate) fn next_seed(&self) -> u64 {
        lock(&self.0.seeds).u64(..)
    }

    pub(crate) fn next_vm(&self) -> u32 {
        self.0.vms.fetch_add(1, SeqCst)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("now", &self.0.clock.now()).finish_non_exhaustive()
    }
}
