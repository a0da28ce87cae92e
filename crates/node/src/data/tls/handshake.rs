//! The beginning of a client's connection by TLS.
//!
//! ```text
//!  bytes ─► its turn among those that are proved to ─► signed on another thread ─► answer ─► … ─► a connection
//!  └── the stranger's time: 5 s ──┘ └──────────── the node's ───────────┘ └ the stranger's
//! ```
//! *Invariant:* this thread proves nothing: a signature takes 0.1 ms with an elliptic curve and 14 ms with 4096 bits of RSA, and
//! 200 clients that come at once would hold up all others for seconds. Somebody else signs, for a few at a time.
//! *Invariant:* until it is done a stranger lets the node wait for 5 s at most, and 64 KiB of what it sends are taken; of such
//! strangers there are 256 at most, and while others wait behind them each has half a second.
//! *Invariant:* no client waits for an acknowledgement before its first command. In TLS 1.3 it speaks last, and there is nothing to
//! answer it (no tickets: docs/adr/0033); a socket without TCP_NODELAY then holds the command back until this system acknowledges,
//! which takes 40 ms unless it is told to.
//! *Invariant:* whoever speaks no TLS is told so in words that it reads.

use super::socket::{Arriving, Incoming, Leaving, Outgoing, halves};
use ironcache_host::exec::spawn_blocking;
use ironcache_host::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream, acknowledge};
use rustls::ServerConnection;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

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
/// Signed for at a time, for each node, whatever the machine has. More, and those who come take the processors from those who
/// are there; a certificate of 4096 bits lets 70 in a second then, and one of an elliptic curve thousands.
pub(crate) const PROVED_AT_ONCE_MAX: usize = 4;
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

/// How many are signed for at a time: half of the processors are left to those who are there.
pub(crate) fn proved_at_once() -> usize {
    std::thread::available_parallelism()
        .map_or(1, |processors| (processors.get() / 2).clamp(1, PROVED_AT_ONCE_MAX))
}

/// Makes the connection, within the bounds. `places` are those of strangers, and `turns` of those that are signed for.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    server: Option<Arc<rustls::ServerConfig>>,
    places: &Semaphore,
    turns: &Arc<Semaphore>,
) -> Result<(Incoming, Outgoing), NotMade> {
    let mut session = ServerConnection::new(server.ok_or(NotMade::NoCertificate)?)?;
    let (mut from, mut to) = stream.into_split();
    let mut time = Time { waited: Duration::ZERO, places };
    let mut first = [0];
    if time.of(from.read(&mut first)).await? == 0 {
        return Err(NotMade::Left);
    }
    if first != [HANDSHAKE_RECORD] {
        time.of(turn_away(&mut from, &mut to)).await?;
        return Err(NotMade::NotTls);
    }
    let mut received = session.read_tls(&mut first.as_slice())?;
    while session.is_handshaking() || session.wants_write() {
        time.of(poll_fn(|cx| send(&mut session, &mut to, cx))).await?;
        if !session.is_handshaking() {
            break;
        }
        let read = time.of(poll_fn(|cx| receive(&mut session, &mut from, cx))).await?;
        if read == 0 {
            return Err(NotMade::Left);
        }
        received += read;
        if received > BYTES_MAX {
            return Err(NotMade::TooMuch);
        }
        let processed;
        (session, processed) = prove(session, turns).await?;
        if let Err(error) = processed {
            // It is told by an alert, if it still listens.
            let _ = send(&mut session, &mut to, &mut Context::from_waker(Waker::noop()));
            let _ = time.of(read_out(&mut from, &mut to)).await;
            return Err(error.into());
        }
    }
    acknowledge(&from)?;
    Ok(halves(from, to, session))
}

/// Looks at what has come, and signs, on a thread that serves nobody.
async fn prove(
    mut session: ServerConnection,
    turns: &Arc<Semaphore>,
) -> io::Result<(ServerConnection, Result<(), rustls::Error>)> {
    // They are never closed. It is given back when the work is done, also if nobody waits for that any more.
    let turn = Arc::clone(turns).acquire_owned().await.ok();
    let proved = spawn_blocking(move || {
        let processed = session.process_new_packets().map(drop);
        drop(turn);
        (session, processed)
    });
    proved.await.map_err(io::Error::other)
}

/// For how long a stranger has let the node wait. What the node takes itself does not count.
struct Time<'a> {
    waited: Duration,
    places: &'a Semaphore,
}

impl Time<'_> {
    /// Does `what`, or ends with the stranger's time.
    async fn of<T>(&mut self, what: impl Future<Output = io::Result<T>>) -> Result<T, NotMade> {
        let began = Instant::now();
        let done = tokio::select! {
            biased;
            done = what => done,
            why = self.is_up() => return Err(why),
        };
        self.waited += began.elapsed();
        Ok(done?)
    }

    async fn is_up(&self) -> NotMade {
        let began = Instant::now();
        loop {
            let waited = self.waited + began.elapsed();
            if waited >= DONE_WITHIN {
                return NotMade::TooLong;
            }
            if waited >= PRESSED_AFTER && self.places.available_permits() == 0 {
                return NotMade::Pressed;
            }
            let most = if waited < PRESSED_AFTER { PRESSED_AFTER } else { DONE_WITHIN };
            sleep((most - waited).min(PRESSED_AFTER)).await;
        }
    }
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
    // No part of what every handshake takes.
    let (mut sink, mut received) = (vec![0; 4096], 0);
    while received <= BYTES_MAX {
        match from.read(&mut sink).await? {
            0 => return Ok(()),
            read => received += read,
        }
    }
    Ok(())
}
