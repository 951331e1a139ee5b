//! The time of something short.

use std::time::{Duration, Instant};

/// V8 optimises what has run for a while; caches fill.
const WARM_UP: Duration = Duration::from_millis(500);

/// Short enough that most batches pass without the machine doing something else, long enough for its clock.
const BATCH: Duration = Duration::from_millis(2);

/// Batches of each request, at least.
const BATCHES: usize = 5;

/// Nanoseconds of each request: the median of its batches. The requests take turns.
pub(crate) fn time(mut evaluate: impl FnMut(usize), requests: usize, time: Duration) -> Vec<f64> {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        (0..requests).for_each(&mut evaluate);
    }
    let sizes: Vec<u32> = (0..requests).map(|request| batch_size(|| evaluate(request))).collect();
    let mut batches = vec![Vec::new(); requests];
    let start = Instant::now();
    while start.elapsed() < time || batches.iter().any(|times| times.len() < BATCHES) {
        for (request, (times, size)) in batches.iter_mut().zip(&sizes).enumerate() {
            let batch = batch(*size, || evaluate(request));
            times.push(batch.as_secs_f64() * 1e9 / f64::from(*size));
        }
    }
    batches.into_iter().map(median).collect()
}

fn batch_size(mut evaluate: impl FnMut()) -> u32 {
    let mut size = 1;
    while batch(size, &mut evaluate) < BATCH {
        size *= 2;
    }
    size
}

fn batch(size: u32, mut evaluate: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..size).for_each(|_| evaluate());
    start.elapsed()
}

/// The one in the middle; of an even number the upper one. 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
