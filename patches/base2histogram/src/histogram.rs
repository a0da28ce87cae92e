//! Counts of values in buckets that grow with the value.

use crate::percentile_stats::PercentileStats;
use std::marker::PhantomData;

/// Four buckets a power of two: a bucket is at most a quarter as wide as its least value.
const STEP_BITS: u32 = 2;
const STEPS: usize = 1 << STEP_BITS;
/// The values below [`STEPS`] one by one, then the powers from there up to 2^63.
const BUCKETS: usize = STEPS + (64 - STEP_BITS as usize) * STEPS;

/// A histogram of `u64` values. `T` is what the original attaches to time slots, which openraft does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Vec<u64>,
    samples: u64,
    slots: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// An empty one; takes memory with its first value.
    pub fn new() -> Self {
        Self { counts: Vec::new(), samples: 0, slots: PhantomData }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        self.counts[bucket_of(value)] += times;
        self.samples += times;
    }

    /// How many values were recorded.
    pub fn total(&self) -> u64 {
        self.samples
    }

    /// The least value of the bucket in which the sample of this rank lies, `fraction` within 0 and 1; 0 without
    /// samples.
    pub fn percentile(&self, fraction: f64) -> u64 {
        let rank = (fraction * self.samples as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return least_of(bucket);
            }
        }
        0
    }

    /// The percentiles that people look at.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples,
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.10),
            p50: self.percentile(0.50),
            p90: self.percentile(0.90),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let power = value.ilog2();
    let step = (value >> (power - STEP_BITS)) as usize & (STEPS - 1);
    STEPS + (power - STEP_BITS) as usize * STEPS + step
}

fn least_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let (power, step) = ((bucket - STEPS) / STEPS, (bucket - STEPS) % STEPS);
    ((STEPS + step) as u64) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_bucket_that_begins_at_or_below_it() {
        let edges =
            (0..64).flat_map(|power| [0u64, 1, 2, 3].map(|more| (1u64 << power).saturating_add(more)));
        for value in (0..10_000).chain(edges).chain([u64::MAX - 1, u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            assert!(least_of(bucket) <= value, "{value}");
            assert!(bucket + 1 == BUCKETS || value < least_of(bucket + 1), "{value}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        histogram.record_n(3, 100);
        histogram.record(1000);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50, stats.p99), (101, 3, 3, 3));
        assert_eq!(stats.p99_9, 896, "the least value of 1000's bucket");
    }
}
