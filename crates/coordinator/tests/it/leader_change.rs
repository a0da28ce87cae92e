//! A new leader goes on where the old one stopped.

use crate::cluster::{Layout, new, one_by_three, three_by_two};
use ironcache_control::{Command, ControlState, Outcome, PlanOptions};
use ironcache_coordinator::{Decision, Progress, Rehearsal};
use ironcache_types::NodeId;

fn begin(state: &ControlState) -> Rehearsal {
    Rehearsal::begin(state, NodeId(1), &new().version, PlanOptions::default()).unwrap()
}

/// Every state on the way, with the acts that led there.
fn way(state: &ControlState) -> Vec<Rehearsal> {
    let mut rehearsal = begin(state);
    let mut way = vec![rehearsal.clone()];
    while rehearsal.step().unwrap() == Progress::Made {
        way.push(rehearsal.clone());
    }
    way
}

#[test]
fn a_leader_without_memory_goes_on_with_the_same_acts() {
    let way = way(&three_by_two());
    let whole = &way[way.len() - 1].acts;
    for at in &way {
        let mut resumed = Rehearsal { acts: Vec::new(), ..at.clone() };
        resumed.run().unwrap();
        assert_eq!(resumed.acts, whole[at.acts.len()..]);
    }
}

#[test]
fn any_other_leader_finishes_the_plan_with_every_node_taken_out_once() {
    let witness = Layout { shards: 2, nodes_per_shard: 2, witnesses: 1, voters: 5 }.build();
    for state in [three_by_two(), one_by_three(), witness] {
        for at in way(&state) {
            for voter in state.voters() {
                let mut resumed = Rehearsal { leader: voter.id, ..at.clone() };
                resumed.run().unwrap();
                assert_eq!(resumed.state.history.back().map(|h| h.outcome), Some(Outcome::Finalized));
                let mut taken_out: Vec<NodeId> = resumed.acts.iter().filter_map(taken_out).collect();
                taken_out.sort_unstable();
                assert_eq!(taken_out, state.nodes.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn no_leader_ever_takes_itself_out() {
    for voter in [1, 2, 3, 4, 5] {
        let mut rehearsal =
            Rehearsal::begin(&three_by_two(), NodeId(voter), &new().version, PlanOptions::default()).unwrap();
        loop {
            let (leader, before) = (rehearsal.leader, rehearsal.acts.len());
            let progress = rehearsal.step().unwrap();
            assert!(rehearsal.acts[before..].iter().all(|act| taken_out(act) != Some(leader)));
            if progress == Progress::Stuck {
                break;
            }
        }
    }
}

fn taken_out(act: &Decision) -> Option<NodeId> {
    match act {
        Decision::Propose(Command::UpgradeSelf { member, .. }) => Some(member.node),
        Decision::Propose(_)
        | Decision::TransferLeader { .. }
        | Decision::AddLearner { .. }
        | Decision::ChangeMembership { .. }
        | Decision::Wait(_)
        | Decision::Done => None,
    }
}
