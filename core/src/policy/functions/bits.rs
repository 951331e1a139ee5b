//! `bits.…`.

use super::builtin;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "bits.and" => builtin!([Number, Number], regorus "bits.and"),
        "bits.lsh" => builtin!([Number, Number], regorus "bits.lsh"),
        "bits.negate" => builtin!([Number], regorus "bits.negate"),
        "bits.or" => builtin!([Number, Number], regorus "bits.or"),
        "bits.rsh" => builtin!([Number, Number], regorus "bits.rsh"),
        "bits.xor" => builtin!([Number, Number], regorus "bits.xor"),
        _ => return None,
    })
}
