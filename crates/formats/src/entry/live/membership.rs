//! The cluster's creation, and processes that register.

use crate::BadField;
#[cfg(feature = "next")]
use crate::entry::next::RegisterNode;
#[cfg(not(feature = "next"))]
use crate::entry::v1::membership::RegisterNode;
use crate::entry::v1::membership::{InitCluster, NodeSpec, ShardSpec};

use crate::parts::{all, each, slot_set, slots};
use ironcache_control as live;
use ironcache_control::Command;
use ironcache_types::{ClusterId, MachineId, NodeId, ShardId};

impl From<&live::InitCluster> for InitCluster {
    fn from(init: &live::InitCluster) -> Self {
        let live::InitCluster { cluster_id, nodes, shards, policy, security } = init;
        InitCluster {
            cluster_id: cluster_id.0,
            nodes: each(nodes),
            shards: each(shards),
            policy: policy.into(),
            security: security.into(),
        }
    }
}

impl TryFrom<InitCluster> for Command {
    type Error = BadField;

    fn try_from(init: InitCluster) -> Result<Self, BadField> {
        let InitCluster { cluster_id, nodes, shards, policy, security } = init;
        Ok(Command::InitCluster(live::InitCluster {
            cluster_id: ClusterId(cluster_id),
            nodes: all(nodes)?,
            shards: each(shards),
            policy: policy.into(),
            security: security.into(),
        }))
    }
}

impl From<&live::NodeSpec> for NodeSpec {
    fn from(spec: &live::NodeSpec) -> Self {
        let live::NodeSpec {
            member,
            client_addr,
            peer_addr,
            http_addr,
            role,
            voter,
            shard,
            release,
            levels,
            launcher_protocol,
            machine,
        } = spec;
        NodeSpec {
            member: (*member).into(),
            client_addr: client_addr.clone(),
            peer_addr: peer_addr.clone(),
            http_addr: http_addr.clone(),
            role: (*role).into(),
            voter: *voter,
            shard: shard.map(|id| id.0),
            release: release.into(),
            levels: (*levels).into(),
            launcher_protocol: (*launcher_protocol).into(),
            machine: machine.0,
        }
    }
}

impl TryFrom<NodeSpec> for live::NodeSpec {
    type Error = BadField;

    fn try_from(spec: NodeSpec) -> Result<Self, BadField> {
        let NodeSpec {
            member,
            client_addr,
            peer_addr,
            http_addr,
            role,
            voter,
            shard,
            release,
            levels,
            launcher_protocol,
            machine,
        } = spec;
        Ok(live::NodeSpec {
            member: member.into(),
            client_addr,
            peer_addr,
            http_addr,
            role: role.into(),
            voter,
            shard: shard.map(ShardId),
            release: release.try_into()?,
            levels: levels.into(),
            launcher_protocol: launcher_protocol.into(),
            machine: MachineId(machine),
        })
    }
}

impl From<&live::ShardSpec> for ShardSpec {
    fn from(live::ShardSpec { id, slots: ranges, nodes }: &live::ShardSpec) -> Self {
        ShardSpec { id: id.0, slots: slots(ranges), nodes: nodes.iter().map(|node| node.0).collect() }
    }
}

impl From<ShardSpec> for live::ShardSpec {
    fn from(ShardSpec { id, slots, nodes }: ShardSpec) -> Self {
        live::ShardSpec {
            id: ShardId(id),
            slots: slot_set(&slots),
            nodes: nodes.into_iter().map(NodeId).collect(),
        }
    }
}

impl TryFrom<RegisterNode> for Command {
    type Error = BadField;

    fn try_from(register: RegisterNode) -> Result<Self, BadField> {
        let RegisterNode {
            member,
            client_addr,
            peer_addr,
            http_addr,
            release,
            levels,
            launcher_protocol,
            machine,
            #[cfg(feature = "next")]
            zone,
        } = register;
        Ok(Command::RegisterNode {
            member: member.into(),
            client_addr,
            peer_addr,
            http_addr,
            release: release.try_into()?,
            levels: levels.into(),
            launcher_protocol: launcher_protocol.into(),
            machine: MachineId(machine),
            #[cfg(feature = "next")]
            zone,
        })
    }
}
