//! The cluster's creation, and processes that register.

use super::Result;
use super::layout::check_layout;
use crate::command::{Command, InitCluster};
use crate::rejection::{Applied, Rejection};
use crate::shard::{LineageEntry, Ownership, Shard};
use crate::state::{ControlState, Node};
use ironcache_types::Offset;
use std::collections::BTreeSet;

impl ControlState {
    pub(super) fn init_cluster(&mut self, init: &InitCluster) -> Result {
        let InitCluster { cluster_id, nodes, shards, mode } = init;
        if let Some(existing) = self.cluster_id {
            return if existing == *cluster_id {
                Ok(Applied::Unchanged)
            } else {
                Err(Rejection::ClusterExists)
            };
        }
        check_layout(init)?;
        self.cluster_id = Some(*cluster_id);
        self.cluster_level = nodes.iter().map(|spec| spec.wire.max).min().unwrap_or(1);
        for spec in nodes {
            self.nodes.insert(
                spec.member.node,
                Node {
                    id: spec.member.node,
                    client_addr: spec.client_addr.clone(),
                    peer_addr: spec.peer_addr.clone(),
                    http_addr: spec.http_addr.clone(),
                    role: spec.role,
                    voter: spec.voter,
                    shard: spec.shard,
                    incarnation: spec.member.incarnation,
                    release: spec.release.clone(),
                    wire: spec.wire,
                    staged: BTreeSet::new(),
                    out: None,
                },
            );
        }
        for spec in shards {
            let epoch = self.fresh_epoch();
            let primary = self.nodes[&spec.nodes[0]].member();
            self.shards.insert(
                spec.id,
                Shard {
                    id: spec.id,
                    slots: spec.slots.clone(),
                    nodes: spec.nodes.clone(),
                    ownership: Ownership::Serving(primary),
                    epoch,
                    isr_epoch: epoch,
                    in_sync: BTreeSet::from([primary]),
                    mode: *mode,
                    steady_mode: *mode,
                    lineage: vec![LineageEntry { epoch, start: Some(Offset(0)) }],
                    handover: None,
                },
            );
        }
        self.changed()
    }

    pub(super) fn register_node(&mut self, command: &Command) -> Result {
        let Command::RegisterNode { member, client_addr, peer_addr, http_addr, release, wire } = command
        else {
            unreachable!("called for RegisterNode only")
        };
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if member.incarnation < node.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        let next = Node {
            client_addr: client_addr.clone(),
            peer_addr: peer_addr.clone(),
            http_addr: http_addr.clone(),
            incarnation: member.incarnation,
            release: release.clone(),
            wire: *wire,
            ..node.clone()
        };
        if next == *node {
            return Ok(Applied::Unchanged);
        }
        self.nodes.insert(member.node, next);
        let epoch = self.fresh_epoch();
        for shard in self.shards.values_mut() {
            shard.revoke(member.node, member.incarnation, epoch);
        }
        self.changed()
    }
}
