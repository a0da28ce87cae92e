//! Processes that end when nobody asked them to.

use crate::cluster::{
    Layout, add_all, apply, ask, new, old, one_by_three, restart, rolling, see, text, three_by_two,
};
use expect_test::expect;
use ironcache_control::{Command, ControlState, Outcome, Phase, PlanOptions, Reason, Shard};
use ironcache_coordinator::{Decision, LeaseObservation, Rehearsal};
use ironcache_types::{Member, NodeId, Offset, ShardId};

fn finish(state: &ControlState, leader: u64) -> Vec<String> {
    let mut rehearsal =
        Rehearsal::begin(state, NodeId(leader), &new().version, PlanOptions::default()).unwrap();
    rehearsal.run().unwrap();
    assert_eq!(rehearsal.state.history.back().map(|h| h.outcome), Some(Outcome::Finalized));
    rehearsal.acts.iter().map(text).collect()
}

fn fail_over(state: &mut ControlState, to: u64) {
    let shard = state.shards.values().find(|s| s.primary().is_none()).unwrap();
    let to = state.nodes[&NodeId(to)].member();
    let command = Command::Failover {
        shard: shard.id,
        shard_epoch: shard.epoch,
        isr_epoch: shard.isr_epoch,
        to,
        term: 0,
    };
    apply(state, &command);
}

#[test]
fn the_most_advanced_member_in_sync_is_promoted() {
    let mut state = one_by_three();
    add_all(&mut state, ShardId(0));
    restart(&mut state, NodeId(1), old());
    let mut seen = see(&state, 2);
    for (id, offset) in [(2, 700), (3, 800)] {
        seen.nodes.get_mut(&NodeId(id)).unwrap().data.as_mut().unwrap().offset = Offset(offset);
    }
    assert_eq!(text(&ask(&state, &seen)), "promote n3 in shard 0");
    seen.nodes.get_mut(&NodeId(3)).unwrap().seen_ms_ago = 9_000;
    assert_eq!(text(&ask(&state, &seen)), "promote n2 in shard 0");
    seen.nodes.remove(&NodeId(2));
    expect!["wait: shard 0 lost its in-sync set: n2, which may hold more, has 10.0 s to answer; shard 0 lost its in-sync set: n3, which may hold more, has 10.0 s to answer"].assert_eq(&text(&ask(&state, &seen)));
}

/// What a member held before the end of its primary is not what it holds: both may have gone on since.
#[test]
fn members_are_compared_by_what_they_hold_since_the_loss() {
    let mut state = one_by_three();
    add_all(&mut state, ShardId(0));
    let before = see(&state, 2);
    restart(&mut state, NodeId(1), old());
    let mut seen = see(&state, 2);
    for (id, offset) in [(2, 700), (3, 800)] {
        seen.nodes.get_mut(&NodeId(id)).unwrap().data.as_mut().unwrap().offset = Offset(offset);
    }
    let late = &mut seen.nodes.get_mut(&NodeId(3)).unwrap().data;
    late.clone_from(&before.nodes[&NodeId(3)].data);
    late.as_mut().unwrap().offset = Offset(600);
    expect!["wait: n3 has not answered yet for epoch 4 of shard 0"].assert_eq(&text(&ask(&state, &seen)));
    // It may have died with the primary: the shard does not wait for ever.
    seen.timers.recovering_ms.insert(ShardId(0), 201);
    assert_eq!(text(&ask(&state, &seen)), "promote n2 in shard 0");
}

/// A primary that hangs, or whose machine is gone, owns its shard by the log; its lease says that it answers nobody.
#[test]
fn an_owner_whose_lease_is_over_is_deposed_for_a_member_that_answered_since() {
    let mut state = one_by_three();
    add_all(&mut state, ShardId(0));
    let mut seen = see(&state, 2);
    seen.term = 7;
    let mut look = |unanswered_ms, seen_ms_ago: [u64; 2]| {
        let lease = LeaseObservation { unanswered_ms, over_after_ms: 929 };
        seen.leases.insert(ShardId(0), lease);
        for ((id, offset), seen_ms_ago) in [(2, 700), (3, 800)].into_iter().zip(seen_ms_ago) {
            let node = seen.nodes.get_mut(&NodeId(id)).unwrap();
            node.data.as_mut().unwrap().offset = Offset(offset);
            node.seen_ms_ago = seen_ms_ago;
        }
        ask(&state, &seen)
    };
    assert_eq!(text(&look(928, [1, 1])), "nothing to do", "it may answer clients still");
    assert_eq!(
        text(&look(950, [22, 22])),
        "wait: n1, the primary of shard 0, does not answer or does not serve"
    );
    assert_eq!(text(&look(950, [21, 22])), "promote n2 in shard 0", "what n3 holds is not known to be final");
    let Decision::Propose(Command::Failover { to, term, isr_epoch, .. }) = look(950, [9, 9]) else {
        panic!()
    };
    assert_eq!((to.node, term, isr_epoch), (NodeId(3), 7, state.shards[&ShardId(0)].isr_epoch));
    assert_eq!(text(&look(60_000, [201, 200])), "promote n3 in shard 0", "n2 may have died since");
}

#[test]
fn a_failover_at_any_moment_does_not_stop_the_plan() {
    a_loss_does_not_stop_the_plan(|_, _, _| {});
}

#[test]
fn an_orderly_stop_of_a_primary_at_any_moment_does_not_stop_the_plan() {
    a_loss_does_not_stop_the_plan(|state, shard, from| {
        if shard.handover.is_some() {
            return;
        }
        let to = shard.in_sync_replicas().last().unwrap();
        apply(
            state,
            &Command::BeginHandover { shard: shard.id, shard_epoch: shard.epoch, from, to, plan: None },
        );
        let handover = state.shards[&shard.id].handover.unwrap().epoch;
        let (offset, in_sync) = (Offset(1), shard.in_sync.clone());
        apply(state, &Command::Promote { shard: shard.id, handover, to, offset, in_sync });
    });
}

/// With two nodes a failover leaves the plan-start primary as the only replica. It goes last all the same:
/// it takes its role back first.
#[test]
fn a_failover_in_a_pair_is_undone_so_that_the_order_holds() {
    let mut state = rolling(three_by_two());
    restart(&mut state, NodeId(1), old());
    fail_over(&mut state, 4);
    add_all(&mut state, ShardId(0));
    let acts = finish(&state, 2);
    let of_shard_0: Vec<&String> = acts
        .iter()
        .filter(|a| ["n1", "n4"].iter().any(|n| a.contains(n)) && !a.contains("confirm"))
        .collect();
    expect![[r#"
        [
            "hand shard 0 over from n4 to n1",
            "upgrade n4",
            "let n4 keep the tail of shard 2",
            "hand shard 0 over from n1 to n4",
            "upgrade n1",
            "transfer raft's leadership to n1",
        ]"#]]
    .assert_eq(&format!("{of_shard_0:#?}"));
}

/// At every moment of a roll, for every shard with somebody to take over: `lose` its primary, and the roll ends well.
fn a_loss_does_not_stop_the_plan(lose: impl Fn(&mut ControlState, &Shard, Member)) {
    for start in [three_by_two(), one_by_three()] {
        let mut rehearsal =
            Rehearsal::begin(&start, NodeId(1), &new().version, PlanOptions::default()).unwrap();
        while rehearsal.step().unwrap() == ironcache_coordinator::Progress::Made {
            for shard in rehearsal.state.shards.values() {
                let Some(primary) = shard.primary() else { continue };
                let mut state = rehearsal.state.clone();
                if shard.in_sync.len() < 2 || state.plan.is_none() {
                    continue;
                }
                lose(&mut state, shard, primary);
                let release = state.nodes[&primary.node].release.clone();
                restart(&mut state, primary.node, release);
                let mut resumed = Rehearsal { acts: Vec::new(), state, leader: rehearsal.leader, now_ms: 0 };
                resumed.run().unwrap();
                let finalized = resumed.state.history.back().map(|h| h.outcome) == Some(Outcome::Finalized);
                let end = resumed.acts.iter().rev().find(|a| matches!(a, Decision::Wait(_))).map(text);
                assert!(finalized, "stuck after the loss of {primary}: {end:?}");
            }
        }
    }
}

/// The last steps are of a shard that has no primary: two leaders that each see nothing that may go now handed leadership to each
/// other for ever, and none led long enough to find the shard one.
#[test]
fn nobody_hands_leadership_on_while_what_is_left_waits_for_a_primary() {
    let mut state = rolling(Layout { shards: 1, nodes_per_shard: 2, witnesses: 1, voters: 3 }.build());
    let (shard, replica) = (ShardId(0), state.nodes[&NodeId(2)].member());
    let of = |state: &ControlState| (state.shards[&shard].isr_epoch, state.shards[&shard].primary().unwrap());
    for id in [2, 3] {
        state.nodes.get_mut(&NodeId(id)).unwrap().release = new();
    }
    let ((isr_epoch, primary), reason) = (of(&state), Reason::new("gone", ""));
    apply(&mut state, &Command::RemoveInSync { shard, isr_epoch, primary, member: replica, reason });
    let ((isr_epoch, primary), reason) = (of(&state), Reason::new("gone", ""));
    apply(&mut state, &Command::SetKeeper { shard, isr_epoch, primary, keeper: None, reason });
    // What keeps the plan from being held.
    state.plan.as_mut().unwrap().phase = Phase::Rolling;
    restart(&mut state, NodeId(1), old());
    assert!(state.shards[&shard].primary().is_none());
    for leader in [2, 3] {
        let mut seen = see(&state, leader);
        // What the last owner has left is not known yet.
        seen.nodes.get_mut(&NodeId(1)).unwrap().data.as_mut().unwrap().holds = None;
        let decision = ask(&state, &seen);
        assert!(matches!(decision, Decision::Wait(_)), "{}", text(&decision));
    }
}
