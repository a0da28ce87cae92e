//! The port as a client meets it: whole nodes in one process, over real sockets.

mod audit;
mod cluster;
mod errors;
#[cfg(target_os = "linux")]
mod keepalives;
mod keyed;
mod pristine;
mod strangers;
mod support;
