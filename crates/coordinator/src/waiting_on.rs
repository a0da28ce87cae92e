//! Why nothing more is done now: each reason with its number and its bar.

use crate::cannot_keep::CannotKeep;
use ironcache_control::{HoldReason, Reason};
use ironcache_types::{Epoch, Incarnation, NodeId, Offset, PlanId, ShardId};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Another process of the node answers than the one that is registered.
    OtherLife {
        node: NodeId,
        registered: Incarnation,
        answers: Incarnation,
    },
    NotReady {
        node: NodeId,
    },
    /// What the node does for its shard it did not say under this epoch: it has not applied it, or was asked before.
    OldAnswer {
        node: NodeId,
        shard: ShardId,
        epoch: Epoch,
    },
    /// The node holds another control state than the others at this index: it neither leads nor is promoted.
    StateDiffers {
        node: NodeId,
        log_index: u64,
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
    /// The node holds the target, and has not tried it against its configuration yet.
    Preflight {
        node: NodeId,
    },
    /// The target would not start on the node as it is configured now.
    PreflightFailed {
        node: NodeId,
        reason: Reason,
    },
    /// Everybody runs the target; `remaining_ms` is `None` if it becomes final by command only.
    Soaking {
        plan: PlanId,
        remaining_ms: Option<u64>,
    },
    WeakMode {
        shard: ShardId,
    },
    /// The next step would leave one member, and nobody is on record yet who keeps the tail. `wanted` is to; `None` if no
    /// node can.
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
    /// What the shard acknowledges is in one process only.
    Exposed {
        shard: ShardId,
    },
    /// No primary, and no member of the set is left: some of what was acknowledged may be gone.
    TotalLoss {
        shard: ShardId,
        until: RecoverWhen,
    },
    /// No primary: its last owner is back with all of it, and takes it again.
    Reclaim {
        shard: ShardId,
        last: NodeId,
    },
    /// No primary: the last one's node registered from another machine, and the life before may still answer clients.
    LastLease {
        shard: ShardId,
        last: NodeId,
        remaining_ms: u64,
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
        reason: String,
    },
    Quarantined {
        node: NodeId,
        reason: Reason,
    },
    Paused {
        plan: PlanId,
    },
    Held {
        plan: PlanId,
        reason: HoldReason,
    },
}

/// What a shard of whose set nobody is left waits for before it goes on with less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverWhen {
    /// The node may hold more than those that have answered.
    Answer { node: NodeId, remaining_ms: u64 },
    /// The node answers, and reads its dataset.
    Loaded { node: NodeId },
    /// The node is out for a step, and may come back with more.
    Back { node: NodeId },
    /// No node of the shard has said what it holds.
    AnyAnswer,
    /// `node` holds what the tail of `keeper` continues: with both nothing is lost.
    Tail { keeper: NodeId, node: NodeId },
    /// The tail of `keeper` is there, and nobody who holds what lies before it.
    Base { keeper: NodeId },
    /// `on-total-loss` is `wait`; `node` holds most.
    Accepted { node: NodeId, at: Offset },
}

/// How far a node that is out has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl WaitingOn {
    /// Is it only that a node was asked too early? Then asking again soon helps.
    pub fn is_old_answer(&self) -> bool {
        matches!(self, Self::OldAnswer { .. })
    }
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaderSettling { leader } => {
                write!(f, "node {leader} leads raft, and has not yet applied an entry of its own term")
            }
            Self::Unreachable { node, seen_ms_ago: Some(ms), max_ms } => {
                let (ago, max) = (Seconds(*ms), Seconds(*max_ms));
                write!(f, "node {node} has not answered for {ago}; at most {max} is allowed")
            }
            Self::Unreachable { node, seen_ms_ago: None, max_ms: _ } => {
                write!(f, "node {node} has not answered this leader yet")
            }
            Self::OtherLife { node, registered, answers } => {
                write!(f, "node {node} answers as process {answers}, and {registered} is registered")
            }
            Self::NotReady { node } => write!(f, "node {node} answers, and does not serve its role yet"),
            Self::OldAnswer { node, shard, epoch } => {
                write!(f, "node {node} has not answered yet for epoch {epoch} of shard {shard}")
            }
            Self::StateDiffers { node, log_index } => {
                write!(f, "node {node} holds another control state at log index {log_index}")
            }
            Self::RaftLag { node, entries, max_entries } => {
                write!(f, "node {node} is {entries} log entries behind; at most {max_entries} is allowed")
            }
            Self::Artifact { node, held_by, nodes } => {
                write!(f, "node {node} does not hold the artifact ({held_by} of {nodes} do)")
            }
            Self::Preflight { node } => {
                write!(f, "node {node} has not tried the release against its configuration yet")
            }
            Self::PreflightFailed { node, reason } => {
                write!(f, "the release would not start on node {node}: {reason}")
            }
            Self::Soaking { plan, remaining_ms: None } => write!(
                f,
                "plan {plan} is soaking: every node runs the release, and `ironcache cluster upgrade finalize` makes it \
                 final"
            ),
            Self::Soaking { plan, remaining_ms: Some(remaining_ms) } => {
                write!(f, "plan {plan} is soaking; it becomes final in {}", Seconds(*remaining_ms))
            }
            Self::Keeper { shard, wanted: Some(node) } => write!(
                f,
                "the next step leaves shard {shard} with one member in sync, and node {node}, which is to keep the tail of \
                 its stream, is not on record yet"
            ),
            Self::Keeper { shard, wanted: None } => write!(
                f,
                "the next step leaves shard {shard} with one member in sync, and no node answers that could keep the tail \
                 of its stream"
            ),
            Self::CannotKeep { shard, node, why } => write!(
                f,
                "node {node} cannot keep the tail of shard {shard}'s stream, and no other node that answers could: {why}"
            ),
            Self::KeepsShard { shard, node } => write!(
                f,
                "node {node} keeps the tail of shard {shard}'s stream, and goes when that has two members in sync"
            ),
            Self::KeeperStays { shard, node } => write!(
                f,
                "the handover of shard {shard} begins when node {node} keeps the tail of its stream no more"
            ),
            Self::Exposed { shard } => write!(
                f,
                "what shard {shard} acknowledges is in one process only; another keeper, or two members in sync, are \
                 needed"
            ),
            Self::WeakMode { shard } => {
                write!(
                    f,
                    "shard {shard} acknowledges in mode primary; its primary has to raise it to in-sync"
                )
            }
            Self::TotalLoss { shard, until } => {
                write!(f, "shard {shard} lost its in-sync set: ")?;
                until.write(f, *shard)
            }
            Self::Reclaim { shard, last } => write!(
                f,
                "shard {shard} has no primary; node {last}, its last owner, holds all of it and takes it back"
            ),
            Self::LastLease { shard, last, remaining_ms } => write!(
                f,
                "shard {shard} has no primary; node {last}, its last owner, registered from another machine, and the process \
                 before may answer clients for another {}",
                Seconds(*remaining_ms)
            ),
            Self::InSyncUnreachable { shard, in_sync: 0 } => {
                write!(f, "shard {shard} has no primary, and its in-sync set is empty")
            }
            Self::InSyncUnreachable { shard, in_sync } => {
                write!(
                    f,
                    "shard {shard} has no primary, and 0 of its {in_sync} members in sync answer; 1 needed"
                )
            }
            Self::PrimaryNotServing { shard, primary } => {
                write!(f, "node {primary}, the primary of shard {shard}, does not answer or does not serve")
            }
            Self::NodeOut { node, out_for_ms, max_ms, stage } => {
                let (out, max) = (Seconds(*out_for_ms), Seconds(*max_ms));
                write!(f, "node {node} has been out for {out} of at most {max}: {stage}")
            }
            Self::NotInSync { shard, node } => {
                write!(f, "node {node} is not in the in-sync set of shard {shard} yet")
            }
            Self::NotAttached { shard, node } => {
                write!(f, "replica {node} is not attached to the primary of shard {shard}")
            }
            Self::Syncing { shard, node } => {
                write!(f, "replica {node} of shard {shard} is still receiving the dataset")
            }
            Self::Lag { shard, node, lag_bytes, max_bytes } => write!(
                f,
                "replica {node} of shard {shard} is {lag_bytes} bytes behind; at most {max_bytes} is allowed"
            ),
            Self::Settling { shard, node, in_sync_for_ms, settle_ms } => write!(
                f,
                "replica {node} of shard {shard} has been in sync for {in_sync_for_ms} ms of {settle_ms} ms"
            ),
            Self::HandoverInFlight { shard, to, age_ms, timeout_ms } => write!(
                f,
                "shard {shard} is being handed over to node {to} since {age_ms} ms; aborted at {timeout_ms} ms"
            ),
            Self::HandoverBackoff { shard, remaining_ms } => {
                write!(f, "the last handover of shard {shard} failed; the next begins in {remaining_ms} ms")
            }
            Self::Voters { reachable, voters, needed } => write!(
                f,
                "only {reachable} of {voters} voters are reachable and in service; {needed} needed before the next step"
            ),
            Self::Parallel { out, max } => write!(f, "{out} nodes are out; at most {max} may be at a time"),
            Self::NoOtherLeader { leader } => write!(
                f,
                "node {leader} leads raft and is next; 0 other voters are reachable and caught up, 1 needed to lead"
            ),
            Self::CannotUpgrade { node, reason } => {
                write!(f, "node {node} cannot change its binary: {reason}")
            }
            Self::Quarantined { node, reason } => {
                write!(f, "the release is quarantined: it failed on node {node}: {reason}")
            }
            Self::Paused { plan } => {
                write!(f, "plan {plan} is paused; `ironcache cluster upgrade resume` goes on")
            }
            Self::Held { plan, reason } => write!(f, "plan {plan} is held: {reason}"),
        }
    }
}

impl RecoverWhen {
    fn write(self, f: &mut fmt::Formatter<'_>, shard: ShardId) -> fmt::Result {
        match self {
            Self::Answer { node, remaining_ms } => {
                let remaining = Seconds(remaining_ms);
                write!(f, "node {node}, which may hold more, has {remaining} to answer")
            }
            Self::Loaded { node } => write!(f, "node {node} is reading its dataset"),
            Self::Back { node } => write!(
                f,
                "node {node} is out for its step, and may come back with more; `ironcache cluster recover --shard {shard}` \
                 says what there is without it"
            ),
            Self::Tail { keeper, node } => write!(
                f,
                "node {keeper} keeps the tail that continues what node {node} holds: with both nothing is lost; \
                 `ironcache cluster recover --shard {shard}` says what there is without it"
            ),
            Self::Base { keeper } => {
                write!(f, "node {keeper} keeps the tail, and waits for a node that holds what lies before it")
            }
            Self::AnyAnswer => f.write_str("no node of the shard has said what it holds; start one of them"),
            Self::Accepted { node, at: Offset(0) } => write!(
                f,
                "no node that answers holds anything; `ironcache cluster recover --shard {shard} --accept-loss` begins \
                 anew with node {node}"
            ),
            Self::Accepted { node, at } => write!(
                f,
                "`ironcache cluster recover --shard {shard} --accept-loss` goes on with what node {node} holds, up to \
                 offset {at}"
            ),
        }
    }
}

impl fmt::Display for OutStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replacing => f.write_str("the new binary has not registered yet"),
            Self::Silent => f.write_str("the new binary is registered and does not answer"),
            Self::NotReady => f.write_str("the new binary answers and does not serve its role yet"),
            Self::RaftLag { entries, max_entries } => {
                write!(f, "the new binary is {entries} log entries behind; at most {max_entries} is allowed")
            }
            Self::GoingBack => f.write_str("the release was quarantined meanwhile, and the node goes back"),
            Self::Confirming => f.write_str("the trial is accepted, and the node makes it final"),
        }
    }
}

/// Milliseconds, shown in seconds with one digit.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ms) = self;
        write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}
