//! The listening sockets: bound once, open for as long as the launcher lives.
//!
//! *Invariant:* no SO_REUSEPORT: with it a second node could bind the same port, and the kernel
//! would hand it half of the first one's clients.

use super::config::ListenerSpec;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// What clients may queue while no daemon accepts; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

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
            let ListenerSpec { name, key, address } = spec;
            let socket = bind_one(*address).map_err(|error| match error {
                Errno::ADDRINUSE => ListenersError::InUse { key: key.clone(), address: *address },
                error => ListenersError::Bind { key: key.clone(), address: *address, source: error.into() },
            })?;
            Ok((name.clone(), socket))
        })
        .collect()
}

fn bind_one(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of a former life in TIME_WAIT do not block the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
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
}
