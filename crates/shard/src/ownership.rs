//! The applied state says who this node is: promoted, deposed, asked back, waiting.

use crate::action::{Action, HandedOver, Note};
use crate::asked::{AGAIN_MS, Asked, may_ask};
use crate::at::At;
use crate::engine::Engine;
use crate::event::Now;
use crate::holding::Held;
use crate::keeping::{Keeping, copies, required};
use crate::role::{CannotServe, Primary, Replica, Role};
use crate::routing::Routing;
use ironcache_control::{AckMode, Command, ControlState, Ownership, Shard};
use ironcache_replication as replication;
use ironcache_replication::{AckGate, GateLimits, Lineage, ReplicaCursor, Source, StreamError};
use ironcache_types::{Epoch, Offset};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Engine {
    pub(crate) fn apply(&mut self, index: u64, state: Arc<ControlState>, now: Now, out: &mut Vec<Action>) {
        (self.index, self.state) = (index, state);
        // An answer may have waited for what is applied now.
        let _ = self.look_at_lease(now.boot_ms);
        self.routing = Routing::of(&self.state, self.me.node);
        let of_shard = self.with_shard(now, |engine, at| {
            if at.shard.is_primary(at.me) {
                engine.be_primary(at, out);
            } else {
                engine.be_replica(at, out);
            }
            engine.note_in_sync(at);
        });
        if of_shard.is_none() {
            self.depose(None, out);
        }
        self.tend_candidacy(now, out);
        out.push(Action::Wake);
        out.push(Action::Feed);
    }

    fn be_primary(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        match &self.role {
            Role::Loading => return,
            Role::Primary(primary) if primary.epoch == at.shard.epoch => {}
            Role::Primary(_) | Role::Replica(_) => {
                // Deposed and promoted again between two views: the replica's path in between.
                self.depose(Some(at.shard), out);
                if let Err(why) = self.promote(at, out) {
                    let (shard, epoch) = (at.shard.id, at.shard.epoch);
                    out.push(Action::Tell(Note::CannotServe { shard, epoch, why }));
                    out.push(Action::End);
                    return;
                }
            }
        }
        let limits = self.gate_limits();
        let Role::Primary(primary) = &mut self.role else { return };
        primary.mode = at.shard.mode;
        primary.in_sync = copies(at.shard);
        primary.begun |= begins(at.shard, primary.epoch);
        primary.gate.set_limits(limits);
        primary.gate.set_mode(gate_mode(at.state, at.shard.mode));
        primary.gate.set_committed(&required(at.shard, at.me), at.now.ran_ms);
        primary.keeping.applied(at.shard, at.now.ran_ms);
        primary.forget_settled(at);
        self.follow_handover(at, out);
        out.push(Action::SettleReplies);
        self.tend_handover(at.now, out);
    }

    fn promote(&mut self, at: At<'_>, out: &mut Vec<Action>) -> Result<(), CannotServe> {
        let At { me, state, shard, now } = at;
        let Role::Replica(replica) = &self.role else { return Ok(()) };
        let epoch = shard.epoch;
        let committed = shard.lineage.iter().find(|entry| entry.epoch == epoch).and_then(|entry| entry.start);
        let recovered = shard.losses.newest.last().is_some_and(|newest| newest.epoch == epoch);
        let founded = shard.lineage.len() == 1 && shard.lineage[0].start == Some(Offset(0));
        let anew = (Lineage::new(epoch, Offset(0)), Offset(0));
        let (lineage, start) = match replica.cursor.promote(epoch) {
            // The first primary of a new shard begins with nothing: what this directory held is of another cluster.
            _ if founded => {
                out.push(Action::ClearKeyspace);
                anew
            }
            Ok(begun) => begun,
            // Nobody of the shard held anything: it begins anew, as the first one did.
            Err(StreamError::Detached | StreamError::Syncing) if recovered => {
                out.push(Action::ClearKeyspace);
                anew
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(committed) = committed.filter(|committed| *committed != start) {
            return Err(CannotServe::OtherOffset { committed, held: start });
        }
        out.push(Action::BeginStream { at: start });
        out.push(Action::ForgetWritten);
        let source = Source { epoch, incarnation: me.incarnation };
        let (mode, limits) = (gate_mode(state, shard.mode), self.gate_limits());
        let gate = AckGate::new(source, start, mode, &required(shard, me), limits, now.ran_ms);
        let told = replication::Promoted { shard: shard.id, epoch, log_index: self.index };
        self.links.values_mut().for_each(|attachment| attachment.promoted(told));
        self.role = Role::Primary(Primary {
            shard: shard.id,
            epoch,
            lineage,
            gate,
            mode: shard.mode,
            in_sync: copies(shard),
            begun: begins(shard, epoch),
            handover: None,
            set: BTreeMap::new(),
            mode_asked: None,
            start_asked: None,
            asks: 0,
            keeping: Keeping::default(),
        });
        if committed.is_some() {
            self.redeem_promise(start, now);
        }
        out.push(Action::Tell(Note::BecamePrimary { shard: shard.id, epoch, start }));
        self.publish_start(at, out);
        Ok(())
    }

    fn be_replica(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        self.depose(Some(at.shard), out);
        let Role::Replica(replica) = &self.role else { return };
        // A rejection is an entry too, and every entry leads here.
        if !may_ask(replica.reclaim, at.now.boot_ms, AGAIN_MS) {
            return;
        }
        let Ownership::Recovering { last, .. } = at.shard.ownership else { return };
        let Some(end) = self.sealed_end(at.shard) else { return };
        if let Role::Replica(replica) = &mut self.role {
            replica.reclaim = Some(Asked::new(0, at.now.boot_ms));
        }
        self.promise(at.shard.epoch, end, at.now);
        let (shard, shard_epoch, of) = (at.shard.id, at.shard.epoch, last.incarnation);
        let command = Command::Reclaim { shard, shard_epoch, member: at.me, of, end };
        out.push(Action::Propose { command: Box::new(command), ask: None });
    }

    /// The end of all that the shard's last owner had, if this node holds that: the owner was a life of this node that
    /// stopped in order, and nobody has followed it. Nothing was acknowledged that is not here, so the shard may be had
    /// back whoever is in its set besides.
    ///
    /// A checkpoint says which life sealed it as a primary. A snapshot was sealed by nobody, and neither was what a life wrote
    /// that had begun with one: that owner went on.
    pub fn sealed_end(&self, shard: &Shard) -> Option<Offset> {
        let Role::Replica(replica) = &self.role else { return None };
        let Ownership::Recovering { last, .. } = shard.ownership else { return None };
        let read = replica.unchanged()?;
        let registered = self.state.nodes.get(&self.me.node)?.member() == self.me;
        let by_the_last_owner = last.node == self.me.node && read.sealed_by == Some(last.incarnation);
        // Nobody owned it after that, this node included.
        let of_its_epoch = read.lineage.last().0 == shard.epoch;
        (registered && by_the_last_owner && of_its_epoch).then_some(read.offset)
    }

    /// Is the dataset what the checkpoint held from which this life began, and nothing else?
    pub fn holds_what_it_read(&self) -> bool {
        self.unchanged().is_some()
    }

    /// What was read from this node's disk, if that is the dataset still.
    pub fn unchanged(&self) -> Option<&Held> {
        match &self.role {
            Role::Replica(replica) => replica.unchanged(),
            Role::Loading | Role::Primary(_) => None,
        }
    }

    /// Gives the role up, and keeps the data.
    fn depose(&mut self, shard: Option<&Shard>, out: &mut Vec<Action>) {
        let primary = match std::mem::replace(&mut self.role, Role::Loading) {
            Role::Primary(primary) => primary,
            other @ (Role::Loading | Role::Replica(_)) => {
                self.role = other;
                return;
            }
        };
        let Primary { shard: id, epoch, lineage, gate, handover, .. } = primary;
        let end = gate.end();
        out.push(Action::Tell(Note::Deposed { shard: id, epoch, end }));
        self.role = Role::Replica(Replica::new(ReplicaCursor::holding(lineage, end), None));
        out.push(Action::LoseReplies);
        if let Some(held) = handover {
            let promoted = shard.filter(|s| s.is_primary(held.handover.to)).map(|s| s.epoch);
            let ended = HandedOver { shard: id, handover: held.handover, promoted };
            out.push(Action::HandoverEnded(ended));
        }
    }

    fn note_in_sync(&mut self, at: At<'_>) {
        for (member, attachment) in &mut self.links {
            attachment.note_in_sync(at.shard.in_sync.contains(member), at.now);
        }
    }

    pub(crate) fn gate_limits(&self) -> GateLimits {
        let isr_timeout_ms = self.state.policy.isr_timeout_ms;
        GateLimits {
            isr_timeout_ms,
            // How long a member for which something waits may be silent.
            hold_ms: self.patience.ms(isr_timeout_ms),
            // A replica that kept up for a moment is let in; the plan's own settle time is longer.
            settle_ms: 20,
            near_ms: 200,
        }
    }
}

fn gate_mode(state: &ControlState, mode: AckMode) -> replication::AckMode {
    match mode {
        AckMode::InSync => replication::AckMode::InSync,
        AckMode::Primary => replication::AckMode::Primary {
            max_lag_bytes: state.policy.max_lag_bytes,
            max_lag_ops: state.policy.max_lag_ops,
        },
    }
}

fn begins(shard: &Shard, epoch: Epoch) -> bool {
    shard.lineage.iter().any(|entry| entry.epoch == epoch && entry.start.is_some())
}
