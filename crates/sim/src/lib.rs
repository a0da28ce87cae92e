//! A whole cluster in one thread: the pure crates under a seeded scheduler.
//!
//! ```text
//!             proposals: lost, doubled, late                faults: kill -9, cut off, another leader,
//!   nodes ────────────────────────────────► ordered log           a release that does not start
//!     ▲  agent::next, data plane, launcher      │                              │
//!     └───────── each applies at its own pace ──┘      checks after every entry and every tick
//! ```
//!
//! Control state, coordinator and agent are the real ones. Raft is an ordered log with a leader, the
//! launcher and the data plane are small models: a dataset is the list of writes it holds; a primary
//! acknowledges a write when every member that it has to ask holds it, and its own data outlives its process
//! (the journal of the design), a replica's may not.
//!
//! After a time of faults everything heals, and the cluster has to converge: every node on the target, or,
//! if the release is bad, everybody back in service on the old one with the release quarantined.
//!
//! *Invariant:* a run is a function of its seed.

mod checks;
mod data;
mod launcher;
mod leader;
mod network;
mod node;
mod operator;
mod rng;
mod scenario;
mod world;

pub use scenario::Scenario;
pub use world::{Failure, Summary, run};
