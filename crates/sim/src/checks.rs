//! What must never be, looked at after every entry and every tick. The invariants of the log itself are checked by `apply`;
//! an entry that it refuses for their sake ends the run.

use crate::ledger::MAX_LAG;
use crate::stream::Store;
use crate::world::{SLOW_PER_MILLE, World};
use ironcache_control::{AckMode, Command, ControlState, LogId, Outcome, Phase, Plan, Recover, Shard};
use ironcache_types::{Member, NodeId, ShardId};

/// The coordinator's bar, and some elections, stalls and lost proposals on top.
const HANDOVER_MS_MAX: u64 = 3_000;

impl World {
    /// After an accepted entry.
    pub(crate) fn check_entry(&mut self, before: &ControlState) -> Result<(), String> {
        self.check_quarantine()?;
        self.check_soak(before)?;
        for (id, shard) in self.truth.shards.clone() {
            if let Some(old) = before.shards.get(&id)
                && shard.epoch != old.epoch
                && let Some(primary) = shard.primary()
            {
                self.check_start(old, &shard, primary)?;
            }
        }
        Ok(())
    }

    /// Whatever the machines take for the time of day: nothing is final before it has soaked in true time, less what clocks
    /// may drift apart. The simulated operator finalizes nothing.
    fn check_soak(&mut self, before: &ControlState) -> Result<(), String> {
        let soaking = |plan: &&Plan| matches!(plan.phase, Phase::Soaking { .. });
        let was = before.plan.as_ref().filter(soaking);
        let is = self.truth.plan.as_ref().filter(soaking);
        if let Some(plan) = is
            && was.is_none_or(|was| was.epoch != plan.epoch)
        {
            self.soaks_since_ms = self.now_ms;
        }
        let ended = self.truth.history.back().filter(|ended| ended.outcome == Outcome::Finalized);
        let (Some(plan), Some(ended)) = (was.filter(|_| is.is_none()), ended) else { return Ok(()) };
        let soak_ms = plan.options.finalize_after.soak_ms().unwrap_or(u64::MAX);
        let soaked_ms = self.now_ms - self.soaks_since_ms;
        if ended.plan.id == plan.id && soaked_ms + soaked_ms * SLOW_PER_MILLE / 1_000 < soak_ms {
            let id = plan.id;
            return Err(format!("plan {id} is final after {soaked_ms} ms, and was to soak for {soak_ms} ms"));
        }
        Ok(())
    }

    /// A primary starts: it holds every acknowledged write, at the offset that the log says, and so does whoever is in
    /// its set from the start.
    pub(crate) fn check_start(&mut self, old: &Shard, new: &Shard, primary: Member) -> Result<(), String> {
        let Some(held) = self.held(primary) else {
            // It died on the way; its next life will have to register first.
            return Ok(());
        };
        // After a whole shard was lost, what a recovery gives up is no breach: the log says that it does. Before, nothing may
        // be given up either.
        if self.shards_lost == 0 || new.losses.recoveries == old.losses.recoveries {
            self.check_loss(new.id, old.mode, primary, held)?;
        }
        let start = new.lineage.last().and_then(|entry| entry.start);
        if let Some(start) = start.filter(|start| *start != held.end()) {
            let has = held.end();
            return Err(format!(
                "{primary} becomes primary of shard {} at {start}, and holds everything up to {has}",
                new.id
            ));
        }
        for member in &new.in_sync {
            if self.held(*member).is_some_and(|other| !other.writes.starts_with(&held.writes)) {
                return Err(format!(
                    "I13: {member} is in sync at the start of epoch {} of shard {}, and lacks what {primary} holds",
                    new.epoch, new.id
                ));
            }
        }
        let World { nodes, ledger, .. } = self;
        if let Some(process) = nodes.get(&primary.node).and_then(|node| node.process.as_ref()) {
            ledger.give_up(new.id, &process.store);
        }
        Ok(())
    }

    /// I13: a member of the set holds every acknowledged write, or in mode primary all but a bounded number.
    fn check_loss(&self, shard: ShardId, mode: AckMode, member: Member, held: &Store) -> Result<(), String> {
        let missing = self.ledger.missing(shard, held);
        let allowed = match mode {
            AckMode::InSync => 0,
            AckMode::Primary => MAX_LAG,
        };
        if missing > allowed {
            return Err(format!(
                "I13: {member} in the set of shard {shard} lacks {missing} acknowledged writes"
            ));
        }
        Ok(())
    }

    /// What that life of a node holds; `None` if it is over.
    fn held(&self, member: Member) -> Option<&Store> {
        self.process(member.node).filter(|p| p.me == member).map(|p| &p.store)
    }

    /// I14: two processes of a shard never both execute writes. I13: of everybody in a set.
    pub(crate) fn check_tick(&mut self) -> Result<(), String> {
        let clocks: Vec<(NodeId, u64)> = self.nodes.keys().map(|id| (*id, self.clock_ms(*id))).collect();
        for (id, clock_ms) in clocks {
            if let Some(process) = self.process_mut(id) {
                process.engine.look_at_lease(clock_ms);
            }
        }
        for (id, shard) in &self.truth.shards {
            self.check_kept(*id, shard)?;
            let executes = |n: &&NodeId| self.process(**n).is_some_and(|p| p.engine.is_serving());
            let executing: Vec<&NodeId> = shard.nodes.iter().filter(executes).collect();
            if executing.len() > 1 {
                return Err(format!("I14: {executing:?} execute writes of shard {id} at once"));
            }
            if let Some(node) = executing.iter().find(|n| shard.primary().map(|p| p.node) != Some(***n)) {
                return Err(format!(
                    "I14: {node} executes writes of shard {id}, which it does not own any more"
                ));
            }
            for member in &shard.in_sync {
                if let Some(held) = self.held(*member) {
                    self.check_loss(*id, shard.mode, *member, held)?;
                }
            }
        }
        Ok(())
    }

    /// Whoever decides does not ask for what the state that it saw refuses.
    pub(crate) fn check_proposal(&self, proposer: NodeId, command: &Command) -> Result<(), String> {
        let Some(process) = self.process(proposer) else { return Ok(()) };
        let term = match command {
            Command::Failover { term, .. }
            | Command::BeginRecovery { term, .. }
            | Command::Recover(Recover { term, .. }) => *term,
            _ => 0,
        };
        let at = LogId { term, index: process.applied as u64 + 1 };
        match ControlState::clone(&process.view).apply(at, command) {
            Ok(_) => Ok(()),
            Err(rejection) => {
                Err(format!("{proposer} proposes what its own state refuses ({rejection}): {command:?}"))
            }
        }
    }

    /// A release is blamed only for what a launcher saw it do.
    pub(crate) fn check_quarantine(&self) -> Result<(), String> {
        match self.truth.quarantined.values().next() {
            Some(q) if !self.nodes.values().any(|n| n.launcher.has_blamed) => {
                Err(format!("the release is quarantined for nothing that it did: {}", q.reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// I19: a handover ends within a bound while somebody leads and can commit.
    pub(crate) fn check_handovers(&mut self, tick_ms: u64) -> Result<(), String> {
        let in_flight: Vec<_> =
            self.truth.shards.values().filter_map(|s| Some((s.id, s.handover?.epoch))).collect();
        self.handovers_ms.retain(|flight, _| in_flight.contains(flight));
        if self.leadership.is_none() || !self.has_quorum() {
            return Ok(());
        }
        for flight in in_flight {
            let age_ms = self.handovers_ms.entry(flight).or_default();
            *age_ms += tick_ms;
            if *age_ms > HANDOVER_MS_MAX {
                return Err(format!(
                    "I19: handover {} of shard {} is in flight for {age_ms} ms",
                    flight.1, flight.0
                ));
            }
        }
        Ok(())
    }

    /// A binary is changed only under a node that the log has relieved of every role, and whose primary knows: one that
    /// does not would hold every write back for it.
    pub(crate) fn check_activation(&self, me: Member) -> Result<(), String> {
        let node = &self.truth.nodes[&me.node];
        let in_a_role = self.truth.shards.values().any(|s| s.in_sync.contains(&me) || s.is_primary(me));
        if in_a_role {
            return Err(format!("I5/I18: {me} changes its binary while it has a role"));
        }
        let Some(out) = &node.out else {
            return Err(format!("{me} changes its binary without a step"));
        };
        let primary = self.truth.shard_of_node(me.node).and_then(Shard::primary);
        let gate = primary
            .and_then(|p| self.process(p.node).filter(|process| process.me == p))
            .and_then(|p| Some((p, p.engine.primary()?.gate())));
        match gate.filter(|(_, gate)| gate.committed().contains(&me)) {
            Some((p, _)) if !self.is_cut_between(me.node, p.me.node) => Err(format!(
                "{me} stops at step {} while its primary {} still waits for it: it has applied {} entries of {}",
                out.epoch, p.me, p.applied, out.log_index
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// After the healing: everybody is in service, and every acknowledged write is there.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        for (id, shard) in &self.truth.shards {
            let primary = shard.primary().ok_or_else(|| format!("shard {id} has no primary"))?;
            let held = self.held(primary).ok_or_else(|| format!("{primary} of shard {id} is gone"))?;
            self.check_loss(*id, AckMode::InSync, primary, held)?;
        }
        for process in self.nodes.keys().filter_map(|id| self.process(*id)) {
            if process.applied == self.log.len() && hash(&process.view) != hash(&self.truth) {
                return Err(format!("I17: {} holds another state", process.me));
            }
        }
        Ok(())
    }
}

/// What nodes compare: the hash of a state at its own level. The model's log remembers no answers.
pub(crate) fn hash(state: &ControlState) -> u64 {
    ironcache_formats::state::hash(state, []).expect("no node of a run is above the levels of this build")
}
