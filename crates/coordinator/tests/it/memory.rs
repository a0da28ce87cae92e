//! A leader's pacing.

use crate::cluster::{apply, ask, rolling, see, text, three_by_two};
use ironcache_control::{Command, ControlState, Phase};
use ironcache_coordinator::{Bars, LeaderMemory};
use ironcache_types::{NodeId, ShardId};

fn hand_over_by_hand(state: &mut ControlState) {
    let shard = &state.shards[&ShardId(0)];
    let (from, to) = (shard.primary().unwrap(), shard.in_sync_replicas().next().unwrap());
    let begin = Command::BeginHandover { shard: shard.id, shard_epoch: shard.epoch, from, to, plan: None };
    apply(state, &begin);
}

fn in_sync_without_plan() -> ControlState {
    let mut state = three_by_two();
    crate::cluster::add_all(&mut state, ShardId(0));
    state
}

#[test]
fn a_handover_that_hangs_is_aborted_even_without_a_plan() {
    let mut state = in_sync_without_plan();
    hand_over_by_hand(&mut state);
    let (mut memory, bars) = (LeaderMemory::default(), Bars::default());
    let mut observation = see(&state, 1);
    observation.timers = memory.note(&state, &bars, 1_000);
    assert_eq!(text(&ask(&state, &observation)), "nothing to do");
    observation.timers = memory.note(&state, &bars, 1_000 + state.policy.handover_timeout_ms + 1);
    let handover = state.shards[&ShardId(0)].handover.unwrap().epoch;
    assert_eq!(text(&ask(&state, &observation)), format!("abort handover {handover} of shard 0"));
}

#[test]
fn pauses_between_failed_handovers_double_and_end_with_a_success() {
    let mut state = in_sync_without_plan();
    let (mut memory, bars) = (LeaderMemory::default(), Bars::default());
    let mut pauses = Vec::new();
    for attempt in 0..8 {
        let now_ms = attempt * 100_000;
        hand_over_by_hand(&mut state);
        memory.note(&state, &bars, now_ms);
        let handover = state.shards[&ShardId(0)].handover.unwrap().epoch;
        apply(&mut state, &Command::AbortHandover { shard: ShardId(0), handover });
        let timers = memory.note(&state, &bars, now_ms);
        pauses.push(timers.handover_not_before_ms[&ShardId(0)] - now_ms);
    }
    assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    hand_over_by_hand(&mut state);
    memory.note(&state, &bars, 800_000);
    let flight = state.shards[&ShardId(0)].handover.unwrap();
    let promote = Command::Promote {
        shard: ShardId(0),
        handover: flight.epoch,
        to: flight.to,
        offset: ironcache_types::Offset(5),
        in_sync: state.shards[&ShardId(0)].in_sync.clone(),
    };
    apply(&mut state, &promote);
    assert!(memory.note(&state, &bars, 800_000).handover_not_before_ms.is_empty());
}

#[test]
fn a_resumed_plan_gives_a_node_that_is_out_its_whole_time_again() {
    let mut state = rolling(three_by_two());
    let (mut memory, bars) = (LeaderMemory::default(), Bars::default());
    let plan = state.plan.clone().unwrap();
    let member = state.nodes[&NodeId(4)].member();
    apply(&mut state, &Command::UpgradeSelf { plan: plan.id, plan_epoch: plan.epoch, member, at_ms: 0 });
    memory.note(&state, &bars, 0);
    assert_eq!(memory.note(&state, &bars, 900).out_for_ms[&NodeId(4)], 900);
    apply(&mut state, &Command::Pause { plan: plan.id });
    apply(&mut state, &Command::Resume { plan: plan.id });
    assert_eq!(memory.note(&state, &bars, 1_000).out_for_ms[&NodeId(4)], 0);
}

#[test]
fn a_soak_is_counted_on_from_what_the_log_says_and_anew_for_another_one() {
    let mut state = rolling(three_by_two());
    let (mut memory, bars) = (LeaderMemory::default(), Bars::default());
    assert_eq!(memory.note(&state, &bars, 0).soaked_ms, None);
    let soaks = |state: &mut ControlState, soaked_ms| {
        state.plan.as_mut().unwrap().phase = Phase::Soaking { since_ms: 1_700_000_000_000, soaked_ms };
    };
    soaks(&mut state, 0);
    assert_eq!(memory.note(&state, &bars, 40).soaked_ms, Some(0));
    assert_eq!(memory.note(&state, &bars, 70).soaked_ms, Some(30));
    // What it had committed itself is not counted twice.
    soaks(&mut state, 30);
    assert_eq!(memory.note(&state, &bars, 90).soaked_ms, Some(50));
    assert_eq!(LeaderMemory::default().note(&state, &bars, 5).soaked_ms, Some(30));
    let plan = state.plan.as_mut().unwrap();
    plan.epoch.0 += 1;
    soaks(&mut state, 0);
    assert_eq!(memory.note(&state, &bars, 100).soaked_ms, Some(0));
}
