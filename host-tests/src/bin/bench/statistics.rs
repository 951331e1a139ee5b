//! Smallest, median and largest of what rounds measured, and ratios of contenders of the same round.

use crate::contender::Contender;
use crate::round::Measurement;
use serde::{Deserialize, Serialize};

/// Of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 { upper } else { f64::midpoint(*sorted.get(middle - 1)?, upper) };
        Some(Self { min: *sorted.first()?, median, max: *sorted.last()? })
    }
}

/// Measurements, each with what it adds.
#[derive(Debug)]
pub(crate) struct Measured(Vec<Compared>);

/// A measurement beside its base: the mean of the nearest `none` before it and the nearest behind it in the same round,
/// or a base of its own.
#[derive(Clone, Debug)]
struct Compared {
    measurement: Measurement,
    /// CPU time per request over the base, in microseconds.
    added: Option<f64>,
}

impl Measured {
    pub(crate) fn new(measurements: &[Measurement]) -> Self {
        let compared =
            |(at, one): (usize, &Measurement)| Compared { measurement: one.clone(), added: added(measurements, at) };
        Self(measurements.iter().enumerate().map(compared).collect())
    }

    /// Whom there are measurements of.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        Contender::ALL.into_iter().filter(|one| self.of(*one).next().is_some()).collect()
    }

    pub(crate) fn spread(&self, contender: Contender, value: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        Spread::of(self.of(contender).map(|one| value(&one.measurement)))
    }

    /// CPU time per request over the base, in microseconds.
    pub(crate) fn added(&self, contender: Contender) -> Option<Spread> {
        Spread::of(self.of(contender).filter_map(|one| one.added))
    }

    /// CPU time per request of a base of its own, in microseconds.
    pub(crate) fn own_base(&self, contender: Contender) -> Option<Spread> {
        Spread::of(self.of(contender).filter_map(|one| one.measurement.base_cpu_us))
    }

    /// The ratio of what two add, round by round.
    pub(crate) fn added_ratio(&self, one: Contender, other: Contender) -> Option<Spread> {
        Spread::of(self.pairs(one, other).filter_map(|(one, other)| Some(one.added? / other.added?)))
    }

    /// The ratio of a value of two, round by round.
    pub(crate) fn ratio(
        &self,
        one: Contender,
        other: Contender,
        value: impl Fn(&Measurement) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.pairs(one, other).map(|(one, other)| value(&one.measurement) / value(&other.measurement)))
    }

    fn of(&self, contender: Contender) -> impl Iterator<Item = &Compared> {
        self.0.iter().filter(move |one| one.measurement.contender == contender)
    }

    fn pairs(&self, one: Contender, other: Contender) -> impl Iterator<Item = (&Compared, &Compared)> {
        let same_round = move |a: &Compared| self.of(other).find(|b| a.measurement.round == b.measurement.round);
        self.of(one).filter_map(move |a| Some((a, same_round(a)?)))
    }
}

fn added(all: &[Measurement], at: usize) -> Option<f64> {
    let own = all.get(at)?;
    if let Some(base) = own.base_cpu_us {
        return Some(own.cpu_us - base);
    }
    let is_base = |found: &&Measurement| found.round == own.round && found.contender == Contender::None;
    let before = all[..at].iter().rev().find(is_base);
    let behind = all[at + 1..].iter().find(is_base);
    let bases: Vec<_> = before.into_iter().chain(behind).map(|base| base.cpu_us).collect();
    if own.contender == Contender::None || bases.is_empty() {
        return None;
    }
    Some(own.cpu_us - bases.iter().sum::<f64>() / bases.len() as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One measurement of each: contender, round, µs.
    pub(crate) fn measured(rows: &[(Contender, usize, f64)]) -> Measured {
        Measured::new(&rows.iter().map(measurement).collect::<Vec<_>>())
    }

    /// A contender, its round and its CPU time; the rest follows from that.
    pub(crate) fn measurement(&(contender, round, cpu_us): &(Contender, usize, f64)) -> Measurement {
        Measurement {
            contender,
            round,
            requests: 1000,
            requests_per_second: 1e6 / cpu_us,
            cpu_us,
            core_share: 1.0,
            base_cpu_us: None,
            p50_ms: cpu_us / 10.0,
            p99_ms: cpu_us / 5.0,
        }
    }

    #[test]
    fn the_middle_of_rounds() {
        for (values, expected) in [
            (vec![3.0, 1.0, 2.0], Some((1.0, 2.0, 3.0))),
            (vec![4.0, 1.0, 2.0, 3.0], Some((1.0, 2.5, 4.0))),
            (vec![7.0], Some((7.0, 7.0, 7.0))),
            (vec![], None),
        ] {
            assert_eq!(Spread::of(values).map(|spread| (spread.min, spread.median, spread.max)), expected);
        }
    }

    #[test]
    fn what_is_added_is_over_the_nearest_none_of_the_same_round() {
        use Contender::{NativeCache, None as Base, ScbteHot};
        let measured = measured(&[
            (Base, 0, 10.0),
            (ScbteHot, 0, 18.0),
            (NativeCache, 0, 22.0),
            (Base, 0, 14.0),
            (Base, 1, 20.0),
            (NativeCache, 1, 30.0),
            (ScbteHot, 1, 25.0),
        ]);
        assert_eq!(measured.added(ScbteHot), Spread::of([6.0, 5.0]));
        assert_eq!(measured.added_ratio(ScbteHot, NativeCache), Spread::of([0.6, 0.5]));
        assert_eq!(measured.ratio(NativeCache, ScbteHot, |one| one.cpu_us), Spread::of([22.0 / 18.0, 1.2]));
        let own_base = Measurement { base_cpu_us: Some(4.0), ..measured.0[1].measurement.clone() };
        assert_eq!(Measured::new(&[own_base]).added(ScbteHot), Spread::of([14.0]));
        assert_eq!((measured.added(Base), measured.added(Contender::Native)), (None, None));
    }
}
