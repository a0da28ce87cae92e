//! The links of replicas to this node.
//!
//! ```text
//!  hello ─► StandingBy ──── this node is primary: attached ──► Syncing ── its last slot is sent ──► Streaming
//!               │                                                 ▲                                    ▲
//!               └─ promoted meanwhile ─► Promoted ── told ────────┴────────────────────────────────────┘
//! ```
//! *Invariant:* a link that was replaced by a newer one of the same replica changes nothing any more.

use crate::action::Action;
use crate::engine::Engine;
use crate::event::Now;
use crate::role::Role;
use ironcache_replication as replication;
use ironcache_replication::{
    Ack, AckError, AttachError, Fence, Progress, Promoted, Resync, Source, SyncBegin, SyncMode,
};
use ironcache_types::{Level, LevelRange, Member, Offset};

/// One replica's link, from its hello to its end.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Distinguishes a link from the one that replaces it.
    serial: u64,
    pub(crate) link: Link,
    /// Since when it has been in the committed in-sync set.
    in_sync_since_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// It has said hello, and may follow this node one day: what it last acknowledged, to whomever.
    StandingBy { ack: Option<Ack> },
    /// This node became primary meanwhile: to be told.
    Promoted { told: Promoted, ack: Option<Ack> },
    /// A full sync is under way.
    Syncing(Flow),
    /// It receives the stream.
    Streaming(Flow),
}

/// What flows to a replica that is attached.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// In the gate of this primary.
    gate: replication::Link,
    /// To be sent once everything before it is.
    pub(crate) fence: Option<Fence>,
    heard_ms: u64,
    /// What was taken from the stream for it, and when its socket last took something.
    pub(crate) sent: Offset,
    pub(crate) moved_ms: u64,
}

impl Link {
    pub(crate) fn flow(&self) -> Option<&Flow> {
        match self {
            Link::Syncing(flow) | Link::Streaming(flow) => Some(flow),
            Link::StandingBy { .. } | Link::Promoted { .. } => None,
        }
    }

    pub(crate) fn flow_mut(&mut self) -> Option<&mut Flow> {
        match self {
            Link::Syncing(flow) | Link::Streaming(flow) => Some(flow),
            Link::StandingBy { .. } | Link::Promoted { .. } => None,
        }
    }
}

impl Attachment {
    pub fn is_syncing(&self) -> bool {
        matches!(self.link, Link::Syncing(_))
    }

    pub fn in_sync_for_ms(&self, boot_ms: u64) -> u64 {
        self.in_sync_since_ms.map_or(0, |since_ms| boot_ms.saturating_sub(since_ms))
    }

    pub(crate) fn note_in_sync(&mut self, is_member: bool, now: Now) {
        self.in_sync_since_ms = is_member.then(|| self.in_sync_since_ms.unwrap_or(now.boot_ms));
    }

    /// What was sent to it under an earlier role is of no use any more.
    pub(crate) fn promoted(&mut self, told: Promoted) {
        let ack = match self.link {
            Link::StandingBy { ack } | Link::Promoted { ack, .. } => ack,
            Link::Syncing(_) | Link::Streaming(_) => None,
        };
        self.link = Link::Promoted { told, ack };
    }

    pub(crate) fn forget_fence(&mut self) {
        if let Some(flow) = self.link.flow_mut() {
            flow.fence = None;
        }
    }
}

/// What a replica that stands by is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandBy {
    Wait,
    /// This node is primary now. Whoever stands where its stream begins goes on from there; anybody else says hello anew.
    Promoted {
        told: Promoted,
        from: Option<Offset>,
    },
    /// It was promoted before the hello: its sender did not know yet.
    PrimaryAlready,
    /// A newer link has taken this one's place.
    Replaced,
}

/// What a replica is attached with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub source: Source,
    pub begin: SyncBegin,
    /// From where its stream is sent; a full sync begins at the present end.
    pub from: Offset,
}

/// Why a replica is not attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttached {
    #[error("this node is not primary any more, or a newer link has taken this one's place")]
    RoleChanged,
    #[error(transparent)]
    InSync(#[from] AttachError),
}

impl Engine {
    /// A replica has said hello, and was accepted. The link that it replaces ends. Answers the link's number.
    pub fn register(&mut self, member: Member, now: Now) -> u64 {
        self.link_serial += 1;
        let serial = self.link_serial;
        let link = Link::StandingBy { ack: None };
        let mut attachment = Attachment { serial, link, in_sync_since_ms: None };
        let in_sync = self.my_shard().is_some_and(|shard| shard.in_sync.contains(&member));
        attachment.note_in_sync(in_sync, now);
        if let Some(old) = self.links.insert(member, attachment)
            && let (Some(flow), Role::Primary(primary)) = (old.link.flow(), &mut self.role)
        {
            primary.gate.detach(flow.gate);
        }
        serial
    }

    /// The link is gone.
    pub fn detach(&mut self, member: Member, serial: u64) {
        if self.attachment(member, serial).is_none() {
            return;
        }
        let link = self.links.remove(&member).map(|attachment| attachment.link);
        if let (Some(flow), Role::Primary(primary)) = (link.as_ref().and_then(Link::flow), &mut self.role) {
            primary.gate.detach(flow.gate);
        }
    }

    pub fn attachment_of(&self, member: Member) -> Option<&Attachment> {
        self.links.get(&member)
    }

    fn attachment(&mut self, member: Member, serial: u64) -> Option<&mut Attachment> {
        self.links.get_mut(&member).filter(|attachment| attachment.serial == serial)
    }

    /// How a replica at `position` gets in step with this primary, whose backlog begins at `backlog_start`, with what it
    /// lacks written at `oldest` first; `None` while this node is no primary.
    pub fn resync(
        &self,
        position: Option<replication::Position>,
        admits: LevelRange,
        backlog_start: Offset,
        oldest: Option<Level>,
    ) -> Option<Resync> {
        let primary = self.primary()?;
        let resync = primary.lineage.can_resume(position, backlog_start, primary.gate.end());
        Some(resync.for_levels(admits, oldest))
    }

    pub fn stand_by(&self, member: Member, serial: u64) -> StandBy {
        let Some(attachment) = self.links.get(&member).filter(|a| a.serial == serial) else {
            return StandBy::Replaced;
        };
        match (self.primary(), attachment.link) {
            (Some(primary), Link::Promoted { told, ack }) => {
                let (_, start) = primary.lineage.last();
                let there = ack.is_some_and(|ack| ack.applied == start);
                StandBy::Promoted { told, from: there.then_some(start) }
            }
            (Some(_), Link::StandingBy { .. }) => StandBy::PrimaryAlready,
            (Some(_), Link::Syncing(_) | Link::Streaming(_)) => StandBy::Replaced,
            (None, _) => StandBy::Wait,
        }
    }

    /// A replica that stands by acknowledges what its present primary sent it.
    pub fn note_ack(&mut self, member: Member, serial: u64, said: Ack, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        if let Some(attachment) = self.attachment(member, serial) {
            match &mut attachment.link {
                Link::StandingBy { ack } | Link::Promoted { ack, .. } => *ack = Some(said),
                Link::Syncing(_) | Link::Streaming(_) => {}
            }
            self.tend_candidacy(now, &mut out);
        }
        out
    }

    /// The replica is to be sent the stream from here on.
    ///
    /// # Errors
    /// Why it is not.
    pub fn attach(
        &mut self,
        member: Member,
        serial: u64,
        mode: SyncMode,
        now: Now,
    ) -> Result<(Attached, Vec<Action>), NotAttached> {
        // A newer link of the same replica may have taken over while this one waited.
        self.attachment(member, serial).ok_or(NotAttached::RoleChanged)?;
        let Role::Primary(primary) = &mut self.role else { return Err(NotAttached::RoleChanged) };
        let gate = primary.gate.attach(member, mode, now.ran_ms)?;
        let source = primary.gate.source();
        let begin = SyncBegin { source, mode, lineage: primary.lineage.clone() };
        let from = match mode {
            SyncMode::Partial { from } => from,
            // Slots are dumped as of now: nothing before is needed.
            SyncMode::Full => primary.gate.end(),
        };
        let flow = Flow { gate, fence: None, heard_ms: now.ran_ms, sent: from, moved_ms: now.ran_ms };
        let link = match mode {
            SyncMode::Partial { .. } => Link::Streaming(flow),
            SyncMode::Full => Link::Syncing(flow),
        };
        if let Some(attachment) = self.attachment(member, serial) {
            attachment.link = link;
        }
        self.fence_again(member);
        let mut out = Vec::new();
        self.tend_handover(now, &mut out);
        Ok((Attached { source, begin, from }, out))
    }

    /// Is this node still the primary as whom that link was attached?
    pub fn is_attached(&self, source: Source, member: Member, serial: u64) -> bool {
        self.primary().is_some_and(|primary| primary.gate.source() == source)
            && self.links.get(&member).is_some_and(|attachment| attachment.serial == serial)
    }

    /// Its full sync is sent.
    pub fn synced(&mut self, member: Member, serial: u64) {
        if let Some(attachment) = self.attachment(member, serial)
            && let Link::Syncing(flow) = attachment.link
        {
            attachment.link = Link::Streaming(flow);
        }
    }

    /// Everything up to `cursor` was taken from the stream for it: the fence to be sent next, if there is one.
    pub fn sent(&mut self, member: Member, serial: u64, cursor: Offset) -> Option<Fence> {
        let end = self.end()?;
        let link = &mut self.attachment(member, serial)?.link;
        let is_streaming = matches!(link, Link::Streaming(_));
        let flow = link.flow_mut()?;
        flow.sent = cursor;
        let caught_up = is_streaming && cursor == end;
        flow.fence.take_if(|fence| caught_up && fence.offset == cursor)
    }

    /// Its socket took something.
    pub fn moved(&mut self, member: Member, serial: u64, now: Now) {
        if let Some(flow) = self.attachment(member, serial).and_then(|a| a.link.flow_mut()) {
            flow.moved_ms = now.ran_ms;
        }
    }

    /// It said something; `due_ms` is how often it is asked to.
    fn heard(&mut self, member: Member, serial: u64, due_ms: u64, now: Now) -> Option<replication::Link> {
        let flow = self.attachment(member, serial)?.link.flow_mut()?;
        let late_ms = now.ran_ms.saturating_sub(flow.heard_ms).saturating_sub(due_ms);
        flow.heard_ms = now.ran_ms;
        let gate = flow.gate;
        self.note_pause(late_ms, now.ran_ms);
        Some(gate)
    }

    /// It says how far it is with what it has not acknowledged.
    ///
    /// # Errors
    /// The link is not this primary's, or was replaced.
    pub fn on_progress(
        &mut self,
        member: Member,
        serial: u64,
        progress: Progress,
        due_ms: u64,
        now: Now,
    ) -> Result<(), AckError> {
        let gate = self.heard(member, serial, due_ms, now);
        match (gate, &mut self.role) {
            (Some(gate), Role::Primary(primary)) => primary.gate.on_progress(gate, progress, now.ran_ms),
            (None, _) | (_, Role::Loading | Role::Replica(_)) => Err(AckError::StaleLink { member }),
        }
    }

    /// It acknowledges. Replies may be free to leave, and a handover to go on.
    ///
    /// # Errors
    /// The link is not this primary's, was replaced, or acknowledges what cannot be.
    pub fn on_ack(
        &mut self,
        member: Member,
        serial: u64,
        ack: Ack,
        due_ms: u64,
        now: Now,
    ) -> Result<Vec<Action>, AckError> {
        let gate = self.heard(member, serial, due_ms, now);
        match (gate, &mut self.role) {
            (Some(gate), Role::Primary(primary)) => primary.gate.on_ack(gate, ack, now.ran_ms)?,
            (None, _) | (_, Role::Loading | Role::Replica(_)) => return Err(AckError::StaleLink { member }),
        };
        // Empty but in a handover: nothing is allocated.
        let mut out = Vec::new();
        self.tend_handover(now, &mut out);
        Ok(out)
    }
}
