//! A node's life, row by row: what it does for what is.

use crate::setup::*;
use ironcache_agent::{
    Action, LauncherPhase, LocalFacts, PreflightResult, StepOutcome, StepResult, Waiting, next,
};
use ironcache_control::{
    AutoRollout, Command, ControlState, PlanOptions, Policy, Quarantine, Reason, StartedBy,
};
use ironcache_types::{Digest, Epoch, Incarnation, Level, Member, NodeId, PlanId, Release, Version};

const PLAN: PlanId = PlanId(1);

fn waits(state: &ControlState, facts: &LocalFacts) -> Waiting {
    match next(state, facts) {
        Action::Wait(waiting) => waiting,
        other => panic!("it does something: {other:?}"),
    }
}

/// The `StepFailed` it reports: its reason, and whether the release is at fault.
fn failure(state: &ControlState, facts: &LocalFacts) -> (Reason, bool) {
    let Action::ReportFailed(command) = next(state, facts) else { panic!("no failure is reported") };
    apply(&mut state.clone(), &command);
    let Command::StepFailed { reason, quarantine, .. } = command else { panic!("{command:?}") };
    (reason, quarantine)
}

#[test]
fn nothing_is_done_on_an_old_view_of_the_log() {
    let state = told(2);
    let mut facts = facts(&state, 2);
    facts.log_is_current = false;
    assert_eq!(waits(&state, &facts), Waiting::LogNotCurrent);
}

#[test]
fn a_node_that_the_cluster_does_not_know_waits() {
    let state = cluster();
    let mut facts = facts(&state, 2);
    facts.me.node = NodeId(9);
    assert_eq!(waits(&state, &facts), Waiting::NotAMember);
}

#[test]
fn a_fresh_process_registers_first_even_on_trial() {
    let state = told(2);
    check(&state, &on_trial(&state, 2), &Action::Register);
    check(&state, &back_on_old(&state, 2), &Action::Register);
}

#[test]
fn a_superseded_process_does_nothing() {
    let mut state = told(2);
    let earlier = facts(&state, 2);
    let trial = on_trial(&state, 2);
    register(&mut state, &trial);
    let waiting = Waiting::Superseded { mine: Incarnation(1), registered: Incarnation(2) };
    assert_eq!(waits(&state, &earlier), waiting);
}

#[test]
fn the_newest_release_is_fetched_early_and_reported_once() {
    let mut state = cluster();
    let newest = Release { version: Version::new(1, 5, 0), digest: Digest([5; 32]) };
    register_release(&mut state, new());
    register_release(&mut state, newest.clone());
    let mut facts = facts(&state, 2);
    let version = newest.version.clone();
    assert_eq!(waits(&state, &facts), Waiting::NoSource { version: version.clone() });
    for id in [1, 3] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: newest.digest });
    }
    let sources = vec!["p3".to_owned(), "p1".to_owned()];
    let fetch = Action::Fetch { digest: newest.digest, size_bytes: 9_000, version, sources };
    check(&state, &facts, &fetch);
    facts.fetching = Some(newest.digest);
    assert_eq!(waits(&state, &facts), Waiting::Fetching { digest: newest.digest });
    facts.fetching = None;
    facts.held.insert(newest.digest);
    check(&state, &facts, &Action::ReportStaged { digest: newest.digest });
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest: newest.digest });
    check(&state, &facts, &Action::Nothing);
}

#[test]
fn what_the_policy_would_start_is_fetched_before_what_is_newer() {
    let mut state = cluster();
    let patch = Release { version: Version::new(1, 3, 1), digest: Digest([31; 32]) };
    let newest = Release { version: Version::new(1, 5, 0), digest: Digest([5; 32]) };
    for release in [newest.clone(), patch.clone()] {
        register_release(&mut state, release.clone());
        apply(&mut state, &Command::ReportStaged { node: NodeId(1), digest: release.digest });
    }
    let mut facts = facts(&state, 2);
    let fetches = |state: &ControlState, facts: &LocalFacts, release: &Release| {
        let action = next(state, facts);
        assert!(matches!(&action, Action::Fetch { digest, .. } if *digest == release.digest), "{action:?}");
    };
    fetches(&state, &facts, &newest);
    let policy = Policy { auto_rollout: AutoRollout::Patch, ..state.policy };
    let set = Command::SetPolicy { seen: state.policy_epoch, policy };
    apply(&mut state, &set);
    fetches(&state, &facts, &patch);
    facts.held.insert(patch.digest);
    check(&state, &facts, &Action::ReportStaged { digest: patch.digest });
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest: patch.digest });
    fetches(&state, &facts, &newest);
}

#[test]
fn an_older_release_is_fetched_only_as_a_target() {
    let mut state = cluster();
    let older = Release { version: Version::new(1, 2, 0), digest: Digest([2; 32]) };
    register_release(&mut state, older.clone());
    apply(&mut state, &Command::ReportStaged { node: NodeId(1), digest: older.digest });
    let facts = facts(&state, 2);
    check(&state, &facts, &Action::Nothing);
    let start = Command::StartPlan {
        target: older.clone(),
        options: PlanOptions::default(),
        leader: NodeId(1),
        started_by: StartedBy::Operator,
        at_ms: 0,
    };
    apply(&mut state, &start);
    assert!(matches!(next(&state, &facts), Action::Fetch { digest, .. } if digest == older.digest));
}

#[test]
fn a_quarantined_release_is_not_fetched() {
    let mut state = told(2);
    let mut facts = back_on_old(&state, 2);
    register(&mut state, &facts);
    let result = StepResult::Failed { reason: Reason::new("exit", "exit status 7") };
    facts.launcher.last_outcome = Some(StepOutcome { step: step_of(&state, 2), result });
    let Action::ReportFailed(command) = next(&state, &facts) else { panic!("no failure is reported") };
    apply(&mut state, &command);
    facts.held.clear();
    check(&state, &facts, &Action::Nothing);
}

#[test]
fn a_told_replica_stops_only_after_its_primary_applied_that() {
    let state = told(2);
    let (step, target) = (step_of(&state, 2), new());
    let mut facts = facts(&state, 2);
    facts.primary_applied = Some(76);
    assert_eq!(waits(&state, &facts), Waiting::PrimaryHasNotApplied { applied: 76, needed: 77 });
    facts.primary_applied = None;
    facts.told_ms_ago = 1_999;
    assert_eq!(waits(&state, &facts), Waiting::PrimarySilent { told_ms_ago: 1_999, max_ms: 2_000 });
    facts.told_ms_ago = 2_000;
    let activate = Action::Activate { step, plan: PLAN, target };
    check(&state, &facts, &activate);
    facts.told_ms_ago = 0;
    facts.primary_applied = Some(77);
    check(&state, &facts, &activate);
}

#[test]
fn a_node_with_a_role_stays_whatever_it_is_told() {
    let mut state = told(2);
    let out = state.nodes[&NodeId(2)].out.clone();
    state.nodes.get_mut(&NodeId(1)).unwrap().out = out;
    assert_eq!(waits(&state, &facts(&state, 1)), Waiting::HoldsARole);
    let replica = facts(&state, 2);
    state.shards.get_mut(&SHARD).unwrap().in_sync.insert(replica.me);
    assert_eq!(waits(&state, &replica), Waiting::HoldsARole);
}

#[test]
fn a_witness_asks_no_primary() {
    let state = told(3);
    let mut facts = facts(&state, 3);
    facts.primary_applied = None;
    check(&state, &facts, &Action::Activate { step: step_of(&state, 3), plan: PLAN, target: new() });
}

#[test]
fn a_told_node_that_lost_the_artifact_fetches_it_again() {
    let state = told(2);
    let mut facts = facts(&state, 2);
    facts.held.clear();
    assert!(matches!(next(&state, &facts), Action::Fetch { .. }));
}

#[test]
fn a_node_that_cannot_activate_says_so_at_once() {
    let state = told(2);
    let mut facts = facts(&state, 2);
    facts.launcher.degraded = Some("the state file is corrupt".to_owned());
    let refused = "the launcher refuses upgrades: the state file is corrupt";
    let (reason, at_fault) = failure(&state, &facts);
    assert_eq!((reason.text.as_str(), at_fault), (refused, false));
    facts.launcher.degraded = None;
    facts.launcher.phase = LauncherPhase::Absent;
    assert!(!failure(&state, &facts).1);
    facts.launcher.phase = LauncherPhase::Idle;
    facts.launcher.last_done = step_of(&state, 2);
    assert!(!failure(&state, &facts).1);
}

#[test]
fn a_trial_waits_for_the_leader_then_becomes_final_then_is_reported() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let mut facts = on_trial(&state, 2);
    register(&mut state, &facts);
    assert_eq!(waits(&state, &facts), Waiting::TrialNotAccepted { step });
    confirm(&mut state, 2);
    check(&state, &facts, &Action::ConfirmTrial { step });
    facts.launcher.phase = LauncherPhase::Idle;
    facts.launcher.last_done = step;
    facts.launcher.last_outcome = Some(StepOutcome { step, result: StepResult::Done });
    let digest = new().digest;
    let confirmed = Command::Confirmed { plan: PLAN, step, member: facts.me, digest, at_ms: 5 };
    check(&state, &facts, &Action::ReportConfirmed(confirmed.clone()));
    apply(&mut state, &confirmed);
    check(&state, &facts, &Action::Nothing);
}

#[test]
fn an_acceptance_of_an_earlier_process_does_not_count() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let mut facts = on_trial(&state, 2);
    register(&mut state, &facts);
    confirm(&mut state, 2);
    facts.me.incarnation.0 += 1;
    register(&mut state, &facts);
    assert_eq!(waits(&state, &facts), Waiting::TrialNotAccepted { step });
}

#[test]
fn a_trial_that_became_final_is_reported_by_a_later_process_too() {
    let mut state = told(2);
    let mut facts = on_trial(&state, 2);
    register(&mut state, &facts);
    confirm(&mut state, 2);
    facts.launcher.phase = LauncherPhase::Idle;
    facts.me.incarnation.0 += 1;
    register(&mut state, &facts);
    assert!(matches!(next(&state, &facts), Action::ReportConfirmed(_)));
}

#[test]
fn what_the_launcher_says_of_a_failed_step_is_reported() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let mut facts = back_on_old(&state, 2);
    register(&mut state, &facts);
    let reason = || Reason::new("not_ready", "it was not ready within 30 s");
    let mut say = |result| {
        facts.launcher.last_outcome = Some(StepOutcome { step, result });
        failure(&state, &facts)
    };
    assert_eq!(say(StepResult::Failed { reason: reason() }), (reason(), true));
    assert_eq!(say(StepResult::Inconclusive { reason: reason() }), (reason(), false));
    assert!(!say(StepResult::Done).1);
}

#[test]
fn a_failure_of_an_earlier_step_is_not_reported_for_this_one() {
    let state = told(2);
    let mut facts = facts(&state, 2);
    let earlier = Epoch(step_of(&state, 2).0 - 1);
    let result = StepResult::Failed { reason: Reason::new("exit", "then") };
    facts.launcher.last_done = earlier;
    facts.launcher.last_outcome = Some(StepOutcome { step: earlier, result });
    assert!(matches!(next(&state, &facts), Action::Activate { .. }));
}

/// The release failed on another node while this one is out.
fn quarantined_meanwhile() -> ControlState {
    let mut state = told(2);
    let reason = Reason::new("exit", "it crashed");
    let quarantine = Quarantine { version: new().version, node: NodeId(3), reason };
    state.quarantined.insert(new().digest, quarantine);
    state
}

#[test]
fn a_release_quarantined_meanwhile_is_neither_run_nor_kept_running() {
    let mut state = quarantined_meanwhile();
    let (reason, at_fault) = failure(&state, &facts(&state, 2));
    assert!(reason.text.contains("it crashed") && !at_fault);
    let trial = on_trial(&state, 2);
    register(&mut state, &trial);
    assert!(matches!(next(&state, &trial), Action::AbandonTrial { .. }));
}

#[test]
fn a_trial_that_the_log_does_not_know_is_abandoned() {
    let state = rolling();
    let mut facts = facts(&state, 2);
    facts.launcher.phase = LauncherPhase::Trial { step: Epoch(3) };
    let reason = "step 3 is not in force any more".to_owned();
    check(&state, &facts, &Action::AbandonTrial { step: Epoch(3), reason });
    let state = told(2);
    assert!(matches!(next(&state, &facts), Action::AbandonTrial { step: Epoch(3), .. }));
}

/// The plan was aborted while this node was out.
fn set_aside() -> ControlState {
    let mut state = told(2);
    apply(&mut state, &Command::Pause { plan: PLAN });
    apply(&mut state, &Command::Abort { plan: PLAN, at_ms: 0 });
    state
}

#[test]
fn a_node_that_was_set_aside_rejoins_once_no_trial_of_its_step_can_follow() {
    let state = set_aside();
    let step = step_of(&state, 2);
    let mut facts = facts(&state, 2);
    facts.activation_ordered = Some(step);
    assert_eq!(waits(&state, &facts), Waiting::ActivationMayFollow { step });
    // Of an earlier step; that one is over.
    facts.activation_ordered = Some(Epoch(step.0 - 1));
    let rejoins = Action::Rejoin(Command::Rejoin { step, member: facts.me });
    check(&state, &facts, &rejoins);
    facts.activation_ordered = None;
    check(&state, &facts, &rejoins);
}

#[test]
fn a_trial_that_was_set_aside_goes_back_first_and_a_final_one_stays() {
    let mut state = set_aside();
    let step = step_of(&state, 2);
    let mut trial = on_trial(&state, 2);
    check(&state, &trial, &Action::Register);
    register(&mut state, &trial);
    assert!(matches!(next(&state, &trial), Action::AbandonTrial { step: given_up, .. } if given_up == step));
    let mut back = state.clone();
    let old = back_on_old(&state, 2);
    register(&mut back, &old);
    check(&back, &old, &Action::Rejoin(Command::Rejoin { step, member: old.me }));
    // The launcher had made it final before the abort.
    trial.launcher.phase = LauncherPhase::Idle;
    trial.launcher.last_done = step;
    let rejoins = Command::Rejoin { step, member: trial.me };
    check(&state, &trial, &Action::Rejoin(rejoins.clone()));
    apply(&mut state, &rejoins);
    check(&state, &trial, &Action::Nothing);
}

#[test]
fn a_trial_that_the_log_took_as_final_is_made_final() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let facts = on_trial(&state, 2);
    register(&mut state, &facts);
    confirm(&mut state, 2);
    let member = Member { node: NodeId(2), incarnation: Incarnation(2) };
    let digest = new().digest;
    apply(&mut state, &Command::Confirmed { plan: PLAN, step, member, digest, at_ms: 0 });
    check(&state, &facts, &Action::ConfirmTrial { step });
}

#[test]
fn a_trial_of_another_binary_is_not_confirmed() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let mut facts = on_trial(&state, 2);
    facts.running = Release { version: Version::new(1, 5, 0), digest: Digest([5; 32]) };
    register(&mut state, &facts);
    let running = facts.running.clone();
    assert_eq!(waits(&state, &facts), Waiting::TrialRunsOther { step, running });
}

#[test]
fn a_trial_that_is_cut_off_is_given_up_and_not_failed() {
    let mut state = told(2);
    let step = step_of(&state, 2);
    let mut facts = on_trial(&state, 2);
    let abandons = |state: &ControlState, facts: &LocalFacts| matches!(next(state, facts), Action::AbandonTrial { step: given_up, .. } if given_up == step);
    facts.cut_off = true;
    assert!(abandons(&state, &facts), "registering would need the cluster too");
    facts.log_is_current = false;
    assert!(abandons(&state, &facts), "it never heard of the cluster");
    facts.log_is_current = true;
    register(&mut state, &facts);
    assert!(abandons(&state, &facts));
    confirm(&mut state, 2);
    check(&state, &facts, &Action::ConfirmTrial { step });
    facts.launcher.phase = LauncherPhase::Idle;
    assert!(!abandons(&state, &facts), "there is no trial to give up");
}

#[test]
fn what_a_node_runs_is_made_known_to_the_log() {
    let mut state = cluster();
    let mut facts = facts(&state, 2);
    facts.running = Release { version: Version::new(1, 3, 7), digest: Digest([37; 32]) };
    facts.me.incarnation.0 += 1;
    register(&mut state, &facts);
    check(&state, &facts, &Action::RegisterRunning);
    register_release(&mut state, facts.running.clone());
    let digest = facts.running.digest;
    check(&state, &facts, &Action::ReportStaged { digest });
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest });
    facts.held.insert(digest);
    // A second build of a version that is known is nothing that the cluster could go to.
    facts.running = Release { version: old().version, digest: Digest([38; 32]) };
    facts.me.incarnation.0 += 1;
    register(&mut state, &facts);
    check(&state, &facts, &Action::Nothing);
}

/// A plan to 1.4.0 in staging; everybody holds it.
fn staging() -> ControlState {
    let mut state = cluster();
    register_release(&mut state, new());
    let (target, options, started_by) = (new(), PlanOptions::default(), StartedBy::Operator);
    apply(&mut state, &Command::StartPlan { target, options, leader: NodeId(1), started_by, at_ms: 0 });
    for id in [1, 2, 3] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: new().digest });
    }
    state
}

#[test]
fn the_target_is_asked_before_it_is_run_and_its_answer_told_once() {
    let mut state = staging();
    let mut facts = facts(&state, 2);
    let (digest, turn) = (new().digest, state.plan.as_ref().unwrap().turn);
    check(&state, &facts, &Action::Preflight { digest, turn });
    let problem = Some(Reason::new("unknown_key", "`prot` is not known"));
    facts.preflight = Some(PreflightResult { digest, turn, problem });
    let Action::ReportPreflight(report) = next(&state, &facts) else { panic!("the answer is not told") };
    apply(&mut state, &report);
    check(&state, &facts, &Action::Nothing);
    // Its answer for an earlier turn says nothing.
    facts.preflight.as_mut().unwrap().turn = Epoch(1);
    check(&state, &facts, &Action::Preflight { digest, turn });
}

#[test]
fn a_trial_is_abandoned_when_the_plan_turns_back() {
    let turning = |mut state: ControlState| {
        let plan = state.plan.as_ref().unwrap();
        let reason = Reason::new("operator", "why");
        let rollback = Command::Rollback { plan: plan.id, plan_epoch: plan.epoch, reason };
        apply(&mut state, &rollback);
        state
    };
    let state = turning(told(2));
    let (reason, at_fault) = failure(&state, &facts(&state, 2));
    assert_eq!((reason.code.as_str(), at_fault), ("turned_back", false));
    let mut state = told(2);
    let trial = on_trial(&state, 2);
    register(&mut state, &trial);
    let state = turning(state);
    assert!(matches!(next(&state, &trial), Action::AbandonTrial { .. }));
}

#[test]
fn a_node_says_when_it_holds_nothing_below_the_level() {
    let mut state = cluster();
    state.cluster_level = Level(2);
    let mut facts = facts(&state, 2);
    check(&state, &facts, &Action::Compact);
    facts.oldest = Level(2);
    let Action::ReportLevelReached(report) = next(&state, &facts) else { panic!("it is not told") };
    apply(&mut state, &report);
    check(&state, &facts, &Action::Nothing);
}
