//! The listening sockets: bound once, open for as long as the launcher lives.
//!
//! *Invariant:* no SO_REUSEPORT: with it a second node could bind the same port, and the kernel
//! would hand it half of the first one's clients.

use super::config::ListenerSpec;
use crate::link::LISTEN_BACKLOG;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    #[error("{address} ({key}) is in use by another process: stop that one, or set {key} to another port")]
    InUse { key: String, address: SocketAddr },
    #[error("cannot listen on {address} ({key})")]
    Bind { key: String, address: SocketAddr, source: std::io::Error },
}

pub(super) fn bind(specs: &[ListenerSpec]) -> Result<Vec<(String, OwnedFd)>, ListenersError> {
    specs
        .iter()
        .map(|spec| {
            let socket = bind_one(spec.address).map_err(|error| refused(spec, error))?;
            Ok((spec.name.clone(), socket))
        })
        .collect()
}

/// What keeps a launcher from listening there. Nothing listens meanwhile: the kernel refuses an address already when a socket
/// is bound to it.
pub fn probe_listeners(specs: &[ListenerSpec]) -> Vec<ListenersError> {
    let wrong = |spec: &ListenerSpec| bound(spec.address).err().map(|error| refused(spec, error));
    specs.iter().filter_map(wrong).collect()
}

fn refused(spec: &ListenerSpec, error: Errno) -> ListenersError {
    let ListenerSpec { name: _, key, address } = spec;
    match error {
        Errno::ADDRINUSE => ListenersError::InUse { key: key.clone(), address: *address },
        error => ListenersError::Bind { key: key.clone(), address: *address, source: error.into() },
    }
}

fn bind_one(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = bound(address)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG)?;
    Ok(socket)
}

fn bound(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of a former life in TIME_WAIT do not block the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_its_key() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let spec = ListenerSpec { name: "client".into(), key: "client_addr".into(), address };
        let text = bind(&[spec]).unwrap_err().to_string();
        assert!(text.contains(&address.to_string()) && text.contains("client_addr"), "{text}");
    }
    #[test]
    fn a_probe_finds_what_a_start_would_and_leaves_the_port_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let spec = |address| ListenerSpec { name: "client".into(), key: "port".into(), address };
        let wrong = probe_listeners(&[spec(address)]);
        assert!(matches!(&wrong[..], [ListenersError::InUse { .. }]), "{wrong:?}");
        drop(taken);
        assert!(probe_listeners(&[spec(address)]).is_empty());
        assert!(bind(&[spec(address)]).is_ok(), "nothing is left of the probe");
        let elsewhere = probe_listeners(&[spec("192.0.2.1:7001".parse().unwrap())]);
        assert!(matches!(&elsewhere[..], [ListenersError::Bind { .. }]), "{elsewhere:?}");
    }
}
