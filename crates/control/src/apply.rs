//! `apply`: one committed command, one transition.

use crate::command::{Command, InitCluster};
use crate::invariants;
use crate::plan::{
    HandoverRecord, HistoryEntry, HoldReason, Outcome, Phase, Plan, StepRecord, StepRole, StepState,
};
use crate::rejection::{Applied, Rejection};
use crate::shard::{AckMode, Handover, LineageEntry, Ownership, Shard};
use crate::state::{ControlState, Node, NodeRole, OutStep, Quarantine, ReleaseInfo, TrialPhase};
use ironcache_types::{Digest, Epoch, Member, NodeId, Offset, PlanId, SLOT_COUNT, ShardId, Version};
use std::collections::BTreeSet;

type Result<T = Applied> = std::result::Result<T, Rejection>;

impl ControlState {
    /// Applies the command committed at `log_index`: accepts it, or rejects it and changes nothing.
    ///
    /// # Errors
    /// A [`Rejection`] that names what the proposer saw and what is.
    pub fn apply(&mut self, log_index: u64, command: &Command) -> Result {
        let mut next = self.clone();
        let applied = next.transition(log_index, command)?;
        if let Err(violation) = invariants::check(self, &next) {
            debug_assert!(false, "{command:?} would break {violation}");
            return Err(Rejection::Invariant(violation));
        }
        *self = next;
        Ok(applied)
    }

    fn transition(&mut self, log_index: u64, command: &Command) -> Result {
        if self.cluster_id.is_none() && !matches!(command, Command::InitCluster(_)) {
            return Err(Rejection::NoCluster);
        }
        match command {
            Command::InitCluster(init) => self.init_cluster(init),
            Command::RegisterNode { .. } => self.register_node(command),
            Command::AddInSync { shard, isr_epoch, primary, member } => {
                self.add_in_sync(*shard, *isr_epoch, *primary, *member)
            }
            Command::RemoveInSync { shard, isr_epoch, primary, member, reason: _ } => {
                self.remove_in_sync(*shard, *isr_epoch, *primary, *member)
            }
            Command::SetMode { shard, isr_epoch, primary, mode } => {
                self.set_mode(*shard, *isr_epoch, *primary, *mode)
            }
            Command::BeginHandover { shard, shard_epoch, from, to, plan } => {
                self.begin_handover(log_index, *shard, *shard_epoch, *from, *to, *plan)
            }
            Command::Promote { shard, handover, to, offset, in_sync } => {
                self.promote(*shard, *handover, *to, *offset, in_sync)
            }
            Command::AbortHandover { shard, handover } => self.abort_handover(*shard, *handover),
            Command::ReportHandover { shard, epoch, stall_us } => {
                self.report_handover(*shard, *epoch, *stall_us)
            }
            Command::Failover { shard, shard_epoch, to } => self.failover(*shard, *shard_epoch, *to),
            Command::Reclaim { shard, shard_epoch, member, end } => {
                self.reclaim(*shard, *shard_epoch, *member, *end)
            }
            Command::PrimaryReady { shard, epoch, start } => self.primary_ready(*shard, *epoch, *start),
            Command::RegisterRelease { info } => self.register_release(info),
            Command::ReportStaged { node, digest } => self.report_staged(*node, *digest),
            Command::StartPlan { target, options, leader, at_ms } => {
                let plan = self.check_plan(target)?;
                let epoch = self.fresh_epoch();
                let id = PlanId(self.last_plan.0 + 1);
                self.last_plan = id;
                self.plan = Some(Plan {
                    id,
                    from: self.common_version(),
                    target: plan,
                    options: *options,
                    phase: Phase::Staging,
                    epoch,
                    start_leader: *leader,
                    start_primaries: self
                        .shards
                        .values()
                        .filter_map(|s| s.primary().map(|p| (s.id, p.node)))
                        .collect(),
                    steps: Vec::new(),
                    handovers: Vec::new(),
                    started_at_ms: *at_ms,
                });
                Ok(Applied::PlanStarted { plan: id })
            }
            Command::BeginRolling { plan, plan_epoch } => self.begin_rolling(*plan, *plan_epoch),
            Command::UpgradeSelf { plan, plan_epoch, member, at_ms } => {
                self.upgrade_self(log_index, *plan, *plan_epoch, *member, *at_ms)
            }
            Command::Confirm { plan, step, member, digest } => self.confirm(*plan, *step, *member, *digest),
            Command::Confirmed { plan, step, member, digest, at_ms } => {
                self.confirmed(*plan, *step, *member, *digest, *at_ms)
            }
            Command::StepFailed { plan, step, member, reason, quarantine, at_ms } => {
                let verdict = if *quarantine { Verdict::Failed } else { Verdict::Inconclusive };
                self.step_failed(*plan, *step, *member, reason, verdict, *at_ms)
            }
            Command::Hold { plan, plan_epoch, reason } => {
                self.plan_at(*plan, *plan_epoch)?;
                self.set_phase(Phase::Held { reason: reason.clone() })
            }
            Command::Pause { plan } => match self.active_plan(*plan)?.phase {
                Phase::Paused => Ok(Applied::Unchanged),
                Phase::Staging | Phase::Rolling => self.set_phase(Phase::Paused),
                Phase::Held { .. } => Err(self.wrong_phase("staging or rolling")),
            },
            Command::Resume { plan } => self.resume(*plan),
            Command::Abort { plan, at_ms } => self.abort(*plan, *at_ms),
            Command::Finalize { plan, plan_epoch, at_ms } => self.finalize(*plan, *plan_epoch, *at_ms),
        }
    }

    fn init_cluster(&mut self, init: &InitCluster) -> Result {
        let InitCluster { cluster_id, nodes, shards, mode } = init;
        if let Some(existing) = self.cluster_id {
            return if existing == *cluster_id {
                Ok(Applied::Unchanged)
            } else {
                Err(Rejection::ClusterExists)
            };
        }
        check_layout(init)?;
        self.cluster_id = Some(*cluster_id);
        self.cluster_level = 1;
        for spec in nodes {
            self.nodes.insert(
                spec.member.node,
                Node {
                    id: spec.member.node,
                    client_addr: spec.client_addr.clone(),
                    peer_addr: spec.peer_addr.clone(),
                    http_addr: spec.http_addr.clone(),
                    role: spec.role,
                    voter: spec.voter,
                    shard: spec.shard,
                    incarnation: spec.member.incarnation,
                    release: spec.release.clone(),
                    wire: spec.wire,
                    staged: BTreeSet::new(),
                    out: None,
                },
            );
        }
        for spec in shards {
            let epoch = self.fresh_epoch();
            let primary = self.nodes[&spec.nodes[0]].member();
            self.shards.insert(
                spec.id,
                Shard {
                    id: spec.id,
                    slots: spec.slots.clone(),
                    nodes: spec.nodes.clone(),
                    ownership: Ownership::Serving(primary),
                    epoch,
                    isr_epoch: epoch,
                    in_sync: BTreeSet::from([primary]),
                    mode: *mode,
                    steady_mode: *mode,
                    lineage: vec![LineageEntry { epoch, start: Some(Offset(0)) }],
                    handover: None,
                },
            );
        }
        self.changed()
    }

    fn register_node(&mut self, command: &Command) -> Result {
        let Command::RegisterNode { member, client_addr, peer_addr, http_addr, release, wire } = command
        else {
            unreachable!("called for RegisterNode only")
        };
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if member.incarnation < node.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        let next = Node {
            client_addr: client_addr.clone(),
            peer_addr: peer_addr.clone(),
            http_addr: http_addr.clone(),
            incarnation: member.incarnation,
            release: release.clone(),
            wire: *wire,
            ..node.clone()
        };
        if next == *node {
            return Ok(Applied::Unchanged);
        }
        self.nodes.insert(member.node, next);
        let epoch = self.fresh_epoch();
        for shard in self.shards.values_mut() {
            shard.revoke(member.node, member.incarnation, epoch);
        }
        self.changed()
    }

    fn add_in_sync(&mut self, id: ShardId, isr_epoch: Epoch, primary: Member, member: Member) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        if node.out.is_some() {
            return Err(Rejection::NodeOut { node: member.node });
        }
        let shard = &self.shards[&id];
        if !shard.nodes.contains(&member.node) {
            return Err(Rejection::NotAReplica { shard: id, member });
        }
        if shard.in_sync.contains(&member) {
            return Ok(Applied::Unchanged);
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.in_sync.insert(member);
        shard.isr_epoch = epoch;
        self.changed()
    }

    fn remove_in_sync(&mut self, id: ShardId, isr_epoch: Epoch, primary: Member, member: Member) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        if member == primary {
            return Err(Rejection::IsPrimary { shard: id, member });
        }
        if !self.shards[&id].in_sync.contains(&member) {
            return Ok(Applied::Unchanged);
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.in_sync.remove(&member);
        shard.isr_epoch = epoch;
        self.changed()
    }

    fn set_mode(&mut self, id: ShardId, isr_epoch: Epoch, primary: Member, mode: AckMode) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        if self.shards[&id].mode == mode {
            return Ok(Applied::Unchanged);
        }
        if mode == AckMode::Primary && self.plan.is_some() {
            return Err(Rejection::DuringPlan { what: "weakening the acknowledgement mode".to_owned() });
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.mode = mode;
        shard.isr_epoch = epoch;
        self.changed()
    }

    fn begin_handover(
        &mut self,
        log_index: u64,
        id: ShardId,
        shard_epoch: Epoch,
        from: Member,
        to: Member,
        plan: Option<PlanId>,
    ) -> Result {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        if !shard.is_primary(from) {
            return Err(Rejection::NotPrimary { shard: id, member: from });
        }
        if from == to {
            return Err(Rejection::IsPrimary { shard: id, member: to });
        }
        if !shard.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        match (&self.plan, plan) {
            (Some(active), Some(plan)) if active.id == plan => {
                if !matches!(active.phase, Phase::Rolling) {
                    return Err(self.wrong_phase("rolling"));
                }
                if self.nodes[&to.node].release.digest != active.target.digest {
                    return Err(Rejection::NotOnTarget { node: to.node });
                }
            }
            (None, None) => {}
            (Some(_), None) => return Err(Rejection::DuringPlan { what: "a handover by hand".to_owned() }),
            (_, Some(plan)) => return Err(Rejection::OtherPlan { plan }),
        }
        let epoch = self.fresh_epoch();
        self.shard_mut(id)?.handover = Some(Handover { epoch, from, to, log_index });
        self.changed()
    }

    fn promote(
        &mut self,
        id: ShardId,
        handover: Epoch,
        to: Member,
        offset: Offset,
        in_sync: &BTreeSet<Member>,
    ) -> Result {
        let shard = self.shard(id)?;
        let flight = shard
            .handover
            .filter(|h| h.epoch == handover)
            .ok_or(Rejection::NoSuchHandover { shard: id, handover })?;
        if flight.to != to || !shard.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        // Nobody gets in by this door who was not in sync before.
        let kept: BTreeSet<Member> =
            shard.in_sync.iter().copied().filter(|m| *m == to || in_sync.contains(m)).collect();
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(to, epoch, Some(offset));
        shard.in_sync = kept;
        if let Some(plan) = &mut self.plan {
            plan.handovers.push(HandoverRecord {
                shard: id,
                from: flight.from.node,
                to: to.node,
                epoch,
                stall_us: None,
            });
        }
        self.changed()
    }

    fn abort_handover(&mut self, id: ShardId, handover: Epoch) -> Result {
        let shard = self.shard(id)?;
        if shard.handover.is_none_or(|h| h.epoch != handover) {
            return Err(Rejection::NoSuchHandover { shard: id, handover });
        }
        self.fresh_epoch();
        self.shard_mut(id)?.handover = None;
        self.changed()
    }

    fn report_handover(&mut self, id: ShardId, epoch: Epoch, stall_us: u64) -> Result {
        self.shard(id)?;
        let ended = self.history.back_mut().map(|h| &mut h.plan);
        let record = self
            .plan
            .as_mut()
            .into_iter()
            .chain(ended)
            .flat_map(|plan| plan.handovers.iter_mut())
            .find(|h| h.shard == id && h.epoch == epoch);
        match record {
            Some(record) if record.stall_us.is_none() => {
                record.stall_us = Some(stall_us);
                self.changed()
            }
            // By hand, or reported before: there is nothing to keep.
            Some(_) | None => Ok(Applied::Unchanged),
        }
    }

    fn failover(&mut self, id: ShardId, shard_epoch: Epoch, to: Member) -> Result {
        let shard = self.recovering(id, shard_epoch)?;
        if !shard.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(to, epoch, None);
        // The others prove themselves again: what each holds of the old epoch is not known here.
        shard.in_sync = BTreeSet::from([to]);
        self.changed()
    }

    fn reclaim(&mut self, id: ShardId, shard_epoch: Epoch, member: Member, end: Offset) -> Result {
        let shard = self.recovering(id, shard_epoch)?;
        let Ownership::Recovering { last } = shard.ownership else {
            return Err(Rejection::StillServing { shard: id });
        };
        let registered = self.nodes.get(&member.node).map(|n| n.incarnation);
        if last.node != member.node || registered != Some(member.incarnation) || !shard.in_sync.is_empty() {
            return Err(Rejection::NotInSync { shard: id, member });
        }
        if self.nodes[&member.node].out.is_some() {
            return Err(Rejection::NodeOut { node: member.node });
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(member, epoch, Some(end));
        shard.in_sync = BTreeSet::from([member]);
        self.changed()
    }

    fn primary_ready(&mut self, id: ShardId, epoch: Epoch, start: Offset) -> Result {
        let shard = self.shard_mut(id)?;
        match shard.lineage.iter_mut().find(|entry| entry.epoch == epoch) {
            Some(entry) if entry.start.is_none() => entry.start = Some(start),
            Some(_) => return Ok(Applied::Unchanged),
            None => {
                let current = shard.epoch;
                return Err(stale(format!("shard {id}"), epoch, current));
            }
        }
        self.changed()
    }

    fn register_release(&mut self, info: &ReleaseInfo) -> Result {
        let release = &info.release;
        if let Some(known) = self.release_by_version(&release.version)
            && known.release.digest != release.digest
        {
            return Err(Rejection::VersionTaken {
                version: release.version.clone(),
                digest: known.release.digest.short(),
            });
        }
        if let Some(q) = self.quarantined.get(&release.digest) {
            return Err(Rejection::Quarantined {
                version: q.version.clone(),
                node: q.node,
                reason: q.reason.clone(),
            });
        }
        if self.releases.get(&release.digest) == Some(info) {
            return Ok(Applied::Unchanged);
        }
        self.releases.insert(release.digest, info.clone());
        self.changed()
    }

    fn report_staged(&mut self, id: NodeId, digest: Digest) -> Result {
        let node = self.nodes.get_mut(&id).ok_or(Rejection::UnknownNode { node: id })?;
        if !node.staged.insert(digest) {
            return Ok(Applied::Unchanged);
        }
        self.changed()
    }

    /// Could a plan to `target` start now? The release it would roll out, or what stands against it.
    ///
    /// # Errors
    /// The guardrail that refuses.
    pub fn check_plan(&self, target: &Version) -> Result<ironcache_types::Release> {
        if let Some(plan) = &self.plan {
            return Err(Rejection::PlanActive {
                plan: plan.id,
                target: plan.target.version.clone(),
                phase: plan.phase.to_string(),
            });
        }
        if self.nodes.values().all(|n| n.release.version == *target) && !self.nodes.is_empty() {
            return Err(Rejection::SameVersion { version: target.clone() });
        }
        let info = self
            .release_by_version(target)
            .ok_or_else(|| Rejection::UnknownRelease { version: target.clone() })?;
        let release = &info.release;
        if let Some(q) = self.quarantined.get(&release.digest) {
            return Err(Rejection::Quarantined {
                version: target.clone(),
                node: q.node,
                reason: q.reason.clone(),
            });
        }
        if let Some(min_from) = &info.min_from
            && let Some(node) = self.nodes.values().find(|n| n.release.version < *min_from)
        {
            return Err(Rejection::TooOld {
                version: target.clone(),
                min_from: Box::new(min_from.clone()),
                node: node.id,
                runs: Box::new(node.release.version.clone()),
            });
        }
        if self.nodes.len() == 1 {
            return Err(Rejection::SingleNode);
        }
        let (voters, majority) = (self.voters().count(), self.majority());
        if voters - 1 < majority {
            return Err(Rejection::NoQuorumToSpare { voters, left: voters - 1, majority });
        }
        for shard in self.shards.values() {
            if shard.nodes.len() < 2 {
                return Err(Rejection::NoReplica { shard: shard.id });
            }
            if shard.primary().is_none() {
                return Err(Rejection::Recovering { shard: shard.id });
            }
        }
        Ok(release.clone())
    }

    fn begin_rolling(&mut self, plan: PlanId, plan_epoch: Epoch) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        let digest = active.target.digest;
        if active.phase != Phase::Staging {
            return Err(self.wrong_phase("staging"));
        }
        if let Some(node) =
            self.nodes.values().find(|n| !n.staged.contains(&digest) && n.release.digest != digest)
        {
            return Err(Rejection::NotStaged { node: node.id });
        }
        if let Some(shard) = self.shards.values().find(|s| s.mode != AckMode::InSync) {
            return Err(Rejection::ModeTooWeak { shard: shard.id });
        }
        self.set_phase(Phase::Rolling)
    }

    fn upgrade_self(
        &mut self,
        log_index: u64,
        id: PlanId,
        plan_epoch: Epoch,
        member: Member,
        at_ms: u64,
    ) -> Result {
        let plan = self.plan_at(id, plan_epoch)?;
        if plan.phase != Phase::Rolling {
            return Err(self.wrong_phase("rolling"));
        }
        let target = plan.target.clone();
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        if node.release.digest == target.digest {
            return Err(Rejection::AlreadyOnTarget { node: member.node });
        }
        if node.out.is_some() {
            return Ok(Applied::Unchanged);
        }
        if let Some(q) = self.quarantined.get(&target.digest) {
            return Err(Rejection::Quarantined {
                version: target.version.clone(),
                node: q.node,
                reason: q.reason.clone(),
            });
        }
        if !node.staged.contains(&target.digest) {
            return Err(Rejection::NotStaged { node: member.node });
        }
        if self.nodes.values().filter(|n| n.out.is_some()).count()
            >= usize::from(plan.options.max_parallel.max(1))
        {
            return Err(Rejection::TooManyOut { max: plan.options.max_parallel });
        }
        if node.voter {
            let (voters, majority) = (self.voters().count(), self.majority());
            let left = voters - self.voters_out() - 1;
            if left < majority {
                return Err(Rejection::NoQuorumToSpare { voters, left, majority });
            }
        }
        let role = match self.shard_of_node(member.node) {
            None => StepRole::Witness,
            Some(shard) => self.check_takeout(plan, shard, member, target.digest)?,
        };
        let (shard, led_raft) = (node.shard, plan.start_leader == member.node);
        let epoch = self.fresh_epoch();
        let node = self.nodes.get_mut(&member.node).expect("looked up above");
        node.out = Some(OutStep { plan: id, epoch, target, log_index, phase: TrialPhase::Told });
        if let Some(shard) = shard.and_then(|id| self.shards.get_mut(&id))
            && shard.in_sync.remove(&member)
        {
            shard.isr_epoch = epoch;
        }
        let plan = self.plan.as_mut().expect("looked up above");
        plan.steps.push(StepRecord {
            node: member.node,
            shard,
            role,
            led_raft,
            epoch,
            state: StepState::Out,
            began_at_ms: at_ms,
            ended_at_ms: None,
        });
        Ok(Applied::Changed { epoch })
    }

    /// May `member` of `shard` be taken out? What it was when the plan began.
    fn check_takeout(&self, plan: &Plan, shard: &Shard, member: Member, target: Digest) -> Result<StepRole> {
        let id = shard.id;
        let Some(primary) = shard.primary() else {
            return Err(Rejection::Recovering { shard: id });
        };
        if primary.node == member.node {
            return Err(Rejection::IsPrimary { shard: id, member });
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        if shard.mode != AckMode::InSync {
            return Err(Rejection::ModeTooWeak { shard: id });
        }
        let others = || shard.nodes.iter().filter(|n| **n != member.node).map(|n| &self.nodes[n]);
        if let Some(other) = others().find(|n| n.out.is_some()) {
            return Err(Rejection::ShardHasNodeOut { shard: id, other: other.id });
        }
        if plan.start_primaries.get(&id) != Some(&member.node) {
            return Ok(StepRole::Replica);
        }
        match others().find(|n| n.release.digest != target) {
            Some(waiting) => {
                Err(Rejection::PrimaryGoesLast { shard: id, node: member.node, waiting: waiting.id })
            }
            None => Ok(StepRole::Primary),
        }
    }

    fn confirm(&mut self, plan: PlanId, step: Epoch, member: Member, digest: Digest) -> Result {
        self.active_plan(plan)?;
        let node = self.stepping(member, step)?;
        if node.release.digest != digest || node.out.as_ref().is_none_or(|o| o.target.digest != digest) {
            return Err(Rejection::NotOnTarget { node: member.node });
        }
        let confirming = TrialPhase::Confirming { incarnation: member.incarnation };
        if node.out.as_ref().is_some_and(|o| o.phase == confirming) {
            return Ok(Applied::Unchanged);
        }
        self.fresh_epoch();
        let node = self.nodes.get_mut(&member.node).expect("looked up above");
        node.out.as_mut().expect("checked above").phase = confirming;
        self.changed()
    }

    fn confirmed(&mut self, plan: PlanId, step: Epoch, member: Member, digest: Digest, at_ms: u64) -> Result {
        self.active_plan(plan)?;
        if self.step_ended(step, &StepState::Confirmed) {
            return Ok(Applied::Unchanged);
        }
        let node = self.stepping(member, step)?;
        if node.release.digest != digest || node.out.as_ref().is_none_or(|o| o.target.digest != digest) {
            return Err(Rejection::NotOnTarget { node: member.node });
        }
        self.end_step(member.node, step, StepState::Confirmed, at_ms);
        self.changed()
    }

    fn step_failed(
        &mut self,
        plan: PlanId,
        step: Epoch,
        member: Member,
        reason: &str,
        verdict: Verdict,
        at_ms: u64,
    ) -> Result {
        self.active_plan(plan)?;
        let state = match verdict {
            Verdict::Failed => StepState::Failed { reason: reason.to_owned() },
            Verdict::Inconclusive => StepState::Inconclusive { reason: reason.to_owned() },
        };
        if self.step_ended(step, &state) {
            return Ok(Applied::Unchanged);
        }
        self.stepping(member, step)?;
        let target = self.active_plan(plan)?.target.clone();
        let held = match verdict {
            Verdict::Failed => {
                let quarantine =
                    Quarantine { version: target.version, node: member.node, reason: reason.to_owned() };
                self.quarantined.insert(target.digest, quarantine);
                HoldReason::StepFailed { node: member.node, reason: reason.to_owned() }
            }
            Verdict::Inconclusive => {
                HoldReason::StepInconclusive { node: member.node, reason: reason.to_owned() }
            }
        };
        self.end_step(member.node, step, state, at_ms);
        self.set_phase(Phase::Held { reason: held })
    }

    fn resume(&mut self, plan: PlanId) -> Result {
        let active = self.active_plan(plan)?;
        let target = active.target.clone();
        match &active.phase {
            Phase::Staging | Phase::Rolling => Ok(Applied::Unchanged),
            Phase::Paused | Phase::Held { .. } => {
                if let Some(q) = self.quarantined.get(&target.digest) {
                    return Err(Rejection::Quarantined {
                        version: target.version,
                        node: q.node,
                        reason: q.reason.clone(),
                    });
                }
                // Staging again: its gates are the ones to pass before any step.
                self.set_phase(Phase::Staging)
            }
        }
    }

    fn abort(&mut self, plan: PlanId, at_ms: u64) -> Result {
        self.active_plan(plan)?;
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return Err(Rejection::NodeOut { node: node.id });
        }
        self.end_plan(Outcome::Aborted, at_ms)
    }

    fn finalize(&mut self, plan: PlanId, plan_epoch: Epoch, at_ms: u64) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        let digest = active.target.digest;
        if active.phase != Phase::Rolling {
            return Err(self.wrong_phase("rolling"));
        }
        if let Some(node) = self.nodes.values().find(|n| n.release.digest != digest) {
            return Err(Rejection::NotOnTarget { node: node.id });
        }
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return Err(Rejection::NodeOut { node: node.id });
        }
        self.cluster_level =
            self.nodes.values().map(|n| n.wire.max).min().unwrap_or(0).max(self.cluster_level);
        self.end_plan(Outcome::Finalized, at_ms)
    }

    fn end_plan(&mut self, outcome: Outcome, ended_at_ms: u64) -> Result {
        let mut plan = self.plan.take().ok_or(Rejection::NoPlan)?;
        plan.epoch = self.fresh_epoch();
        self.history.push_back(HistoryEntry { plan, outcome, ended_at_ms });
        while self.history.len() > Self::HISTORY_MAX {
            self.history.pop_front();
        }
        self.changed()
    }

    fn end_step(&mut self, node: NodeId, step: Epoch, state: StepState, at_ms: u64) {
        self.fresh_epoch();
        if let Some(node) = self.nodes.get_mut(&node) {
            node.out = None;
        }
        let record = self.plan.as_mut().and_then(|p| p.steps.iter_mut().find(|s| s.epoch == step));
        if let Some(record) = record {
            record.state = state;
            record.ended_at_ms = Some(at_ms);
        }
    }

    fn step_ended(&self, step: Epoch, state: &StepState) -> bool {
        self.plan.as_ref().is_some_and(|p| p.steps.iter().any(|s| s.epoch == step && s.state == *state))
    }

    fn stepping(&self, member: Member, step: Epoch) -> Result<&Node> {
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.out.as_ref().is_none_or(|o| o.epoch != step) {
            return Err(Rejection::NoSuchStep { node: member.node, step });
        }
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        Ok(node)
    }

    fn active_plan(&self, id: PlanId) -> Result<&Plan> {
        match &self.plan {
            None => Err(Rejection::NoPlan),
            Some(plan) if plan.id == id => Ok(plan),
            Some(_) => Err(Rejection::OtherPlan { plan: id }),
        }
    }

    fn plan_at(&self, id: PlanId, epoch: Epoch) -> Result<&Plan> {
        let plan = self.active_plan(id)?;
        if plan.epoch != epoch {
            return Err(stale(format!("plan {id}"), epoch, plan.epoch));
        }
        Ok(plan)
    }

    fn wrong_phase(&self, wanted: &str) -> Rejection {
        let phase = self.plan.as_ref().map_or_else(|| "gone".to_owned(), |p| p.phase.to_string());
        Rejection::WrongPhase { phase, wanted: wanted.to_owned() }
    }

    fn set_phase(&mut self, phase: Phase) -> Result {
        let epoch = self.fresh_epoch();
        let plan = self.plan.as_mut().ok_or(Rejection::NoPlan)?;
        plan.phase = phase;
        plan.epoch = epoch;
        self.changed()
    }

    fn check_set_change(&self, id: ShardId, isr_epoch: Epoch, primary: Member) -> Result<()> {
        let shard = self.shard(id)?;
        if !shard.is_primary(primary) {
            return Err(Rejection::NotPrimary { shard: id, member: primary });
        }
        if shard.isr_epoch != isr_epoch {
            return Err(stale(format!("the in-sync set of shard {id}"), isr_epoch, shard.isr_epoch));
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        Ok(())
    }

    fn recovering(&self, id: ShardId, shard_epoch: Epoch) -> Result<&Shard> {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        match shard.ownership {
            Ownership::Recovering { .. } => Ok(shard),
            Ownership::Serving(_) => Err(Rejection::StillServing { shard: id }),
        }
    }

    fn shard(&self, id: ShardId) -> Result<&Shard> {
        self.shards.get(&id).ok_or(Rejection::UnknownShard { shard: id })
    }

    fn shard_mut(&mut self, id: ShardId) -> Result<&mut Shard> {
        self.shards.get_mut(&id).ok_or(Rejection::UnknownShard { shard: id })
    }

    /// The version that most nodes run.
    fn common_version(&self) -> Version {
        let count = |v: &Version| self.nodes.values().filter(|n| n.release.version == *v).count();
        self.nodes
            .values()
            .map(|n| &n.release.version)
            .max_by_key(|v| count(v))
            .cloned()
            .unwrap_or(Version::new(0, 0, 0))
    }

    fn changed(&self) -> Result {
        Ok(Applied::Changed { epoch: self.epoch })
    }
}

#[derive(Clone, Copy)]
enum Verdict {
    Failed,
    Inconclusive,
}

fn stale(what: String, seen: Epoch, current: Epoch) -> Rejection {
    Rejection::StaleEpoch { what, seen, current }
}

fn check_layout(init: &InitCluster) -> Result<()> {
    let bad = |detail: String| Err(Rejection::BadLayout { detail });
    let ids: BTreeSet<NodeId> = init.nodes.iter().map(|n| n.member.node).collect();
    if ids.len() != init.nodes.len() || ids.is_empty() {
        return bad("each node has to be named once".to_owned());
    }
    if !init.nodes.iter().any(|n| n.voter) {
        return bad("at least one node has to vote".to_owned());
    }
    let mut owners = vec![0u8; usize::from(SLOT_COUNT)];
    for shard in &init.shards {
        if shard.nodes.is_empty() {
            return bad(format!("shard {} has no node", shard.id));
        }
        for range in &shard.slots.0 {
            if range.start > range.end || range.end >= SLOT_COUNT {
                return bad(format!("shard {} has the slot range {range}", shard.id));
            }
            for slot in range.start..=range.end {
                owners[usize::from(slot)] = owners[usize::from(slot)].saturating_add(1);
            }
        }
    }
    if let Some(slot) = owners.iter().position(|&count| count != 1) {
        return bad(format!("slot {slot} has {} owners, and one is needed", owners[slot]));
    }
    for node in &init.nodes {
        let of: Vec<ShardId> =
            init.shards.iter().filter(|s| s.nodes.contains(&node.member.node)).map(|s| s.id).collect();
        let fits = match node.role {
            NodeRole::Data => of.len() == 1 && node.shard == of.first().copied(),
            NodeRole::Witness => of.is_empty() && node.shard.is_none(),
        };
        if !fits {
            return bad(format!("node {} does not fit the shards that name it", node.member.node));
        }
    }
    if let Some(unknown) = init.shards.iter().flat_map(|s| &s.nodes).find(|n| !ids.contains(n)) {
        return bad(format!("node {unknown} of a shard is not listed"));
    }
    Ok(())
}
