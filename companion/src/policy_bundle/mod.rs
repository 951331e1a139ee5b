//! Policy bundles, in the form that OPA has (its documentation, "Bundles"): a `.tar.gz` with `.manifest`, Rego files and
//! data documents, each of which stands in the data where its folder says; signed by `.signatures.json` if at all.
//!
//! A bundle comes from the network. So where a key is configured, the archive is unpacked, then its signature is checked,
//! and only then is anything in it parsed. What could take memory or time, or be read in two ways, is refused: see
//! [`archive`] for sizes and names, [`signatures`] for who made it, [`manifest`] for what a bundle may claim,
//! [`hidden`] for rules in tests.
//!
//! `plan.json` and `plan.pb` are passed over: OPA itself decides by the Rego beside them, too. Data in YAML is refused:
//! what `no`, `0755` or a date is there depends on who reads it.

mod archive;
mod canonical;
mod documents;
mod hidden;
mod key;
mod manifest;
mod signatures;

pub(crate) use documents::{DataError, Documents};
pub(crate) use key::VerificationKey;
pub(crate) use manifest::{Manifest, ManifestError, checked_revision};
pub(crate) use signatures::SignatureError;

use archive::{Archive, ArchiveError};
use scbte_core::json::JsonError;
use scbte_core::policy::Module;
use serde_json::{Map, Value};

/// A policy with its data, as it is handed on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle {
    /// What the bundle says of itself.
    pub(crate) manifest: Manifest,
    /// The Rego files by their path, without tests, in the order of their paths.
    pub(crate) modules: Vec<Module>,
    /// The tests among the Rego files: `…_test.rego`.
    pub(crate) tests: Vec<Module>,
    /// The data documents, put together.
    pub(crate) data: Map<String, Value>,
}

/// Why an archive is no bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// Not an archive that is taken.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Not signed as it must be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A test that OPA would decide by.
    #[error(
        "`{test}` is left out as a test, but its rule `{rule}` is in the package `{package}`, which the policy uses: name the file otherwise, or the package"
    )]
    Hidden {
        /// The test.
        test: String,
        /// Its rule.
        rule: String,
        /// Its package.
        package: String,
    },
    /// A file that only other kinds of bundles have.
    #[error("`{0}`: {1}")]
    Unsupported(String, &'static str),
    /// A Rego file that is no text.
    #[error("`{0}` is not UTF-8")]
    NotText(String),
    /// The manifest is not JSON.
    #[error("`.manifest` is {0}")]
    Json(#[from] JsonError),
    /// The manifest is not one.
    #[error("`.manifest`: {0}")]
    Manifest(#[from] ManifestError),
    /// Data that cannot be read or put together.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// What a file of a policy is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Rego.
    Policy,
    /// Rego with tests.
    Test,
    /// `data.json`.
    Json,
    /// `data.yaml`, `data.yml`.
    Yaml,
    /// `.manifest`.
    Manifest,
    /// Something else.
    Other,
}

impl FileKind {
    /// By the last part of a path.
    pub(crate) fn of(name: &str) -> Self {
        match name.rsplit('/').next().unwrap_or(name) {
            "data.json" => Self::Json,
            "data.yaml" | "data.yml" => Self::Yaml,
            ".manifest" => Self::Manifest,
            file if file.ends_with("_test.rego") => Self::Test,
            file if file.ends_with(".rego") => Self::Policy,
            _ => Self::Other,
        }
    }
}

/// Nesting of a document, at most; what a policy may have is less, and checked when it is admitted.
const MAX_DEPTH: u8 = 64;

impl Bundle {
    /// A bundle of these parts.
    pub(crate) fn new(manifest: Manifest, mut modules: Vec<Module>, data: Map<String, Value>) -> Self {
        modules.sort_by(|one, other| one.name.cmp(&other.name));
        Self { manifest, modules, tests: Vec::new(), data }
    }

    /// Reads an archive. With a key, its holder must have signed every file in it, and for the key's scope; before that is
    /// sure, nothing of it is parsed.
    pub(crate) fn read(bytes: &[u8], key: Option<&VerificationKey>) -> Result<Self, BundleError> {
        let archive = Archive::read(bytes)?;
        if let Some(key) = key {
            signatures::verify(&archive, key)?;
        }
        Self::parse(&archive)
    }

    fn parse(archive: &Archive) -> Result<Self, BundleError> {
        let mut bundle = Self::new(Manifest::default(), Vec::new(), Map::new());
        let mut documents = Documents::default();
        for (path, content) in archive.files() {
            bundle.take(path, content, &mut documents)?;
        }
        bundle.data = documents.into_members();
        bundle.manifest.check(&bundle.modules, &bundle.data)?;
        hidden::check(&bundle.modules, &bundle.tests)?;
        Ok(bundle)
    }

    fn take(&mut self, path: &str, content: &[u8], documents: &mut Documents) -> Result<(), BundleError> {
        let text = || match std::str::from_utf8(content) {
            Ok(text) => Ok(Module { name: path.to_owned(), rego: text.to_owned() }),
            Err(_) => Err(BundleError::NotText(path.to_owned())),
        };
        match FileKind::of(path) {
            FileKind::Policy => self.modules.push(text()?),
            FileKind::Test => self.tests.push(text()?),
            FileKind::Json | FileKind::Yaml => documents.add_file(path, path, content)?,
            FileKind::Manifest if path == ".manifest" => self.manifest = Manifest::read(content)?,
            FileKind::Manifest => {
                return Err(BundleError::Unsupported(path.to_owned(), "the manifest belongs into the root"));
            }
            FileKind::Other => check_other(path)?,
        }
        Ok(())
    }

    /// As an archive. The same bundle is the same bytes.
    pub(crate) fn write(&self) -> Result<Vec<u8>, ArchiveError> {
        let json = |value: &Value| value.to_string().into_bytes();
        let mut archive = Archive::default();
        archive.add(".manifest", json(&self.manifest.to_json()))?;
        let mut data = Value::Object(self.data.clone());
        data.sort_all_objects();
        archive.add("data.json", json(&data))?;
        for module in &self.modules {
            archive.add(&module.name, module.rego.clone().into_bytes())?;
        }
        archive.write()
    }
}

/// Files that OPA would not pass over must not be passed over here.
fn check_other(path: &str) -> Result<(), BundleError> {
    let reason = match path.rsplit('/').next().unwrap_or(path) {
        "patch.json" => "delta bundles are not supported",
        // OPA's Wasm build: rules that are in no Rego file.
        "policy.wasm" => "rules as Wasm are not supported: build the bundle from Rego (`opa build -t rego`)",
        ".manifest.pb" => "manifests as protocol buffers are not supported",
        _ => return Ok(()),
    };
    Err(BundleError::Unsupported(path.to_owned(), reason))
}

#[cfg(test)]
mod tests;
