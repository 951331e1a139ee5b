//! Metrics: counters, gauges and histograms by name, shared by all VMs of the process.
//!
//! As in Envoy an id belongs to its VM and each definition gives a new one, also for a name that is known; the metric
//! behind is the same. Counters do not go down, and increments of 0 are refused.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{Status, lock};

/// The low bits of a metric's id tell its kind.
const KIND_MASK: u32 = 3;

/// What a metric is (proxy-wasm ABI 0.2.1, `proxy_metric_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

impl Kind {
    pub(crate) fn from_abi(kind: u32) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().nth(kind as usize)
    }
}

/// All metrics of a [`Host`](super::Host). Names are without Envoy's `wasmcustom.` prefix.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<u64>>,
}

impl Metrics {
    /// A counter's value; `None` when no module has defined it.
    pub fn counter(&self, name: &str) -> Option<u64> {
        lock(&self.0).counters.get(name).copied()
    }

    /// The sum of all counters with this name and at least these labels, for names as Istio's `extraStatTags` have them:
    /// `label=.=value;.;name`. 0 when there is none.
    pub fn counter_with(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        lock(&self.0).counters.iter().filter(|(full, _)| has(full, name, labels)).map(|(_, value)| value).sum()
    }

    /// A gauge's value; `None` when no module has defined it.
    pub fn gauge(&self, name: &str) -> Option<u64> {
        lock(&self.0).gauges.get(name).copied()
    }

    /// The values that were recorded, oldest first; `None` when no module has defined it.
    pub fn histogram(&self, name: &str) -> Option<Vec<u64>> {
        lock(&self.0).histograms.get(name).cloned()
    }

    /// All counters.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        lock(&self.0).counters.clone()
    }

    /// The names of all metrics: counters, gauges, histograms, each sorted.
    pub fn names(&self) -> Vec<String> {
        let values = lock(&self.0);
        values.counters.keys().chain(values.gauges.keys()).chain(values.histograms.keys()).cloned().collect()
    }

    fn define(&self, kind: Kind, name: &str) {
        let values = &mut *lock(&self.0);
        match kind {
            Kind::Counter => _ = values.counters.entry(name.to_owned()).or_default(),
            Kind::Gauge => _ = values.gauges.entry(name.to_owned()).or_default(),
            Kind::Histogram => _ = values.histograms.entry(name.to_owned()).or_default(),
        }
    }

    fn increment(&self, kind: Kind, name: &str, by: i64) -> Result<(), Status> {
        let values = &mut *lock(&self.0);
        match kind {
            Kind::Counter if by > 0 => *values.counters.entry(name.to_owned()).or_default() += by.unsigned_abs(),
            Kind::Gauge => {
                let gauge = values.gauges.entry(name.to_owned()).or_default();
                *gauge = gauge.wrapping_add_signed(by);
            }
            Kind::Counter | Kind::Histogram => return Err(Status::BadArgument),
        }
        Ok(())
    }

    fn record(&self, kind: Kind, name: &str, value: u64) {
        let values = &mut *lock(&self.0);
        match kind {
            Kind::Counter => *values.counters.entry(name.to_owned()).or_default() += value,
            Kind::Gauge => _ = values.gauges.insert(name.to_owned(), value),
            Kind::Histogram => values.histograms.entry(name.to_owned()).or_default().push(value),
        }
    }
}

fn has(full: &str, name: &str, labels: &[(&str, &str)]) -> bool {
    let mut parts: Vec<&str> = full.split(";.;").collect();
    let found: Vec<_> = parts.drain(..parts.len() - 1).filter_map(|label| label.split_once("=.=")).collect();
    parts == [name] && labels.iter().all(|label| found.contains(label))
}

/// A VM's metric ids.
#[derive(Debug, Default)]
pub(crate) struct MetricIds {
    names: BTreeMap<u32, (Kind, String)>,
    defined: [u32; 3],
}

impl MetricIds {
    pub(crate) fn define(&mut self, metrics: &Metrics, kind: Kind, name: &str) -> u32 {
        metrics.define(kind, name);
        let count = &mut self.defined[kind as usize];
        *count += 1;
        let id = *count * (KIND_MASK + 1) + kind as u32;
        self.names.insert(id, (kind, name.to_owned()));
        id
    }

    pub(crate) fn increment(&self, metrics: &Metrics, id: u32, by: i64) -> Result<(), Status> {
        match Kind::from_abi(id & KIND_MASK) {
            Some(Kind::Counter | Kind::Gauge) => {}
            Some(Kind::Histogram) | None => return Err(Status::BadArgument),
        }
        let (kind, name) = self.find(id)?;
        metrics.increment(kind, name, by)
    }

    pub(crate) fn record(&self, metrics: &Metrics, id: u32, value: u64) -> Result<(), Status> {
        let (kind, name) = self.find(id)?;
        metrics.record(kind, name, value);
        Ok(())
    }

    pub(crate) fn get(&self, metrics: &Metrics, id: u32) -> Result<u64, Status> {
        match Kind::from_abi(id & KIND_MASK) {
            Some(Kind::Counter) => metrics.counter(self.find(id)?.1),
            Some(Kind::Gauge) => metrics.gauge(self.find(id)?.1),
            Some(Kind::Histogram) | None => return Err(Status::BadArgument),
        }
        .ok_or(Status::NotFound)
    }

    fn find(&self, id: u32) -> Result<(Kind, &str), Status> {
        self.names.get(&id).map(|(kind, name)| (*kind, name.as_str())).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_vms_share_a_metric_but_not_its_id() {
        let metrics = Metrics::default();
        let (mut first, mut second) = (MetricIds::default(), MetricIds::default());
        let ids = [first.define(&metrics, Kind::Counter, "c"), first.define(&metrics, Kind::Counter, "c")];
        assert_ne!(ids[0], ids[1], "each definition gives a new id, as Envoy's does");
        let other = second.define(&metrics, Kind::Counter, "c");
        for (vm, id, by) in [(&first, ids[0], 1), (&first, ids[1], 2), (&second, other, 4)] {
            vm.increment(&metrics, id, by).unwrap();
        }
        assert_eq!(metrics.counter("c"), Some(7));
    }

    #[test]
    fn what_each_kind_refuses() {
        let metrics = Metrics::default();
        let mut ids = MetricIds::default();
        let [counter, gauge, histogram] =
            [Kind::Counter, Kind::Gauge, Kind::Histogram].map(|kind| ids.define(&metrics, kind, "m"));
        assert_eq!(ids.increment(&metrics, counter, 0), Err(Status::BadArgument));
        assert_eq!(ids.increment(&metrics, counter, -1), Err(Status::BadArgument));
        assert_eq!(ids.record(&metrics, gauge, 10).and(ids.increment(&metrics, gauge, -3)), Ok(()));
        assert_eq!(ids.get(&metrics, gauge), Ok(7));
        assert_eq!(ids.increment(&metrics, histogram, 1), Err(Status::BadArgument));
        assert_eq!(ids.get(&metrics, histogram), Err(Status::BadArgument));
        assert_eq!(ids.record(&metrics, histogram, 3), Ok(()));
        assert_eq!(metrics.histogram("m"), Some(vec![3]));
        assert_eq!(ids.record(&metrics, 4000, 1), Err(Status::NotFound));
    }

    #[test]
    fn counters_are_summed_by_label() {
        let metrics = Metrics::default();
        for (name, value) in [("a=.=1;.;b=.=2;.;n", 3), ("a=.=1;.;b=.=3;.;n", 4), ("a=.=1;.;nn", 100), ("n", 200)] {
            metrics.record(Kind::Counter, name, value);
        }
        let cases: [(&[(&str, &str)], u64); 4] =
            [(&[("a", "1")], 7), (&[("b", "2")], 3), (&[("b", "2"), ("a", "9")], 0), (&[], 207)];
        for (labels, expected) in cases {
            assert_eq!(metrics.counter_with("n", labels), expected, "{labels:?}");
        }
    }
}
