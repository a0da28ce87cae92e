//! Times and what is made of them.
//!
//! *Invariant:* what one thread computes is timed by that thread's processor time: the turns that other processes
//! have on its core are not its cost. What waits for others (sockets, disks) is timed by the clock.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long the measuring of one figure may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// One sample repeats its operation for about this long. Shorter: the clock's own cost shows. Longer: a pause
    /// of the machine is in every sample instead of in a few.
    pub sample_ms: u64,
    /// Samples of each side; odd, so that the median is one of them.
    pub samples: usize,
}

impl Effort {
    /// For publishing.
    pub const FULL: Self = Self { sample_ms: 40, samples: 25 };
    /// For trying: figures that are roughly right.
    pub const QUICK: Self = Self { sample_ms: 5, samples: 5 };
}

/// Nanoseconds of processor time a round of `op`: the median of the samples.
pub fn ns_per_round(effort: Effort, mut op: impl FnMut()) -> f64 {
    let rounds = rounds_of(effort, &mut op);
    median((0..effort.samples).map(|_| sample_ns(&mut op, rounds)).collect())
}

/// Nanoseconds a round of each, their samples taken in turns.
pub fn side_by_side(effort: Effort, mut ours: impl FnMut(), mut peer: impl FnMut()) -> (f64, f64) {
    let (our_rounds, peer_rounds) = (rounds_of(effort, &mut ours), rounds_of(effort, &mut peer));
    let (of_ours, of_peer) = (0..effort.samples)
        .map(|_| (sample_ns(&mut ours, our_rounds), sample_ns(&mut peer, peer_rounds)))
        .unzip();
    (median(of_ours), median(of_peer))
}

/// How many rounds fill a sample. Doubles until half a sample is filled, which warms the caches as well.
fn rounds_of(effort: Effort, op: &mut impl FnMut()) -> u64 {
    let sample_ns_wanted = effort.sample_ms as f64 * 1e6;
    let mut rounds = 1;
    loop {
        if sample_ns(op, rounds) * rounds as f64 * 2.0 >= sample_ns_wanted {
            return rounds * 2;
        }
        rounds *= 2;
    }
}

fn sample_ns(op: &mut impl FnMut(), rounds: u64) -> f64 {
    let started_ns = processor_ns();
    (0..rounds).for_each(|_| op());
    (processor_ns() - started_ns) / rounds as f64
}

/// What this thread has computed so far.
fn processor_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The middle one; the mean of the middle two of an even number.
///
/// # Panics
/// Without values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values[values.len() / 2], values[(values.len() - 1) / 2]);
    (upper + lower) / 2.0
}

/// What is told of many times of one operation, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Percentiles {
    /// `None` without values. A percentile is the smallest value that so many are not above: never interpolated.
    pub fn of_ms(mut values_ms: Vec<f64>) -> Option<Self> {
        values_ms.sort_by(f64::total_cmp);
        let max_ms = *values_ms.last()?;
        let at = |percent: usize| values_ms[(values_ms.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self { p50_ms: at(50), p99_ms: at(99), max_ms })
    }

    pub fn of(times: &[Duration]) -> Option<Self> {
        Self::of_ms(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), 3.0);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred = Percentiles::of_ms((1..=100).rev().map(f64::from).collect());
        assert_eq!(hundred, Some(Percentiles { p50_ms: 50.0, p99_ms: 99.0, max_ms: 100.0 }));
        let one = Percentiles::of(&[Duration::from_millis(7)]);
        assert_eq!(one, Some(Percentiles { p50_ms: 7.0, p99_ms: 7.0, max_ms: 7.0 }));
        assert_eq!(Percentiles::of_ms(vec![]), None);
    }

    #[test]
    fn the_slower_side_is_measured_as_slower() {
        let work = |times: u64| {
            move || {
                (0..times).for_each(|i| {
                    std::hint::black_box(i);
                })
            }
        };
        let (short, long) = side_by_side(Effort { sample_ms: 1, samples: 5 }, work(50), work(5000));
        assert!(short < long, "{short} ns against {long} ns");
    }
}
