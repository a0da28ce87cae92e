//! Who keeps the tail of a shard's stream, what waits for it, and how a shard goes on with it.

use crate::setup::{Cluster, S0, S1, machine, new, old};
use ironcache_control::{
    Applied, Command, HandoverVia, HoldReason, KeeperBase, LastLease, LogId, NewKeeper, Ownership, Phase,
    Recover, RecoveredBy,
};
use ironcache_types::{NodeId, Offset};
use std::collections::BTreeSet;

fn kept_from(cluster: &Cluster, node: u64, from: u64, base: KeeperBase) -> Command {
    let keeper = NewKeeper { member: cluster.member(node), from: Offset(from), base };
    cluster.set_keeper(S1, Some(keeper))
}

fn phase(cluster: &Cluster) -> Phase {
    cluster.state.plan.as_ref().map(|plan| plan.phase.clone()).expect("a plan is active")
}

/// Node 4 was out and is confirmed, holds what lies before the tail that node 1 keeps, and the primary has ended.
fn with_a_tail_and_no_primary() -> Cluster {
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    cluster.ok(&cluster.restart(4, new()));
    cluster.ok(&cluster.confirm(4));
    cluster.ok(&cluster.confirmed(4));
    cluster.ok(&cluster.restart(2, old()));
    cluster
}

#[test]
fn who_leaves_one_member_behind_needs_a_keeper_and_takes_its_base_along() {
    let mut cluster = Cluster::rolling();
    cluster.refused(&cluster.take_out(4), "no_keeper");
    cluster.ok(&cluster.keep(S1, 6));
    cluster.refused(&cluster.take_out(6), "keeps_shard");
    cluster.ok(&cluster.take_out(4));
    let out = cluster.state.nodes[&NodeId(4)].out.clone().unwrap();
    assert_eq!(out.base_from, cluster.state.shards[&S1].keeper.map(|keeper| keeper.from));
    assert!(out.base_from.is_some() && !cluster.state.shards[&S1].exposed);
    // Of three, two stay: they need nobody.
    cluster.ok(&cluster.take_out(3));
    assert_eq!(cluster.state.nodes[&NodeId(3)].out.clone().unwrap().base_from, None);
}

#[test]
fn a_tail_continues_what_a_member_takes_along_or_is_none_for_it() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.remove_in_sync(S1, 4));
    cluster.ok(&cluster.keep(S1, 6));
    cluster.refused(&cluster.take_out(4), "not_in_sync");
    cluster.ok(&kept_from(&cluster, 6, 10, KeeperBase::Own));
    cluster.ok(&cluster.take_out(4));
}

#[test]
fn an_earlier_life_keeps_nothing_for_a_step() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.keep(S1, 6));
    let kept = cluster.state.shards[&S1].keeper;
    cluster.ok(&cluster.restart(6, old()));
    assert_eq!(cluster.state.shards[&S1].keeper, kept, "what it wrote may be there: its primary drops it");
    cluster.refused(&cluster.take_out(4), "stale_incarnation");
    cluster.ok(&cluster.keep(S1, 6));
    cluster.ok(&cluster.take_out(4));
}

#[test]
fn a_keeper_is_of_no_shard_that_it_keeps_there_and_staying() {
    let mut cluster = Cluster::rolling();
    cluster.refused(&cluster.keep(S1, 4), "of_the_shard");
    let earlier = cluster.keep(S1, 6);
    cluster.ok(&cluster.restart(6, old()));
    cluster.refused(&earlier, "stale_incarnation");
    cluster.ok(&cluster.take_out(3));
    cluster.refused(&cluster.keep(S1, 3), "node_out");
    cluster.refused(&cluster.want_keeper(S1, Some(3)), "node_out");
    cluster.refused(&cluster.want_keeper(S1, Some(4)), "of_the_shard");
    cluster.refused(&cluster.want_keeper(S1, Some(9)), "unknown_node");
    cluster.ok(&cluster.want_keeper(S1, Some(6)));
    assert_eq!(cluster.ok(&cluster.want_keeper(S1, Some(6))), Applied::Unchanged);
    let stale = cluster.keep(S1, 6);
    cluster.ok(&cluster.keep(S1, 1));
    cluster.refused(&stale, "stale_epoch");
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.add_node(7, None));
    cluster.refused(&cluster.keep(S1, 6), "membership_pending");
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.keep(S1, 6));
    for command in [cluster.remove(6), cluster.replace(6, 7)] {
        cluster.refused(&command, "keeps_shard");
    }
    cluster.ok(&cluster.keep_no_more(S1));
    cluster.ok(&cluster.remove(6));
    cluster.refused(&cluster.want_keeper(S1, Some(6)), "node_leaving");
}

#[test]
fn a_keeper_that_is_dropped_leaves_its_shard_exposed_and_the_plan_held_until_another_is_there() {
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    let base_from = cluster.state.nodes[&NodeId(4)].out.clone().unwrap().base_from.unwrap();
    cluster.ok(&cluster.keep_no_more(S1));
    assert!(cluster.state.shards[&S1].exposed);
    assert_eq!(phase(&cluster), Phase::Held { reason: HoldReason::Exposed { shard: S1 } });
    cluster.refused(&cluster.resume(), "exposed");
    cluster.refused(&kept_from(&cluster, 6, base_from.0 + 1, KeeperBase::Leaver), "tail_too_short");
    let mut other = Cluster { state: cluster.state.clone(), log_index: cluster.log_index };
    other.ok(&kept_from(&other, 6, base_from.0 + 1, KeeperBase::Own));
    cluster.ok(&kept_from(&cluster, 6, base_from.0, KeeperBase::Leaver));
    for mut cluster in [cluster, other] {
        assert!(!cluster.state.shards[&S1].exposed);
        cluster.ok(&cluster.resume());
        cluster.ok(&cluster.begin_rolling());
    }
}

#[test]
fn a_keeper_that_is_dropped_from_a_set_of_one_leaves_it_exposed_whoever_is_out() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.keep(S1, 1));
    cluster.ok(&cluster.remove_in_sync(S1, 4));
    assert!(!cluster.state.shards[&S1].exposed, "the keeper has it too");
    cluster.ok(&cluster.keep_no_more(S1));
    assert!(cluster.state.shards[&S1].exposed);
    assert_eq!(phase(&cluster), Phase::Held { reason: HoldReason::Exposed { shard: S1 } });
}

/// Whoever was out is back, and holds nothing: what lies below the new keeper's tail is in one process.
#[test]
fn a_keeper_that_is_recorded_while_nobody_is_out_does_not_end_that_a_shard_is_exposed() {
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    cluster.ok(&cluster.keep_no_more(S1));
    cluster.ok(&cluster.abort());
    cluster.ok(&cluster.restart(4, old()));
    cluster.ok(&cluster.rejoin(4));
    cluster.ok(&cluster.keep(S1, 6));
    assert!(cluster.state.shards[&S1].exposed, "the member in its set has it alone");
    let mut other = Cluster { state: cluster.state.clone(), log_index: cluster.log_index };
    other.ok(&kept_from(&other, 6, 1, KeeperBase::Own));
    assert!(!other.state.shards[&S1].exposed, "the keeper has it all");
    cluster.ok(&cluster.add_in_sync(S1, 4));
    assert!(!cluster.state.shards[&S1].exposed);
}

#[test]
fn with_two_members_nobody_is_needed_and_nothing_is_exposed() {
    let mut cluster = Cluster::rolling();
    cluster.upgrade(4);
    assert_eq!((cluster.state.shards[&S1].keeper, cluster.state.shards[&S1].exposed), (None, false));
    assert_eq!(phase(&cluster), Phase::Rolling);
    assert_eq!(cluster.ok(&cluster.keep_no_more(S1)), Applied::Unchanged);
}

/// Whoever is lost, and by which entry.
#[test]
fn a_shard_of_three_is_exposed_when_one_is_out_and_another_lost() {
    type Loss = fn(&mut Cluster);
    let losses: [Loss; 3] = [
        |cluster| {
            cluster.ok(&cluster.remove_in_sync(S0, 5));
        },
        |cluster| {
            cluster.ok(&cluster.restart(5, old()));
        },
        |cluster| {
            cluster.ok(&cluster.restart(1, old()));
            cluster.ok(&cluster.fail_over(S0, 5));
        },
    ];
    for lose in losses {
        let mut cluster = Cluster::rolling();
        cluster.ok(&cluster.take_out(3));
        lose(&mut cluster);
        assert!(cluster.state.shards[&S0].exposed);
        assert_eq!(phase(&cluster), Phase::Held { reason: HoldReason::Exposed { shard: S0 } });
        cluster.ok(&cluster.restart(3, new()));
        cluster.ok(&cluster.confirm(3));
        cluster.ok(&cluster.confirmed(3));
        cluster.refused(&cluster.resume(), "exposed");
        cluster.ok(&cluster.add_in_sync(S0, 3));
        assert!(!cluster.state.shards[&S0].exposed);
        cluster.ok(&cluster.resume());
    }
}

#[test]
fn a_plan_hands_over_without_a_keeper_and_a_stop_with_one_which_ends_it() {
    let mut cluster = Cluster::upgraded(&[4]);
    cluster.ok(&cluster.want_keeper(S1, Some(6)));
    cluster.ok(&cluster.keep(S1, 6));
    cluster.refused(&cluster.hand_over(S1, 4), "keeper_recorded");
    cluster.ok(&cluster.leave(S1, 4));
    cluster.refused(&cluster.keep_no_more(S1), "handover_in_flight");
    cluster.ok(&cluster.promote(S1));
    let shard = &cluster.state.shards[&S1];
    assert_eq!((shard.keeper, shard.keeper_wanted), (None, None), "the new owner's stream is another one");
}

#[test]
fn a_planned_promotion_leaves_nobody_alone_who_was_not() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.hand_over(S1, 4));
    let Command::Promote { shard, handover, to, offset, .. } = cluster.promote(S1) else {
        unreachable!("promote() makes a Promote")
    };
    let in_sync = BTreeSet::from([to]);
    cluster.refused(&Command::Promote { shard, handover, to, offset, in_sync }, "left_alone");
}

#[test]
fn with_the_keeper_the_shard_goes_on_with_all_of_it() {
    let mut cluster = with_a_tail_and_no_primary();
    let keeper = cluster.state.shards[&S1].keeper.unwrap();
    cluster.ok(&cluster.begin_recovery(S1, 4));
    let flight = cluster.state.shards[&S1].handover.unwrap();
    assert_eq!((flight.via, flight.from), (HandoverVia::Keeper, keeper.member));
    cluster.refused(&cluster.begin_recovery(S1, 4), "handover_in_flight");
    let Command::Promote { shard, handover, to, in_sync, .. } = cluster.promote(S1) else {
        unreachable!("promote() makes a Promote")
    };
    let promote = |offset| Command::Promote { shard, handover, to, offset, in_sync: in_sync.clone() };
    cluster.refused(&promote(Offset(keeper.from.0 - 1)), "below_start");
    cluster.ok(&promote(keeper.from));
    let of_shard = &cluster.state.shards[&S1];
    assert_eq!((of_shard.primary(), &of_shard.in_sync), (Some(to), &BTreeSet::from([to])));
    assert_eq!((of_shard.keeper, of_shard.losses.recoveries), (None, 0));
}

#[test]
fn a_recovery_with_the_keeper_that_is_aborted_leaves_the_shard_and_the_tail_as_they_were() {
    let mut cluster = with_a_tail_and_no_primary();
    let before = cluster.state.shards[&S1].clone();
    cluster.ok(&cluster.begin_recovery(S1, 4));
    let handover = cluster.state.shards[&S1].handover.unwrap().epoch;
    cluster.ok(&Command::AbortHandover { shard: S1, handover });
    assert_eq!(cluster.state.shards[&S1], before);
    // So does the next process of its keeper: what that held in flight is gone.
    cluster.ok(&cluster.begin_recovery(S1, 4));
    cluster.ok(&cluster.restart(1, old()));
    assert_eq!(cluster.state.shards[&S1].handover, None);
    cluster.refused(&cluster.begin_recovery(S1, 4), "stale_incarnation");
}

#[test]
fn a_recovery_with_the_keeper_goes_to_who_is_there_and_needs_it() {
    // Out for its step still.
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    cluster.ok(&cluster.restart(2, old()));
    cluster.refused(&cluster.begin_recovery(S1, 4), "node_out");
    cluster.refused(&cluster.begin_recovery(S1, 3), "not_a_replica");
    // Somebody in the set holds everything.
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.keep(S1, 6));
    cluster.refused(&cluster.begin_recovery(S1, 4), "takes_over");
    cluster.ok(&cluster.restart(2, old()));
    cluster.refused(&cluster.begin_recovery(S1, 2), "takes_over");
    // Nobody keeps anything.
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(2, old()));
    cluster.refused(&cluster.begin_recovery(S1, 4), "no_keeper");
    // By the leader that waited for the end of the owner's lease, and by no other.
    let mut cluster = with_a_tail_and_no_primary();
    cluster.state.shards.get_mut(&S1).unwrap().ownership = Ownership::Serving(cluster.member(2));
    cluster.state.shards.get_mut(&S1).unwrap().in_sync = BTreeSet::from([cluster.member(2)]);
    let begin = cluster.begin_recovery(S1, 4);
    let refused = cluster.state.apply(LogId { term: 1, index: 900 }, &begin).unwrap_err();
    assert_eq!(refused.code(), "other_term");
    cluster.refused(&cluster.begin_recovery(S1, 2), "is_primary");
    cluster.ok(&begin);
}

#[test]
fn nobody_gives_a_tail_up_by_itself_that_continues_what_there_is() {
    let mut cluster = with_a_tail_and_no_primary();
    let from = cluster.state.shards[&S1].keeper.unwrap().from;
    let recover = cluster.recover(S1, 4, from.0);
    let without = Recover { given_up: BTreeSet::new(), ..recover.clone() };
    cluster.refused(&Command::Recover(without), "given_up");
    cluster.refused(&Command::Recover(recover.clone()), "keeps_tail");
    let mut gone = Cluster { state: cluster.state.clone(), log_index: cluster.log_index };
    gone.ok(&gone.restart(1, old()));
    gone.ok(&Command::Recover(gone.recover(S1, 4, from.0)));
    let mut accepted = Cluster { state: cluster.state.clone(), log_index: cluster.log_index };
    accepted.ok(&Command::Recover(Recover { by: RecoveredBy::Operator, ..recover }));
    // A tail that nobody reaches helps nobody.
    cluster.ok(&Command::Recover(cluster.recover(S1, 4, from.0 - 1)));
}

#[test]
fn a_life_from_another_machine_does_not_end_the_lease_of_the_one_before() {
    for (of, lease, code) in
        [(machine(2), LastLease::Ended, None), (machine(70), LastLease::MayRun, Some("other_term"))]
    {
        let mut cluster = Cluster::in_sync();
        let mut registers = cluster.restart(2, old());
        if let Command::RegisterNode { machine, .. } = &mut registers {
            *machine = of;
        }
        let last = cluster.member(2);
        cluster.ok(&registers);
        assert_eq!(cluster.state.shards[&S1].ownership, Ownership::Recovering { last, lease });
        let over = cluster.fail_over(S1, 4);
        let mut elsewhere = cluster.state.clone();
        let applied = elsewhere.apply(LogId { term: 1, index: 900 }, &over);
        assert_eq!(applied.err().map(|rejection| rejection.code()), code);
        cluster.ok(&over);
    }
}
