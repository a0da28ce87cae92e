//! The cluster's creation, and processes that register.

use super::Result;
use super::layout::check_layout;
use super::policy::{check_policy, check_reachable};
use super::releases::check_range;
use super::security::first_security;
use crate::command::{Command, InitCluster, NodeSpec};
use crate::rejection::{Applied, Rejection};
use crate::shard::{LastLease, LineageEntry, Losses, Ownership, Shard};
use crate::state::{ControlState, Node};
use ironcache_types::{Level, Member, Offset};
use std::collections::BTreeSet;

impl ControlState {
    pub(super) fn init_cluster(&mut self, init: &InitCluster) -> Result {
        let InitCluster { cluster_id, nodes, shards, policy, security: _ } = init;
        if let Some(existing) = self.cluster_id {
            return if existing == *cluster_id {
                Ok(Applied::Unchanged)
            } else {
                Err(Rejection::ClusterExists)
            };
        }
        check_layout(init)?;
        check_policy(policy)?;
        check_reachable(policy.min_in_sync, shards.iter().map(|s| s.nodes.len()))?;
        let level = least_level(nodes)?;
        self.security = first_security(init)?;
        self.cluster_id = Some(*cluster_id);
        self.cluster_level = level;
        self.policy = *policy;
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
                    levels: spec.levels,
                    launcher_protocol: spec.launcher_protocol,
                    machine: spec.machine,
                    oldest: level,
                    staged: BTreeSet::new(),
                    preflight: None,
                    out: None,
                    #[cfg(feature = "next")]
                    zone: super::next::first_zone(level),
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
                    mode: policy.steady_mode,
                    lineage: vec![LineageEntry { epoch, start: Some(Offset(0)) }],
                    handover: None,
                    losses: Losses::default(),
                    keeper: None,
                    keeper_wanted: None,
                    exposed: false,
                },
            );
        }
        self.changed()
    }

    pub(super) fn register_node(&mut self, command: &Command) -> Result {
        let Command::RegisterNode {
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
        } = command
        else {
            unreachable!("called for RegisterNode only")
        };
        if self.removed.contains(&member.node) {
            return Err(Rejection::Removed { node: member.node });
        }
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if member.incarnation < node.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        if member.incarnation == node.incarnation && *release != node.release {
            let (node, incarnation) = (member.node, member.incarnation);
            return Err(Rejection::OtherRelease { node, incarnation });
        }
        check_range(*launcher_protocol)?;
        // Such a process stops by itself as soon as it knows the level; until then it has no role.
        if !levels.admits(self.cluster_level) {
            let (version, admits, level) = (release.version.clone(), *levels, self.cluster_level);
            return Err(Rejection::CannotRead { version, admits, level });
        }
        #[cfg(feature = "next")]
        let zone = self.zone_of(node, zone.as_ref())?;
        let next = Node {
            client_addr: client_addr.clone(),
            peer_addr: peer_addr.clone(),
            http_addr: http_addr.clone(),
            incarnation: member.incarnation,
            release: release.clone(),
            levels: *levels,
            launcher_protocol: *launcher_protocol,
            machine: *machine,
            #[cfg(feature = "next")]
            zone,
            ..node.clone()
        };
        if next == *node {
            return Ok(Applied::Unchanged);
        }
        // The data directory's lock proves that the earlier process ended, on the machine that holds it. From elsewhere
        // nothing does.
        let lease = match node.machine.is_same(*machine) {
            true => LastLease::Ended,
            false => LastLease::MayRun,
        };
        self.nodes.insert(member.node, next);
        let epoch = self.fresh_epoch();
        for shard in self.shards.values_mut() {
            shard.revoke(member.node, member.incarnation, lease, epoch);
        }
        self.changed()
    }

    /// Whatever the node keeps is at `oldest` or above: no file of its asks an older reader for anything.
    pub(super) fn level_reached(&mut self, member: Member, oldest: Level) -> Result {
        let level = self.cluster_level;
        let node = self.nodes.get_mut(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            let (seen, current) = (member.incarnation, node.incarnation);
            return Err(Rejection::StaleIncarnation { node: member.node, seen, current });
        }
        if oldest > level {
            return Err(Rejection::NotYet { level: oldest, state: level });
        }
        if oldest <= node.oldest {
            return Ok(Applied::Unchanged);
        }
        node.oldest = oldest;
        self.changed()
    }
}

/// The least of the levels that the nodes can write, which has to be one that all of them admit.
fn least_level(nodes: &[NodeSpec]) -> Result<Level> {
    let least = nodes.iter().map(|n| n.levels.max).min().unwrap_or(Level::FIRST);
    match nodes.iter().find(|n| !n.levels.admits(least)) {
        None => Ok(least),
        Some(node) => Err(Rejection::CannotRead {
            version: node.release.version.clone(),
            admits: node.levels,
            level: least,
        }),
    }
}
