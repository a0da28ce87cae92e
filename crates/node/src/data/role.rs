//! What this node is to its shard, and how the applied state changes that.
//!
//! ```text
//!            checkpoint read           promoted by the log
//!  Loading ─────────────────► Replica ─────────────────────► Primary
//!                                ▲                               │
//!                                └──────── deposed by the log ───┘
//! ```
//!
//! *Invariant:* a role changes only by an applied entry that names this incarnation.
//! *Invariant:* deposed, a primary keeps its dataset and position: it resumes where its stream ended.

use super::checkpoint::{Begun, Copy};
use super::plane::Plane;
use super::routing::Routing;
use ironcache_control::{AckMode, Command, ControlState, Handover, Ownership, Shard};
use ironcache_keyspace::Keyspace;
use ironcache_raft::AppliedView;
use ironcache_replication as replication;
use ironcache_replication::{AckGate, GateLimits, Lineage, ReplicaCursor, Source, StreamError};
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

// One value a node: its size does not matter, an indirection on every command would.
#[expect(clippy::large_enum_variant)]
pub(crate) enum Role {
    /// The checkpoint is not read yet.
    Loading,
    Replica(Replica),
    Primary(Primary),
}

pub(crate) struct Replica {
    pub cursor: ReplicaCursor,
    /// Is the link to the primary up?
    pub link_up: bool,
    /// The log index that the primary has applied, as it said last.
    pub primary_applied: u64,
    /// How often the primary has told the time.
    #[cfg(feature = "next")]
    pub clocks_heard: u64,
    /// What was read from this node's disk, until a primary is followed.
    pub begun: Option<Begun>,
    /// When the shard was last asked back.
    reclaimed_at: Option<Instant>,
}

/// The shard is asked back again after this, if there is no outcome.
const RECLAIM_AGAIN: Duration = Duration::from_millis(1_000);

pub(crate) struct Primary {
    pub shard: ShardId,
    pub epoch: Epoch,
    pub lineage: Lineage,
    pub gate: AckGate,
    pub mode: AckMode,
    /// Size of the committed in-sync set, this node included.
    pub in_sync: usize,
    /// Does the log say where this ownership begins? Nothing is served before: until then another holder of everything may
    /// take the shard, if this life ends.
    pub begun: bool,
    /// A handover that holds commands back.
    pub handover: Option<HandingOver>,
    /// Members about which a proposal is under way.
    pub proposals: BTreeMap<Member, Asked>,
    pub mode_proposed: Option<Instant>,
    /// When the start of this ownership was last proposed to the log.
    pub start_proposed: Option<Instant>,
}

/// A change of the in-sync set that was proposed, and whose outcome is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub what: SetChange,
    pub at: Instant,
    /// What the proposal compares: at another `isr_epoch` the log can only reject it.
    pub isr_epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetChange {
    Add,
    Remove,
    /// It was rejected; kept so that the next one does not follow at once.
    Rejected,
}

/// The old primary's side of a handover.
pub(crate) struct HandingOver {
    pub handover: Handover,
    /// The end offset, once the fence has been sent.
    pub fence: Option<Offset>,
}

/// What a new view asks of the tasks around the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Nothing,
    /// This node was just told to hand its shard over.
    HandOver(Handover),
    /// The log names this life as primary, and it cannot be that. No role is left to it: the process ends, and its next
    /// life says anew what it holds.
    CannotServe,
}

impl Replica {
    /// What was read, if that is the dataset still.
    pub(crate) fn unchanged(&self) -> Option<&Begun> {
        self.begun.as_ref().filter(|begun| self.cursor.applied_offset() == Some(begun.offset))
    }
}

impl Primary {
    /// Forgets proposals that the log can only reject from here on, and with them what they required. Also finds
    /// those whose outcome nobody told: without this, a member whose proposal was lost would be waited for
    /// for ever.
    fn forget_settled(&mut self, state: &ControlState, shard: &Shard) {
        let gate = &mut self.gate;
        self.proposals.retain(|member, asked| {
            let lives = state.nodes.get(&member.node).is_some_and(|n| n.member() == *member);
            let open = asked.isr_epoch == shard.isr_epoch && lives;
            if !open && asked.what == SetChange::Add && !shard.in_sync.contains(member) {
                gate.abandon_proposal(*member);
            }
            open
        });
    }
}

impl Plane {
    /// The applied control state advanced.
    pub(crate) fn apply_view(&mut self, view: Arc<AppliedView>) -> Turned {
        self.view = view;
        // An answer may have waited for what is applied now.
        self.look_at_lease();
        if self.effects.level() != self.level() {
            // No command is under way between two views.
            self.effects.restart_at(self.level());
        }
        self.routing = Routing::of(&self.view.state, self.me.node);
        let state = Arc::clone(&self.view.state);
        let Some(shard) = state.shard_of_node(self.me.node) else {
            self.depose();
            self.retain();
            return Turned::Nothing;
        };
        let turned = if shard.is_primary(self.me) { self.be_primary(shard) } else { self.be_replica(shard) };
        self.note_in_sync(shard);
        self.retain();
        turned
    }

    /// The checkpoint is read, or there is none.
    pub(crate) fn loaded(&mut self, keyspace: Keyspace, begun: Option<Begun>) {
        self.keyspace = keyspace;
        let cursor = match &begun {
            Some(Begun { lineage, offset, .. }) => {
                self.backlog.reset(*offset);
                ReplicaCursor::holding(lineage.clone(), *offset)
            }
            None => ReplicaCursor::empty(),
        };
        self.role = Role::Replica(Replica {
            cursor,
            link_up: false,
            primary_applied: 0,
            #[cfg(feature = "next")]
            clocks_heard: 0,
            begun,
            reclaimed_at: None,
        });
    }

    /// Is the dataset what the checkpoint held from which this life began, and nothing else?
    pub(crate) fn holds_what_it_read(&self) -> bool {
        match &self.role {
            Role::Replica(replica) => replica.unchanged().is_some_and(|begun| begun.copy == Copy::Checkpoint),
            Role::Loading | Role::Primary(_) => false,
        }
    }

    fn be_primary(&mut self, shard: &Shard) -> Turned {
        match &self.role {
            Role::Loading => return Turned::Nothing,
            Role::Primary(primary) if primary.epoch == shard.epoch => {}
            Role::Primary(_) | Role::Replica(_) => {
                // Deposed and promoted again between two views: the replica's path in between.
                self.depose();
                if self.promote(shard) == Turned::CannotServe {
                    return Turned::CannotServe;
                }
            }
        }
        let now_ms = self.clock_ms();
        let (mode, limits) = (self.gate_mode(shard.mode), self.gate_limits());
        let Role::Primary(primary) = &mut self.role else {
            return Turned::Nothing;
        };
        primary.mode = shard.mode;
        primary.in_sync = shard.in_sync.len();
        primary.begun |= begins(shard, primary.epoch);
        primary.gate.set_limits(limits);
        primary.gate.set_mode(mode);
        primary.gate.set_committed(&others(shard, self.me), now_ms);
        primary.forget_settled(&self.view.state, shard);
        let turned = match (shard.handover, &primary.handover) {
            (Some(handover), Some(held)) if held.handover == handover => Turned::Nothing,
            (Some(handover), _) => {
                primary.handover = Some(HandingOver { handover, fence: None });
                Turned::HandOver(handover)
            }
            (None, Some(_)) => {
                tracing::info!(shard = %shard.id, "the handover was aborted; serving again");
                primary.handover = None;
                // One that is still to be sent would be of an attempt that is over.
                self.links.values_mut().for_each(|link| link.fence = None);
                Turned::Nothing
            }
            (None, None) => Turned::Nothing,
        };
        self.settle_replies();
        turned
    }

    fn promote(&mut self, shard: &Shard) -> Turned {
        let Role::Replica(replica) = &self.role else { return Turned::Nothing };
        let epoch = shard.epoch;
        let committed = shard.lineage.iter().find(|entry| entry.epoch == epoch).and_then(|entry| entry.start);
        let recovered = shard.losses.newest.last().is_some_and(|newest| newest.epoch == epoch);
        let founded = shard.lineage.len() == 1 && shard.lineage[0].start == Some(Offset(0));
        let (lineage, start) = match replica.cursor.promote(epoch) {
            // The first primary of a new shard begins with nothing: what this directory held is of another cluster.
            _ if founded => {
                self.keyspace.clear();
                (Lineage::new(epoch, Offset(0)), Offset(0))
            }
            Ok(begun) => begun,
            // Nobody of the shard held anything: it begins anew, as the first one did.
            Err(StreamError::Detached | StreamError::Syncing) if recovered => {
                self.keyspace.clear();
                (Lineage::new(epoch, Offset(0)), Offset(0))
            }
            Err(error) => {
                tracing::error!(shard = %shard.id, %epoch, %error, "promoted, but this node cannot serve");
                return Turned::CannotServe;
            }
        };
        if committed.is_some_and(|committed| committed != start) {
            tracing::error!(shard = %shard.id, %epoch, ?committed, %start, "promoted at another offset than this node holds");
            return Turned::CannotServe;
        }
        if self.backlog.end() != start {
            self.backlog.reset(start);
        }
        self.forget_written();
        let limits = self.gate_limits();
        let source = Source { epoch, incarnation: self.me.incarnation };
        let mode = self.gate_mode(shard.mode);
        let gate = AckGate::new(source, start, mode, &others(shard, self.me), limits, self.clock_ms());
        for link in self.links.values_mut() {
            link.link = None;
            link.fence = None;
            link.promoted =
                Some(replication::Promoted { shard: shard.id, epoch, log_index: self.view.index });
        }
        self.role = Role::Primary(Primary {
            shard: shard.id,
            epoch,
            lineage,
            gate,
            mode: shard.mode,
            in_sync: shard.in_sync.len(),
            begun: begins(shard, epoch),
            handover: None,
            proposals: BTreeMap::new(),
            mode_proposed: None,
            start_proposed: None,
        });
        if committed.is_some() {
            self.redeem_promise(start);
        }
        self.publish_start();
        tracing::info!(shard = %shard.id, %epoch, %start, "this node is primary");
        Turned::Nothing
    }

    fn be_replica(&mut self, shard: &Shard) -> Turned {
        self.depose();
        let Role::Replica(replica) = &self.role else {
            return Turned::Nothing;
        };
        // A rejection is an entry too, and every entry leads here: without a pause they would chase each other.
        if replica.reclaimed_at.is_some_and(|at| at.elapsed() < RECLAIM_AGAIN) {
            return Turned::Nothing;
        }
        let Ownership::Recovering { last } = shard.ownership else { return Turned::Nothing };
        if let Some(end) = self.sealed_end(shard)
            && let Role::Replica(replica) = &mut self.role
        {
            replica.reclaimed_at = Some(Instant::now());
            let (of, member) = (last.incarnation, self.me);
            let (shard, shard_epoch) = (shard.id, shard.epoch);
            self.promised(shard_epoch, end);
            self.propose(Command::Reclaim { shard, shard_epoch, member, of, end }, None);
        }
        Turned::Nothing
    }

    /// The end of all that the shard's last owner had, if this node holds that: the owner was a life of this node that
    /// stopped in order, and nobody has followed it. Nothing was acknowledged that is not here, so the shard may be had
    /// back whoever is in its set besides.
    ///
    /// A checkpoint says which life sealed it as a primary. A snapshot was sealed by nobody, and neither was what a life wrote
    /// that had begun with one: that owner went on.
    pub(crate) fn sealed_end(&self, shard: &Shard) -> Option<Offset> {
        let Role::Replica(replica) = &self.role else { return None };
        let Ownership::Recovering { last } = shard.ownership else { return None };
        let begun = replica.unchanged()?;
        let registered = self.view.state.nodes.get(&self.me.node)?.member() == self.me;
        let by_the_last_owner = last.node == self.me.node && begun.sealed_by == Some(last.incarnation);
        // An owner that was killed, and began again without a start of its own in the log, has nothing of that start.
        let of_its_epoch = begun.lineage.last().0 == shard.epoch;
        (registered && by_the_last_owner && of_its_epoch).then_some(begun.offset)
    }

    /// Gives the role up, and keeps the data.
    fn depose(&mut self) {
        if !matches!(self.role, Role::Primary(_)) {
            return;
        }
        let Role::Primary(primary) = std::mem::replace(&mut self.role, Role::Loading) else {
            unreachable!("matched above")
        };
        let end = self.backlog.end();
        tracing::info!(shard = %primary.shard, epoch = %primary.epoch, %end, "this node is primary no more");
        let cursor = ReplicaCursor::holding(primary.lineage, end);
        self.role = Role::Replica(Replica {
            cursor,
            link_up: false,
            primary_applied: 0,
            #[cfg(feature = "next")]
            clocks_heard: 0,
            begun: None,
            reclaimed_at: None,
        });
        self.waiters.lost();
    }

    fn note_in_sync(&mut self, shard: &Shard) {
        for (member, link) in &mut self.links {
            link.in_sync_since = match (shard.in_sync.contains(member), link.in_sync_since) {
                (true, Some(since)) => Some(since),
                (true, None) => Some(Instant::now()),
                (false, _) => None,
            };
        }
    }

    pub(crate) fn gate_mode(&self, mode: AckMode) -> replication::AckMode {
        match mode {
            AckMode::InSync => replication::AckMode::InSync,
            AckMode::Primary => replication::AckMode::Primary {
                max_lag_bytes: self.view.state.policy.max_lag_bytes,
                max_lag_ops: self.view.state.policy.max_lag_ops,
            },
        }
    }

    pub(crate) fn gate_limits(&self) -> GateLimits {
        GateLimits {
            isr_timeout_ms: self.view.state.policy.isr_timeout_ms,
            hold_ms: self.hold_ms(),
            // A replica that kept up for a moment is let in; the plan's own settle time is longer.
            settle_ms: 20,
            near_ms: 200,
        }
    }
}

fn begins(shard: &Shard, epoch: Epoch) -> bool {
    shard.lineage.iter().any(|entry| entry.epoch == epoch && entry.start.is_some())
}

fn others(shard: &Shard, me: Member) -> BTreeSet<Member> {
    shard.in_sync.iter().copied().filter(|m| *m != me).collect()
}
