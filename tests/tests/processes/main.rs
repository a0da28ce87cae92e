//! The product as real processes: rolls there and back, by command and by policy, deaths, nodes that come and go, bad
//! releases, bad input, and who may ask.

mod aborts;
mod audits;
mod auto_rollouts;
mod bad_input;
mod bad_releases;
mod beside_redis;
mod channels;
mod crowds;
mod descriptors;
mod functions;
mod ipv6;
mod joins;
mod keepers;
mod keys;
mod lag;
mod last_copies;
mod leader_deaths;
mod leases;
mod majorities;
mod members;
mod memory;
mod moves;
mod node_deaths;
mod odd_nodes;
mod refusals;
mod rollbacks;
mod rolls;
mod snapshots;
mod soaking;
mod stops;
mod storms;
mod tls;
mod total_losses;
mod uploads;
mod users;
mod went_back;

/// The product, built with this package.
pub const PRODUCT: &str = env!("CARGO_BIN_EXE_ironcache-under-test");
/// The release that fails as its version says.
pub const FAULTY: &str = env!("CARGO_BIN_EXE_ironcache-faulty");
