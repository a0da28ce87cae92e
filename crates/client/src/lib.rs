//! The client of the administration API, as the command line and the tests use it.
//!
//! ```text
//!   an address that a person has ──seed──► HTTP address ──Client──► any node of the cluster
//!                                               │          └ Access: as whom, and who is believed
//!                                               └─join──► a node that is in no cluster yet
//! ```
//! *Invariant:* it speaks `ironcache_api` and nothing else; what an answer means for people is its caller's.

mod access;
mod client;
pub mod join;
mod keep_up;
mod pins;
pub mod seed;
mod ways;
mod wire;

pub use access::{Access, AccessError, Keyed};
pub use client::{Client, ClientError};
pub use seed::SeedError;
pub use wire::DialError;
