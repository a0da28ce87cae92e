//! What a seed decides before the first tick: the cluster's shape, and what will go wrong.

use crate::rng::Rng;
use ironcache_control::{
    FinalizeAfter, InitCluster, NodeRole, NodeSpec, OnFailure, Policy, RaftTimers, ReleaseInfo, ShardSpec,
    StageHold,
};
use ironcache_types::{
    ClusterId, Digest, Incarnation, LEVELS, LevelRange, MachineId, Member, NodeId, Release, ShardId, SlotSet,
    Version, WireRange,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub shards: u16,
    pub nodes_per_shard: u16,
    pub witnesses: u16,
    pub voters: usize,
    /// Does the new release fail to start?
    pub bad_release: bool,
    pub on_failure: OnFailure,
    /// How long a plan soaks before it becomes final.
    pub soak_s: u64,
    /// Does the operator want everybody back, once, while the plan is under way?
    pub turns_back: bool,
    /// Faults per thousand node-ticks.
    pub kills_per_mille: u64,
    pub cuts_per_mille: u64,
    /// Lost proposals, in percent; as many are doubled.
    pub lost_percent: u64,
}

impl Scenario {
    pub fn of(rng: &mut Rng) -> Self {
        let shapes = [(3, 2, 0, 5), (1, 3, 0, 3), (1, 2, 1, 3), (2, 2, 1, 5), (2, 3, 0, 5)];
        let (shards, nodes_per_shard, witnesses, voters) = shapes[rng.below(shapes.len() as u64) as usize];
        Scenario {
            shards,
            nodes_per_shard,
            witnesses,
            voters,
            bad_release: rng.chance(1, 5),
            on_failure: if rng.chance(2, 3) { OnFailure::Rollback } else { OnFailure::Hold },
            soak_s: rng.below(3),
            turns_back: rng.chance(1, 4),
            kills_per_mille: rng.below(4),
            cuts_per_mille: rng.below(3),
            lost_percent: rng.below(20),
        }
    }

    pub fn layout(&self) -> InitCluster {
        let data = self.shards * self.nodes_per_shard;
        let spec = |index: u16| {
            let id = u64::from(index) + 1;
            let from_end = usize::from(data + self.witnesses - 1 - index);
            NodeSpec {
                member: Member { node: NodeId(id), incarnation: Incarnation(1) },
                client_addr: format!("c{id}"),
                peer_addr: format!("p{id}"),
                http_addr: format!("h{id}"),
                role: if index < data { NodeRole::Data } else { NodeRole::Witness },
                // From the end, so that witnesses vote.
                voter: from_end < self.voters,
                shard: (index < data).then_some(ShardId(index % self.shards)),
                release: old(),
                levels: levels(&old()),
                launcher_protocol: WireRange::CURRENT,
                machine: MachineId(u128::from(id)),
            }
        };
        let nodes: Vec<NodeSpec> = (0..data + self.witnesses).map(spec).collect();
        let shard = |id: u16| ShardSpec {
            id: ShardId(id),
            slots: SlotSet::part(id, self.shards),
            nodes: nodes.iter().filter(|n| n.shard == Some(ShardId(id))).map(|n| n.member.node).collect(),
        };
        let shards = (0..self.shards).map(shard).collect();
        // Simulated machines are slow: entries take tens of ms.
        let policy = Policy {
            handover_timeout_ms: 400,
            finalize_after: FinalizeAfter::Seconds(self.soak_s),
            on_failure: self.on_failure,
            settle_ms: 50,
            step_timeout_s: 6,
            // A lease of 300 ms: several times what a message needs, and less than many a fault lasts.
            timers: RaftTimers { heartbeat_ms: 10, election_min_ms: 50, election_max_ms: 100 },
            ..Policy::default()
        };
        InitCluster {
            cluster_id: ClusterId(7),
            nodes,
            shards,
            policy,
            security: ironcache_control::NewSecurity::Insecure,
        }
    }
}

/// The levels that a release admits. With the feature `next` the new one is this source's future, one level above.
pub(crate) fn levels(release: &Release) -> LevelRange {
    if *release == new() { LEVELS } else { LevelRange::new(1, 1) }
}

pub(crate) fn info(release: Release) -> ReleaseInfo {
    let levels = levels(&release);
    ReleaseInfo {
        release,
        size_bytes: 9,
        min_from: None,
        levels,
        launcher_protocol: WireRange::CURRENT,
        hold: StageHold::None,
    }
}

pub(crate) fn old() -> Release {
    Release { version: Version::new(1, 3, 0), digest: Digest([3; 32]) }
}

pub(crate) fn new() -> Release {
    Release { version: Version::new(1, 4, 0), digest: Digest([4; 32]) }
}
