//! Nodes that join, leave, and come in another's place: by entries, one at a time, and never with a role.

use crate::setup::{Cluster, S0, S1, joins, new, old};
use ironcache_control::{
    Applied, Command, MembershipChange, MembershipStage, NodeRole, NodeSpec, Outcome, StepState, TrialPhase,
};
use ironcache_types::{LevelRange, NodeId, ShardId};

fn ids(cluster: &Cluster, shard: ShardId) -> Vec<u64> {
    cluster.state.shards[&shard].nodes.iter().map(|n| n.0).collect()
}

fn stage(cluster: &Cluster) -> Option<(u64, MembershipStage)> {
    cluster.state.membership.map(|MembershipChange { epoch: _, node, stage }| (node.0, stage))
}

fn votes(cluster: &Cluster, node: u64) -> bool {
    cluster.state.nodes[&NodeId(node)].voter
}

#[test]
fn a_replica_joins_and_has_a_vote_once_raft_has_it() {
    let mut cluster = Cluster::in_sync();
    let add = cluster.add_node(7, Some(S1));
    cluster.ok(&add);
    assert_eq!(ids(&cluster, S1), [2, 4, 7]);
    assert!(!votes(&cluster, 7), "not before raft has taken it in");
    assert_eq!(cluster.ok(&add), Applied::Unchanged, "asked again, it goes on");
    // Data need not wait for the vote.
    cluster.ok(&cluster.restart(7, old()));
    cluster.ok(&cluster.add_in_sync(S1, 7));
    let done = cluster.members_done();
    cluster.ok(&done);
    assert!(votes(&cluster, 7));
    assert_eq!(cluster.state.membership, None);
    cluster.refused(&done, "stale_epoch");
    cluster.refused(&add, "already_member");
}

#[test]
fn a_witness_leaves_and_its_id_is_never_a_member_again() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove(6));
    assert_eq!(cluster.ok(&cluster.remove(6)), Applied::Unchanged);
    cluster.refused(&cluster.members_done(), "other_change");
    let registers = cluster.restart(6, old());
    cluster.ok(&cluster.left());
    assert_eq!(stage(&cluster), Some((6, MembershipStage::Left)));
    assert!(!cluster.state.nodes.contains_key(&NodeId(6)));
    cluster.ok(&cluster.members_done());
    assert_eq!(cluster.state.membership, None);
    cluster.refused(&registers, "removed");
    cluster.refused(&cluster.add_node(6, None), "removed");
    assert_eq!(cluster.ok(&cluster.remove(6)), Applied::Unchanged, "it is gone already");
    cluster.refused(&cluster.remove(99), "unknown_node");
    cluster.ok(&cluster.add_node(7, None));
}

#[test]
fn a_member_leaves_its_set_before_it_leaves_the_cluster() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove(3));
    cluster.refused(&cluster.left(), "still_in_sync");
    let back = cluster.add_in_sync(S0, 5);
    cluster.ok(&cluster.remove_in_sync(S0, 3));
    cluster.refused(&cluster.add_in_sync(S0, 3), "node_leaving");
    assert!(matches!(back, Command::AddInSync { .. }));
    cluster.ok(&cluster.left());
    assert_eq!(ids(&cluster, S0), [1, 5]);
    cluster.ok(&cluster.members_done());
}

#[test]
fn a_node_that_is_leaving_is_added_again_as_what_it_is_and_stays() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove(3));
    cluster.ok(&cluster.remove_in_sync(S0, 3));
    let leaves = cluster.left();
    cluster.refused(&cluster.add_node(3, None), "already_member");
    cluster.refused(&cluster.add_node(3, Some(S1)), "already_member");
    cluster.refused(&cluster.replace(5, 3), "already_member");
    let epoch = cluster.state.epoch;
    assert!(matches!(cluster.ok(&cluster.add_node(3, Some(S0))), Applied::Changed { .. }));
    assert_eq!((cluster.state.membership, votes(&cluster, 3)), (None, true));
    assert!(cluster.state.epoch > epoch);
    cluster.refused(&leaves, "stale_epoch");
    cluster.ok(&cluster.add_in_sync(S0, 3));
    cluster.refused(&cluster.add_node(3, Some(S0)), "already_member");
    // Once it has left, it has.
    cluster.ok(&cluster.remove(6));
    cluster.ok(&cluster.left());
    cluster.refused(&cluster.add_node(6, None), "removed");
}

#[test]
fn who_has_a_role_is_told_what_to_do_first() {
    let mut cluster = Cluster::in_sync();
    cluster.refused(&cluster.remove(1), "is_primary");
    cluster.refused(&cluster.replace(1, 7), "is_primary");
    cluster.ok(&cluster.leave(S0, 3));
    for end in [1, 3] {
        let code = if end == 1 { "is_primary" } else { "handover_in_flight" };
        cluster.refused(&cluster.remove(end), code);
    }
    // One that becomes primary while it is leaving stays until somebody else has the shard.
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove(3));
    cluster.ok(&cluster.leave(S0, 3));
    cluster.refused(&cluster.left(), "handover_in_flight");
    cluster.ok(&cluster.promote(S0));
    cluster.refused(&cluster.left(), "is_primary");
    // Without a primary, any of its nodes may be the one that has the data.
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(1, old()));
    cluster.refused(&cluster.remove(3), "recovering");
    cluster.refused(&cluster.remove(1), "recovering");
}

#[test]
fn a_node_comes_in_anothers_place_and_takes_its_vote_over_in_one_change() {
    let mut cluster = Cluster::in_sync();
    let voters = cluster.state.voters().count();
    cluster.ok(&cluster.replace(4, 7));
    cluster.refused(&cluster.remove(4), "membership_pending");
    cluster.refused(&cluster.add_node(8, None), "membership_pending");
    assert_eq!((votes(&cluster, 4), votes(&cluster, 7)), (true, false));
    cluster.ok(&cluster.members_done());
    assert_eq!((votes(&cluster, 4), votes(&cluster, 7)), (false, true));
    assert_eq!(cluster.state.voters().count(), voters);
    assert_eq!(stage(&cluster), Some((4, MembershipStage::Leaving)));
    cluster.ok(&cluster.add_in_sync(S1, 7));
    cluster.ok(&cluster.remove_in_sync(S1, 4));
    cluster.ok(&cluster.left());
    cluster.ok(&cluster.members_done());
    assert_eq!(ids(&cluster, S1), [2, 7]);
    assert_eq!(cluster.state.membership, None);
}

#[test]
fn what_was_begun_with_a_node_that_never_comes_is_taken_back() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.replace(4, 7));
    cluster.ok(&cluster.remove(7));
    assert_eq!(stage(&cluster), Some((7, MembershipStage::Leaving)));
    cluster.ok(&cluster.left());
    cluster.ok(&cluster.members_done());
    assert_eq!(ids(&cluster, S1), [2, 4]);
    assert!(votes(&cluster, 4));
}

#[test]
fn what_cannot_join_is_refused() {
    let mut cluster = Cluster::in_sync();
    let with = |change: fn(&mut NodeSpec)| {
        let mut spec = joins(7, Some(S1));
        change(&mut spec);
        Command::AddNode { spec, replaces: None, admitted: None }
    };
    cluster.refused(&with(|s| s.levels = LevelRange::new(2, 3)), "cannot_read");
    cluster.refused(&with(|s| s.shard = Some(ShardId(9))), "unknown_shard");
    let mut bad = Cluster::rolling();
    bad.go(4);
    bad.ok(&bad.failed(4, true));
    bad.ok(&bad.abort());
    let quarantined = NodeSpec { release: new(), ..joins(7, Some(S1)) };
    bad.refused(&Command::AddNode { spec: quarantined, replaces: None, admitted: None }, "quarantined");
    cluster.refused(&with(|s| s.shard = None), "bad_layout");
    cluster.refused(&with(|s| s.role = NodeRole::Witness), "bad_layout");
    cluster.refused(&with(|s| s.peer_addr = "p2".to_owned()), "address_taken");
    // Clients by TLS and the others have one host, and a port is one or the other.
    let taken = cluster.state.nodes.get_mut(&NodeId(2)).expect("it is a member");
    (taken.client_addr, taken.tls_port) = ("h:1".to_owned(), Some(2));
    let spec_at =
        |addr: &str, tls_port| NodeSpec { client_addr: addr.to_owned(), tls_port, ..joins(7, Some(S1)) };
    let at = |addr: &str, tls_port| Command::AddNode {
        spec: spec_at(addr, tls_port),
        replaces: None,
        admitted: None,
    };
    for (addr, tls_port) in [("h:1", None), ("h:3", Some(2)), ("h:3", Some(1)), ("h:2", None)] {
        cluster.refused(&at(addr, tls_port), "address_taken");
    }
    for (addr, tls_port) in [("h:3", Some(4)), ("other:1", Some(2))] {
        assert_eq!(cluster.state.check_join(&spec_at(addr, tls_port), None), Ok(()), "{addr}");
    }
    cluster.refused(&with(|s| s.member.node = NodeId(2)), "already_member");
    // In another's place, it is what that one was; the place may be the very same.
    let in_place = |change: fn(&mut NodeSpec)| {
        let mut spec = joins(7, Some(S1));
        change(&mut spec);
        Command::AddNode { spec, replaces: Some(NodeId(4)), admitted: None }
    };
    cluster.refused(&in_place(|s| s.voter = false), "bad_layout");
    cluster.refused(&in_place(|s| s.shard = Some(S0)), "bad_layout");
    cluster.refused(&in_place(|s| s.peer_addr = "p2".to_owned()), "address_taken");
    cluster.ok(&in_place(|s| s.peer_addr = "p4".to_owned()));
}

#[test]
fn seven_vote_and_no_more() {
    let mut cluster = Cluster::in_sync();
    for id in [7, 8] {
        cluster.ok(&cluster.add_node(id, None));
        cluster.ok(&cluster.members_done());
    }
    assert_eq!(cluster.state.voters().count(), 7);
    cluster.refused(&cluster.add_node(9, None), "too_many_voters");
    let learner = NodeSpec { voter: false, ..joins(9, None) };
    cluster.ok(&Command::AddNode { spec: learner, replaces: None, admitted: None });
    cluster.ok(&cluster.members_done());
    // One for one is always possible.
    cluster.ok(&cluster.replace(8, 10));
    cluster.ok(&cluster.members_done());
    assert_eq!(cluster.state.voters().count(), 7);
}

#[test]
fn counts_that_would_not_do_are_refused() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.set_policy(|policy| policy.min_in_sync = 2));
    cluster.refused(&cluster.remove(4), "min_in_sync");
    // 1+1 and a witness: a node out, and another gone, leave nobody to agree.
    let mut cluster = Cluster::in_sync();
    for id in [6, 3, 5] {
        cluster.ok(&cluster.remove(id));
        if id != 6 {
            cluster.ok(&cluster.remove_in_sync(S0, id));
        }
        cluster.ok(&cluster.left());
        cluster.ok(&cluster.members_done());
    }
    assert_eq!(cluster.state.voters().count(), 3);
    cluster.refused(&cluster.start_plan(), "no_replica");
}

#[test]
fn plans_and_changes_of_the_nodes_keep_out_of_each_others_way() {
    let mut cluster = Cluster::rolling();
    cluster.refused(&cluster.add_node(7, None), "during_plan");
    cluster.refused(&cluster.remove(6), "during_plan");
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.add_node(7, None));
    cluster.refused(&cluster.start_plan(), "membership_pending");
    cluster.ok(&cluster.members_done());
    cluster.ok(&cluster.start_plan());
}

#[test]
fn a_node_that_holds_its_plan_is_replaced_and_no_step_begins_meanwhile() {
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    cluster.refused(&cluster.replace(4, 7), "during_plan");
    let (plan, plan_epoch) = cluster.state.plan.as_ref().map(|p| (p.id, p.epoch)).unwrap();
    let reason = ironcache_control::HoldReason::StepTimedOut { node: NodeId(4), waited_ms: 9 };
    cluster.ok(&Command::Hold { plan, plan_epoch, reason });
    cluster.refused(&cluster.remove(3), "during_plan");
    cluster.ok(&cluster.replace(4, 7));
    cluster.ok(&cluster.resume());
    for digest in [old().digest, new().digest] {
        cluster.ok(&Command::ReportStaged { node: NodeId(7), digest });
    }
    cluster.ok(&cluster.preflight(7));
    cluster.ok(&cluster.begin_rolling());
    cluster.refused(&cluster.take_out(3), "membership_pending");
    cluster.ok(&cluster.members_done());
    // The plan was resumed, and the node is still out: it waits for the plan to stand still for its sake again.
    cluster.refused(&cluster.left(), "node_out");
    let (plan, plan_epoch) = cluster.state.plan.as_ref().map(|p| (p.id, p.epoch)).unwrap();
    let reason = ironcache_control::HoldReason::StepTimedOut { node: NodeId(4), waited_ms: 9 };
    cluster.ok(&Command::Hold { plan, plan_epoch, reason });
    cluster.ok(&cluster.left());
    cluster.ok(&cluster.members_done());
    let steps = &cluster.state.plan.as_ref().unwrap().steps;
    assert_eq!(steps[0].state, StepState::SetAside);
    cluster.ok(&cluster.resume());
    cluster.ok(&cluster.begin_rolling());
    cluster.ok(&cluster.add_in_sync(S1, 7));
    cluster.upgrade(7);
}

#[test]
fn a_node_that_an_aborted_plan_left_out_can_go() {
    let mut cluster = Cluster::rolling();
    cluster.go(4);
    cluster.ok(&cluster.pause());
    cluster.ok(&cluster.abort());
    assert_eq!(cluster.state.history.back().map(|h| h.outcome), Some(Outcome::Aborted));
    let out = cluster.state.nodes[&NodeId(4)].out.as_ref().map(|out| out.phase);
    assert_eq!(out, Some(TrialPhase::SetAside));
    cluster.ok(&cluster.remove(4));
    cluster.ok(&cluster.left());
    cluster.ok(&cluster.members_done());
    assert_eq!(ids(&cluster, S1), [2]);
}

#[test]
fn those_who_left_are_remembered_within_bounds() {
    let mut cluster = Cluster::in_sync();
    for id in 100..100 + 2 * ironcache_control::ControlState::REMOVED_MAX as u64 {
        cluster.ok(&cluster.add_node(id, None));
        cluster.ok(&cluster.remove(id));
        cluster.ok(&cluster.left());
        cluster.ok(&cluster.members_done());
    }
    assert_eq!(cluster.state.removed.len(), ironcache_control::ControlState::REMOVED_MAX);
}
