//! Foreign functions: what a host offers by name beside the ABI.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Status, lock};

type Function = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync>;

/// The functions of a [`Host`](super::Host), and how often each was called. None is there at the start.
#[derive(Default)]
pub struct ForeignFunctions(Mutex<BTreeMap<String, (Option<Function>, u64)>>);

impl ForeignFunctions {
    /// Offers a function: from the argument's bytes to the result's, or the status the module gets instead.
    pub fn register(&self, name: &str, function: impl Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync + 'static) {
        lock(&self.0).entry(name.to_owned()).or_default().0 = Some(Arc::new(function));
    }

    /// Takes a function away; a module that calls it gets [`Status::NotFound`].
    pub fn remove(&self, name: &str) {
        lock(&self.0).entry(name.to_owned()).or_default().0 = None;
    }

    /// How often modules have called the name, there or not.
    pub fn calls(&self, name: &str) -> u64 {
        lock(&self.0).get(name).map_or(0, |(_, calls)| *calls)
    }

    pub(crate) fn call(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
        let function = self.count(name).ok_or(Status::NotFound)?;
        function(argument)
    }

    fn count(&self, name: &str) -> Option<Function> {
        let mut functions = lock(&self.0);
        let (function, calls) = functions.entry(name.to_owned()).or_default();
        *calls += 1;
        function.clone()
    }
}
