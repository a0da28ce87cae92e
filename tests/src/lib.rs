//! What tests with real processes are made of.
//!
//! ```text
//!   Spec ─► Cluster ─► Node × S·(1+R) + W ─► launcher ─► daemon
//!              │
//!              └─ stage, set the target, wait for a state   ·   Load: every acknowledged write remembered
//! ```
//! *Invariant:* one cluster at a time in a test process; everything that was started ends with its owner, by
//! process id, after a panic too.
//! *Invariant:* nothing sleeps and hopes: a wait is for a condition, with a bound far above what it takes.

mod cluster;
mod load;
mod node;
mod plain;
mod versions;
mod wait;

pub use cluster::{Cluster, Doors, Spec};
pub use load::{Balance, Load};
pub use node::{Node, Ports, TLS_PORT};
pub use rustix::process::Signal;
pub use versions::{AFTER, FAR, FARTHER, NEXT, PATCH, THIS};
pub use wait::{BOUND, until, until_just};
