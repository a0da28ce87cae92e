//! What can be proposed to the log. Every command names what its proposer saw.

use crate::plan::{HoldReason, PlanOptions, StartedBy};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::security::{Admitted, AskedBy, NewSecurity, OperatorRole};
use crate::shard::{AckMode, NewKeeper, RecoveredBy};
use crate::state::{NodeRole, ReleaseInfo};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, KeyHash, Level, LevelRange, MachineId, Member, NodeId, Offset,
    PlanId, Release, ShardId, SlotSet, WireRange,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    pub member: Member,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    pub tls_port: Option<u16>,
    pub role: NodeRole,
    pub voter: bool,
    pub shard: Option<ShardId>,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: WireRange,
    pub machine: MachineId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSpec {
    pub id: ShardId,
    pub slots: SlotSet,
    /// The first is the primary.
    pub nodes: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitCluster {
    pub cluster_id: ClusterId,
    pub nodes: Vec<NodeSpec>,
    pub shards: Vec<ShardSpec>,
    pub policy: Policy,
    pub security: NewSecurity,
}

/// A shard that lost every member of its set goes on with less than it had acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recover {
    pub shard: ShardId,
    pub shard_epoch: Epoch,
    pub isr_epoch: Epoch,
    pub to: Member,
    /// What `to` holds: everything below it. 0 is nothing.
    pub at: Offset,
    /// Bytes of the stream past `at` of which somebody still knew. There may have been more.
    pub lost_bytes_min: u64,
    /// Everybody with whom the shard could have gone on without a loss: the whole in-sync set and the keeper, as the
    /// proposer saw them.
    pub given_up: BTreeSet<Member>,
    /// As of `Failover`: an owner that may still run is deposed by the leader that waited for the end of its lease.
    pub term: u64,
    pub by: RecoveredBy,
    /// The proposer's clock, Unix ms.
    pub at_ms: u64,
    /// When what `to` holds was written to its disk, by its clock, Unix ms. `None`: it was in memory.
    pub as_of_ms: Option<u64>,
}

/// What an entry of the log says. Its bytes are those of `ironcache-formats`, which gives every kind its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    InitCluster(InitCluster),
    /// A process started. Revokes every role of the node's earlier lives.
    RegisterNode {
        member: Member,
        client_addr: String,
        peer_addr: String,
        http_addr: String,
        /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
        tls_port: Option<u16>,
        release: Release,
        levels: LevelRange,
        launcher_protocol: WireRange,
        /// Where it runs.
        machine: MachineId,
        /// Of its own configuration, if that names one.
        #[cfg(feature = "next")]
        zone: Option<String>,
    },
    /// The primary takes a member in; it holds every acknowledged offset.
    AddInSync {
        shard: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
    },
    /// The primary drops a member that is silent or too far behind.
    RemoveInSync {
        shard: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
        reason: Reason,
    },
    /// The primary changes how writes are acknowledged.
    SetMode {
        shard: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        mode: AckMode,
    },
    /// The leader's wish: who is to keep the tail of the shard's stream, or that nobody need any longer. The primary
    /// makes it so, by `SetKeeper`.
    WantKeeper {
        shard: ShardId,
        shard_epoch: Epoch,
        node: Option<NodeId>,
    },
    /// The primary records who keeps the tail of its stream, or that nobody does.
    SetKeeper {
        shard: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        keeper: Option<NewKeeper>,
        reason: Reason,
    },
    BeginHandover {
        shard: ShardId,
        shard_epoch: Epoch,
        from: Member,
        to: Member,
        /// `None`: the primary's node is being stopped.
        plan: Option<PlanId>,
    },
    /// The keeper takes the place of a primary that is gone: it hands the tail that it holds over to `to`.
    BeginRecovery {
        shard: ShardId,
        shard_epoch: Epoch,
        isr_epoch: Epoch,
        to: Member,
        /// As of `Failover`.
        term: u64,
    },
    /// The candidate met the fence at `offset`; `in_sync` are itself and the members attached there.
    Promote {
        shard: ShardId,
        handover: Epoch,
        to: Member,
        offset: Offset,
        in_sync: BTreeSet<Member>,
    },
    AbortHandover {
        shard: ShardId,
        handover: Epoch,
    },
    /// The old primary's measurement of a handover: how long it held commands back.
    ReportHandover {
        shard: ShardId,
        epoch: Epoch,
        stall_us: u64,
    },
    /// An in-sync member takes over from a primary whose process ended, or whose lease did.
    Failover {
        shard: ShardId,
        shard_epoch: Epoch,
        isr_epoch: Epoch,
        to: Member,
        /// The leader that waited until the lease was over. Its own entries alone may depose a life that still runs: a
        /// leader in between may have granted another lease.
        term: u64,
    },
    /// A node that was the last owner stopped cleanly, and has all its data again.
    Reclaim {
        shard: ShardId,
        shard_epoch: Epoch,
        member: Member,
        /// The life that wrote what `member` holds, sealed: nothing was acknowledged after it.
        of: Incarnation,
        end: Offset,
    },
    /// No member of the set is left: the shard goes on with what somebody still holds.
    Recover(Recover),
    /// Where a primary promoted by `Failover` began.
    PrimaryReady {
        shard: ShardId,
        epoch: Epoch,
        start: Offset,
    },
    RegisterRelease {
        info: ReleaseInfo,
    },
    /// A node holds the artifact, verified.
    ReportStaged {
        node: NodeId,
        digest: Digest,
    },
    /// Its proposer names the release, and not only what it calls itself: a version that was forgotten may be staged anew
    /// with another binary, and what somebody looked at is what is rolled out, or nothing.
    StartPlan {
        target: Release,
        options: PlanOptions,
        leader: NodeId,
        started_by: StartedBy,
        at_ms: u64,
    },
    BeginRolling {
        plan: PlanId,
        plan_epoch: Epoch,
    },
    /// A node leaves the in-sync set and upgrades itself.
    UpgradeSelf {
        plan: PlanId,
        plan_epoch: Epoch,
        member: Member,
        at_ms: u64,
    },
    /// The leader accepts a trial.
    Confirm {
        plan: PlanId,
        step: Epoch,
        member: Member,
        digest: Digest,
    },
    /// The node made the trial final.
    Confirmed {
        plan: PlanId,
        step: Epoch,
        member: Member,
        digest: Digest,
        at_ms: u64,
    },
    /// The node is back on its old binary.
    StepFailed {
        plan: PlanId,
        step: Epoch,
        member: Member,
        reason: Reason,
        quarantine: bool,
        at_ms: u64,
    },
    Hold {
        plan: PlanId,
        plan_epoch: Epoch,
        reason: HoldReason,
    },
    Pause {
        plan: PlanId,
    },
    Resume {
        plan: PlanId,
    },
    Abort {
        plan: PlanId,
        at_ms: u64,
    },
    /// The plan is final. A forward plan raises the cluster to `level`, which every node admits.
    Finalize {
        plan: PlanId,
        plan_epoch: Epoch,
        level: Level,
        at_ms: u64,
    },
    /// A node whose step was set aside by an abort is back, and on no trial.
    Rejoin {
        step: Epoch,
        member: Member,
    },
    /// Every node runs the target and is confirmed.
    BeginSoaking {
        plan: PlanId,
        plan_epoch: Epoch,
        at_ms: u64,
    },
    /// The plan has soaked for at least `ms`, as a leader counted: what the log said when it began to, and what its own
    /// monotonic clock has gone on since.
    Soaked {
        plan: PlanId,
        plan_epoch: Epoch,
        ms: u64,
    },
    /// Everybody is to go back.
    Rollback {
        plan: PlanId,
        plan_epoch: Epoch,
        reason: Reason,
    },
    /// Nothing is under way any more: the plan is turned round.
    TurnBack {
        plan: PlanId,
        plan_epoch: Epoch,
        leader: NodeId,
    },
    /// What the unstarted binary `digest` says to this node's configuration.
    ReportPreflight {
        member: Member,
        digest: Digest,
        turn: Epoch,
        problem: Option<Reason>,
    },
    /// The node holds nothing below `oldest` any more.
    LevelReached {
        member: Member,
        oldest: Level,
    },
    /// The whole policy, as its proposer wants it after having seen that of epoch `seen`.
    SetPolicy {
        seen: Epoch,
        policy: Policy,
    },
    /// The policy may start the release again.
    AllowRelease {
        digest: Digest,
    },
    /// A new node is to join; `spec` says what it is to be, and whether it is to vote. With `replaces` it comes in the
    /// place of that node, which leaves afterwards.
    AddNode {
        spec: NodeSpec,
        replaces: Option<NodeId>,
        /// In a cluster with keys: the key that the node is known by from now on, and the join code that it was met with.
        admitted: Option<Admitted>,
    },
    /// The node is to leave for good.
    RemoveNode {
        node: NodeId,
    },
    /// The node that is leaving has no role left: from here on it does not belong to the cluster.
    NodeLeft {
        /// The epoch of the change that its proposer saw.
        change: Epoch,
        node: NodeId,
    },
    /// Raft's group is what the change of this epoch wants it to be.
    MembershipDone {
        change: Epoch,
    },
    /// The holder of this key may operate the cluster.
    AddOperator {
        by: AskedBy,
        key: KeyHash,
        name: String,
        role: OperatorRole,
    },
    /// The key opens nothing any more.
    RevokeOperator {
        by: AskedBy,
        key: KeyHash,
    },
    /// Users of the access control list, by name, each with all of its rules, and who is no user any more. Its proposer saw
    /// the users of epoch `seen`.
    ChangeUsers {
        seen: Epoch,
        /// The user who asked.
        by: Vec<u8>,
        set: BTreeMap<Vec<u8>, Vec<u8>>,
        deleted: BTreeSet<Vec<u8>>,
    },
    /// Libraries of functions, by name, each with its code, and which are there no more. Its proposer saw the libraries of
    /// epoch `seen`.
    ChangeLibraries {
        seen: Epoch,
        /// The user who asked.
        by: Vec<u8>,
        set: BTreeMap<Vec<u8>, Vec<u8>>,
        deleted: BTreeSet<Vec<u8>>,
    },
    /// The node stands in this zone.
    #[cfg(feature = "next")]
    SetZone {
        node: ironcache_types::NodeId,
        zone: String,
    },
}
