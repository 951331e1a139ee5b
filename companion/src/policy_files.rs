//! A policy from files, folders and bundles, the way OPA lays them out.
//!
//! From a folder: `*.rego`, `*_test.rego`, `data.json` (and `.yaml`, `.yml`) at the place that its folder says, and
//! `.manifest` in the root. Names that begin with a dot are passed over, links are followed (a mounted ConfigMap is made
//! of both). A file of any other name that ends in `.json` or `.yaml`, given by itself, is data of the root. A file that
//! ends in `.tar.gz` is a bundle.

use crate::policy_bundle::{
    Bundle, BundleError, DataError, Documents, FileKind, Manifest, SignatureError, VerificationKey,
};
use scbte_core::policy::{Module, PolicySource, RegoVersion};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest file that is read.
const MAX_FILE: u64 = 32 << 20;
/// Folders inside one another.
const MAX_DEPTH: usize = 16;

/// A policy as its author laid it out.
#[derive(Debug, Default)]
pub(crate) struct PolicyFiles {
    /// The Rego files, without tests, in the order of their names in a bundle.
    pub(crate) modules: Vec<Module>,
    /// The tests.
    pub(crate) tests: Vec<Module>,
    /// The data document.
    pub(crate) data: Map<String, Value>,
    /// What `.manifest` says.
    pub(crate) manifest: Manifest,
    /// Where each module is, by its name in a bundle.
    places: BTreeMap<String, String>,
}

/// Why a policy cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The operating system says no.
    #[error("`{path}`: {source}", path = path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Longer than any policy.
    #[error("`{path}` has more than {MAX_FILE} bytes", path = .0.display())]
    TooLarge(PathBuf),
    /// Folders without an end.
    #[error("`{path}` is more than {MAX_DEPTH} folders deep: does a link lead back?", path = .0.display())]
    TooDeep(PathBuf),
    /// Rego that is no text, a name that is no text.
    #[error("`{path}` is not UTF-8", path = .0.display())]
    NotText(PathBuf),
    /// A file that is nothing of a policy.
    #[error("`{path}` is neither Rego (`.rego`), nor data (`.json`, `.yaml`), nor a bundle (`.tar.gz`), nor a folder", path = .0.display())]
    Unknown(PathBuf),
    /// Two files that would have the same name in a bundle.
    #[error("`{0}` and `{1}` would have the same name in a bundle: give the folder that both are in")]
    SameName(String, String),
    /// Nothing to compile.
    #[error("there is no Rego file in {0}")]
    Nothing(String),
    /// A bundle that is none.
    #[error("`{path}`: {source}", path = path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// A bundle that somebody else made.
    #[error("`{path}`: {source}", path = path.display())]
    Signature {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: SignatureError,
    },
    /// Data that cannot be put together.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// What is read so far.
#[derive(Default)]
struct Reader<'a> {
    files: PolicyFiles,
    documents: Documents,
    key: Option<&'a VerificationKey>,
}

impl PolicyFiles {
    /// Reads files, folders and bundles. With a key, each bundle must be signed with it.
    pub(crate) fn load(paths: &[PathBuf], key: Option<&VerificationKey>) -> Result<Self, LoadError> {
        let mut reader = Reader { key, ..Reader::default() };
        for path in paths {
            reader.read(path)?;
        }
        let places: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        reader.finish(&places.join(", "))
    }

    /// Reads a bundle that came from elsewhere. With a key, it must be signed with it.
    pub(crate) fn of_bundle(origin: &str, bytes: &[u8], key: Option<&VerificationKey>) -> Result<Self, LoadError> {
        let mut reader = Reader { key, ..Reader::default() };
        reader.add_bundle(Path::new(origin), bytes)?;
        reader.finish(&format!("`{origin}`"))
    }

    /// What is compiled of it.
    pub(crate) fn source(&self, entrypoint: &str, rego_version: Option<RegoVersion>) -> PolicySource {
        PolicySource {
            modules: self.modules.clone(),
            data: Value::Object(self.data.clone()),
            entrypoint: entrypoint.to_owned(),
            rego_version: rego_version.or(self.manifest.rego_version).unwrap_or_default(),
        }
    }

    /// Where a module is, for people.
    pub(crate) fn place_of<'a>(&'a self, module: &'a str) -> &'a str {
        self.places.get(module).map_or(module, String::as_str)
    }
}

impl Reader<'_> {
    fn finish(self, origin: &str) -> Result<PolicyFiles, LoadError> {
        let Self { mut files, documents, .. } = self;
        files.data = documents.into_members();
        if files.modules.is_empty() && files.tests.is_empty() {
            return Err(LoadError::Nothing(origin.to_owned()));
        }
        files.modules.sort_by(|one, other| one.name.cmp(&other.name));
        files.tests.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    fn read(&mut self, path: &Path) -> Result<(), LoadError> {
        if metadata(path)?.is_dir() {
            return self.read_folder(path, "", 0);
        }
        let name = file_name(path)?;
        match FileKind::of(name) {
            FileKind::Policy | FileKind::Test => self.read_rego(path, name),
            _ if name.ends_with(".tar.gz") || name.ends_with(".tgz") => self.read_bundle(path),
            _ if [".json", ".yaml", ".yml"].iter().any(|end| name.ends_with(end)) => {
                Ok(self.documents.add_to_root(&path.display().to_string(), &read_bytes(path)?)?)
            }
            _ => Err(LoadError::Unknown(path.to_owned())),
        }
    }

    /// `inside` is the folder's name in a bundle.
    fn read_folder(&mut self, folder: &Path, inside: &str, depth: usize) -> Result<(), LoadError> {
        if depth > MAX_DEPTH {
            return Err(LoadError::TooDeep(folder.to_owned()));
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<PathBuf> =
            entries.map_err(|source| io_error(folder, source))?.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let name = file_name(&path)?;
            let inside = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
            let kind = FileKind::of(name);
            if name.starts_with('.') && (kind != FileKind::Manifest || depth > 0) {
                continue;
            }
            match kind {
                _ if metadata(&path)?.is_dir() => self.read_folder(&path, &inside, depth + 1)?,
                FileKind::Policy | FileKind::Test => self.read_rego(&path, &inside)?,
                FileKind::Json | FileKind::Yaml => self.read_data(&path, &inside)?,
                FileKind::Manifest => self.read_manifest(&path)?,
                FileKind::Other => {}
            }
        }
        Ok(())
    }

    fn read_rego(&mut self, path: &Path, name: &str) -> Result<(), LoadError> {
        let rego = String::from_utf8(read_bytes(path)?).map_err(|_| LoadError::NotText(path.to_owned()))?;
        self.add(FileKind::of(name), Module { name: name.to_owned(), rego }, path.display().to_string())
    }

    fn add(&mut self, kind: FileKind, module: Module, place: String) -> Result<(), LoadError> {
        if let Some(first) = self.files.places.insert(module.name.clone(), place.clone()) {
            return Err(LoadError::SameName(first, place));
        }
        match kind {
            FileKind::Test => self.files.tests.push(module),
            _ => self.files.modules.push(module),
        }
        Ok(())
    }

    fn read_data(&mut self, path: &Path, inside: &str) -> Result<(), LoadError> {
        // The message names the file; where it belongs is told by its place in the folder.
        let content = read_bytes(path)?;
        Ok(self.documents.add_file(inside, &content).map_err(|error| error.in_file(&path.display().to_string()))?)
    }

    fn read_manifest(&mut self, path: &Path) -> Result<(), LoadError> {
        let content = read_bytes(path)?;
        self.files.manifest =
            Manifest::read(&content).map_err(|source| LoadError::Bundle { path: path.to_owned(), source })?;
        Ok(())
    }

    fn read_bundle(&mut self, path: &Path) -> Result<(), LoadError> {
        self.add_bundle(path, &read_bytes(path)?)
    }

    fn add_bundle(&mut self, path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
        let bundle = Bundle::read(bytes);
        let bundle = bundle.map_err(|source| LoadError::Bundle { path: path.to_owned(), source })?;
        if let Some(key) = self.key {
            bundle.verify(key).map_err(|source| LoadError::Signature { path: path.to_owned(), source })?;
        }
        for (kind, module) in bundle
            .modules
            .into_iter()
            .map(|module| (FileKind::Policy, module))
            .chain(bundle.tests.into_iter().map(|module| (FileKind::Test, module)))
        {
            let place = format!("{}/{}", path.display(), module.name);
            self.add(kind, module, place)?;
        }
        self.files.manifest = bundle.manifest;
        Ok(self.documents.add_members(&path.display().to_string(), bundle.data)?)
    }
}

fn io_error(path: &Path, source: io::Error) -> LoadError {
    LoadError::Io { path: path.to_owned(), source }
}

fn metadata(path: &Path) -> Result<fs::Metadata, LoadError> {
    fs::metadata(path).map_err(|source| io_error(path, source))
}

fn file_name(path: &Path) -> Result<&str, LoadError> {
    let name = path.file_name().unwrap_or_default().to_str();
    name.ok_or_else(|| LoadError::NotText(path.to_owned()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MAX_FILE => Ok(bytes),
        _ => Err(LoadError::TooLarge(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::symlink;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn load(root: &Path, names: &[&str]) -> Result<PolicyFiles, String> {
        let paths: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
        PolicyFiles::load(&paths, None).map_err(|error| error.to_string().replace(&root.display().to_string(), "ROOT"))
    }

    fn names(modules: &[Module]) -> Vec<&str> {
        modules.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn a_folder_is_laid_out_as_opa_does() {
        let root = folder(&[
            ("b.rego", "package b"),
            ("a.rego", "package a"),
            ("a_test.rego", "package a_test"),
            ("lib/users/c.rego", "package c"),
            ("data.json", r#"{"top": 1}"#),
            ("lib/data.yaml", "users: [x]"),
            ("lib/users2/data.json", "[1, 2]"),
            (".manifest", r#"{"revision": "r1", "rego_version": 0}"#),
            (".hidden.rego", "not Rego"),
            ("..2024/d.rego", "not Rego"),
            ("README.md", "no matter"),
            ("other.json", "no matter"),
        ]);
        let files = load(root.path(), &[""]).unwrap();
        assert_eq!(names(&files.modules), ["a.rego", "b.rego", "lib/users/c.rego"]);
        assert_eq!(names(&files.tests), ["a_test.rego"]);
        assert_eq!(Value::Object(files.data.clone()), json!({"top": 1, "lib": {"users": ["x"], "users2": [1, 2]}}));
        assert_eq!(files.manifest.revision, "r1");
        assert_eq!(files.source("x", None).rego_version, RegoVersion::V0);
        assert_eq!(files.source("x", Some(RegoVersion::V1)).rego_version, RegoVersion::V1);
        assert!(files.place_of("lib/users/c.rego").ends_with("/lib/users/c.rego"));
    }

    #[test]
    fn files_are_taken_one_by_one() {
        let root = folder(&[("a.rego", "package a"), ("x/grants.json", r#"{"grants": {}}"#), ("y.yaml", "teams: []")]);
        let files = load(root.path(), &["a.rego", "x/grants.json", "y.yaml"]).unwrap();
        assert_eq!(Value::Object(files.data), json!({"grants": {}, "teams": []}));
        assert_eq!(names(&files.modules), ["a.rego"]);
    }

    #[test]
    fn a_mounted_config_map_is_read() {
        let root = folder(&[("..v1/a.rego", "package a")]);
        symlink("..v1", root.path().join("..data")).unwrap();
        symlink("..data/a.rego", root.path().join("a.rego")).unwrap();
        assert_eq!(names(&load(root.path(), &[""]).unwrap().modules), ["a.rego"]);
    }

    #[test]
    fn what_is_no_policy_is_said() {
        let root = folder(&[
            ("a/p.rego", "package a"),
            ("b/p.rego", "package b"),
            ("c/data.json", r#"{"x": 1}"#),
            ("d/data.json", r#"{"x": 2}"#),
            ("array/data.json", "[]"),
            ("twice/data.json", r#"{"x": 1, "x": 2}"#),
            ("twice.json", r#"{"x": 1, "x": 2}"#),
            ("bad.yaml", "a: [}"),
            ("bad.tar.gz", "no gzip"),
            ("note.txt", ""),
            ("bytes.rego", ""),
            ("manifest/.manifest", r#"{"roots": 1}"#),
            ("empty/README", ""),
        ]);
        fs::write(root.path().join("bytes.rego"), b"package \xff").unwrap();
        symlink(".", root.path().join("a/loop")).unwrap();
        for (paths, expected) in [
            (&["missing"][..], "`ROOT/missing`: No such file"),
            (&["b/p.rego", "a/p.rego"], "`ROOT/b/p.rego` and `ROOT/a/p.rego` would have the same name"),
            (&["a"], "folders deep: does a link lead back?"),
            (&["b", "c", "d"], "`ROOT/d/data.json`: there is already something at `data.x`"),
            (&["array"], "`ROOT/array/data.json`: found an array, expected an object"),
            (&["twice"], "`ROOT/twice/data.json`: not acceptable JSON"),
            (&["twice.json"], "`ROOT/twice.json`: not acceptable JSON"),
            (&["bad.yaml"], "`ROOT/bad.yaml`: not acceptable YAML"),
            (&["bad.tar.gz"], "`ROOT/bad.tar.gz`: not a tar archive in gzip"),
            (&["note.txt"], "`ROOT/note.txt` is neither Rego"),
            (&["bytes.rego"], "`ROOT/bytes.rego` is not UTF-8"),
            (&["manifest"], "`ROOT/manifest/.manifest`: `.manifest`: `roots`: found a number, expected an array"),
            (&["empty", "c"], "there is no Rego file in `ROOT/empty`, `ROOT/c`"),
        ] {
            let error = load(root.path(), paths).unwrap_err();
            assert!(error.contains(expected), "{paths:?}: {error}");
        }
    }
}
