//! What every connection of this node is given, whoever is at its other end.

use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// Probes without an answer after which a connection ends, as Redis has it: with fewer, a network that is gone for a minute
/// ends them all.
const PROBES: u32 = 3;

/// No delay: without it a small answer may wait 40 ms for the peer's delayed acknowledgement. And probes after
/// `keepalive_s` seconds of silence (0: none), so that a connection whose peer vanished ends.
///
/// # Errors
/// The connection has ended already.
pub(crate) fn prepare(stream: &TcpStream, keepalive_s: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keepalive_s == 0 {
        return Ok(());
    }
    let probe = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(keepalive_s))
        .with_interval(Duration::from_secs((keepalive_s / u64::from(PROBES)).max(1)))
        .with_retries(PROBES);
    socket2::SockRef::from(stream).set_tcp_keepalive(&probe)
}
