//! Shards of whose set nobody is left: told as what the nodes say, what the leader does, and what it waits for.

use crate::cluster::{add_all, apply, ask, old, one_by_three, restart, rolling, see, short, start, text};
use expect_test::{Expect, expect};
use ironcache_control::{Command, ControlState, OnTotalLoss, Ownership, PlanOptions};
use ironcache_coordinator::{Bars, Decision, Holding, LeaseObservation, Observation, by_operator};
use ironcache_types::{Epoch, NodeId, Offset, ShardId};

const SHARD: ShardId = ShardId(0);

/// One shard of three nodes, all in sync, and what its leader, node 2, sees.
struct Story {
    state: ControlState,
    seen: Observation,
    waited_ms: u64,
    told: Vec<String>,
}

impl Story {
    fn begin() -> Story {
        let mut state = one_by_three();
        add_all(&mut state, SHARD);
        Story::of(state)
    }

    fn of(state: ControlState) -> Story {
        let seen = see(&state, 2);
        Story { state, seen, waited_ms: 0, told: Vec::new() }
    }

    fn say(&mut self, what: &str) {
        self.told.push(format!("-- {what}"));
    }

    /// The processes of these nodes are killed, and started again; none has said what it holds.
    fn killed(&mut self, nodes: &[u64]) {
        let names: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
        self.say(&format!("the processes of {} are killed and started again", names.join(", ")));
        for node in nodes {
            restart(&mut self.state, NodeId(*node), old());
        }
        self.seen = see(&self.state, 2);
        for node in nodes {
            self.seen.nodes.remove(&NodeId(*node));
        }
    }

    fn gone(&mut self, node: u64) {
        self.say(&format!("the machine of n{node} is gone"));
        self.seen.nodes.get_mut(&NodeId(node)).expect("it was seen").seen_ms_ago = 60_000;
    }

    fn answers(&mut self, node: u64, holds: Option<Holding>) {
        let said = match holds {
            None => "that it reads its dataset".to_owned(),
            Some(Holding::Nothing) => "that it holds nothing".to_owned(),
            Some(Holding::UpTo { epoch, offset, as_of_ms: _ }) => {
                format!("that it holds everything up to {offset}, of epoch {epoch}")
            }
            Some(Holding::Sealed { offset }) => format!("that it stopped in order at {offset}"),
        };
        self.say(&format!("n{node} answers {said}"));
        let id = NodeId(node);
        let mut answer = see(&self.state, 2).nodes.remove(&id).expect("it is a node");
        answer.data.as_mut().expect("it has a shard").holds = holds;
        self.seen.nodes.insert(id, answer);
    }

    /// The owner has had no answer for so long, and after so long no lease of it runs.
    fn lease(&mut self, unanswered_ms: u64, over_after_ms: u64) {
        self.say(&format!("the owner has been granted no lease for {unanswered_ms} ms"));
        self.seen.leases.insert(SHARD, LeaseObservation { unanswered_ms, over_after_ms });
    }

    fn waits(&mut self, ms: u64) {
        self.waited_ms += ms;
        self.say(&format!("{ms} ms pass"));
    }

    fn policy(&mut self, change: impl FnOnce(&mut ironcache_control::Policy)) {
        let mut policy = self.state.policy;
        change(&mut policy);
        let seen = self.state.policy_epoch;
        apply(&mut self.state, &Command::SetPolicy { seen, policy });
    }

    /// What the leader does now; what it proposes is applied.
    fn leader_looks(&mut self) {
        self.seen.timers.recovering_ms.insert(SHARD, self.waited_ms);
        let decision = ask(&self.state, &self.seen);
        self.told.push(text(&decision));
        if let Decision::Propose(command) = &decision {
            apply(&mut self.state, command);
        }
    }

    fn operator_asks(&mut self) {
        self.say("an operator asks what is left");
        let asked = by_operator(&self.state, &self.seen, &Bars::default(), SHARD, 0);
        self.told.push(match asked {
            Ok(remains) => {
                let (recover, missing) = (remains.recover, remains.not_heard);
                let missing: Vec<String> = missing.iter().map(|node| format!("node {node}")).collect();
                apply(&mut self.state, &Command::Recover(recover.clone()));
                let (node, at) = (recover.to.node, recover.at);
                format!("and accepts node {node} up to {at}, without word of {}", missing.join(", "))
            }
            Err(why) => format!("{}: {why}", why.code()),
        });
    }

    #[track_caller]
    fn check(mut self, expected: &Expect) {
        let shard = &self.state.shards[&SHARD];
        let owner = match shard.ownership {
            Ownership::Serving(owner) => format!("served by node {}", owner.node),
            Ownership::Recovering { .. } => "without a primary".to_owned(),
        };
        let losses = &shard.losses;
        let known = format!("{} losses, {} bytes known", losses.recoveries, losses.bytes_min);
        self.told.push(format!("== {owner}; {known}"));
        expected.assert_eq(&short(&self.told.join("\n")));
    }
}

fn up_to(epoch: u64, offset: u64) -> Option<Holding> {
    Some(Holding::UpTo { epoch: Epoch(epoch), offset: Offset(offset), as_of_ms: None })
}

#[test]
fn all_processes_are_killed_and_the_most_complete_holder_serves_once_all_have_answered() {
    let mut story = Story::begin();
    story.killed(&[1, 2, 3]);
    story.answers(1, Some(Holding::Nothing));
    story.answers(3, up_to(1, 40));
    story.leader_looks();
    story.answers(2, up_to(1, 700));
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- n1 answers that it holds nothing
        -- n3 answers that it holds everything up to 40, of epoch 1
        wait: shard 0 lost its in-sync set: n2, which may hold more, has 10.0 s to answer
        -- n2 answers that it holds everything up to 700, of epoch 1
        go on in shard 0 with what n2 holds, up to offset 700
        == served by n2; 1 losses, 0 bytes known"#]]);
}

#[test]
fn a_cluster_without_anything_left_serves_an_empty_shard() {
    let mut story = Story::begin();
    story.killed(&[1, 2, 3]);
    for node in [1, 2, 3] {
        story.answers(node, Some(Holding::Nothing));
    }
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- n1 answers that it holds nothing
        -- n2 answers that it holds nothing
        -- n3 answers that it holds nothing
        go on in shard 0 with n1, which holds nothing
        == served by n1; 1 losses, 0 bytes known"#]]);
}

#[test]
fn a_newer_line_of_primaries_counts_more_than_a_longer_stream() {
    let mut story = Story::begin();
    story.killed(&[1]);
    let to = story.state.nodes[&NodeId(2)].member();
    let (shard_epoch, isr_epoch) = (story.state.shards[&SHARD].epoch, story.state.shards[&SHARD].isr_epoch);
    apply(&mut story.state, &Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to, term: 0 });
    let epoch = story.state.shards[&SHARD].epoch;
    apply(&mut story.state, &Command::PrimaryReady { shard: SHARD, epoch, start: Offset(500) });
    story.killed(&[2, 3]);
    story.answers(1, up_to(1, 900));
    story.answers(2, Some(Holding::Nothing));
    story.answers(3, up_to(epoch.0, 600));
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1 are killed and started again
        -- the processes of n2, n3 are killed and started again
        -- n1 answers that it holds everything up to 900, of epoch 1
        -- n2 answers that it holds nothing
        -- n3 answers that it holds everything up to 600, of epoch 5
        go on in shard 0 with what n3 holds, up to offset 600
        == served by n3; 1 losses, 0 bytes known"#]]);
}

#[test]
fn a_node_that_may_hold_more_is_waited_for_and_one_that_never_comes_is_not_waited_for_for_ever() {
    let mut story = Story::begin();
    story.killed(&[1, 3]);
    story.gone(2);
    story.seen.nodes.get_mut(&NodeId(2)).unwrap().data.as_mut().unwrap().offset = Offset(90);
    story.answers(1, up_to(1, 30));
    story.answers(3, None);
    story.leader_looks();
    story.waits(10_000);
    story.leader_looks();
    story.answers(3, up_to(1, 40));
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n3 are killed and started again
        -- the machine of n2 is gone
        -- n1 answers that it holds everything up to 30, of epoch 1
        -- n3 answers that it reads its dataset
        wait: shard 0 lost its in-sync set: n3 is reading its dataset; shard 0 lost its in-sync set: n2, which may hold more, has 10.0 s to answer
        -- 10000 ms pass
        wait: shard 0 lost its in-sync set: n3 is reading its dataset
        -- n3 answers that it holds everything up to 40, of epoch 1
        go on in shard 0 with what n3 holds, up to offset 40
        == served by n3; 1 losses, 50 bytes known"#]]);
}

#[test]
fn a_member_of_the_set_that_answers_takes_over_and_nothing_is_lost() {
    let mut story = Story::begin();
    story.killed(&[1, 2]);
    story.answers(1, up_to(1, 900));
    story.answers(2, Some(Holding::Nothing));
    story.operator_asks();
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n2 are killed and started again
        -- n1 answers that it holds everything up to 900, of epoch 1
        -- n2 answers that it holds nothing
        -- an operator asks what is left
        takes_over: 0000000000000003/0000000000000001 is in the in-sync set of shard 0: it takes over without a loss
        promote n3 in shard 0
        == served by n3; 0 losses, 0 bytes known"#]]);
}

/// Nobody registers a later life of it: by the log it serves, and the leader sees that it cannot.
#[test]
fn an_owner_that_is_gone_with_its_whole_set_is_given_up_once_its_lease_is_over() {
    let mut story = Story::of(one_by_three());
    story.gone(1);
    story.answers(2, Some(Holding::Nothing));
    story.answers(3, up_to(1, 40));
    story.leader_looks();
    story.lease(2_900, 2_800);
    story.leader_looks();
    story.lease(12_800, 2_800);
    story.leader_looks();
    story.check(&expect![[r#"
        -- the machine of n1 is gone
        -- n2 answers that it holds nothing
        -- n3 answers that it holds everything up to 40, of epoch 1
        nothing to do
        -- the owner has been granted no lease for 2900 ms
        wait: n1, the primary of shard 0, does not answer or does not serve; shard 0 lost its in-sync set: n1, which may hold more, has 9.9 s to answer
        -- the owner has been granted no lease for 12800 ms
        go on in shard 0 with what n3 holds, up to offset 40
        == served by n3; 1 losses, 0 bytes known"#]]);
}

#[test]
fn the_last_owner_that_stopped_in_order_takes_its_shard_back() {
    let mut story = Story::begin();
    story.killed(&[1, 2, 3]);
    story.answers(1, Some(Holding::Sealed { offset: Offset(700) }));
    story.leader_looks();
    story.operator_asks();
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- n1 answers that it stopped in order at 700
        wait: shard 0 has no primary; n1, its last owner, holds all of it and takes it back
        -- an operator asks what is left
        reclaims: n1, the last owner of shard 0, holds all of it and takes it back by itself
        == without a primary; 0 losses, 0 bytes known"#]]);
}

#[test]
fn an_operator_who_wants_to_be_asked_is_told_what_to_type() {
    let mut story = Story::begin();
    story.policy(|policy| policy.on_total_loss = OnTotalLoss::Wait);
    story.killed(&[1, 2, 3]);
    story.operator_asks();
    story.answers(1, Some(Holding::Nothing));
    story.leader_looks();
    story.answers(3, up_to(1, 40));
    story.leader_looks();
    story.operator_asks();
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- an operator asks what is left
        nobody_answers: no node of shard 0 has said what it holds; start one of them, and ask again
        -- n1 answers that it holds nothing
        wait: shard 0 lost its in-sync set: n2, which may hold more, has 10.0 s to answer; shard 0 lost its in-sync set: n3, which may hold more, has 10.0 s to answer; shard 0 lost its in-sync set: no node that answers holds anything; `ironcache cluster recover --shard 0 --accept-loss` begins anew with n1
        -- n3 answers that it holds everything up to 40, of epoch 1
        wait: shard 0 lost its in-sync set: n2, which may hold more, has 10.0 s to answer; shard 0 lost its in-sync set: `ironcache cluster recover --shard 0 --accept-loss` goes on with what n3 holds, up to offset 40
        -- an operator asks what is left
        and accepts n3 up to 40, without word of n2
        == served by n3; 1 losses, 0 bytes known"#]]);
}

#[test]
fn a_node_that_is_out_is_waited_for_however_long_it_takes() {
    let mut state = rolling(one_by_three());
    let plan = state.plan.as_ref().unwrap();
    let (plan, plan_epoch) = (plan.id, plan.epoch);
    let member = state.nodes[&NodeId(3)].member();
    apply(&mut state, &Command::UpgradeSelf { plan, plan_epoch, member, at_ms: 0 });
    let mut story = Story::of(state);
    story.killed(&[1, 2]);
    story.answers(1, up_to(1, 30));
    story.answers(2, Some(Holding::Nothing));
    story.waits(600_000);
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n2 are killed and started again
        -- n1 answers that it holds everything up to 30, of epoch 1
        -- n2 answers that it holds nothing
        -- 600000 ms pass
        wait: shard 0 lost its in-sync set: n3 is out for its step, and may come back with more; `ironcache cluster recover --shard 0` says what there is without it; n3 has been out for 0.0 s of at most 120.0 s: the new binary has not registered yet; plan 1 is held: what shard 0 acknowledges is in one process only; the plan goes on by itself as soon as another node keeps it, or two are in sync
        == without a primary; 0 losses, 0 bytes known"#]]);
}

#[test]
fn a_plan_goes_on_after_its_shard_has_lost_everything() {
    let mut state = one_by_three();
    add_all(&mut state, SHARD);
    start(&mut state, PlanOptions::default());
    let mut story = Story::of(state);
    story.killed(&[1, 2, 3]);
    for node in [1, 2, 3] {
        story.answers(node, Some(Holding::Nothing));
    }
    story.leader_looks();
    assert!(story.state.plan.is_some());
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- n1 answers that it holds nothing
        -- n2 answers that it holds nothing
        -- n3 answers that it holds nothing
        go on in shard 0 with n1, which holds nothing
        == served by n1; 1 losses, 0 bytes known"#]]);
}

#[test]
fn what_is_claimed_of_an_epoch_that_the_log_never_reached_is_no_claim() {
    let mut story = Story::begin();
    story.killed(&[1, 2, 3]);
    story.answers(1, up_to(999, 5_000));
    story.answers(2, up_to(1, 20));
    story.answers(3, up_to(1, 10));
    story.leader_looks();
    story.waits(10_000);
    story.leader_looks();
    story.check(&expect![[r#"
        -- the processes of n1, n2, n3 are killed and started again
        -- n1 answers that it holds everything up to 5000, of epoch 999
        -- n2 answers that it holds everything up to 20, of epoch 1
        -- n3 answers that it holds everything up to 10, of epoch 1
        wait: shard 0 lost its in-sync set: n1, which may hold more, has 10.0 s to answer
        -- 10000 ms pass
        go on in shard 0 with what n2 holds, up to offset 20
        == served by n2; 1 losses, 0 bytes known"#]]);
}
