//! The control state.

use super::{history_entry, plan, reason, security};
use ironcache_api as api;
use ironcache_control::{
    AckMode, ControlState, Declined, Handover, HandoverVia, Keeper, KeeperBase, LineageEntry, Losses,
    MembershipChange, MembershipStage, Node, NodeRole, OutStep, Ownership, Quarantine, RecoveredBy, Recovery,
    ReleaseInfo, Shard, StageHold, TrialPhase, Unfinished,
};

pub(in super::super) fn control(state: &ControlState) -> api::ControlView {
    let ControlState {
        cluster_id,
        epoch,
        cluster_level,
        // Has an answer of its own: `GET /v1/policy`.
        policy,
        policy_epoch: _,
        nodes,
        shards,
        releases,
        quarantined,
        declined: declined_releases,
        unfinished,
        plan: active,
        last_plan,
        history,
        membership: change,
        removed,
        security,
        // Has an answer of its own: `GET /v1/audit`.
        audit: _,
        // Whoever may read them asks as a client: `ACL LIST`.
        users: _,
        // The same: `FUNCTION LIST`.
        libraries: _,
    } = state;
    api::ControlView {
        cluster_id: *cluster_id,
        epoch: *epoch,
        cluster_level: *cluster_level,
        nodes: nodes.iter().map(|(id, value)| (*id, node(value))).collect(),
        shards: shards.iter().map(|(id, value)| (*id, shard(value, policy.steady_mode))).collect(),
        releases: releases.iter().map(|(digest, info)| (*digest, release_info(info))).collect(),
        quarantined: quarantined.iter().map(|(digest, value)| (*digest, quarantine(value))).collect(),
        declined: declined_releases.iter().map(|(digest, value)| (*digest, declined(value))).collect(),
        unfinished: unfinished.as_ref().map(|Unfinished { origin, target }| api::Unfinished {
            origin: origin.clone(),
            target: target.clone(),
        }),
        plan: active.as_ref().map(plan),
        last_plan: *last_plan,
        history: history.iter().map(history_entry).collect(),
        membership: change.as_ref().map(membership),
        removed: removed.iter().copied().collect(),
        security: Some(security::mode(security)),
        operators: security::operators(security),
        pins: security::pins(security),
    }
}

fn node(node: &Node) -> api::Node {
    let Node {
        id,
        client_addr,
        peer_addr,
        http_addr,
        tls_port,
        role,
        voter,
        shard,
        incarnation,
        release,
        levels,
        launcher_protocol: _,
        machine,
        oldest,
        staged,
        preflight: _,
        out,
        #[cfg(feature = "next")]
        zone,
    } = node;
    api::Node {
        id: *id,
        client_addr: client_addr.clone(),
        peer_addr: peer_addr.clone(),
        http_addr: http_addr.clone(),
        tls_port: *tls_port,
        role: match role {
            NodeRole::Data => api::NodeRole::Data,
            NodeRole::Witness => api::NodeRole::Witness,
        },
        voter: *voter,
        shard: *shard,
        incarnation: *incarnation,
        release: release.clone(),
        levels: *levels,
        oldest: Some(*oldest),
        staged: staged.clone(),
        out: out.as_ref().map(out_step),
        machine: *machine,
        #[cfg(feature = "next")]
        zone: zone.clone(),
    }
}

fn membership(change: &MembershipChange) -> api::MembershipChange {
    let MembershipChange { epoch, node, stage } = *change;
    let stage = match stage {
        MembershipStage::Joining { voter, replaces } => api::MembershipStage::Joining { voter, replaces },
        MembershipStage::Leaving => api::MembershipStage::Leaving,
        MembershipStage::Left => api::MembershipStage::Left,
    };
    api::MembershipChange { epoch, node, stage }
}

fn out_step(step: &OutStep) -> api::OutStep {
    let OutStep { plan, epoch, target, log_index, phase, base_from: _ } = step;
    api::OutStep {
        plan: *plan,
        epoch: *epoch,
        target: target.clone(),
        log_index: *log_index,
        phase: match phase {
            TrialPhase::Told => api::TrialPhase::Told,
            TrialPhase::Confirming { incarnation } => {
                api::TrialPhase::Confirming { incarnation: *incarnation }
            }
            TrialPhase::SetAside => api::TrialPhase::SetAside,
        },
    }
}

fn shard(shard: &Shard, steady_mode: AckMode) -> api::Shard {
    let Shard {
        id,
        slots,
        nodes,
        ownership,
        epoch,
        isr_epoch,
        in_sync,
        mode,
        lineage,
        handover,
        losses,
        keeper,
        keeper_wanted,
        exposed,
    } = shard;
    api::Shard {
        id: *id,
        slots: slots.clone(),
        nodes: nodes.clone(),
        ownership: match *ownership {
            Ownership::Serving(member) => api::Ownership::Serving(member),
            Ownership::Recovering { last, lease: _ } => api::Ownership::Recovering { last },
        },
        epoch: *epoch,
        isr_epoch: *isr_epoch,
        in_sync: in_sync.clone(),
        mode: ack_mode(*mode),
        steady_mode: ack_mode(steady_mode),
        lineage: lineage
            .iter()
            .map(|&LineageEntry { epoch, start }| api::LineageEntry { epoch, start })
            .collect(),
        handover: handover.map(self::handover),
        losses: self::losses(losses),
        keeper: keeper.map(self::keeper),
        keeper_wanted: *keeper_wanted,
        exposed: *exposed,
    }
}

fn ack_mode(mode: AckMode) -> api::AckMode {
    match mode {
        AckMode::Primary => api::AckMode::Primary,
        AckMode::InSync => api::AckMode::InSync,
    }
}

fn handover(Handover { epoch, from, to, log_index, via }: Handover) -> api::Handover {
    let via = match via {
        HandoverVia::Primary => api::HandoverVia::Primary,
        HandoverVia::Keeper => api::HandoverVia::Keeper,
    };
    api::Handover { epoch, from, to, log_index, via }
}

fn keeper(Keeper { member, epoch: _, from, base }: Keeper) -> api::Keeper {
    let base = match base {
        KeeperBase::Leaver => api::KeeperBase::Leaver,
        KeeperBase::Own => api::KeeperBase::Own,
    };
    api::Keeper { member, from, base }
}

fn release_info(info: &ReleaseInfo) -> api::ReleaseInfo {
    let ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol: _, hold } = info;
    api::ReleaseInfo {
        release: release.clone(),
        size_bytes: *size_bytes,
        min_from: min_from.clone(),
        levels: *levels,
        hold: is_held(*hold),
    }
}

pub(in super::super) fn quarantine(quarantine: &Quarantine) -> api::Quarantine {
    let Quarantine { version, node, reason: why } = quarantine;
    api::Quarantine { version: version.clone(), node: *node, reason: reason(why) }
}

pub(in super::super) fn declined(declined: &Declined) -> api::Declined {
    let Declined { version, plan, reason: why } = declined;
    api::Declined { version: version.clone(), plan: *plan, reason: reason(why) }
}

pub(in super::super) fn is_held(hold: StageHold) -> bool {
    match hold {
        StageHold::None => false,
        StageHold::Held => true,
    }
}

fn losses(Losses { recoveries, bytes_min, newest }: &Losses) -> api::Losses {
    let recovery = |recovery: &Recovery| {
        let Recovery { epoch, to, at, bytes_min, given_up, by, at_ms, as_of_ms } = recovery;
        api::Recovery {
            epoch: *epoch,
            to: *to,
            at: *at,
            bytes_min: *bytes_min,
            given_up: given_up.clone(),
            by: match by {
                RecoveredBy::Policy => api::RecoveredBy::Policy,
                RecoveredBy::Operator => api::RecoveredBy::Operator,
            },
            at_ms: *at_ms,
            as_of_ms: *as_of_ms,
        }
    };
    let newest = newest.iter().map(recovery).collect();
    api::Losses { recoveries: *recoveries, bytes_min: *bytes_min, newest }
}
