//! `apply`: one committed command, one transition.
//!
//! Each room takes one kind of command. All of them check first and change afterwards, and what they change
//! is a copy: a rejection cannot leave anything half done.

mod handover;
mod in_sync;
mod keeper;
mod layout;
mod libraries;
mod members;
mod membership;
#[cfg(feature = "next")]
mod next;
mod ownership;
mod plan;
mod policy;
mod raise;
mod recover;
mod releases;
mod rollback;
mod security;
mod start;
mod step;
mod users;

use crate::command::Command;
use crate::invariants;
use crate::log_id::LogId;
use crate::origin::Origin;
use crate::rejection::{Applied, Rejection};
use crate::shard::Shard;
use crate::state::ControlState;
use ironcache_types::{Epoch, ShardId};
use step::Verdict;

type Result<T = Applied> = std::result::Result<T, Rejection>;

impl ControlState {
    /// Applies the command committed as the entry `at`: accepts it, or rejects it and changes nothing.
    ///
    /// # Errors
    /// A [`Rejection`] that names what the proposer saw and what is.
    pub fn apply(&mut self, at: impl Into<LogId>, command: &Command) -> Result {
        self.apply_of(at, command, None)
    }

    /// As [`ControlState::apply`], of a command that `origin` asked for: what the audit chain says of it. An operator who asks
    /// has to be one still.
    ///
    /// # Errors
    /// As [`ControlState::apply`].
    pub fn apply_of(&mut self, at: impl Into<LogId>, command: &Command, origin: Option<&Origin>) -> Result {
        self.check_asked(origin, command)?;
        let (at, mut next) = (at.into(), self.clone());
        let applied = match next.transition(at, command)? {
            Applied::Unchanged => Applied::Unchanged,
            Applied::Changed { epoch: _ } => {
                next.settle_exposure();
                Applied::Changed { epoch: next.epoch }
            }
            Applied::PlanStarted { plan } => {
                next.settle_exposure();
                Applied::PlanStarted { plan }
            }
        };
        if applied != Applied::Unchanged {
            next.note_audited(self, at, origin, command);
        }
        if let Err(violation) = invariants::check(self, &next) {
            debug_assert!(false, "{command:?} would break {violation}");
            return Err(Rejection::Invariant(violation));
        }
        *self = next;
        Ok(applied)
    }

    fn transition(&mut self, at: LogId, command: &Command) -> Result {
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
                self.begin_handover(at.index, *shard, *shard_epoch, *from, *to, *plan)
            }
            Command::WantKeeper { shard, shard_epoch, node } => self.want_keeper(*shard, *shard_epoch, *node),
            Command::SetKeeper { shard, isr_epoch, primary, keeper, reason: _ } => {
                self.set_keeper(*shard, *isr_epoch, *primary, keeper.as_ref())
            }
            Command::BeginRecovery { shard, shard_epoch, isr_epoch, to, term } => {
                self.begin_recovery(at, *shard, *shard_epoch, *isr_epoch, *to, *term)
            }
            Command::Promote { shard, handover, to, offset, in_sync } => {
                self.promote(*shard, *handover, *to, *offset, in_sync)
            }
            Command::AbortHandover { shard, handover } => self.abort_handover(*shard, *handover),
            Command::ReportHandover { shard, epoch, stall_us } => {
                self.report_handover(*shard, *epoch, *stall_us)
            }
            Command::Failover { shard, shard_epoch, isr_epoch, to, term } => {
                self.failover(at, *shard, *shard_epoch, *isr_epoch, *to, *term)
            }
            Command::Reclaim { shard, shard_epoch, member, of, end } => {
                self.reclaim(*shard, *shard_epoch, *member, *of, *end)
            }
            Command::Recover(recover) => self.recover(at, recover),
            Command::PrimaryReady { shard, epoch, start } => self.primary_ready(*shard, *epoch, *start),
            Command::RegisterRelease { info } => self.register_release(info),
            Command::ReportStaged { node, digest } => self.report_staged(*node, *digest),
            Command::StartPlan { target, options, leader, started_by, at_ms } => {
                self.start_plan(target, *options, *leader, *started_by, *at_ms)
            }
            Command::BeginRolling { plan, plan_epoch } => self.begin_rolling(*plan, *plan_epoch),
            Command::UpgradeSelf { plan, plan_epoch, member, at_ms } => {
                self.upgrade_self(at.index, *plan, *plan_epoch, *member, *at_ms)
            }
            Command::Confirm { plan, step, member, digest } => self.confirm(*plan, *step, *member, *digest),
            Command::Confirmed { plan, step, member, digest, at_ms } => {
                self.confirmed(*plan, *step, *member, *digest, *at_ms)
            }
            Command::StepFailed { plan, step, member, reason, quarantine, at_ms } => {
                let verdict = if *quarantine { Verdict::Failed } else { Verdict::Inconclusive };
                self.step_failed(*plan, *step, *member, reason, verdict, *at_ms)
            }
            Command::Hold { plan, plan_epoch, reason } => self.hold(*plan, *plan_epoch, reason),
            Command::Pause { plan } => self.pause(*plan),
            Command::Resume { plan } => self.resume(*plan),
            Command::Abort { plan, at_ms } => self.abort(*plan, *at_ms),
            Command::Finalize { plan, plan_epoch, level, at_ms } => {
                self.finalize(*plan, *plan_epoch, *level, *at_ms)
            }
            Command::BeginSoaking { plan, plan_epoch, at_ms } => {
                self.begin_soaking(*plan, *plan_epoch, *at_ms)
            }
            Command::Soaked { plan, plan_epoch, ms } => self.soaked(*plan, *plan_epoch, *ms),
            Command::Rollback { plan, plan_epoch, reason } => self.rollback(*plan, *plan_epoch, reason),
            Command::TurnBack { plan, plan_epoch, leader } => self.turn_back(*plan, *plan_epoch, *leader),
            Command::ReportPreflight { member, digest, turn, problem } => {
                self.report_preflight(*member, *digest, *turn, problem.as_ref())
            }
            Command::LevelReached { member, oldest } => self.level_reached(*member, *oldest),
            Command::SetPolicy { seen, policy } => self.set_policy(*seen, policy),
            Command::AllowRelease { digest } => self.allow_release(*digest),
            Command::AddNode { spec, replaces, admitted } => {
                self.add_node(spec, *replaces, admitted.as_ref())
            }
            Command::RemoveNode { node } => self.remove_node(*node),
            Command::NodeLeft { change, node } => self.node_left(*change, *node),
            Command::MembershipDone { change } => self.membership_done(*change),
            Command::AddOperator { by, key, name, role } => self.add_operator(*by, *key, name, *role),
            Command::RevokeOperator { by, key } => self.revoke_operator(*by, *key),
            Command::ChangeUsers { seen, by: _, set, deleted } => self.change_users(*seen, set, deleted),
            Command::ChangeLibraries { seen, by: _, set, deleted } => {
                self.change_libraries(*seen, set, deleted)
            }
            #[cfg(feature = "next")]
            Command::SetZone { node, zone } => self.set_zone(*node, zone),
            Command::Rejoin { step, member } => self.rejoin(*step, *member),
        }
    }

    fn shard(&self, id: ShardId) -> Result<&Shard> {
        self.shards.get(&id).ok_or(Rejection::UnknownShard { shard: id })
    }

    fn shard_mut(&mut self, id: ShardId) -> Result<&mut Shard> {
        self.shards.get_mut(&id).ok_or(Rejection::UnknownShard { shard: id })
    }

    fn changed(&self) -> Result {
        Ok(Applied::Changed { epoch: self.epoch })
    }
}

fn stale(what: String, seen: Epoch, current: Epoch) -> Rejection {
    Rejection::StaleEpoch { what, seen, current }
}
