//! Ports for the nodes of a local cluster: P, P + 10000, P + 15000 and P + 20000, all free.

use std::net::TcpListener;

pub(super) const PEER_OFFSET: u16 = 10_000;
const TLS_OFFSET: u16 = 15_000;
pub(super) const HTTP_OFFSET: u16 = 20_000;

/// Bases that are tried are below the ports that the system hands out for outgoing connections
/// (32768 and up), with 20000 added too: else a client's connection may take a node's port.
const BASES: std::ops::Range<u16> = 7_000..12_700;

/// How many bases are tried before this is called hopeless.
const TRIES: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePorts {
    pub client: u16,
    pub peer: u16,
    /// For clients that come by TLS, if they do.
    pub tls: u16,
    pub http: u16,
}

impl NodePorts {
    /// `None` if the ports derived from `client` are above 65535.
    pub fn of_client(client: u16) -> Option<Self> {
        let (peer, tls) = (client.checked_add(PEER_OFFSET)?, client.checked_add(TLS_OFFSET)?);
        Some(Self { client, peer, tls, http: client.checked_add(HTTP_OFFSET)? })
    }

    fn taken(self) -> Option<u16> {
        [self.client, self.peer, self.tls, self.http]
            .into_iter()
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_err())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    #[error("port {port} of 127.0.0.1 is in use; choose another --port, or leave it away")]
    Taken { port: u16 },
    #[error("{count} nodes do not fit above port {base}: 20000 above the last has to be a port too")]
    TooHigh { base: u16, count: u16 },
    #[error(
        "no {count} free ports with their companions 10000, 15000 and 20000 above were found on 127.0.0.1"
    )]
    NoneFree { count: u16 },
}

/// `count` nodes from `base` on.
pub(super) fn from_base(base: u16, count: u16) -> Result<Vec<NodePorts>, PortsError> {
    let too_high = PortsError::TooHigh { base, count };
    let ports: Option<Vec<_>> =
        (0..count).map(|i| base.checked_add(i).filter(|p| *p != 0).and_then(NodePorts::of_client)).collect();
    let ports = ports.ok_or(too_high)?;
    match ports.iter().find_map(|p| p.taken()) {
        Some(port) => Err(PortsError::Taken { port }),
        None => Ok(ports),
    }
}

/// `count` nodes wherever there is room. `seed` spreads simultaneous callers.
pub(super) fn anywhere(count: u16, seed: u64) -> Result<Vec<NodePorts>, PortsError> {
    let bases = u64::from(BASES.end - BASES.start);
    for attempt in 0..TRIES as u64 {
        // A step that shares no factor with the range's size meets every base.
        let base = BASES.start + ((seed.wrapping_add(attempt.wrapping_mul(101))) % bases) as u16;
        if let Ok(ports) = from_base(base, count) {
            return Ok(ports);
        }
    }
    Err(PortsError::NoneFree { count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_with_a_taken_companion_is_refused_by_its_number() {
        let ports = anywhere(2, 17).unwrap();
        let _held = TcpListener::bind(("127.0.0.1", ports[1].http)).unwrap();
        let error = from_base(ports[0].client, 2).unwrap_err();
        assert_eq!(error, PortsError::Taken { port: ports[1].http });
    }

    #[test]
    fn ports_above_the_last_are_refused() {
        assert_eq!(from_base(45_535, 2).unwrap_err(), PortsError::TooHigh { base: 45_535, count: 2 });
        assert!(NodePorts::of_client(45_536).is_none());
    }
}
