//! What a node keeps on its disk, and when it does not judge that.

use crate::setup::{apply, back_on_old, cluster, facts, new, old, on_trial, register_release, rolling, told};
use ironcache_agent::{LauncherPhase, LocalFacts, kept_slots};
use ironcache_control::{Command, ControlState, Quarantine, Reason};
use ironcache_types::{Digest, NodeId, Release, Version};
use std::collections::BTreeSet;

const BEFORE_OLD: Digest = Digest([2; 32]);

/// Node 2 at rest; its launcher would go back to [`BEFORE_OLD`].
fn at_rest(state: &ControlState) -> LocalFacts {
    let mut facts = facts(state, 2);
    facts.launcher.needs = vec![old().digest, BEFORE_OLD];
    facts
}

fn kept(state: &ControlState, facts: &LocalFacts) -> BTreeSet<Digest> {
    kept_slots(state, facts).expect("nothing is under way")
}

fn quarantine(state: &mut ControlState) {
    let q =
        Quarantine { version: new().version, node: NodeId(3), reason: Reason::new("exit", "exit status 7") };
    state.quarantined.insert(new().digest, q);
}

#[test]
fn what_runs_and_what_the_launcher_goes_back_to_stay() {
    let state = cluster();
    assert_eq!(kept(&state, &at_rest(&state)), BTreeSet::from([old().digest, BEFORE_OLD]));
}

#[test]
fn what_this_node_reported_as_staged_stays_until_it_is_quarantined() {
    let mut state = cluster();
    register_release(&mut state, new());
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest: new().digest });
    assert!(kept(&state, &at_rest(&state)).contains(&new().digest));
    quarantine(&mut state);
    assert!(!kept(&state, &at_rest(&state)).contains(&new().digest));
    // A node may run, or be able to go back to, what failed elsewhere.
    let mut facts = at_rest(&state);
    facts.launcher.needs = vec![old().digest, new().digest];
    assert!(kept(&state, &facts).contains(&new().digest));
}

/// Its launcher goes back to the release before: only the log still asks for the one before that.
#[test]
fn a_release_that_was_left_twice_stays_while_the_log_says_that_it_is_held_here() {
    let mut state = cluster();
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest: old().digest });
    let mut facts = at_rest(&state);
    let (running, before) = (Digest([9; 32]), Digest([8; 32]));
    facts.running = Release { version: Version::new(9, 0, 0), digest: running };
    state.nodes.get_mut(&NodeId(2)).unwrap().release = facts.running.clone();
    register_release(&mut state, facts.running.clone());
    apply(&mut state, &Command::ReportStaged { node: NodeId(2), digest: running });
    facts.launcher.needs = vec![running, before];
    assert_eq!(kept(&state, &facts), BTreeSet::from([running, before, old().digest]));
}

#[test]
fn what_an_active_plan_targets_stays_even_if_it_is_quarantined() {
    let mut state = rolling();
    quarantine(&mut state);
    assert!(kept(&state, &at_rest(&state)).contains(&new().digest));
    let plan = state.plan.as_ref().map(|plan| plan.id).unwrap();
    apply(&mut state, &Command::Abort { plan, at_ms: 1 });
    assert!(!kept(&state, &at_rest(&state)).contains(&new().digest));
}

#[test]
fn nothing_is_judged_while_anything_is_under_way() {
    let state = told(2);
    assert_eq!(kept_slots(&state, &at_rest(&state)), None, "it is out for a step");
    assert_eq!(kept_slots(&state, &on_trial(&state, 2)), None, "on trial");
    assert_eq!(kept_slots(&state, &back_on_old(&state, 2)), None, "its failure is to be reported");
    let state = cluster();
    let judged = |change: fn(&mut LocalFacts)| {
        let mut facts = at_rest(&state);
        change(&mut facts);
        kept_slots(&state, &facts).is_some()
    };
    assert!(judged(|_| {}));
    assert!(!judged(|facts| facts.log_is_current = false), "the state may be an old one");
    assert!(!judged(|facts| facts.fetching = Some(new().digest)), "a download");
    assert!(!judged(|facts| facts.me.incarnation.0 += 1), "it has to register");
    assert!(!judged(|facts| facts.launcher.degraded = Some("state file".to_owned())), "its state was lost");
    assert!(!judged(|facts| facts.launcher.phase = LauncherPhase::Absent), "no launcher");
    // The newest release is here, and the log has not been told yet.
    let mut state = cluster();
    register_release(&mut state, new());
    assert_eq!(kept_slots(&state, &at_rest(&state)), None);
}
