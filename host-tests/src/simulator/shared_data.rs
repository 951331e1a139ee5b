//! Shared data: one map per vm_id, shared by all VMs, roots and listeners of the process, behind one lock.
//!
//! The rules are Envoy's (proxy-wasm-cpp-host, `shared_data.cc`): a CAS that is not the value's is a mismatch; 0 writes
//! unconditionally; a new key ignores the CAS; values are never deleted, but go with the last VM of the vm_id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Status, lock};

/// The shared data of a process. Tests may read and forge it, as any other plugin of the Envoy could.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Arc<Mutex<Maps>>);

#[derive(Debug, Default)]
struct Maps {
    /// The last CAS given out; one sequence for all keys of all vm_ids, never 0.
    last_cas: u32,
    values: BTreeMap<String, BTreeMap<String, (Vec<u8>, u32)>>,
    users: BTreeMap<String, usize>,
}

impl SharedData {
    /// A value and its CAS.
    pub fn get(&self, vm_id: &str, key: &str) -> Option<(Vec<u8>, u32)> {
        lock(&self.0).values.get(vm_id)?.get(key).cloned()
    }

    /// Writes a value, as a plugin would.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] when `cas` is neither `None` nor that of the value that is there.
    pub fn set(&self, vm_id: &str, key: &str, value: &[u8], cas: Option<u32>) -> Result<(), Status> {
        let mut maps = lock(&self.0);
        let stale = |found: &(Vec<u8>, u32)| cas.is_some_and(|cas| cas != 0 && cas != found.1);
        if maps.values.get(vm_id).and_then(|map| map.get(key)).is_some_and(stale) {
            return Err(Status::CasMismatch);
        }
        maps.last_cas = maps.last_cas.checked_add(1).unwrap_or(1);
        let written = (value.to_vec(), maps.last_cas);
        maps.values.entry(vm_id.to_owned()).or_default().insert(key.to_owned(), written);
        Ok(())
    }

    /// The keys of a vm_id, sorted.
    pub fn keys(&self, vm_id: &str) -> Vec<String> {
        lock(&self.0).values.get(vm_id).map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }

    /// Keeps the vm_id's values alive until the handle is dropped.
    pub(crate) fn hold(&self, vm_id: &str) -> VmIdHandle {
        *lock(&self.0).users.entry(vm_id.to_owned()).or_default() += 1;
        VmIdHandle { data: self.clone(), vm_id: vm_id.to_owned() }
    }
}

/// A VM's share in its vm_id's values.
#[derive(Debug)]
pub(crate) struct VmIdHandle {
    data: SharedData,
    vm_id: String,
}

impl Drop for VmIdHandle {
    fn drop(&mut self) {
        let mut maps = lock(&self.data.0);
        let Some(users) = maps.users.get_mut(&self.vm_id) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            maps.users.remove(&self.vm_id);
            maps.values.remove(&self.vm_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_rules() {
        let data = SharedData::default();
        let cas = || data.get("vm", "k").unwrap().1;
        assert_eq!(data.get("vm", "k"), None);
        assert_eq!(data.set("vm", "k", b"a", Some(77)), Ok(()), "a new key ignores the CAS");
        let first = cas();
        assert_eq!(data.set("vm", "k", b"b", Some(first + 1)), Err(Status::CasMismatch));
        assert_eq!(data.set("vm", "k", b"b", Some(first)), Ok(()));
        assert_eq!(data.set("vm", "k", b"c", Some(first)), Err(Status::CasMismatch), "a CAS is good once");
        assert_eq!(data.set("vm", "k", b"c", Some(0)), Ok(()), "0 is unconditional");
        assert_eq!(data.set("vm", "k", b"", None), Ok(()));
        assert_eq!(data.get("vm", "k"), Some((vec![], cas())), "an empty value is there");
        assert_eq!(data.keys("vm"), ["k"]);
        assert_eq!(data.get("other", "k"), None, "vm_ids do not see each other");
    }

    #[test]
    fn values_go_with_the_last_vm() {
        let data = SharedData::default();
        let (first, second) = (data.hold("vm"), data.hold("vm"));
        data.set("vm", "k", b"v", None).unwrap();
        drop(first);
        assert!(data.get("vm", "k").is_some());
        drop(second);
        assert_eq!(data.get("vm", "k"), None);
    }
}
