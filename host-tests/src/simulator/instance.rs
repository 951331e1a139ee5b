//! One instance of the module: its store, and calls into it.

use wasmtime::{AsContext, Memory, Store, WasmParams, WasmResults};

use super::Error;
use super::call::ALLOCATORS;
use super::guest::Guest;
use super::module::{Module, engine};

/// Some half a minute of work: an endless loop ends as a trap, not as a test that hangs.
const FUEL: u64 = 20_000_000_000;
/// What says that a module speaks this ABI.
const ABI: &str = "proxy_abi_version_0_2_1";

pub(crate) struct Instance {
    store: Store<Guest>,
    instance: wasmtime::Instance,
    memory: Memory,
    fuel_used: u64,
}

impl Instance {
    /// Instantiates the module; the caller starts it. The reason is wasmtime's.
    pub(crate) fn new(module: &Module, guest: Guest) -> Result<Self, Error> {
        let mut store = Store::new(engine(), guest);
        store.limiter(|guest| &mut guest.limits);
        let started = store.set_fuel(FUEL).and_then(|()| module.ready().instantiate(&mut store));
        let instance = started.map_err(|error| Error::Trapped {
            function: "the start of the instance".to_owned(),
            reason: format!("{error:#}"),
            log: Vec::new(),
        })?;
        let memory = instance.get_memory(&mut store, "memory").ok_or(Error::MissingExport { name: "memory" })?;
        let this = Self { store, instance, memory, fuel_used: 0 };
        this.check_exports()
    }

    fn check_exports(mut self) -> Result<Self, Error> {
        let mut has = |name| self.instance.get_func(&mut self.store, name).is_some();
        if !has(ABI) {
            return Err(Error::MissingExport { name: ABI });
        }
        if !ALLOCATORS.into_iter().any(has) {
            return Err(Error::MissingExport { name: ALLOCATORS[1] });
        }
        Ok(self)
    }

    /// Runs an export for a context; `None` when the module has none of that name.
    pub(crate) fn call<P, R>(&mut self, function: &str, context: u32, parameters: P) -> wasmtime::Result<Option<R>>
    where
        P: WasmParams,
        R: WasmResults,
    {
        let Some(export) = self.instance.get_func(&mut self.store, function) else {
            return Ok(None);
        };
        self.store.data_mut().enter(context);
        self.store.set_fuel(FUEL)?;
        let result = export.typed::<P, R>(&self.store)?.call(&mut self.store, parameters);
        self.fuel_used += FUEL - self.store.get_fuel()?;
        self.store.data_mut().enter(0);
        result.map(Some)
    }

    pub(crate) fn guest(&mut self) -> &mut Guest {
        self.store.data_mut()
    }

    pub(crate) fn peek(&self) -> &Guest {
        self.store.data()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.data_size(self.store.as_context())
    }

    pub(crate) fn fuel_used(&self) -> u64 {
        self.fuel_used
    }
}
