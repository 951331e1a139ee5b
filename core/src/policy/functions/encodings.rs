//! Base64 and hex, decoded as Go's `encoding` does: line breaks are skipped, left-over bits ignored.

use super::meter::spend_flat;
use super::{Outcome, Stop, builtin};
use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "base64.decode" => builtin!([Text], new base64_decode),
        "base64.is_valid" => builtin!([Free], existing base64_is_valid),
        "base64url.decode" => builtin!([Text], new base64url_decode),
        "hex.decode" => builtin!([Text], new hex_decode),
        "base64.encode" => builtin!([Text], regorus "base64.encode"),
        "base64url.encode" => builtin!([Text], regorus "base64url.encode"),
        "base64url.encode_no_pad" => builtin!([Text], regorus "base64url.encode_no_pad"),
        "hex.encode" => builtin!([Text], regorus "hex.encode"),
        _ => return None,
    })
}

fn base64_decode(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::String(text)] => as_text(decode(&STANDARD, text)),
        _ => Ok(Value::Undefined),
    }
}

fn base64_is_valid(arguments: &[Value]) -> Outcome {
    arguments.iter().try_for_each(spend_flat)?;
    Ok(Value::from(matches!(arguments, [Value::String(text)] if decode(&STANDARD, text).is_some())))
}

/// Padding may be left out; line breaks count when OPA puts it back.
fn base64url_decode(arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    let padding = match text.len() % 4 {
        _ if text.ends_with('=') => "",
        0 => "",
        2 => "==",
        3 => "=",
        _ => return Ok(Value::Undefined),
    };
    as_text(decode(&URL_SAFE, &format!("{text}{padding}")))
}

fn decode(alphabet: &Alphabet, text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    let text = text.replace(['\r', '\n'], "");
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

fn hex_decode(arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Ok(Value::Undefined) };
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let bytes = digits
        .filter(|digits| digits.len() % 2 == 0)
        .map(|digits| digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect());
    as_text(bytes)
}

fn as_text(bytes: Option<Vec<u8>>) -> Outcome {
    match bytes.map(String::from_utf8) {
        None => Ok(Value::Undefined),
        Some(Ok(text)) => Ok(Value::from(text)),
        Some(Err(_)) => Err(Stop::NotUnicode),
    }
}
