//! What must never happen, over arbitrary states and facts.

use crate::setup::{cluster, new, old, register_release, rolling, told};
use ironcache_agent::{Action, LauncherFacts, LauncherPhase, LocalFacts, StepOutcome, StepResult, next};
use ironcache_control::{Command, ControlState, OutStep, Phase, Quarantine, Reason, TrialPhase};
use ironcache_types::{Digest, Epoch, Incarnation, Level, Member, NodeId, PlanId, Release, Version};
use proptest::prelude::*;

fn release() -> impl Strategy<Value = Release> {
    let other = Release { version: Version::new(1, 5, 0), digest: Digest([5; 32]) };
    prop_oneof![3 => Just(old()), 3 => Just(new()), 1 => Just(other)]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (0u64..30).prop_map(Epoch)
}

fn result() -> impl Strategy<Value = StepResult> {
    let reason = || Reason::new("exit", "why");
    prop_oneof![
        Just(StepResult::Done),
        Just(StepResult::Failed { reason: reason() }),
        Just(StepResult::Inconclusive { reason: reason() }),
    ]
}

prop_compose! {
    fn facts()(
        (node, incarnation) in (1u64..5, prop_oneof![3 => Just(1), 1 => 1u64..4]),
        running in release(),
        current in prop::bool::weighted(0.95),
        phase in prop_oneof![
            1 => Just(LauncherPhase::Absent),
            3 => Just(LauncherPhase::Idle),
            1 => epoch().prop_map(|step| LauncherPhase::Trial { step }),
        ],
        (last_done, outcome) in ((0u64..12).prop_map(Epoch), prop::option::weighted(0.2, (epoch(), result()))),
        degraded in prop::bool::weighted(0.1),
        held in prop::collection::btree_set(release().prop_map(|r| r.digest), 0..6),
        (primary_applied, told_ms_ago) in (prop::option::of(70u64..80), 0u64..4_000),
        (cut_off, ordered) in (prop::bool::weighted(0.1), prop::option::weighted(0.3, epoch())),
    ) -> LocalFacts {
        LocalFacts {
            me: Member { node: NodeId(node), incarnation: Incarnation(incarnation) },
            running,
            log_is_current: current,
            launcher: LauncherFacts {
                phase,
                last_done,
                last_outcome: outcome.map(|(step, result)| StepOutcome { step, result }),
                degraded: degraded.then(|| "state file".to_owned()),
                needs: Vec::new(),
            },
            held,
            fetching: None,
            primary_applied,
            activation_ordered: ordered,
            told_ms_ago,
            cut_off,
            preflight: None,
            oldest: Level(1),
            now_wall_ms: 0,
        }
    }
}

/// States that `apply` would build, and then some that it never would: the agent trusts nobody.
fn state() -> impl Strategy<Value = ControlState> {
    let base =
        prop_oneof![1 => Just(cluster()), 1 => Just(rolling()), 4 => Just(told(2)), 1 => Just(told(3))];
    let phase = prop_oneof![
        2 => Just(TrialPhase::Told),
        2 => (1u64..4).prop_map(|n| TrialPhase::Confirming { incarnation: Incarnation(n) }),
        1 => Just(TrialPhase::SetAside),
    ];
    let step = (1u64..4, epoch(), release(), phase);
    let tweaks = (
        prop::collection::vec(step, 0..3),
        prop_oneof![3 => Just(1), 1 => 1u64..4],
        prop::bool::ANY,
        prop::bool::ANY,
    );
    (base, tweaks).prop_map(|(mut state, (steps, incarnation, quarantined, paused))| {
        if state.releases.is_empty() {
            register_release(&mut state, new());
        }
        for (id, epoch, target, phase) in steps {
            let out = OutStep { plan: PlanId(1), epoch, target, log_index: 77, phase, base_from: None };
            let node = state.nodes.get_mut(&NodeId(id)).unwrap();
            node.out = Some(out);
            node.incarnation = Incarnation(incarnation);
        }
        if quarantined {
            let q =
                Quarantine { version: new().version, node: NodeId(1), reason: Reason::new("exit", "why") };
            state.quarantined.insert(new().digest, q);
        }
        if let (true, Some(plan)) = (paused, &mut state.plan) {
            plan.phase = Phase::Paused;
        }
        state
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn only_a_fresh_step_of_a_node_without_a_role_is_activated(state in state(), facts in facts()) {
        let Action::Activate { step, plan: _, target } = next(&state, &facts) else { return Ok(()) };
        let node = &state.nodes[&facts.me.node];
        let out = node.out.as_ref().expect("it acts on a committed step");
        prop_assert!(facts.log_is_current);
        prop_assert_eq!(node.member(), facts.me);
        prop_assert_eq!((step, &target), (out.epoch, &out.target));
        prop_assert!(step > facts.launcher.last_done);
        prop_assert_ne!(out.phase, TrialPhase::SetAside);
        prop_assert_eq!(facts.launcher.phase, LauncherPhase::Idle);
        prop_assert!(facts.launcher.degraded.is_none());
        prop_assert!(facts.held.contains(&target.digest));
        prop_assert!(!state.quarantined.contains_key(&target.digest));
        for shard in state.shards.values() {
            prop_assert!(!shard.is_primary(facts.me) && !shard.in_sync.contains(&facts.me));
        }
        if node.shard.is_some() {
            let told = facts.primary_applied.is_some_and(|applied| applied >= out.log_index);
            prop_assert!(told || (facts.primary_applied.is_none() && facts.told_ms_ago >= 2_000));
        }
    }

    #[test]
    fn a_node_rejoins_only_when_no_trial_of_its_step_runs_or_may_follow(state in state(), facts in facts()) {
        let Action::Rejoin(command) = next(&state, &facts) else { return Ok(()) };
        let node = &state.nodes[&facts.me.node];
        let out = node.out.as_ref().expect("it was set aside");
        prop_assert_eq!(out.phase, TrialPhase::SetAside);
        prop_assert_eq!(command, Command::Rejoin { step: out.epoch, member: node.member() });
        prop_assert_eq!(node.member(), facts.me);
        prop_assert_eq!(&node.release, &facts.running);
        let on_trial_for_it = facts.launcher.phase == LauncherPhase::Trial { step: out.epoch };
        prop_assert!(!on_trial_for_it);
        prop_assert_ne!(facts.activation_ordered, Some(out.epoch));
    }

    #[test]
    fn a_quarantined_release_is_never_fetched(state in state(), facts in facts()) {
        if let Action::Fetch { digest, sources, .. } = next(&state, &facts) {
            prop_assert!(!state.quarantined.contains_key(&digest));
            prop_assert!(!sources.is_empty());
        }
    }

    #[test]
    fn a_trial_becomes_final_only_on_an_acceptance_of_this_process(state in state(), facts in facts()) {
        if let Action::ConfirmTrial { step } = next(&state, &facts) {
            let node = &state.nodes[&facts.me.node];
            let incarnation = facts.me.incarnation;
            let out = node.out.as_ref().expect("none of these states has a confirmed step");
            prop_assert_eq!(out.epoch, step);
            prop_assert_eq!(out.phase, TrialPhase::Confirming { incarnation });
            prop_assert_eq!(&facts.running.digest, &out.target.digest);
        }
    }
}
