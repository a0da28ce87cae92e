//! The crate from outside: real nodes over loopback HTTP, and what is on the wire.

mod cluster;
mod commands;
mod golden;
mod members;
mod odd;
mod peer_port;
mod servers;
