//! The link to a node of the shard that came back and finds no primary: it is sent what was kept.
//!
//! ```text
//!  Hello{Follow, position} ─► may it be served? ─► Accept, SyncBegin{Continue} ─► frames off the file, pings
//!                                  └► Refuse            `BeginRecovery` applied, and everything sent ─► Fence
//! ```
//!
//! *Invariant:* a frame leaves as it lies in the file, and so as the primary sent it.
//! *Invariant:* no full sync is offered: there is no dataset here. Who would need one is refused.

use super::desk::Desk;
use crate::data::{
    FrameReader, HELLO_TIMEOUT, HelloRefusal, LinkError, LinkSocket, LinkStream, LinkWrite, Next, PING_EVERY,
    SEND_BYTES, SYNC_SILENCE_MAX, VIEW_TIMEOUT, only_as_itself, within,
};
use crate::doorkeeper::turned;
use ironcache_host::net::enter_runtime;
use ironcache_replication::{
    Accept, Fence, FullReason, Hello, LINK_VERSIONS, LinkVersion, LinkVersions, Message, Purpose, Refuse,
    Source, SyncBegin, SyncMode, encode,
};
use ironcache_shard::keeper::{Action, Event, NotServed};
use ironcache_types::{Epoch, Level, LevelRange, Member, NodeId, Offset, ShardId, chain};
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;

/// Why a returning node is not served.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "the replica's release speaks link versions {theirs}, and this one {ours}: run a release in between"
    )]
    NoCommonVersion { theirs: LinkVersions, ours: LinkVersions },
    #[error(
        "the cluster is at level {level}, and the replica's release admits levels {admits}: start one that admits it"
    )]
    CannotRead { level: Level, admits: LevelRange },
    #[error("the replica belongs to another cluster")]
    OtherCluster,
    #[error("this node keeps the tail of a stream, and can be followed only for that")]
    OtherPurpose,
    #[error(transparent)]
    NotItself(HelloRefusal),
    #[error(transparent)]
    NotServed(#[from] NotServed),
    #[error("what was kept does not continue what the replica holds: {0}")]
    NotContinued(FullReason),
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NoCommonVersion { .. } => "no_common_version",
            Refusal::CannotRead { .. } => "cannot_read",
            Refusal::OtherCluster => "other_cluster",
            Refusal::OtherPurpose => "other_purpose",
            Refusal::NotItself(_) => "not_itself",
            Refusal::NotServed(why) => match why {
                NotServed::UnknownShard { .. } => "other_shard",
                NotServed::NotOfShard { .. } => "not_of_shard",
                NotServed::OtherLife { .. } => "other_life",
                NotServed::NotRecorded { .. } => "not_keeper",
                NotServed::NothingKept { .. } => "nothing_kept",
                NotServed::PrimaryIsHeard { .. } => "primary_is_heard",
            },
            Refusal::NotContinued(_) => "not_continued",
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("this end refuses")]
    Refuse(#[from] Refusal),
    #[error("what was kept is not there any more")]
    Gone,
    #[error("what was kept cannot be read")]
    Disk(#[from] ironcache_store::DiskError),
}

impl From<ironcache_replication::FrameError> for Ended {
    fn from(error: ironcache_replication::FrameError) -> Self {
        Ended::Link(error.into())
    }
}

/// Serves whoever is on this socket, until the link breaks or the log says that it is over.
pub(super) async fn serve(desk: Rc<Desk>, socket: LinkSocket) {
    // Until it is known whose it is, it has its place in the door.
    let LinkSocket { stream, session, proved, mut revocation, read, visit } = socket;
    let stream = match enter_runtime(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a link was lost before it began"),
    };
    let (reader, writer) = LinkStream::new(stream, session.map(|session| *session)).into_split();
    let reader = FrameReader::new(reader, &read);
    let mut session = Session { reader, writer, proved, member: Member::default() };
    let accepted = tokio::select! {
        biased;
        accepted = session.accept(&desk) => accepted,
        why = turned(visit.as_ref()) => Err(LinkError::Protocol(why.to_string()).into()),
    };
    drop(visit);
    match accepted {
        Ok(served) => {
            let (shard, member) = (served.shard, session.member);
            let of_task = Rc::clone(&desk);
            let task = spawn_local(async move {
                let ended = tokio::select! {
                    biased;
                    () = revocation.revoked() => Err(LinkError::Revoked.into()),
                    ended = session.run(&of_task, served) => ended,
                };
                tracing::debug!(%shard, %member, error = ended.map_or_else(|e| chain(&e), |never| match never {}), "a returning node's link ended");
            });
            desk.serving(shard, member, task.abort_handle());
        }
        Err(ended) => {
            tracing::debug!(member = %session.member, error = chain(&ended), "a returning node is not served");
            if let Ended::Refuse(refusal) = &ended {
                let (mut out, text) = (Vec::new(), refusal.to_string());
                let refuse = Message::Refuse(Refuse { code: refusal.code(), text: &text });
                if encode(&refuse, LinkVersion::HANDSHAKE, &mut out).is_ok() {
                    // It closes in any case; the reason is a courtesy.
                    let _ = session.writer.write_all(&out).await;
                }
            }
        }
    }
}

struct Session {
    reader: FrameReader,
    writer: LinkWrite,
    proved: Option<NodeId>,
    member: Member,
}

/// What one node is sent.
struct Served {
    shard: ShardId,
    epoch: Epoch,
    cursor: Offset,
    /// The handover whose fence it was sent.
    fenced: Option<Epoch>,
}

impl Session {
    async fn accept(&mut self, desk: &Rc<Desk>) -> Result<Served, Ended> {
        let timed_out = |_| LinkError::TimedOut { ms: HELLO_TIMEOUT.as_millis() as u64 };
        let hello = tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await.map_err(timed_out)??;
        only_as_itself(self.proved, &hello).map_err(Refusal::NotItself)?;
        self.member = hello.member;
        let theirs = hello.versions;
        let version = LINK_VERSIONS.common(theirs);
        let version = version.ok_or(Refusal::NoCommonVersion { theirs, ours: LINK_VERSIONS })?;
        match hello.purpose {
            Purpose::Follow => {}
            Purpose::NextSource | Purpose::Keep => return Err(Refusal::OtherPurpose.into()),
        }
        if desk.cluster() != Some(hello.cluster_id) {
            return Err(Refusal::OtherCluster.into());
        }
        let level = desk.state.borrow().view.cluster_level;
        if !hello.levels.admits(level) {
            return Err(Refusal::CannotRead { level, admits: hello.levels }.into());
        }
        let epoch = self.admitted(desk, &hello).await?;
        let (begin, cursor) = {
            let shared = desk.state.borrow();
            let file = shared.files.get(&(hello.shard, epoch)).ok_or(Ended::Gone)?;
            let from = file.tail().serve(hello.position).map_err(Refusal::NotContinued)?;
            // It follows this life of this node, in the epoch that is recorded.
            let source = Source { epoch, incarnation: desk.me.incarnation };
            let lineage = file.tail().lineage().clone();
            (SyncBegin { source, mode: SyncMode::Partial { from }, lineage }, from)
        };
        let mut out = Vec::new();
        let accept = Message::Accept(Accept { version });
        encode(&accept, LinkVersion::HANDSHAKE, &mut out).map_err(LinkError::from)?;
        self.reader.speak(version);
        encode(&Message::SyncBegin(begin), version, &mut out).map_err(LinkError::from)?;
        self.writer.write_all(&out).await.map_err(LinkError::from)?;
        tracing::info!(shard = %hello.shard, member = %self.member, from = %cursor, "a returning node is sent what was kept");
        Ok(Served { shard: hello.shard, epoch, cursor, fenced: None })
    }

    async fn hello(&mut self) -> Result<Hello, Ended> {
        loop {
            let mut hello = None;
            self.reader.drain(|message, _| match message {
                Message::Hello(said) if hello.is_none() => {
                    hello = Some(said);
                    Ok(Next::Go)
                }
                _ => Err(Ended::Link(LinkError::Protocol("a hello comes first, and once".to_owned()))),
            })?;
            match hello {
                Some(hello) => return Ok(hello),
                None => self.reader.fill().await?,
            }
        }
    }

    /// Waits a moment for a view that lags.
    async fn admitted(&self, desk: &Rc<Desk>, hello: &Hello) -> Result<Epoch, Ended> {
        let deadline = tokio::time::Instant::now() + VIEW_TIMEOUT;
        loop {
            let changed = desk.changed.notified();
            let actions = desk.on(Event::Hello { shard: hello.shard, member: hello.member });
            let why = match actions.first() {
                Some(Action::Serve { epoch, .. }) => return Ok(*epoch),
                Some(Action::Refuse { why, .. }) => *why,
                Some(_) | None => return Err(Ended::Gone),
            };
            let may_pass = matches!(why, NotServed::UnknownShard { .. } | NotServed::OtherLife { .. });
            if !may_pass || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Refusal::NotServed(why).into());
            }
        }
    }

    async fn run(self, desk: &Desk, served: Served) -> Result<std::convert::Infallible, Ended> {
        let Session { mut reader, writer, proved: _, member: _ } = self;
        let version = reader.version();
        let sending = send(desk, writer, version, served);
        tokio::select! {
            ended = sending => ended,
            ended = listen(&mut reader) => ended,
        }
    }
}

/// What it has applied is of no consequence here: nobody waits for it. That it is heard, is.
async fn listen(reader: &mut FrameReader) -> Result<std::convert::Infallible, Ended> {
    loop {
        reader.drain(|message, _| match message {
            Message::Ack(_) | Message::Progress(_) => Ok(Next::Go),
            _ => Err(LinkError::Protocol("only acknowledgements are expected".to_owned())),
        })?;
        within(SYNC_SILENCE_MAX, reader.fill()).await?;
    }
}

async fn send(
    desk: &Desk,
    mut writer: LinkWrite,
    version: LinkVersion,
    mut served: Served,
) -> Result<std::convert::Infallible, Ended> {
    let (mut out, mut ping_due) = (Vec::new(), true);
    loop {
        let more = desk.grown.notified();
        out.clear();
        fill(desk, version, &mut served, &mut out)?;
        if out.is_empty() && ping_due {
            // Of the keeper's own log: it says nothing of what the primary had applied.
            let ping = Message::Ping { now_ms: 0, applied_index: 0 };
            encode(&ping, version, &mut out).map_err(LinkError::from)?;
            ping_due = false;
        }
        if out.is_empty() {
            ping_due = tokio::time::timeout(PING_EVERY, more).await.is_err();
        } else {
            writer.write_all(&out).await.map_err(LinkError::from)?;
        }
    }
}

/// Puts what comes next into `out`: frames, or the fence after the last one.
fn fill(desk: &Desk, version: LinkVersion, served: &mut Served, out: &mut Vec<u8>) -> Result<(), Ended> {
    let shared = desk.state.borrow();
    let file = shared.files.get(&(served.shard, served.epoch)).ok_or(Ended::Gone)?;
    out.extend(file.read(served.cursor, SEND_BYTES)?);
    served.cursor.0 += out.len() as u64;
    let handover = shared.fences.get(&served.shard).copied();
    if let Some(handover_epoch) = handover.filter(|_| out.is_empty() && handover != served.fenced) {
        // It may hold more of the epoch than was kept: then it ends where it stands.
        let fence = Fence { handover_epoch, offset: served.cursor };
        encode(&Message::Fence(fence), version, out).map_err(LinkError::from)?;
        served.fenced = handover;
    }
    Ok(())
}
