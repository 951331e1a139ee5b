//! `is_…`, `type_name`.

use super::builtin;
use regorus::unstable::BuiltinFcn;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "is_array" => builtin!([Free], regorus "is_array"),
        "is_boolean" => builtin!([Free], regorus "is_boolean"),
        "is_null" => builtin!([Free], regorus "is_null"),
        "is_number" => builtin!([Free], regorus "is_number"),
        "is_object" => builtin!([Free], regorus "is_object"),
        "is_set" => builtin!([Free], regorus "is_set"),
        "is_string" => builtin!([Free], regorus "is_string"),
        "type_name" => builtin!([Free], regorus "type_name"),
        _ => return None,
    })
}
