//! Plans that do not simply end: told as what the coordinator does and what befalls it, in order.

use crate::cluster::{add_all, apply, new, old, one_by_three, restart, short, text};
use expect_test::{Expect, expect};
use ironcache_control::{
    AutoRollout, Command, ControlState, FinalizeAfter, OnFailure, Phase, Policy, Reason, StageHold, StartedBy,
};
use ironcache_coordinator::{
    Bars, Decision, LeaderMemory, Observation, Progress, Rehearsal, StateHash, decide, observe_perfect,
};
use ironcache_types::NodeId;

/// A world where everything works, but for what the test does to it.
struct Story {
    world: Rehearsal,
    told: Vec<String>,
}

impl Story {
    /// One shard of three nodes, in sync, with its releases known everywhere, under this policy.
    fn under(change: impl FnOnce(&mut Policy)) -> Story {
        let mut state = one_by_three();
        let mut policy = state.policy;
        change(&mut policy);
        let seen = state.policy_epoch;
        apply(&mut state, &Command::SetPolicy { seen, policy });
        for id in [1, 2, 3].map(NodeId) {
            for digest in [old().digest, new().digest] {
                apply(&mut state, &Command::ReportStaged { node: id, digest });
            }
        }
        let shard = *state.shards.keys().next().expect("there is one");
        add_all(&mut state, shard);
        let world = Rehearsal { acts: Vec::new(), state, leader: NodeId(1), now_ms: 0 };
        Story { world, told: Vec::new() }
    }

    fn say(&mut self, what: &str) {
        self.told.push(format!("-- {what}"));
    }

    /// An operator, or a node, has its word.
    fn commit(&mut self, command: &Command) {
        apply(&mut self.world.state, command);
    }

    fn start(&mut self) {
        self.say("an operator sets the target 1.4.0");
        let (options, started_by) = (self.world.state.policy.plan_options(), StartedBy::Operator);
        let leader = self.world.leader;
        self.commit(&Command::StartPlan { target: new(), options, leader, started_by, at_ms: 0 });
    }

    fn roll_back(&mut self, why: &str) {
        self.say(&format!("an operator orders a rollback: {why}"));
        let plan = self.world.state.plan.as_ref().expect("a plan is active");
        let (plan, plan_epoch) = (plan.id, plan.epoch);
        let reason = Reason::new("operator", why);
        self.commit(&Command::Rollback { plan, plan_epoch, reason });
    }

    /// One act, or one move of the world. `false` once nothing moves any more.
    fn step(&mut self) -> bool {
        let before = self.world.acts.len();
        let progress = self.world.step().unwrap_or_else(|rejection| panic!("{rejection}"));
        self.told.extend(self.world.acts[before..].iter().map(text));
        progress == Progress::Made
    }

    /// Goes on until `stop`, or until nothing moves.
    fn until(&mut self, stop: impl Fn(&ControlState) -> bool) {
        for _ in 0..1_000 {
            if stop(&self.world.state) || !self.step() {
                return;
            }
        }
        panic!("it goes round in circles:\n{}", self.told.join("\n"));
    }

    fn until_the_end(&mut self) {
        self.until(|state| state.plan.is_none());
    }

    fn out(&self) -> Option<NodeId> {
        self.world.state.nodes.values().find(|n| n.out.is_some()).map(|n| n.id)
    }

    /// The node that is out could not run the release, and is back on the old one.
    fn fail(&mut self, node: NodeId) {
        self.say(&format!("the release exits on node {node}, three times; it goes back by itself"));
        let out = self.world.state.nodes[&node].out.clone().expect("it is out");
        restart(&mut self.world.state, node, old());
        let member = self.world.state.nodes[&node].member();
        let reason = Reason::new("exit", "exited with code 7");
        let (plan, step) = (out.plan, out.epoch);
        self.commit(&Command::StepFailed { plan, step, member, reason, quarantine: true, at_ms: 0 });
    }

    fn another_leader(&mut self, node: u64) {
        self.world.leader = NodeId(node);
        self.say(&format!("node {} leads raft now", NodeId(node)));
    }

    fn check(mut self, expected: &Expect) {
        if let Some(ended) = self.world.state.history.back() {
            let runs: Vec<String> =
                self.world.state.nodes.values().map(|n| n.release.version.to_string()).collect();
            self.told.push(format!("== {:?}; the nodes run {}", ended.outcome, runs.join(", ")));
        }
        let declined: Vec<String> = self
            .world
            .state
            .declined
            .values()
            .map(|d| format!("{} ({})", d.version, d.reason.code))
            .collect();
        if !declined.is_empty() {
            self.told.push(format!("== declined: {}", declined.join(", ")));
        }
        expected.assert_eq(&short(&self.told.join("\n")));
    }
}

fn at_once(policy: &mut Policy) {
    policy.finalize_after = FinalizeAfter::Seconds(0);
}

#[test]
fn a_failed_step_takes_everybody_back() {
    let mut story = Story::under(at_once);
    story.start();
    story.until(|state| state.nodes[&NodeId(2)].release == new() && state.nodes[&NodeId(2)].out.is_none());
    story.until(|state| state.nodes[&NodeId(3)].out.is_some());
    story.fail(NodeId(3));
    story.until_the_end();
    assert!(story.world.state.quarantined.contains_key(&new().digest));
    story.check(&expect![[r#"
        -- an operator sets the target 1.4.0
        begin the steps of plan 1
        upgrade n2
        confirm n2
        upgrade n3
        -- the release exits on n3, three times; it goes back by itself
        roll plan 1 back: n3 could not run it: exited with code 7
        turn plan 1 round
        begin the steps of plan 1
        upgrade n2
        confirm n2
        finalize plan 1
        == RolledBack; the nodes run 1.3.0, 1.3.0, 1.3.0
        == declined: 1.4.0 (step_failed)"#]]);
}

#[test]
fn a_failed_step_holds_the_plan_where_the_policy_says_so() {
    let mut story = Story::under(|policy| policy.on_failure = OnFailure::Hold);
    story.start();
    story.until(|state| state.nodes.values().any(|n| n.out.is_some()));
    let node = story.out().expect("one is out");
    story.fail(node);
    story.until_the_end();
    story.check(&expect![[r#"
        -- an operator sets the target 1.4.0
        begin the steps of plan 1
        upgrade n2
        -- the release exits on n2, three times; it goes back by itself
        wait: plan 1 is held: n2 could not run the release and went back to its old binary: exited with code 7; the release is quarantined: `ironcache cluster upgrade rollback` takes everybody back (by itself, unless `on-failure` is `hold`), `ironcache cluster upgrade abort` ends the plan where it stands; then stage a mended release
        == declined: 1.4.0 (exit)"#]]);
}

#[test]
fn a_rollback_by_command_with_every_node_on_the_target() {
    let mut story = Story::under(|policy| policy.finalize_after = FinalizeAfter::Never);
    story.start();
    story.until(|state| matches!(state.plan.as_ref().unwrap().phase, Phase::Soaking { .. }));
    story.roll_back("latency doubled");
    story.until_the_end();
    story.check(&expect![[r#"
        -- an operator sets the target 1.4.0
        begin the steps of plan 1
        upgrade n2
        confirm n2
        upgrade n3
        confirm n3
        hand shard 0 over from n1 to n2
        transfer raft's leadership to n3
        upgrade n1
        confirm n1
        let plan 1 soak
        -- an operator orders a rollback: latency doubled
        turn plan 1 round
        begin the steps of plan 1
        upgrade n1
        confirm n1
        transfer raft's leadership to n1
        upgrade n3
        confirm n3
        hand shard 0 over from n2 to n1
        upgrade n2
        confirm n2
        finalize plan 1
        == RolledBack; the nodes run 1.3.0, 1.3.0, 1.3.0
        == declined: 1.4.0 (operator)"#]]);
}

#[test]
fn a_plan_becomes_final_by_time_and_not_before() {
    let mut story = Story::under(|policy| policy.finalize_after = FinalizeAfter::Seconds(3_600));
    story.start();
    story.until(|state| matches!(state.plan.as_ref().unwrap().phase, Phase::Soaking { .. }));
    // Leaders, what their clocks say in ms, and their times of day, which nothing comes of.
    let mut memory = LeaderMemory::default();
    let mut told = Vec::new();
    let mut look = |memory: &mut LeaderMemory, now_ms: u64, wall_ms: u64| {
        let state = &mut story.world.state;
        let timers = memory.note(state, &Bars::default(), now_ms);
        let observation = Observation { timers, ..observe_perfect(state, NodeId(1)) };
        let decision = decide(state, &observation, &Bars::default(), wall_ms);
        told.push(text(&decision));
        if let Decision::Propose(count @ Command::Soaked { .. }) = &decision {
            apply(state, count);
        }
    };
    look(&mut memory, 500, 0);
    look(&mut memory, 60_499, u64::MAX);
    look(&mut memory, 60_500, 0);
    look(&mut memory, 61_500, 0);
    // Another leads. It counts on from what the log says: the second since then is lost, and nothing else.
    let mut memory = LeaderMemory::default();
    look(&mut memory, 7_000_000, u64::MAX);
    look(&mut memory, 10_539_999, u64::MAX);
    look(&mut memory, 10_540_000, 3);
    look(&mut memory, 10_540_000, 3);
    expect![[r#"
        wait: plan 1 is soaking; it becomes final in 3600.0 s
        wait: plan 1 is soaking; it becomes final in 3540.0 s
        note that plan 1 has soaked for 60000 ms
        wait: plan 1 is soaking; it becomes final in 3539.0 s
        wait: plan 1 is soaking; it becomes final in 3540.0 s
        note that plan 1 has soaked for 3599999 ms
        note that plan 1 has soaked for 3600000 ms
        finalize plan 1"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn nothing_becomes_final_while_a_hash_differs() {
    let mut story = Story::under(at_once);
    story.start();
    story.until(|state| matches!(state.plan.as_ref().unwrap().phase, Phase::Soaking { .. }));
    let state = &story.world.state;
    let mut observation = observe_perfect(state, NodeId(1));
    for (id, node) in &mut observation.nodes {
        let hash = if *id == NodeId(2) { 7 } else { 8 };
        node.state_hashes = vec![StateHash { log_index: 64, hash }];
    }
    let decision = decide(state, &observation, &Bars::default(), 1);
    let Decision::Propose(hold @ Command::Hold { .. }) = &decision else { panic!("{decision}") };
    story.commit(hold);
    let plan = story.world.state.plan.clone().unwrap();
    let level = story.world.state.cluster_level;
    let finalize = Command::Finalize { plan: plan.id, plan_epoch: plan.epoch, level, at_ms: 0 };
    let refused = story.world.state.clone().apply(9, &finalize).unwrap_err();
    assert_eq!(refused.code(), "hash_differs");
    story.roll_back("a node disagrees");
    story.until_the_end();
    story.check(&expect![[r#"
        -- an operator sets the target 1.4.0
        begin the steps of plan 1
        upgrade n2
        confirm n2
        upgrade n3
        confirm n3
        hand shard 0 over from n1 to n2
        transfer raft's leadership to n3
        upgrade n1
        confirm n1
        let plan 1 soak
        -- an operator orders a rollback: a node disagrees
        turn plan 1 round
        begin the steps of plan 1
        upgrade n1
        confirm n1
        transfer raft's leadership to n1
        upgrade n3
        confirm n3
        hand shard 0 over from n2 to n1
        upgrade n2
        confirm n2
        finalize plan 1
        == RolledBack; the nodes run 1.3.0, 1.3.0, 1.3.0
        == declined: 1.4.0 (operator)"#]]);
}

/// Whoever leads at whichever moment of a rollback, the next leader goes on with it.
#[test]
fn a_rollback_goes_on_under_another_leader_after_every_act() {
    let reference = {
        let mut story = Story::under(at_once);
        story.start();
        story
            .until(|state| state.nodes[&NodeId(2)].release == new() && state.nodes[&NodeId(2)].out.is_none());
        story.roll_back("second thoughts");
        let before = story.told.len();
        story.until_the_end();
        story.told.len() - before
    };
    for change_at in 0..=reference {
        for next in [1, 2, 3] {
            let mut story = Story::under(at_once);
            story.start();
            story.until(|state| {
                state.nodes[&NodeId(2)].release == new() && state.nodes[&NodeId(2)].out.is_none()
            });
            story.roll_back("second thoughts");
            for _ in 0..change_at {
                story.step();
            }
            story.another_leader(next);
            story.until_the_end();
            let runs_old = story.world.state.nodes.values().all(|n| n.release == old());
            assert!(runs_old && story.world.state.plan.is_none(), "{change_at}: {}", story.told.join("\n"));
        }
    }
}

#[test]
fn the_policy_starts_a_staged_release_once_however_often_leaders_change() {
    let mut story = Story::under(|policy| {
        at_once(policy);
        policy.auto_rollout = AutoRollout::Minor;
    });
    let starts = |story: &Story, leader: u64| {
        let state = &story.world.state;
        decide(state, &observe_perfect(state, NodeId(leader)), &Bars::default(), 0)
    };
    // Two leaders in a row want the same; the log takes the first.
    let (first, second) = (starts(&story, 1), starts(&story, 2));
    let (Decision::Propose(first), Decision::Propose(second)) = (first, second) else {
        panic!("nobody starts")
    };
    story.told.push(short(&Decision::Propose(first.clone()).to_string()));
    story.commit(&first);
    let refused = story.world.state.clone().apply(9, &second).unwrap_err();
    assert_eq!(refused.code(), "plan_active");
    story.another_leader(2);
    story.until_the_end();
    assert_eq!(starts(&story, 3), Decision::Done);
    story.check(&expect![[r#"
        start a plan to 1.4.0, as the policy admits it
        -- n2 leads raft now
        begin the steps of plan 1
        upgrade n3
        confirm n3
        transfer raft's leadership to n3
        upgrade n2
        confirm n2
        hand shard 0 over from n1 to n3
        upgrade n1
        confirm n1
        let plan 1 soak
        finalize plan 1
        == Finalized; the nodes run 1.4.0, 1.4.0, 1.4.0"#]]);
}

#[test]
fn a_minor_release_does_not_start_under_patch_nor_one_that_is_held_or_was_declined() {
    let patch = Story::under(|policy| policy.auto_rollout = AutoRollout::Patch);
    let quiet = |state: &ControlState| {
        decide(state, &observe_perfect(state, NodeId(1)), &Bars::default(), 0) == Decision::Done
    };
    assert!(quiet(&patch.world.state));
    let mut minor = Story::under(|policy| policy.auto_rollout = AutoRollout::Minor);
    assert!(!quiet(&minor.world.state));
    let mut info = minor.world.state.releases[&new().digest].clone();
    info.hold = StageHold::Held;
    minor.commit(&Command::RegisterRelease { info: info.clone() });
    assert!(quiet(&minor.world.state));
    info.hold = StageHold::None;
    minor.commit(&Command::RegisterRelease { info });
    minor.start();
    minor.roll_back("not this one");
    minor.until_the_end();
    assert!(quiet(&minor.world.state), "what was taken back is not started again");
    minor.commit(&Command::AllowRelease { digest: new().digest });
    assert!(!quiet(&minor.world.state));
}

#[test]
fn an_operator_and_the_policy_at_once() {
    let mut story = Story::under(|policy| {
        at_once(policy);
        policy.auto_rollout = AutoRollout::Minor;
    });
    let state = &story.world.state;
    let decision = decide(state, &observe_perfect(state, NodeId(1)), &Bars::default(), 0);
    let Decision::Propose(by_policy) = decision else { panic!("{decision}") };
    story.say("the policy starts a plan");
    story.commit(&by_policy);
    story.start();
    let refused = story.world.state.clone().apply(9, &by_policy).unwrap_err();
    assert_eq!(refused.code(), "plan_active");
    story.until_the_end();
    story.check(&expect![[r#"
        -- the policy starts a plan
        -- an operator sets the target 1.4.0
        begin the steps of plan 2
        upgrade n2
        confirm n2
        upgrade n3
        confirm n3
        hand shard 0 over from n1 to n2
        transfer raft's leadership to n3
        upgrade n1
        confirm n1
        let plan 2 soak
        finalize plan 2
        == Finalized; the nodes run 1.4.0, 1.4.0, 1.4.0"#]]);
}

#[test]
fn a_target_that_would_not_start_on_a_node_holds_everybody_before_the_first_step() {
    let mut story = Story::under(at_once);
    story.start();
    story.until(|state| state.nodes[&NodeId(3)].preflight.is_some());
    let plan = story.world.state.plan.as_ref().unwrap();
    let (digest, turn, member) =
        (plan.target.digest, plan.turn, story.world.state.nodes[&NodeId(3)].member());
    story.say("node 3 has a key that 1.4.0 does not know");
    let problem = Some(Reason::new("configuration", "old-key: unknown key"));
    story.commit(&Command::ReportPreflight { member, digest, turn, problem });
    story.until_the_end();
    let begun = story.world.state.plan.as_ref().unwrap().steps.len();
    assert_eq!(begun, 0);
    story.check(&expect![[r#"
        -- an operator sets the target 1.4.0
        -- node 3 has a key that 1.4.0 does not know
        wait: the release would not start on n3: old-key: unknown key"#]]);
}
