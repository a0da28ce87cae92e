//! The client of the administration API, as the command line and the tests use it.
//!
//! ```text
//!   an address that a person has ──seed──► HTTP address ──Client──► any node of the cluster
//! ```
//! *Invariant:* it speaks `ironcache_api` and nothing else; what an answer means for people is its caller's.

mod client;
pub mod seed;

pub use client::{Client, ClientError};
pub use seed::SeedError;
