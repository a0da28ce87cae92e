//! The sending end of replication: serves one attached replica.
//!
//! ```text
//!  Hello ─► checked ─► Accept ─┬─ Follow, and we are primary ──► SyncBegin ─► [slots of a full sync] ─► frames, …
//!                    └─► Refuse └─ NextSource ──► its acks are noted; once we are promoted ──► the same
//! ```
//!
//! *Invariant:* a replica whose release does not admit the level that this node has applied is refused by name.
//! *Invariant:* a frame leaves as it lies in the backlog, so that equal (epoch, offset) means equal content.
//! *Invariant:* a full sync is a `walk`, whose end is its point in time.

use super::DataNode;
use super::link_io::{FrameReader, LinkError, Next, SILENCE_MAX, SYNC_SILENCE_MAX, within};
use super::link_stream::{LinkStream, LinkWrite};
use super::plane::Plane;
use super::refusal::{Refusal, code_of};
use super::walk::{Onward, Sink, Walk, Walked};
use crate::doorkeeper::{Visit, turned};
use crate::doors::Revocation;
use ironcache_host::net::{Moving, enter_runtime};
use ironcache_keyspace::Effect;
use ironcache_replication::{
    Accept, Effects, Hello, LINK_VERSIONS, LinkVersion, Message, Purpose, Refuse, Resync, Source, SyncEnd,
    SyncMode, encode, encode_group, encode_sync_chunk,
};
use ironcache_shard::{self as shard, NotAttached, StandBy};
use ironcache_types::{Level, Member, NodeId, Offset, Slot};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A hello follows the upgrade at once.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_millis(5_000);
/// How long a hello waits for this node's view to catch up with its sender's.
pub(crate) const VIEW_TIMEOUT: Duration = Duration::from_millis(2_000);
/// A sign of life when nothing else is sent. A member for which something waits is given up after a tenth of
/// `isr-timeout-ms`, 200 ms by default: more seldom, and one answer that is late looks like silence.
pub(crate) const PING_EVERY: Duration = Duration::from_millis(PING_MS);
const PING_MS: u64 = 50;
/// Sent at a time. Larger: a full sync keeps the thread from clients for longer; smaller: more system calls.
pub(crate) const SEND_BYTES: usize = 128 << 10;
/// A slot, or a value in it, that is larger is dumped in pieces of this. Larger: the thread is kept from clients for
/// longer, a millisecond or two here. Smaller: more is written between two pieces, and has to be sent again.
const PIECE_BYTES: usize = 1 << 20;

/// A connection that asked for the upgrade, on its way to the data thread.
pub(crate) struct LinkSocket {
    pub stream: Moving,
    /// By TLS.
    pub session: Option<Box<rustls::Connection>>,
    /// The member whose key was proved on it; `None`: nobody's is asked for.
    pub proved: Option<NodeId>,
    /// When it is to be closed.
    pub revocation: Revocation,
    /// What was read past the request.
    pub read: Vec<u8>,
    /// Its place in the door, until it is known whose it is.
    pub visit: Option<Visit>,
}

impl LinkSocket {
    /// From whoever it is.
    #[cfg(test)]
    pub(crate) fn of_tests(stream: Moving) -> Self {
        let revocation = crate::doors::Doors::of_tests().revocation(None);
        LinkSocket { stream, session: None, proved: None, revocation, read: Vec::new(), visit: None }
    }
}

/// Who says hello says it under its own key: what follows on the link, acknowledgements too, is then of that node.
pub(crate) fn only_as_itself(proved: Option<NodeId>, hello: &Hello) -> Result<(), Refusal> {
    let said = hello.member.node;
    match proved {
        Some(proved) if proved != said => Err(Refusal::NotItself { proved, said }),
        Some(_) | None => Ok(()),
    }
}

/// Serves the replica on this socket until the link breaks.
pub(super) async fn serve(node: Rc<DataNode>, socket: LinkSocket) {
    let LinkSocket { stream, session, proved, mut revocation, read, visit } = socket;
    let stream = match enter_runtime(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a replication link was lost before it began");
            return;
        }
    };
    let (reader, writer) = LinkStream::new(stream, session.map(|session| *session)).into_split();
    let mut session = Session {
        node,
        proved,
        reader: FrameReader::new(reader, &read),
        writer,
        serial: 0,
        member: Member::default(),
        visit,
    };
    let ended = tokio::select! {
        biased;
        () = revocation.revoked() => Err(LinkError::Revoked),
        ended = session.run() => ended,
    };
    if let Err(error) = &ended
        && let Some((code, text)) = refusal(error)
    {
        let (mut out, refuse) = (Vec::new(), Message::Refuse(Refuse { code, text: &text }));
        if encode(&refuse, LinkVersion::HANDSHAKE, &mut out).is_ok() {
            // It closes in any case; the reason is a courtesy.
            let _ = session.writer.write_all(&out).await;
        }
    }
    if let Err(error) = ended {
        if let LinkError::Refused { code: _, text } = &error {
            session.node.plane.borrow_mut().engine.keeper_gave_up(session.member, text);
        }
        tracing::debug!(member = %session.member, %error, "a replica's link ended");
    }
    session.detach();
}

/// What the peer is told when the link ends so; `None`: it knows, or it is none of its business.
fn refusal(ended: &LinkError) -> Option<(&'static str, String)> {
    match ended {
        LinkError::Refuse(refusal) => Some((refusal.code(), refusal.to_string())),
        LinkError::Frame(error) => Some((code_of(error), error.to_string())),
        LinkError::Protocol(what) => Some(("protocol", what.clone())),
        LinkError::Closed
        | LinkError::Io(_)
        | LinkError::TimedOut { .. }
        | LinkError::NoUpgrade(_)
        | LinkError::Refused { .. }
        | LinkError::Version { .. }
        | LinkError::LevelNotAdmitted { .. }
        | LinkError::LevelAhead { .. }
        | LinkError::Stream(_)
        | LinkError::Ack(_)
        | LinkError::Group(_)
        | LinkError::Effect(_)
        | LinkError::BacklogPassed
        | LinkError::Walk(_)
        | LinkError::Encode(_)
        | LinkError::RoleChanged
        | LinkError::Revoked => None,
    }
}

struct Session {
    node: Rc<DataNode>,
    proved: Option<NodeId>,
    reader: FrameReader,
    writer: LinkWrite,
    serial: u64,
    member: Member,
    /// Its place in the door: a stranger's, until the hello is checked.
    visit: Option<Visit>,
}

impl Session {
    async fn run(&mut self) -> Result<(), LinkError> {
        let hello = self.hello().await?;
        only_as_itself(self.proved, &hello)?;
        self.member = hello.member;
        let version = LINK_VERSIONS
            .common(hello.versions)
            .ok_or(Refusal::NoCommonVersion { theirs: hello.versions, ours: LINK_VERSIONS })?;
        tokio::select! {
            biased;
            checked = self.check(&hello) => checked?,
            why = turned(self.visit.as_ref()) => return Err(LinkError::Protocol(why.to_string())),
        }
        self.visit = None;
        self.register();
        self.say(&Message::Accept(Accept { version })).await?;
        self.reader.speak(version);
        let mode = match hello.purpose {
            Purpose::Follow => self.become_source(&hello).await?,
            Purpose::NextSource => self.stand_by().await?,
            Purpose::Keep => self.be_kept(&hello).await?,
        };
        self.stream_to(mode).await
    }

    async fn say(&mut self, message: &Message<'_>) -> Result<(), LinkError> {
        let mut out = Vec::new();
        encode(message, self.reader.version(), &mut out)?;
        Ok(self.writer.write_all(&out).await?)
    }

    async fn hello(&mut self) -> Result<Hello, LinkError> {
        let read = async {
            loop {
                let mut hello = None;
                self.reader.drain(|message, _| match message {
                    Message::Hello(said) if hello.is_none() => {
                        hello = Some(said);
                        Ok(Next::Go)
                    }
                    _ => Err(LinkError::Protocol("a hello comes first, and once".to_owned())),
                })?;
                match hello {
                    Some(hello) => return Ok(hello),
                    None => self.reader.fill().await?,
                }
            }
        };
        let timed_out = |_| LinkError::TimedOut { ms: HELLO_TIMEOUT.as_millis() as u64 };
        tokio::time::timeout(HELLO_TIMEOUT, read).await.map_err(timed_out)?
    }

    /// Is the caller who it says, in the applied state? Waits a moment for a view that lags.
    async fn check(&self, hello: &Hello) -> Result<(), LinkError> {
        let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
        loop {
            let changed = self.node.changed.notified();
            let problem = self.node.plane.borrow().objection(hello);
            match problem {
                None => return Ok(()),
                Some(objection) => {
                    if tokio::time::timeout_at(deadline, changed).await.is_err() {
                        return Err(Refusal::from(objection).into());
                    }
                }
            }
        }
    }

    fn register(&mut self) {
        let mut plane = self.node.plane.borrow_mut();
        let now = plane.now();
        // The replaced link's task sees another serial, and ends.
        self.serial = plane.engine.register(self.member, now);
        drop(plane);
        self.node.feed.notify_waiters();
        self.node.changed.notify_waiters();
    }

    fn detach(&mut self) {
        let mut plane = self.node.plane.borrow_mut();
        plane.engine.detach(self.member, self.serial);
        plane.retain();
        plane.settle_replies();
        drop(plane);
        // What was kept for it holds nobody back any more.
        self.node.acked.notify_waiters();
    }

    /// Waits until this node is primary, and decides how the replica gets in step.
    async fn become_source(&mut self, hello: &Hello) -> Result<SyncMode, LinkError> {
        let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
        loop {
            let changed = self.node.changed.notified();
            {
                let mut plane = self.node.plane.borrow_mut();
                let oldest = hello.position.and_then(|at| plane.backlog.level_at(at.offset));
                let start = plane.backlog.start();
                if let Some(resync) = plane.engine.resync(hello.position, hello.levels, start, oldest) {
                    match resync {
                        Resync::Partial { from } => {
                            tracing::info!(member = %self.member, %from, "partial resync");
                            plane.stats.partial_syncs += 1;
                        }
                        Resync::Full { reason } => {
                            tracing::info!(member = %self.member, %reason, "full sync");
                            plane.stats.full_syncs += 1;
                        }
                    }
                    return Ok(resync.mode());
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Refusal::NotPrimary.into());
            }
        }
    }

    /// Waits until this node is primary, and decides where the tail begins that the other end keeps.
    async fn be_kept(&mut self, hello: &Hello) -> Result<SyncMode, LinkError> {
        let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
        loop {
            let changed = self.node.changed.notified();
            let attached = {
                let mut plane = self.node.plane.borrow_mut();
                let start = plane.backlog.start();
                plane.engine.attach_keeper(hello, start).map_err(Refusal::from)
            };
            match attached {
                Ok(mode) => {
                    tracing::info!(member = %self.member, ?mode, "a keeper is attached");
                    return Ok(mode);
                }
                Err(refusal) if !refusal.may_pass() => return Err(refusal.into()),
                Err(_) => {}
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Refusal::NotPrimary.into());
            }
        }
    }

    /// Notes the acknowledgements of a member that will follow this node once it is promoted.
    async fn stand_by(&mut self) -> Result<SyncMode, LinkError> {
        loop {
            let feed = Rc::clone(&self.node.feed);
            let promotion = feed.notified();
            let standing = self.node.plane.borrow().engine.stand_by(self.member, self.serial);
            match standing {
                StandBy::Wait => {}
                StandBy::Replaced => return Err(LinkError::RoleChanged),
                StandBy::PrimaryAlready => return Err(Refusal::PrimaryAlready.into()),
                StandBy::Promoted { told, from } => {
                    self.say(&Message::Promoted(told)).await?;
                    return match from {
                        Some(from) => Ok(SyncMode::Partial { from }),
                        None => Err(Refusal::PromotedElsewhere.into()),
                    };
                }
            }
            tokio::select! {
                biased;
                filled = self.reader.fill() => {
                    filled?;
                    self.note_acks()?;
                }
                () = promotion => {}
            }
        }
    }

    fn note_acks(&mut self) -> Result<(), LinkError> {
        let mut last = None;
        self.reader.drain(|message, _| match message {
            Message::Ack(ack) => {
                last = Some(ack);
                Ok(Next::Go)
            }
            _ => Err(LinkError::Protocol("only acknowledgements are expected".to_owned())),
        })?;
        if let Some(ack) = last {
            let errands = {
                let mut plane = self.node.plane.borrow_mut();
                let now = plane.now();
                let actions = plane.engine.note_ack(self.member, self.serial, ack, now);
                plane.perform(actions)
            };
            self.node.run(errands);
        }
        Ok(())
    }

    /// Says how the replica gets in step, then sends and listens until the link or the role ends.
    async fn stream_to(&mut self, mode: SyncMode) -> Result<(), LinkError> {
        let mut out = Vec::new();
        let (source, progress, errands) = {
            let mut plane = self.node.plane.borrow_mut();
            let now = plane.now();
            let attached = plane.engine.attach(self.member, self.serial, mode, now);
            let (shard::Attached { source, begin, from }, actions) =
                attached.map_err(|error| match error {
                    NotAttached::RoleChanged => LinkError::RoleChanged,
                    NotAttached::InSync(error) => Refusal::InSync(error).into(),
                })?;
            encode(&Message::SyncBegin(begin), self.reader.version(), &mut out)?;
            let sync = match mode {
                SyncMode::Partial { .. } => None,
                // Slots are dumped as of now: nothing before is needed.
                SyncMode::Full => {
                    let slots = plane.my_shard().map(|s| s.slots.clone()).unwrap_or_default();
                    Some(Walk::new(slots, from, PIECE_BYTES))
                }
            };
            (source, Progress { cursor: from, sync }, plane.perform(actions))
        };
        self.node.run(errands);
        self.writer.write_all(&out).await?;
        let Self { node, proved: _, reader, writer, serial, member, visit: _ } = self;
        let attached = Attached { source, serial: *serial, member: *member, version: reader.version() };
        let sending = send(node, writer, attached, progress);
        let listening = listen(node, reader, attached);
        tokio::select! {
            ended = sending => ended,
            ended = listening => ended,
        }
    }
}

/// One attachment: whom it serves, as whom, by which link, in which words.
#[derive(Clone, Copy)]
struct Attached {
    source: Source,
    serial: u64,
    member: Member,
    version: LinkVersion,
}

/// How far the sending came.
struct Progress {
    cursor: Offset,
    sync: Option<Walk>,
}

async fn send(
    node: &Rc<DataNode>,
    writer: &mut LinkWrite,
    attached: Attached,
    mut progress: Progress,
) -> Result<(), LinkError> {
    let mut out = Vec::new();
    let mut told_index = 0;
    let mut ping_due = true;
    loop {
        let feed = Rc::clone(&node.feed);
        let more = feed.notified();
        out.clear();
        {
            let mut plane = node.plane.borrow_mut();
            fill(&mut plane, attached, &mut progress, &mut out)?;
            if plane.is_backed_up() {
                plane.retain();
                if !plane.is_backed_up() {
                    node.acked.notify_waiters();
                }
            }
            let applied_index = plane.view.index;
            if (ping_due || applied_index > told_index) && is_between_frames(&plane, &progress) {
                encode(
                    &Message::Ping { now_ms: plane.clock_ms(), applied_index },
                    attached.version,
                    &mut out,
                )?;
                #[cfg(feature = "next")]
                if attached.version >= ironcache_replication::LINK_NEXT {
                    let clock = Message::Clock { unix_ms: crate::clock::wall_ms() };
                    encode(&clock, attached.version, &mut out)?;
                }
                told_index = applied_index;
                ping_due = false;
            }
        }
        if out.is_empty() {
            ping_due = tokio::time::timeout(PING_EVERY, more).await.is_err();
        } else {
            write(node, writer, attached, &out).await?;
        }
        if out.capacity() > 4 * SEND_BYTES {
            out = Vec::new();
        }
    }
}

/// Sends all of it, and notes that the replica takes something as long as it does.
async fn write(
    node: &Rc<DataNode>,
    writer: &mut LinkWrite,
    attached: Attached,
    mut out: &[u8],
) -> Result<(), LinkError> {
    while !out.is_empty() {
        let written = writer.write(out).await?;
        out = &out[written..];
        let mut plane = node.plane.borrow_mut();
        let now = plane.now();
        plane.engine.moved(attached.member, attached.serial, now);
    }
    Ok(())
}

/// May a message of its own follow what was sent? The backlog is sent in pieces that may end inside a frame; a sync
/// sends whole messages.
fn is_between_frames(plane: &Plane, progress: &Progress) -> bool {
    progress.sync.is_some() || progress.cursor == plane.offset()
}

/// Puts what is to be sent next into `out`; leaves it empty when the replica has everything.
fn fill(
    plane: &mut Plane,
    attached: Attached,
    progress: &mut Progress,
    out: &mut Vec<u8>,
) -> Result<(), LinkError> {
    let Attached { source, serial, member, version } = attached;
    if !plane.engine.is_attached(source, member, serial) {
        return Err(LinkError::RoleChanged);
    }
    match &mut progress.sync {
        None => {
            let (head, tail) =
                plane.backlog.read_from(progress.cursor, SEND_BYTES).ok_or(LinkError::BacklogPassed)?;
            out.extend_from_slice(head);
            out.extend_from_slice(tail);
            progress.cursor.0 += (head.len() + tail.len()) as u64;
        }
        Some(sync) => {
            let walked = sync.go_on(&*plane, &mut ToLink { plane: &*plane, version, out })?;
            progress.cursor = sync.cursor();
            if walked == Walked::Whole {
                let Some(primary) = plane.primary() else { return Err(LinkError::RoleChanged) };
                let end = SyncEnd { lineage: primary.lineage().clone(), offset: progress.cursor };
                encode(&Message::SyncEnd(end), version, out)?;
                progress.sync = None;
                plane.engine.synced(member, serial);
            }
        }
    }
    if let Some(fence) = plane.engine.sent(member, serial, progress.cursor) {
        encode(&Message::Fence(fence), version, out)?;
    }
    Ok(())
}

/// What a full sync puts on its link: frames as they lie in the backlog, and pieces as messages of their own.
struct ToLink<'a> {
    plane: &'a Plane,
    version: LinkVersion,
    out: &'a mut Vec<u8>,
}

impl Sink for ToLink<'_> {
    type Error = LinkError;

    fn is_full(&self) -> bool {
        self.out.len() >= SEND_BYTES
    }

    fn onward(&mut self, command: Onward<'_>) -> Result<(), LinkError> {
        let out = &mut *self.out;
        match command {
            Onward::Frame { frame, command: _ } => out.extend_from_slice(frame),
            Onward::Frames { group, command: _ } => group.into_frames(|frame| out.extend_from_slice(frame)),
            Onward::Some(Effects { level, epoch, start, scope, bytes }) => {
                let mut frame = Vec::new();
                encode_group(&mut frame, level, epoch, start, scope, bytes, |frame| {
                    out.extend_from_slice(frame);
                });
            }
        }
        Ok(())
    }

    /// An empty one too: the replica may hold something there.
    fn piece(&mut self, slot: Slot, effects: Vec<u8>) -> Result<(), LinkError> {
        let level = self.plane.level();
        let mut rest = &effects[..];
        loop {
            let (chunk, after) = rest.split_at(whole_effects(rest, level)?);
            encode_sync_chunk(self.out, self.version, level, slot, |out| out.extend_from_slice(chunk))?;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// How many bytes of these effects are sent in one message: whole effects, and one at least. A piece is one message; the
/// last one of a slot that never rested may be too large for that.
fn whole_effects(effects: &[u8], level: Level) -> Result<usize, LinkError> {
    if effects.len() <= 2 * PIECE_BYTES {
        return Ok(effects.len());
    }
    let mut rest = effects;
    while !rest.is_empty() && effects.len() - rest.len() < PIECE_BYTES {
        (_, rest) = Effect::decode(rest, level)?;
    }
    Ok(effects.len() - rest.len())
}

/// Each ping is answered: who is not heard may well hear, and think that all is well.
async fn listen(node: &Rc<DataNode>, reader: &mut FrameReader, attached: Attached) -> Result<(), LinkError> {
    let Attached { serial, member, .. } = attached;
    let mut silence_max = SYNC_SILENCE_MAX;
    loop {
        {
            let mut guard = node.plane.borrow_mut();
            let plane = &mut *guard;
            let now = plane.now();
            let (mut last, mut moved) = (None, None);
            reader.drain(|message, _| match message {
                Message::Ack(ack) => {
                    last = Some(ack);
                    Ok(Next::Go)
                }
                Message::Progress(progress) => {
                    moved = Some(progress);
                    Ok(Next::Go)
                }
                // A keeper that cannot write.
                Message::Refuse(Refuse { code, text }) => {
                    Err(LinkError::Refused { code: code.to_owned(), text: text.to_owned() })
                }
                _ => Err(LinkError::Protocol("only acknowledgements and progress are expected".to_owned())),
            })?;
            if plane.primary().is_none() {
                return Err(LinkError::RoleChanged);
            }
            if let Some(progress) = moved {
                plane.engine.on_progress(member, serial, progress, PING_MS, now)?;
            }
            if let Some(ack) = last {
                silence_max = SILENCE_MAX;
                let actions = plane.engine.on_ack(member, serial, ack, PING_MS, now)?;
                plane.settle_replies();
                let errands = plane.perform(actions);
                drop(guard);
                node.acked.notify_waiters();
                node.run(errands);
            }
        }
        within(silence_max, reader.fill()).await?;
    }
}

#[cfg(test)]
mod tests;
