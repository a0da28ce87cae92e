//! What the coordinator waits for.

use super::plan::hold_reason;
use super::{own_reason, problem, reason};
use ironcache_api as api;
use ironcache_coordinator::{CannotKeep, OutStage, RecoverWhen, WaitingOn};

pub(in super::super) fn waiting_on(wait: &WaitingOn) -> api::WaitingOn {
    match wait {
        WaitingOn::LeaderSettling { leader } => api::WaitingOn::LeaderSettling { leader: *leader },
        WaitingOn::Unreachable { node, seen_ms_ago, max_ms } => {
            api::WaitingOn::Unreachable { node: *node, seen_ms_ago: *seen_ms_ago, max_ms: *max_ms }
        }
        WaitingOn::OtherLife { node, registered, answers } => {
            api::WaitingOn::OtherLife { node: *node, registered: *registered, answers: *answers }
        }
        WaitingOn::OldAnswer { node, shard, epoch } => {
            api::WaitingOn::OldAnswer { node: *node, shard: *shard, epoch: *epoch }
        }
        WaitingOn::StateDiffers { node, log_index } => {
            api::WaitingOn::StateDiffers { node: *node, log_index: *log_index }
        }
        WaitingOn::NotReady { node } => api::WaitingOn::NotReady { node: *node },
        WaitingOn::RaftLag { node, entries, max_entries } => {
            api::WaitingOn::RaftLag { node: *node, entries: *entries, max_entries: *max_entries }
        }
        WaitingOn::Artifact { node, held_by, nodes } => {
            api::WaitingOn::Artifact { node: *node, held_by: *held_by, nodes: *nodes }
        }
        WaitingOn::Preflight { node } => api::WaitingOn::Preflight { node: *node },
        WaitingOn::PreflightFailed { node, reason } => {
            api::WaitingOn::PreflightFailed { node: *node, problem: problem(reason) }
        }
        WaitingOn::Soaking { plan, remaining_ms } => {
            api::WaitingOn::Soaking { plan: *plan, remaining_ms: *remaining_ms }
        }
        WaitingOn::WeakMode { shard } => api::WaitingOn::WeakMode { shard: *shard },
        WaitingOn::Keeper { shard, wanted } => api::WaitingOn::Keeper { shard: *shard, wanted: *wanted },
        WaitingOn::CannotKeep { shard, node, why } => {
            api::WaitingOn::CannotKeep { shard: *shard, node: *node, why: cannot_keep(why) }
        }
        WaitingOn::KeepsShard { shard, node } => api::WaitingOn::KeepsShard { shard: *shard, node: *node },
        WaitingOn::KeeperStays { shard, node } => api::WaitingOn::KeeperStays { shard: *shard, node: *node },
        WaitingOn::LastLease { shard, last, remaining_ms } => {
            api::WaitingOn::LastLease { shard: *shard, last: *last, remaining_ms: *remaining_ms }
        }
        WaitingOn::Exposed { shard } => api::WaitingOn::Exposed { shard: *shard },
        WaitingOn::TotalLoss { shard, until } => {
            api::WaitingOn::TotalLoss { shard: *shard, until: recover_when(*until) }
        }
        WaitingOn::Reclaim { shard, last } => api::WaitingOn::Reclaim { shard: *shard, last: *last },
        WaitingOn::InSyncUnreachable { shard, in_sync } => {
            api::WaitingOn::InSyncUnreachable { shard: *shard, in_sync: *in_sync }
        }
        WaitingOn::PrimaryNotServing { shard, primary } => {
            api::WaitingOn::PrimaryNotServing { shard: *shard, primary: *primary }
        }
        WaitingOn::NodeOut { node, out_for_ms, max_ms, stage } => api::WaitingOn::NodeOut {
            node: *node,
            out_for_ms: *out_for_ms,
            max_ms: *max_ms,
            stage: out_stage(*stage),
        },
        WaitingOn::NotInSync { shard, node } => api::WaitingOn::NotInSync { shard: *shard, node: *node },
        WaitingOn::NotAttached { shard, node } => api::WaitingOn::NotAttached { shard: *shard, node: *node },
        WaitingOn::Syncing { shard, node } => api::WaitingOn::Syncing { shard: *shard, node: *node },
        WaitingOn::Lag { shard, node, lag_bytes, max_bytes } => {
            api::WaitingOn::Lag { shard: *shard, node: *node, lag_bytes: *lag_bytes, max_bytes: *max_bytes }
        }
        WaitingOn::Settling { shard, node, in_sync_for_ms, settle_ms } => api::WaitingOn::Settling {
            shard: *shard,
            node: *node,
            in_sync_for_ms: *in_sync_for_ms,
            settle_ms: *settle_ms,
        },
        WaitingOn::HandoverInFlight { shard, to, age_ms, timeout_ms } => api::WaitingOn::HandoverInFlight {
            shard: *shard,
            to: *to,
            age_ms: *age_ms,
            timeout_ms: *timeout_ms,
        },
        WaitingOn::HandoverBackoff { shard, remaining_ms } => {
            api::WaitingOn::HandoverBackoff { shard: *shard, remaining_ms: *remaining_ms }
        }
        WaitingOn::Voters { reachable, voters, needed } => {
            api::WaitingOn::Voters { reachable: *reachable, voters: *voters, needed: *needed }
        }
        WaitingOn::Parallel { out, max } => api::WaitingOn::Parallel { out: *out, max: *max },
        WaitingOn::NoOtherLeader { leader } => api::WaitingOn::NoOtherLeader { leader: *leader },
        WaitingOn::CannotUpgrade { node, reason: text } => {
            api::WaitingOn::CannotUpgrade { node: *node, reason: own_reason(text) }
        }
        WaitingOn::Quarantined { node, reason: text } => {
            api::WaitingOn::Quarantined { node: *node, reason: reason(text) }
        }
        WaitingOn::Paused { plan } => api::WaitingOn::Paused { plan: *plan },
        WaitingOn::Held { plan, reason: hold } => {
            api::WaitingOn::Held { plan: *plan, reason: hold_reason(hold) }
        }
    }
}

fn out_stage(stage: OutStage) -> api::OutStage {
    match stage {
        OutStage::Replacing => api::OutStage::Replacing,
        OutStage::Silent => api::OutStage::Silent,
        OutStage::NotReady => api::OutStage::NotReady,
        OutStage::RaftLag { entries, max_entries } => api::OutStage::RaftLag { entries, max_entries },
        OutStage::GoingBack => api::OutStage::GoingBack,
        OutStage::Confirming => api::OutStage::Confirming,
    }
}

fn cannot_keep(why: &CannotKeep) -> api::CannotKeep {
    match why {
        CannotKeep::Full { free_bytes, reserve_bytes } => {
            api::CannotKeep::Full { free_bytes: *free_bytes, reserve_bytes: *reserve_bytes }
        }
        CannotKeep::Disk { error } => api::CannotKeep::Disk { error: error.clone() },
        CannotKeep::Other { said } => api::CannotKeep::Unknown(api::Unknown(said.clone().into())),
    }
}

fn recover_when(until: RecoverWhen) -> api::RecoverWhen {
    match until {
        RecoverWhen::Answer { node, remaining_ms } => api::RecoverWhen::Answer { node, remaining_ms },
        RecoverWhen::Loaded { node } => api::RecoverWhen::Loaded { node },
        RecoverWhen::Back { node } => api::RecoverWhen::Back { node },
        RecoverWhen::AnyAnswer => api::RecoverWhen::AnyAnswer,
        RecoverWhen::Tail { keeper, node } => api::RecoverWhen::Tail { keeper, node },
        RecoverWhen::Base { keeper } => api::RecoverWhen::Base { keeper },
        RecoverWhen::Accepted { node, at } => api::RecoverWhen::Accepted { node, at },
    }
}
