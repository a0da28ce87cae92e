//! The beginning of a client's connection by TLS.
//!
//! *Invariant:* until it is done a stranger has a client's place for 5 s at most, and 64 KiB of what it sends; of such strangers
//! there are 256 at most, and while others wait behind them each has half a second.
//! *Invariant:* whoever speaks no TLS is told so in words that it reads.

use super::socket::{Arriving, Incoming, Leaving, Outgoing, halves};
use ironcache_host::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use rustls::ServerConnection;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Handshakes at a time. More, and strangers have more memory; fewer, and clients that all come back at once wait for each
/// other's round trips.
pub(crate) const AT_ONCE: usize = 256;
/// A round trip around the world takes 0.3 s, and a handshake two or three, with a lost packet or two. Longer, and who sends
/// nothing has a place for longer.
pub(crate) const DONE_WITHIN: Duration = Duration::from_secs(5);
/// What it has while others wait for its place: a round trip around the world. Longer, and 256 silent ones keep everybody out
/// for longer; shorter, and far clients never get in meanwhile.
const PRESSED_AFTER: Duration = Duration::from_millis(500);
/// A client's handshake is a few kilobytes, with its certificates.
pub(crate) const BYTES_MAX: usize = 64 << 10;
/// Every TLS connection begins with a record of this type.
const HANDSHAKE_RECORD: u8 = 0x16;
/// What a stranger reads who speaks RESP, or nothing that we know.
const SPEAK_TLS: &[u8] = b"-ERR this port speaks TLS only\r\n";

/// Why a connection did not come to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    #[error("the node has no certificate that it can use")]
    NoCertificate,
    #[error("it does not speak TLS")]
    NotTls,
    #[error("it left")]
    Left,
    #[error("it took longer than {} s", DONE_WITHIN.as_secs())]
    TooLong,
    #[error("it took longer than {} ms while others waited for its place", PRESSED_AFTER.as_millis())]
    Pressed,
    #[error("it sent more than {BYTES_MAX} bytes")]
    TooMuch,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes the connection, within the bounds.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    server: Option<Arc<rustls::ServerConfig>>,
    places: &Semaphore,
) -> Result<(Incoming, Outgoing), NotMade> {
    let session = ServerConnection::new(server.ok_or(NotMade::NoCertificate)?)?;
    let made = timeout(DONE_WITHIN, agree(stream, session));
    let pressed = async {
        loop {
            sleep(PRESSED_AFTER).await;
            if places.available_permits() == 0 {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        made = made => made.unwrap_or(Err(NotMade::TooLong)),
        () = pressed => Err(NotMade::Pressed),
    }
}

async fn agree(stream: TcpStream, mut session: ServerConnection) -> Result<(Incoming, Outgoing), NotMade> {
    let (mut from, mut to) = stream.into_split();
    let mut first = [0];
    if from.read(&mut first).await? == 0 {
        return Err(NotMade::Left);
    }
    if first != [HANDSHAKE_RECORD] {
        turn_away(&mut from, &mut to).await?;
        return Err(NotMade::NotTls);
    }
    let mut received = session.read_tls(&mut first.as_slice())?;
    while session.is_handshaking() || session.wants_write() {
        poll_fn(|cx| send(&mut session, &mut to, cx)).await?;
        if !session.is_handshaking() {
            break;
        }
        let read = poll_fn(|cx| receive(&mut session, &mut from, cx)).await?;
        if read == 0 {
            return Err(NotMade::Left);
        }
        received += read;
        if received > BYTES_MAX {
            return Err(NotMade::TooMuch);
        }
        if let Err(error) = session.process_new_packets() {
            // It is told by an alert, if it still listens.
            let _ = send(&mut session, &mut to, &mut Context::from_waker(Waker::noop()));
            let _ = read_out(&mut from, &mut to).await;
            return Err(error.into());
        }
    }
    Ok(halves(from, to, session))
}

fn send(
    session: &mut ServerConnection,
    to: &mut OwnedWriteHalf,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while session.wants_write() {
        match session.write_tls(&mut Leaving(to, cx)) {
            Ok(1..) => {}
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

fn receive(
    session: &mut ServerConnection,
    from: &mut OwnedReadHalf,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match session.read_tls(&mut Arriving(from, cx)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        read => Poll::Ready(read),
    }
}

async fn turn_away(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
    to.write_all(SPEAK_TLS).await?;
    read_out(from, to).await
}

/// Closing with unread input would reset the connection under the reading of what it was told.
async fn read_out(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
    to.shutdown().await?;
    let (mut sink, mut received) = ([0; 4096], 0);
    while received <= BYTES_MAX {
        match from.read(&mut sink).await? {
            0 => return Ok(()),
            read => received += read,
        }
    }
    Ok(())
}
