//! The state as a whole, and the views that readers want of it.

use crate::audit::Audit;
use crate::libraries::Libraries;
use crate::membership::MembershipChange;
use crate::plan::{HistoryEntry, Plan};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::security::Security;
use crate::shard::Shard;
use crate::users::Users;
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, Level, LevelRange, MachineId, Member, NodeId, Offset, PlanId,
    Release, ShardId, Slot, Version, WireRange,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlState {
    /// `None` until `InitCluster`.
    pub cluster_id: Option<ClusterId>,
    /// The one counter. Every accepted change of ownership, in-sync set or step takes a fresh value.
    pub epoch: Epoch,
    /// The level whose formats, commands and rules are in force; it rises only at finalize, and never falls.
    pub cluster_level: Level,
    pub policy: Policy,
    /// Of the last change of the policy; 0 as the cluster was created.
    pub policy_epoch: Epoch,
    pub nodes: BTreeMap<NodeId, Node>,
    pub shards: BTreeMap<ShardId, Shard>,
    pub releases: BTreeMap<Digest, ReleaseInfo>,
    pub quarantined: BTreeMap<Digest, Quarantine>,
    /// What was rolled back, aborted or failed: no policy starts it again before somebody allows it.
    pub declined: BTreeMap<Digest, Declined>,
    /// A plan was aborted halfway: nodes run two releases, and nothing is final.
    pub unfinished: Option<Unfinished>,
    pub plan: Option<Plan>,
    /// The number of the newest plan; 0 before the first.
    pub last_plan: PlanId,
    /// Ended plans, oldest first; at most [`ControlState::HISTORY_MAX`].
    pub history: VecDeque<HistoryEntry>,
    /// The change of the cluster's nodes that is under way.
    pub membership: Option<MembershipChange>,
    /// Nodes that left for good, oldest first; at most [`ControlState::REMOVED_MAX`].
    pub removed: VecDeque<NodeId>,
    pub security: Security,
    /// Who had the cluster do what.
    pub audit: Audit,
    /// None below [`Users::SINCE`].
    pub users: Users,
    /// None below [`Libraries::SINCE`].
    pub libraries: Libraries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Data,
    /// Votes in raft and holds no data.
    Witness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    /// `host:port` that clients are redirected to; where they come by TLS only, that is the same port as `tls_port`.
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    pub tls_port: Option<u16>,
    pub role: NodeRole,
    /// Does the node count towards raft's majority?
    pub voter: bool,
    pub shard: Option<ShardId>,
    pub incarnation: Incarnation,
    /// What the registered process runs.
    pub release: Release,
    /// The levels that the registered process admits.
    pub levels: LevelRange,
    /// The protocols that the node's running launcher speaks.
    pub launcher_protocol: WireRange,
    /// Where the registered process runs.
    pub machine: MachineId,
    /// The lowest level of anything that the node still holds (log, snapshot): it rises after a raise, by
    /// `LevelReached`.
    pub oldest: Level,
    /// Digests whose artifact the node holds, verified.
    pub staged: BTreeSet<Digest>,
    /// The newest word of an unstarted binary on this node's configuration.
    pub preflight: Option<Preflight>,
    /// Set while the node is committed out for a step.
    pub out: Option<OutStep>,
    /// Where it stands, for people. Set since [`ironcache_types::NEXT`]; `None` below it.
    #[cfg(feature = "next")]
    pub zone: Option<String>,
}

impl Node {
    pub fn member(&self) -> Member {
        Member { node: self.id, incarnation: self.incarnation }
    }
}

/// The step that took a node out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutStep {
    pub plan: PlanId,
    /// The step's fence: a node acts on it only if it is above its own `last_done`.
    pub epoch: Epoch,
    pub target: Release,
    /// Log index of `UpgradeSelf`; the node stops only after its primary has applied it.
    pub log_index: u64,
    pub phase: TrialPhase,
    /// Where the tail begins that the shard's keeper holds for it, if it left one full member behind: it took along
    /// everything below.
    pub base_from: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialPhase {
    /// Told to upgrade; the new binary has not registered yet.
    Told,
    /// `Confirm` is committed for this life of the node: it may make its trial final.
    Confirming { incarnation: Incarnation },
    /// The plan was ended without the node: it counts as out, and is in no in-sync set, until it says itself that no
    /// trial of this step runs or will run (`Rejoin`).
    SetAside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseInfo {
    pub release: Release,
    pub size_bytes: u64,
    /// The lowest version that this release can be rolled out from.
    pub min_from: Option<Version>,
    pub levels: LevelRange,
    /// The launcher protocols that its daemon speaks.
    pub launcher_protocol: WireRange,
    pub hold: StageHold,
}

/// May the policy start a staged release?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageHold {
    /// If it admits it.
    None,
    /// Staged with `--hold`: an operator starts it, or nobody.
    Held,
}

/// What a binary that is not started yet said about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The binary that was asked.
    pub digest: Digest,
    /// [`Plan::turn`] of the plan it was asked for.
    pub turn: Epoch,
    /// Why it would not start; its text names the configuration key if one is at fault.
    pub problem: Option<Reason>,
}

/// Why no policy starts a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    pub version: Version,
    pub plan: PlanId,
    pub reason: Reason,
}

/// What an aborted plan left: the next one goes on to its target or back to its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub origin: Release,
    pub target: Release,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub version: Version,
    pub node: NodeId,
    pub reason: Reason,
}

impl ControlState {
    /// Twenty ended plans: a year of monthly releases with some retries. All of it is in every snapshot.
    pub const HISTORY_MAX: usize = 20;

    /// Releases that are known, with who holds each. Fewer, and an operator who stages every build of a day finds the
    /// morning's forgotten; more are in every snapshot, and their binaries on every node's disk.
    pub const RELEASES_MAX: usize = 32;

    /// Raft waits for a majority of its voters with each entry: more than seven make every entry slower, and bear no more
    /// failures that a cluster of this kind meets.
    pub const VOTERS_MAX: usize = 7;

    /// Nodes that left and are still known by name. With fewer, a machine that comes back after years is only told that it
    /// is unknown; more are in every snapshot.
    pub const REMOVED_MAX: usize = 256;

    pub(crate) fn fresh_epoch(&mut self) -> Epoch {
        self.epoch = self.epoch.next();
        self.epoch
    }

    pub fn shard_of(&self, slot: Slot) -> Option<&Shard> {
        self.shards.values().find(|shard| shard.slots.contains(slot))
    }

    pub fn shard_of_node(&self, node: NodeId) -> Option<&Shard> {
        self.shards.get(&self.nodes.get(&node)?.shard?)
    }

    pub fn voters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|n| n.voter)
    }

    /// Voters needed for a majority.
    pub fn majority(&self) -> usize {
        self.voters().count() / 2 + 1
    }

    pub fn voters_out(&self) -> usize {
        self.voters().filter(|n| n.out.is_some()).count()
    }

    /// Is the node to leave, or has it left? It is given no role any more.
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.membership.is_some_and(|change| change.takes_away(node))
    }

    pub fn release_by_version(&self, version: &Version) -> Option<&ReleaseInfo> {
        self.releases.values().find(|r| r.release.version == *version)
    }

    /// The shard whose tail `node` keeps.
    pub fn shard_kept_by(&self, node: NodeId) -> Option<&Shard> {
        self.shards.values().find(|shard| shard.keeper.is_some_and(|keeper| keeper.member.node == node))
    }

    /// Is a node of the shard out?
    pub fn has_node_out(&self, shard: &Shard) -> bool {
        shard.nodes.iter().any(|id| self.nodes.get(id).is_some_and(|node| node.out.is_some()))
    }

    /// Is `node` the primary of a shard now?
    pub fn is_primary_node(&self, node: NodeId) -> bool {
        self.shard_of_node(node).and_then(Shard::primary).is_some_and(|p| p.node == node)
    }

    /// Does everybody run and have confirmed `digest`?
    pub fn all_on(&self, digest: Digest) -> bool {
        self.nodes.values().all(|n| n.release.digest == digest && n.out.is_none())
    }
}
