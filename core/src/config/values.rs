//! Values as people write them: `5m`, `8KiB`, and integers that Istio turned into doubles.

use super::ConfigError;
use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::time::Duration;

/// A time span, e.g. `"5m"` or `"1h 30m"`.
pub(super) struct Span(Duration);

/// A number of bytes, e.g. `"8KiB"`, or a plain integer.
pub(super) struct Size(u64);

/// A non-negative integer; an integral double counts (a protobuf Struct has doubles only).
pub(super) struct Integer(u64);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        parsed.map(Self).ok_or_else(|| expected("a time span such as `\"30s\"`, `\"5m\"` or `\"1h\"`", &value))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = match &value {
            Value::String(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            other => integral(other),
        };
        parsed.map(Self).ok_or_else(|| expected("a size such as `\"8KiB\"` or `\"4MiB\"`", &value))
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        integral(&value).map(Self).ok_or_else(|| expected("a non-negative integer", &value))
    }
}

fn expected<E: serde::de::Error>(what: &str, found: &Value) -> E {
    E::custom(format_args!("expected {what}, found `{found}`"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "integral and within 0…2^53")]
fn integral(value: &Value) -> Option<u64> {
    let whole = |double: &f64| double.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(double);
    value.as_u64().or_else(|| value.as_f64().filter(whole).map(|double| double as u64))
}

/// A span within limits, or its default.
pub(super) fn span(
    path: &str,
    given: Option<Span>,
    default: &str,
    least: &str,
    most: &str,
) -> Result<Duration, ConfigError> {
    let parse = |text: &str| humantime::parse_duration(text).map_err(|error| ConfigError::at(path, error));
    let Some(Span(span)) = given else { return parse(default) };
    if span < parse(least)? || span > parse(most)? {
        return Err(ConfigError::at(path, format!("expected a time span from `{least}` to `{most}`")));
    }
    Ok(span)
}

/// A size within limits, or its default.
pub(super) fn size(
    path: &str,
    given: Option<Size>,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize, ConfigError> {
    let Some(Size(bytes)) = given else { return Ok(default) };
    let size = usize::try_from(bytes).ok().filter(|size| (least..=most).contains(size));
    let human = |bytes: usize| ByteSize::b(bytes as u64).to_string();
    size.ok_or_else(|| ConfigError::at(path, format!("expected a size from {} to {}", human(least), human(most))))
}

/// An integer within limits, or its default.
pub(super) fn integer(
    path: &str,
    given: Option<&Integer>,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize, ConfigError> {
    let Some(Integer(number)) = given else { return Ok(default) };
    let number = usize::try_from(*number).ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| ConfigError::at(path, format!("expected an integer from {least} to {most}")))
}

/// A header name in lower case (RFC 9110 §5.1), not a pseudo-header.
pub(super) fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

/// It becomes part of a shared data key and of log lines.
pub(super) fn is_target(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}
