//! A roll as lines: one for each thing that changed between two looks.
//!
//! *Invariant:* pure. The same two looks give the same lines.

use crate::text;
use ironcache_api::{Plan, UpgradeNode, UpgradeStatus};
use ironcache_types::NodeId;

/// What is new in `after`. `before` is `None` at the first look.
pub(crate) fn changes(before: Option<&UpgradeStatus>, after: &UpgradeStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let plan_before = before.and_then(|b| b.plan.as_ref());
    if let Some(plan) = &after.plan {
        let stand = |plan: &Plan| (plan.id, plan.phase.clone(), plan.direction.clone());
        if plan_before.map(stand) != Some(stand(plan)) {
            lines.push(text::phase_line(plan));
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
            lines.push(text::ended_line(entry));
        }
    }
    lines
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
mod tests {
    use super::*;
    use crate::text::samples::{plan, reason, status};
    use ironcache_api::{Direction, HandoverRecord, HistoryEntry, HoldReason, NodeStep, Outcome, Phase};
    use ironcache_types::{Epoch, ShardId};

    #[test]
    fn only_what_changed_is_told() {
        let before = status(Some(plan(Phase::Rolling)), &[NodeStep::Waiting, NodeStep::Waiting]);
        let mut after = status(Some(plan(Phase::Rolling)), &[NodeStep::Waiting, NodeStep::Out]);
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

    #[test]
    fn a_plan_that_turns_round_is_told_though_its_phase_is_the_same() {
        let before = status(Some(plan(Phase::Rolling)), &[]);
        let mut back = plan(Phase::Rolling);
        back.direction = Direction::Back { reason: reason("by command") };
        let told = changes(Some(&before), &status(Some(back), &[]));
        assert_eq!(told, ["plan 1: 0.1.0 back to 0.2.0: rolling back: by command"]);
    }
}
