//! A whole cluster in one thread: the pure crates under a seeded scheduler.
//!
//! ```text
//!             proposals: lost, doubled, late                faults: kill -9, also at a committed step; a dataset
//!   nodes ────────────────────────────────► ordered log           lost; cut off; stalled; a deposed leader that goes
//!     ▲  agent::next, data plane, launcher      │                 on; a release that does not start
//!     └───────── each applies at its own pace ──┘      checks after every entry and every tick
//! ```
//!
//! Control state, coordinator and agent are the real ones. Raft is an ordered log with a leader, the
//! launcher and the data plane are small models: a dataset is the list of writes it holds; a primary
//! acknowledges a write when every member that it has to ask holds it, or in mode primary while nobody trails too
//! far. A process may take its dataset along while nothing else is wrong with its shard, a keeper included: in a pair that
//! is rolled too. A leader decides by answers that grow old.
//!
//! After a time of faults everything heals, and the cluster has to converge: every node on the target, or,
//! if the release is bad, everybody back in service on the old one with the release quarantined.
//!
//! *Invariant:* a run is a function of its seed.

mod checks;
mod data;
mod entry;
mod faults;
mod keeper;
mod launcher;
mod leader;
mod ledger;
mod network;
mod node;
mod operator;
mod rng;
mod scenario;
mod world;

pub use scenario::Scenario;
pub use world::{Failure, Summary, run};
