//! Why nothing more is done now: each reason with its number and its bar.

use crate::hold::{HoldReason, Reason};
use crate::node::CannotKeep;
use crate::soaking::Problem;
use crate::unknown::Unknown;
use ironcache_types::{Epoch, Incarnation, NodeId, Offset, PlanId, ShardId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingOn {
    LeaderSettling {
        leader: NodeId,
    },
    /// `seen_ms_ago` is `None` if the node never answered this leader.
    Unreachable {
        node: NodeId,
        seen_ms_ago: Option<u64>,
        max_ms: u64,
    },
    /// What the node does for its shard it has not said under this epoch yet.
    OldAnswer {
        node: NodeId,
        shard: ShardId,
        epoch: Epoch,
    },
    /// The node holds another control state than the others: it neither leads nor is promoted.
    StateDiffers {
        node: NodeId,
        log_index: u64,
    },
    /// Another process of the node answers than the one that is registered.
    OtherLife {
        node: NodeId,
        registered: Incarnation,
        answers: Incarnation,
    },
    NotReady {
        node: NodeId,
    },
    RaftLag {
        node: NodeId,
        entries: u64,
        max_entries: u64,
    },
    Artifact {
        node: NodeId,
        held_by: usize,
        nodes: usize,
    },
    WeakMode {
        shard: ShardId,
    },
    /// No primary: its last owner is back with all of it, and takes it again.
    Reclaim {
        shard: ShardId,
        last: NodeId,
    },
    /// No primary, and none of the members in sync answers.
    InSyncUnreachable {
        shard: ShardId,
        in_sync: usize,
    },
    PrimaryNotServing {
        shard: ShardId,
        primary: NodeId,
    },
    NodeOut {
        node: NodeId,
        out_for_ms: u64,
        max_ms: u64,
        stage: OutStage,
    },
    NotInSync {
        shard: ShardId,
        node: NodeId,
    },
    NotAttached {
        shard: ShardId,
        node: NodeId,
    },
    Syncing {
        shard: ShardId,
        node: NodeId,
    },
    Lag {
        shard: ShardId,
        node: NodeId,
        lag_bytes: u64,
        max_bytes: u64,
    },
    Settling {
        shard: ShardId,
        node: NodeId,
        in_sync_for_ms: u64,
        settle_ms: u64,
    },
    HandoverInFlight {
        shard: ShardId,
        to: NodeId,
        age_ms: u64,
        timeout_ms: u64,
    },
    HandoverBackoff {
        shard: ShardId,
        remaining_ms: u64,
    },
    Voters {
        reachable: usize,
        voters: usize,
        needed: usize,
    },
    Parallel {
        out: usize,
        max: u16,
    },
    /// The leader's own node is next, and no other voter can lead.
    NoOtherLeader {
        leader: NodeId,
    },
    /// The node's launcher refuses upgrades, or there is none.
    CannotUpgrade {
        node: NodeId,
        #[serde(flatten)]
        reason: Reason,
    },
    Quarantined {
        node: NodeId,
        #[serde(flatten)]
        reason: Reason,
    },
    Paused {
        plan: PlanId,
    },
    Held {
        plan: PlanId,
        reason: HoldReason,
    },
    /// The binary that the node is to run has not said yet whether it would start there.
    Preflight {
        node: NodeId,
    },
    /// It said that it would not.
    PreflightFailed {
        node: NodeId,
        problem: Problem,
    },
    /// Every node runs the target; `remaining_ms` is `None` if only a command finalizes.
    Soaking {
        plan: PlanId,
        remaining_ms: Option<u64>,
    },
    /// No primary, and no member of the in-sync set is left: some of what was acknowledged may be gone.
    TotalLoss {
        shard: ShardId,
        until: RecoverWhen,
    },
    /// The next step leaves one member, and nobody is on record yet who keeps the tail. `wanted` is to; `None` if no node can.
    Keeper {
        shard: ShardId,
        wanted: Option<NodeId>,
    },
    /// So, and this node would keep it, if its disk let it.
    CannotKeep {
        shard: ShardId,
        node: NodeId,
        why: CannotKeep,
    },
    /// The node keeps the tail of a shard, or is to, and is not taken out before that has two members in sync.
    KeepsShard {
        shard: ShardId,
        node: NodeId,
    },
    /// A handover begins when the keeper is on record no more.
    KeeperStays {
        shard: ShardId,
        node: NodeId,
    },
    /// No primary: the last one's node registered from another machine, and the life before may still answer clients.
    LastLease {
        shard: ShardId,
        last: NodeId,
        remaining_ms: u64,
    },
    /// What the shard acknowledges is in one process only.
    Exposed {
        shard: ShardId,
    },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// What a shard of whose in-sync set nobody is left waits for before it goes on with less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoverWhen {
    /// The node may hold more than those that have answered.
    Answer { node: NodeId, remaining_ms: u64 },
    /// The node answers, and reads its dataset.
    Loaded { node: NodeId },
    /// The node is out for a step, and may come back with more.
    Back { node: NodeId },
    /// No node of the shard has said what it holds.
    AnyAnswer,
    /// `on-total-loss` is `wait`; `node` holds most, everything below `at`.
    Accepted { node: NodeId, at: Offset },
    /// `node` holds what the tail of `keeper` continues: with both nothing is lost.
    Tail { keeper: NodeId, node: NodeId },
    /// The tail of `keeper` is there, and nobody who holds what lies before it.
    Base { keeper: NodeId },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// How far a node that is out has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutStage {
    /// The old binary is still registered: it drains, stops, or the new one starts.
    Replacing,
    /// The new binary is registered, and does not answer (or no longer as that process).
    Silent,
    /// The new binary answers, and does not serve its role yet.
    NotReady,
    /// The new binary is behind the log.
    RaftLag { entries: u64, max_entries: u64 },
    /// The release was quarantined meanwhile: the node goes back.
    GoingBack,
    /// The trial is accepted; the node makes it final.
    Confirming,
    #[serde(untagged)]
    Unknown(Unknown),
}
