//! What is measured, and how: shared by the divan benches (`cargo bench -p ironcache-benches`) and by the table of
//! `docs/benchmarks.md` (`cargo run --release -p ironcache-benches --bin table`).
//!
//! ```text
//!  workload::{resp, commands, replication, commit} ──┬─► benches/*.rs     divan: while optimising
//!  measure: medians, percentiles, turns ─────────────┴─► src/bin/table    the published figures
//! ```
//!
//! *Invariant:* a comparison alternates between the two sides, so that a slow moment of the machine hits both.
//! *Invariant:* a figure is a median or a named percentile, never a single run or the best one.

pub mod measure;
pub mod workload;

/// The allocator of the `ironcache` binary, so that what allocates here costs what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
