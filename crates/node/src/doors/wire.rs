//! The bytes of a connection of the peer or the HTTP port: by TLS, or plain.

use super::{Caller, Doors};
use crate::doorkeeper::Visit;
use ironcache_host::net::{Moving, TcpStream, enter_runtime, leave_runtime};
use ironcache_identity::{LinkError, Secured};
use rustls::ServerConnection;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// What every connection of TLS begins with: the type of its first record (RFC 8446, section 5.1). No request does.
const HANDSHAKE_RECORD: u8 = 0x16;

#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a connection has come to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    #[error("it left before it said anything")]
    Left,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] LinkError),
}

impl NotOpened {
    /// For counters; `None`: whoever left, or was lost, was refused nothing.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            NotOpened::Left | NotOpened::Io(_) => None,
            NotOpened::Tls(LinkError::TooSlow) => Some("too_slow"),
            NotOpened::Tls(LinkError::OtherKey | LinkError::Handshake(_) | LinkError::Library(_)) => {
                Some("handshake")
            }
        }
    }
}

/// A connection that may ask something, between the thread of the entrance and the one where it is answered.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: Moving,
    session: Option<Box<ServerConnection>>,
    caller: Caller,
}

/// Finds out what is spoken, and proves this node's key to who speaks TLS.
pub(crate) async fn open(mut stream: TcpStream, doors: &Doors, visit: &Visit) -> Result<Opened, NotOpened> {
    let is_local = stream.peer_addr().is_ok_and(|from| from.ip().to_canonical().is_loopback());
    let mut first = [0];
    if peek(&mut stream, &mut first).await? == 0 {
        return Err(NotOpened::Left);
    }
    visit.speaks();
    if first != [HANDSHAKE_RECORD] {
        return Ok(Opened { stream: leave_runtime(stream)?, session: None, caller: Caller::plain(is_local) });
    }
    let Secured { stream, session } = doors.tls.accept(stream, || visit.greeted()).await?;
    let caller = Caller::secured(session, is_local);
    let TlsStream::Server(stream) = stream else { unreachable!("this side was called") };
    let (stream, session) = stream.into_inner();
    Ok(Opened { stream: leave_runtime(stream)?, session: Some(Box::new(session)), caller })
}

impl Opened {
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes it into the runtime of the caller.
    pub(crate) async fn enter(self, doors: &Doors) -> io::Result<(Wire, Caller)> {
        let Self { stream, session, caller } = self;
        let stream = enter_runtime(stream)?;
        let wire = match session {
            None => Wire::Plain(stream),
            Some(session) => Wire::Tls(Box::new(doors.tls.take_up(stream, *session).await?)),
        };
        Ok((wire, caller))
    }
}

#[cfg(not(turmoil))]
async fn peek(stream: &mut TcpStream, first: &mut [u8; 1]) -> io::Result<usize> {
    stream.peek(first).await
}

#[cfg(turmoil)]
async fn peek(stream: &mut TcpStream, first: &mut [u8; 1]) -> io::Result<usize> {
    TcpStream::peek(stream, first).await
}

impl Wire {
    /// Apart: for whoever goes on with the socket elsewhere.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<rustls::Connection>) {
        match self {
            Wire::Plain(stream) => (stream, None),
            Wire::Tls(tls) => match *tls {
                TlsStream::Client(tls) => {
                    let (stream, session) = tls.into_inner();
                    (stream, Some(session.into()))
                }
                TlsStream::Server(tls) => {
                    let (stream, session) = tls.into_inner();
                    (stream, Some(session.into()))
                }
            },
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
