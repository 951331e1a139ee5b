//! `ctx`: the operation that a token is bound to, `verb:resource`.

/// Longest context in bytes.
pub const MAX_LENGTH: usize = 256;

/// The text is no context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`ctx` must be `verb:resource`, 1 to {MAX_LENGTH} bytes of `A-Z a-z 0-9 . _ : / -`")]
pub struct NotAContext;

/// An operation, e.g. `read:users`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context(String);

impl Context {
    /// Parses a context: a non-empty verb, a colon, a non-empty resource.
    pub fn parse(text: &str) -> Result<Self, NotAContext> {
        let parts = text.split_once(':').ok_or(NotAContext)?;
        let complete = !parts.0.is_empty() && !parts.1.is_empty();
        if !complete || text.len() > MAX_LENGTH || !text.bytes().all(is_allowed) {
            return Err(NotAContext);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_a_context() {
        for good in ["read:users", "r:u", "write:orders/eu-west_1.a", "a:b:c", "A:9", "a::"] {
            assert!(Context::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "read", ":users", "read:", ":", "read users:x", "read:üsers", "read:u\n", "read:u,x", "a;b:c"]
        {
            assert!(Context::parse(bad).is_err(), "{bad:?}");
        }
        let long = |length: usize| format!("r:{}", "u".repeat(length - 2));
        assert!(Context::parse(&long(256)).is_ok());
        assert!(Context::parse(&long(257)).is_err());
    }
}
