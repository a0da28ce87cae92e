//! Soaking, turning round, and what a policy starts.

use crate::setup::{Cluster, S0, S1, new, old};
use ironcache_control::{
    AckMode, Applied, AutoRollout, Command, Direction, FinalizeAfter, HoldReason, Outcome, Phase, Reason,
    StageHold, StartedBy,
};
use ironcache_types::{Level, LevelRange, NodeId};

/// Back in staging, with everything that the way back waits for.
fn turned(mut cluster: Cluster) -> Cluster {
    cluster.ok(&cluster.roll_back());
    cluster.ok(&cluster.turn_back());
    for node in 1..=6 {
        cluster.ok(&cluster.preflight(node));
    }
    for shard in [S0, S1] {
        if cluster.state.shards[&shard].mode != AckMode::InSync {
            cluster.ok(&cluster.set_mode(shard, AckMode::InSync));
        }
    }
    cluster.ok(&cluster.begin_rolling());
    cluster
}

fn step_back(cluster: &mut Cluster, node: u64) {
    cluster.go(node);
    cluster.ok(&cluster.restart(node, old()));
    let out = cluster.state.nodes[&NodeId(node)].out.clone().unwrap();
    let (plan, step, member, digest) = (out.plan, out.epoch, cluster.member(node), old().digest);
    cluster.ok(&Command::Confirm { plan, step, member, digest });
    cluster.ok(&Command::Confirmed { plan, step, member, digest, at_ms: 9 });
    if let Some(shard) = cluster.state.nodes[&NodeId(node)].shard {
        cluster.ok(&cluster.add_in_sync(shard, node));
        cluster.ok(&cluster.keep_no_more(shard));
    }
}

#[test]
fn a_soaking_plan_goes_back_primary_last_and_its_release_is_declined() {
    let mut cluster = turned(Cluster::soaking());
    let plan = cluster.state.plan.clone().unwrap();
    assert_eq!((&plan.target, &plan.origin), (&old(), &new()));
    // Nodes 3 and 4 are the primaries now: they go last.
    cluster.refused(&cluster.take_out(3), "is_primary");
    for node in [1, 5, 2, 6] {
        step_back(&mut cluster, node);
    }
    for (shard, to, then) in [(S0, 1, 3), (S1, 2, 4)] {
        cluster.ok(&cluster.hand_over(shard, to));
        cluster.ok(&cluster.promote(shard));
        step_back(&mut cluster, then);
    }
    cluster.refused(&cluster.soak(), "goes_back");
    cluster.ok(&cluster.finalize());
    let ended = cluster.state.history.back().unwrap();
    assert_eq!(ended.outcome, Outcome::RolledBack);
    assert!(cluster.state.nodes.values().all(|n| n.release == old()));
    assert_eq!(cluster.state.declined[&new().digest].reason.text, "latency doubled");
    assert_eq!(cluster.state.unfinished, None);
}

#[test]
fn a_way_back_that_is_begun_before_all_are_back_is_not_final() {
    let mut cluster = turned(Cluster::soaking());
    step_back(&mut cluster, 1);
    cluster.refused(&cluster.finalize(), "not_on_target");
}

#[test]
fn a_preflight_of_the_way_forward_is_none_of_the_way_back() {
    let mut cluster = Cluster::soaking();
    let late = cluster.preflight(3);
    cluster.ok(&cluster.roll_back());
    cluster.ok(&cluster.turn_back());
    cluster.refused(&late, "stale_epoch");
    cluster.ok(&cluster.set_mode_if_needed(S0));
    cluster.refused(&cluster.begin_rolling(), "not_preflighted");
    let Command::ReportPreflight { member, digest, turn, .. } = cluster.preflight(3) else {
        unreachable!("a preflight")
    };
    let problem = Some(Reason::new("unknown_key", "next-key is not known"));
    for node in [1, 2, 4, 5, 6] {
        cluster.ok(&cluster.preflight(node));
    }
    cluster.ok(&Command::ReportPreflight { member, digest, turn, problem });
    cluster.refused(&cluster.begin_rolling(), "preflight_failed");
    cluster.ok(&Command::ReportPreflight { member, digest, turn, problem: None });
}

#[test]
fn nobody_turns_round_while_a_node_is_out() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.ok(&cluster.roll_back());
    cluster.refused(&cluster.roll_back(), "no_rollback");
    cluster.refused(&cluster.turn_back(), "no_rollback");
    cluster.refused(&cluster.take_out(4), "wrong_phase");
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.failed(3, false));
    assert!(matches!(cluster.state.plan.as_ref().unwrap().phase, Phase::TurningBack { .. }));
    cluster.ok(&cluster.turn_back());
    let plan = cluster.state.plan.as_ref().unwrap();
    assert!(matches!(plan.direction, Direction::Back { .. }));
    // Nobody was upgraded: there is nothing to take back.
    cluster.ok(&cluster.begin_rolling());
    cluster.ok(&cluster.finalize());
    assert_eq!(cluster.state.history.back().unwrap().outcome, Outcome::RolledBack);
}

#[test]
fn soaking_holds_no_mode_and_admits_no_other_plan() {
    let mut cluster = Cluster::soaking();
    cluster.ok(&cluster.set_mode(S0, AckMode::Primary));
    cluster.refused(&cluster.start_plan(), "soaking");
    cluster.refused(&cluster.abort(), "soaking");
    cluster.refused(&cluster.pause(), "wrong_phase");
    cluster.ok(&cluster.finalize());
    cluster.refused(&cluster.roll_back_of_none(), "no_plan");
}

fn soaked_ms(cluster: &Cluster) -> u64 {
    let Phase::Soaking { soaked_ms, .. } = cluster.state.plan.as_ref().unwrap().phase else {
        panic!("it does not soak");
    };
    soaked_ms
}

#[test]
fn what_leaders_count_of_a_soak_only_grows_and_is_at_most_the_whole_of_it() {
    let mut cluster = Cluster::soaking();
    let (since, epoch) = (cluster.state.plan.clone().unwrap().phase, cluster.state.epoch);
    assert_eq!(since, Phase::Soaking { since_ms: 7, soaked_ms: 0 });
    let whole_ms = cluster.state.plan.as_ref().unwrap().options.finalize_after.soak_ms().unwrap();
    let said = [60_000, 30_000, 60_000, 120_000, 0, u64::MAX, whole_ms - 1];
    let held = [60_000, 60_000, 60_000, 120_000, 120_000, whole_ms, whole_ms];
    for (ms, holds) in said.into_iter().zip(held) {
        let grows = holds > soaked_ms(&cluster);
        let applied = cluster.ok(&cluster.soaked(ms));
        assert_eq!((soaked_ms(&cluster), applied != Applied::Unchanged), (holds, grows), "{ms}");
    }
    // Nothing that was proposed meanwhile is void by it.
    assert_eq!(cluster.state.epoch, epoch);
    cluster.ok(&cluster.finalize());
}

#[test]
fn a_count_is_of_the_soak_that_its_leader_saw() {
    let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
    cluster.refused(&cluster.soaked(1), "wrong_phase");
    let mut cluster = Cluster::soaking();
    let of_the_first = cluster.soaked(60_000);
    let (plan, plan_epoch) = cluster.plan();
    let reason = HoldReason::StateMismatch { node: NodeId(1), log_index: 4 };
    cluster.ok(&Command::Hold { plan, plan_epoch, reason });
    cluster.refused(&of_the_first, "stale_epoch");
    cluster.ok(&Command::Resume { plan });
    cluster.ok(&cluster.begin_rolling());
    cluster.ok(&cluster.soak());
    // It soaks from the beginning, and what was counted before is of another time.
    cluster.refused(&of_the_first, "stale_epoch");
    assert_eq!(soaked_ms(&cluster), 0);
    cluster.ok(&cluster.soaked(1));
    cluster.ok(&cluster.finalize());
    cluster.refused(&of_the_first, "no_plan");
}

#[test]
fn nobody_counts_the_soak_of_a_plan_that_ends_by_command_only() {
    let mut cluster = Cluster::soaking();
    cluster.state.plan.as_mut().unwrap().options.finalize_after = FinalizeAfter::Never;
    assert_eq!(cluster.ok(&cluster.soaked(u64::MAX)), Applied::Unchanged);
    assert_eq!(soaked_ms(&cluster), 0);
}

#[test]
fn nothing_is_final_before_all_confirm_or_above_what_a_node_admits() {
    let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
    cluster.refused(&cluster.soak(), "not_on_target");
    // Every node runs the target, and the last one is on trial still: it may yet go back by itself.
    for (shard, to) in [(S0, 3), (S1, 4)] {
        cluster.ok(&cluster.hand_over(shard, to));
        cluster.ok(&cluster.promote(shard));
    }
    cluster.upgrade(1);
    cluster.go(2);
    cluster.ok(&cluster.restart(2, new()));
    cluster.refused(&cluster.soak(), "node_out");
    cluster.ok(&cluster.confirm(2));
    cluster.refused(&cluster.soak(), "node_out");
    cluster.ok(&cluster.confirmed(2));
    cluster.ok(&cluster.soak());
    let mut cluster = Cluster::soaking();
    let finalize = |cluster: &Cluster, level| {
        let plan = cluster.state.plan.as_ref().unwrap();
        Command::Finalize { plan: plan.id, plan_epoch: plan.epoch, level, at_ms: 6 }
    };
    cluster.refused(&finalize(&cluster, Level(2)), "cannot_read");
    for node in cluster.state.nodes.values_mut() {
        node.levels = LevelRange::new(1, 3);
    }
    cluster.ok(&finalize(&cluster, Level(3)));
    assert_eq!(cluster.state.cluster_level, Level(3));
    // From here on the old release is one that cannot read the cluster.
    let target = old();
    let (options, leader) = (cluster.state.policy.plan_options(), NodeId(1));
    let start = Command::StartPlan { target, options, leader, started_by: StartedBy::Operator, at_ms: 1 };
    cluster.refused(&start, "cannot_read");
}

#[test]
fn an_aborted_half_goes_on_or_back_and_nowhere_else() {
    let mut cluster = Cluster::upgraded(&[3]);
    cluster.ok(&cluster.abort());
    let left = cluster.state.unfinished.clone().unwrap();
    assert_eq!((left.origin, left.target), (old(), new()));
    let third = ironcache_types::Release {
        version: ironcache_types::Version::new(1, 5, 0),
        digest: ironcache_types::Digest([5; 32]),
    };
    cluster.ok(&Command::RegisterRelease { info: crate::setup::info(third.clone()) });
    let to = |target: ironcache_types::Release| Command::StartPlan {
        target,
        options: ironcache_control::PlanOptions::default(),
        leader: NodeId(1),
        started_by: StartedBy::Operator,
        at_ms: 0,
    };
    cluster.refused(&to(third), "unfinished");
    let mut back = Cluster { state: cluster.state.clone(), log_index: cluster.log_index };
    back.ok(&to(old()));
    assert_eq!(back.state.plan.as_ref().unwrap().origin, new());
    cluster.ok(&to(new()));
    assert_eq!(cluster.state.plan.as_ref().unwrap().origin, old());
}

fn policy_cluster(auto: AutoRollout) -> Cluster {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.set_policy(|p| p.auto_rollout = auto));
    for node in 1..=6 {
        cluster.ok(&Command::ReportStaged { node: NodeId(node), digest: new().digest });
    }
    cluster
}

#[test]
fn a_policy_starts_what_it_admits_once() {
    policy_cluster(AutoRollout::Off).refused(&Cluster::in_sync().start_by_policy(), "not_by_policy");
    let mut patch = policy_cluster(AutoRollout::Patch);
    patch.refused(&patch.start_by_policy(), "not_by_policy");
    let mut minor = policy_cluster(AutoRollout::Minor);
    let twice = minor.start_by_policy();
    minor.ok(&twice);
    minor.refused(&twice, "plan_active");
    assert_eq!(minor.state.plan.as_ref().unwrap().started_by, StartedBy::Policy);
    // What was ended by somebody is not started again, until somebody allows it.
    minor.ok(&minor.abort());
    minor.refused(&twice, "declined");
    minor.ok(&Command::AllowRelease { digest: new().digest });
    minor.ok(&twice);
}

#[test]
fn a_policy_waits_until_every_node_holds_the_release_and_leaves_what_is_held() {
    let mut cluster = policy_cluster(AutoRollout::Minor);
    cluster.state.nodes.get_mut(&NodeId(5)).unwrap().staged.clear();
    cluster.refused(&cluster.start_by_policy(), "not_by_policy");
    let mut cluster = policy_cluster(AutoRollout::Minor);
    let mut held = crate::setup::info(new());
    held.hold = StageHold::Held;
    cluster.ok(&Command::RegisterRelease { info: held });
    cluster.refused(&cluster.start_by_policy(), "not_by_policy");
    cluster.ok(&cluster.start_plan());
}

#[test]
fn an_operators_plan_takes_the_place_of_one_of_the_policy_that_has_done_nothing() {
    let mut cluster = policy_cluster(AutoRollout::Minor);
    cluster.ok(&cluster.start_by_policy());
    cluster.ok(&cluster.start_plan());
    assert_eq!(cluster.state.plan.as_ref().unwrap().started_by, StartedBy::Operator);
    assert_eq!(cluster.state.history.back().unwrap().outcome, Outcome::Superseded);
    assert!(cluster.state.declined.is_empty());
}

#[test]
fn a_policy_out_of_bounds_or_seen_too_early_is_refused() {
    let mut cluster = Cluster::in_sync();
    for bad in [
        cluster.set_policy(|p| p.max_parallel = 0),
        cluster.set_policy(|p| p.min_in_sync = 3),
        cluster.set_policy(|p| p.timers.heartbeat_ms += 1),
        cluster.set_policy(|p| p.isr_timeout_ms = 0),
    ] {
        cluster.refused(&bad, "bad_setting");
    }
    let late = cluster.set_policy(|p| p.settle_ms = 7);
    cluster.ok(&cluster.set_policy(|p| p.settle_ms = 8));
    cluster.refused(&late, "stale_epoch");
}

#[test]
fn a_plan_that_would_break_min_in_sync_does_not_start() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.set_policy(|p| p.min_in_sync = 2));
    cluster.refused(&cluster.start_plan(), "min_in_sync");
}
