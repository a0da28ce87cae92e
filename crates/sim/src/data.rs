//! A model of the data plane: executing, copying, acknowledging, and what primaries and candidates propose.

use crate::ledger::MAX_LAG;
use crate::node::Link;
use crate::world::World;
use ironcache_control::{AckMode, Command, Ownership, Plan, Reason, Shard};
use ironcache_shard::Grant;
use ironcache_types::{Epoch, Member, NodeId, Offset};

/// A member that is silent for this long is dropped from the set.
pub(crate) const SILENT_MS: u64 = 300;
/// How many writes a replica copies at a time; it lags in between.
pub(crate) const COPY: usize = 40;

impl World {
    pub(crate) fn data_tick(&mut self, id: NodeId) {
        let Some(shard) = self.process(id).and_then(|p| p.my_shard()).cloned() else { return };
        let me = self.process(id).map(|p| p.me).expect("it has a shard, so it has a process");
        match shard.ownership {
            Ownership::Serving(primary) if primary == me => self.primary_tick(me, &shard),
            Ownership::Serving(primary) => self.replica_tick(me, primary, &shard),
            Ownership::Recovering { last, .. } => {
                let follows = self.follow_keeper(me, &shard);
                let data = &mut self.process_mut(id).expect("it has a process").data;
                if !follows {
                    data.link = Link::Down;
                }
                let end = data.offset();
                if data.sealed && data.line == shard.epoch && last.node == id && self.is_registered(me) {
                    let (shard, shard_epoch, of) = (shard.id, shard.epoch, last.incarnation);
                    self.promises(id, shard_epoch, end);
                    self.propose(id, Command::Reclaim { shard, shard_epoch, member: me, of, end });
                }
            }
        }
    }

    fn primary_tick(&mut self, me: Member, shard: &Shard) {
        self.keep_lease(me, shard);
        let now_ms = self.now_ms;
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        data.link = Link::Down;
        data.sealed = false;
        data.line = shard.epoch;
        if data.start.is_none_or(|(epoch, _)| epoch != shard.epoch) {
            data.start = Some((shard.epoch, data.offset()));
            data.ask_at_ms = now_ms;
            // An earlier primary may have acknowledged all of it.
            data.acknowledged = data.writes.len();
        }
        data.proposed.retain(|(_, at)| *at == shard.isr_epoch);
        data.keepers_proposed.retain(|(_, at)| *at == shard.isr_epoch);
        data.raised_at = data.raised_at.filter(|at| *at == shard.isr_epoch);
        let raised = data.raised_at.is_some();
        if shard.lineage.last().is_some_and(|l| l.start.is_none())
            && let Some((epoch, start)) = data.start
        {
            self.propose(me.node, Command::PrimaryReady { shard: shard.id, epoch, start });
        }
        let plan = self.process(me.node).and_then(|p| p.view.plan.as_ref()).is_some_and(Plan::holds_mode);
        let acks = if plan || raised { AckMode::InSync } else { shard.mode };
        let held = self.held_by_everybody(me, shard);
        self.execute(me, shard, acks, held);
        self.note_members(me, shard);
        if shard.handover.is_none() {
            self.change_set(me, shard, held);
        }
    }

    /// Asks every quarter of a lease, and at once for the first one; a promotion that it proposed itself is a lease.
    fn keep_lease(&mut self, me: Member, shard: &Shard) {
        let (now_ms, delay_ms) = (self.now_ms, self.rng.below(60));
        let clock_ms = self.clock_ms(me.node);
        let process = self.process_mut(me.node).expect("it ticks");
        let (applied, lease_ms) = (process.applied as u64, process.view.policy.timers.lease_ms());
        let data = &mut process.data;
        let begun = shard.lineage.last().and_then(|entry| entry.start);
        if let Some((_, _, since_ms)) = data.promise.take_if(|(_, start, _)| begun == Some(*start)) {
            data.lease.granted(Grant { until_ms: since_ms + lease_ms, index: 0 }, clock_ms, applied);
        }
        if let Some((_, grant)) = data.answer.take_if(|(at_ms, _)| *at_ms <= now_ms) {
            data.lease.granted(grant, clock_ms, applied);
        }
        if now_ms < data.ask_at_ms || data.answer.is_some() {
            return;
        }
        let Some(index) = self.grant(me) else { return };
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        data.ask_at_ms = now_ms + lease_ms / 4;
        data.answer = Some((now_ms + delay_ms, Grant { until_ms: clock_ms + lease_ms, index }));
    }

    /// How many of the primary's writes each of those has that it asks: the set and the keeper, and whom it proposed.
    fn held_by_everybody(&self, me: Member, shard: &Shard) -> usize {
        let data = &self.process(me.node).expect("it ticks").data;
        let proposed = data.proposed.iter().map(|(m, _)| *m);
        let held_by = |m: Member| self.copied(m, me).unwrap_or(0);
        let members = shard.in_sync_replicas().chain(proposed).map(held_by).min();
        let recorded = shard.keeper_that_counts().map(|keeper| keeper.member);
        let keepers = recorded.into_iter().chain(data.keepers_proposed.iter().map(|(m, _)| *m));
        let kept = keepers.map(|keeper| self.kept(keeper, me, shard).unwrap_or(0)).min();
        members.into_iter().chain(kept).min().unwrap_or(data.writes.len())
    }

    /// Executes a write, and acknowledges what the mode allows. What a handover in flight holds back was executed before
    /// it: it may be acknowledged.
    fn execute(&mut self, me: Member, shard: &Shard, acks: AckMode, held: usize) {
        let executes = self.process(me.node).is_some_and(|process| process.executes(self.clock_ms(me.node)));
        let wants = executes && self.rng.chance(1, 2) && self.writes_go_on();
        let write = self.fresh_write();
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        if wants {
            data.writes.push(write);
        }
        let end = match acks {
            AckMode::InSync => held,
            AckMode::Primary => data.writes.len().min(held + MAX_LAG),
        };
        // A reply is sent once. One that was sent by a life that is deposed and does not know it is not sent again.
        if end > data.acknowledged {
            data.acknowledged = end;
            let acknowledged = data.writes[..end].to_vec();
            self.acknowledge(shard.id, &acknowledged);
        }
    }

    /// Since when members are silent, and since when they are in the set.
    fn note_members(&mut self, me: Member, shard: &Shard) {
        let now_ms = self.now_ms;
        let silent_now: Vec<Member> =
            shard.in_sync_replicas().filter(|m| self.copied(*m, me).is_none()).collect();
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        data.silent.retain(|(m, _)| silent_now.contains(m));
        for member in silent_now {
            if !data.silent.iter().any(|(m, _)| *m == member) {
                data.silent.push((member, now_ms));
            }
        }
        data.in_sync_since.retain(|(m, _)| shard.in_sync.contains(m));
        for member in shard.in_sync_replicas() {
            if !data.in_sync_since.iter().any(|(m, _)| *m == member) {
                data.in_sync_since.push((member, now_ms));
            }
        }
    }

    fn change_set(&mut self, me: Member, shard: &Shard, held: usize) {
        let (id, isr_epoch, now_ms) = (shard.id, shard.isr_epoch, self.now_ms);
        let process = self.process(me.node).expect("it ticks");
        let plan = process.view.plan.as_ref().is_some_and(Plan::holds_mode);
        let out = shard.nodes.iter().any(|n| process.view.nodes.get(n).is_some_and(|n| n.out.is_some()));
        let is_kept = shard.keeper.is_some() || !process.data.keepers_proposed.is_empty();
        let mode = if plan || out || is_kept { AckMode::InSync } else { process.view.policy.steady_mode };
        let overdue = process.data.silent.iter().find(|(_, since)| now_ms > since + SILENT_MS);
        let whole = process.data.writes.len();
        let lacks_acknowledged = held < process.data.acknowledged;
        let newcomer = shard.nodes.iter().find_map(|n| {
            let member = self.process(*n).map(|p| p.me)?;
            let known = process.view.nodes.get(n).is_some_and(|k| k.member() == member && k.out.is_none());
            let fits = known && !shard.in_sync.contains(&member) && member != me;
            (fits && self.copied(member, me) == Some(whole)).then_some(member)
        });
        let command = if let Some((member, _)) = overdue {
            let (member, reason) = (*member, Reason::new("silent", "silent"));
            Command::RemoveInSync { shard: id, isr_epoch, primary: me, member, reason }
        } else if shard.mode != mode && !(mode == AckMode::InSync && lacks_acknowledged) {
            if mode == AckMode::InSync {
                self.process_mut(me.node).expect("it ticks").data.raised_at = Some(isr_epoch);
            }
            Command::SetMode { shard: id, isr_epoch, primary: me, mode }
        } else if let Some(member) = newcomer {
            let proposed = &mut self.process_mut(me.node).expect("it ticks").data.proposed;
            if !proposed.contains(&(member, isr_epoch)) {
                proposed.push((member, isr_epoch));
            }
            Command::AddInSync { shard: id, isr_epoch, primary: me, member }
        } else if let Some(command) = self.change_keeper(me, shard) {
            command
        } else {
            return;
        };
        self.propose(me.node, command);
    }

    fn replica_tick(&mut self, me: Member, primary: Member, shard: &Shard) {
        let copies = self.rng.chance(1, 4);
        let begun = self.serving(primary, me.node).and_then(|p| p.data.start);
        let source = self.serving(primary, me.node).map(|p| p.data.writes.clone());
        // A node that is being stopped is not promoted any more.
        let leaves = self.is_leaving(me.node);
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        match data.link {
            Link::Syncing(epoch) | Link::Streaming(epoch) if epoch != shard.epoch => data.link = Link::Down,
            Link::Down | Link::Syncing(_) | Link::Streaming(_) => {}
        }
        let Some(source) = source else {
            if !self.follow_keeper(me, shard) {
                self.process_mut(me.node).expect("it ticks").data.link = Link::Down;
            }
            return;
        };
        if !copies {
            return;
        }
        data.sealed = false;
        if !source.starts_with(&data.writes) {
            // Another history: a full sync. Who is in the set by what it has applied may not discard what it holds.
            if shard.in_sync.contains(&me) {
                data.link = Link::Down;
                return;
            }
            data.writes.clear();
            data.link = Link::Syncing(shard.epoch);
        }
        let next = source.len().min(data.writes.len() + COPY);
        data.writes.extend_from_slice(&source[data.writes.len()..next]);
        if let Some((epoch, start)) = begun
            && data.offset() >= start
        {
            data.line = epoch;
        }
        if data.link == Link::Down || next == source.len() {
            data.link = Link::Streaming(shard.epoch);
        }
        if let Some(flight) = shard.handover
            && flight.to == me
            && !leaves
            && data.streams()
            && data.writes.len() == source.len()
        {
            // The primary has parked, so this is the end: the fence is met.
            let parked = self.process(primary.node).and_then(|p| p.my_shard()).and_then(|s| s.handover);
            if parked.is_some_and(|h| h.epoch == flight.epoch) {
                let attached =
                    |m: &&Member| **m == primary || self.copied(**m, primary) == Some(source.len());
                let in_sync = shard.in_sync.iter().filter(attached).copied().collect();
                let (handover, offset) = (flight.epoch, Offset(source.len() as u64));
                self.promises(me.node, handover, offset);
                self.propose(
                    me.node,
                    Command::Promote { shard: shard.id, handover, to: me, offset, in_sync },
                );
            }
        }
    }

    /// It proposes to own its shard from `start` on; asked again for the same, the first time counts.
    pub(crate) fn promises(&mut self, id: NodeId, of: Epoch, start: Offset) {
        let now_ms = self.clock_ms(id);
        let data = &mut self.process_mut(id).expect("it ticks").data;
        if data.promise.is_none_or(|(known, at, _)| (known, at) != (of, start)) {
            data.promise = Some((of, start, now_ms));
        }
    }

    /// How many of `primary`'s writes that replica has acknowledged, if it can be asked.
    pub(crate) fn copied(&self, replica: Member, primary: Member) -> Option<usize> {
        let source = &self.serving(primary, replica.node)?.data.writes;
        let process = self.process(replica.node).filter(|p| p.me == replica)?;
        let follows = process.data.streams() && process.my_shard()?.is_primary(primary);
        (follows && source.starts_with(&process.data.writes)).then_some(process.data.writes.len())
    }

    /// The process of `primary`, if it takes itself for the primary and `from` can reach it.
    pub(crate) fn serving(&self, primary: Member, from: NodeId) -> Option<&crate::node::Process> {
        let reachable = !self.is_cut_between(from, primary.node);
        self.process(primary.node).filter(|p| reachable && p.me == primary && p.is_primary())
    }
}
