//! A whole cluster in one thread: the pure crates under a seeded scheduler.
//!
//! ```text
//!             proposals: lost, doubled, late                faults: kill -9, also at a committed step; a dataset
//!   nodes ────────────────────────────────► ordered log           lost; cut off; stalled; a deposed leader that goes
//!     ▲  agent::next, shard engine, launcher    │                 on; a release that does not start
//!     └───────── each applies at its own pace ──┘      checks after every entry and every tick
//! ```
//!
//! Control state, coordinator, agent, shard engine and keeper engine are the real ones, and so is what they stand on: the
//! acknowledgement gate, the replica's cursor, the lineage, the kept tail. Simulated are what is around them: raft is an ordered log with a
//! leader; the launcher is a small model; links (`wire`) are queues, in order and late; a keyspace is the list of the writes
//! that made it (`stream`); a disk holds what was written before a process ended (`disk`). The shells around the engines
//! (`shell`, `links`, `keeper`) perform what they say, as `node/data` and `node/keeper` do, and decide nothing.
//!
//! Clients (`clients`) write and read, and try again what they were told was not executed; a ledger holds what they were
//! told against what is there: nothing acknowledged is lost, no read is older than what was acknowledged before it was
//! asked, nothing is executed twice.
//!
//! A process may take everything that it held in memory along while nothing else is wrong with its shard, a keeper
//! included: in a pair that is rolled too. A machine may lose what its disk had not synced, its disk, or stay away; a disk
//! may be full; ways between nodes are lost in one direction; clocks run apart, and times of day are days apart and are set; a release may be slow, hang, or not start.
//! A leader decides by answers that grow old.
//!
//! After a time of faults everything heals, and the cluster has to converge: every node on the target, or,
//! if the release is bad, everybody back in service on the old one with the release quarantined.
//!
//! *Invariant:* a run is a function of its seed.

mod checks;
mod clients;
mod disk;
mod entry;
mod faults;
mod keeper;
mod launcher;
mod leader;
mod ledger;
mod links;
mod network;
mod node;
mod operator;
#[cfg(test)]
mod oracle_tests;
mod rng;
mod scenario;
mod shell;
mod stream;
mod wall;
mod wire;
mod world;

pub use scenario::Scenario;
pub use world::{Failure, Summary, run};
