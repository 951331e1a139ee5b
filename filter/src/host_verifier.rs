//! Signatures checked by Envoy: its foreign function `verify_signature` (BoringSSL), ten times faster than in wasm.
//!
//! Not every host has it, and a broken one must not be believed: [`choose`] tries it on a known good and on known bad
//! signatures and falls back to the module's own.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
use scbte_core::signature::{Algorithm, BadSignature, InModule, SignatureVerifier, passes_self_test};

/// The host's `verify_signature`.
#[derive(Debug)]
struct Host;

impl SignatureVerifier for Host {
    fn name(&self) -> &'static str {
        "verify_signature"
    }

    fn verify(&self, algorithm: Algorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let argument = [(1, algorithm.hash_name().as_bytes()), (2, spki), (3, signature), (4, message)];
        match hostcalls::call_foreign_function("verify_signature", Some(&protobuf(&argument))) {
            Ok(Some(answer)) if answer == VERIFIED => Ok(()),
            _ => Err(BadSignature),
        }
    }
}

/// The protobuf message {1: true}.
const VERIFIED: [u8; 2] = [0x08, 0x01];

/// The verifier to use in this host; says so in the log when it is the slow one.
pub(crate) fn choose() -> &'static dyn SignatureVerifier {
    if passes_self_test(&Host) {
        return &Host;
    }
    let message = "the host's `verify_signature` is missing or fails its self-test: signatures are checked inside the module, about ten times slower and without RSA";
    host::log(LogLevel::Warn, message);
    &InModule
}

/// A protobuf message of length-delimited fields.
fn protobuf(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let capacity = fields.iter().map(|(_, value)| value.len().saturating_add(4)).sum();
    let mut message = Vec::with_capacity(capacity);
    for (number, value) in fields {
        message.push(number << 3 | 2);
        push_varint(&mut message, value.len());
        message.extend_from_slice(value);
    }
    message
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time is what a varint is")]
fn push_varint(message: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
