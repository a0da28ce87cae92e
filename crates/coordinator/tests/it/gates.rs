//! Each gate alone: what the coordinator says when one thing is not as it should be.

use crate::cluster::{
    apply, ask, keep_as_wanted, new, one_by_three, restart, rolling, see, short, start, text, three_by_two,
};
use expect_test::{Expect, expect};
use ironcache_control::{Command, ControlState, PlanOptions};
use ironcache_coordinator::{Bars, Decision, Duty, NodeObservation, Observation, StateHash};
use ironcache_types::{Incarnation, NodeId, Offset, ShardId};

/// What is said once whoever is wanted as a keeper is one.
fn check(state: &ControlState, observation: &Observation, expected: &Expect) {
    let mut state = state.clone();
    keep_as_wanted(&mut state, observation);
    let decision = ask(&state, observation);
    let lines = match &decision {
        Decision::Wait(reasons) => reasons.iter().map(|reason| short(&reason.to_string())).collect(),
        Decision::Propose(_)
        | Decision::TransferLeader { .. }
        | Decision::AddLearner { .. }
        | Decision::ChangeMembership { .. }
        | Decision::Done => vec![text(&decision)],
    };
    expected.assert_eq(&lines.join("\n"));
}

fn node(observation: &mut Observation, id: u64) -> &mut NodeObservation {
    observation.nodes.get_mut(&NodeId(id)).unwrap()
}

/// One shard: replicas 2 and 3 are upgraded, and the handover is next.
fn before_handover() -> ControlState {
    let mut state = rolling(one_by_three());
    upgrade(&mut state, 2);
    crate::cluster::add_all(&mut state, ShardId(0));
    upgrade(&mut state, 3);
    crate::cluster::add_all(&mut state, ShardId(0));
    state
}

fn take_out(state: &mut ControlState, id: u64) {
    let plan = state.plan.clone().unwrap();
    let member = state.nodes[&NodeId(id)].member();
    apply(state, &Command::UpgradeSelf { plan: plan.id, plan_epoch: plan.epoch, member, at_ms: 0 });
}

fn upgrade(state: &mut ControlState, id: u64) {
    take_out(state, id);
    restart(state, NodeId(id), new());
    let node = &state.nodes[&NodeId(id)];
    let (out, member, digest) = (node.out.clone().unwrap(), node.member(), new().digest);
    apply(state, &Command::Confirm { plan: out.plan, step: out.epoch, member, digest });
    apply(state, &Command::Confirmed { plan: out.plan, step: out.epoch, member, digest, at_ms: 0 });
}

#[test]
fn a_leader_that_has_not_applied_its_own_term_decides_nothing() {
    let state = rolling(three_by_two());
    let mut seen = see(&state, 1);
    seen.leader_settled = false;
    check(&state, &seen, &expect!["n1 leads raft, and has not yet applied an entry of its own term"]);
}

#[test]
fn staging_waits_for_artifacts_modes_and_launchers() {
    let mut state = three_by_two();
    start(&mut state, PlanOptions::default());
    for id in [1, 2, 3, 5] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: new().digest });
    }
    let mut seen = see(&state, 1);
    node(&mut seen, 5).cannot_upgrade = Some("the daemon runs without a launcher".to_owned());
    check(
        &state,
        &seen,
        &expect![[r#"
            n4 does not hold the artifact (4 of 6 do)
            n6 does not hold the artifact (4 of 6 do)
            n5 cannot change its binary: the daemon runs without a launcher
            n1 has not tried the release against its configuration yet
            n2 has not tried the release against its configuration yet
            n3 has not tried the release against its configuration yet
            n5 has not tried the release against its configuration yet
            shard 0 acknowledges in mode primary; its primary has to raise it to in-sync
            shard 1 acknowledges in mode primary; its primary has to raise it to in-sync
            shard 2 acknowledges in mode primary; its primary has to raise it to in-sync"#]],
    );
}

#[test]
fn no_step_begins_below_the_voters_majority() {
    let state = rolling(three_by_two());
    let mut seen = see(&state, 1);
    node(&mut seen, 3).raft_lag_entries = 5_000;
    node(&mut seen, 2).member.incarnation = Incarnation(9);
    check(
        &state,
        &seen,
        &expect![[r#"
            only 3 of 5 voters are reachable and in service; 4 needed before the next step
            n4 keeps the tail of shard 2's stream, and goes when that has two members in sync
            n2, the primary of shard 1, does not answer or does not serve
            n2 answers as process 0000000000000009, and 0000000000000001 is registered"#]],
    );
}

#[test]
fn a_silent_primary_stops_every_step() {
    let state = rolling(three_by_two());
    let mut seen = see(&state, 1);
    node(&mut seen, 3).seen_ms_ago = 3_001;
    check(
        &state,
        &seen,
        &expect![[r#"
            n4 keeps the tail of shard 1's stream, and goes when that has two members in sync
            n3, the primary of shard 2, does not answer or does not serve
            n3 has not answered for 3.0 s; at most 3.0 s is allowed"#]],
    );
}

#[test]
fn a_lagging_replica_may_be_taken_out() {
    let state = rolling(three_by_two());
    let mut seen = see(&state, 1);
    node(&mut seen, 4).ready = false;
    node(&mut seen, 1).data.as_mut().unwrap().replicas[0].lag_bytes = 1_000_000;
    assert_eq!(text(&ask(&state, &seen)), "upgrade n4");
}

#[test]
fn a_replica_stays_while_its_sibling_is_not_in_sync() {
    let mut state = rolling(one_by_three());
    upgrade(&mut state, 2);
    check(&state, &see(&state, 1), &expect!["n2 is not in the in-sync set of shard 0 yet"]);
}

#[test]
fn the_parallel_limit_holds() {
    let mut state = rolling(three_by_two());
    state.plan.as_mut().unwrap().options.max_parallel = 1;
    take_out(&mut state, 4);
    let mut seen = see(&state, 1);
    seen.timers.out_for_ms.insert(NodeId(4), 3_250);
    check(
        &state,
        &seen,
        &expect![[r#"
            n4 has been out for 3.2 s of at most 120.0 s: the new binary has not registered yet
            1 nodes are out; at most 1 may be at a time"#]],
    );
}

#[test]
fn a_lagging_candidate_is_not_promoted() {
    let state = before_handover();
    let mut seen = see(&state, 1);
    let replicas = &mut node(&mut seen, 1).data.as_mut().unwrap().replicas;
    replicas[0].lag_bytes = 183_400;
    replicas[1].in_sync_for_ms = 40;
    check(
        &state,
        &seen,
        &expect![[r#"
            replica n2 of shard 0 is 183400 bytes behind; at most 65536 is allowed
            replica n3 of shard 0 has been in sync for 40 ms of 100 ms"#]],
    );
}

#[test]
fn the_candidate_that_is_closest_is_promoted() {
    let state = before_handover();
    let mut seen = see(&state, 1);
    node(&mut seen, 1).data.as_mut().unwrap().replicas[0].lag_bytes = 10;
    assert_eq!(text(&ask(&state, &seen)), "hand shard 0 over from n1 to n3");
}

#[test]
fn a_handover_has_the_cluster_to_itself_for_a_moment() {
    let mut state = rolling(three_by_two());
    upgrade(&mut state, 4);
    crate::cluster::add_all(&mut state, ShardId(0));
    let seen = see(&state, 6);
    keep_as_wanted(&mut state, &seen);
    let before = ask(&state, &see(&state, 6));
    let shard = &state.shards[&ShardId(0)];
    let (from, to) = (shard.primary().unwrap(), shard.in_sync_replicas().next().unwrap());
    let handover = Command::BeginHandover {
        shard: shard.id,
        shard_epoch: shard.epoch,
        from,
        to,
        plan: state.plan.as_ref().map(|plan| plan.id),
    };
    apply(&mut state, &handover);
    let mut seen = see(&state, 6);
    let alone_ms = Bars::default().handover_alone_ms;
    seen.timers.handover_age_ms.insert(ShardId(0), alone_ms);
    check(&state, &seen, &expect!["shard 0 is being handed over to n4 since 50 ms; aborted at 100 ms"]);
    // One that hangs keeps the other shards waiting no longer.
    seen.timers.handover_age_ms.insert(ShardId(0), alone_ms + 1);
    assert_eq!(text(&ask(&state, &seen)), text(&before));
}

#[test]
fn after_a_failed_handover_the_next_one_waits() {
    let state = before_handover();
    let mut seen = see(&state, 1);
    seen.now_ms = 5_000;
    seen.timers.handover_not_before_ms.insert(ShardId(0), 5_150);
    check(&state, &seen, &expect!["the last handover of shard 0 failed; the next begins in 150 ms"]);
}

#[test]
fn a_trial_is_confirmed_only_by_its_own_ready_process() {
    let mut state = rolling(one_by_three());
    take_out(&mut state, 2);
    check(
        &state,
        &see(&state, 1),
        &expect!["n2 has been out for 0.0 s of at most 120.0 s: the new binary has not registered yet"],
    );
    restart(&mut state, NodeId(2), new());
    let mut seen = see(&state, 1);
    node(&mut seen, 2).member.incarnation = Incarnation(1);
    check(
        &state,
        &seen,
        &expect![
            "n2 has been out for 0.0 s of at most 120.0 s: the new binary is registered and does not answer"
        ],
    );
    let mut seen = see(&state, 1);
    node(&mut seen, 2).ready = false;
    check(
        &state,
        &seen,
        &expect![
            "n2 has been out for 0.0 s of at most 120.0 s: the new binary answers and does not serve its role yet"
        ],
    );
    assert_eq!(text(&ask(&state, &see(&state, 1))), "confirm n2");
}

#[test]
fn a_pause_lets_what_is_in_flight_end_and_begins_nothing() {
    let mut state = rolling(one_by_three());
    take_out(&mut state, 2);
    restart(&mut state, NodeId(2), new());
    let plan = state.plan.as_ref().unwrap().id;
    apply(&mut state, &Command::Pause { plan });
    assert_eq!(text(&ask(&state, &see(&state, 1))), "confirm n2");
    let mut seen = see(&state, 1);
    node(&mut seen, 2).ready = false;
    check(
        &state,
        &seen,
        &expect![[r#"
            n2 has been out for 0.0 s of at most 120.0 s: the new binary answers and does not serve its role yet
            plan 1 is paused; `ironcache cluster upgrade resume` goes on"#]],
    );
}

#[test]
fn a_node_that_stays_out_too_long_holds_the_plan_once() {
    let mut state = rolling(one_by_three());
    take_out(&mut state, 2);
    let mut seen = see(&state, 1);
    seen.timers.out_for_ms.insert(NodeId(2), 120_001);
    let decision = ask(&state, &seen);
    check(
        &state,
        &seen,
        &expect![
            "hold plan 1: n2 has been out for 120001 ms; look at its log. Once it is back: `ironcache cluster upgrade resume`; if it is lost: `ironcache cluster replace-node OLD HOST:PORT` and `resume`, or `ironcache cluster upgrade abort`"
        ],
    );
    let Decision::Propose(hold) = decision else { panic!("no proposal") };
    apply(&mut state, &hold);
    check(
        &state,
        &seen,
        &expect![[r#"
            n2 has been out for 120.0 s of at most 120.0 s: the new binary has not registered yet
            plan 1 is held: n2 has been out for 120001 ms; look at its log. Once it is back: `ironcache cluster upgrade resume`; if it is lost: `ironcache cluster replace-node OLD HOST:PORT` and `resume`, or `ironcache cluster upgrade abort`"#]],
    );
}

/// The node is promoted with everybody in the set, as at an orderly stop of the primary.
fn promote(state: &mut ControlState, id: u64) {
    let shard = &state.shards[&ShardId(0)];
    let (from, to, plan) = (shard.primary().unwrap(), state.nodes[&NodeId(id)].member(), None);
    let begin = Command::BeginHandover { shard: shard.id, shard_epoch: shard.epoch, from, to, plan };
    apply(state, &begin);
    let shard = &state.shards[&ShardId(0)];
    let (handover, in_sync) = (shard.handover.unwrap().epoch, shard.in_sync.clone());
    apply(state, &Command::Promote { shard: shard.id, handover, to, offset: Offset(1), in_sync });
}

/// What a node said of its data before the log went on.
fn said_before(seen: &mut Observation, before: &Observation, id: u64) {
    node(seen, id).data.clone_from(&before.nodes[&NodeId(id)].data);
}

#[test]
fn an_answer_from_before_its_promotion_is_none_of_a_primary() {
    let mut state = before_handover();
    let before = see(&state, 3);
    promote(&mut state, 2);
    // Ready as a replica, and asked a moment ago: the promotion is not applied there, and its data could still go.
    let mut seen = see(&state, 3);
    said_before(&mut seen, &before, 2);
    node(&mut seen, 2).seen_ms_ago = 0;
    check(&state, &seen, &expect!["n2 has not answered yet for epoch 18 of shard 0"]);
    assert_eq!(text(&ask(&state, &see(&state, 3))), "upgrade n1");
}

#[test]
fn a_replica_of_an_earlier_primary_is_not_in_service_yet() {
    let mut state = before_handover();
    let before = see(&state, 2);
    promote(&mut state, 3);
    // Node 2 still follows the primary of before; it is not known to follow the new one.
    let mut seen = see(&state, 2);
    said_before(&mut seen, &before, 2);
    check(&state, &seen, &expect!["n2 has not answered yet for epoch 18 of shard 0"]);
    node(&mut seen, 2).data.as_mut().unwrap().duty = Duty::Neither;
    check(&state, &seen, &expect!["n2 has not answered yet for epoch 18 of shard 0"]);
}

#[test]
fn an_earlier_stay_in_the_set_settles_nobody() {
    let mut state = before_handover();
    let before = see(&state, 1);
    let shard = &state.shards[&ShardId(0)];
    let (id, isr_epoch, primary) = (shard.id, shard.isr_epoch, shard.primary().unwrap());
    for id_of in [2, 3] {
        let isr_epoch = state.shards[&id].isr_epoch;
        let member = state.nodes[&NodeId(id_of)].member();
        let reason = ironcache_control::Reason::new("silent", "silent");
        apply(&mut state, &Command::RemoveInSync { shard: id, isr_epoch, primary, member, reason });
    }
    crate::cluster::add_all(&mut state, id);
    assert!(state.shards[&id].isr_epoch > isr_epoch);
    let mut seen = see(&state, 1);
    said_before(&mut seen, &before, 1);
    check(&state, &seen, &expect!["n1 has not answered yet for epoch 20 of shard 0"]);
    assert_eq!(text(&ask(&state, &see(&state, 1))), "hand shard 0 over from n1 to n2");
}

#[test]
fn a_trial_that_followed_an_earlier_primary_is_not_confirmed() {
    let mut state = rolling(one_by_three());
    take_out(&mut state, 2);
    restart(&mut state, NodeId(2), new());
    let before = see(&state, 1);
    promote(&mut state, 3);
    let mut seen = see(&state, 1);
    said_before(&mut seen, &before, 2);
    check(
        &state,
        &seen,
        &expect![
            "n2 has been out for 0.0 s of at most 120.0 s: the new binary answers and does not serve its role yet"
        ],
    );
    assert_eq!(text(&ask(&state, &see(&state, 1))), "confirm n2");
}

#[test]
fn a_launcher_that_was_in_order_once_has_to_say_so_again() {
    let mut state = three_by_two();
    start(&mut state, PlanOptions::default());
    for id in 1..=6 {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: new().digest });
    }
    let mut seen = see(&state, 1);
    node(&mut seen, 5).seen_ms_ago = 4_000;
    node(&mut seen, 6).member.incarnation = Incarnation(0);
    let decision = ask(&state, &seen);
    let said = text(&decision);
    assert!(said.contains("n5 has not answered for 4.0 s; at most 3.0 s is allowed"), "{said}");
    assert!(said.contains("n6 answers as process 0000000000000000"), "{said}");
}

#[test]
fn disagreement_about_the_state_holds_the_plan() {
    let state = rolling(three_by_two());
    let mut seen = see(&state, 1);
    for id in 1..=6 {
        node(&mut seen, id).state_hashes = vec![StateHash { log_index: 64, hash: 7 }];
    }
    node(&mut seen, 5).state_hashes = vec![StateHash { log_index: 64, hash: 8 }];
    check(
        &state,
        &seen,
        &expect![
            "hold plan 1: n5 holds another control state at log index 64; `ironcache cluster upgrade rollback` takes everybody back to what they agreed on"
        ],
    );
    // What an earlier life said is not held against this one.
    node(&mut seen, 5).member.incarnation = Incarnation(0);
    assert!(!text(&ask(&state, &seen)).contains("another control state"));
    node(&mut seen, 5).member.incarnation = Incarnation(1);
    node(&mut seen, 5).state_hashes = vec![StateHash { log_index: 128, hash: 8 }];
    assert_eq!(text(&ask(&state, &seen)), "upgrade n4", "there is no index at which it can be compared");
    node(&mut seen, 5).state_hashes =
        vec![StateHash { log_index: 64, hash: 8 }, StateHash { log_index: 128, hash: 9 }];
    assert!(text(&ask(&state, &seen)).contains("at log index 64"), "an older index is one too");
}

/// More than half of all nodes have to contradict a node before it gives up what it made of the log.
#[test]
fn a_node_is_outvoted_by_more_than_half_of_all_nodes_and_never_while_it_leads() {
    let state = rolling(one_by_three());
    let outvoted = |hashes: [u64; 3], silent: Option<u64>, leader: u64| {
        let mut seen = see(&state, leader);
        for (id, hash) in (1..).zip(hashes) {
            node(&mut seen, id).state_hashes = vec![StateHash { log_index: 64, hash }];
        }
        if let Some(id) = silent {
            node(&mut seen, id).seen_ms_ago = 60_000;
        }
        ironcache_coordinator::outvoted(&state, &seen, &Bars::default()).map(|odd| (odd.node.0, odd.hash))
    };
    assert_eq!(outvoted([8, 8, 8], None, 1), None);
    assert_eq!(outvoted([8, 8, 7], None, 1), Some((3, 8)));
    assert_eq!(outvoted([8, 7, 9], None, 1), None, "three opinions");
    assert_eq!(outvoted([8, 8, 7], Some(2), 1), None, "one against one");
    assert_eq!(outvoted([7, 8, 8], None, 1), None, "it leads, and gives that up first");
    assert_eq!(outvoted([7, 8, 8], None, 2), Some((1, 8)));
}

/// A node does not take another's word: it asks all, and gives up nothing for less than most.
#[test]
fn a_node_knows_itself_contradicted_only_by_more_than_half_of_all_nodes() {
    use ironcache_coordinator::{Outvoted, Standing, standing};
    let of_the_third = |held: &[(u64, &[(u64, u64)])]| {
        let hashes = |at: &[(u64, u64)]| {
            at.iter().map(|(log_index, hash)| StateHash { log_index: *log_index, hash: *hash }).collect()
        };
        standing(NodeId(3), 3, &held.iter().map(|(id, at)| (NodeId(*id), hashes(at))).collect())
    };
    let contradicted =
        |log_index, hash| Standing::Contradicted(Outvoted { node: NodeId(3), log_index, hash });
    assert_eq!(of_the_third(&[(1, &[(64, 8)]), (2, &[(64, 8)]), (3, &[(64, 7)])]), contradicted(64, 8));
    assert_eq!(of_the_third(&[(1, &[(64, 8)]), (2, &[(64, 7)]), (3, &[(64, 7)])]), Standing::Agrees);
    assert_eq!(of_the_third(&[(1, &[(64, 8)]), (3, &[(64, 7)])]), Standing::Unknown, "one against one");
    assert_eq!(of_the_third(&[(1, &[(64, 8), (64, 8)]), (3, &[(64, 7)])]), Standing::Unknown, "said twice");
    assert_eq!(of_the_third(&[(1, &[(64, 8)]), (2, &[(64, 8)]), (3, &[(128, 7)])]), Standing::Unknown);
    let later: &[(u64, u64)] = &[(64, 8), (128, 9)];
    assert_eq!(of_the_third(&[(1, later), (2, later), (3, &[(64, 8), (128, 7)])]), contradicted(128, 9));
}

/// Whose state differs from the majority's at one index neither leads nor is promoted, on the way back included.
#[test]
fn the_odd_node_neither_leads_nor_is_promoted() {
    let state = rolling(one_by_three());
    let mut seen = see(&state, 1);
    let hash = |seen: &mut Observation, id: u64, hash: u64| {
        node(seen, id).state_hashes = vec![StateHash { log_index: 64, hash }];
    };
    for (id, value) in [(1, 8), (2, 8), (3, 7)] {
        hash(&mut seen, id, value);
    }
    assert!(text(&ask(&state, &seen)).starts_with("hold plan 1: n3 holds another control state"));
    // The leader is the odd one: another one leads.
    for (id, value) in [(1, 7), (2, 8), (3, 8)] {
        hash(&mut seen, id, value);
    }
    assert_eq!(text(&ask(&state, &seen)), "transfer raft's leadership to n2");
    // Its primary is gone, and only the odd one answers.
    let mut state = rolling(one_by_three());
    let primary = state.nodes[&NodeId(1)].release.clone();
    restart(&mut state, NodeId(1), primary);
    let mut seen = see(&state, 1);
    for (id, value) in [(1, 8), (2, 7), (3, 8)] {
        hash(&mut seen, id, value);
    }
    assert_eq!(text(&ask(&state, &seen)), "promote n3 in shard 0");
}
