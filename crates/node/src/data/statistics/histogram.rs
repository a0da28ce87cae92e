//! How long something took, and how often: in buckets that are at most 1.6 % of their value wide.
//!
//! *Invariant:* bounded: a bucket is a number, there are at most [`BUCKETS_MAX`], and none for what was never reached.

/// Buckets for each power of two. More, and a histogram takes more memory than what it tells is worth; fewer, and a
/// percentile is further from the truth than two digits.
const PER_OCTAVE: usize = 64;
const PER_OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
/// Longer is counted as this: a second, as Redis has it.
const NS_MAX: u64 = 1_000_000_000;
/// 64 buckets of 1 ns, and 64 for each power of two up to 2^30: 12.5 KiB.
const BUCKETS_MAX: usize = bucket(NS_MAX) + 1;
/// Where the first bucket of `LATENCY HISTOGRAM` ends: a microsecond, rounded to a power of two.
const FIRST_BOUND_NS: u64 = 1024;

#[derive(Clone, Debug, Default)]
pub(in crate::data) struct Histogram {
    /// As many as were reached.
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    #[inline]
    pub(in crate::data) fn record(&mut self, ns: u64) {
        let bucket = bucket(ns.min(NS_MAX));
        if bucket >= self.counts.len() {
            // A power of two at a time.
            self.counts.resize((bucket + 1).next_multiple_of(PER_OCTAVE).min(BUCKETS_MAX), 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    pub(in crate::data) fn total(&self) -> u64 {
        self.total
    }

    /// What so many of a hundred did not exceed, in ns: the largest value of a bucket.
    pub(in crate::data) fn percentile_ns(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0) * self.total as f64 + 0.5) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted.max(1) {
                return largest_of(bucket);
            }
        }
        0
    }

    /// How many took at most so many microseconds, for bounds that double: only where the count changes.
    pub(in crate::data) fn cumulative_us(&self) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        let (mut seen, mut from, mut bound_ns) = (0, 0, FIRST_BOUND_NS);
        while seen < self.total {
            // The bucket that begins at the bound is below it, as in Redis.
            let end = (bucket(bound_ns) + 1).min(self.counts.len());
            let more: u64 = self.counts.get(from..end).unwrap_or_default().iter().sum();
            if more > 0 {
                seen += more;
                told.push(((bound_ns + bound_ns / 128 - 1) / 1000, seen));
            }
            from = end.max(from);
            bound_ns *= 2;
        }
        told
    }
}

/// Values below twice [`PER_OCTAVE`] have a bucket each; of what is above, the highest bits choose one.
const fn bucket(ns: u64) -> usize {
    if ns < PER_OCTAVE as u64 {
        return ns as usize;
    }
    let shift = ns.ilog2() - PER_OCTAVE_BITS;
    (shift as usize) * PER_OCTAVE + (ns >> shift) as usize
}

fn largest_of(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let first = (bucket - shift * PER_OCTAVE) as u64;
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_near_its_largest() {
        let mut last = 0;
        for ns in (0..5_000).chain((0..30).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let largest = largest_of(bucket(ns));
            assert!(ns <= largest && largest - ns <= ns / PER_OCTAVE as u64, "{ns} {largest}");
        }
        for ns in 0..100_000 {
            let next = bucket(ns);
            assert!(next == last || next == last + 1, "{ns}");
            last = next;
        }
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_ns(50.0), 0);
        for us in 1..=1000 {
            histogram.record(us * 1000);
        }
        for (percent, us) in [(0.0, 1), (50.0, 500), (99.0, 990), (99.9, 999), (100.0, 1000)] {
            let told = histogram.percentile_ns(percent) as f64 / 1000.0;
            assert!((told - us as f64).abs() <= us as f64 * 0.02, "{percent}: {told}");
        }
    }

    #[test]
    fn bounds_double_and_say_how_many_are_below() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.cumulative_us(), []);
        for ns in [0, 900, 46_000, 4_200_000, u64::MAX] {
            histogram.record(ns);
        }
        assert_eq!(histogram.cumulative_us(), [(1, 2), (66, 3), (4227, 4), (1_082_130, 5)]);
        assert!(histogram.counts.len() <= BUCKETS_MAX);
    }
}
