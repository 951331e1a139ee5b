//! A policy from files, folders and bundles, the way OPA lays them out.
//!
//! From a folder: `*.rego`, `*_test.rego`, `data.json` at the place that its folder says, and `.manifest` in the root.
//! Names that begin with a dot are passed over, links are followed (a mounted ConfigMap is made of both). A file of any
//! other name that ends in `.json`, given by itself, is data of the root. A file that ends in `.tar.gz` is a bundle.
//!
//! [`Listing`] says which files these are; who watches them looks at the same ones. Only regular files are read: a pipe
//! of the right name would keep its reader waiting for ever.

use crate::policy_bundle::{
    Bundle, BundleError, DataError, Documents, FileKind, Manifest, ManifestError, VerificationKey,
};
use rustix::fs::OFlags;
use scbte_core::policy::{Module, PolicySource, RegoVersion};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest file that is read.
const MAX_FILE: u64 = 32 << 20;
/// Folders inside one another.
const MAX_DEPTH: usize = 16;
/// Files and folders of a policy, hidden ones not counted.
const MAX_ENTRIES: usize = 4096;

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
    /// More than any policy has.
    #[error("`{path}` has more than {MAX_ENTRIES} files and folders in it", path = .0.display())]
    TooMany(PathBuf),
    /// Folders without an end.
    #[error("`{path}` is more than {MAX_DEPTH} folders deep: does a link lead back?", path = .0.display())]
    TooDeep(PathBuf),
    /// A pipe, a device, a socket.
    #[error("`{path}` is no regular file", path = .0.display())]
    NotAFile(PathBuf),
    /// Rego that is no text, a name that is no text.
    #[error("`{path}` is not UTF-8", path = .0.display())]
    NotText(PathBuf),
    /// A file that is nothing of a policy.
    #[error("`{path}` is neither Rego (`.rego`), nor data (`.json`), nor a bundle (`.tar.gz`), nor a folder", path = .0.display())]
    Unknown(PathBuf),
    /// A key, and nothing that could be signed with it.
    #[error("`{path}` is {what}: only bundles are signed", path = path.display())]
    NotSigned {
        /// Which file or folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Two files that would have the same name in a bundle.
    #[error("`{0}` and `{1}` would have the same name in a bundle: give the folder that both are in")]
    SameName(String, String),
    /// Files that change all the time.
    #[error("`{path}` keeps changing: it is read once it keeps still", path = .0.display())]
    Restless(PathBuf),
    /// Nothing to compile.
    #[error("there is no Rego file in {0}")]
    Nothing(String),
    /// A bundle that is none, or that is not signed as it must be.
    #[error("`{path}`: {source}", path = path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// Data that cannot be put together.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl LoadError {
    /// Whether the same may be read another time, though nobody changes it.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Rego,
    /// Data, at the place that its folder says.
    Data,
    /// Data of the root, whatever it is called.
    RootData,
    Manifest,
    Bundle,
}

/// A file that is read; `inside` is its name in a bundle.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    inside: String,
    part: Part,
}

/// The files of a policy, none of which was opened, and the folders that they are in.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    files: Vec<Found>,
    folders: Vec<PathBuf>,
    entries: usize,
}

impl Listing {
    /// What there is at a path.
    pub(crate) fn of(path: &Path) -> Result<Self, LoadError> {
        let mut listing = Self::default();
        if metadata(path)?.is_dir() {
            listing.add_folder(path, "", 0)?;
        } else {
            listing.add_file(path)?;
        }
        Ok(listing)
    }

    /// Every file that is read and every folder that is looked into, in the same order each time.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().chain(self.files.iter().map(|found| &found.path)).map(PathBuf::as_path)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let name = file_name(path)?;
        let part = match FileKind::of(name) {
            FileKind::Policy | FileKind::Test => Part::Rego,
            _ if is_bundle(name) => Part::Bundle,
            _ if [".json", ".yaml", ".yml"].iter().any(|end| name.ends_with(end)) => Part::RootData,
            _ => return Err(LoadError::Unknown(path.to_owned())),
        };
        self.files.push(Found { path: path.to_owned(), inside: name.to_owned(), part });
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path, inside: &str, depth: usize) -> Result<(), LoadError> {
        if depth > MAX_DEPTH {
            return Err(LoadError::TooDeep(folder.to_owned()));
        }
        self.folders.push(folder.to_owned());
        let failed = |source| io_error(folder, source);
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = file_name(&path)?;
            if name.starts_with('.') && (FileKind::of(name) != FileKind::Manifest || depth > 0) {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(LoadError::TooMany(folder.to_owned()));
            }
            paths.push(path);
        }
        paths.sort();
        paths.iter().try_for_each(|path| self.add_entry(path, inside, depth))
    }

    fn add_entry(&mut self, path: &Path, folder: &str, depth: usize) -> Result<(), LoadError> {
        let name = file_name(path)?;
        let inside = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let part = match FileKind::of(name) {
            // A link that leads nowhere is nothing of a policy, if it is not called so.
            FileKind::Other if !path.is_dir() => return Ok(()),
            _ if metadata(path)?.is_dir() => return self.add_folder(path, &inside, depth + 1),
            FileKind::Policy | FileKind::Test => Part::Rego,
            FileKind::Json | FileKind::Yaml => Part::Data,
            FileKind::Manifest => Part::Manifest,
            FileKind::Other => return Ok(()),
        };
        self.files.push(Found { path: path.to_owned(), inside, part });
        Ok(())
    }
}

/// What is read so far.
#[derive(Default)]
struct Reader<'a> {
    files: PolicyFiles,
    documents: Documents,
    key: Option<&'a VerificationKey>,
}

impl PolicyFiles {
    /// Reads files, folders and bundles. With a key, there may only be bundles, and each must be signed with it.
    pub(crate) fn load(paths: &[PathBuf], key: Option<&VerificationKey>) -> Result<Self, LoadError> {
        let mut reader = Reader { key, ..Reader::default() };
        for path in paths {
            if key.is_some() {
                check_signable(path)?;
            }
            for found in Listing::of(path)?.files {
                reader.read(&found)?;
            }
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

    /// Whether everything lies under the roots that `.manifest` names: a bundle of it would be refused otherwise.
    pub(crate) fn check_roots(&self) -> Result<(), ManifestError> {
        self.manifest.check(&self.modules, &self.data)
    }

    /// Where a module is, for people.
    pub(crate) fn place_of<'a>(&'a self, module: &'a str) -> &'a str {
        self.places.get(module).map_or(module, String::as_str)
    }
}

/// Refuses what carries no signature: what a key is named for is never taken without one.
pub(crate) fn check_signable(path: &Path) -> Result<(), LoadError> {
    let not_signed = |what| Err(LoadError::NotSigned { path: path.to_owned(), what });
    match file_name(path) {
        _ if path.is_dir() => not_signed("a folder"),
        Ok(name) if is_bundle(name) => Ok(()),
        Ok(_) => not_signed("no bundle (`.tar.gz`)"),
        Err(error) => Err(error),
    }
}

fn is_bundle(name: &str) -> bool {
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
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

    fn read(&mut self, found: &Found) -> Result<(), LoadError> {
        let path = found.path.as_path();
        let content = read_bytes(path)?;
        let place = path.display().to_string();
        match found.part {
            Part::Rego => {
                let rego = String::from_utf8(content).map_err(|_| LoadError::NotText(path.to_owned()))?;
                self.add(FileKind::of(&found.inside), Module { name: found.inside.clone(), rego }, place)
            }
            // The message names the file; where it belongs is told by its place in the folder.
            Part::Data => Ok(self.documents.add_file(&place, &found.inside, &content)?),
            Part::RootData => Ok(self.documents.add_file(&place, "", &content)?),
            Part::Manifest => {
                let manifest = Manifest::read(&content);
                self.files.manifest = manifest.map_err(|source| LoadError::Bundle { path: path.to_owned(), source })?;
                Ok(())
            }
            Part::Bundle => self.add_bundle(path, &content),
        }
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

    fn add_bundle(&mut self, path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
        let bundle = Bundle::read(bytes, self.key);
        let bundle = bundle.map_err(|source| LoadError::Bundle { path: path.to_owned(), source })?;
        let modules = bundle.modules.into_iter().map(|module| (FileKind::Policy, module));
        for (kind, module) in modules.chain(bundle.tests.into_iter().map(|module| (FileKind::Test, module))) {
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
    let failed = |source| io_error(path, source);
    let mut bytes = Vec::new();
    let file = open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MAX_FILE => Ok(bytes),
        _ => Err(LoadError::TooLarge(path.to_owned())),
    }
}

/// Opens a regular file. Looked at before, since opening a device may do something; and after, since it may be another.
fn open(path: &Path) -> Result<File, LoadError> {
    let regular = |metadata: &fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(LoadError::NotAFile(path.to_owned())),
    };
    regular(&metadata(path)?)?;
    let failed = |source| io_error(path, source);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    regular(&file.metadata().map_err(failed)?)?;
    Ok(file)
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
            ("lib/data.json", r#"{"users": ["x"]}"#),
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
        let root =
            folder(&[("a.rego", "package a"), ("x/grants.json", r#"{"grants": {}}"#), ("y.json", "{\"teams\": []}")]);
        let files = load(root.path(), &["a.rego", "x/grants.json", "y.json"]).unwrap();
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
            ("yaml/data.yml", "a: 1"),
            ("pipe/a.rego", "package a"),
            ("bad.tar.gz", "no gzip"),
            ("note.txt", ""),
            ("bytes.rego", ""),
            ("manifest/.manifest", r#"{"roots": 1}"#),
            ("empty/README", ""),
        ]);
        fs::write(root.path().join("bytes.rego"), b"package \xff").unwrap();
        symlink(".", root.path().join("a/loop")).unwrap();
        let pipe = root.path().join("pipe/x.rego");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (paths, expected) in [
            (&["missing"][..], "`ROOT/missing`: No such file"),
            (&["b/p.rego", "a/p.rego"], "`ROOT/b/p.rego` and `ROOT/a/p.rego` would have the same name"),
            (&["a"], "folders deep: does a link lead back?"),
            (&["b", "c", "d"], "`ROOT/d/data.json`: there is already something at `data.x`"),
            (&["array"], "`ROOT/array/data.json`: found an array, expected an object"),
            (&["twice"], "`ROOT/twice/data.json`: not acceptable JSON"),
            (&["twice.json"], "`ROOT/twice.json`: not acceptable JSON"),
            (&["bad.yaml"], "`ROOT/bad.yaml`: data in YAML is not supported"),
            (&["yaml"], "`ROOT/yaml/data.yml`: data in YAML is not supported"),
            (&["pipe"], "`ROOT/pipe/x.rego` is no regular file"),
            (&["pipe/x.rego"], "`ROOT/pipe/x.rego` is no regular file"),
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

    #[test]
    fn what_no_policy_has_is_not_counted_and_too_much_is_refused() {
        let root = folder(&[("a.rego", "package a")]);
        symlink("nowhere", root.path().join("note.txt")).unwrap();
        for number in 0..MAX_ENTRIES {
            fs::write(root.path().join(format!(".{number}")), "").unwrap();
        }
        assert!(load(root.path(), &[""]).is_ok(), "hidden ones do not count");
        for number in 0..MAX_ENTRIES {
            fs::write(root.path().join(number.to_string()), "").unwrap();
        }
        assert!(load(root.path(), &[""]).unwrap_err().contains("more than 4096 files and folders"));
    }

    #[test]
    fn with_a_key_only_bundles_are_taken() {
        let key = VerificationKey::parse(include_str!("policy_bundle/fixtures/policy.pub.pem")).unwrap();
        let bundle = include_bytes!("policy_bundle/fixtures/policy.tar.gz");
        let root = folder(&[("policy/a.rego", "package a"), ("data.json", "{}")]);
        fs::write(root.path().join("signed.tar.gz"), bundle).unwrap();
        fs::create_dir(root.path().join("folder.tar.gz")).unwrap();
        for (name, expected) in [
            ("signed.tar.gz", Ok(())),
            ("policy", Err("is a folder: only bundles are signed")),
            ("folder.tar.gz", Err("is a folder: only bundles are signed")),
            ("policy/a.rego", Err("is no bundle (`.tar.gz`): only bundles are signed")),
            ("data.json", Err("is no bundle")),
        ] {
            let found = PolicyFiles::load(&[root.path().join(name)], Some(&key)).map_err(|error| error.to_string());
            assert_eq!(found.is_ok(), expected.is_ok(), "{name}: {found:?}");
            assert!(found.err().unwrap_or_default().contains(expected.err().unwrap_or_default()), "{name}");
        }
        let two = [root.path().join("signed.tar.gz"), root.path().join("data.json")];
        assert!(PolicyFiles::load(&two, Some(&key)).is_err(), "all of them must be signed");
    }
}
