//! How many clients the process has descriptors for, with some left for peers and operators.

use crate::config::Config;
use crate::doorkeeper;
use rustix::process::{Resource, getrlimit};

/// For whoever stands in the door of the peer and the HTTP port; the other 64 for links, connections to peers, files and the
/// launcher. Fewer, and a node full of clients is deaf to its peers; more is taken from clients for
/// nothing.
pub const RESERVED: u64 = 224;
const _: () = assert!(doorkeeper::PEER.visits_max + doorkeeper::HTTP.visits_max + 64 <= RESERVED as usize);

/// Most clients at a time, by the descriptors that this process may have.
pub(crate) fn clients_max() -> u32 {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return u32::MAX };
    u32::try_from(limit.saturating_sub(RESERVED).max(1)).unwrap_or(u32::MAX)
}

/// `maxclients` as far as this process can have it. The launcher has raised the soft limit to the hard one.
pub(crate) fn fit(config: Config) -> Config {
    let most = clients_max();
    if config.maxclients <= most {
        return config;
    }
    tracing::warn!(
        maxclients = config.maxclients,
        fitted = most,
        reserved = RESERVED,
        "the process may have too few descriptors for maxclients (ulimit -n): fewer clients are let in"
    );
    Config { maxclients: most, ..config }
}
