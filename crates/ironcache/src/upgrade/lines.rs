//! A roll as lines: one for each thing that changed between two looks.
//!
//! *Invariant:* pure. The same two looks give the same lines.

use ironcache_control::{Outcome, Phase, Plan};
use ironcache_node::api::{UpgradeNode, UpgradeStatus};
use ironcache_types::NodeId;

/// What is new in `after`. `before` is `None` at the first look.
pub(crate) fn changes(before: Option<&UpgradeStatus>, after: &UpgradeStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let plan_before = before.and_then(|b| b.plan.as_ref());
    if let Some(plan) = &after.plan {
        if plan_before.map(|p| (p.id, &p.phase)) != Some((plan.id, &plan.phase)) {
            lines.push(phase_line(plan));
        }
        let known = plan_before.filter(|p| p.id == plan.id).map_or(0, |p| p.handovers.len());
        for handover in plan.handovers.iter().skip(known) {
            let (from, to) = (name(after, handover.from), name(after, handover.to));
            lines.push(format!(
                "shard {}: handed over from {from} to {to}, epoch {}",
                handover.shard, handover.epoch
            ));
        }
    }
    for node in &after.nodes {
        let was = before.and_then(|b| b.nodes.iter().find(|n| n.node == node.node));
        if was.is_none_or(|was| (&was.step, &was.release) != (&node.step, &node.release)) {
            lines.push(node_line(node));
        }
    }
    let known = before.map_or(&[][..], |b| &b.history);
    for entry in after.history.iter().filter(|entry| known.iter().all(|k| k.plan.id != entry.plan.id)) {
        // Plans that ended before anybody looked are no news.
        if before.is_some() {
            lines.push(ended_line(&entry.plan, entry.outcome, entry.ended_at_ms));
        }
    }
    lines
}

pub(crate) fn phase_line(plan: &Plan) -> String {
    let head = format!(
        "plan {}: {} to {}: {}",
        plan.id,
        plan.origin.version,
        plan.target.version,
        plan.phase_word()
    );
    match &plan.phase {
        Phase::Held { reason } => format!("{head}: {reason}"),
        Phase::TurningBack { reason } => format!("{head}: {reason}"),
        Phase::Staging | Phase::Rolling | Phase::Paused | Phase::Soaking { .. } => head,
    }
}

pub(crate) fn ended_line(plan: &Plan, outcome: Outcome, ended_at_ms: u64) -> String {
    let took = crate::output::seconds(ended_at_ms.saturating_sub(plan.started_at_ms));
    let word = match outcome {
        Outcome::Finalized => "finalized",
        Outcome::Aborted => "aborted",
        Outcome::RolledBack => "rolled back",
        Outcome::Superseded => "superseded",
    };
    format!("plan {}: {} to {}: {word} after {took}", plan.id, plan.origin.version, plan.target.version)
}

pub(crate) fn node_line(node: &UpgradeNode) -> String {
    let shard = node.shard.map_or_else(String::new, |shard| format!(" of shard {shard}"));
    let leader = if node.leader { ", raft leader" } else { "" };
    format!(
        "{} ({}{shard}{leader}): {}, version {}",
        node.client_addr, node.role, node.step, node.release.version
    )
}

fn name(status: &UpgradeStatus, node: NodeId) -> String {
    let found = status.nodes.iter().find(|n| n.node == node);
    found.map_or_else(|| node.to_string(), |n| n.client_addr.clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ironcache_control::{HandoverRecord, HistoryEntry, HoldReason, PlanOptions};
    use ironcache_types::{Digest, Epoch, PlanId, Release, ShardId, Version};
    use std::collections::BTreeMap;

    fn release(minor: u64) -> Release {
        Release { version: Version::new(0, minor, 0), digest: Digest([minor as u8; 32]) }
    }

    pub(crate) fn plan(phase: Phase) -> Plan {
        Plan {
            id: PlanId(1),
            from: Version::new(0, 1, 0),
            target: release(2),
            options: PlanOptions::default(),
            phase,
            epoch: Epoch(9),
            start_leader: NodeId(1),
            start_primaries: BTreeMap::new(),
            steps: Vec::new(),
            handovers: Vec::new(),
            started_at_ms: 1_000,
        }
    }

    fn node(id: u64, step: &str) -> UpgradeNode {
        UpgradeNode {
            node: NodeId(id),
            client_addr: format!("127.0.0.1:{id}"),
            shard: Some(ShardId(0)),
            role: "replica".to_owned(),
            leader: false,
            release: release(1),
            step: step.to_owned(),
            in_sync: true,
            reachable: true,
        }
    }

    pub(crate) fn status(plan: Option<Plan>, steps: &[&str]) -> UpgradeStatus {
        let nodes = steps.iter().enumerate().map(|(i, step)| node(i as u64 + 1, step)).collect();
        UpgradeStatus { leader: NodeId(1), plan, waiting_on: Vec::new(), history: Vec::new(), nodes }
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = status(Some(plan(Phase::Rolling)), &["waiting", "waiting"]);
        let mut after = status(Some(plan(Phase::Rolling)), &["waiting", "out"]);
        assert_eq!(changes(Some(&before), &before), Vec::<String>::new());
        assert_eq!(changes(Some(&before), &after), ["127.0.0.1:2 (replica of shard 0): out, version 0.1.0"]);
        let (from, to) = (NodeId(1), NodeId(2));
        let handover = HandoverRecord { shard: ShardId(0), from, to, epoch: Epoch(12), stall_us: None };
        after.plan.as_mut().unwrap().handovers.push(handover);
        let told = changes(Some(&before), &after);
        assert_eq!(told[0], "shard 0: handed over from 127.0.0.1:1 to 127.0.0.1:2, epoch 12");
    }

    #[test]
    fn a_hold_is_told_with_its_reason() {
        let before = status(Some(plan(Phase::Rolling)), &[]);
        let reason = HoldReason::StepTimedOut { node: NodeId(2), waited_ms: 7 };
        let after = status(Some(plan(Phase::Held { reason })), &[]);
        let told = changes(Some(&before), &after);
        assert!(told[0].contains("held: node 0000000000000002 has been out for 7 ms"), "{told:?}");
    }

    #[test]
    fn the_end_is_told_once_and_old_ends_never() {
        let before = status(Some(plan(Phase::Rolling)), &[]);
        let mut after = status(None, &[]);
        let outcome = Outcome::Finalized;
        after.history.push(HistoryEntry { plan: plan(Phase::Rolling), outcome, ended_at_ms: 3_500 });
        assert_eq!(changes(Some(&before), &after), ["plan 1: 0.1.0 to 0.2.0: finalized after 2.50 s"]);
        assert!(changes(Some(&after), &after).is_empty());
        assert!(changes(None, &after).is_empty());
    }
}
