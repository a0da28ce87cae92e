//! The transitions of [`State`], one by one and at random.

use ironcache_spine::{Cause, Event, Failure, IllegalTransition, Phase, State, StepRef, Verdict};
use ironcache_types::{Digest, Epoch, PlanId, Release, Version};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn release(n: u8) -> Release {
    Release { version: Version::new(0, 0, n.into()), digest: Digest([n; 32]) }
}

fn step(epoch: u64) -> StepRef {
    StepRef { plan: PlanId(1), epoch: Epoch(epoch) }
}

fn activate(n: u8, epoch: u64) -> Event {
    Event::Activate { release: release(n), step: step(epoch), attempts_max: 3, confirm_timeout_ms: 1000 }
}

const STARTS: Event = Event::AttemptStarts { now_unix_ms: 50_000 };

fn isolated() -> Cause {
    Cause::Abandoned { reason: "isolated".into() }
}

fn exited() -> Event {
    Event::AttemptFailed { failure: Failure::Exited { code: 1 } }
}

/// Applies events that must all be legal.
fn after(events: &[Event]) -> State {
    events.iter().fold(State::new(release(1)), |state, event| state.on(event).unwrap())
}

fn all_events() -> [Event; 9] {
    [
        activate(3, 100),
        STARTS,
        Event::AttemptWithdrawn,
        exited(),
        Event::DeadlineMissed,
        Event::Confirm { step: step(7) },
        Event::Abandon { step: step(7), cause: isolated() },
        Event::OldStarted,
        Event::LauncherIs { launcher: release(2).digest },
    ]
}

fn legal_events(state: &State) -> Vec<usize> {
    all_events().iter().enumerate().filter(|(_, event)| state.on(event).is_ok()).map(|(i, _)| i).collect()
}

#[test]
fn each_phase_accepts_its_events_and_no_other() {
    let idle = State::new(release(1));
    let fresh = after(&[activate(2, 7)]);
    let attempted = after(&[activate(2, 7), STARTS]);
    let used_up = [activate(2, 7), STARTS, STARTS, STARTS];
    let rolling_back = after(&[activate(2, 7), Event::DeadlineMissed]);
    assert_eq!(legal_events(&idle), [0, 8]);
    assert_eq!(legal_events(&fresh), [1, 4, 6]);
    assert_eq!(legal_events(&attempted), [1, 2, 3, 4, 5, 6]);
    assert_eq!(legal_events(&after(&used_up)), [2, 3, 4, 5, 6]);
    assert_eq!(legal_events(&rolling_back), [7]);
}

#[test]
fn a_confirmed_trial_keeps_the_old_release_as_the_rollback() {
    let state = after(&[activate(2, 7), STARTS, Event::Confirm { step: step(7) }]);
    assert_eq!(state.phase, Phase::Idle { active: release(2), rollback: Some(release(1)) });
    assert_eq!(state.last_outcome.as_ref().unwrap().verdict, Verdict::Confirmed {});
    assert_eq!(state.needs(), [release(2).digest, release(1).digest]);
    assert_eq!(
        state.on(&Event::Confirm { step: step(7) }).unwrap(),
        state,
        "a repeated Confirm changes nothing"
    );
}

#[test]
fn three_failed_attempts_quarantine_before_the_old_release_runs() {
    let mut state = after(&[activate(2, 7)]);
    for attempt in 1..=3 {
        state = state.on(&STARTS).unwrap();
        assert_eq!(*state.to_run(), release(2), "attempt {attempt}");
        state = state.on(&exited()).unwrap();
    }
    assert!(matches!(state.phase, Phase::RollingBack { .. }));
    assert_eq!(*state.to_run(), release(1));
    assert_eq!(state.quarantined[0].digest, release(2).digest);
    let outcome = state.last_outcome.clone().unwrap();
    assert_eq!(outcome.step, step(7));
    assert_eq!(outcome.verdict, Verdict::Failed { failure: Failure::Exited { code: 1 }, attempts: 3 });

    let idle = state.on(&Event::OldStarted).unwrap();
    assert_eq!(idle.phase, Phase::Idle { active: release(1), rollback: None });
    assert_eq!(idle.last_outcome, Some(outcome));
    assert!(matches!(idle.on(&activate(2, 8)), Err(IllegalTransition::Quarantined { .. })));
}

#[test]
fn a_missed_deadline_says_nothing_about_the_release() {
    let state = after(&[activate(2, 7), STARTS, Event::DeadlineMissed, Event::OldStarted]);
    assert!(state.quarantined.is_empty());
    let cause = Cause::NotConfirmed { confirm_timeout_ms: 1000 };
    assert_eq!(state.last_outcome.as_ref().unwrap().verdict, Verdict::Inconclusive { cause });
    assert!(state.on(&activate(2, 8)).is_ok(), "it may be tried again");
}

#[test]
fn the_clock_of_a_trial_starts_with_each_of_its_processes() {
    let deadline = |state: &State| match state.phase {
        Phase::Trial { deadline_unix_ms, .. } => deadline_unix_ms,
        Phase::Idle { .. } | Phase::RollingBack { .. } => panic!("no trial"),
    };
    let activated = after(&[activate(2, 7)]);
    assert_eq!(deadline(&activated), None, "the old daemon still drains");
    let started = activated.on(&STARTS).unwrap();
    assert_eq!(deadline(&started), Some(51_000));
    let again = started.on(&exited()).unwrap().on(&Event::AttemptStarts { now_unix_ms: 90_000 }).unwrap();
    assert_eq!(deadline(&again), Some(91_000));
    assert_eq!(
        deadline(&again.on(&Event::AttemptWithdrawn).unwrap()),
        None,
        "a node that is down misses nothing"
    );
}

#[test]
fn an_abandoned_trial_quarantines_nothing() {
    let abandon = Event::Abandon { step: step(7), cause: isolated() };
    let state = after(&[activate(2, 7), STARTS, abandon, Event::OldStarted]);
    assert_eq!(state.phase, Phase::Idle { active: release(1), rollback: None });
    assert!(state.quarantined.is_empty());
    assert!(matches!(state.last_outcome.unwrap().verdict, Verdict::Inconclusive { .. }));
}

#[test]
fn a_step_is_not_done_twice() {
    let back = [activate(2, 7), Event::Abandon { step: step(7), cause: isolated() }, Event::OldStarted];
    let state = after(&back);
    for epoch in [6, 7] {
        let refused = state.on(&activate(2, epoch));
        assert_eq!(refused, Err(IllegalTransition::StepDone { epoch: Epoch(epoch), last_done: Epoch(7) }));
    }
    assert!(state.on(&activate(2, 8)).is_ok());
}

#[test]
fn a_trial_that_fails_gives_the_old_rollback_back() {
    let confirmed = [activate(2, 7), STARTS, Event::Confirm { step: step(7) }];
    let state = [activate(3, 8), Event::DeadlineMissed, Event::OldStarted]
        .iter()
        .fold(after(&confirmed), |state, event| state.on(event).unwrap());
    assert_eq!(state.phase, Phase::Idle { active: release(2), rollback: Some(release(1)) });
}

#[test]
fn the_active_release_is_not_tried() {
    let refused = State::new(release(1)).on(&activate(1, 7));
    assert_eq!(refused, Err(IllegalTransition::AlreadyActive { release: release(1) }));
}

#[test]
fn only_the_step_on_trial_is_confirmed_or_abandoned() {
    let state = after(&[activate(2, 7), STARTS]);
    let other = Err(IllegalTransition::OtherStep { step: step(6), expected: step(7) });
    assert_eq!(state.on(&Event::Confirm { step: step(6) }), other);
    assert_eq!(state.on(&Event::Abandon { step: step(6), cause: isolated() }), other);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u8..6, 0u64..12).prop_map(|(n, epoch)| activate(n, epoch)),
        4 => Just(STARTS),
        1 => Just(Event::AttemptWithdrawn),
        2 => Just(exited()),
        1 => Just(Event::DeadlineMissed),
        2 => (0u64..12).prop_map(|epoch| Event::Confirm { step: step(epoch) }),
        1 => (0u64..12).prop_map(|epoch| Event::Abandon { step: step(epoch), cause: isolated() }),
        4 => Just(Event::OldStarted),
        2 => (1u8..6).prop_map(|n| Event::LauncherIs { launcher: release(n).digest }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_invariants_hold(events in prop::collection::vec(any_event(), 0..200)) {
        let mut state = State::new(release(1));
        let mut trials: BTreeMap<Epoch, u32> = BTreeMap::new();
        for event in &events {
            let Ok(next) = state.on(event) else { continue };
            prop_assert!(next.last_done >= state.last_done);
            if next.to_run() != state.to_run() {
                let back = matches!(next.phase, Phase::RollingBack { .. });
                let forth = matches!(event, Event::Activate { .. });
                prop_assert!(back || forth, "the binary changed by {event:?}");
            }
            if let Phase::Trial { attempts, attempts_max, rollback, step, active, .. } = &next.phase {
                prop_assert!(attempts <= attempts_max);
                prop_assert!(!next.quarantined.iter().any(|q| q.digest == active.digest));
                if let Phase::Idle { active, .. } = &state.phase {
                    prop_assert_eq!(rollback, active);
                    *trials.entry(step.epoch).or_default() += 1;
                }
            }
            if let Phase::RollingBack { outcome, .. } = &next.phase {
                let failed = matches!(outcome.verdict, Verdict::Failed { .. });
                let quarantined = next.quarantined.iter().any(|q| q.digest == outcome.release.digest);
                prop_assert_eq!(failed, quarantined);
                prop_assert_eq!(next.last_outcome.as_ref(), Some(outcome));
            }
            for quarantined in &state.quarantined {
                prop_assert!(next.quarantined.contains(quarantined));
            }
            if next.launcher != state.launcher {
                prop_assert!(matches!(next.phase, Phase::Idle { .. }), "the launcher changed by {event:?}");
            }
            prop_assert!(next.needs().contains(&next.launcher));
            prop_assert!(next.needs().contains(&next.to_run().digest));
            state = next;
        }
        prop_assert!(trials.values().all(|&trials| trials == 1), "a step started two trials: {:?}", trials);
    }
}
