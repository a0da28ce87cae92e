//! Nodes that join, leave, and come in another's place: the leader asked again and again, in a world where raft does at
//! once what it is told, and with another leader at every step.

use crate::cluster::{add_all, apply, ask, new, old, one_by_three, restart, rolling, see, short, text};
use expect_test::{Expect, expect};
use ironcache_control::{Command, ControlState, NodeRole, NodeSpec, Shard};
use ironcache_coordinator::{Decision, Observation, RaftGroup};
use ironcache_types::{Incarnation, LevelRange, Member, NodeId, ShardId, WireRange};

const S0: ShardId = ShardId(0);

/// A cluster, raft's group, and who leads.
struct World {
    state: ControlState,
    raft: RaftGroup,
    leader: u64,
    /// Nodes that do not answer.
    silent: Vec<u64>,
    told: Vec<String>,
}

fn spec(id: u64, shard: Option<ShardId>) -> NodeSpec {
    NodeSpec {
        member: Member { node: NodeId(id), incarnation: Incarnation(1) },
        client_addr: format!("10.0.0.{id}:6379"),
        peer_addr: format!("10.0.0.{id}:16379"),
        http_addr: format!("10.0.0.{id}:8379"),
        role: if shard.is_some() { NodeRole::Data } else { NodeRole::Witness },
        voter: true,
        shard,
        release: old(),
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId(u128::from(id)),
    }
}

impl World {
    /// Primary 1, replicas 2 and 3, all in sync; 1 leads.
    fn new() -> Self {
        let mut state = one_by_three();
        add_all(&mut state, S0);
        let raft = see(&state, 1).raft;
        World { state, raft, leader: 1, silent: Vec::new(), told: Vec::new() }
    }

    fn commit(&mut self, command: &Command) {
        apply(&mut self.state, command);
    }

    fn observation(&self) -> Observation {
        let mut observation = see(&self.state, self.leader);
        observation.raft = self.raft.clone();
        observation.nodes.retain(|id, _| !self.silent.contains(&id.0));
        observation
    }

    /// One look of the leader, and what comes of it. `false` if it waits, or has nothing to do.
    fn step(&mut self) -> bool {
        let decision = ask(&self.state, &self.observation());
        self.told.push(format!("n{} {}", self.leader, text(&decision)));
        match decision {
            Decision::Propose(command) => self.commit(&command),
            Decision::TransferLeader { to } => self.leader = to.0,
            Decision::AddLearner { node, .. } => drop(self.raft.learners.insert(node)),
            Decision::ChangeMembership { voters, learners } => {
                self.raft = RaftGroup { voters, is_joint: false, learners };
            }
            Decision::Wait(_) | Decision::Done => return false,
        }
        true
    }

    fn run(&mut self) {
        while self.step() {}
    }

    #[track_caller]
    fn tells(&self, expected: &Expect) {
        expected.assert_eq(&short(&self.told.join("\n")));
    }

    fn add(&mut self, id: u64, shard: Option<ShardId>) {
        self.commit(&Command::AddNode { spec: spec(id, shard), replaces: None, admitted: None });
    }

    fn replace(&mut self, old: u64, id: u64) {
        let shard = self.state.nodes[&NodeId(old)].shard;
        self.commit(&Command::AddNode { spec: spec(id, shard), replaces: Some(NodeId(old)), admitted: None });
    }

    fn members(&self) -> Vec<u64> {
        self.state.nodes.keys().map(|id| id.0).collect()
    }
}

#[test]
fn a_witness_becomes_a_learner_then_a_voter() {
    let mut world = World::new();
    world.add(4, None);
    world.run();
    world.tells(&expect![[r#"
        n1 take n4 at 10.0.0.4:16379 into raft's group
        n1 make raft's voters n1, n2, n3, n4
        n1 the change of the nodes is done
        n1 nothing to do"#]]);
    assert_eq!(world.state.membership, None);
    assert!(world.state.nodes[&NodeId(4)].voter);
}

#[test]
fn a_node_that_is_behind_or_silent_gets_no_vote() {
    let mut world = World::new();
    world.add(4, Some(S0));
    world.silent = vec![4];
    world.run();
    world.tells(&expect![[r#"
        n1 take n4 at 10.0.0.4:16379 into raft's group
        n1 wait: n4 has not answered this leader yet"#]]);
    world.silent.clear();
    let mut behind = world.observation();
    behind.nodes.get_mut(&NodeId(4)).unwrap().raft_lag_entries = 5_000;
    expect!["wait: n4 is 5000 log entries behind; at most 64 is allowed"]
        .assert_eq(&text(&ask(&world.state, &behind)));
}

#[test]
fn half_a_change_of_the_voters_is_no_change() {
    let mut world = World::new();
    world.add(4, None);
    world.step();
    // The leader died between the two entries of raft's change: the voters of before and after are all there.
    let all = [1, 2, 3, 4].map(NodeId).into();
    world.raft = RaftGroup { voters: all, is_joint: true, learners: [].into() };
    world.leader = 2;
    world.told.clear();
    world.run();
    world.tells(&expect![[r#"
        n2 make raft's voters n1, n2, n3, n4
        n2 the change of the nodes is done
        n2 nothing to do"#]]);
}

#[test]
fn a_lost_node_is_replaced_while_the_new_one_still_syncs() {
    let mut world = World::new();
    // Node 3 died: its primary took it out of the set.
    world.silent = vec![3];
    let shard = &world.state.shards[&S0];
    let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
    let (member, reason) =
        (world.state.nodes[&NodeId(3)].member(), ironcache_control::Reason::new("silent", ""));
    world.commit(&Command::RemoveInSync { shard: S0, isr_epoch, primary, member, reason });
    world.replace(3, 4);
    world.run();
    world.tells(&expect![[r#"
        n1 take n4 at 10.0.0.4:16379 into raft's group
        n1 make raft's voters n1, n2, n4, its learners n3
        n1 the change of the nodes is done
        n1 let n3 go
        n1 make raft's voters n1, n2, n4
        n1 the change of the nodes is done
        n1 nothing to do"#]]);
    assert_eq!(world.members(), [1, 2, 4]);
    assert_eq!(world.state.membership, None);
}

#[test]
fn a_live_node_leaves_only_when_the_one_in_its_place_is_in_sync() {
    let mut world = World::new();
    world.replace(3, 4);
    world.run();
    world.tells(&expect![[r#"
        n1 take n4 at 10.0.0.4:16379 into raft's group
        n1 make raft's voters n1, n2, n4, its learners n3
        n1 the change of the nodes is done
        n1 wait: n4 is not in the in-sync set of shard 0 yet"#]]);
    assert_eq!(world.members(), [1, 2, 3, 4]);
    world.told.clear();
    add_all_but(&mut world.state, 3);
    world.run();
    world.tells(&expect![[r#"
        n1 take n3 out of the in-sync set of shard 0
        n1 let n3 go
        n1 make raft's voters n1, n2, n4
        n1 the change of the nodes is done
        n1 nothing to do"#]]);
    assert_eq!(world.members(), [1, 2, 4]);
}

fn add_all_but(state: &mut ControlState, leaves: u64) {
    let shard = &state.shards[&S0];
    let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
    let missing = shard.nodes.iter().map(|n| state.nodes[n].member());
    let missing = missing.filter(|m| m.node.0 != leaves).find(|m| !shard.in_sync.contains(m));
    let member = missing.expect("somebody is not in sync");
    apply(state, &Command::AddInSync { shard: S0, isr_epoch, primary, member });
}

#[test]
fn a_leader_that_leaves_hands_leadership_over_and_a_primary_its_shard() {
    let mut world = World::new();
    world.commit(&Command::RemoveNode { node: NodeId(3) });
    world.leader = 3;
    // It became the primary after it was told to leave.
    restart(&mut world.state, NodeId(1), old());
    let Shard { epoch: shard_epoch, isr_epoch, .. } = world.state.shards[&S0];
    let to = world.state.nodes[&NodeId(3)].member();
    world.commit(&Command::Failover { shard: S0, shard_epoch, isr_epoch, to, term: 0 });
    world.step();
    world.step();
    add_all_but(&mut world.state, 3);
    world.step();
    let shard = &world.state.shards[&S0];
    let (flight, in_sync) = (shard.handover.expect("it is handed over"), shard.in_sync.clone());
    let offset = ironcache_types::Offset(9);
    world.commit(&Command::Promote { shard: S0, handover: flight.epoch, to: flight.to, offset, in_sync });
    add_all_but(&mut world.state, 3);
    world.run();
    world.tells(&expect![[r#"
        n3 transfer raft's leadership to n1
        n1 wait: n2 is not in the in-sync set of shard 0 yet
        n1 hand shard 0 over from n3 to n1
        n1 take n3 out of the in-sync set of shard 0
        n1 let n3 go
        n1 make raft's voters n1, n2
        n1 the change of the nodes is done
        n1 nothing to do"#]]);
    assert_eq!(world.members(), [1, 2]);
}

#[test]
fn a_leader_that_is_replaced_hands_leadership_over_before_its_vote() {
    let mut world = World::new();
    world.leader = 3;
    world.replace(3, 4);
    world.step();
    world.step();
    world.step();
    world.tells(&expect![[r#"
        n3 take n4 at 10.0.0.4:16379 into raft's group
        n3 transfer raft's leadership to n2
        n2 make raft's voters n1, n2, n4, its learners n3"#]]);
}

#[test]
fn nobody_goes_while_those_that_stay_are_no_majority() {
    let mut world = World::new();
    world.commit(&Command::RemoveNode { node: NodeId(3) });
    world.silent = vec![2];
    world.run();
    world.tells(&expect![
        "n1 wait: only 1 of 2 voters are reachable and in service; 2 needed before the next step"
    ]);
    assert_eq!(world.members(), [1, 2, 3]);
}

#[test]
fn whoever_leads_next_goes_on_where_the_last_one_stopped() {
    let mut world = World::new();
    world.replace(3, 4);
    let mut acts = 0;
    loop {
        // Another leader at every look, which remembers nothing.
        world.leader = if world.leader == 1 { 2 } else { 1 };
        if world.step() {
            acts += 1;
            continue;
        }
        if world.state.membership.is_none() {
            break;
        }
        add_all_but(&mut world.state, 3);
    }
    assert_eq!((world.members(), acts), (vec![1, 2, 4], 7));
    let voters = [1, 2, 4].map(NodeId).into();
    assert_eq!(world.raft, RaftGroup { voters, is_joint: false, learners: [].into() });
}

#[test]
fn no_step_of_a_plan_begins_while_a_node_is_replaced() {
    let mut state = rolling(one_by_three());
    let plan = state.plan.clone().unwrap();
    let reason = ironcache_control::HoldReason::StepTimedOut { node: NodeId(3), waited_ms: 9 };
    apply(&mut state, &Command::Hold { plan: plan.id, plan_epoch: plan.epoch, reason });
    apply(
        &mut state,
        &Command::AddNode { spec: spec(4, Some(S0)), replaces: Some(NodeId(3)), admitted: None },
    );
    apply(&mut state, &Command::Resume { plan: plan.id });
    for digest in [old().digest, new().digest] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(4), digest });
    }
    crate::cluster::preflight(&mut state, NodeId(4));
    let plan_epoch = state.plan.as_ref().unwrap().epoch;
    apply(&mut state, &Command::BeginRolling { plan: plan.id, plan_epoch });
    let mut observation = see(&state, 1);
    observation.raft = RaftGroup { voters: [1, 2, 3].map(NodeId).into(), ..RaftGroup::default() };
    expect!["take n4 at 10.0.0.4:16379 into raft's group"].assert_eq(&text(&ask(&state, &observation)));
    observation.raft.learners.insert(NodeId(4));
    observation.nodes.remove(&NodeId(4));
    expect!["wait: n4 has not answered this leader yet"].assert_eq(&text(&ask(&state, &observation)));
}
