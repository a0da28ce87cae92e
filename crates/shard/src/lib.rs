//! The shard's brain: what a node of a shard may do, decided without a clock, a socket or a file.
//!
//! Here so far: the lease, by which a primary answers clients and by which the leader knows when it does not any more. Role,
//! in-sync set, handover and routing are decided in the daemon's data plane still.
//!
//! *Invariant:* pure: time is passed in, in ms of one clock for each struct, which counts while the machine sleeps.

mod grantor;
mod lease;

pub use grantor::{Deposing, Grantor, NotGranted, Round, depose_after_ms, deposed};
pub use lease::{Grant, Lease};
