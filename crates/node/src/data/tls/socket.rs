//! A client's socket, plain or TLS: what a connection reads from and writes to.
//!
//! ```text
//!  TCP ─► session ─► read            write ─► session ─► TCP
//!         decrypts                            encrypts, at most 64 KiB at a time
//! ```
//! *Invariant:* bytes count as written when the kernel has what became of them: what a TLS client does not take waits in its
//! `Output`, under the same limits as a plain one's, and behind it at most one write of the session's.
//! *Invariant:* whoever writes goes on with the same bytes until they are written, as `Output` does.

use ironcache_host::net::{self, OwnedReadHalf, OwnedWriteHalf};
use rustls::ServerConnection;
use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Encrypted in one go: four records. More, and a client that reads nothing keeps as much beyond its limits; less, and a long
/// reply takes more writes.
const WRITE_BYTES: usize = 64 << 10;

/// The half that is read.
pub(crate) enum Incoming {
    Plain(OwnedReadHalf),
    Tls(TlsIncoming),
}

/// The half that is written.
pub(crate) enum Outgoing {
    Plain(OwnedWriteHalf),
    Tls(TlsOutgoing),
}

pub(crate) struct TlsIncoming {
    from: OwnedReadHalf,
    session: Rc<RefCell<ServerConnection>>,
}

pub(crate) struct TlsOutgoing {
    to: OwnedWriteHalf,
    session: Rc<RefCell<ServerConnection>>,
    /// Bytes at the beginning of what is written now that the session has, and the kernel has not.
    taken: usize,
}

/// Both halves of a session whose handshake is done.
pub(super) fn halves(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mut session: ServerConnection,
) -> (Incoming, Outgoing) {
    // It is bounded here, by `WRITE_BYTES`; records add to that.
    session.set_buffer_limit(None);
    let session = Rc::new(RefCell::new(session));
    let incoming = TlsIncoming { from, session: Rc::clone(&session) };
    (Incoming::Tls(incoming), Outgoing::Tls(TlsOutgoing { to, session, taken: 0 }))
}

impl Incoming {
    /// As [`net::gone`].
    pub(crate) async fn gone(&mut self) {
        let from = match self {
            Incoming::Plain(from) => from,
            Incoming::Tls(tls) => &mut tls.from,
        };
        net::gone(from).await;
    }

    /// As [`net::read_arrived`].
    pub(crate) fn read_arrived(&mut self, into: &mut bytes::BytesMut) -> io::Result<usize> {
        match self {
            Incoming::Plain(from) => net::read_arrived(from, into),
            Incoming::Tls(_) => at_once(tokio::io::AsyncReadExt::read_buf(self, into)),
        }
    }
}

impl Outgoing {
    /// As [`net::write_at_once`].
    pub(crate) fn write_at_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Outgoing::Plain(to) => net::write_at_once(to, bytes),
            Outgoing::Tls(tls) => tls.write_at_once(bytes),
        }
    }

    /// Tells a client by TLS that nothing follows, as far as it takes that at once: an end that nobody announced could be
    /// anybody's.
    pub(crate) fn farewell(&mut self) {
        match self {
            Outgoing::Plain(_) => {}
            Outgoing::Tls(tls) => {
                tls.session.borrow_mut().send_close_notify();
                // A client that is gone is not told.
                let _ = tls.poll_send(&mut Context::from_waker(Waker::noop()));
            }
        }
    }
}

impl TlsIncoming {
    /// Hands on what is decrypted already; the end, if that came.
    fn decrypted(session: &mut ServerConnection, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut reader = session.reader();
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            match reader.fill_buf() {
                Ok([]) => return Poll::Ready(Ok(())),
                Ok(chunk) => {
                    let taken = chunk.len().min(buf.remaining());
                    buf.put_slice(&chunk[..taken]);
                    reader.consume(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Whoever had the line cut has it cut; what came before is whole.
                Err(_) if buf.filled().len() > before => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if buf.filled().len() > before { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncRead for TlsIncoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let TlsIncoming { from, session } = self.get_mut();
        let session = &mut *session.borrow_mut();
        loop {
            if let Poll::Ready(done) = Self::decrypted(session, buf) {
                return Poll::Ready(done);
            }
            match session.read_tls(&mut Arriving(from, cx)) {
                Ok(_) => {
                    session.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl TlsOutgoing {
    /// Gives the kernel what the session has for it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        while session.wants_write() {
            match session.write_tls(&mut Leaving(&mut self.to, cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            let some = &bytes[..bytes.len().min(WRITE_BYTES)];
            self.taken = self.session.borrow_mut().writer().write(some)?;
        }
        match self.poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map(|()| std::mem::take(&mut self.taken))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn write_at_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.poll_write_some(&mut Context::from_waker(Waker::noop()), &bytes[written..]) {
                Poll::Ready(Ok(more @ 1..)) => written += more,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending if written == 0 => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Pending => break,
            }
        }
        Ok(written)
    }
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Incoming::Plain(from) => Pin::new(from).poll_read(cx, buf),
            Incoming::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Outgoing::Plain(to) => Pin::new(to).poll_write(cx, bytes),
            Outgoing::Tls(tls) => tls.poll_write_some(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Outgoing::Plain(to) => Pin::new(to).poll_flush(cx),
            Outgoing::Tls(tls) => tls.poll_send(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Outgoing::Plain(to) => Pin::new(to).poll_shutdown(cx),
            Outgoing::Tls(tls) => {
                // Said once, however often this is polled.
                tls.session.borrow_mut().send_close_notify();
                match tls.poll_send(cx) {
                    Poll::Ready(Ok(())) => Pin::new(&mut tls.to).poll_shutdown(cx),
                    other => other,
                }
            }
        }
    }
}

/// A read of the session's, from a socket that may have nothing yet.
pub(super) struct Arriving<'a, 'b>(pub &'a mut OwnedReadHalf, pub &'a mut Context<'b>);

impl Read for Arriving<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(into);
        match Pin::new(&mut *self.0).poll_read(self.1, &mut buf) {
            Poll::Ready(done) => done.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// A write of the session's, to a socket that may take nothing yet.
pub(in crate::data) struct Leaving<'a, 'b>(pub &'a mut OwnedWriteHalf, pub &'a mut Context<'b>);

impl Write for Leaving<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.0).poll_write_vectored(self.1, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn at_once(io: impl Future<Output = io::Result<usize>>) -> io::Result<usize> {
    or_would_block(std::pin::pin!(io).as_mut().poll(&mut Context::from_waker(Waker::noop())))
}
