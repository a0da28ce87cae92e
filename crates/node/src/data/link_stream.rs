//! The bytes of a link between nodes: plain, or by TLS.
//!
//! ```text
//!   TCP ─► sealed, up to 256 KiB a read ─► session ─► frames         bytes ─► session ─► records of 16 KiB ─► TCP
//! ```
//! The session is shared by both halves and by the thread that reports while this one is busy ([`Voice`](super::pulse)).
//!
//! *Invariant:* bytes count as written when the kernel has what became of them.
//! *Invariant:* whoever writes goes on with the same bytes until they are written.
//! *Invariant:* the session's lock is held to look and to change, never across an await.

use super::tls::Leaving;
use bytes::{Buf, BytesMut};
use ironcache_host::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use rustls::Connection;
use std::io::{self, BufRead, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// Sealed in one go: eight records, as much as is sent at a time. More only waits in the session; less takes more writes.
const WRITE_BYTES: usize = 128 << 10;
const READ_BYTES: usize = 256 << 10;

/// Both ends' keys were proved on it, or nobody's is asked for.
pub(crate) struct LinkStream {
    pub tcp: TcpStream,
    pub session: Option<SharedSession>,
}

/// Of the halves of one link, and of whoever reports on it.
#[derive(Clone)]
pub(crate) struct SharedSession(Arc<Mutex<Connection>>);

pub(crate) enum LinkRead {
    Plain(OwnedReadHalf),
    Tls { from: OwnedReadHalf, session: SharedSession, sealed: BytesMut },
}

pub(crate) enum LinkWrite {
    Plain(OwnedWriteHalf),
    /// `taken`: so much of what is written now the session has, and the kernel has not.
    Tls {
        to: OwnedWriteHalf,
        session: SharedSession,
        taken: usize,
    },
}

impl LinkStream {
    pub(crate) fn new(tcp: TcpStream, session: Option<Connection>) -> Self {
        let session = session.map(|mut session| {
            // What is sealed at a time is bounded here.
            session.set_buffer_limit(None);
            SharedSession(Arc::new(Mutex::new(session)))
        });
        LinkStream { tcp, session }
    }

    pub(crate) fn into_split(self) -> (LinkRead, LinkWrite) {
        let (from, to) = self.tcp.into_split();
        match self.session {
            None => (LinkRead::Plain(from), LinkWrite::Plain(to)),
            Some(session) => {
                let read = LinkRead::Tls { from, session: session.clone(), sealed: BytesMut::new() };
                (read, LinkWrite::Tls { to, session, taken: 0 })
            }
        }
    }
}

impl From<OwnedReadHalf> for LinkRead {
    fn from(from: OwnedReadHalf) -> Self {
        LinkRead::Plain(from)
    }
}

impl LinkRead {
    /// Waits for more; nothing is the end. Given up, it loses nothing.
    pub(crate) async fn read_buf(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        match self {
            LinkRead::Plain(from) => from.read_buf(into).await,
            LinkRead::Tls { from, session, sealed } => loop {
                match session.lock().unseal(sealed, into)? {
                    Unsealed::Bytes(count) => return Ok(count),
                    Unsealed::End => return Ok(0),
                    Unsealed::Nothing => {}
                }
                sealed.reserve(READ_BYTES);
                if from.read_buf(sealed).await? == 0 {
                    return Ok(0);
                }
            },
        }
    }
}

enum Unsealed {
    Bytes(usize),
    Nothing,
    End,
}

/// A session, for as long as nobody else may change it.
struct Locked<'a>(MutexGuard<'a, Connection>);

impl SharedSession {
    fn lock(&self) -> Locked<'_> {
        // Whoever panicked with it has ended the process.
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says something short on a socket that takes it at once, or later: what it does not take is sent before anything else
    /// is. While something is left of what was said before, this is not said.
    pub(crate) fn say_at_once(&self, to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let mut session = self.lock();
        if !session.0.wants_write() {
            session.0.writer().write_all(bytes)?;
        }
        while session.0.wants_write() {
            match session.0.write_tls(to) {
                Ok(1..) => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// All of `sealed` that makes whole records.
    fn unseal(&mut self, sealed: &mut BytesMut, into: &mut BytesMut) -> io::Result<Unsealed> {
        let mut count = 0;
        loop {
            let mut reader = self.0.reader();
            loop {
                let taken = match reader.fill_buf() {
                    Ok([]) if count > 0 => return Ok(Unsealed::Bytes(count)),
                    Ok([]) => return Ok(Unsealed::End),
                    Ok(chunk) => {
                        into.extend_from_slice(chunk);
                        chunk.len()
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                reader.consume(taken);
                count += taken;
            }
            if sealed.is_empty() {
                return Ok(if count > 0 { Unsealed::Bytes(count) } else { Unsealed::Nothing });
            }
            let taken = self.0.read_tls(&mut &sealed[..])?;
            sealed.advance(taken);
            self.0.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Gives the kernel what the session has for it.
    fn poll_send(&mut self, to: &mut OwnedWriteHalf, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Leaving(to, cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LinkWrite {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            LinkWrite::Plain(to) => Pin::new(to).poll_write(cx, bytes),
            LinkWrite::Tls { to, session, taken } => {
                let mut session = session.lock();
                if *taken == 0 {
                    let some = &bytes[..bytes.len().min(WRITE_BYTES)];
                    *taken = session.0.writer().write(some)?;
                }
                match session.poll_send(to, cx) {
                    Poll::Ready(sent) => Poll::Ready(sent.map(|()| std::mem::take(taken))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            LinkWrite::Plain(to) => Pin::new(to).poll_flush(cx),
            LinkWrite::Tls { to, session, taken: _ } => session.lock().poll_send(to, cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            LinkWrite::Plain(to) => Pin::new(to).poll_shutdown(cx),
            LinkWrite::Tls { to, session, taken: _ } => {
                let mut session = session.lock();
                session.0.send_close_notify();
                match session.poll_send(to, cx) {
                    Poll::Ready(Ok(())) => Pin::new(to).poll_shutdown(cx),
                    other => other,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
