//! The daemon: everything with I/O that a node does between its launcher and its peers.
//!
//! ```text
//!   clients ──► data ◄──────────── peers (replication)
//!                │ ▲
//!     proposals  ▼ │ applied state
//!   operators ─► http, agent, lead ◄──► raft ◄──► peers
//!                        │
//!                        ▼ launcher
//! ```
//!
//! *Invariant:* nothing is decided here that a pure crate could decide: the log's rules are in
//! `ironcache-control`, the leader's in `ironcache-coordinator`, the node's own in `ironcache-agent`.

// What only a release calls (its entry, its threads) has nobody there.
#![cfg_attr(turmoil, allow(dead_code, unused_imports))]

mod agent;
mod allocator;
mod app;
mod background;
mod clock;
mod config;
mod config_file;
mod daemon;
mod data;
mod descriptors;
mod doorkeeper;
mod doors;
mod fetch;
pub mod ground;
mod http;
mod identity;
mod keepalive;
mod keeper;
mod launcher;
mod lead;
mod lease;
#[cfg(test)]
mod limits;
mod messages;
mod metrics;
mod moved;
mod odd;
mod peer;
mod policy;
mod preflight;
mod process;
mod removed;
#[cfg(turmoil)]
mod simulated;
mod strangers;
mod tasks;
mod tls;

pub use allocator::{Allocator, Figures, tell_allocator};
pub use config::Config;
pub use daemon::DaemonError;
#[cfg(not(turmoil))]
pub use daemon::run_daemon;
pub use doors::{BindingError, StartError};
pub use identity::{IdentityError, Inhabitant, check_identity, inhabitant};
#[cfg(turmoil)]
pub use simulated::{Shown, SimulatedLauncher, run_simulated};
pub use tasks::{How, TaskEnded};
pub use tls::{AuthClients, TlsError, check_tls};
