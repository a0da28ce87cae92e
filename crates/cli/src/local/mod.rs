//! A cluster of real processes on this machine: for the playground and the demo.
//!
//! ```text
//!   ports ─► LocalNode × S·(1+R), and a witness beside two ─► /status ─► cluster create ─► every replica in sync
//! ```
//! *Invariant:* what was started is stopped: on drop, by process id, and by the kernel if this process
//! is killed.

mod cluster;
mod links;
mod node;
mod ports;

pub use cluster::{LocalCluster, LocalSpec};
pub use links::Links;
pub use ports::{NodePorts, PortsError};
