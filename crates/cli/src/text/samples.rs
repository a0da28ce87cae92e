//! Values that the tests of this crate say things about.

use ironcache_api::{
    Direction, NodeStep, Phase, Plan, PlanOptions, Reason, ServingRole, StartedBy, UpgradeNode, UpgradeStatus,
};
use ironcache_types::{Digest, Epoch, NodeId, PlanId, Release, ShardId, Version};
use std::collections::BTreeMap;

pub(crate) fn release(minor: u64) -> Release {
    Release { version: Version::new(0, minor, 0), digest: Digest([minor as u8; 32]) }
}

pub(crate) fn reason(text: &str) -> Reason {
    Reason { code: None, reason: text.to_owned() }
}

/// From 0.1.0 to 0.2.0, begun at one second.
pub(crate) fn plan(phase: Phase) -> Plan {
    Plan {
        id: PlanId(1),
        from: Version::new(0, 1, 0),
        target: release(2),
        started_by: StartedBy::Operator,
        direction: Direction::Forward,
        options: PlanOptions { max_parallel: 8, settle_ms: 100, step_timeout_ms: 120_000 },
        phase,
        epoch: Epoch(9),
        start_leader: NodeId(1),
        start_primaries: BTreeMap::new(),
        steps: Vec::new(),
        handovers: Vec::new(),
        started_at_ms: 1_000,
    }
}

/// A replica of shard 0 for each of `steps`, ids from 1.
pub(crate) fn status(plan: Option<Plan>, steps: &[NodeStep]) -> UpgradeStatus {
    let node = |(id, step): (u64, &NodeStep)| UpgradeNode {
        node: NodeId(id),
        client_addr: format!("127.0.0.1:{id}"),
        shard: Some(ShardId(0)),
        role: ServingRole::Replica,
        leader: false,
        release: release(1),
        step: step.clone(),
        in_sync: true,
        reachable: true,
    };
    UpgradeStatus {
        leader: NodeId(1),
        now_ms: Some(10_000),
        plan,
        waiting_on: Vec::new(),
        addresses: Default::default(),
        soaking: None,
        history: Vec::new(),
        nodes: (1..).zip(steps).map(node).collect(),
    }
}
