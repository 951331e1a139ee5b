//! `.manifest`: what a bundle says of itself.
//!
//! Read are `revision`, `roots`, `rego_version` and `file_rego_versions`. As in OPA, rules and data must lie under the
//! roots. Files of different versions of Rego in one bundle are not supported, nor are rules as Wasm (`wasm`).

use super::{BundleError, MAX_DEPTH};
use scbte_core::json::{self, kind};
use scbte_core::policy::tools::packages;
use scbte_core::policy::{Module, RegoVersion};
use serde_json::{Map, Value, json};

/// What a bundle says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The author's name for this version of it; empty where none was given.
    pub(crate) revision: String,
    /// The places in `data` that the bundle may fill: parts separated by `/`. The empty one is all of it.
    pub(crate) roots: Option<Vec<String>>,
    /// The version of Rego of all its files.
    pub(crate) rego_version: Option<RegoVersion>,
}

/// Why a manifest cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    /// A member of another type.
    #[error("`{member}`: found {found}, expected {expected}")]
    Member {
        /// The member.
        member: &'static str,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A name for the version that no log line or status can hold.
    #[error("`revision`: expected at most {MAX_REVISION} printable characters, found {0}")]
    Revision(String),
    /// Rules that are in no Rego file.
    #[error("`wasm`: rules as Wasm are not supported: build the bundle from Rego (`opa build -t rego`)")]
    Wasm,
    /// Two versions of Rego in one bundle.
    #[error("`file_rego_versions` has other versions than `rego_version`: files of one version only are supported")]
    Versions,
    /// A root inside of another.
    #[error("the roots `{0}` and `{1}` overlap")]
    Overlap(String, String),
    /// Something outside of the roots.
    #[error("`{what}` is outside of the roots {roots}")]
    Outside {
        /// What is outside.
        what: String,
        /// The roots.
        roots: String,
    },
}

/// Characters of a revision.
const MAX_REVISION: usize = 128;

impl Manifest {
    /// Reads the file.
    pub(crate) fn read(content: &[u8]) -> Result<Self, BundleError> {
        Ok(Self::parse(&json::parse_within(content, MAX_DEPTH)?)?)
    }

    fn parse(value: &Value) -> Result<Self, ManifestError> {
        let Value::Object(members) = value else {
            return Err(wrong("the manifest", value, "an object"));
        };
        let rego_version = members.get("rego_version").filter(|version| !version.is_null()).map(version).transpose()?;
        let manifest = Self {
            revision: revision(members)?,
            roots: members.get("roots").filter(|roots| !roots.is_null()).map(roots).transpose()?,
            rego_version,
        };
        manifest.check_file_versions(members)?;
        match members.get("wasm") {
            None | Some(Value::Null) => Ok(manifest),
            Some(Value::Array(resolvers)) if resolvers.is_empty() => Ok(manifest),
            Some(_) => Err(ManifestError::Wasm),
        }
    }

    fn check_file_versions(&self, members: &Map<String, Value>) -> Result<(), ManifestError> {
        let versions = match members.get("file_rego_versions") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(versions)) => versions,
            Some(other) => return Err(wrong("file_rego_versions", other, "an object")),
        };
        let expected = self.rego_version.unwrap_or_default();
        let same = versions.values().all(|found| version(found) == Ok(expected));
        if same { Ok(()) } else { Err(ManifestError::Versions) }
    }

    /// Refuses what lies outside of the roots.
    pub(crate) fn check(&self, modules: &[Module], data: &Map<String, Value>) -> Result<(), ManifestError> {
        let Some(roots) = &self.roots else { return Ok(()) };
        for (index, one) in roots.iter().enumerate() {
            for other in &roots[index + 1..] {
                if contains(one, other) || contains(other, one) {
                    return Err(ManifestError::Overlap(one.clone(), other.clone()));
                }
            }
        }
        let outside = |what: String| ManifestError::Outside { what, roots: format!("`{}`", roots.join("`, `")) };
        for (module, package) in packages(modules, self.rego_version.unwrap_or_default()) {
            let path = package.join("/");
            if !roots.iter().any(|root| contains(root, &path)) {
                return Err(outside(format!("package {} in {module}", package.join("."))));
            }
        }
        match stray(data, "", roots) {
            Some(place) => Err(outside(format!("data.{}", place.replace('/', ".")))),
            None => Ok(()),
        }
    }

    /// The file.
    pub(super) fn to_json(&self) -> Value {
        let mut manifest = json!({"revision": self.revision, "roots": self.roots});
        if let (Value::Object(members), Some(version)) = (&mut manifest, self.rego_version) {
            members.insert("rego_version".to_owned(), number(version).into());
        }
        manifest
    }

    /// The roots that a policy needs: its packages, and the rest of its data.
    pub(crate) fn roots_of(modules: &[Module], version: RegoVersion, data: &Map<String, Value>) -> Vec<String> {
        let packages = packages(modules, version).into_iter().map(|(_, package)| package.join("/"));
        let mut all: Vec<String> = packages.chain(data.keys().cloned()).collect();
        all.sort();
        all.dedup();
        let outer = |root: &&String| !all.iter().any(|other| other != *root && contains(other, root));
        all.iter().filter(outer).cloned().collect()
    }
}

const fn number(version: RegoVersion) -> u8 {
    match version {
        RegoVersion::V0 => 0,
        RegoVersion::V1 => 1,
    }
}

fn wrong(member: &'static str, found: &Value, expected: &'static str) -> ManifestError {
    ManifestError::Member { member, found: kind(found), expected }
}

fn revision(members: &Map<String, Value>) -> Result<String, ManifestError> {
    match members.get("revision") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => checked_revision(text),
        Some(other) => Err(wrong("revision", other, "a string")),
    }
}

/// A name for a version that log lines and statuses can hold.
pub(crate) fn checked_revision(text: &str) -> Result<String, ManifestError> {
    let length = text.chars().count();
    if text.chars().any(char::is_control) {
        return Err(ManifestError::Revision("a control character".to_owned()));
    }
    if length > MAX_REVISION {
        return Err(ManifestError::Revision(length.to_string()));
    }
    Ok(text.to_owned())
}

fn roots(value: &Value) -> Result<Vec<String>, ManifestError> {
    let elements = value.as_array().ok_or_else(|| wrong("roots", value, "an array of strings"))?;
    let root = |element: &Value| match element {
        Value::String(text) => Ok(text.trim_matches('/').to_owned()),
        other => Err(wrong("roots", other, "strings")),
    };
    elements.iter().map(root).collect()
}

fn version(value: &Value) -> Result<RegoVersion, ManifestError> {
    match value.as_u64() {
        Some(0) => Ok(RegoVersion::V0),
        Some(1) => Ok(RegoVersion::V1),
        _ => Err(wrong("rego_version", value, "0 or 1")),
    }
}

/// Whether a path is a root or below it.
fn contains(root: &str, path: &str) -> bool {
    root.is_empty() || path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

/// The first place with data outside of the roots.
fn stray(members: &Map<String, Value>, above: &str, roots: &[String]) -> Option<String> {
    members.iter().find_map(|(name, member)| {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        if roots.iter().any(|root| contains(root, &path)) {
            return None;
        }
        match member {
            Value::Object(members) if roots.iter().any(|root| contains(&path, root)) => stray(members, &path, roots),
            _ => Some(path),
        }
    })
}
