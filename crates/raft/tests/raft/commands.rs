//! Commands that a control state accepts.

use ironcache_control::{Command, InitCluster, NodeRole, NodeSpec, Policy, ShardSpec};
use ironcache_types::{
    ClusterId, Digest, Incarnation, LevelRange, Member, NodeId, Release, ShardId, SlotSet, Version, WireRange,
};

/// The cluster that these commands speak of.
pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);

fn release() -> Release {
    Release { version: Version::new(0, 1, 0), digest: Digest([7; 32]) }
}

fn spec(id: u64) -> NodeSpec {
    NodeSpec {
        member: Member { node: NodeId(id), incarnation: Incarnation(100 + id) },
        client_addr: format!("127.0.0.1:{}", 7000 + id),
        peer_addr: format!("127.0.0.1:{}", 17000 + id),
        http_addr: format!("127.0.0.1:{}", 27000 + id),
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        release: release(),
        // At the first level, whatever else the build admits: what is golden stays.
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId(u128::from(id)),
    }
}

/// A cluster of one shard on three nodes.
pub(crate) fn init_cluster() -> Command {
    Command::InitCluster(InitCluster {
        cluster_id: CLUSTER,
        nodes: (1..=3).map(spec).collect(),
        shards: vec![ShardSpec {
            id: ShardId(0),
            slots: SlotSet::part(0, 1),
            nodes: (1..=3).map(NodeId).collect(),
        }],
        policy: Policy::default(),
        security: ironcache_control::NewSecurity::Insecure,
    })
}

/// An accepted command that changes something each time.
pub(crate) fn register(id: u64, incarnation: u64) -> Command {
    let NodeSpec { client_addr, peer_addr, http_addr, release, levels, launcher_protocol, machine, .. } =
        spec(id);
    let member = Member { node: NodeId(id), incarnation: Incarnation(incarnation) };
    Command::RegisterNode {
        member,
        client_addr,
        peer_addr,
        http_addr,
        release,
        levels,
        launcher_protocol,
        machine,
        #[cfg(feature = "next")]
        zone: None,
    }
}
