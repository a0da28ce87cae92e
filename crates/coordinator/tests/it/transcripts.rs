//! Whole rolls in a world where everything works.

use crate::cluster::{Layout, new, one_by_three, short, text, three_by_two};
use expect_test::{Expect, expect};
use ironcache_control::{ControlState, Outcome, PlanOptions};
use ironcache_coordinator::{preview, rehearse};
use ironcache_types::NodeId;

fn check(state: &ControlState, leader: u64, options: PlanOptions, expected: &Expect) {
    let rehearsal = rehearse(state, NodeId(leader), &new().version, options).unwrap();
    let acts: Vec<String> = rehearsal.acts.iter().map(text).collect();
    expected.assert_eq(&acts.join("\n"));
    assert!(rehearsal.state.all_on(new().digest));
    assert_eq!(rehearsal.state.history.back().map(|h| h.outcome), Some(Outcome::Finalized));
}

#[test]
fn three_shards_with_a_replica_each() {
    check(
        &three_by_two(),
        1,
        PlanOptions::default(),
        &expect![[r#"
            begin the steps of plan 1
            let n2 keep the tail of shard 0
            let n3 keep the tail of shard 1
            let n2 keep the tail of shard 2
            upgrade n4
            upgrade n5
            upgrade n6
            confirm n4
            let nobody keep the tail of shard 0
            hand shard 0 over from n1 to n4
            confirm n5
            let nobody keep the tail of shard 1
            confirm n6
            let nobody keep the tail of shard 2
            hand shard 1 over from n2 to n5
            let n4 keep the tail of shard 1
            hand shard 2 over from n3 to n6
            let n4 keep the tail of shard 2
            upgrade n2
            upgrade n3
            confirm n2
            let nobody keep the tail of shard 1
            confirm n3
            transfer raft's leadership to n2
            let n3 keep the tail of shard 0
            let nobody keep the tail of shard 2
            upgrade n1
            confirm n1
            let plan 1 soak
            finalize plan 1"#]],
    );
}

#[test]
fn one_node_at_a_time() {
    let options = PlanOptions { max_parallel: 1, ..PlanOptions::default() };
    check(
        &three_by_two(),
        4,
        options,
        &expect![[r#"
            begin the steps of plan 1
            let n1 keep the tail of shard 1
            let n1 keep the tail of shard 2
            upgrade n5
            confirm n5
            upgrade n6
            let nobody keep the tail of shard 1
            hand shard 1 over from n2 to n5
            confirm n6
            let nobody keep the tail of shard 2
            let n6 keep the tail of shard 1
            hand shard 2 over from n3 to n6
            let n5 keep the tail of shard 2
            upgrade n2
            confirm n2
            upgrade n3
            let nobody keep the tail of shard 1
            confirm n3
            transfer raft's leadership to n2
            let n3 keep the tail of shard 0
            let nobody keep the tail of shard 2
            upgrade n4
            confirm n4
            let nobody keep the tail of shard 0
            hand shard 0 over from n1 to n4
            let n3 keep the tail of shard 0
            upgrade n1
            confirm n1
            let plan 1 soak
            finalize plan 1"#]],
    );
}

#[test]
fn one_shard_with_two_replicas_led_by_a_replica() {
    check(
        &one_by_three(),
        2,
        PlanOptions::default(),
        &expect![[r#"
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
            finalize plan 1"#]],
    );
}

#[test]
fn a_pair_with_a_witness_led_by_the_replica() {
    let state = Layout { shards: 1, nodes_per_shard: 2, witnesses: 1, voters: 3 }.build();
    check(
        &state,
        2,
        PlanOptions::default(),
        &expect![[r#"
            begin the steps of plan 1
            upgrade n3
            confirm n3
            transfer raft's leadership to n3
            let n3 keep the tail of shard 0
            upgrade n2
            confirm n2
            let nobody keep the tail of shard 0
            hand shard 0 over from n1 to n2
            let n3 keep the tail of shard 0
            upgrade n1
            confirm n1
            let plan 1 soak
            finalize plan 1"#]],
    );
}

#[test]
fn a_dry_run_tells_the_same() {
    let steps = preview(&three_by_two(), NodeId(1), &new().version, PlanOptions::default()).unwrap();
    expect![[r#"
        every node fetches 1.4.0 (040404040404), verifies it and tries it against its configuration
        every shard acknowledges writes in mode in-sync
        n2 keeps what shard 0 acknowledges until two members hold it
        n3 keeps what shard 1 acknowledges until two members hold it
        n2 keeps what shard 2 acknowledges until two members hold it
        upgrade n4 (replica of shard 0)
        upgrade n5 (replica of shard 1)
        upgrade n6 (replica of shard 2)
        hand shard 0 over from n1 to n4
        hand shard 1 over from n2 to n5
        n4 keeps what shard 1 acknowledges until two members hold it
        hand shard 2 over from n3 to n6
        n4 keeps what shard 2 acknowledges until two members hold it
        upgrade n2 (old primary of shard 1)
        upgrade n3 (old primary of shard 2)
        transfer raft's leadership to n2
        n3 keeps what shard 0 acknowledges until two members hold it
        upgrade n1 (old primary of shard 0)
        let plan 1 soak
        finalize plan 1"#]]
    .assert_eq(&short(&steps.join("\n")));
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_what_to_add() {
    let state = Layout { shards: 1, nodes_per_shard: 2, witnesses: 0, voters: 2 }.build();
    let refused = preview(&state, NodeId(1), &new().version, PlanOptions::default()).unwrap_err();
    assert_eq!(refused.code(), "no_quorum_to_spare");
    let single = Layout { shards: 1, nodes_per_shard: 1, witnesses: 0, voters: 1 }.build();
    let refused = preview(&single, NodeId(1), &new().version, PlanOptions::default()).unwrap_err();
    assert_eq!(refused.code(), "single_node");
}
