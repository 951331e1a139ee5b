//! Values as they are shown to people.

use regorus::Value;
use std::io::{self, Write};

/// A value as compact JSON, cut where nobody would read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// There is none.
    Undefined,
    /// The whole value.
    Whole(String),
    /// The beginning of a long one.
    Cut(String),
}

/// Bytes that are shown of one value.
const MAX: usize = 300;

impl Shown {
    pub(super) fn of(value: &Value) -> Self {
        if *value == Value::Undefined {
            return Self::Undefined;
        }
        let mut writer = Bounded { text: Vec::new() };
        let complete = serde_json::to_writer(&mut writer, value).is_ok();
        let text = String::from_utf8_lossy(&writer.text).into_owned();
        if complete { Self::Whole(text) } else { Self::Cut(text.trim_end_matches('\u{fffd}').to_owned()) }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Undefined => formatter.write_str("undefined"),
            Self::Whole(text) => formatter.write_str(text),
            Self::Cut(text) => write!(formatter, "{text}…"),
        }
    }
}

/// Takes so many bytes and refuses more, so that a large value is not written out to be thrown away.
struct Bounded {
    text: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX.saturating_sub(self.text.len());
        self.text.extend(bytes.iter().take(room));
        if bytes.len() > room { Err(io::ErrorKind::WriteZero.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
