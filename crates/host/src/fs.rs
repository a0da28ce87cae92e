//! Files that are read and written between other things: tokio's; in the simulated world the host's own.

#[cfg(not(turmoil))]
pub use tokio::fs::File;
#[cfg(turmoil)]
pub use turmoil::fs::shim::tokio::fs::File;
