//! Latencies and gaps of one kind of operation on one shard.
//!
//! *Invariant:* no clock here: times are passed in, and an outage at the end of the load counts as much
//! as one in its middle.

use std::time::{Duration, Instant};

/// How long the acknowledgements of one shard stayed away, and how long each operation took.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    last: Instant,
    longest_gap: Duration,
    /// One for each acknowledged operation, in microseconds.
    took_us: Vec<u32>,
}

impl Meter {
    pub(super) fn new(start: Instant) -> Self {
        Self { last: start, longest_gap: Duration::ZERO, took_us: Vec::new() }
    }

    /// An operation that was due at `due` was acknowledged at `at`.
    pub(super) fn acknowledged(&mut self, due: Instant, at: Instant) {
        self.stretch(at);
        let took_us = at.saturating_duration_since(due).as_micros();
        self.took_us.push(u32::try_from(took_us).unwrap_or(u32::MAX));
    }

    /// The load ends at `at`: what has not been acknowledged by then was a gap until then.
    pub(super) fn end(&mut self, at: Instant) {
        self.stretch(at);
    }

    pub(super) fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    pub(super) fn count(&self) -> usize {
        self.took_us.len()
    }

    pub(super) fn took_us(&self) -> &[u32] {
        &self.took_us
    }

    fn stretch(&mut self, at: Instant) {
        self.longest_gap = self.longest_gap.max(at.saturating_duration_since(self.last));
        self.last = self.last.max(at);
    }
}

/// Percentiles in ms, exact: every latency was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(super) struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    pub(super) fn of(mut took_us: Vec<u32>) -> Self {
        took_us.sort_unstable();
        // The smallest value that at least that share of all does not exceed.
        let at = |share: f64| {
            let rank = (took_us.len() as f64 * share).ceil() as usize;
            took_us.get(rank.saturating_sub(1)).map_or(0.0, |us| f64::from(*us) / 1000.0)
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// Milliseconds with three digits behind the point: more is noise.
pub(super) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_longest_gap_is_between_acknowledgements_and_not_between_sends() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.acknowledged(start, start + 5 * MS);
        // Sent before the outage, acknowledged after it.
        meter.acknowledged(start + 6 * MS, start + 47 * MS);
        meter.acknowledged(start + 46 * MS, start + 48 * MS);
        meter.end(start + 50 * MS);
        assert_eq!(meter.longest_gap(), 42 * MS);
        assert_eq!(meter.took_us(), [5_000, 41_000, 2_000]);
    }

    #[test]
    fn an_outage_at_either_end_counts() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.acknowledged(start, start + 30 * MS);
        assert_eq!(meter.longest_gap(), 30 * MS);
        meter.end(start + 90 * MS);
        assert_eq!(meter.longest_gap(), 60 * MS);
    }

    #[test]
    fn acknowledgements_that_are_noted_out_of_order_make_no_gap() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.acknowledged(start, start + 10 * MS);
        meter.acknowledged(start, start + 9 * MS);
        meter.acknowledged(start, start + 11 * MS);
        assert_eq!(meter.longest_gap(), 10 * MS);
    }

    #[test]
    fn percentiles_are_ranks() {
        let percentiles = Percentiles::of((1..=1000).rev().map(|n| n * 1000).collect());
        assert_eq!(percentiles, Percentiles { p50: 500.0, p99: 990.0, p999: 999.0, max: 1000.0 });
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
        assert_eq!(Percentiles::of(vec![1500]).p50, 1.5);
    }
}
