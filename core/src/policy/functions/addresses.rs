//! `net.cidr_contains`, `net.cidr_is_valid`, as Go's `net` reads addresses: an IPv4 address inside an IPv6 one is IPv4.

use super::meter::spend_flat;
use super::{Outcome, builtin};
use regorus::Value;
use regorus::unstable::BuiltinFcn;
use std::net::{IpAddr, Ipv6Addr};

pub(super) fn find(name: &str) -> Option<BuiltinFcn> {
    Some(match name {
        "net.cidr_contains" => builtin!([Text, Text], existing cidr_contains),
        "net.cidr_is_valid" => builtin!([Free], existing cidr_is_valid),
        _ => return None,
    })
}

/// What is contained is an address or another network.
fn cidr_contains(arguments: &[Value]) -> Outcome {
    let [Value::String(network), Value::String(other)] = arguments else { return Ok(Value::Undefined) };
    let Some(network) = Network::parse(network) else { return Ok(Value::Undefined) };
    Ok(match (other.parse::<IpAddr>(), Network::parse(other)) {
        (Ok(address), _) => Value::from(network.contains(address)),
        (_, Some(other)) => Value::from(network.contains_all(&other)),
        _ => Value::Undefined,
    })
}

fn cidr_is_valid(arguments: &[Value]) -> Outcome {
    arguments.iter().filter(|value| matches!(value, Value::String(_))).try_for_each(spend_flat)?;
    Ok(Value::from(matches!(arguments, [Value::String(text)] if Network::parse(text).is_some())))
}

/// A network: its first address, and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix: u32 = prefix.parse().ok()?;
        let first = match address {
            IpAddr::V4(address) if prefix <= 32 => IpAddr::V4((address.to_bits() & mask_v4(prefix)).into()),
            IpAddr::V6(address) if prefix <= 128 => IpAddr::V6((address.to_bits() & mask_v6(prefix)).into()),
            _ => return None,
        };
        Some(Self { first, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.first.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                // Of an IPv6 mask, the last 32 bits.
                let prefix = if self.first.is_ipv6() { self.prefix.saturating_sub(96) } else { self.prefix };
                first.to_bits() == address.to_bits() & mask_v4(prefix)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => first.to_bits() == address.to_bits() & mask_v6(self.prefix),
            _ => false,
        }
    }

    fn contains_all(&self, other: &Self) -> bool {
        match (self.plain_v6(), other.plain_v6()) {
            (Some(first), Some(other_first)) => {
                self.prefix <= other.prefix && first.to_bits() == other_first.to_bits() & mask_v6(self.prefix)
            }
            _ => self.contains(other.first) && self.contains(other.last()),
        }
    }

    fn plain_v6(&self) -> Option<Ipv6Addr> {
        match self.first.to_canonical() {
            IpAddr::V6(first) => Some(first),
            IpAddr::V4(_) => None,
        }
    }

    fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() | !mask_v4(self.prefix)).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() | !mask_v6(self.prefix)).into()),
        }
    }
}

fn mask_v4(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0)
}
