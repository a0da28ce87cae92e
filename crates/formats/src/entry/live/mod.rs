//! Commands, and the newest version of the body of each kind.
//!
//! *Invariant:* what a live type becomes is said here and never in `vN`, which stays what a release made of it.

mod handover;
mod in_sync;
mod keeper;
mod libraries;
mod members;
mod membership;
mod operators;
mod ownership;
mod plan;
mod policy;
mod release;
mod step;
mod users;

#[cfg(feature = "next")]
use super::next::{RegisterNode, SetZone};
use super::v1::handover::{AbortHandover, BeginHandover, Promote, ReportHandover};
use super::v1::in_sync::{AddInSync, RemoveInSync, SetMode};
use super::v1::keeper::{BeginRecovery, SetKeeper, WantKeeper};
use super::v1::members::{AddNode, MembershipDone, NodeLeft, RemoveNode};
use super::v1::membership::InitCluster;
#[cfg(not(feature = "next"))]
use super::v1::membership::RegisterNode;
use super::v1::operators::{AddOperator, RevokeOperator};
use super::v1::ownership::{Failover, PrimaryReady, Reclaim, Recover};
use super::v1::plan::{
    Abort, BeginRolling, BeginSoaking, Finalize, Hold, Pause, Resume, Rollback, Soaked, StartPlan, TurnBack,
};
use super::v1::policy::{LevelReached, SetPolicy};
use super::v1::release::{AllowRelease, RegisterRelease, ReportStaged};
use super::v1::step::{Confirm, Confirmed, Rejoin, ReportPreflight, StepFailed, UpgradeSelf};
use super::v2::{ChangeLibraries, ChangeUsers};
use super::{EntryKind, SealError};
use crate::BadField;
use crate::wire::{self, WireError};
use ironcache_control::Command;
use ironcache_types::Level;
use serde::de::DeserializeOwned;

/// Live to the body that its kind has at `level`. Every field is named, so a command that gains one does not compile
/// before it has its place here.
#[cfg_attr(not(feature = "next"), expect(unused_variables, reason = "every kind has one version"))]
pub(super) fn encode(command: &Command, level: Level) -> Result<Vec<u8>, SealError> {
    let body = match command {
        Command::InitCluster(init) => wire::encode(&InitCluster::from(init)),
        Command::RegisterNode {
            member,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            release,
            levels,
            launcher_protocol,
            machine,
            #[cfg(feature = "next")]
            zone,
        } => {
            let body = RegisterNode {
                member: (*member).into(),
                client_addr: client_addr.clone(),
                peer_addr: peer_addr.clone(),
                http_addr: http_addr.clone(),
                tls_port: *tls_port,
                release: release.into(),
                levels: (*levels).into(),
                launcher_protocol: (*launcher_protocol).into(),
                machine: machine.0,
                #[cfg(feature = "next")]
                zone: zone.clone(),
            };
            #[cfg(feature = "next")]
            if level < ironcache_types::NEXT {
                return Ok(wire::encode(&body.older(level)?)?);
            }
            wire::encode(&body)
        }
        Command::AddInSync { shard, isr_epoch, primary, member } => wire::encode(&AddInSync {
            shard: shard.0,
            isr_epoch: isr_epoch.0,
            primary: (*primary).into(),
            member: (*member).into(),
        }),
        Command::RemoveInSync { shard, isr_epoch, primary, member, reason } => wire::encode(&RemoveInSync {
            shard: shard.0,
            isr_epoch: isr_epoch.0,
            primary: (*primary).into(),
            member: (*member).into(),
            reason: reason.into(),
        }),
        Command::SetMode { shard, isr_epoch, primary, mode } => wire::encode(&SetMode {
            shard: shard.0,
            isr_epoch: isr_epoch.0,
            primary: (*primary).into(),
            mode: (*mode).into(),
        }),
        Command::BeginHandover { shard, shard_epoch, from, to, plan } => wire::encode(&BeginHandover {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            from: (*from).into(),
            to: (*to).into(),
            plan: plan.map(|plan| plan.0),
        }),
        Command::WantKeeper { shard, shard_epoch, node } => wire::encode(&WantKeeper {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            node: node.map(|node| node.0),
        }),
        Command::SetKeeper { shard, isr_epoch, primary, keeper, reason } => wire::encode(&SetKeeper {
            shard: shard.0,
            isr_epoch: isr_epoch.0,
            primary: (*primary).into(),
            keeper: keeper.map(Into::into),
            reason: reason.into(),
        }),
        Command::BeginRecovery { shard, shard_epoch, isr_epoch, to, term } => wire::encode(&BeginRecovery {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            isr_epoch: isr_epoch.0,
            to: (*to).into(),
            term: *term,
        }),
        Command::Promote { shard, handover, to, offset, in_sync } => wire::encode(&Promote {
            shard: shard.0,
            handover: handover.0,
            to: (*to).into(),
            offset: offset.0,
            in_sync: in_sync.iter().map(|member| (*member).into()).collect(),
        }),
        Command::AbortHandover { shard, handover } => {
            wire::encode(&AbortHandover { shard: shard.0, handover: handover.0 })
        }
        Command::ReportHandover { shard, epoch, stall_us } => {
            wire::encode(&ReportHandover { shard: shard.0, epoch: epoch.0, stall_us: *stall_us })
        }
        Command::Failover { shard, shard_epoch, isr_epoch, to, term } => wire::encode(&Failover {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            isr_epoch: isr_epoch.0,
            to: (*to).into(),
            term: *term,
        }),
        Command::Reclaim { shard, shard_epoch, member, of, end } => wire::encode(&Reclaim {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            member: (*member).into(),
            of: of.0,
            end: end.0,
        }),
        Command::Recover(recover) => wire::encode(&Recover::from(recover)),
        Command::PrimaryReady { shard, epoch, start } => {
            wire::encode(&PrimaryReady { shard: shard.0, epoch: epoch.0, start: start.0 })
        }
        Command::RegisterRelease { info } => wire::encode(&RegisterRelease { info: info.into() }),
        Command::ReportStaged { node, digest } => {
            wire::encode(&ReportStaged { node: node.0, digest: digest.0 })
        }
        Command::StartPlan { target, options, leader, started_by, at_ms } => wire::encode(&StartPlan {
            target: target.into(),
            options: (*options).into(),
            leader: leader.0,
            started_by: (*started_by).into(),
            at_ms: *at_ms,
        }),
        Command::BeginRolling { plan, plan_epoch } => {
            wire::encode(&BeginRolling { plan: plan.0, plan_epoch: plan_epoch.0 })
        }
        Command::UpgradeSelf { plan, plan_epoch, member, at_ms } => wire::encode(&UpgradeSelf {
            plan: plan.0,
            plan_epoch: plan_epoch.0,
            member: (*member).into(),
            at_ms: *at_ms,
        }),
        Command::Confirm { plan, step, member, digest } => {
            wire::encode(&Confirm { plan: plan.0, step: step.0, member: (*member).into(), digest: digest.0 })
        }
        Command::Confirmed { plan, step, member, digest, at_ms } => wire::encode(&Confirmed {
            plan: plan.0,
            step: step.0,
            member: (*member).into(),
            digest: digest.0,
            at_ms: *at_ms,
        }),
        Command::StepFailed { plan, step, member, reason, quarantine, at_ms } => wire::encode(&StepFailed {
            plan: plan.0,
            step: step.0,
            member: (*member).into(),
            reason: reason.into(),
            quarantine: *quarantine,
            at_ms: *at_ms,
        }),
        Command::Hold { plan, plan_epoch, reason } => {
            wire::encode(&Hold { plan: plan.0, plan_epoch: plan_epoch.0, reason: reason.into() })
        }
        Command::Pause { plan } => wire::encode(&Pause { plan: plan.0 }),
        Command::Resume { plan } => wire::encode(&Resume { plan: plan.0 }),
        Command::Abort { plan, at_ms } => wire::encode(&Abort { plan: plan.0, at_ms: *at_ms }),
        Command::Finalize { plan, plan_epoch, level, at_ms } => {
            wire::encode(&Finalize { plan: plan.0, plan_epoch: plan_epoch.0, level: level.0, at_ms: *at_ms })
        }
        Command::BeginSoaking { plan, plan_epoch, at_ms } => {
            wire::encode(&BeginSoaking { plan: plan.0, plan_epoch: plan_epoch.0, at_ms: *at_ms })
        }
        Command::Soaked { plan, plan_epoch, ms } => {
            wire::encode(&Soaked { plan: plan.0, plan_epoch: plan_epoch.0, ms: *ms })
        }
        Command::Rollback { plan, plan_epoch, reason } => {
            wire::encode(&Rollback { plan: plan.0, plan_epoch: plan_epoch.0, reason: reason.into() })
        }
        Command::TurnBack { plan, plan_epoch, leader } => {
            wire::encode(&TurnBack { plan: plan.0, plan_epoch: plan_epoch.0, leader: leader.0 })
        }
        Command::ReportPreflight { member, digest, turn, problem } => wire::encode(&ReportPreflight {
            member: (*member).into(),
            digest: digest.0,
            turn: turn.0,
            problem: problem.as_ref().map(Into::into),
        }),
        Command::LevelReached { member, oldest } => {
            wire::encode(&LevelReached { member: (*member).into(), oldest: oldest.0 })
        }
        Command::SetPolicy { seen, policy } => {
            wire::encode(&SetPolicy { seen: seen.0, policy: policy.into() })
        }
        Command::AllowRelease { digest } => wire::encode(&AllowRelease { digest: digest.0 }),
        Command::AddNode { spec, replaces, admitted } => wire::encode(&AddNode {
            spec: spec.into(),
            replaces: replaces.map(|node| node.0),
            admitted: admitted.map(Into::into),
        }),
        Command::AddOperator { by, key, name, role } => wire::encode(&AddOperator {
            by: (*by).into(),
            key: key.0.0,
            name: name.clone(),
            role: (*role).into(),
        }),
        Command::RevokeOperator { by, key } => {
            wire::encode(&RevokeOperator { by: (*by).into(), key: key.0.0 })
        }
        Command::RemoveNode { node } => wire::encode(&RemoveNode { node: node.0 }),
        Command::NodeLeft { change, node } => wire::encode(&NodeLeft { change: change.0, node: node.0 }),
        Command::MembershipDone { change } => wire::encode(&MembershipDone { change: change.0 }),
        Command::Rejoin { step, member } => wire::encode(&Rejoin { step: step.0, member: (*member).into() }),
        Command::ChangeUsers { seen, by, set, deleted } => wire::encode(&ChangeUsers {
            seen: seen.0,
            by: by.clone(),
            set: set.clone(),
            deleted: deleted.clone(),
        }),
        Command::ChangeLibraries { seen, by, set, deleted } => wire::encode(&ChangeLibraries {
            seen: seen.0,
            by: by.clone(),
            set: set.clone(),
            deleted: deleted.clone(),
        }),
        #[cfg(feature = "next")]
        Command::SetZone { node, zone } => wire::encode(&SetZone { node: node.0, zone: zone.clone() }),
    };
    Ok(body?)
}

pub(super) enum DecodeError {
    Body(WireError),
    Field(BadField),
}

/// The body that a kind has at `level` to live.
#[cfg_attr(not(feature = "next"), expect(unused_variables, reason = "every kind has one version"))]
pub(super) fn decode(kind: EntryKind, level: Level, body: &[u8]) -> Result<Command, DecodeError> {
    match kind {
        EntryKind::InitCluster => checked::<InitCluster>(body),
        #[cfg(feature = "next")]
        EntryKind::RegisterNode if level < ironcache_types::NEXT => {
            let body: super::v1::membership::RegisterNode = wire::decode(body).map_err(DecodeError::Body)?;
            RegisterNode::from(body).try_into().map_err(DecodeError::Field)
        }
        EntryKind::RegisterNode => checked::<RegisterNode>(body),
        EntryKind::AddInSync => plain::<AddInSync>(body),
        EntryKind::RemoveInSync => plain::<RemoveInSync>(body),
        EntryKind::SetMode => plain::<SetMode>(body),
        EntryKind::BeginHandover => plain::<BeginHandover>(body),
        EntryKind::Promote => plain::<Promote>(body),
        EntryKind::AbortHandover => plain::<AbortHandover>(body),
        EntryKind::ReportHandover => plain::<ReportHandover>(body),
        EntryKind::Failover => plain::<Failover>(body),
        EntryKind::Reclaim => plain::<Reclaim>(body),
        EntryKind::Recover => plain::<Recover>(body),
        EntryKind::PrimaryReady => plain::<PrimaryReady>(body),
        EntryKind::RegisterRelease => checked::<RegisterRelease>(body),
        EntryKind::ReportStaged => plain::<ReportStaged>(body),
        EntryKind::StartPlan => checked::<StartPlan>(body),
        EntryKind::BeginRolling => plain::<BeginRolling>(body),
        EntryKind::UpgradeSelf => plain::<UpgradeSelf>(body),
        EntryKind::Confirm => plain::<Confirm>(body),
        EntryKind::Confirmed => plain::<Confirmed>(body),
        EntryKind::StepFailed => plain::<StepFailed>(body),
        EntryKind::Hold => plain::<Hold>(body),
        EntryKind::Pause => plain::<Pause>(body),
        EntryKind::Resume => plain::<Resume>(body),
        EntryKind::Abort => plain::<Abort>(body),
        EntryKind::Finalize => plain::<Finalize>(body),
        EntryKind::Rejoin => plain::<Rejoin>(body),
        EntryKind::BeginSoaking => plain::<BeginSoaking>(body),
        EntryKind::Soaked => plain::<Soaked>(body),
        EntryKind::Rollback => plain::<Rollback>(body),
        EntryKind::TurnBack => plain::<TurnBack>(body),
        EntryKind::ReportPreflight => plain::<ReportPreflight>(body),
        EntryKind::LevelReached => plain::<LevelReached>(body),
        EntryKind::SetPolicy => plain::<SetPolicy>(body),
        EntryKind::AllowRelease => plain::<AllowRelease>(body),
        EntryKind::AddNode => checked::<AddNode>(body),
        EntryKind::RemoveNode => plain::<RemoveNode>(body),
        EntryKind::NodeLeft => plain::<NodeLeft>(body),
        EntryKind::MembershipDone => plain::<MembershipDone>(body),
        EntryKind::WantKeeper => plain::<WantKeeper>(body),
        EntryKind::SetKeeper => plain::<SetKeeper>(body),
        EntryKind::BeginRecovery => plain::<BeginRecovery>(body),
        EntryKind::AddOperator => plain::<AddOperator>(body),
        EntryKind::RevokeOperator => plain::<RevokeOperator>(body),
        EntryKind::ChangeUsers => plain::<ChangeUsers>(body),
        EntryKind::ChangeLibraries => plain::<ChangeLibraries>(body),
        #[cfg(feature = "next")]
        EntryKind::SetZone => plain::<SetZone>(body),
    }
}

/// A body in which any value of any field means something.
fn plain<B: DeserializeOwned + Into<Command>>(body: &[u8]) -> Result<Command, DecodeError> {
    wire::decode::<B>(body).map(Into::into).map_err(DecodeError::Body)
}

/// A body with a field that has to be looked at: the text of a version.
fn checked<B: DeserializeOwned + TryInto<Command, Error = BadField>>(
    body: &[u8],
) -> Result<Command, DecodeError> {
    wire::decode::<B>(body).map_err(DecodeError::Body)?.try_into().map_err(DecodeError::Field)
}
