//! Is what an operator describes a cluster?

use super::Result;
use crate::command::InitCluster;
use crate::rejection::Rejection;
use crate::state::NodeRole;
use ironcache_types::{NodeId, SLOT_COUNT, ShardId};
use std::collections::BTreeSet;

pub(super) fn check_layout(init: &InitCluster) -> Result<()> {
    let bad = |detail: String| Err(Rejection::BadLayout { detail });
    let ids: BTreeSet<NodeId> = init.nodes.iter().map(|n| n.member.node).collect();
    if ids.len() != init.nodes.len() || ids.is_empty() {
        return bad("each node has to be named once".to_owned());
    }
    let shards: BTreeSet<ShardId> = init.shards.iter().map(|s| s.id).collect();
    if shards.len() != init.shards.len() {
        return bad("each shard has to be named once".to_owned());
    }
    if let Some(node) = init.nodes.iter().find(|n| !n.levels.is_range() || !n.launcher_protocol.is_range()) {
        return bad(format!("node {} says that it reads no level, or no launcher", node.member.node));
    }
    if !init.nodes.iter().any(|n| n.voter) {
        return bad("at least one node has to vote".to_owned());
    }
    let mut owners = vec![0u8; usize::from(SLOT_COUNT)];
    for shard in &init.shards {
        if shard.nodes.is_empty() {
            return bad(format!("shard {} has no node", shard.id));
        }
        let once: BTreeSet<&NodeId> = shard.nodes.iter().collect();
        if once.len() != shard.nodes.len() {
            return bad(format!("shard {} names a node twice", shard.id));
        }
        for range in &shard.slots.0 {
            if range.start > range.end || range.end >= SLOT_COUNT {
                return bad(format!("shard {} has the slot range {range}", shard.id));
            }
            for slot in range.start..=range.end {
                owners[usize::from(slot)] = owners[usize::from(slot)].saturating_add(1);
            }
        }
    }
    if let Some(slot) = owners.iter().position(|&count| count != 1) {
        return bad(format!("slot {slot} has {} owners, and one is needed", owners[slot]));
    }
    for node in &init.nodes {
        let of: Vec<ShardId> =
            init.shards.iter().filter(|s| s.nodes.contains(&node.member.node)).map(|s| s.id).collect();
        let fits = match node.role {
            NodeRole::Data => of.len() == 1 && node.shard == of.first().copied(),
            NodeRole::Witness => of.is_empty() && node.shard.is_none(),
        };
        if !fits {
            return bad(format!("node {} does not fit the shards that name it", node.member.node));
        }
    }
    if let Some(unknown) = init.shards.iter().flat_map(|s| &s.nodes).find(|n| !ids.contains(n)) {
        return bad(format!("node {unknown} of a shard is not listed"));
    }
    Ok(())
}
