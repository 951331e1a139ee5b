//! One worker's VM: its instance, its root contexts, and what wakes them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{WasmParams, WasmResults};

use super::Error;
use super::guest::{Action, Context, Guest};
use super::host::Host;
use super::http_call::{HttpAnswer, HttpCall};
use super::instance::Instance;
use super::module::Module;
use super::root::{Plugin, Root, RootContext};
use super::shared_data::VmIdHandle;
use super::stream::Side;

/// What plugins must agree in to share a VM, beside the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmConfig {
    /// Whose shared data it is; Istio's WasmPlugin leaves it empty.
    pub vm_id: String,
    /// The VM's own configuration, for `proxy_on_vm_start`.
    pub configuration: Vec<u8>,
}

impl VmConfig {
    /// A configuration with this vm_id and nothing else.
    pub fn with_vm_id(vm_id: &str) -> Self {
        Self { vm_id: vm_id.to_owned(), configuration: Vec::new() }
    }
}

/// A VM. Envoy has one on each worker and one on the main thread, which differ only in that no requests come to the
/// latter's: start as many as the test needs on one [`Host`].
///
/// Any method that runs the module may end in [`Error::Trapped`]; from then on the VM is dead until
/// [`Vm::reload`]. Dropping the last VM of a vm_id drops its shared data.
pub struct Vm {
    host: Host,
    module: Module,
    config: VmConfig,
    number: u32,
    roots: Vec<Configured>,
    instance: Option<Instance>,
    generation: u32,
    fuel_used: u64,
    _shared_data: VmIdHandle,
}

struct Configured {
    plugin: Arc<Plugin>,
    /// The context's id in the current instance.
    context: Option<u32>,
    deleted: bool,
}

impl Vm {
    /// Starts a VM: instantiates the module and runs `_initialize`, in which it may not yet call Envoy.
    ///
    /// # Errors
    /// When the module lacks an export, or traps.
    pub fn start(host: &Host, module: &Module, config: &VmConfig) -> Result<Self, Error> {
        let mut vm = Self {
            host: host.clone(),
            module: module.clone(),
            config: config.clone(),
            number: host.next_vm(),
            roots: Vec::new(),
            instance: None,
            generation: 0,
            fuel_used: 0,
            _shared_data: host.shared_data().hold(&config.vm_id),
        };
        vm.instantiate()?;
        Ok(vm)
    }

    /// Creates a root context for the plugin and configures it: `proxy_on_context_create`, `proxy_on_vm_start`,
    /// `proxy_on_configure`. A plugin that is configured already keeps its root context, and nothing runs.
    ///
    /// # Errors
    /// [`Error::ConfigurationRefused`]: the root context is gone again; all others stay.
    pub fn configure(&mut self, plugin: &Plugin) -> Result<Root, Error> {
        let same = |root: &Configured| root.context.is_some() && *root.plugin == *plugin;
        if let Some(found) = self.roots.iter().position(same) {
            return Ok(Root(found));
        }
        let plugin = Arc::new(plugin.clone());
        let context = self.measured(|vm| vm.create_root(&plugin))?;
        self.roots.push(Configured { plugin, context: Some(context), deleted: false });
        Ok(Root(self.roots.len() - 1))
    }

    /// What Envoy does before it accepts a listener: starts and configures a VM of its own, and throws it away without
    /// `proxy_on_done`. Whatever the module did to the process stays.
    ///
    /// # Errors
    /// As for [`Vm::configure`].
    pub fn canary(&self, plugin: &Plugin) -> Result<(), Error> {
        Self::start(&self.host, &self.module, &self.config)?.configure(plugin).map(drop)
    }

    /// Ends a root context, as Envoy does after a reconfiguration: `proxy_on_done`, `proxy_on_delete`; its unanswered
    /// calls are forgotten. False when the module asked to wait; then it is deleted when it calls `proxy_done`.
    ///
    /// # Errors
    /// [`Error::InUse`] while a stream of it is open.
    pub fn delete_root(&mut self, root: Root) -> Result<bool, Error> {
        let (context, plugin) = self.plugin_of(root)?;
        let streams = self.guest()?.streams().filter(|(_, stream)| stream.root == context).count();
        if streams > 0 {
            return Err(Error::InUse { root_id: plugin.root_id.clone(), streams });
        }
        self.measured(|vm| vm.end_root(context))
    }

    /// Runs `proxy_on_tick`. Time does not pass by itself: see [`Clock::advance`](super::Clock::advance).
    ///
    /// # Errors
    /// [`Error::NoTickPeriod`] when the root context has not asked for ticks.
    pub fn tick(&mut self, root: Root) -> Result<(), Error> {
        let (context, plugin) = self.plugin_of(root)?;
        if self.tick_period(root).is_none() {
            return Err(Error::NoTickPeriod { root_id: plugin.root_id.clone() });
        }
        self.measured(|vm| vm.call::<_, ()>("proxy_on_tick", context, context).and_then(|_| vm.follow_up()))
    }

    /// Ticks each root context that has asked for ticks, in the order they were configured.
    ///
    /// # Errors
    /// When one traps.
    pub fn tick_all(&mut self) -> Result<(), Error> {
        let roots = (0..self.roots.len()).map(Root);
        let waiting: Vec<_> = roots.filter(|root| self.tick_period(*root).is_some()).collect();
        waiting.into_iter().try_for_each(|root| self.tick(root))
    }

    /// The period that the root context has asked for.
    pub fn tick_period(&self, root: Root) -> Option<Duration> {
        let context = self.roots.get(root.0)?.context?;
        self.instance.as_ref()?.peek().roots().find(|(id, _)| *id == context)?.1.tick_period
    }

    /// The calls that wait for an answer, in the order of their tokens.
    pub fn http_calls(&self) -> Vec<HttpCall> {
        let roots = self.instance.iter().flat_map(|instance| instance.peek().roots());
        let mut calls: Vec<_> = roots.flat_map(|(_, root)| root.calls.values().cloned()).collect();
        calls.sort_by_key(|call| call.token);
        calls
    }

    /// Ends a call: runs `proxy_on_http_call_response`.
    ///
    /// # Errors
    /// [`Error::Missing`] when no such call waits.
    pub fn answer(&mut self, token: u32, answer: HttpAnswer) -> Result<(), Error> {
        let calls = self.http_calls();
        let call = calls.iter().find(|call| call.token == token).ok_or_else(|| missing("call with this token"))?;
        self.measured(|vm| vm.end_call(call, answer))
    }

    /// What FAIL_RELOAD does after its back-off, also when nothing has trapped: a new instance, all root contexts
    /// configured again. Streams and calls of the old instance are lost, shared data and metrics are not.
    ///
    /// # Errors
    /// When the module does not start again, or refuses what it had accepted.
    pub fn reload(&mut self) -> Result<(), Error> {
        self.roots.iter_mut().for_each(|root| root.context = None);
        self.instantiate()?;
        let wanted: Vec<_> = self.roots.iter().enumerate().filter(|(_, root)| !root.deleted).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(index, root)| (index, Arc::clone(&root.plugin))).collect();
        for (index, plugin) in wanted {
            self.roots[index].context = Some(self.create_root(&plugin)?);
        }
        Ok(())
    }

    /// Whether the VM runs.
    pub fn is_alive(&self) -> bool {
        self.instance.is_some()
    }

    /// The size of the module's memory; 0 when the VM is dead.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// About how many instructions the last request, tick, answer or configuration took: wasmtime's fuel, the same for
    /// the same module and input. Work of the host does not count.
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// How often the module has asked for memory since it started; `None` unless it was built with `test-hooks`.
    ///
    /// # Errors
    /// When the VM is dead.
    pub fn allocations(&mut self) -> Result<Option<u64>, Error> {
        self.call("scbte_allocations", 0, ())
    }

    /// The process.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The number under which the log knows this VM.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// What the rest of the simulator needs.
impl Vm {
    pub(crate) fn instance(&mut self) -> Result<&mut Instance, Error> {
        self.instance.as_mut().ok_or(Error::Dead)
    }

    pub(crate) fn guest(&mut self) -> Result<&mut Guest, Error> {
        Ok(self.instance()?.guest())
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn plugin_of(&self, root: Root) -> Result<(u32, Arc<Plugin>), Error> {
        if !self.is_alive() {
            return Err(Error::Dead);
        }
        let live = self.roots.get(root.0).and_then(|root| Some((root.context?, Arc::clone(&root.plugin))));
        live.ok_or_else(|| missing("such root context"))
    }

    pub(crate) fn set_fuel_used(&mut self, fuel: u64) {
        self.fuel_used = fuel;
    }

    /// Runs an export; a trap kills the VM.
    pub(crate) fn call<P, R>(&mut self, function: &str, context: u32, parameters: P) -> Result<Option<R>, Error>
    where
        P: WasmParams,
        R: WasmResults,
    {
        self.instance()?.call(function, context, parameters).map_err(|error| {
            self.instance = None;
            let reason = format!("{:#}", error.root_cause());
            Error::Trapped { function: function.to_owned(), reason, log: self.host.log().tail(self.number) }
        })
    }

    /// Runs something of which [`Vm::fuel_used`] shall tell.
    pub(crate) fn measured<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let before = self.instance()?.fuel_used();
        let result = run(self);
        if let Some(instance) = &self.instance {
            self.fuel_used = instance.fuel_used() - before;
        }
        result
    }

    /// Does what the module's hostcalls have asked for.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        while let Some(action) = self.guest()?.actions.pop_front() {
            self.act(action)?;
        }
        Ok(())
    }

    /// The same after a callback that is no stream's: streams that may go on do.
    pub(crate) fn follow_up(&mut self) -> Result<(), Error> {
        self.settle()?;
        self.resume_streams()
    }

    fn act(&mut self, action: Action) -> Result<(), Error> {
        let guest = self.guest()?;
        match action {
            Action::Reply { stream, sent } => _ = guest.stream(stream).map(|stream| stream.reply(sent)),
            Action::Reset { stream } => _ = guest.stream(stream).map(super::stream::StreamContext::reset),
            Action::Continue { stream, side } => _ = guest.stream(stream).map(|stream| stream.ask_to_resume(side)),
            Action::Done { root } => self.remove_root(root)?,
        }
        Ok(())
    }

    fn instantiate(&mut self) -> Result<(), Error> {
        self.generation += 1;
        let guest = Guest::new(&self.host, self.number, &self.config.vm_id, &self.config.configuration);
        self.instance = Some(Instance::new(&self.module, guest)?);
        // A reactor starts with `_initialize` (and `main`, where it has one), a command with `_start`.
        if self.call::<(), ()>("_initialize", 0, ())?.is_none() {
            self.call::<(), ()>("_start", 0, ())?;
        } else {
            self.call::<(u32, u32), u32>("main", 0, (0, 0))?;
        }
        self.guest()?.starting = false;
        Ok(())
    }

    fn create_root(&mut self, plugin: &Arc<Plugin>) -> Result<u32, Error> {
        let id = self.guest()?.add(Context::Root(RootContext::new(Arc::clone(plugin))));
        let configured = self.configure_root(id, plugin);
        if configured.is_err() && self.is_alive() {
            self.remove_root(id)?;
        }
        configured.map(|()| id)
    }

    fn configure_root(&mut self, id: u32, plugin: &Plugin) -> Result<(), Error> {
        let root_id = plugin.root_id.clone();
        self.call::<_, ()>("proxy_on_context_create", id, (id, 0u32))?;
        self.set_configuring(id, false)?;
        let sizes = [self.config.configuration.len(), plugin.configuration.len()].map(abi_size);
        if self.call("proxy_on_vm_start", id, (id, sizes[0]))? == Some(0u32) {
            return Err(Error::StartRefused { root_id, log: self.host.log().tail(self.number) });
        }
        self.set_configuring(id, true)?;
        let accepted: Option<u32> = self.call("proxy_on_configure", id, (id, sizes[1]))?;
        self.set_configuring(id, false)?;
        self.follow_up()?;
        if accepted == Some(0) {
            return Err(Error::ConfigurationRefused { root_id, log: self.host.log().tail(self.number) });
        }
        Ok(())
    }

    fn set_configuring(&mut self, id: u32, configuring: bool) -> Result<(), Error> {
        let root = self.guest()?.root(id).ok_or_else(|| missing("such root context"))?;
        root.configuring = configuring;
        Ok(())
    }

    fn end_root(&mut self, context: u32) -> Result<bool, Error> {
        if let Some(root) = self.guest()?.root(context) {
            root.finishing = true;
        }
        let done = self.call("proxy_on_done", context, context)? != Some(0u32);
        self.settle()?;
        if done {
            self.remove_root(context)?;
        }
        Ok(done)
    }

    fn remove_root(&mut self, context: u32) -> Result<(), Error> {
        for root in self.roots.iter_mut().filter(|root| root.context == Some(context)) {
            (root.context, root.deleted) = (None, true);
        }
        if self.guest()?.root(context).is_some() {
            self.call::<_, ()>("proxy_on_delete", context, context)?;
            self.guest()?.remove(context);
        }
        Ok(())
    }

    fn end_call(&mut self, call: &HttpCall, answer: HttpAnswer) -> Result<(), Error> {
        let count = |headers: &Option<super::Headers>| abi_size(headers.as_ref().map_or(0, super::Headers::len));
        let sizes = (count(&answer.headers), abi_size(answer.body.len()), count(&answer.trailers));
        let root = self.guest()?.root(call.context).ok_or_else(|| missing("root context of this call"))?;
        root.calls.remove(&call.token);
        root.answer = Some(answer);
        let parameters = (call.context, call.token, sizes.0, sizes.1, sizes.2);
        self.call::<_, ()>("proxy_on_http_call_response", call.context, parameters)?;
        if let Some(root) = self.guest()?.root(call.context) {
            root.answer = None;
        }
        self.follow_up()
    }
}

impl super::stream::StreamContext {
    fn ask_to_resume(&mut self, side: Side) {
        if let Some(half) = self.half(side) {
            half.resume = true;
        }
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("number", &self.number).field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}

pub(crate) fn abi_size(size: usize) -> u32 {
    u32::try_from(size).expect("a size within 32 bits")
}

pub(crate) fn missing(what: &str) -> Error {
    Error::Missing { what: what.to_owned() }
}
