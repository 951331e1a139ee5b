//! What was counted must be what a contender's name says: a measurement of something else is an error, not a number.

use crate::contender::Contender;
use crate::error::Error;
use crate::round::Loaded;

/// What was expected, and what was found instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unlike {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Unlike {
    /// Of a contender.
    pub(crate) fn by(self, contender: Contender) -> Error {
        let Self { expected, found } = self;
        Error::Unexpected { contender, expected, found }
    }

    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl From<Unlike> for Error {
    fn from(Unlike { expected, found }: Unlike) -> Self {
        Self::Other(format!("expected {expected}, found {found}"))
    }
}

/// Whether a contender did what it is measured for.
pub(crate) fn contender(contender: Contender, loaded: &Loaded) -> Result<(), Unlike> {
    answers(&format!("{}xx", contender.status() / 100), loaded)?;
    refusals(contender.status(), loaded)?;
    if let Some(reason) = contender.reason() {
        decided(reason, loaded)?;
    }
    if let Some(hits) = contender.jwt_cache() {
        jwt_cache(hits, loaded)?;
    }
    verified(contender.verified_by(), loaded)
}

/// Whether all answers were of a class, `2xx` for example, and none was lost.
pub(crate) fn answers(class: &str, loaded: &Loaded) -> Result<(), Unlike> {
    let (all, expected) = (loaded.counts.all_answers(), loaded.counts.answers(class));
    if all == 0 || all != expected {
        return Err(Unlike::new(format!("answers of {class} only"), format!("{expected} of {all}")));
    }
    nothing_lost(loaded)
}

/// Whether the filter verified every token so, by the label of its counter; `None`: whether it admitted none.
pub(crate) fn verified(only: Option<&str>, loaded: &Loaded) -> Result<(), Unlike> {
    for label in ["hit", "chain_hit", "miss"] {
        let found = loaded.counts.verified_by(label);
        if only == Some(label) {
            all(&format!("every token verified by `{label}`"), found, loaded)?;
        } else if found > 0 {
            let found = format!("{found} of {}", loaded.counts.all_answers());
            return Err(Unlike::new(format!("no token verified by `{label}`"), found));
        }
    }
    Ok(())
}

/// Whether every answer reached the load generator, and every request was answered. wrk connects anew where a server
/// closes, and does not always call that an error: what was under way is lost then, unseen.
///
/// When it stops, each connection has at most one request under way, which the server may answer or not; and before its
/// first request wrk makes one only to see whether it is one, which the script counts and nobody sends.
fn nothing_lost(loaded: &Loaded) -> Result<(), Unlike> {
    let Loaded { load, counts, connections, .. } = loaded;
    let all = counts.all_answers();
    if !(load.requests..=load.requests + connections).contains(&all) {
        let expected = format!("as many answers sent as received, and at most {connections} more");
        return Err(Unlike::new(expected, format!("{all} sent and {} received", load.requests)));
    }
    if load.asked > load.requests + connections + 1 {
        let expected = format!("an answer to each request but at most {}", connections + 1);
        return Err(Unlike::new(expected, format!("{} requests and {} answers", load.asked, load.requests)));
    }
    if load.broken != 0 {
        return Err(Unlike::new("no broken connection", format!("{load:?}")));
    }
    Ok(())
}

/// As the load generator saw it.
fn refusals(status: u16, loaded: &Loaded) -> Result<(), Unlike> {
    let expected = if status < 400 { 0 } else { loaded.load.requests };
    if loaded.load.refused != expected {
        return Err(Unlike::new(format!("{expected} refusals"), format!("{:?}", loaded.load)));
    }
    Ok(())
}

fn decided(reason: &str, loaded: &Loaded) -> Result<(), Unlike> {
    all(&format!("every request decided with the reason `{reason}`"), loaded.counts.decided(reason), loaded)
}

fn jwt_cache(hits: bool, loaded: &Loaded) -> Result<(), Unlike> {
    let found = loaded.counts.jwt_cache_hits();
    if hits {
        return all("every token found in jwt_authn's cache", found, loaded);
    }
    if found > 0 {
        return Err(Unlike::new("no token found in jwt_authn's cache", found.to_string()));
    }
    Ok(())
}

/// Within one request a connection: those that were under way while the counters were read.
fn all(expected: &str, found: u64, loaded: &Loaded) -> Result<(), Unlike> {
    let all = loaded.counts.all_answers();
    if found.abs_diff(all) > loaded.connections {
        return Err(Unlike::new(expected, format!("{found} of {all}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    const ANSWERS_200: &str = "http.scbte_data.downstream_rq_2xx";
    const ANSWERS_401: &str = "http.scbte_data.downstream_rq_4xx";
    const HIT: &str = "wasmcustom.result=.=hit;.;scbte_token_cache_total";
    const CHAIN_HIT: &str = "wasmcustom.result=.=chain_hit;.;scbte_token_cache_total";
    const ALLOWED: &str = "wasmcustom.verdict=.=allow;.;reason=.=none;.;scbte_requests_total";
    const BAD_SIGNATURE: &str = "wasmcustom.verdict=.=deny;.;reason=.=bad_signature;.;scbte_requests_total";
    const EXPIRED: &str = "wasmcustom.verdict=.=deny;.;reason=.=expired;.;scbte_requests_total";
    const JWT_HIT: &str = "http.scbte_data.jwt_authn.jwt_cache_hit";

    /// A thousand requests over ten connections, and what the servers counted.
    fn loaded(refused: u64, counts: &[(&str, u64)]) -> Loaded {
        let load = json!({
            "requests": 1000, "microseconds": 1, "p50_us": 1, "p99_us": 1, "refused": refused, "broken": 0,
            "sent": 1000, "asked": 1000,
        });
        Loaded {
            load: serde_json::from_value(load).unwrap(),
            counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            cpu: Duration::from_secs(1),
            connections: 10,
        }
    }

    #[test]
    fn a_contender_does_what_its_name_says() {
        use Contender::{Native, NativeCache, ScbteBadSignature, ScbteHot};
        let hot = |of: &[(&'static str, u64)]| loaded(0, &[&[(ANSWERS_200, 1000), (ALLOWED, 1000)], of].concat());
        let bad = |of: &[(&'static str, u64)]| loaded(1000, &[&[(ANSWERS_401, 1000)], of].concat());
        let cached = |hits| loaded(0, &[(ANSWERS_200, 1000), (JWT_HIT, hits)]);
        for (name, one, loaded, expected) in [
            ("all hits", ScbteHot, hot(&[(HIT, 1000)]), None),
            ("some on their way", ScbteHot, hot(&[(HIT, 990)]), None),
            ("too few hits", ScbteHot, hot(&[(HIT, 989)]), Some("every token verified by `hit`")),
            (
                "one that was not",
                ScbteHot,
                hot(&[(HIT, 1000), (CHAIN_HIT, 1)]),
                Some("no token verified by `chain_hit`"),
            ),
            ("nothing", ScbteHot, loaded(0, &[]), Some("answers of 2xx only")),
            ("one refused", ScbteHot, loaded(0, &[(ANSWERS_200, 999), (ANSWERS_401, 1)]), Some("answers of 2xx only")),
            ("seen as refused", ScbteHot, loaded(1, &[(ANSWERS_200, 1000)]), Some("0 refusals")),
            ("bad signatures", ScbteBadSignature, bad(&[(BAD_SIGNATURE, 1000)]), None),
            (
                "another 401",
                ScbteBadSignature,
                bad(&[(EXPIRED, 1000)]),
                Some("every request decided with the reason `bad_signature`"),
            ),
            ("a cache that hits", NativeCache, cached(1000), None),
            ("a cache that does not", NativeCache, cached(900), Some("every token found in jwt_authn's cache")),
            ("no cache", Native, cached(0), None),
            ("a cache where none is", Native, cached(1), Some("no token found in jwt_authn's cache")),
        ] {
            let found = contender(one, &loaded).err().map(|unlike| unlike.expected);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn each_request_has_its_answer() {
        for (name, sent, asked, broken, is_good) in [
            ("as many", 1000, 1000, 0, true),
            ("all connections stopped midway", 1010, 1011, 0, true),
            ("answers that nobody sent", 999, 1000, 0, false),
            ("answers that were lost", 1011, 1011, 0, false),
            ("requests that were lost", 1000, 1012, 0, false),
            ("a broken connection", 1000, 1000, 1, false),
        ] {
            let mut loaded = loaded(0, &[(ANSWERS_200, sent)]);
            (loaded.load.asked, loaded.load.broken) = (asked, broken);
            assert_eq!(nothing_lost(&loaded).is_ok(), is_good, "{name}");
        }
    }
}
