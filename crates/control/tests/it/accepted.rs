//! What accepted commands do.

use crate::setup::{Cluster, S0, S1, new, old};
use ironcache_control::{
    AckMode, Applied, Command, HoldReason, LastLease, Outcome, Ownership, Phase, Reason, StepRole, StepState,
    TrialPhase,
};
use ironcache_types::{Level, NodeId, Offset};
use std::collections::BTreeSet;

/// From start to end by hand: the record that stays.
#[test]
fn a_whole_roll_leaves_its_record() {
    let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
    for (shard, to, then) in [(S0, 3, 1), (S1, 4, 2)] {
        cluster.ok(&cluster.hand_over(shard, to));
        cluster.ok(&cluster.promote(shard));
        let epoch = cluster.state.shards[&shard].epoch;
        cluster.ok(&Command::ReportHandover { shard, epoch, stall_us: 830 });
        cluster.upgrade(then);
    }
    cluster.ok(&cluster.soak());
    cluster.ok(&cluster.finalize());
    let ended = cluster.state.history.back().unwrap();
    assert_eq!(ended.outcome, Outcome::Finalized);
    let steps: Vec<_> = ended.plan.steps.iter().map(|s| (s.node.0, s.role, s.state.clone())).collect();
    let row = |node, role| (node, role, StepState::Confirmed);
    let expected = [
        row(3, StepRole::Replica),
        row(5, StepRole::Replica),
        row(4, StepRole::Replica),
        row(6, StepRole::Witness),
        row(1, StepRole::Primary),
        row(2, StepRole::Primary),
    ];
    assert_eq!(steps, expected);
    let stalls: Vec<_> = ended.plan.handovers.iter().map(|h| (h.from.0, h.to.0, h.stall_us)).collect();
    assert_eq!(stalls, [(1, 3, Some(830)), (2, 4, Some(830))]);
    assert_eq!(ended.plan.steps.iter().filter(|s| s.led_raft).map(|s| s.node.0).collect::<Vec<_>>(), [1]);
    assert!(cluster.state.all_on(new().digest) && cluster.state.plan.is_none());
}

#[test]
fn a_step_takes_its_node_out_of_the_in_sync_set_in_the_same_entry() {
    let mut cluster = Cluster::rolling();
    let (member, isr_epoch) = (cluster.member(3), cluster.state.shards[&S0].isr_epoch);
    cluster.ok(&cluster.take_out(3));
    let shard = &cluster.state.shards[&S0];
    assert!(!shard.in_sync.contains(&member) && shard.isr_epoch > isr_epoch);
    let out = cluster.state.nodes[&NodeId(3)].out.clone().unwrap();
    assert_eq!((out.log_index, out.phase, out.target), (cluster.log_index, TrialPhase::Told, new()));
}

#[test]
fn a_restart_of_the_primary_leaves_its_shard_recovering_and_the_others_in_sync() {
    let mut cluster = Cluster::in_sync();
    let was = cluster.member(1);
    cluster.ok(&cluster.restart(1, old()));
    let shard = &cluster.state.shards[&S0];
    assert_eq!(shard.ownership, Ownership::Recovering { last: was, lease: LastLease::Ended });
    assert_eq!(shard.in_sync, BTreeSet::from([cluster.member(3), cluster.member(5)]));
    assert!(cluster.state.shards[&S1].primary().is_some());
}

#[test]
fn after_a_failover_only_the_new_primary_is_in_sync() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(1, old()));
    cluster.ok(&cluster.fail_over(S0, 5));
    let shard = cluster.state.shards[&S0].clone();
    assert_eq!(shard.in_sync, BTreeSet::from([cluster.member(5)]));
    assert_eq!(shard.lineage.last().map(|l| (l.epoch, l.start)), Some((shard.epoch, None)));
    let ready = Command::PrimaryReady { shard: S0, epoch: shard.epoch, start: Offset(60) };
    cluster.ok(&ready);
    assert_eq!(cluster.state.shards[&S0].lineage.last().and_then(|l| l.start), Some(Offset(60)));
    assert_eq!(cluster.ok(&ready), Applied::Unchanged);
}

#[test]
fn the_last_owner_reclaims_a_shard_that_nobody_else_holds() {
    let mut cluster = Cluster::new();
    cluster.ok(&cluster.restart(1, old()));
    cluster.ok(&cluster.reclaim(S0, 1));
    assert_eq!(cluster.primary(S0), cluster.member(1));
}

#[test]
fn a_promotion_keeps_only_members_that_were_in_sync_before() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove_in_sync(S0, 5));
    cluster.ok(&cluster.hand_over(S0, 3));
    let (old_primary, left_out) = (cluster.member(1), cluster.member(5));
    let Command::Promote { shard, handover, to, offset, mut in_sync } = cluster.promote(S0) else {
        unreachable!("promote() makes a Promote")
    };
    in_sync.insert(left_out);
    cluster.ok(&Command::Promote { shard, handover, to, offset, in_sync });
    let shard = &cluster.state.shards[&S0];
    assert_eq!(shard.in_sync, BTreeSet::from([to, old_primary]));
    assert_eq!((shard.primary(), shard.handover), (Some(to), None));
}

#[test]
fn a_restart_of_either_side_ends_a_handover() {
    for node in [1, 3] {
        let mut cluster = Cluster::in_sync();
        cluster.ok(&cluster.hand_over(S0, 3));
        cluster.ok(&cluster.restart(node, old()));
        assert_eq!(cluster.state.shards[&S0].handover, None);
    }
}

/// It may go to a member that is not on the target, in every phase, and the order of the plan stands (I5).
#[test]
fn a_primary_that_leaves_during_a_plan_hands_over_and_still_goes_last() {
    let paused = |mut cluster: Cluster| {
        cluster.ok(&cluster.pause());
        cluster
    };
    let held = |mut cluster: Cluster| {
        cluster.ok(&cluster.hold());
        cluster
    };
    let phases =
        [Cluster::staged(), Cluster::rolling(), paused(Cluster::rolling()), held(Cluster::upgraded(&[3]))];
    for mut cluster in phases {
        let phase = cluster.state.plan.as_ref().map(|plan| plan.phase.clone());
        cluster.ok(&cluster.leave(S0, 5));
        cluster.ok(&cluster.promote(S0));
        assert_eq!(cluster.primary(S0), cluster.member(5));
        let plan = cluster.state.plan.as_ref().unwrap();
        assert_eq!((Some(plan.phase.clone()), plan.start_primaries[&S0]), (phase, NodeId(1)));
        assert_eq!(plan.handovers.iter().map(|h| (h.from.0, h.to.0)).collect::<Vec<_>>(), [(1, 5)]);
    }
    let mut cluster = Cluster::upgraded(&[3]);
    cluster.ok(&cluster.leave(S0, 5));
    cluster.ok(&cluster.promote(S0));
    cluster.ok(&cluster.restart(1, old()));
    cluster.ok(&cluster.add_in_sync(S0, 1));
    cluster.refused(&cluster.take_out(1), "primary_goes_last");
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    cluster.upgrade(5);
    cluster.upgrade(1);
}

#[test]
fn a_failed_step_quarantines_the_release_and_holds_the_plan() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.failed(3, true));
    assert!(cluster.state.quarantined.contains_key(&new().digest));
    assert!(cluster.state.nodes[&NodeId(3)].out.is_none());
    let phase = cluster.state.plan.as_ref().map(|p| p.phase.clone());
    let reason = HoldReason::StepFailed { node: NodeId(3), reason: Reason::new("exit", "exit status 7") };
    assert_eq!(phase, Some(Phase::Held { reason }));
}

#[test]
fn an_inconclusive_step_holds_the_plan_and_can_be_tried_again() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.failed(3, false));
    assert!(cluster.state.quarantined.is_empty());
    cluster.ok(&cluster.resume());
    cluster.ok(&cluster.begin_rolling());
    cluster.ok(&cluster.add_in_sync(S0, 3));
    cluster.upgrade(5);
    cluster.upgrade(3);
}

#[test]
fn the_first_reason_for_a_hold_stays() {
    let mut cluster = Cluster::rolling();
    for node in [3, 4] {
        cluster.go(node);
        cluster.ok(&cluster.restart(node, old()));
    }
    cluster.ok(&cluster.failed(3, true));
    let held = cluster.state.plan.as_ref().map(|p| p.phase.clone());
    cluster.ok(&cluster.failed(4, false));
    assert_eq!(cluster.state.plan.as_ref().map(|p| p.phase.clone()), held);
}

#[test]
fn a_plan_start_primary_takes_its_role_back_before_anybody_is_upgraded() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.restart(2, old()));
    cluster.ok(&cluster.fail_over(S1, 4));
    cluster.ok(&cluster.add_in_sync(S1, 2));
    cluster.ok(&cluster.hand_over(S1, 2));
    cluster.ok(&cluster.promote(S1));
    cluster.upgrade(4);
}

#[test]
fn the_history_is_bounded() {
    let mut cluster = Cluster::new();
    for _ in 0..ironcache_control::ControlState::HISTORY_MAX + 3 {
        cluster.ok(&cluster.start_plan());
        cluster.ok(&cluster.abort());
    }
    assert_eq!(cluster.state.history.len(), ironcache_control::ControlState::HISTORY_MAX);
    assert_eq!(cluster.state.history.back().map(|h| h.outcome), Some(Outcome::Aborted));
}

#[test]
fn the_mode_returns_to_primary_after_the_plan() {
    let mut cluster = Cluster::staged();
    cluster.ok(&cluster.abort());
    cluster.ok(&cluster.set_mode(S0, AckMode::Primary));
    assert_eq!(cluster.state.shards[&S0].mode, AckMode::Primary);
}

#[test]
fn finalize_raises_the_level_to_what_everybody_writes() {
    let mut cluster = Cluster::rolling();
    for node in cluster.state.nodes.values_mut() {
        node.release = new();
        node.levels.max = if node.id == NodeId(2) { Level(2) } else { Level(3) };
    }
    cluster.ok(&cluster.soak());
    cluster.ok(&cluster.finalize());
    assert_eq!(cluster.state.cluster_level, Level(2));
    // Until a node has written its files anew, it may still hold some of the level before.
    let (member, oldest) = (cluster.member(3), Level(2));
    assert_eq!(cluster.state.nodes[&NodeId(3)].oldest, Level(1));
    cluster.refused(&Command::LevelReached { member, oldest: Level(3) }, "not_yet");
    cluster.ok(&Command::LevelReached { member, oldest });
    assert_eq!(cluster.state.nodes[&NodeId(3)].oldest, Level(2));
}

#[test]
fn a_plan_that_was_stopped_is_aborted_without_the_nodes_that_are_out() {
    for stop in [Cluster::hold, Cluster::pause] {
        let mut cluster = Cluster::rolling();
        cluster.ok(&cluster.take_out(3));
        cluster.go(4);
        let stops = stop(&cluster);
        cluster.ok(&stops);
        cluster.ok(&cluster.abort());
        assert_eq!(cluster.state.plan, None);
        let ended = cluster.state.history.back().unwrap();
        assert_eq!(ended.outcome, Outcome::Aborted);
        for node in [3, 4] {
            let out = cluster.state.nodes[&NodeId(node)].out.clone().unwrap();
            assert_eq!(out.phase, TrialPhase::SetAside);
            let record = ended.plan.steps.iter().find(|step| step.epoch == out.epoch).unwrap();
            assert_eq!(record.state, StepState::SetAside);
            assert_eq!(record.ended_at_ms, Some(5));
        }
        // The shards go back to their steady mode, and the nodes come back one by one.
        cluster.refused(&cluster.set_mode(S0, AckMode::Primary), "node_out");
        cluster.ok(&cluster.rejoin(4));
        cluster.refused(&cluster.set_mode(S1, AckMode::Primary), "keeps_shard");
        cluster.ok(&cluster.add_in_sync(S1, 4));
        cluster.ok(&cluster.keep_no_more(S1));
        cluster.ok(&cluster.set_mode(S1, AckMode::Primary));
        cluster.refused(&cluster.start_plan(), "node_out");
        cluster.ok(&cluster.restart(3, new()));
        cluster.ok(&cluster.rejoin(3));
        cluster.ok(&cluster.add_in_sync(S0, 3));
        cluster.ok(&cluster.start_plan());
    }
}
