//! The link to a primary whose tail is kept.
//!
//! ```text
//!  Hello{Keep, where the tail ends} ─► Accept ─► SyncBegin{from} ─► frames ─► admitted ─► write(2) ─► Ack
//! ```
//!
//! *Invariant:* a frame is checked before it is written, and written before it is acknowledged.
//! *Invariant:* who cannot write says so at once, and why: the primary does not wait for it.

use super::desk::Desk;
use super::file::{CannotKeep, TailFile};
use crate::data::{FrameReader, LinkError, LinkWrite, Next, Opened, open, say};
use crate::doors::Revocation;
use ironcache_replication::{
    Accept, Ack, Hello, KeptTail, LINK_VERSIONS, LinkVersion, Message, Position, Progress, Purpose, Refuse,
    Source, SyncBegin, SyncMode, TailError, TailHead, encode,
};
use ironcache_shard::keeper::{Action, Event};
use ironcache_types::{Epoch, Member, Offset, ShardId, chain};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// A link is tried again after this, doubling up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// A primary pings twenty times a second, but while it executes one long command. Longer, and a returning node is sent to a
/// machine that is gone; shorter, and a long command costs the link, which is opened anew from where the tail ends.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// Until a `SyncBegin`: a primary waits so long for its own view of a hello.
const ACCEPT_MAX: Duration = Duration::from_millis(5_000);
/// As of a replica.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the primary sends what cannot be kept")]
    Tail(#[from] TailError),
    #[error("nothing can be kept")]
    CannotKeep(#[from] CannotKeep),
    #[error("nothing is kept of this primary any more")]
    NotAsked,
}

impl From<ironcache_replication::FrameError> for Ended {
    fn from(error: ironcache_replication::FrameError) -> Self {
        Ended::Link(error.into())
    }
}

impl From<ironcache_store::DiskError> for Ended {
    fn from(error: ironcache_store::DiskError) -> Self {
        Ended::CannotKeep(error.into())
    }
}

/// Keeps a link until the engine hangs up, or the disk is full.
pub(super) async fn keep(desk: Rc<Desk>, shard: ShardId, primary: Member, epoch: Epoch) {
    let (mut pause, mut told) = (RETRY_MIN, String::new());
    loop {
        let began = Instant::now();
        let mut session = Session { desk: &desk, shard, primary, epoch, link: None, revocation: None };
        let ended = session.run().await;
        let link = session.link.take();
        desk.on(Event::LinkLost { shard, primary });
        let text = chain(&ended);
        match &ended {
            Ended::CannotKeep(cause) => {
                desk.cannot_keep(cause);
                tracing::error!(%shard, %primary, error = text, "the tail of the shard cannot be kept");
                if let Some(Open { mut writer, version }) = link {
                    refuse(&mut writer, version, &text).await;
                }
                // From here on the engine says when it is tried again, by a link of its own.
                desk.on(Event::CannotKeep { shard });
                return;
            }
            Ended::Link(LinkError::Refused { .. }) if text != told => {
                tracing::info!(%shard, %primary, error = text, "the primary takes no keeper");
                told = text;
            }
            Ended::Link(_) | Ended::Tail(_) | Ended::NotAsked => {
                tracing::debug!(%shard, %primary, error = text, "the link to a kept primary ended");
            }
        }
        if began.elapsed() > RETRY_MAX {
            pause = RETRY_MIN;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

async fn refuse(writer: &mut LinkWrite, version: LinkVersion, text: &str) {
    let (mut out, refuse) = (Vec::new(), Message::Refuse(Refuse { code: "cannot_keep", text }));
    if encode(&refuse, version, &mut out).is_ok() {
        // The link closes in any case, and the primary then waits for as long as for anybody.
        let _ = writer.write_all(&out).await;
    }
}

/// The sending end, once there is one.
struct Open {
    writer: LinkWrite,
    version: LinkVersion,
}

struct Session<'a> {
    desk: &'a Rc<Desk>,
    shard: ShardId,
    primary: Member,
    epoch: Epoch,
    link: Option<Open>,
    revocation: Option<Revocation>,
}

/// What was heard at one go.
#[derive(Default)]
struct Heard {
    accepted: Option<LinkVersion>,
    begin: Option<SyncBegin>,
    pinged: bool,
    frames: Vec<u8>,
}

impl Session<'_> {
    async fn run(&mut self) -> Ended {
        match self.attach().await {
            Ok(mut reader) => {
                let mut revocation = self.revocation.take();
                let revoked = async {
                    match &mut revocation {
                        Some(revocation) => revocation.revoked().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = revoked => LinkError::Revoked.into(),
                    ended = self.follow(&mut reader) => match ended {
                        Ok(never) => match never {},
                        Err(ended) => ended,
                    },
                }
            }
            Err(ended) => ended,
        }
    }

    async fn say(&mut self, message: &Message<'_>) -> Result<(), Ended> {
        let Some(Open { writer, version }) = &mut self.link else { return Err(Ended::NotAsked) };
        let mut out = Vec::new();
        encode(message, *version, &mut out).map_err(LinkError::from)?;
        Ok(say(writer, &out).await?)
    }

    /// Opens the link, and begins or goes on with the file.
    async fn attach(&mut self) -> Result<FrameReader, Ended> {
        let addr = self.desk.state.borrow().view.nodes.get(&self.primary.node).map(|n| n.peer_addr.clone());
        let addr = addr.ok_or(Ended::NotAsked)?;
        let opened =
            open(&self.desk.doors, &addr, self.primary.node, self.desk.doors.keepalive.seconds()).await?;
        let Opened { stream, already, revocation } = opened;
        self.revocation = Some(revocation);
        let (read, writer) = stream.into_split();
        let mut reader = FrameReader::new(read, &already);
        self.link = Some(Open { writer, version: LinkVersion::HANDSHAKE });
        let hello = self.hello().ok_or(Ended::NotAsked)?;
        let said = hello.position;
        self.say(&Message::Hello(hello)).await?;
        let accepted = tokio::time::timeout(ACCEPT_MAX, self.accepted(&mut reader)).await;
        let begin = accepted.map_err(|_| LinkError::TimedOut { ms: ACCEPT_MAX.as_millis() as u64 })??;
        let whole = self.begin(&begin, said)?;
        self.acknowledge(whole).await?;
        Ok(reader)
    }

    fn hello(&self) -> Option<Hello> {
        let shared = self.desk.state.borrow();
        let goes_on = shared.engine.goes_on(self.shard);
        let file = goes_on.and_then(|kept| shared.files.get(&(self.shard, kept.epoch)));
        Some(Hello {
            versions: LINK_VERSIONS,
            cluster_id: shared.view.cluster_id?,
            shard: self.shard,
            member: self.desk.me,
            purpose: Purpose::Keep,
            position: file.and_then(|file| file.tail().position()),
            levels: self.desk.levels,
        })
    }

    async fn accepted(&mut self, reader: &mut FrameReader) -> Result<SyncBegin, Ended> {
        loop {
            let mut heard = Heard::default();
            reader.drain(|message, _| hear_before(message, &mut heard))?;
            if let (Some(version), Some(link)) = (heard.accepted, &mut self.link) {
                reader.speak(version);
                link.version = version;
            } else if let Some(begin) = heard.begin {
                return Ok(begin);
            } else {
                reader.fill().await?;
            }
        }
    }

    /// The primary says from where on: the file goes on there, or begins there.
    fn begin(&self, begin: &SyncBegin, said: Option<Position>) -> Result<Offset, Ended> {
        let SyncBegin { source, mode, lineage } = begin;
        let expected = Source { epoch: self.epoch, incarnation: self.primary.incarnation };
        let SyncMode::Partial { from } = *mode else {
            return Err(protocol("a keeper of a tail is offered a full sync"));
        };
        if *source != expected {
            return Err(protocol("it is not the primary that the log names"));
        }
        let name = (self.shard, self.epoch);
        let kept = {
            let mut shared = self.desk.state.borrow_mut();
            let answered = shared.engine.answered(self.shard, said);
            let may_go_on = answered.map_err(|why| protocol(&why.to_string()))?.is_some();
            let goes_on = match shared.files.get_mut(&name).filter(|_| may_go_on) {
                Some(file) => file.go_on(*source, lineage, from)?,
                None => false,
            };
            if !goes_on {
                let cluster = shared.view.cluster_id.ok_or(Ended::NotAsked)?;
                let isr_epoch = shared.engine.shard(self.shard).map(|shard| shard.isr_epoch);
                let head = TailHead {
                    cluster,
                    shard: self.shard,
                    source: *source,
                    keeper: self.desk.me,
                    isr_epoch: isr_epoch.ok_or(Ended::NotAsked)?,
                    from,
                    lineage: lineage.clone(),
                };
                shared.files.remove(&name);
                let file = TailFile::create(&self.desk.dir, head, self.desk.reserve_bytes)?;
                shared.files.insert(name, file);
            }
            shared.files[&name].kept()
        };
        tracing::info!(shard = %self.shard, primary = %self.primary, from = %kept.from, end = %kept.whole, "keeping the tail of the stream");
        let actions = self.desk.on(Event::Began { shard: self.shard, primary: self.primary, file: kept });
        Action::acknowledged(&actions).ok_or(Ended::NotAsked)
    }

    /// Appends what comes, until the link ends.
    async fn follow(&mut self, reader: &mut FrameReader) -> Result<std::convert::Infallible, Ended> {
        let (mut spoke, mut reported_bytes) = (Instant::now(), 0);
        loop {
            let (whole, pinged) = self.take(reader)?;
            if let Some(whole) = whole.or_else(|| pinged.then(|| self.whole()).flatten()) {
                self.acknowledge(whole).await?;
                spoke = Instant::now();
            }
            let received_bytes = reader.received_bytes();
            if reader.has_more() && received_bytes != reported_bytes && spoke.elapsed() >= REPORT_EVERY {
                self.say(&Message::Progress(Progress { received_bytes, ticks: 0 })).await?;
                (spoke, reported_bytes) = (Instant::now(), received_bytes);
            }
            let filled = tokio::time::timeout(SILENCE_MAX, reader.fill()).await;
            filled.map_err(|_| LinkError::TimedOut { ms: SILENCE_MAX.as_millis() as u64 })??;
        }
    }

    /// Appends what has arrived: up to where there are whole commands, if that is news, and whether there was a ping.
    fn take(&self, reader: &mut FrameReader) -> Result<(Option<Offset>, bool), Ended> {
        let (shard, epoch) = (self.shard, self.epoch);
        let mut heard = Heard::default();
        let (before, whole) = {
            let mut shared = self.desk.state.borrow_mut();
            if !shared.engine.keeps(shard, self.primary, epoch) {
                return Err(Ended::NotAsked);
            }
            let file = shared.files.get_mut(&(shard, epoch)).ok_or(Ended::NotAsked)?;
            let before = file.tail().whole();
            file.append(|tail| -> Result<_, Ended> {
                reader.drain(|message, raw| hear(&message, raw, tail, &mut heard))?;
                Ok(std::mem::take(&mut heard.frames))
            })?;
            (before, file.tail().whole())
        };
        if whole == before {
            return Ok((None, heard.pinged));
        }
        let actions = self.desk.on(Event::Appended { shard, epoch, whole });
        self.desk.grown.notify_waiters();
        Ok((Action::acknowledged(&actions), heard.pinged))
    }

    fn whole(&self) -> Option<Offset> {
        self.desk.state.borrow().files.get(&(self.shard, self.epoch)).map(|file| file.tail().whole())
    }

    async fn acknowledge(&mut self, applied: Offset) -> Result<(), Ended> {
        let source = Source { epoch: self.epoch, incarnation: self.primary.incarnation };
        self.say(&Message::Ack(Ack { source, applied })).await
    }
}

fn protocol(what: &str) -> Ended {
    LinkError::Protocol(what.to_owned()).into()
}

fn refused(refuse: Refuse<'_>) -> Ended {
    let Refuse { code, text } = refuse;
    LinkError::Refused { code: code.to_owned(), text: text.to_owned() }.into()
}

/// Before the stream begins.
fn hear_before(message: Message<'_>, heard: &mut Heard) -> Result<Next, Ended> {
    match message {
        Message::Accept(Accept { version: chosen }) if LINK_VERSIONS.contains(chosen) => {
            heard.accepted = Some(chosen);
            Ok(Next::Stop)
        }
        Message::Accept(Accept { version: chosen }) => Err(LinkError::Version { chosen }.into()),
        Message::SyncBegin(begin) => {
            heard.begin = Some(begin);
            Ok(Next::Stop)
        }
        Message::Refuse(refuse) => Err(refused(refuse)),
        _ => Err(protocol("only an answer to the hello is expected")),
    }
}

/// Once it has begun.
fn hear(message: &Message<'_>, raw: &[u8], tail: &mut KeptTail, heard: &mut Heard) -> Result<Next, Ended> {
    match message {
        Message::Effects(_) | Message::EffectsPart(_) => {
            tail.admit(message)?;
            heard.frames.extend_from_slice(raw);
        }
        Message::Ping { .. } => heard.pinged = true,
        #[cfg(feature = "next")]
        Message::Clock { .. } => {}
        Message::Refuse(refuse) => return Err(refused(*refuse)),
        Message::Hello(_)
        | Message::Accept(_)
        | Message::Ack(_)
        | Message::Progress(_)
        | Message::SyncBegin(_)
        | Message::SyncChunk(_)
        | Message::SyncEnd(_)
        | Message::Fence(_)
        | Message::Promoted(_) => return Err(protocol("only the stream is expected")),
    }
    Ok(Next::Go)
}
