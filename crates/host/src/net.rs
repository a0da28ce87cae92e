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

/// Takes what has arrived, and waits for nothing.
///
/// # Errors
/// Nothing has, or the connection is broken.
#[cfg(not(turmoil))]
pub fn read_arrived(stream: &mut TcpStream, into: &mut bytes::BytesMut) -> std::io::Result<usize> {
    stream.try_read_buf(into)
}

#[cfg(turmoil)]
pub fn read_arrived(stream: &mut TcpStream, into: &mut bytes::BytesMut) -> std::io::Result<usize> {
    use std::task::{Context, Poll, Waker};
    use tokio::io::AsyncReadExt;
    let mut read = std::pin::pin!(stream.read_buf(into));
    match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => Err(std::io::ErrorKind::WouldBlock.into()),
    }
}

/// Returns when the peer has closed, also behind bytes that nobody has read yet; never while it has not.
#[cfg(not(turmoil))]
pub async fn gone(stream: &TcpStream) {
    // Interest in reading would be met at once, and for as long as there are unread bytes. This one is met by the
    // end of the peer's stream alone (EPOLLRDHUP): the socket is not registered for urgent data.
    match stream.ready(tokio::io::Interest::PRIORITY).await {
        Ok(ready) if ready.is_read_closed() => {}
        Ok(_) => std::future::pending().await,
        // The runtime ends, and with it every connection.
        Err(_) => {}
    }
}

/// A simulated socket does not tell: what is held back for a client that left is noticed when it is written to.
#[cfg(turmoil)]
pub async fn gone(_stream: &TcpStream) {
    std::future::pending().await
}
