//! What a node has of its host beside disk and clock: sockets, HTTP calls, and work on other threads.
//!
//! ```text
//!                 released                          in the simulated world (`--cfg turmoil`)
//!   net           tokio's sockets                   turmoil's
//!   http          hyper, connections are kept       the same, and a connection serves one call
//!   fs            tokio's files                     turmoil's
//!   exec          tokio's blocking threads          a task that first waits as long as a disk may take
//! ```
//! Disk and clock, which the launcher needs too, are `ironcache_store::disk` and `ironcache_store::clock`.
//!
//! *Invariant:* in a release these are other names for what they stand for: no layer, no cost, nothing to choose at run
//! time. The other world is another build (docs/adr/0030).

pub mod exec;
pub mod fs;
pub mod http;
pub mod net;
