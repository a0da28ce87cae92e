//! The receiving end of replication: keeps a link to the primary, and during a handover one to the candidate.
//!
//! ```text
//!  applied state ─► who is to be followed ─► a task a peer: connect, Hello, then
//!      Accept ─► the version of what follows
//!      SyncBegin ─► wait until the applied state says so too ─► follow
//!      Effects ─► admitted by the cursor ─► applied ─► kept in the backlog ─► Ack
//!      Fence ─► met exactly ─► handover::on_fence
//! ```
//!
//! *Invariant:* what is acknowledged was applied.
//! *Invariant:* a replica that receives or applies says so before its primary may take it for silent, however large the
//! frame is.
//! *Invariant (I20):* effects of a level that this release does not admit end the link before anything of them is
//! applied; those of one that the log has not reached here wait for it.
//! *Invariant:* nothing is followed that the applied state does not name as primary.

use super::DataNode;
use super::handover;
use super::link_io::{FrameReader, LinkError, Next, open};
use super::plane::Plane;
use super::pulse::{REPORT_EVERY, Voice};
use super::role::Role;
use ironcache_control::Node;
use ironcache_keyspace::{apply_effects, progress};
use ironcache_replication::{
    Accept, Ack, Begin, ChunkAct, FenceMet, Group, Hello, LINK_VERSIONS, LinkVersion, Message, Progress,
    Purpose, Refuse, ReplicaCursor, Source, Standing, SyncBegin, encode,
};
use ironcache_types::{Level, Member, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinHandle, spawn_local};

/// A link is tried again after this, doubling up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(10);
/// A dead primary's address is tried this seldom.
const RETRY_MAX: Duration = Duration::from_millis(500);
/// A primary pings twenty times a second, but while it executes one long command: so long a silence is a dead link. Shorter,
/// and a long command costs every link; longer, and a link whose other end is gone without a word is tried anew later.
const SILENCE_MAX: Duration = Duration::from_millis(10_000);
/// How long a `SyncBegin`, or a level, may be ahead of this node's view.
const VIEW_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Keeps the links that the applied state asks for.
pub(super) async fn run(node: Rc<DataNode>) {
    let mut links: BTreeMap<Member, JoinHandle<()>> = BTreeMap::new();
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        let wanted = wanted(&node.plane.borrow());
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

/// Who is to be linked to: the primary, the candidate, and during a plan everybody of the shard: a handover then
/// finds the link to its candidate open, and clients do not wait for a connection.
fn wanted(plane: &Plane) -> Vec<Member> {
    if matches!(plane.role, Role::Loading) {
        return Vec::new();
    }
    let Some(shard) = plane.my_shard() else { return Vec::new() };
    // Only the registered life of this node is accepted anywhere.
    let me = plane.me;
    if plane.view.state.nodes.get(&me.node).is_none_or(|n| n.incarnation != me.incarnation) {
        return Vec::new();
    }
    let state = &plane.view.state;
    let candidate = shard.handover.map(|h| h.to);
    let next = shard.nodes.iter().filter_map(|n| state.nodes.get(n));
    let next = next.filter(|n| state.plan.is_some() && n.out.is_none()).map(Node::member);
    let wanted: BTreeSet<Member> = shard.primary().into_iter().chain(candidate).chain(next).collect();
    wanted.into_iter().filter(|m| m.node != me.node).collect()
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
    let mut plane = node.plane.borrow_mut();
    if let Role::Replica(replica) = &mut plane.role
        && replica.cursor.source().is_some_and(|s| s.incarnation == member.incarnation)
    {
        replica.cursor.detach();
        replica.link_up = false;
        drop(plane);
        node.changed.notify_waiters();
    }
}

async fn session(node: &Rc<DataNode>, member: Member) -> Result<(), LinkError> {
    let addr = node.plane.borrow().peer_addr(member.node);
    let addr = addr.ok_or_else(|| LinkError::Protocol(format!("node {} has no address", member.node)))?;
    let (stream, already) = open(&addr).await?;
    let voice = Voice::of(&stream)?;
    let (read, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(read, &already);
    let mut out = Vec::new();
    encode(&Message::Hello(hello(&node.plane.borrow(), member)?), LinkVersion::HANDSHAKE, &mut out)?;
    writer.write_all(&out).await?;
    let mut link = Receiving::new(member, voice);
    loop {
        let (feed, changed) = (Rc::clone(&node.feed), Rc::clone(&node.changed));
        let (progress, change) = (feed.notified(), changed.notified());
        let heard = process(node, &mut reader, &mut link);
        // The rest of a report comes before anything else that is said.
        let owed = node.pulse.not_busy();
        if !owed.is_empty() {
            writer.write_all(&owed).await?;
        }
        let heard = heard?;
        if let Some(version) = heard.accepted {
            reader.speak(version);
            link.version = version;
            continue;
        }
        if let Some(message) = heard.begin {
            begin(node, &mut link, &message).await?;
            acknowledge(node, &mut writer, &mut link, Again::Yes).await?;
            continue;
        }
        let again = if heard.pinged { Again::Yes } else { Again::No };
        acknowledge(node, &mut writer, &mut link, again).await?;
        report(node, &reader, &mut writer, &mut link).await?;
        if let Some(met) = heard.fence {
            spawn_local(handover::on_fence(Rc::clone(node), met));
        }
        if let Some(level) = heard.ahead {
            reached(node, level).await?;
            continue;
        }
        // Only during a handover: the stream moves with every write, and every link would wake for each.
        let tells = link.source.is_none() && is_candidate(&node.plane.borrow(), link.member);
        tokio::select! {
            biased;
            filled = reader.fill() => filled?,
            // Applied from the present primary, or fenced: the next one is told.
            () = progress, if tells => {}
            // A handover to the peer may have begun.
            () = change, if link.source.is_none() => {}
            () = tokio::time::sleep(SILENCE_MAX), if link.source.is_some() || !link.is_accepted() => {
                return Err(LinkError::TimedOut { ms: SILENCE_MAX.as_millis() as u64 });
            }
        }
    }
}

fn hello(plane: &Plane, to: Member) -> Result<Hello, LinkError> {
    let state = &plane.view.state;
    let (Some(cluster_id), Some(shard)) = (state.cluster_id, plane.my_shard()) else {
        return Err(LinkError::RoleChanged);
    };
    let purpose = if shard.is_primary(to) { Purpose::Follow } else { Purpose::NextSource };
    let position = match &plane.role {
        Role::Loading => None,
        Role::Replica(replica) => replica.cursor.position()?,
        Role::Primary(primary) => primary.lineage.position_at(plane.offset()),
    };
    Ok(Hello {
        versions: LINK_VERSIONS,
        cluster_id,
        shard: shard.id,
        member: plane.me,
        purpose,
        position,
        levels: plane.levels,
    })
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
    fence: Option<FenceMet>,
    pinged: bool,
}

/// Does the applied state still name the sender as primary, in the epoch in which it was followed?
fn is_followed(plane: &Plane, link: &Receiving) -> bool {
    let named = |source: Source| {
        plane.my_shard().is_some_and(|s| s.epoch == source.epoch && s.is_primary(link.member))
    };
    !plane.is_sealed() && link.source.is_none_or(named)
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
    if !is_followed(plane, link) {
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
                if let Some(node) = plane.view.state.nodes.get(&link.member.node) {
                    let addr = node.client_addr.clone();
                    plane.routing.hint(promoted.epoch, link.member, addr);
                    hinted = true;
                }
            }
            Message::Ping { now_ms: _, applied_index } => {
                heard.pinged = true;
                if let Role::Replica(replica) = &mut plane.role {
                    replica.primary_applied = replica.primary_applied.max(applied_index);
                }
            }
            #[cfg(feature = "next")]
            Message::Clock { unix_ms: _ } => {
                if let Role::Replica(replica) = &mut plane.role {
                    replica.clocks_heard += 1;
                }
            }
            Message::Effects(effects) => {
                if plane.admits(effects.level)? == Reached::NotYet {
                    heard.ahead = Some(effects.level);
                    return Ok(Next::Later);
                }
                let (cursor, source) = following(&mut plane.role, link)?;
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
                    return Err(error.into());
                }
                cursor.applied(admitted)?;
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
                let (cursor, source) = following(&mut plane.role, link)?;
                cursor.accept_part(source, &part)?;
                link.group.take(&part, raw)?;
            }
            Message::SyncChunk(chunk) => {
                if plane.admits(chunk.level)? == Reached::NotYet {
                    heard.ahead = Some(chunk.level);
                    return Ok(Next::Later);
                }
                let (cursor, source) = following(&mut plane.role, link)?;
                match cursor.on_sync_chunk(source, &chunk)? {
                    ChunkAct::Replace => plane.keyspace.clear_slot(chunk.slot),
                    ChunkAct::Append => {}
                }
                apply_effects(&mut plane.keyspace, chunk.bytes, chunk.level)?;
                node.work.add(chunk.bytes.len());
            }
            Message::SyncEnd(end) => {
                let (cursor, source) = following(&mut plane.role, link)?;
                cursor.on_sync_end(source, &end)?;
                plane.backlog.reset(end.offset);
                heard.pinged = true;
                tracing::info!(offset = %end.offset, keys = plane.keyspace.len(), "full sync done");
            }
            Message::Fence(fence) => {
                let (cursor, source) = following(&mut plane.role, link)?;
                heard.fence = Some(cursor.on_fence(source, &fence)?);
            }
            Message::Hello(_) | Message::Accept(_) | Message::Ack(_) | Message::Progress(_) => {
                return Err(LinkError::Protocol("only a source's messages are expected".to_owned()));
            }
        }
        Ok(Next::Go)
    })?;
    let advanced = plane.offset() != before;
    drop(guard);
    if advanced {
        node.feed.notify_waiters();
    }
    if hinted || heard.fence.is_some() {
        node.changed.notify_waiters();
    }
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

fn following<'a>(role: &'a mut Role, link: &Receiving) -> Result<(&'a mut ReplicaCursor, Source), LinkError> {
    match (role, link.source) {
        (Role::Replica(replica), Some(source)) => Ok((&mut replica.cursor, source)),
        (Role::Loading | Role::Primary(_), _) | (Role::Replica(_), None) => Err(LinkError::RoleChanged),
    }
}

/// Follows the sender of `message`, once the applied state names it as primary.
async fn begin(node: &Rc<DataNode>, link: &mut Receiving, message: &SyncBegin) -> Result<(), LinkError> {
    let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        {
            let mut guard = node.plane.borrow_mut();
            let plane = &mut *guard;
            let named = plane.my_shard().filter(|s| s.is_primary(link.member)).map(|s| s.epoch);
            let in_sync = plane.my_shard().is_some_and(|s| s.in_sync.contains(&plane.me));
            if plane.is_sealed() {
                return Err(LinkError::RoleChanged);
            }
            if let (Some(epoch), Role::Replica(replica)) = (named, &mut plane.role)
                && epoch >= message.source.epoch
            {
                let expected = Source { epoch, incarnation: link.member.incarnation };
                let standing = if in_sync { Standing::InSync } else { Standing::Outside };
                match replica.cursor.follow(expected, message, standing)? {
                    Begin::Continue { from } => tracing::info!(peer = %link.member, %from, "following"),
                    Begin::Discard => {
                        tracing::info!(peer = %link.member, "following after a full sync");
                        plane.keyspace.clear();
                        plane.replaced += 1;
                    }
                }
                replica.begun = None;
                replica.link_up = true;
                link.source = Some(expected);
                drop(guard);
                node.changed.notify_waiters();
                return Ok(());
            }
        }
        if tokio::time::timeout_at(deadline, change).await.is_err() {
            return Err(LinkError::Protocol(
                "accepted by a node that the log does not name as primary".to_owned(),
            ));
        }
    }
}

fn is_candidate(plane: &Plane, member: Member) -> bool {
    plane.my_shard().and_then(|s| s.handover).is_some_and(|h| h.to == member)
}

/// Is an acknowledgement due even if it says nothing new?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

async fn acknowledge(
    node: &Rc<DataNode>,
    writer: &mut OwnedWriteHalf,
    link: &mut Receiving,
    again: Again,
) -> Result<(), LinkError> {
    let ack = match &node.plane.borrow().role {
        _ if !link.is_accepted() => None,
        // The next source hears nothing before a handover to it has begun.
        _ if link.source.is_none() && !is_candidate(&node.plane.borrow(), link.member) => None,
        Role::Loading => None,
        Role::Replica(replica) => replica.cursor.ack(),
        // Handing over: fenced, it stands at the end of its own stream.
        Role::Primary(primary) => primary
            .handover
            .as_ref()
            .and_then(|h| h.fence)
            .map(|applied| Ack { source: primary.gate.source(), applied }),
    };
    let Some(ack) = ack else { return Ok(()) };
    if again == Again::No && link.acked == Some(ack) {
        return Ok(());
    }
    let mut out = Vec::with_capacity(64);
    encode(&Message::Ack(ack), link.version, &mut out)?;
    writer.write_all(&out).await?;
    link.acked = Some(ack);
    link.spoke = Instant::now();
    Ok(())
}

/// Part of a frame has arrived: the rest may take long.
async fn report(
    node: &DataNode,
    reader: &FrameReader,
    writer: &mut OwnedWriteHalf,
    link: &mut Receiving,
) -> Result<(), LinkError> {
    let received_bytes = reader.received_bytes();
    // That this thread goes on is no progress of the link's.
    let has_more = reader.has_more() && received_bytes != link.reported_bytes;
    if link.source.is_none() || !has_more || link.spoke.elapsed() < REPORT_EVERY {
        return Ok(());
    }
    let mut out = Vec::with_capacity(64);
    let progress = Progress { received_bytes, ticks: node.pulse.ticks() };
    encode(&Message::Progress(progress), link.version, &mut out)?;
    writer.write_all(&out).await?;
    (link.spoke, link.reported_bytes) = (Instant::now(), received_bytes);
    Ok(())
}
