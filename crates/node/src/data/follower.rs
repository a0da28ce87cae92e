//! The receiving end of replication: keeps a link to the primary, during a handover one to the candidate, and one to the
//! keeper while no primary is found.
//!
//! ```text
//!  applied state ─► who is to be followed ─► a task a peer: connect, Hello, then
//!      Accept ─► the version of what follows
//!      SyncBegin ─► wait until the applied state says so too ─► follow
//!      Effects ─► admitted by the cursor ─► applied ─► kept in the backlog ─► Ack
//!      Fence ─► met exactly ─► the engine proposes this node
//! ```
//!
//! *Invariant:* what is acknowledged was applied.
//! *Invariant:* a replica that receives or applies says so before its primary may take it for silent, however large the
//! frame is.
//! *Invariant (I20):* effects of a level that this release does not admit end the link before anything of them is
//! applied; those of one that the log has not reached here wait for it.
//! *Invariant:* whom this node follows, and what it tells whom, the engine says.

use super::DataNode;
use super::blocked;
use super::link_io::{
    FrameReader, LinkError, Next, Opened, SILENCE_MAX, SYNC_SILENCE_MAX, Silence, open, say,
};
use super::link_stream::{LinkStream, LinkWrite};
use super::plane::Plane;
use super::pulse::{REPORT_EVERY, Voice};
use ironcache_keyspace::{apply_effects, progress};
use ironcache_replication::{
    Accept, Ack, ChunkAct, Group, LINK_VERSIONS, LinkVersion, Message, Progress, Refuse, ReplicaCursor,
    Source, SyncBegin, encode,
};
use ironcache_shard::{Action, Engine, Follow, Hinted};
use ironcache_types::{Level, Member, chain};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

/// A link is tried again after this, doubling up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(10);
/// A dead primary's address is tried this seldom.
const RETRY_MAX: Duration = Duration::from_millis(500);
/// How long a `SyncBegin`, or a level, may be ahead of this node's view.
const VIEW_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Keeps the links that the applied state asks for.
pub(super) async fn run(node: Rc<DataNode>) {
    let mut links: BTreeMap<Member, JoinHandle<()>> = BTreeMap::new();
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        let wanted = node.plane.borrow().engine.sources();
        links.retain(|member, task| {
            let keep = wanted.contains(member);
            if !keep {
                task.abort();
                lost(&node, *member);
            }
            keep
        });
        for member in wanted {
            links.entry(member).or_insert_with(|| spawn_local(keep_link(Rc::clone(&node), member)));
        }
        change.await;
    }
}

async fn keep_link(node: Rc<DataNode>, member: Member) {
    let mut pause = RETRY_MIN;
    let mut told = String::new();
    loop {
        let began = tokio::time::Instant::now();
        let ended = session(&node, member).await;
        lost(&node, member);
        if let Err(error) = ended {
            let text = chain(&error).to_string();
            match error {
                // It is tried again and again, and told once.
                LinkError::Version { .. } | LinkError::LevelNotAdmitted { .. } if text != told => {
                    tracing::warn!(peer = %member, error = text, "the releases do not fit");
                    told = text;
                }
                LinkError::Refused { .. } if text != told => {
                    tracing::info!(peer = %member, error = text, "the link to the primary ended");
                    told = text;
                }
                _ => tracing::debug!(peer = %member, error = text, "the link to the primary ended"),
            }
        }
        if began.elapsed() > RETRY_MAX {
            pause = RETRY_MIN;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// The link to `member` is gone: if it was the source, nothing comes from it any more.
fn lost(node: &Rc<DataNode>, member: Member) {
    let unfollowed = {
        let mut plane = node.plane.borrow_mut();
        let unfollowed = plane.engine.unfollow(member);
        plane.look_at_standing();
        unfollowed
    };
    if unfollowed {
        node.changed.notify_waiters();
    }
}

async fn session(node: &Rc<DataNode>, member: Member) -> Result<(), LinkError> {
    let addr = node.plane.borrow().peer_addr(member.node);
    let addr = addr.ok_or_else(|| LinkError::Protocol(format!("node {} has no address", member.node)))?;
    let keepalive_s = node.plane.borrow().config.tcp_keepalive;
    let Opened { stream, already, mut revocation } =
        open(&node.doors, &addr, member.node, keepalive_s).await?;
    tokio::select! {
        biased;
        () = revocation.revoked() => Err(LinkError::Revoked),
        ended = talk(node, member, stream, &already) => ended,
    }
}

async fn talk(
    node: &Rc<DataNode>,
    member: Member,
    stream: LinkStream,
    already: &[u8],
) -> Result<(), LinkError> {
    let voice = Voice::of(&stream)?;
    let (read, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(read, already);
    let mut out = Vec::new();
    let hello = {
        let plane = node.plane.borrow();
        plane.engine.introduce(member, plane.levels)?.ok_or(LinkError::RoleChanged)?
    };
    encode(&Message::Hello(hello), LinkVersion::HANDSHAKE, &mut out)?;
    say(&mut writer, &out).await?;
    let mut link = Receiving::new(member, voice);
    // Nothing is heard, for as long as this end listens.
    let mut quiet: Option<Silence> = None;
    loop {
        let (feed, changed) = (Rc::clone(&node.feed), Rc::clone(&node.changed));
        let (progress, change) = (feed.notified(), changed.notified());
        let heard = process(node, &mut reader, &mut link);
        // The rest of a report comes before anything else that is said.
        let owed = node.pulse.not_busy();
        if !owed.is_empty() {
            say(&mut writer, &owed).await?;
        }
        let heard = heard?;
        if let Some(version) = heard.accepted {
            reader.speak(version);
            link.version = version;
            quiet = None;
            continue;
        }
        if let Some(message) = heard.begin {
            begin(node, &mut link, &message).await?;
            acknowledge(node, &mut writer, &mut link, Again::Yes).await?;
            quiet = None;
            continue;
        }
        let again = if heard.pinged { Again::Yes } else { Again::No };
        acknowledge(node, &mut writer, &mut link, again).await?;
        report(node, &reader, &mut writer, &mut link, again).await?;
        if let Some(level) = heard.ahead {
            reached(node, level).await?;
            continue;
        }
        // Only during a handover: the stream moves with every write, and every link would wake for each.
        let tells = link.source.is_none() && node.plane.borrow().engine.is_candidate_of(link.member);
        let silence = quiet.get_or_insert_with(Silence::begin);
        let max = if link.acked.is_some() { SILENCE_MAX } else { SYNC_SILENCE_MAX };
        tokio::select! {
            biased;
            filled = reader.fill() => {
                filled?;
                quiet = None;
            }
            // Applied from the present primary, or fenced: the next one is told.
            () = progress, if tells => {}
            // A handover to the peer may have begun.
            () = change, if link.source.is_none() => {}
            () = silence.look(max), if link.source.is_some() || !link.is_accepted() => silence.looked(max)?,
        }
    }
}

/// One link's state on this end.
pub(super) struct Receiving {
    pub member: Member,
    /// What both ends speak; only the handshake, until the peer has accepted.
    pub version: LinkVersion,
    /// Whom it streams from, once followed.
    pub source: Option<Source>,
    /// The last acknowledgement sent on it.
    pub acked: Option<Ack>,
    /// What has arrived of a command that was cut.
    group: Group,
    /// When something was last said on it.
    spoke: Instant,
    /// How much had arrived when that was last told.
    reported_bytes: u64,
    voice: Voice,
}

impl Receiving {
    pub(super) fn new(member: Member, voice: Voice) -> Self {
        Self {
            member,
            version: LinkVersion::HANDSHAKE,
            source: None,
            acked: None,
            group: Group::default(),
            spoke: Instant::now(),
            reported_bytes: 0,
            voice,
        }
    }

    fn is_accepted(&self) -> bool {
        self.version != LinkVersion::HANDSHAKE
    }
}

#[derive(Default)]
pub(super) struct Heard {
    accepted: Option<LinkVersion>,
    begin: Option<SyncBegin>,
    /// What comes next is of this level, which the log has not reached here.
    pub ahead: Option<Level>,
    /// What the engine asks for, having met a fence.
    actions: Vec<Action>,
    pinged: bool,
}

/// Applies what has arrived; stops at what changes how the rest is read, and at what has to wait for the view.
pub(super) fn process(
    node: &Rc<DataNode>,
    reader: &mut FrameReader,
    link: &mut Receiving,
) -> Result<Heard, LinkError> {
    let mut heard = Heard::default();
    if link.source.is_some() {
        node.pulse.busy(&link.voice, link.version, reader.received_bytes());
    }
    let mut guard = node.plane.borrow_mut();
    let plane = &mut *guard;
    if !plane.engine.is_followed(link.member, link.source) {
        return Err(LinkError::RoleChanged);
    }
    let before = plane.offset();
    let mut hinted = false;
    reader.drain(|message, raw| {
        match message {
            Message::Accept(Accept { version: chosen }) if !link.is_accepted() => {
                if !LINK_VERSIONS.contains(chosen) {
                    return Err(LinkError::Version { chosen });
                }
                heard.accepted = Some(chosen);
                return Ok(Next::Stop);
            }
            Message::SyncBegin(begin) => {
                heard.begin = Some(begin);
                return Ok(Next::Stop);
            }
            Message::Refuse(Refuse { code, text }) => {
                return Err(LinkError::Refused { code: code.to_owned(), text: text.to_owned() });
            }
            Message::Promoted(promoted) => {
                hinted |= plane.engine.hint(link.member, promoted) == Hinted::Yes;
            }
            Message::Ping { now_ms: _, applied_index } => {
                heard.pinged = true;
                plane.engine.primary_applied(applied_index);
            }
            #[cfg(feature = "next")]
            Message::Clock { unix_ms: _ } => {
                plane.clocks_heard += 1;
            }
            Message::Effects(effects) => {
                if plane.admits(effects.level)? == Reached::NotYet {
                    heard.ahead = Some(effects.level);
                    return Ok(Next::Later);
                }
                let (cursor, source) = following(&mut plane.engine, link)?;
                let syncing = cursor.ack().is_none();
                let admitted = cursor.accept(source, &effects)?;
                if link.group.is_open() {
                    link.group.take(&effects, raw)?;
                }
                let group = std::mem::take(&mut link.group);
                let joined = group.effects(progress::tick);
                let bytes = if group.is_open() { &joined } else { effects.bytes };
                if let Err(error) = apply_effects(&mut plane.keyspace, bytes, effects.level) {
                    // Half a frame may be applied: this dataset is none any more.
                    *cursor = ReplicaCursor::empty();
                    plane.nothing_is_kept();
                    return Err(error.into());
                }
                cursor.applied(admitted)?;
                if plane.blocked.waits_for_keys() {
                    plane.blocked.note_bytes(bytes, effects.level);
                }
                if plane.clients.is_tracked() {
                    plane.tell_of_applied(bytes, effects.level);
                }
                match (syncing, group.is_open()) {
                    (true, _) => {}
                    (false, true) => group.into_frames(|frame| {
                        progress::tick();
                        plane.backlog.push(frame);
                    }),
                    (false, false) => plane.backlog.push(raw),
                }
            }
            Message::EffectsPart(part) => {
                if plane.admits(part.level)? == Reached::NotYet {
                    heard.ahead = Some(part.level);
                    return Ok(Next::Later);
                }
                let (cursor, source) = following(&mut plane.engine, link)?;
                cursor.accept_part(source, &part)?;
                link.group.take(&part, raw)?;
            }
            Message::SyncChunk(chunk) => {
                if plane.admits(chunk.level)? == Reached::NotYet {
                    heard.ahead = Some(chunk.level);
                    return Ok(Next::Later);
                }
                let (cursor, source) = following(&mut plane.engine, link)?;
                match cursor.on_sync_chunk(source, &chunk)? {
                    ChunkAct::Replace => plane.keyspace.clear_slot(chunk.slot),
                    ChunkAct::Append => {}
                }
                apply_effects(&mut plane.keyspace, chunk.bytes, chunk.level)?;
                node.work.add(chunk.bytes.len());
            }
            Message::SyncEnd(end) => {
                let (cursor, source) = following(&mut plane.engine, link)?;
                cursor.on_sync_end(source, &end)?;
                plane.backlog.reset(end.offset);
                plane.blocked.note_all();
                plane.nothing_is_kept();
                heard.pinged = true;
                tracing::info!(offset = %end.offset, keys = plane.keyspace.len(), "full sync done");
            }
            Message::Fence(fence) => {
                let (source, now) = (link.source.ok_or(LinkError::RoleChanged)?, plane.now());
                heard.actions = plane.engine.on_fence(source, &fence, now)?;
            }
            Message::Hello(_) | Message::Accept(_) | Message::Ack(_) | Message::Progress(_) => {
                return Err(LinkError::Protocol("only a source's messages are expected".to_owned()));
            }
        }
        Ok(Next::Go)
    })?;
    if plane.blocked.has_ready() {
        blocked::serve(plane);
    }
    plane.look_at_standing();
    let advanced = plane.offset() != before;
    let errands = plane.perform(std::mem::take(&mut heard.actions));
    drop(guard);
    if advanced {
        node.feed.notify_waiters();
    }
    if hinted {
        node.changed.notify_waiters();
    }
    node.run(errands);
    Ok(heard)
}

/// Has the log reached a level here?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    Yes,
    NotYet,
}

impl Plane {
    /// May effects of this level be applied? Those above what the log says here are not: the dataset, and with it a
    /// checkpoint, would hold what this node may not write yet.
    fn admits(&self, level: Level) -> Result<Reached, LinkError> {
        if !self.levels.admits(level) {
            return Err(LinkError::LevelNotAdmitted { level, admits: self.levels });
        }
        Ok(if level <= self.level() { Reached::Yes } else { Reached::NotYet })
    }
}

/// Waits until the log has reached this level here: the primary's may be a moment ahead.
async fn reached(node: &Rc<DataNode>, level: Level) -> Result<(), LinkError> {
    let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        let applied = node.plane.borrow().level();
        if applied >= level {
            return Ok(());
        }
        if tokio::time::timeout_at(deadline, change).await.is_err() {
            return Err(LinkError::LevelAhead { level, applied });
        }
    }
}

fn following<'a>(
    engine: &'a mut Engine,
    link: &Receiving,
) -> Result<(&'a mut ReplicaCursor, Source), LinkError> {
    engine.stream().zip(link.source).ok_or(LinkError::RoleChanged)
}

/// Follows the sender of `message`, once the applied state names it as source.
async fn begin(node: &Rc<DataNode>, link: &mut Receiving, message: &SyncBegin) -> Result<(), LinkError> {
    let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        {
            let mut guard = node.plane.borrow_mut();
            let plane = &mut *guard;
            let followed = match plane.engine.follow(link.member, message)? {
                Follow::NotYet => None,
                Follow::Sealed => return Err(LinkError::RoleChanged),
                Follow::Continue { source, from } => {
                    tracing::info!(peer = %link.member, %from, "following");
                    Some(source)
                }
                Follow::Discard { source } => {
                    tracing::info!(peer = %link.member, "following after a full sync");
                    plane.keyspace.clear();
                    plane.replaced += 1;
                    plane.nothing_is_kept();
                    Some(source)
                }
            };
            if followed.is_some() {
                link.source = followed;
                drop(guard);
                node.changed.notify_waiters();
                return Ok(());
            }
        }
        if tokio::time::timeout_at(deadline, change).await.is_err() {
            return Err(LinkError::Protocol(
                "accepted by a node that the log names neither as primary nor as its keeper".to_owned(),
            ));
        }
    }
}

/// Is an acknowledgement due even if it says nothing new?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

async fn acknowledge(
    node: &Rc<DataNode>,
    writer: &mut LinkWrite,
    link: &mut Receiving,
    again: Again,
) -> Result<(), LinkError> {
    let said = node.plane.borrow().engine.acknowledgement(link.member, link.source);
    let ack = said.filter(|_| link.is_accepted());
    let Some(ack) = ack else { return Ok(()) };
    if again == Again::No && link.acked == Some(ack) {
        return Ok(());
    }
    let mut out = Vec::with_capacity(64);
    encode(&Message::Ack(ack), link.version, &mut out)?;
    say(writer, &out).await?;
    link.acked = Some(ack);
    link.spoke = Instant::now();
    Ok(())
}

/// Part of a frame has arrived: the rest may take long. Or the primary asks, and a full sync that is under way has nothing
/// to acknowledge yet: it is answered all the same.
async fn report(
    node: &DataNode,
    reader: &FrameReader,
    writer: &mut LinkWrite,
    link: &mut Receiving,
    asked: Again,
) -> Result<(), LinkError> {
    let received_bytes = reader.received_bytes();
    // That this thread goes on is no progress of the link's.
    let has_more = reader.has_more() && received_bytes != link.reported_bytes;
    let is_due = has_more && link.spoke.elapsed() >= REPORT_EVERY;
    let syncs_and_is_asked = asked == Again::Yes && link.acked.is_none();
    if link.source.is_none() || !(is_due || syncs_and_is_asked) {
        return Ok(());
    }
    let mut out = Vec::with_capacity(64);
    let progress = Progress { received_bytes, ticks: node.pulse.ticks() };
    encode(&Message::Progress(progress), link.version, &mut out)?;
    say(writer, &out).await?;
    (link.spoke, link.reported_bytes) = (Instant::now(), received_bytes);
    Ok(())
}
