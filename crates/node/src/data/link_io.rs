//! Reading replication messages off a socket, and opening one.
//!
//! *Invariant:* an end that hears nothing of what the other one owes it ends the link, whatever it still can send: one
//! direction may be dead alone. Whoever followed dials anew.
//! *Invariant:* while this end stands still nobody owes it anything: one pause, however long, is one [look](Silence) of
//! several.

use super::link_stream::{LinkRead, LinkStream, LinkWrite};
use super::refusal::Refusal;
use crate::doors::{Doors, Revocation, Wire};
use bytes::{Buf, BytesMut};
use hyper_util::rt::TokioIo;
use ironcache_host::net::leave_runtime;
use ironcache_replication::{FrameError, LINK_VERSIONS, LinkVersion, Message, decode};
use ironcache_types::{Level, LevelRange, NodeId};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};

/// What `Upgrade:` names on the peer port.
pub(crate) const REPLICATION_UPGRADE: &str = "ironcache-replication";
/// Where the upgrade is asked for.
pub(crate) const REPLICATION_PATH: &str = "/replication";
/// A peer on the same network answers within this, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
const READ_BYTES: usize = 256 << 10;
/// While a stream runs, either end speaks twenty times a second, but while it executes one long command: a link on which
/// so long nothing was heard is dead, in that direction at least, and is dialled anew. Longer, and a member whose words are
/// lost stays out for as long; shorter, and a long command costs every link, which then goes on where it was.
pub(crate) const SILENCE_MAX: Duration = Duration::from_millis(2_000);
/// The same before a stream runs, as long as a full sync lasts: it would begin anew, so much longer pauses are waited out.
pub(crate) const SYNC_SILENCE_MAX: Duration = Duration::from_millis(10_000);

/// In so many looks a silence is found. Fewer, and after a pause of its own this end waits for longer before it says that
/// it heard nothing; more, and it wakes more often for nothing. After one pause three quarters of the time are left for the
/// answer to what was not said meanwhile.
const LOOKS: u32 = 4;

/// For how long this end has heard nothing, as looks at it. What stops this thread, a slow command or the whole process,
/// uses up the one look that it falls into: the other end had nothing to answer, or its answer lies here unread.
#[derive(Debug)]
pub(crate) struct Silence {
    looks: u32,
    look_began: Instant,
}

impl Silence {
    /// Something was heard just now.
    pub(crate) fn begin() -> Self {
        Silence { looks: 0, look_began: Instant::now() }
    }

    /// Returns at the end of a look. To be asked after what would end the silence.
    pub(crate) async fn look(&self, max: Duration) {
        sleep_until(self.look_began + max / LOOKS).await;
    }

    /// Nothing was heard during a look.
    ///
    /// # Errors
    /// It was the last one.
    pub(crate) fn looked(&mut self, max: Duration) -> Result<(), LinkError> {
        self.looks += 1;
        if self.looks >= LOOKS {
            return Err(LinkError::TimedOut { ms: max.as_millis() as u64 });
        }
        self.look_began = Instant::now();
        Ok(())
    }
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the peer closed the link")]
    Closed,
    #[error("the link broke")]
    Io(#[from] io::Error),
    #[error("the peer sent what is not a message")]
    Frame(#[from] FrameError),
    #[error("the peer did not answer within {ms} ms")]
    TimedOut { ms: u64 },
    #[error("the peer does not speak replication: {0}")]
    NoUpgrade(String),
    #[error("the peer refuses ({code}): {text}")]
    Refused { code: String, text: String },
    #[error("this end refuses: {0}")]
    Refuse(#[from] Refusal),
    #[error("the peer chose link version {chosen}; this release speaks {LINK_VERSIONS}")]
    Version { chosen: LinkVersion },
    #[error(
        "the peer sent effects of level {level}, and this release admits levels {admits}; nothing of them was applied"
    )]
    LevelNotAdmitted { level: Level, admits: LevelRange },
    #[error(
        "the peer sent effects of level {level}, and the log is at level {applied} here for too long already"
    )]
    LevelAhead { level: Level, applied: Level },
    #[error("{0}")]
    Protocol(String),
    #[error("the stream cannot be followed")]
    Stream(#[from] ironcache_replication::StreamError),
    #[error("the acknowledgement does not count")]
    Ack(#[from] ironcache_replication::AckError),
    #[error("the parts of a command do not belong together")]
    Group(#[from] ironcache_replication::NotOfOneGroup),
    #[error("an effect cannot be applied")]
    Effect(#[from] ironcache_keyspace::EffectError),
    #[error("the backlog no longer holds what the replica needs")]
    BacklogPassed,
    #[error("the full sync cannot go on")]
    Walk(#[from] super::walk::WalkError),
    #[error("a message cannot be sent")]
    Encode(#[from] ironcache_replication::EncodeError),
    #[error("this end has another role now")]
    RoleChanged,
    #[error("the log no longer names the key of the other end")]
    Revoked,
}

/// Goes on with the next message, or leaves it for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    /// This message was the last one for now.
    Stop,
    /// This message cannot be taken yet: it comes again.
    Later,
}

/// The receiving half of a link: bytes until they are whole messages.
pub(crate) struct FrameReader {
    read: LinkRead,
    buf: BytesMut,
    received_bytes: u64,
    version: LinkVersion,
}

impl FrameReader {
    pub(crate) fn new(read: impl Into<LinkRead>, already: &[u8]) -> Self {
        let mut buf = BytesMut::with_capacity(READ_BYTES.min(16 << 10));
        buf.extend_from_slice(already);
        Self { read: read.into(), buf, received_bytes: already.len() as u64, version: LinkVersion::HANDSHAKE }
    }

    /// What the link speaks: until something is agreed on, nothing but the handshake.
    pub(crate) fn version(&self) -> LinkVersion {
        self.version
    }

    /// Both ends have agreed on this version.
    pub(crate) fn speak(&mut self, version: LinkVersion) {
        self.version = version;
    }

    /// Waits for more bytes.
    pub(crate) async fn fill(&mut self) -> Result<(), LinkError> {
        self.buf.reserve(if self.buf.len() < 4096 { 16 << 10 } else { READ_BYTES });
        match self.read.read_buf(&mut self.buf).await? {
            0 => Err(LinkError::Closed),
            read => {
                self.received_bytes += read as u64;
                Ok(())
            }
        }
    }

    /// So far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Has part of a message arrived, or one that has to wait?
    pub(crate) fn has_more(&self) -> bool {
        !self.buf.is_empty()
    }

    /// Hands whole messages that have arrived, with their bytes as sent, to `each`, until it says stop.
    pub(crate) fn drain<E: From<FrameError>>(
        &mut self,
        mut each: impl FnMut(Message<'_>, &[u8]) -> Result<Next, E>,
    ) -> Result<(), E> {
        let mut consumed = 0;
        let result = loop {
            match decode(&self.buf[consumed..], self.version) {
                Ok(Some((message, len))) => {
                    let next = each(message, &self.buf[consumed..consumed + len]);
                    if matches!(next, Ok(Next::Later)) {
                        break Ok(());
                    }
                    consumed += len;
                    match next {
                        Ok(Next::Go) => {}
                        Ok(Next::Stop | Next::Later) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.buf.advance(consumed);
        result
    }
}

/// Says something short. Who does not even take that, for so long, is gone.
pub(crate) async fn say(writer: &mut LinkWrite, bytes: &[u8]) -> Result<(), LinkError> {
    within(SYNC_SILENCE_MAX, async { Ok(writer.write_all(bytes).await?) }).await
}

/// What the other end owes within `max`, as the end of the link if it does not come. Pauses of this end are not counted.
pub(crate) async fn within<T>(
    max: Duration,
    what: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    let (mut what, mut silence) = (pin!(what), Silence::begin());
    loop {
        tokio::select! {
            biased;
            done = &mut what => return done,
            () = silence.look(max) => silence.looked(max)?,
        }
    }
}

/// A link to a peer, open.
pub(crate) struct Opened {
    pub stream: LinkStream,
    /// What was read past the answer.
    pub already: Vec<u8>,
    pub revocation: Revocation,
}

/// Connects to the peer port of `node` at `addr` and asks for the upgrade. Keys are proved on the control plane's thread:
/// this one has clients.
pub(crate) async fn open(
    doors: &Arc<Doors>,
    addr: &str,
    node: NodeId,
    keepalive_s: u64,
) -> Result<Opened, LinkError> {
    let (of_task, addr) = (Arc::clone(doors), addr.to_owned());
    let dialled = doors.spawn(async move {
        let timed_out = |_| LinkError::TimedOut { ms: CONNECT_TIMEOUT.as_millis() as u64 };
        let upgraded = upgrade(&of_task, &addr, node, keepalive_s);
        tokio::time::timeout(CONNECT_TIMEOUT, upgraded).await.map_err(timed_out)?
    });
    let (moving, session, already, revocation) = match dialled.await {
        Ok(dialled) => dialled?,
        // The runtime of the control plane ends.
        Err(_) => return Err(LinkError::Closed),
    };
    let stream = LinkStream::new(ironcache_host::net::enter_runtime(moving)?, session);
    Ok(Opened { stream, already, revocation })
}

type Dialled = (ironcache_host::net::Moving, Option<rustls::Connection>, Vec<u8>, Revocation);

async fn upgrade(
    doors: &Arc<Doors>,
    addr: &str,
    node: NodeId,
    keepalive_s: u64,
) -> Result<Dialled, LinkError> {
    let (wire, key) = doors.call(addr, Some(node)).await?;
    let revocation = doors.revocation_of_member(key);
    let no = |error: hyper::Error| LinkError::NoUpgrade(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, String>(TokioIo::new(wire)).await.map_err(no)?;
    let driver = tokio::spawn(connection.with_upgrades());
    let request = hyper::Request::builder()
        .uri(REPLICATION_PATH)
        .header(hyper::header::HOST, addr)
        .header(hyper::header::CONNECTION, "upgrade")
        .header(hyper::header::UPGRADE, REPLICATION_UPGRADE)
        .body(String::new())
        .map_err(|error| LinkError::NoUpgrade(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(no)?;
    if response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
        return Err(LinkError::NoUpgrade(format!("it answers {}", response.status())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(no)?;
    drop(driver);
    let parts = upgraded
        .downcast::<TokioIo<Wire>>()
        .map_err(|_| LinkError::NoUpgrade("the connection is of another kind".to_owned()))?;
    let (stream, session) = parts.io.into_inner().into_parts();
    ironcache_host::net::prepare(&stream, keepalive_s)?;
    Ok((leave_runtime(stream)?, session, parts.read_buf.to_vec(), revocation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_primary_that_is_blocked_for_3_s_keeps_its_links() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        // Another process: it answers each ping, also while this thread stands still.
        let replica = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async move {
                let ping = theirs.read_u8().await.unwrap();
                theirs.write_u8(ping).await.unwrap();
                theirs
            })
        });
        let (mut read, mut write) = tokio::io::split(&mut ours);
        let listening = within(SILENCE_MAX, async { Ok(read.read_u8().await?) });
        let pinging = async {
            tokio::task::yield_now().await;
            // One slow command, during which no ping leaves.
            std::thread::sleep(SILENCE_MAX * 3 / 2);
            tokio::time::sleep(Duration::from_millis(50)).await;
            write.write_u8(7).await.unwrap();
        };
        let (heard, ()) = tokio::join!(listening, pinging);
        assert_eq!(heard.unwrap(), 7);
        replica.join().unwrap();
    }

    #[tokio::test]
    async fn who_owes_an_answer_and_is_silent_is_given_up_in_time() {
        let (max, began) = (Duration::from_millis(100), Instant::now());
        let heard = within(max, std::future::pending::<Result<(), LinkError>>()).await;
        assert!(matches!(heard, Err(LinkError::TimedOut { ms: 100 })));
        assert!(began.elapsed() >= max);
    }
}
