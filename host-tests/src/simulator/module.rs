//! The module under test, compiled once: a process keeps it in memory, and all processes share the compiled file.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::{env, fmt, fs, process};

use wasmtime::{Config, Engine, ExternType, InstancePre, Linker};

use super::guest::Guest;
use super::{Error, hostcalls, lock, wasi};

/// About what V8 gives a module in Envoy; wasmtime's default is half of it.
const STACK_BYTES: usize = 1024 * 1024;

/// A compiled module, ready to be started any number of times.
#[derive(Clone)]
pub struct Module {
    name: String,
    ready: InstancePre<Guest>,
}

impl Module {
    /// The built filter: the file that `SCBTE_WASM` names, else `target/scbte-filter.wasm` in the workspace.
    ///
    /// # Errors
    /// [`Error::NoModule`] says what to do; the others as for [`Module::from_file`].
    pub fn built() -> Result<Self, Error> {
        let path = env::var_os("SCBTE_WASM").map_or_else(|| target().join("scbte-filter.wasm"), PathBuf::from);
        Self::from_file(&path)
    }

    /// A module from a file. It is read once in a process, so a test run sees one module only.
    ///
    /// # Errors
    /// When there is no such file, or not a module that Envoy would load.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        static LOADED: Mutex<BTreeMap<PathBuf, Module>> = Mutex::new(BTreeMap::new());
        // Held while compiling, so that parallel tests do it once.
        let mut loaded = lock(&LOADED);
        if let Some(module) = loaded.get(path) {
            return Ok(module.clone());
        }
        let bytes = fs::read(path).map_err(|_| Error::NoModule { path: path.to_owned() })?;
        let name = path.display().to_string();
        let compiled = compile_or_reuse(&bytes).map_err(|error| invalid(&name, &error))?;
        let module = Self::link(name, &compiled)?;
        loaded.insert(path.to_owned(), module.clone());
        Ok(module)
    }

    /// A module from its bytes.
    ///
    /// # Errors
    /// When it is not a module that Envoy would load.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let compiled = wasmtime::Module::from_binary(engine(), bytes).map_err(|error| invalid(name, &error))?;
        Self::link(name.to_owned(), &compiled)
    }

    pub(crate) fn ready(&self) -> &InstancePre<Guest> {
        &self.ready
    }

    fn link(name: String, compiled: &wasmtime::Module) -> Result<Self, Error> {
        let failed = |error| invalid(&name, &error);
        let mut linker = Linker::new(engine());
        hostcalls::add_to(&mut linker).map_err(failed)?;
        wasi::add_to(&mut linker).map_err(failed)?;
        check_imports(&linker, compiled)?;
        let ready = linker.instantiate_pre(compiled).map_err(failed)?;
        Ok(Self { name, ready })
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One for the process: modules and instances of different engines do not mix.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true).max_wasm_stack(STACK_BYTES);
        Engine::new(&config).expect("wasmtime runs on this machine")
    })
}

fn check_imports(linker: &Linker<Guest>, module: &wasmtime::Module) -> Result<(), Error> {
    let mut store = wasmtime::Store::new(engine(), Guest::nowhere());
    let offered: BTreeSet<_> = linker.iter(&mut store).map(|(module, name, _)| (module, name)).collect();
    let names: Vec<_> = module
        .imports()
        .filter(|import| !offered.contains(&(import.module(), import.name())))
        .map(|import| format!("`{}.{}` ({})", import.module(), import.name(), describe(&import.ty())))
        .collect();
    if names.is_empty() { Ok(()) } else { Err(Error::UnknownImports { names }) }
}

fn describe(ty: &ExternType) -> String {
    ty.func().map_or_else(|| "not a function".to_owned(), ToString::to_string)
}

fn invalid(name: &str, error: &wasmtime::Error) -> Error {
    Error::InvalidModule { name: name.to_owned(), reason: format!("{error:#}") }
}

fn compile_or_reuse(bytes: &[u8]) -> wasmtime::Result<wasmtime::Module> {
    let path = compiled_path(bytes);
    // SAFETY: only `keep` writes here, and wasmtime refuses a file of another version or configuration.
    if let Ok(module) = unsafe { wasmtime::Module::deserialize_file(engine(), &path) } {
        return Ok(module);
    }
    let module = wasmtime::Module::from_binary(engine(), bytes)?;
    // Without the file the next process compiles again; nothing else depends on it.
    _ = keep(&module, &path);
    Ok(module)
}

fn compiled_path(bytes: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    target().join("simulator").join(format!("{:016x}.cwasm", hasher.finish()))
}

/// Written beside and renamed, so that another process never sees half of it.
fn keep(module: &wasmtime::Module, path: &Path) -> wasmtime::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension(process::id().to_string());
    fs::write(&unfinished, module.serialize()?)?;
    fs::rename(&unfinished, path)?;
    Ok(())
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}
