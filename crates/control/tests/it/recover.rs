//! Shards without any member of their set left: who may begin with what, and what the log keeps of it.

use crate::setup::{Cluster, S0, S1, old};
use ironcache_control::{Command, OnTotalLoss, Ownership, Recover, RecoveredBy};
use ironcache_types::{Epoch, Incarnation, Member, NodeId, Offset};
use std::collections::BTreeSet;

/// Node 1, the primary of shard 0, and every other member were killed and are back.
fn lost() -> Cluster {
    let mut cluster = Cluster::in_sync();
    for node in [1, 3, 5] {
        cluster.ok(&cluster.restart(node, old()));
    }
    assert!(cluster.state.shards[&S0].in_sync.is_empty());
    cluster
}

/// Node 1 was killed, and node 3, the only member besides, does not come back.
fn left_alone() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.ok(&cluster.add_in_sync(S0, 3));
    cluster.ok(&cluster.restart(1, old()));
    cluster
}

fn starts(cluster: &Cluster) -> Vec<(Epoch, Option<u64>)> {
    let lineage = &cluster.state.shards[&S0].lineage;
    lineage.iter().map(|entry| (entry.epoch, entry.start.map(|start| start.0))).collect()
}

#[test]
fn what_is_left_is_served_and_the_loss_is_kept() {
    let mut cluster = lost();
    let recover = Recover { lost_bytes_min: 7, ..cluster.recover(S0, 5, 40) };
    cluster.ok(&Command::Recover(recover));
    let (shard, to) = (&cluster.state.shards[&S0], cluster.member(5));
    assert_eq!((shard.ownership, &shard.in_sync), (Ownership::Serving(to), &BTreeSet::from([to])));
    assert_eq!((shard.losses.recoveries, shard.losses.bytes_min), (1, 7));
    let kept = shard.losses.newest.last().unwrap();
    assert_eq!((kept.epoch, kept.to, kept.at, kept.by), (shard.epoch, to, Offset(40), RecoveredBy::Policy));
    let epoch = shard.epoch;
    assert_eq!(starts(&cluster).last(), Some(&(epoch, None)), "the new owner publishes it");
    cluster.ok(&Command::PrimaryReady { shard: S0, epoch, start: Offset(40) });
    assert_eq!(starts(&cluster).last(), Some(&(epoch, Some(40))));
}

/// Its machine is gone: it registers no later life, and the leader that waited for the end of its lease deposes it.
#[test]
fn an_owner_that_is_gone_with_its_whole_set_is_given_up_too() {
    let mut cluster = Cluster::new();
    let gone = cluster.member(1);
    cluster.ok(&Command::Recover(cluster.recover(S0, 3, 0)));
    let shard = &cluster.state.shards[&S0];
    assert_eq!(shard.primary(), Some(cluster.member(3)));
    assert_eq!(shard.losses.newest[0].given_up, BTreeSet::from([gone]));
}

#[test]
fn a_member_that_does_not_come_back_is_given_up_by_name() {
    let mut cluster = left_alone();
    let recover = cluster.recover(S0, 1, 40);
    let nobody = Recover { given_up: BTreeSet::new(), ..recover.clone() };
    cluster.refused(&Command::Recover(nobody), "given_up");
    let member = cluster.member(3);
    cluster.ok(&Command::Recover(recover));
    let given_up = &cluster.state.shards[&S0].losses.newest[0].given_up;
    assert_eq!(*given_up, BTreeSet::from([member]));
}

#[test]
fn what_began_above_the_new_start_is_cut_off_and_counts_as_lost() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    let first = starts(&cluster)[0];
    assert_eq!(starts(&cluster).last().and_then(|(_, start)| *start), Some(100));
    for node in [3, 1, 5] {
        cluster.ok(&cluster.restart(node, old()));
    }
    cluster.ok(&Command::Recover(cluster.recover(S0, 5, 60)));
    let shard = &cluster.state.shards[&S0];
    assert_eq!(starts(&cluster), [first, (shard.epoch, None)]);
    assert_eq!(shard.losses.bytes_min, 40);
}

#[test]
fn a_primary_whose_lease_may_run_is_not_deposed_and_a_shard_is_recovered_only_as_it_was_seen() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove_in_sync(S0, 5));
    let other_term = Recover { term: 1, ..cluster.recover(S0, 5, 0) };
    cluster.refused(&Command::Recover(other_term), "other_term");
    let mut cluster = lost();
    let fits = cluster.recover(S0, 3, 0);
    let other = Epoch(99);
    cluster.refused(&Command::Recover(Recover { shard_epoch: other, ..fits.clone() }), "stale_epoch");
    cluster.refused(&Command::Recover(Recover { isr_epoch: other, ..fits.clone() }), "stale_epoch");
    cluster.ok(&Command::Recover(fits.clone()));
    cluster.refused(&Command::Recover(fits), "stale_epoch");
}

#[test]
fn only_a_registered_life_of_a_node_of_the_shard_is_chosen() {
    let mut cluster = lost();
    let fits = cluster.recover(S0, 3, 0);
    let life = |node: u64, incarnation: u64| Recover {
        to: Member { node: NodeId(node), incarnation: Incarnation(incarnation) },
        ..fits.clone()
    };
    cluster.refused(&Command::Recover(life(99, 1)), "unknown_node");
    cluster.refused(&Command::Recover(life(3, 1)), "stale_incarnation");
    cluster.refused(&Command::Recover(life(3, 9)), "stale_incarnation");
    cluster.refused(&Command::Recover(life(2, 1)), "not_a_replica");
    let mut cluster = left_alone();
    let recover = cluster.recover(S0, 3, 0);
    cluster.refused(&Command::Recover(recover), "takes_over");
}

#[test]
fn with_on_total_loss_wait_an_operator_accepts_the_loss_and_nobody_else() {
    let mut cluster = lost();
    cluster.ok(&cluster.set_policy(|policy| policy.on_total_loss = OnTotalLoss::Wait));
    let recover = cluster.recover(S0, 3, 0);
    cluster.refused(&Command::Recover(recover.clone()), "loss_not_accepted");
    cluster.ok(&Command::Recover(Recover { by: RecoveredBy::Operator, ..recover }));
}

#[test]
fn a_node_that_is_out_is_waited_for_unless_an_operator_goes_on_without_it() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(5));
    for node in [1, 3] {
        cluster.ok(&cluster.restart(node, old()));
    }
    let recover = cluster.recover(S0, 3, 0);
    cluster.refused(&Command::Recover(recover.clone()), "node_out");
    let by = RecoveredBy::Operator;
    cluster.refused(&Command::Recover(Recover { by, ..cluster.recover(S0, 5, 0) }), "node_out");
    cluster.ok(&Command::Recover(Recover { by, ..recover }));
}

#[test]
fn the_newest_losses_are_kept_and_all_are_counted() {
    let mut cluster = lost();
    for _ in 0..10 {
        let recover = Recover { lost_bytes_min: 3, ..cluster.recover(S0, 3, 0) };
        cluster.ok(&Command::Recover(recover));
        cluster.ok(&cluster.restart(3, old()));
    }
    let losses = &cluster.state.shards[&S0].losses;
    assert_eq!((losses.recoveries, losses.bytes_min, losses.newest.len()), (10, 30, 8));
}

#[test]
fn the_last_owner_that_stopped_in_order_has_the_shard_back_whoever_else_is_in_its_set() {
    let mut cluster = left_alone();
    cluster.ok(&cluster.reclaim(S0, 1));
    let (shard, member) = (&cluster.state.shards[&S0], cluster.member(1));
    assert_eq!((shard.primary(), &shard.in_sync), (Some(member), &BTreeSet::from([member])));
    assert_eq!(shard.losses.recoveries, 0);
}

#[test]
fn what_an_earlier_life_or_another_node_sealed_reclaims_nothing() {
    let mut cluster = left_alone();
    let Command::Reclaim { shard, shard_epoch, member, of, end } = cluster.reclaim(S0, 1) else {
        unreachable!("a Reclaim")
    };
    let reclaim = |member, of| Command::Reclaim { shard, shard_epoch, member, of, end };
    cluster.refused(&reclaim(member, member.incarnation), "not_in_sync");
    let other = cluster.member(5);
    cluster.refused(&reclaim(other, of), "not_in_sync");
    let unknown = Member { incarnation: Incarnation(9), ..member };
    cluster.refused(&reclaim(unknown, of), "stale_incarnation");
}

#[test]
fn nobody_who_claims_to_hold_all_begins_below_the_last_primary() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    cluster.ok(&cluster.leave(S0, 5));
    let Command::Promote { shard, handover, to, in_sync, .. } = cluster.promote(S0) else {
        unreachable!("a Promote")
    };
    let promote = Command::Promote { shard, handover, to, offset: Offset(99), in_sync };
    cluster.refused(&promote, "below_start");
    for node in [3, 1, 5] {
        cluster.ok(&cluster.restart(node, old()));
    }
    let Command::Reclaim { shard, shard_epoch, member, of, .. } = cluster.reclaim(S0, 3) else {
        unreachable!("a Reclaim")
    };
    let reclaim = Command::Reclaim { shard, shard_epoch, member, of, end: Offset(99) };
    cluster.refused(&reclaim, "below_start");
}

/// In mode `primary` a member may lack a little of what its predecessor had.
#[test]
fn a_failover_that_began_lower_cuts_what_began_above_it() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    let first = starts(&cluster)[0];
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.fail_over(S0, 5));
    let epoch = cluster.state.shards[&S0].epoch;
    cluster.ok(&Command::PrimaryReady { shard: S0, epoch, start: Offset(90) });
    assert_eq!(starts(&cluster), [first, (epoch, Some(90))]);
}

#[test]
fn where_an_earlier_primary_began_is_published_too_late_once_it_has_a_successor() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(1, old()));
    cluster.ok(&cluster.fail_over(S0, 3));
    let epoch = cluster.state.shards[&S0].epoch;
    cluster.ok(&cluster.add_in_sync(S0, 5));
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.fail_over(S0, 5));
    cluster.refused(&Command::PrimaryReady { shard: S0, epoch, start: Offset(900) }, "stale_epoch");
    assert!(cluster.state.shards[&S1].primary().is_some());
}
