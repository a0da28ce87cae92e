//! Sockets.

#[cfg(not(turmoil))]
pub use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(not(turmoil))]
pub use tokio::net::{TcpListener, TcpStream};

#[cfg(turmoil)]
pub use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(turmoil)]
pub use turmoil::net::{TcpListener, TcpStream};

/// A connection between two runtimes: out of the one that accepted it, not yet in the other.
#[cfg(not(turmoil))]
pub type Moving = std::net::TcpStream;
/// A host has one runtime: it stays what it is.
#[cfg(turmoil)]
pub type Moving = TcpStream;

/// Takes a connection out of its runtime.
///
/// # Errors
/// The system does not let it go.
pub fn leave_runtime(stream: TcpStream) -> std::io::Result<Moving> {
    #[cfg(not(turmoil))]
    return stream.into_std();
    #[cfg(turmoil)]
    Ok(stream)
}

/// Takes a connection into the runtime of the caller.
///
/// # Errors
/// The system does not take it.
pub fn enter_runtime(stream: Moving) -> std::io::Result<TcpStream> {
    #[cfg(not(turmoil))]
    return TcpStream::from_std(stream);
    #[cfg(turmoil)]
    Ok(stream)
}

/// A port that is listened on already, and that connections are taken from as long as somebody accepts.
#[cfg(not(turmoil))]
pub type Bound = std::net::TcpListener;
/// A port: a simulated host has it to itself, and refuses connections while nobody accepts.
#[cfg(turmoil)]
#[derive(Debug)]
pub struct Bound(pub u16);

/// Begins to accept. What is bound stays so when this ends.
///
/// # Errors
/// The system does not let it.
#[cfg(not(turmoil))]
pub async fn accepting(bound: &Bound) -> std::io::Result<TcpListener> {
    bound.set_nonblocking(true)?;
    TcpListener::from_std(bound.try_clone()?)
}

#[cfg(turmoil)]
pub async fn accepting(bound: &Bound) -> std::io::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", bound.0)).await
}

/// Every connection of a node: no delay, without which a small answer may wait 40 ms for the peer's delayed
/// acknowledgement; and probes after `keepalive_s` seconds of silence (0: none), so that one whose peer vanished ends.
///
/// # Errors
/// The connection has ended already.
pub fn prepare(stream: &TcpStream, keepalive_s: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(not(turmoil))]
    if keepalive_s > 0 {
        let probe = socket2::TcpKeepalive::new()
            .with_time(std::time::Duration::from_secs(keepalive_s))
            .with_interval(std::time::Duration::from_secs((keepalive_s / u64::from(PROBES)).max(1)))
            .with_retries(PROBES);
        socket2::SockRef::from(stream).set_tcp_keepalive(&probe)?;
    }
    // A simulated peer does not vanish without its connections.
    #[cfg(turmoil)]
    let _ = keepalive_s;
    Ok(())
}

/// Acknowledges what has been read now, rather than with the next answer or 40 ms later: for a reader that has nothing to
/// answer while the peer may go on only then (without TCP_NODELAY it holds a small second write back until the first one is
/// acknowledged).
///
/// # Errors
/// The connection has ended already.
pub fn acknowledge(from: &OwnedReadHalf) -> std::io::Result<()> {
    #[cfg(all(target_os = "linux", not(turmoil)))]
    return socket2::SockRef::from(from.as_ref()).set_tcp_quickack(true);
    // Elsewhere nobody can be asked, and a simulated network delays no acknowledgement.
    #[cfg(not(all(target_os = "linux", not(turmoil))))]
    {
        let _ = from;
        Ok(())
    }
}

/// Probes without an answer after which a connection ends, as Redis has it: with fewer, a network that is gone for a minute
/// ends them all.
#[cfg(not(turmoil))]
const PROBES: u32 = 3;

/// Takes what has arrived, and waits for nothing.
///
/// # Errors
/// Nothing has, or the connection is broken.
pub fn read_arrived(from: &mut OwnedReadHalf, into: &mut bytes::BytesMut) -> std::io::Result<usize> {
    #[cfg(not(turmoil))]
    return from.try_read_buf(into);
    #[cfg(turmoil)]
    at_once(tokio::io::AsyncReadExt::read_buf(from, into))
}

/// Gives the system what it takes, and waits for nothing.
///
/// # Errors
/// It takes nothing now, or the connection is broken.
pub fn write_at_once(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<usize> {
    #[cfg(not(turmoil))]
    return to.try_write(bytes);
    #[cfg(turmoil)]
    at_once(tokio::io::AsyncWriteExt::write(to, bytes))
}

#[cfg(turmoil)]
fn at_once(io: impl Future<Output = std::io::Result<usize>>) -> std::io::Result<usize> {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(io).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(std::io::ErrorKind::WouldBlock.into()),
    }
}

/// Returns when the peer has closed, also behind bytes that nobody has read yet; never while it has not.
#[cfg(not(turmoil))]
pub async fn gone(from: &OwnedReadHalf) {
    // Interest in reading would be met at once, and for as long as there are unread bytes. This one is met by the
    // end of the peer's stream alone (EPOLLRDHUP): the socket is not registered for urgent data.
    match from.ready(tokio::io::Interest::PRIORITY).await {
        Ok(ready) if ready.is_read_closed() => {}
        Ok(_) => std::future::pending().await,
        // The runtime ends, and with it every connection.
        Err(_) => {}
    }
}

/// The same, but for an end behind bytes that nobody has read yet: simulated clients send a request at a time.
#[cfg(turmoil)]
pub async fn gone(from: &mut OwnedReadHalf) {
    match from.peek(&mut [0]).await {
        Ok(0) | Err(_) => {}
        Ok(1..) => std::future::pending().await,
    }
}
