//! The values of a series, and what a filter and its callers are set up with at each of them.

use super::Name;
use crate::error::Error;
use crate::round::Bench;
use crate::servers::Settings;
use crate::tokens::{CONTEXT, Kind, Pools, good, many};
use scbte_core::bundle;
use scbte_core::verify::TOKEN_CACHE_CAPACITY;
use scbte_host_tests::fixture::{API_GATEWAY, Authority};
use serde_json::{Map, Value, json};

/// What a series varies, and for which kinds of requests.
pub(super) struct Plan {
    pub(super) quantity: &'static str,
    pub(super) lines: &'static [Kind],
    pub(super) values: &'static [u32],
}

/// What a line is called.
pub(super) const fn label(name: Name, line: Kind) -> &'static str {
    match name {
        // Hits of the cache as long as it holds them all.
        Name::DistinctTokens => "cycled",
        _ => line.label(),
    }
}

pub(super) fn plan(name: Name, long: bool) -> Plan {
    const TOKENS: &[u32] = &[1, 10, 100, 1_000, 4_000, 6_000, 20_000, 100_000, 1_000_000];
    let tokens = if long { TOKENS } else { TOKENS.split_last().map_or(TOKENS, |(_, shorter)| shorter) };
    let (quantity, lines, values): (_, &[_], &[_]) = match name {
        Name::TokenSize => {
            ("bytes of padding among the claims", &[Kind::Hot, Kind::Fresh], &[0, 512, 1024, 2048, 4096])
        }
        Name::ChainLength => ("certificates in the chain", &[Kind::Hot, Kind::Fresh, Kind::NewSvid], &[1, 2, 3, 4]),
        Name::Grants => ("grants in the policy's data", &[Kind::Hot], &[10, 100, 1_000, 10_000, 100_000]),
        Name::TrustDomains => ("trust domains", &[Kind::Hot, Kind::NewSvid], &[1, 10, 100, 1_000]),
        Name::DistinctTokens => ("distinct tokens, cycled", &[Kind::Fresh], tokens),
        Name::Workers => ("Envoy workers, which share one core", &[Kind::Hot, Kind::Fresh], &[1, 2]),
        Name::Memory | Name::Start => ("", &[], &[]),
    };
    Plan { quantity, lines, values }
}

/// One point's setting.
pub(super) struct Case {
    pub(super) settings: Settings,
    pub(super) tokens: Vec<String>,
    pub(super) workers: u32,
    /// How the filter must verify each token, by the label of its counter.
    pub(super) verified_by: &'static str,
}

impl Case {
    /// A case with new tokens.
    pub(super) fn new(bench: &Bench, name: Name, kind: Kind, x: u32) -> Result<Self, Error> {
        let tokens = match name {
            Name::TokenSize => {
                let padding = usize::try_from(x).map_err(Error::other)?;
                bench.identities.mint_padded(bench.pools.of(kind), padding)?
            }
            Name::ChainLength => of_chain(bench, kind, x)?,
            Name::DistinctTokens => bench.identities.mint(kind, &Pools { fresh: x, ..bench.pools })?,
            Name::Workers => bench.identities.mint(kind, &of_workers(&bench.pools, x))?,
            _ => bench.identities.mint(kind, &bench.pools)?,
        };
        let settings = match name {
            Name::Grants => Settings { policy: grants(x), ..Settings::default() },
            Name::TrustDomains => Settings { other_trust_domains: trust_domains(x - 1)?, ..Settings::default() },
            _ => Settings::default(),
        };
        let workers = if name == Name::Workers { x } else { 1 };
        let verified_by = match kind {
            Kind::NewSvid => "miss",
            _ if tokens.len() <= TOKEN_CACHE_CAPACITY.get() => "hit",
            _ => "chain_hit",
        };
        Ok(Self { settings, tokens, workers, verified_by })
    }
}

/// Each worker has caches of its own, and sees a part of the tokens: not always the same.
pub(super) fn of_workers(pools: &Pools, workers: u32) -> Pools {
    Pools { fresh: pools.fresh.saturating_mul(workers).saturating_mul(workers), ..*pools }
}

/// Tokens whose chain has so many certificates.
fn of_chain(bench: &Bench, kind: Kind, certificates: u32) -> Result<Vec<String>, Error> {
    let mut below = None;
    for _ in 1..certificates {
        let above: &Authority = below.as_ref().unwrap_or(&bench.identities.authority);
        below = Some(above.intermediate(scbte_host_tests::fixture::TRUST_DOMAIN)?);
    }
    let issuer = below.as_ref().unwrap_or(&bench.identities.authority);
    let count = bench.pools.of(kind);
    if kind == Kind::NewSvid {
        return many(count, || Ok(good(&issuer.issue(API_GATEWAY)?)));
    }
    let workload = issuer.issue(API_GATEWAY)?;
    many(count, || Ok(good(&workload)))
}

/// The caller's grant among others, with the limit on data raised.
fn grants(count: u32) -> Map<String, Value> {
    let other = |at| (format!("spiffe://cluster.local/ns/production/sa/service-{at}"), json!([CONTEXT]));
    let all = (1..count).map(other).chain([(API_GATEWAY.to_owned(), json!([CONTEXT]))]);
    Map::from_iter([
        ("data".to_owned(), json!({"grants": all.collect::<Map<_, _>>()})),
        ("max_data".to_owned(), json!("64MiB")),
    ])
}

/// Trust domains with an authority each.
fn trust_domains(count: u32) -> Result<Map<String, Value>, Error> {
    let ders = many(count, || Ok(Authority::new("partner.example")?.der()?))?;
    let named = |(at, der): (usize, &Vec<u8>)| (format!("partner-{at}.example"), bundle::to_json([der.as_slice()]));
    Ok(ders.iter().enumerate().map(named).collect())
}
