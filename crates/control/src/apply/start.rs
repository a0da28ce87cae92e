//! May a plan start, and what it starts from.

use super::Result;
use crate::plan::{Direction, Outcome, Phase, Plan, PlanOptions, StartedBy};
use crate::rejection::{Applied, NotByPolicy, Rejection};
use crate::state::{ControlState, ReleaseInfo, StageHold};
use ironcache_types::{Digest, NodeId, PlanId, Release, ShardId, Version};
use std::collections::BTreeMap;

impl ControlState {
    /// Could an operator's plan to `target` start now? The release it would roll out, or what stands against it.
    ///
    /// # Errors
    /// The guardrail that refuses.
    pub fn check_plan(&self, target: &Version) -> Result<Release> {
        self.check_start(target, None, StartedBy::Operator)
    }

    /// Could the policy start a plan to `target` by itself?
    ///
    /// # Errors
    /// The guardrail that refuses, or [`Rejection::NotByPolicy`].
    pub fn check_plan_by_policy(&self, target: &Version) -> Result<Release> {
        self.check_start(target, None, StartedBy::Policy)
    }

    /// `digest` is what the proposer takes the version for.
    fn check_start(&self, target: &Version, digest: Option<Digest>, by: StartedBy) -> Result<Release> {
        self.check_no_plan(by)?;
        self.check_no_change()?;
        self.check_unfinished(target)?;
        let everybody_runs_it =
            !self.nodes.is_empty() && self.nodes.values().all(|n| n.release.version == *target);
        if everybody_runs_it && self.unfinished.is_none() {
            return Err(Rejection::SameVersion { version: target.clone() });
        }
        let info = self
            .release_by_version(target)
            .ok_or_else(|| Rejection::UnknownRelease { version: target.clone() })?;
        if let Some(digest) = digest.filter(|digest| *digest != info.release.digest) {
            let (version, known) = (target.clone(), info.release.digest);
            return Err(Rejection::OtherDigest { version, asked: digest.short(), known: known.short() });
        }
        self.refuse_quarantined(info.release.digest)?;
        self.check_ranges(info)?;
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return Err(Rejection::NodeOut { node: node.id });
        }
        self.check_redundancy()?;
        match by {
            StartedBy::Operator => {}
            StartedBy::Policy => self.check_policy_admits(info)?,
        }
        Ok(info.release.clone())
    }

    /// An operator's plan takes the place of one that the policy started and that has done nothing yet.
    fn check_no_plan(&self, by: StartedBy) -> Result<()> {
        let Some(plan) = &self.plan else { return Ok(()) };
        let (id, target) = (plan.id, plan.target.version.clone());
        match (&plan.phase, plan.started_by, by) {
            (Phase::Soaking { .. }, _, _) => Err(Rejection::Soaking { plan: id, target }),
            (Phase::Staging | Phase::Paused, StartedBy::Policy, StartedBy::Operator)
                if plan.steps.is_empty() && plan.direction == Direction::Forward =>
            {
                Ok(())
            }
            (
                Phase::Staging
                | Phase::Rolling
                | Phase::Paused
                | Phase::Held { .. }
                | Phase::TurningBack { .. },
                _,
                _,
            ) => Err(Rejection::PlanActive { plan: id, target, phase: plan.phase_word() }),
        }
    }

    fn check_unfinished(&self, target: &Version) -> Result<()> {
        match &self.unfinished {
            Some(left) if *target != left.target.version && *target != left.origin.version => {
                Err(Rejection::Unfinished {
                    origin: Box::new(left.origin.version.clone()),
                    target: Box::new(left.target.version.clone()),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Can every node go to the release: does it read what is there, and can it be reached from what runs?
    fn check_ranges(&self, info: &ReleaseInfo) -> Result<()> {
        let ReleaseInfo { release, size_bytes: _, min_from, levels, launcher_protocol, hold: _ } = info;
        let version = &release.version;
        if let Some(min_from) = min_from
            && let Some(node) = self.nodes.values().find(|n| n.release.version < *min_from)
        {
            return Err(Rejection::TooOld {
                version: version.clone(),
                min_from: Box::new(min_from.clone()),
                node: node.id,
                runs: Box::new(node.release.version.clone()),
            });
        }
        if !levels.admits(self.cluster_level) {
            let (version, admits, level) = (version.clone(), *levels, self.cluster_level);
            return Err(Rejection::CannotRead { version, admits, level });
        }
        if let Some(node) = self.nodes.values().find(|n| n.oldest < levels.min) {
            let (version, admits, oldest) = (version.clone(), *levels, node.oldest);
            return Err(Rejection::OlderFiles { version, admits, node: node.id, oldest });
        }
        let overlap = |node: &&crate::state::Node| {
            node.launcher_protocol.min <= launcher_protocol.max
                && launcher_protocol.min <= node.launcher_protocol.max
        };
        if let Some(node) = self.nodes.values().find(|n| !overlap(n)) {
            return Err(Rejection::LauncherTooOld {
                version: version.clone(),
                speaks: *launcher_protocol,
                node: node.id,
                launcher: node.launcher_protocol,
            });
        }
        Ok(())
    }

    /// Is there somebody to take over whatever a step takes away?
    fn check_redundancy(&self) -> Result<()> {
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
            let (left, min_in_sync) = (shard.nodes.len() - 1, self.policy.min_in_sync);
            if left < usize::from(min_in_sync) {
                return Err(Rejection::MinInSync { shard: shard.id, left, min_in_sync });
            }
            if shard.primary().is_none() {
                return Err(Rejection::Recovering { shard: shard.id });
            }
        }
        Ok(())
    }

    fn check_policy_admits(&self, info: &ReleaseInfo) -> Result<()> {
        let Release { version, digest } = &info.release;
        let refuse = |why| Err(Rejection::NotByPolicy { version: version.clone(), why });
        if let Some(declined) = self.declined.get(digest) {
            return Err(Rejection::Declined {
                version: version.clone(),
                plan: declined.plan,
                reason: declined.reason.clone(),
            });
        }
        match info.hold {
            StageHold::None => {}
            StageHold::Held => return refuse(NotByPolicy::Held),
        }
        let auto = self.policy.auto_rollout;
        if let Some(node) = self.nodes.values().find(|n| !auto.admits(&n.release.version, version)) {
            return refuse(NotByPolicy::Policy { auto, running: node.release.version.clone() });
        }
        match self.nodes.values().find(|n| !n.staged.contains(digest)) {
            Some(node) => refuse(NotByPolicy::NotHeld { node: node.id }),
            None => Ok(()),
        }
    }

    pub(super) fn start_plan(
        &mut self,
        target: &Release,
        options: PlanOptions,
        leader: NodeId,
        started_by: StartedBy,
        at_ms: u64,
    ) -> Result {
        let target = self.check_start(&target.version, Some(target.digest), started_by)?;
        self.check_node(leader)?;
        if self.plan.is_some() {
            self.end_plan(Outcome::Superseded, at_ms)?;
        }
        let origin = self.origin_of(&target);
        let epoch = self.fresh_epoch();
        let id = PlanId(self.last_plan.0 + 1);
        self.last_plan = id;
        self.plan = Some(Plan {
            id,
            started_by,
            direction: Direction::Forward,
            origin,
            target,
            turn: epoch,
            options,
            phase: Phase::Staging,
            epoch,
            start_leader: leader,
            start_primaries: self.primaries(),
            steps: Vec::new(),
            handovers: Vec::new(),
            started_at_ms: at_ms,
        });
        Ok(Applied::PlanStarted { plan: id })
    }

    /// Where a rollback of a plan to `target` would lead: what most nodes run, or what an aborted plan came from.
    fn origin_of(&self, target: &Release) -> Release {
        match &self.unfinished {
            Some(left) if left.target == *target => left.origin.clone(),
            Some(left) if left.origin == *target => left.target.clone(),
            Some(_) | None => self.common_release().unwrap_or_else(|| target.clone()),
        }
    }

    /// The release that most nodes run; of equals the greatest version.
    fn common_release(&self) -> Option<Release> {
        let count = |r: &Release| self.nodes.values().filter(|n| n.release == *r).count();
        self.nodes.values().map(|n| &n.release).max_by_key(|r| (count(r), &r.version, r.digest)).cloned()
    }

    pub(super) fn check_node(&self, node: NodeId) -> Result<()> {
        if self.nodes.contains_key(&node) { Ok(()) } else { Err(Rejection::UnknownNode { node }) }
    }

    pub(super) fn primaries(&self) -> BTreeMap<ShardId, NodeId> {
        self.shards.values().filter_map(|s| s.primary().map(|p| (s.id, p.node))).collect()
    }
}
