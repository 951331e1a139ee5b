//! Data documents, put together the way OPA does: `a/b/data.json` is what stands at `data.a.b`.

use super::MAX_DEPTH;
use scbte_core::json;
use serde_json::{Map, Value};

/// Why data cannot be read or put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// Not JSON.
    #[error("`{path}`: {problem}")]
    Form {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The document in the root is no object.
    #[error("`{path}`: found {found}, expected an object")]
    NoObject {
        /// The file.
        path: String,
        /// What it is.
        found: &'static str,
    },
    /// Two documents at the same place.
    #[error("`{path}`: there is already something at `data.{place}`")]
    Conflict {
        /// The file.
        path: String,
        /// The place.
        place: String,
    },
}

/// The data so far.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    members: Map<String, Value>,
}

impl Documents {
    /// Adds a document at the place that its path inside of the policy says; `path` is what it is called in errors.
    pub(crate) fn add_file(&mut self, path: &str, inside: &str, content: &[u8]) -> Result<(), DataError> {
        let folder = inside.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.add(path, folder, parse(path, content)?)
    }

    /// Adds members to the root.
    pub(crate) fn add_members(&mut self, path: &str, members: Map<String, Value>) -> Result<(), DataError> {
        self.add(path, "", Value::Object(members))
    }

    /// The data.
    pub(crate) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    fn add(&mut self, path: &str, folder: &str, document: Value) -> Result<(), DataError> {
        let places = folder.split('/').filter(|place| !place.is_empty());
        let nested =
            places.rev().fold(document, |inner, place| Value::Object(Map::from_iter([(place.to_owned(), inner)])));
        let Value::Object(members) = nested else {
            return Err(DataError::NoObject { path: path.to_owned(), found: json::kind(&nested) });
        };
        merge(&mut self.members, members, &mut Vec::new())
            .map_err(|place| DataError::Conflict { path: path.to_owned(), place })
    }
}

/// Objects are put together, nothing else is; on a conflict, where it is.
fn merge(into: &mut Map<String, Value>, members: Map<String, Value>, place: &mut Vec<String>) -> Result<(), String> {
    for (name, member) in members {
        place.push(name.clone());
        match (into.get_mut(&name), member) {
            (None, member) => {
                into.insert(name, member);
            }
            (Some(Value::Object(existing)), Value::Object(members)) => merge(existing, members, place)?,
            (Some(_), _) => return Err(place.join(".")),
        }
        place.pop();
    }
    Ok(())
}

fn parse(path: &str, content: &[u8]) -> Result<Value, DataError> {
    let failed = |problem: String| DataError::Form { path: path.to_owned(), problem };
    if path.ends_with(".yaml") || path.ends_with(".yml") {
        return Err(failed(NO_YAML.to_owned()));
    }
    json::parse_within(content, MAX_DEPTH).map_err(|error| failed(error.to_string()))
}

/// Two readers of YAML make different values of one text; data that decides must be read in one way.
const NO_YAML: &str =
    "data in YAML is not supported, since `no`, `0755` or a date is not the same to all who read it: write it as JSON";
