//! `+`, `-`, `*`, `/`, `%` on whole numbers, and `-` on sets.

use super::meter::spend_flat;
use super::{Outcome, Stop, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;

/// Bits of a number: what squares itself again and again would fill the memory.
const MAX_BITS: u64 = 1024;

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "plus" => builtin!([Free, Free], existing plus),
        "minus" => builtin!([Free, Free], existing minus),
        "mul" => builtin!([Free, Free], existing mul),
        "div" => builtin!([Free, Free], existing div),
        "rem" => builtin!([Free, Free], existing rem),
        _ => return None,
    })
}

/// The result of an operation on numbers.
macro_rules! bounded {
    ($result:expr) => {
        match $result {
            Ok(number) if is_small(&Value::Number(number.clone())) => Ok(Value::Number(number)),
            Ok(_) => Err(Stop::TooLarge),
            Err(_) => Ok(Value::Undefined),
        }
    };
}

/// Whether a number is within the bound.
pub(super) fn is_small(value: &Value) -> bool {
    let Value::Number(number) = value else { return false };
    number.as_i64().is_some() || number.as_u64().is_some() || number.as_big().is_some_and(|big| big.bits() <= MAX_BITS)
}

pub(super) fn plus(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(left), Value::Number(right)] => bounded!(left.add(right)),
        _ => Ok(Value::Undefined),
    }
}

fn minus(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(left), Value::Number(right)] => bounded!(left.sub(right)),
        [Value::Set(left), Value::Set(right)] => {
            arguments.iter().try_for_each(spend_flat)?;
            Ok(Value::from(left.difference(right)))
        }
        _ => Ok(Value::Undefined),
    }
}

pub(super) fn mul(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(left), Value::Number(right)] => bounded!(left.mul(right)),
        _ => Ok(Value::Undefined),
    }
}

/// OPA divides numbers of any size as 64-bit floats would; what divides evenly is exact within 64 bits.
fn div(arguments: &[Value]) -> Outcome {
    let [Value::Number(left), Value::Number(right)] = arguments else { return Ok(Value::Undefined) };
    let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) else { return Err(Stop::TooLarge) };
    if right == 0 {
        return Ok(Value::Undefined);
    }
    // Zero divided by what is negative is `-0` in OPA.
    match (left.checked_rem(right), left.checked_div(right)) {
        (Some(0), Some(quotient)) if left != 0 || right > 0 => Ok(Value::from(quotient)),
        (Some(_), Some(_)) => Err(Stop::Remainder),
        _ => Err(Stop::TooLarge),
    }
}

/// The remainder has the dividend's sign.
fn rem(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Number(_), Value::Number(right)] if right.as_i64() == Some(0) => Ok(Value::Undefined),
        [Value::Number(left), Value::Number(right)] => bounded!(left.clone().modulo(right)),
        _ => Ok(Value::Undefined),
    }
}
