//! A model of the keeper: a node that is not of the shard takes its stream while the shard has one full member left, and
//! hands it over when the primary is gone.
//!
//! *Invariant:* a tail is that of one life of its keeper: a later one may find the file, and proves nothing with it.
//! *Invariant:* a keeper takes nothing more from a primary once it has applied that its tail is handed over.

use crate::data::COPY;
use crate::node::{Link, Process};
use crate::world::World;
use ironcache_control::{Command, HandoverVia, Keeper, KeeperBase, NewKeeper, Reason, Shard};
use ironcache_types::{Epoch, Member, NodeId, Offset, ShardId};

/// What a keeper holds of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Whose stream it is.
    pub of: Member,
    pub epoch: Epoch,
    /// The newest of the set that was applied while the keeper was wanted, or on record: until a newer one the log may
    /// still take a proposal of its primary.
    isr_epoch: Epoch,
    pub from: usize,
    pub base: KeeperBase,
    /// From `from` on, or all there is if the base is its own.
    writes: Vec<u64>,
}

impl Tail {
    fn begin(&self) -> usize {
        match self.base {
            KeeperBase::Leaver => self.from,
            KeeperBase::Own => 0,
        }
    }

    pub(crate) fn end(&self) -> usize {
        self.begin() + self.writes.len()
    }

    /// A whole dataset, of one that holds `writes`; `None` if it cannot be continued from here.
    fn continues(&self, writes: &[u64]) -> Option<Vec<u64>> {
        let begin = self.begin();
        let beyond = writes.get(begin..)?;
        if !self.writes.starts_with(beyond) {
            // It holds all of the tail, and more; or it is of another history.
            return beyond.starts_with(&self.writes).then(|| writes.to_vec());
        }
        let next = self.writes.len().min(beyond.len() + COPY);
        Some([&writes[..begin], &self.writes[..next]].concat())
    }
}

impl World {
    pub(crate) fn keeper_tick(&mut self, id: NodeId) {
        let Some(process) = self.process(id).filter(|process| process.is_current()) else { return };
        let me = process.me;
        let asked = |shard: &&Shard| {
            shard.keeper_wanted == Some(id) || shard.keeper.is_some_and(|keeper| keeper.member == me)
        };
        let shards: Vec<(Shard, bool)> =
            process.view.shards.values().map(|shard| (shard.clone(), asked(&shard))).collect();
        let mut goes_on = Vec::new();
        let tails = &mut self.process_mut(id).expect("it ticks").tails;
        for (shard, is_asked) in shards {
            if let Some(tail) = tails.get_mut(&shard.id).filter(|_| is_asked) {
                tail.isr_epoch = shard.isr_epoch;
            }
            let is_over =
                |tail: &Tail| tail.epoch != shard.epoch || (!is_asked && tail.isr_epoch < shard.isr_epoch);
            if tails.get(&shard.id).is_some_and(is_over) {
                tails.remove(&shard.id);
            }
            goes_on.extend((is_asked || tails.contains_key(&shard.id)).then_some(shard));
        }
        for shard in goes_on {
            self.keep(me, &shard);
        }
    }

    fn keep(&mut self, me: Member, shard: &Shard) {
        let is_closed = hands_over(shard, me);
        if is_closed || !self.side.chance(1, 2) {
            return;
        }
        let Some(primary) = shard.primary() else { return };
        let Some(source) = self.serving(primary, me.node) else { return };
        let (writes, epoch) = (source.data.writes.clone(), source.my_shard().map(|shard| shard.epoch));
        let begins = attaches_at(source, shard.id);
        if epoch != Some(shard.epoch) {
            return;
        }
        let tails = &mut self.process_mut(me.node).expect("it ticks").tails;
        let tail = tails.entry(shard.id).or_insert_with(|| {
            let (from, base) = begins;
            let (epoch, isr_epoch) = (shard.epoch, shard.isr_epoch);
            Tail { of: primary, epoch, isr_epoch, from, base, writes: Vec::new() }
        });
        if let Some(next) = writes.get(tail.end()..) {
            tail.writes.extend(next.iter().take(COPY));
        }
    }

    /// How much of the stream of `primary` that life has acknowledged as its keeper.
    pub(crate) fn kept(&self, keeper: Member, primary: Member, shard: &Shard) -> Option<usize> {
        self.serving(primary, keeper.node)?;
        let tail = self.tail(keeper, shard).filter(|tail| tail.of == primary)?;
        Some(tail.end())
    }

    /// What that life keeps of the shard as it is, unless it hands it over.
    fn tail(&self, keeper: Member, shard: &Shard) -> Option<&Tail> {
        let process = self.process(keeper.node).filter(|process| process.me == keeper)?;
        let sees = process.view.shards.get(&shard.id)?;
        if hands_over(sees, keeper) {
            return None;
        }
        process.tails.get(&shard.id).filter(|tail| tail.epoch == shard.epoch)
    }

    /// What the primary proposes about its keeper, if anything.
    pub(crate) fn change_keeper(&mut self, me: Member, shard: &Shard) -> Option<Command> {
        let now_ms = self.now_ms;
        let (id, isr_epoch) = (shard.id, shard.isr_epoch);
        let set = |keeper: Option<NewKeeper>, why: &str| Command::SetKeeper {
            shard: id,
            isr_epoch,
            primary: me,
            keeper,
            reason: Reason::new("keeper", why),
        };
        let recorded = shard.keeper_that_counts().map(|keeper| keeper.member);
        let whole = self.process(me.node)?.data.writes.len();
        let wanted = shard.keeper_wanted.and_then(|node| self.process(node)).map(|process| process.me);
        let view = &self.process(me.node)?.view;
        let known = |member: &Member| view.nodes.get(&member.node).is_some_and(|n| n.member() == *member);
        let attached = wanted.filter(|member| known(member) && recorded != Some(*member));
        if let Some(member) = attached.filter(|member| self.kept(*member, me, shard) == Some(whole)) {
            let tail = self.tail(member, shard)?;
            let keeper = NewKeeper { member, from: Offset(tail.from as u64), base: tail.base };
            let data = &mut self.process_mut(me.node)?.data;
            if !data.keepers_proposed.contains(&(member, isr_epoch)) {
                data.keepers_proposed.push((member, isr_epoch));
            }
            return Some(set(Some(keeper), "it holds the tail"));
        }
        let recorded = recorded?;
        let is_silent = self.kept(recorded, me, shard).is_none();
        let data = &mut self.process_mut(me.node)?.data;
        data.keeper_silent_ms = is_silent.then(|| data.keeper_silent_ms.unwrap_or(now_ms));
        if data.keeper_silent_ms.is_some_and(|since| now_ms > since + crate::data::SILENT_MS) {
            return Some(set(None, "silent"));
        }
        let enough = shard.in_sync.len() >= shard.members_min();
        (shard.keeper_wanted.is_none() && enough).then(|| set(None, "it is not needed"))
    }

    /// A node of the shard that reaches no primary takes the tail from the keeper, and the shard if the log wants it to.
    /// Answers whether it follows.
    pub(crate) fn follow_keeper(&mut self, me: Member, shard: &Shard) -> bool {
        let Some(keeper) = shard.keeper_that_counts().copied().filter(|_| !shard.in_sync.contains(&me))
        else {
            return false;
        };
        let Some((tail, fenced)) = self.offered(me, keeper, shard) else { return false };
        let leaves = self.is_leaving(me.node);
        let Some(data) = self.process(me.node).map(|process| &process.data) else { return false };
        let other_history = shard
            .lineage
            .iter()
            .any(|entry| entry.epoch > data.line && entry.start.is_some_and(|start| start < data.offset()));
        let own = if other_history || data.writes.len() < tail.begin() {
            // A whole dataset is offered to anybody; of a tail alone nothing can be made.
            match tail.base {
                KeeperBase::Own => Vec::new(),
                KeeperBase::Leaver => return false,
            }
        } else {
            data.writes.clone()
        };
        let Some(next) = tail.continues(&own) else { return false };
        let whole = next.len() >= tail.end();
        let data = &mut self.process_mut(me.node).expect("it ticks").data;
        (data.writes, data.sealed, data.line) = (next, false, shard.epoch);
        data.link = if whole { Link::Streaming(shard.epoch) } else { Link::Syncing(shard.epoch) };
        let offset = data.offset();
        if let Some(handover) = fenced.filter(|_| whole && !leaves) {
            self.promises(me.node, handover, offset);
            let in_sync = [me].into();
            self.propose(me.node, Command::Promote { shard: shard.id, handover, to: me, offset, in_sync });
        }
        true
    }

    /// What the keeper has for `me`, and the handover to it of which the keeper knows.
    fn offered(&self, me: Member, keeper: Keeper, shard: &Shard) -> Option<(Tail, Option<Epoch>)> {
        let process = self.process(keeper.member.node).filter(|process| process.me == keeper.member)?;
        if self.is_cut_between(me.node, keeper.member.node) {
            return None;
        }
        let sees = process.view.shards.get(&shard.id).filter(|sees| sees.keeper == Some(keeper))?;
        let tail = process.tails.get(&shard.id).filter(|tail| tail.epoch == shard.epoch)?;
        let fenced = sees.handover.filter(|flight| flight.via == HandoverVia::Keeper && flight.to == me);
        // Whoever has a primary follows that.
        let has_primary = sees.primary().is_some_and(|p| self.serving(p, keeper.member.node).is_some());
        (fenced.is_some() || !has_primary).then(|| (tail.clone(), fenced.map(|flight| flight.epoch)))
    }

    /// I22: while a node of a shard is out by plan, another member or the recorded keeper holds what is acknowledged, or the
    /// log says that the shard is exposed.
    pub(crate) fn check_kept(&self, id: ShardId, shard: &Shard) -> Result<(), String> {
        let is_out = |node: &NodeId| self.truth.nodes.get(node).is_some_and(|node| node.out.is_some());
        if !shard.nodes.iter().any(is_out) || shard.exposed || shard.in_sync.len() >= 2 {
            return Ok(());
        }
        // A life that is over is known to the log, or dropped, a moment later; what it held is not asked of it.
        let Some(keeper) = shard.keeper_that_counts() else {
            return Err(format!(
                "I22: shard {id} has a node out, one member and no keeper, and is not exposed"
            ));
        };
        let Some(process) = self.process(keeper.member.node).filter(|p| p.me == keeper.member) else {
            return Ok(());
        };
        let Some(tail) = process.tails.get(&id).filter(|tail| tail.epoch == shard.epoch) else {
            return Err(format!("I22: {} keeps nothing of shard {id}", keeper.member));
        };
        let acknowledged = self.ledger.of(id).get(tail.begin()..).unwrap_or_default();
        if !tail.writes.starts_with(acknowledged) {
            let (end, all) = (tail.end(), self.ledger.of(id).len());
            return Err(format!(
                "I22: {} keeps shard {id} up to {end}, and {all} writes are acknowledged",
                keeper.member
            ));
        }
        Ok(())
    }
}

fn hands_over(shard: &Shard, keeper: Member) -> bool {
    shard.handover.is_some_and(|flight| flight.via == HandoverVia::Keeper && flight.from == keeper)
}

/// Where a keeper begins: at the end, unless a node is out that took along what lies before an earlier keeper's tail.
fn attaches_at(primary: &Process, id: ShardId) -> (usize, KeeperBase) {
    let end = primary.data.writes.len();
    let Some(shard) = primary.view.shards.get(&id) else { return (end, KeeperBase::Own) };
    let out = shard.nodes.iter().find_map(|node| primary.view.nodes.get(node)?.out.as_ref());
    match out.map(|out| out.base_from) {
        None => (end, KeeperBase::Leaver),
        Some(Some(base)) => (usize::try_from(base.0).unwrap_or(end).min(end), KeeperBase::Leaver),
        Some(None) => (end, KeeperBase::Own),
    }
}
