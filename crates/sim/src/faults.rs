//! What goes wrong, and when it may: the promise covers one unplanned failure beyond a step's own outage.

use crate::disk::{Checkpoint, Disk};
use crate::entry::Entry;
use crate::node::Node;
use crate::world::{CHAOS_MS, Happened, World};
use ironcache_control::{Command, Recover, Shard};
use ironcache_types::{NodeId, Offset};

/// A node that is told to stop gives its roles away within this, or goes with them.
const LEAVE_MS_MAX: u64 = 1_000;
/// A stall that anybody may have at any time: less than what a lease outlasts.
const STALL_MS: u64 = 150;
/// A machine that is lost may be away for so long: a roll goes on, and a shard that had only it has to be served again.
const AWAY_MS: u64 = 8_000;
/// How long a disk is full: longer than a stop and a start take.
const FULL_MS: u64 = 3_000;
/// How many entries back a proposal may be that arrives once more.
const AGAIN: usize = 40;
/// A node whose failure is over counts as whole when it has been in sync for so long: longer than a primary takes to drop
/// a silent member, and a proposal to arrive.
const WHOLE_MS: u64 = 500;

impl World {
    pub(crate) fn faults(&mut self) {
        self.lose_a_shard();
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids.iter().copied() {
            if self.rng.chance(self.scenario.kills_per_mille, 1_000) && self.may_be_killed(id) {
                self.failing(id);
                self.kill(id);
            }
            if self.rng.chance(self.scenario.kills_per_mille, 1_000) && self.may_lose_its_dataset(id) {
                self.lose_dataset(id);
            }
            if self.rng.chance(self.scenario.kills_per_mille, 1_000) && self.may_fail(id) {
                let until_ms = self.now_ms + self.rng.below(LEAVE_MS_MAX);
                self.note(id, "is told to stop");
                self.failing(id).leaving_until_ms = Some(until_ms);
            }
            if self.rng.chance(self.scenario.cuts_per_mille, 1_000) && self.may_fail(id) {
                let at_most_ms = if self.rng.chance(1, 4) { 6_000 } else { 1_500 };
                let until_ms = self.now_ms + self.rng.below(at_most_ms);
                self.note(id, "is cut off");
                self.failing(id).cut_until_ms = until_ms;
            }
        }
        self.set_a_wall_clock(&ids);
        self.lose_ways(&ids);
        self.fill_a_disk(&ids);
        if self.rng.chance(1, 50)
            && let Some(id) = self.rng.pick(&ids)
        {
            // One that outlasts a lease is a failure like any other.
            let at_most_ms = if self.may_fail(id) { 400 } else { STALL_MS };
            let until_ms = self.now_ms + self.rng.below(at_most_ms);
            if until_ms > self.now_ms + STALL_MS {
                self.note(id, "stands still");
            }
            self.failing(id).stalled_until_ms = until_ms;
        }
        if self.rng.chance(1, 150) {
            self.change_leader();
        }
    }

    /// Between one node and some of the others messages are lost, in one direction or in both.
    fn lose_ways(&mut self, ids: &[NodeId]) {
        if !self.side.chance(self.scenario.cuts_per_mille, 1_000) {
            return;
        }
        let Some(id) = self.side.pick(ids).filter(|id| self.may_fail(*id)) else { return };
        let until_ms = self.now_ms + self.side.below(3_000);
        for other in ids.iter().copied().filter(|other| *other != id) {
            let (out, back) = (self.side.chance(1, 2), self.side.chance(1, 2));
            let ways = [(out, (id, other)), (back, (other, id))];
            self.lost_ways.extend(ways.into_iter().filter(|(is, _)| *is).map(|(_, way)| (way, until_ms)));
        }
        self.note(id, "loses some messages");
        self.failing(id).patchy_until_ms = until_ms;
    }

    /// For a while a node can write neither a checkpoint nor the tail of another shard.
    fn fill_a_disk(&mut self, ids: &[NodeId]) {
        if !self.side.chance(self.scenario.cuts_per_mille, 1_000) {
            return;
        }
        let Some(id) = self.side.pick(ids).filter(|id| self.may_fail(*id)) else { return };
        let until_ms = self.now_ms + self.side.below(FULL_MS);
        self.note(id, "has a full disk");
        self.failing(id).disk.full_until_ms = until_ms;
    }

    /// Every process of a shard is killed at once, and a part of what each held is what it finds again. Outside of the promise:
    /// the shard has to serve again all the same, and the log has to say that something is lost.
    fn lose_a_shard(&mut self) {
        let Some((_, mut rng)) = self.total_loss.take_if(|(at_ms, _)| *at_ms <= self.now_ms) else { return };
        let ids: Vec<_> = self.truth.shards.keys().copied().collect();
        let Some(shard) = rng.pick(&ids).and_then(|id| self.truth.shards.get(&id)).cloned() else { return };
        for id in shard.nodes.iter().copied() {
            self.failing(id);
            let held = self.process(id).and_then(Checkpoint::of);
            self.kill(id);
            // As a snapshot had it that was taken before.
            let snapshot = held.and_then(|held| {
                let count = usize::try_from(rng.below(held.len() as u64 + 1)).expect("it is below a length");
                held.cut(count)
            });
            let node = self.nodes.get_mut(&id).expect("it is a node");
            node.disk.checkpoint = snapshot.or(node.disk.checkpoint.take());
        }
        self.shards_lost += 1;
    }

    /// At the moment at which a step is committed somebody of its shard may go, or the leader.
    pub(crate) fn strike(&mut self, committed: &Command) {
        let Some(shard) = self.shard_of_step(committed) else { return };
        let anybody = self.rng.pick(&shard.nodes);
        let victim = if self.rng.chance(1, 2) { shard.primary().map(|p| p.node) } else { anybody };
        if self.rng.chance(1, 4)
            && let Some(id) = victim
        {
            if self.may_lose_its_dataset(id) {
                self.lose_dataset(id);
            } else if self.may_be_killed(id) {
                self.failing(id);
                self.kill(id);
            }
        }
        if self.rng.chance(1, 12) {
            self.change_leader();
        }
    }

    /// Commands that come at a bad time: whoever proposed one may have waited for an outcome for any time, and proposes it
    /// again; and anybody may lose patience with a handover.
    pub(crate) fn untimely(&mut self) -> Vec<Entry> {
        let mut untimely = Vec::new();
        let newest: Vec<Entry> = self.log.iter().rev().take(AGAIN).cloned().collect();
        if self.rng.chance(1, 8) {
            untimely.push(newest[self.rng.below(newest.len() as u64) as usize].clone());
        }
        let in_flight: Vec<_> =
            self.truth.shards.values().filter_map(|s| Some((s.id, s.handover?.epoch))).collect();
        for (shard, handover) in in_flight {
            if self.rng.chance(1, 40) {
                untimely.push(Entry::seal(Command::AbortHandover { shard, handover }, &self.truth));
            }
            // What belongs to an earlier attempt.
            let earlier =
                |e: &&Entry| matches!(&e.command, Command::Promote { shard: of, .. } if *of == shard);
            if self.rng.chance(1, 8) {
                untimely.extend(newest.iter().find(earlier).cloned());
            }
        }
        untimely
    }

    fn shard_of_step(&self, command: &Command) -> Option<Shard> {
        let shard = match command {
            Command::UpgradeSelf { member, .. }
            | Command::Confirm { member, .. }
            | Command::Confirmed { member, .. } => self.truth.shard_of_node(member.node),
            Command::BeginHandover { shard, .. }
            | Command::Promote { shard, .. }
            | Command::AbortHandover { shard, .. }
            | Command::Failover { shard, .. }
            | Command::WantKeeper { shard, .. }
            | Command::SetKeeper { shard, .. }
            | Command::BeginRecovery { shard, .. }
            | Command::Reclaim { shard, .. }
            | Command::Recover(Recover { shard, .. })
            | Command::SetMode { shard, .. } => self.truth.shards.get(shard),
            Command::InitCluster(_)
            | Command::RegisterNode { .. }
            | Command::AddInSync { .. }
            | Command::RemoveInSync { .. }
            | Command::ReportHandover { .. }
            | Command::PrimaryReady { .. }
            | Command::RegisterRelease { .. }
            | Command::ReportStaged { .. }
            | Command::StartPlan { .. }
            | Command::BeginRolling { .. }
            | Command::StepFailed { .. }
            | Command::Hold { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Abort { .. }
            | Command::Finalize { .. }
            | Command::BeginSoaking { .. }
            | Command::Soaked { .. }
            | Command::Rollback { .. }
            | Command::TurnBack { .. }
            | Command::ReportPreflight { .. }
            | Command::LevelReached { .. }
            | Command::SetPolicy { .. }
            | Command::AllowRelease { .. }
            | Command::AddNode { .. }
            | Command::RemoveNode { .. }
            | Command::AddOperator { .. }
            | Command::RevokeOperator { .. }
            | Command::ChangeUsers { .. }
            | Command::ChangeLibraries { .. }
            | Command::NodeLeft { .. }
            | Command::MembershipDone { .. }
            | Command::Rejoin { .. } => None,
            #[cfg(feature = "next")]
            Command::SetZone { .. } => None,
        };
        shard.cloned()
    }

    /// The next failure waits until the shard's other nodes are well and in sync, or out for their step. A keeper counts as
    /// one of them.
    fn may_fail(&self, id: NodeId) -> bool {
        if !self.keeps_for_whole_shards(id) {
            return false;
        }
        let Some(shard) = self.truth.shard_of_node(id) else { return true };
        others(shard, id).all(|n| {
            let node = &self.truth.nodes[&n];
            let faults = &self.nodes[&n];
            let well = faults.is_well(self.now_ms);
            node.out.is_some()
                || (well
                    && !self.is_leaving(n)
                    && shard.in_sync.contains(&node.member())
                    && self.is_registered(node.member()))
        })
    }

    /// What a process held in memory goes with it. Nobody counts on a node that neither owns its shard nor is in its set.
    fn may_be_killed(&self, id: NodeId) -> bool {
        let Some(shard) = self.truth.shard_of_node(id) else { return self.may_fail(id) };
        let counts = |member: ironcache_types::Member| member.node == id;
        let is_bystander = shard.primary().is_some_and(|primary| !counts(primary))
            && !shard.in_sync.iter().copied().any(counts)
            && shard.handover.is_none();
        (is_bystander && self.may_fail(id)) || self.may_lose_its_dataset(id)
    }

    /// A process may go with everything that was in its memory if nothing is wrong with its shard: that has to be survived at
    /// every moment of a roll. A primary that was cut off may have asked for the removal of the others.
    fn may_lose_its_dataset(&self, id: NodeId) -> bool {
        let Some(shard) = self.truth.shard_of_node(id) else { return false };
        // A life that ended while the entry that adds it was under way is in the set, and holds nothing.
        let lives =
            |m: &&ironcache_types::Member| self.process(m.node).is_some_and(|process| process.me == **m);
        let in_sync = shard.in_sync.iter().filter(lives).count();
        let enough = shard.nodes.len() > 2 || in_sync > 1 || self.is_kept(shard, id);
        enough && self.keeps_for_whole_shards(id) && shard.nodes.iter().all(|n| self.is_whole(*n))
    }

    fn is_whole(&self, id: NodeId) -> bool {
        self.nodes[&id].whole_since_ms.is_some_and(|at| self.now_ms > at + WHOLE_MS)
    }

    /// A keeper is there, has been well for so long that nobody can be about to drop it, nor to record another one in its
    /// place, and some node besides `lost` holds what is before its tail. One that was recorded while nobody was out begins at
    /// the end of a stream of which the only member may be the only holder.
    fn is_kept(&self, shard: &Shard, lost: NodeId) -> bool {
        shard.keeper_that_counts().is_some_and(|keeper| {
            let id = keeper.member.node;
            let node = &self.nodes[&id];
            let well = node.is_well(self.now_ms.saturating_sub(WHOLE_MS)) && !self.is_leaving(id);
            let stays = shard.keeper_wanted.is_none_or(|wanted| wanted == id);
            let is_continued = shard.nodes.iter().any(|n| *n != lost && self.holds(*n) >= keeper.from);
            let lives = node.process.as_ref().is_some_and(|process| process.me == keeper.member);
            lives && well && stays && is_continued
        })
    }

    /// How far the dataset of a node reaches, or its checkpoint's, which is not read yet. What is being synchronised reaches
    /// nowhere.
    fn holds(&self, id: NodeId) -> Offset {
        let node = &self.nodes[&id];
        let lies_there = node.disk.checkpoint.as_ref().map(|checkpoint| checkpoint.store().end());
        let whole = node.process.as_ref().filter(|process| process.engine.saved_position().is_some());
        let held = whole.map(|process| process.store.end());
        held.max(lies_there).unwrap_or(Offset(0))
    }

    /// Nothing is wrong with a shard whose tail the node keeps, or is about to.
    fn keeps_for_whole_shards(&self, id: NodeId) -> bool {
        let keeps = |shard: &&Shard| {
            shard.keeper_wanted == Some(id) || shard.keeper.is_some_and(|keeper| keeper.member.node == id)
        };
        self.truth.shards.values().filter(keeps).all(|s| s.nodes.iter().all(|n| self.is_whole(*n)))
    }

    /// A failed node is whole again once nothing is wrong with it and it is in sync. To be out for a step, and not back in
    /// the set yet, is no failure.
    pub(crate) fn note_recoveries(&mut self) {
        let now_ms = self.now_ms;
        for (id, node) in &mut self.nodes {
            let Some(shard) = self.truth.shard_of_node(*id) else { continue };
            let in_sync = node.process.as_ref().is_some_and(|p| shard.in_sync.contains(&p.me));
            let is_out = self.truth.nodes[id].out.is_some();
            node.away_by_plan = is_out || (node.away_by_plan && !in_sync);
            let well = node.is_well(now_ms) && node.leaving_until_ms.is_none();
            if in_sync && well {
                node.whole_since_ms.get_or_insert(now_ms);
            } else if !node.away_by_plan {
                node.whole_since_ms = None;
            }
        }
    }

    /// Its machine goes down. It comes back with what its disk had synced, or empty, another in its place; and that at once,
    /// later, or not before everything else is over.
    fn lose_dataset(&mut self, id: NodeId) {
        self.kill(id);
        let is_pair = self.truth.shard_of_node(id).is_some_and(|shard| shard.nodes.len() == 2);
        let away_ms = match self.side.below(8) {
            0 => CHAOS_MS.saturating_sub(self.now_ms),
            1..5 if is_pair => self.side.below(AWAY_MS),
            _ => 0,
        };
        let keeps_disk = self.side.chance(1, 2);
        self.note(id, if keeps_disk { "loses its machine for a while" } else { "loses its machine" });
        let node = self.failing(id);
        node.start_at_ms += away_ms;
        if is_pair || !keeps_disk {
            // Whoever counts on it for a step counts on what it holds.
            node.whole_since_ms = None;
        }
        let World { nodes, side, .. } = self;
        let disk = &mut nodes.get_mut(&id).expect("it is a node").disk;
        match keeps_disk {
            true => disk.lose_unsynced(side),
            false => *disk = Disk::default(),
        }
        self.datasets_lost += 1;
    }

    /// For the report of a run that fails.
    pub(crate) fn note(&mut self, id: NodeId, what: &'static str) {
        self.happened.push((self.now_ms, Happened::Fault(id, what)));
    }

    /// Something goes wrong with the node. While it is out for its step nobody counts on it.
    fn failing(&mut self, id: NodeId) -> &mut Node {
        let is_out = self.truth.nodes[&id].out.is_some();
        let node = self.nodes.get_mut(&id).expect("it is a node");
        if !is_out {
            node.whole_since_ms = None;
        }
        node
    }

    /// kill -9: what it held in memory is gone.
    pub(crate) fn kill(&mut self, id: NodeId) {
        let start_at_ms = self.now_ms + self.rng.below(600);
        self.lose_requests(id);
        let node = self.nodes.get_mut(&id).expect("it is a node");
        if node.process.take().is_none() {
            return;
        }
        self.kills += 1;
        self.note(id, "is killed");
        let node = self.nodes.get_mut(&id).expect("it is a node");
        if node.disk.checkpoint.is_none() {
            // Whoever is out for its step takes along what it wrote down when it stopped: it had not come to that.
            (node.whole_since_ms, node.away_by_plan) = (None, false);
        }
        node.start_at_ms = start_at_ms;
        node.leaving_until_ms = None;
        node.launcher.daemon_died();
    }
}

fn others(shard: &Shard, id: NodeId) -> impl Iterator<Item = NodeId> {
    shard.nodes.iter().copied().filter(move |n| *n != id)
}
