//! Raft, as the log that a majority has: what is proposed arrives in any order, or never.
//!
//! A proposal that changes nothing takes no place in the log, so that what is asked for in vain for ever makes no new state.

use super::broken::Broken;
use super::founded;
use super::print::Print;
use super::world::{Proposal, View, World};
use ironcache_control::{Applied, Command, ControlState, HandoverVia, LogId, Recover, Rejection};
use ironcache_shard::{Ask, Event};
use ironcache_types::Offset;
use std::sync::Arc;

impl World {
    /// A process asks; what is under way already is not asked for twice.
    pub(super) fn propose(&mut self, at: usize, command: Command, ask: Option<Ask>) {
        let by = self.member(at);
        self.put(by, command, ask);
    }

    pub(super) fn order(&mut self, command: Command) {
        self.put(None, command, None);
    }

    fn put(&mut self, by: Option<ironcache_types::Member>, command: Command, ask: Option<Ask>) {
        let from_leader = by.is_none();
        let of = by.map_or(0, |by| World::index_of(by.node));
        let print = Arc::new(Print::of(of, 0, &(by, &command, ask)));
        if self.proposals.iter().all(|known| known.print != print) {
            self.proposals.push(Arc::new(Proposal { by, from_leader, command, ask, print }));
        }
    }

    /// The leader appends a proposal, and it is committed.
    pub(super) fn arrive(&mut self, at: usize) -> Option<()> {
        let is_behind = |at: usize| {
            let behind = |p: &super::node::Process| p.applied + self.lag < self.end() + 1;
            let known = self.truth().nodes.get(&self.nodes[at].id).map(ironcache_control::Node::member);
            self.cut != Some(at) && known == self.member(at) && self.process(at).is_some_and(behind)
        };
        if at >= self.proposals.len() || !self.has_quorum() || (0..self.nodes.len()).any(is_behind) {
            return None;
        }
        let proposal = self.proposals.remove(at);
        let Proposal { by, ref command, ask, .. } = *proposal;
        match self.applied(command) {
            Some(Ok(state)) => {
                self.log.push(View::of(state));
            }
            Some(Err(_)) => {
                if let (Some(ask), Some(life)) = (ask, by.and_then(|by| self.at(by)))
                    && self.cut != Some(life)
                {
                    self.feed(life, Event::Rejected(ask));
                }
            }
            None => {}
        }
        Some(())
    }

    /// What is refused for ever, and of which nobody hears that it was, is as good as gone.
    pub(super) fn drop_stale(&mut self) {
        let is_heard = |proposal: &Proposal| proposal.by.is_some_and(|by| self.at(by).is_some());
        let is_gone = |proposal: &Arc<Proposal>| {
            !is_heard(proposal)
                && matches!(self.applied(&proposal.command), Some(Err(rejection)) if is_for_ever(&rejection))
        };
        let gone: Vec<bool> = self.proposals.iter().map(is_gone).collect();
        let mut gone = gone.into_iter();
        self.proposals.retain(|_| !gone.next().unwrap_or_default());
    }

    /// The state after it; an error if it is rejected, nothing if it changes nothing.
    fn applied(&self, command: &Command) -> Option<Result<ControlState, Rejection>> {
        let at = LogId { term: self.term, index: self.end() as u64 + 1 };
        let before = self.truth();
        let mut state = ControlState::clone(before);
        let command = self.as_broken(&mut state, command);
        match state.apply(at, &command) {
            Ok(Applied::Unchanged) => None,
            Ok(Applied::Changed { .. } | Applied::PlanStarted { .. }) => {
                self.break_after(before, &mut state, &command);
                // Nothing is decided by it; with it worlds would differ by how they were reached.
                state.audit = ironcache_control::Audit::default();
                Some(Ok(state))
            }
            Err(rejection) => Some(Err(rejection)),
        }
    }

    /// What a broken rule makes of a command, or of the state that it meets.
    fn as_broken(&self, state: &mut ControlState, command: &Command) -> Command {
        let mut command = command.clone();
        match (self.broken, &mut command) {
            (Some(Broken::PromoteOutsideSet), Command::Failover { shard, to, .. }) => {
                if let Some(shard) = state.shards.get_mut(shard) {
                    shard.in_sync.insert(*to);
                }
            }
            (Some(Broken::RecoverBesideKeeper), Command::Recover(Recover { shard, .. })) => {
                if let Some(shard) = state.shards.get_mut(shard) {
                    shard.keeper = None;
                }
            }
            (Some(Broken::PromoteAtKeepersEnd), Command::Promote { shard, offset, .. }) => {
                let via =
                    state.shards.get(shard).and_then(|s| s.handover).filter(|h| h.via == HandoverVia::Keeper);
                let tail = via.and_then(|flight| {
                    let node = &self.nodes[World::index_of(flight.from.node)];
                    node.tails.get(&(*shard, state.shards[shard].epoch))
                });
                *offset = tail.map_or(*offset, |tail| tail.kept.whole());
            }
            (Some(Broken::StaleEpoch), command) => founded::refresh(state, command),
            (Some(Broken::AbortLowersMode), Command::SetMode { .. }) => {
                *state = founded::without_who_is_out(state);
            }
            (Some(_) | None, _) => {}
        }
        command
    }

    fn break_after(&self, before: &ControlState, state: &mut ControlState, command: &Command) {
        match (self.broken, command) {
            (Some(Broken::RegisterClearsKeeper), Command::RegisterNode { .. }) => {
                state.shards.values_mut().for_each(|shard| shard.keeper = None);
                founded::settle_exposure(before, state);
            }
            (Some(Broken::AbortLowersMode), Command::SetMode { .. }) => {
                for (id, node) in &mut state.nodes {
                    node.out.clone_from(&before.nodes[id].out);
                }
                for (id, shard) in &mut state.shards {
                    (shard.keeper, shard.keeper_wanted) =
                        (before.shards[id].keeper, before.shards[id].keeper_wanted);
                }
            }
            (Some(Broken::KeeperOfAnotherEpoch), _) => {
                for (id, shard) in &mut state.shards {
                    if let Some(mut keeper) = before.shards[id].keeper
                        && shard.epoch != before.shards[id].epoch
                    {
                        keeper.epoch = shard.epoch;
                        shard.keeper = Some(keeper);
                    }
                }
                founded::settle_exposure(before, state);
            }
            (Some(_) | None, _) => {}
        }
    }

    /// What was executed there by the owner of that epoch is what is here.
    pub(super) fn check_content(&mut self, epoch: ironcache_types::Epoch, number: usize, write: u8) {
        let is_known = |known: &super::world::Executed| {
            (known.epoch, known.number, known.write) == (epoch, number, write)
        };
        if !self.executed.iter().any(is_known) {
            self.wrong = Some("equal epoch and offset are equal content");
        }
    }

    /// A primary executes a write.
    pub(super) fn execute(&mut self, at: usize) -> Option<()> {
        let parks = self.broken != Some(Broken::UnparkBeforeApply);
        let process = self.process(at)?;
        let engine = &process.engine;
        let may = engine.is_serving() || (!parks && engine.primary().is_some() && engine.is_leased());
        let (epoch, now) = (engine.primary_epoch().filter(|_| may)?, process.now());
        let number = process.data.len();
        let write = self.executed.len() as u8 + 1;
        self.left.writes = self.left.writes.checked_sub(1)?;
        let shard = self.shard_of(at);
        let end = Offset((number as u64 + 1) * super::world::FRAME_BYTES);
        self.executed.insert(super::world::Executed { shard, epoch, number, write });
        let process = self.process_mut(at)?;
        process.data.push(write);
        process.engine.on_frame(end, now.ran_ms);
        process.owed.push((end.0, write));
        self.reply(at);
        Some(())
    }

    /// Replies that may leave do.
    pub(super) fn reply(&mut self, at: usize) {
        let Some(process) = self.process(at).filter(|process| !process.owed.is_empty()) else { return };
        let shard = self.shard_of(at);
        let mut engine = process.engine.clone();
        let is_leased = engine.is_leased();
        let may = |(end, _): &(u64, u8), engine: &mut ironcache_shard::Engine| {
            is_leased && (engine.is_released(*end) || self.is_acknowledged_early(at, *end))
        };
        let (gone, owed): (Vec<_>, Vec<_>) = process.owed.iter().partition(|owed| may(owed, &mut engine));
        let gone: Vec<(u64, u8)> = gone;
        let counts = self.counts(shard);
        let process = self.process_mut(at).expect("it replies");
        (process.engine, process.owed) = (engine, owed);
        if counts {
            self.acknowledged.extend(gone.into_iter().map(|(_, write)| (shard, write)));
        }
    }

    /// In mode `primary` the newest of what is acknowledged may be lost, unless a node of the shard is out.
    fn counts(&self, shard: ironcache_types::ShardId) -> bool {
        let state = self.truth();
        let shard = &state.shards[&shard];
        shard.mode == ironcache_control::AckMode::InSync || state.has_node_out(shard)
    }

    fn is_acknowledged_early(&self, at: usize, end: u64) -> bool {
        let skips_keeper = match self.broken {
            Some(Broken::AckBeforeKeeper) => true,
            Some(Broken::AckBeforeMember) => false,
            Some(_) | None => return false,
        };
        let Some(primary) = self.process(at).and_then(|p| p.engine.primary()) else { return false };
        let of_shard = |node| self.shard_of(World::index_of(node)) == self.shard_of(at);
        let mut others = primary.gate().followers().filter(|f| f.requirement.is_some());
        others.all(|f| of_shard(f.member.node) != skips_keeper || f.applied >= Some(Offset(end)))
    }
}

/// What it names is over: epochs, terms and incarnations only grow.
fn is_for_ever(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::StaleIncarnation { seen, current, .. } => seen < current,
        Rejection::StaleEpoch { seen, current, .. } => seen < current,
        Rejection::OtherTerm { proposed, entry, .. } => proposed < entry,
        // Of the rest much may change again.
        _other => false,
    }
}
