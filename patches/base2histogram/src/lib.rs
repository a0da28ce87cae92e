//! Stands in for the crate of the same name, which openraft counts its batch sizes with.
//!
//! That crate builds lookup tables for sixteen bucket widths when the first histogram is made: 26 MB of
//! resident memory and tens of milliseconds at every start of a node, of which openraft uses one width (2 KB).
//! This one has the interface that openraft uses, and finds a value's bucket by arithmetic. See
//! `docs/adr/0012-no-tables-of-histogram-widths.md`.
//!
//! ```text
//! value   0 1 2 3   4 5 6 7   8-9 10-11 12-13 14-15   16-19 20-23 …      four buckets a power of two
//! bucket  0 1 2 3   4 5 6 7   8   9     10    11      12    13
//! ```
//!
//! *Invariant:* every `u64` has a bucket, and a percentile is the least value of a bucket that was recorded.

mod chart;
mod histogram;
mod percentile_stats;

pub use chart::AsciiChart;
pub use histogram::Histogram;
pub use percentile_stats::PercentileStats;
