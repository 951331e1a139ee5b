//! A policy as its author wrote it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version of the Rego language that the modules are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegoVersion {
    /// Before OPA 1.0: no `if`, `contains` only by import.
    V0,
    /// OPA 1.0 and later.
    #[default]
    V1,
}

/// One Rego file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name in messages, usually the file's.
    pub name: String,
    /// Its text.
    pub rego: String,
}

/// Everything that decides how a policy behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySource {
    /// The Rego files, in any number of packages.
    pub modules: Vec<Module>,
    /// The data document, an object.
    pub data: Value,
    /// The rule that decides, for example `data.scbte.allow`.
    pub entrypoint: String,
    /// The language of all modules.
    pub rego_version: RegoVersion,
}

impl PolicySource {
    /// The entry point of a policy that names none.
    pub const DEFAULT_ENTRYPOINT: &'static str = "data.scbte.allow";

    /// Lower-case hex SHA-256 of everything that decides: not the modules' names and order, so that a policy is the
    /// same in a folder, in a bundle and in a configuration.
    ///
    /// Each part is preceded by its length, so no two sources share an encoding; modules go in sorted by their text,
    /// object members by name.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        feed(&mut hasher, b"scbte-policy-1");
        feed(&mut hasher, self.entrypoint.as_bytes());
        feed(
            &mut hasher,
            match self.rego_version {
                RegoVersion::V0 => b"v0",
                RegoVersion::V1 => b"v1",
            },
        );
        feed_length(&mut hasher, self.modules.len());
        let mut modules: Vec<&str> = self.modules.iter().map(|module| module.rego.as_str()).collect();
        modules.sort_unstable();
        modules.iter().for_each(|rego| feed(&mut hasher, rego.as_bytes()));
        feed_value(&mut hasher, &self.data);
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn feed_value(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(flag) => hasher.update(if *flag { b"t" } else { b"f" }),
        Value::Number(number) => {
            hasher.update(b"d");
            feed(hasher, number.to_string().as_bytes());
        }
        Value::String(text) => {
            hasher.update(b"s");
            feed(hasher, text.as_bytes());
        }
        Value::Array(items) => {
            hasher.update(b"a");
            feed_length(hasher, items.len());
            items.iter().for_each(|item| feed_value(hasher, item));
        }
        Value::Object(members) => {
            hasher.update(b"o");
            feed_length(hasher, members.len());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in sorted {
                feed(hasher, name.as_bytes());
                feed_value(hasher, member);
            }
        }
    }
}

fn feed(hasher: &mut Sha256, part: &[u8]) {
    feed_length(hasher, part.len());
    hasher.update(part);
}

fn feed_length(hasher: &mut Sha256, length: usize) {
    hasher.update(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn source() -> PolicySource {
        PolicySource {
            modules: vec![Module { name: "a.rego".into(), rego: "package scbte".into() }],
            data: json!({"a": 1, "b": [null, true, "x"]}),
            entrypoint: PolicySource::DEFAULT_ENTRYPOINT.into(),
            rego_version: RegoVersion::V1,
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_decides_counts_and_names_and_order_do_not() {
        let digest = source().digest();
        assert_eq!(digest.len(), 64);
        assert!(digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));

        type Change = (&'static str, fn(&mut PolicySource));
        let changes: [Change; 7] = [
            ("module text", |s| s.modules[0].rego.push('\n')),
            ("another module", |s| s.modules.push(Module { name: String::new(), rego: String::new() })),
            ("split between modules", |s| {
                let rego = s.modules[0].rego.split_off(3);
                s.modules.push(Module { name: "a.rego".into(), rego });
            }),
            ("data", |s| s.data["a"] = json!(2)),
            ("kind of number", |s| s.data["a"] = json!(1.0)),
            ("entry point", |s| s.entrypoint = "data.scbte.deny".into()),
            ("language", |s| s.rego_version = RegoVersion::V0),
        ];
        for (name, change) in changes {
            let mut changed = source();
            change(&mut changed);
            assert_ne!(changed.digest(), digest, "{name}");
        }

        let mut reordered = source();
        reordered.data = json!({"b": [null, true, "x"], "a": 1});
        reordered.modules[0].name = "b.rego".into();
        assert_eq!(reordered.digest(), digest);

        let lib = Module { name: "lib.rego".into(), rego: "package lib".into() };
        let (mut first, mut last) = (source(), source());
        first.modules.insert(0, lib.clone());
        last.modules.push(lib);
        assert_eq!(first.digest(), last.digest());
    }
}
