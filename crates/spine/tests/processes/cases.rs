//! The facts.

use crate::node::{Node, ask_over, eventually, is_alive, signal, step};
use ironcache_spine::{
    Cause, Event, Failure, IllegalTransition, LevelFile, Outcome, Phase, Refusal, Request, State, ToDaemon,
    ToLauncher, Verdict,
};
use ironcache_types::{Digest, Level, LevelRange, Manifest, Release, WireRange};
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

pub(crate) const ALL: &[(&str, fn())] = cases! {
    a_confirmed_release_becomes_the_active_one
    the_launcher_removes_no_slot
    a_release_that_exits_at_once_is_rolled_back
    a_release_that_hangs_is_rolled_back
    a_release_that_is_never_ready_is_rolled_back
    a_release_that_never_greets_is_rolled_back
    a_release_of_a_foreign_protocol_is_inconclusive
    a_release_that_does_not_admit_the_level_is_inconclusive
    an_active_release_that_does_not_admit_the_level_stops_its_node_by_name
    a_directory_above_this_launcher_is_left_alone
    a_release_whose_stamp_does_not_fit_is_not_even_activated
    the_drain_of_the_old_daemon_costs_the_trial_nothing
    a_release_that_nobody_confirms_is_inconclusive
    a_rollback_is_durable_while_the_bad_release_still_drains
    an_abandoned_trial_is_inconclusive
    a_daemon_killed_on_trial_gets_its_next_attempt
    a_daemon_killed_while_idle_is_restarted
    a_node_that_cannot_start_refuses_its_clients_and_serves_when_it_can
    a_node_starts_again_though_its_disk_takes_nothing
    clients_queue_while_the_daemon_is_away
    a_daemon_holds_only_what_it_inherits
    the_daemon_dies_with_its_launcher
    a_launcher_killed_before_the_first_attempt_goes_on_with_the_trial
    a_launcher_killed_on_trial_goes_on_with_the_next_attempt
    a_launcher_killed_in_the_last_attempt_rolls_back
    a_launcher_killed_while_rolling_back_runs_the_old_release
    a_trial_whose_time_passed_while_down_is_inconclusive
    a_launcher_killed_at_any_moment_comes_back
    a_corrupt_state_runs_the_only_slot_and_refuses_upgrades
    a_release_altered_on_disk_is_not_activated
    a_release_altered_before_its_attempt_is_inconclusive
    an_altered_active_release_is_refused
    an_altered_active_release_is_filled_again_from_the_launcher
    a_stale_or_repeated_step_is_refused
    a_message_that_is_not_understood_is_refused
    two_launchers_on_one_directory_are_refused
    a_port_in_use_is_named
    a_launcher_takes_the_children_that_it_inherits
    a_service_manager_is_told_of_the_node_and_its_daemons_are_no_services
};

fn idle_on(state: &State, release: &Release) -> Option<Outcome> {
    match &state.phase {
        Phase::Idle { active, .. } if active == release => state.last_outcome.clone(),
        Phase::Idle { .. } | Phase::Trial { .. } | Phase::RollingBack { .. } => None,
    }
}

#[track_caller]
fn inconclusive(outcome: &Outcome) -> &Cause {
    let Verdict::Inconclusive { cause } = &outcome.verdict else { panic!("{outcome}") };
    cause
}

pub(crate) fn attempts(state: &State) -> Option<u32> {
    match &state.phase {
        Phase::Trial { attempts, .. } => Some(*attempts),
        Phase::Idle { .. } | Phase::RollingBack { .. } => None,
    }
}

/// The release that the node's data directory was begun with.
fn first_release(node: &Node) -> Release {
    node.state("the first state", |state| Some(state.to_run().clone()))
}

fn a_confirmed_release_becomes_the_active_one() {
    let node = Node::started();
    let (old, new) = (first_release(&node), node.stage("0.2.0"));
    node.begin_trial(&new, 7);
    node.serving("0.2.0");
    assert_eq!(
        node.tell_launcher(&ToLauncher::Confirm { step: step(7) }),
        ToDaemon::Confirmed { step: step(7) }
    );
    node.state("idle on the new release", |state| {
        let Phase::Idle { active, rollback } = &state.phase else { return None };
        assert_eq!((active, rollback.as_ref()), (&new, Some(&old)));
        assert_eq!(state.last_outcome.as_ref().unwrap().verdict, Verdict::Confirmed {});
        Some(())
    });
    let again = node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    assert_eq!(again, ToDaemon::Confirmed { step: step(7) }, "a lost answer is asked for again");
}

/// Only the daemon knows what the log says is held here.
fn the_launcher_removes_no_slot() {
    let node = Node::started();
    let first = first_release(&node);
    let releases = ["0.2.0", "0.3.0"].map(|version| node.stage(version));
    for (release, epoch) in releases.iter().zip(7..) {
        node.begin_trial(release, epoch);
        node.serving(&release.version.to_string());
        node.tell_launcher(&ToLauncher::Confirm { step: step(epoch) });
    }
    node.state("idle on the last one", |state| idle_on(state, &releases[1]));
    let mut expected: Vec<_> = releases.iter().chain([&first]).map(|release| release.digest).collect();
    expected.sort();
    assert_eq!(node.store().list().unwrap(), expected);
}

/// Activates a bad release and waits for the node to be back on 0.1.0; the failure on record.
fn rolled_back(node: &mut Node, bad: &str) -> Failure {
    node.start();
    node.serving("0.1.0");
    let (old, bad) = (first_release(node), node.stage(bad));
    assert_eq!(node.activate(&bad, 7, 600_000), ToDaemon::Activating { step: step(7) });
    let outcome = node.state("back on the old release", |state| idle_on(state, &old));
    node.serving("0.1.0");
    assert_eq!((outcome.step, &outcome.release), (step(7), &bad));
    let Verdict::Failed { failure, attempts } = outcome.verdict else { panic!("{outcome}") };
    assert_eq!(attempts, 3);
    let ToDaemon::Refused { reason: Refusal::Illegal { why }, .. } = node.activate(&bad, 8, 600_000) else {
        panic!("a quarantined release was activated again")
    };
    assert!(matches!(why, IllegalTransition::Quarantined { digest, .. } if digest == bad.digest));
    failure
}

fn a_release_that_exits_at_once_is_rolled_back() {
    assert_eq!(rolled_back(&mut Node::new(), "0.2.0-exits"), Failure::Exited { code: 3 });
}

fn a_release_that_hangs_is_rolled_back() {
    let mut node = Node::new();
    node.hang_ms = 400;
    let failure = rolled_back(&mut node, "0.2.0-hangs");
    assert!(matches!(failure, Failure::Hung { silent_ms: 400.. }), "{failure}");
}

fn a_release_that_is_never_ready_is_rolled_back() {
    let mut node = Node::new();
    node.ready_ms = 600;
    let failure = rolled_back(&mut node, "0.2.0-unready");
    assert!(matches!(failure, Failure::NotReady { waited_ms: 600.. }), "{failure}");
}

fn a_release_that_never_greets_is_rolled_back() {
    let mut node = Node::new();
    node.ready_ms = 600;
    let failure = rolled_back(&mut node, "0.2.0-mute");
    assert!(matches!(failure, Failure::NotReady { .. }), "{failure}");
}

/// Activates a release that does not go with this node, and expects that nobody is blamed; why.
fn not_blamed(version: &str) -> Cause {
    let node = Node::started();
    let (old, new) = (first_release(&node), node.stage(version));
    node.begin_trial(&new, 7);
    let outcome = node.state("back on the old release", |state| {
        assert!(state.quarantined.is_empty(), "{:?}", state.quarantined);
        assert!(attempts(state).is_none_or(|attempts| attempts <= 1), "one process is enough");
        idle_on(state, &old)
    });
    node.serving("0.1.0");
    node.begin_trial(&new, 8);
    inconclusive(&outcome).clone()
}

fn a_release_of_a_foreign_protocol_is_inconclusive() {
    assert_eq!(not_blamed("0.2.0-foreign"), Cause::LauncherProtocol {});
}

fn a_release_that_does_not_admit_the_level_is_inconclusive() {
    assert_eq!(not_blamed("0.2.0-above"), Cause::LevelNotAdmitted {});
}

fn an_active_release_that_does_not_admit_the_level_stops_its_node_by_name() {
    for (version, code, word) in [("0.1.0-above", 20, "level"), ("0.1.0-foreign", 22, "launcher")] {
        let node = Node::new();
        node.write_state(&State::new(node.stage(version)));
        let output = node.start_in_vain();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(version) && text.contains(word), "{text}");
    }
}

fn a_directory_above_this_launcher_is_left_alone() {
    let node = Node::new();
    let own = node.stage("0.1.0");
    node.write_state(&State::new(own));
    let level = node.dir().root().join("level");
    for (text, code) in [(LevelFile::line(Level(99)), 20), ("ironcache-level 1\n".to_owned(), 1)] {
        fs::write(&level, &text).unwrap();
        let output = node.start_in_vain();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("level"), "{said}");
        assert_eq!(fs::read_to_string(&level).unwrap(), text);
    }
}

fn a_release_whose_stamp_does_not_fit_is_not_even_activated() {
    let node = Node::started();
    let own = node.manifest();
    fs::write(node.dir().root().join("level"), LevelFile::line(Level(1))).unwrap();
    let level = Manifest { levels: LevelRange::new(2, 3), ..own.clone() };
    let ToDaemon::Refused { reason, .. } = node.activate(&node.stage_as("0.2.0", level), 7, 600_000) else {
        panic!()
    };
    assert_eq!(reason, Refusal::Level { level: Level(1), admits: LevelRange::new(2, 3) });
    let protocol = Manifest { launcher_protocol: WireRange { min: 7, max: 9 }, ..own };
    let ToDaemon::Refused { reason, .. } = node.activate(&node.stage_as("0.3.0", protocol), 8, 600_000)
    else {
        panic!()
    };
    assert!(matches!(reason, Refusal::Protocol { .. }), "{reason}");
    node.serving("0.1.0");
}

fn the_drain_of_the_old_daemon_costs_the_trial_nothing() {
    let mut node = Node::new();
    node.stop_ms = 4_000;
    node.write_state(&State::new(node.stage("0.1.0-stubborn")));
    node.start();
    node.serving("0.1.0-stubborn");
    let new = node.stage("0.2.0");
    // Over before the old daemon is gone, if it were counted from here.
    assert_eq!(node.activate(&new, 7, 3_500), ToDaemon::Activating { step: step(7) });
    node.serving("0.2.0");
    let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    assert_eq!(confirmed, ToDaemon::Confirmed { step: step(7) });
}

fn a_release_that_nobody_confirms_is_inconclusive() {
    let node = Node::started();
    let (old, new) = (first_release(&node), node.stage("0.2.0"));
    node.activate(&new, 7, 1_500);
    let outcome = node.state("back on the old release", |state| idle_on(state, &old));
    assert_eq!(inconclusive(&outcome), &Cause::NotConfirmed { confirm_timeout_ms: 1_500 });
    node.serving("0.1.0");
    node.begin_trial(&new, 8);
    node.serving("0.2.0");
}

fn a_rollback_is_durable_while_the_bad_release_still_drains() {
    let mut node = Node::new();
    node.stop_ms = 4_000;
    node.start();
    node.serving("0.1.0");
    let (old, new) = (first_release(&node), node.stage("0.2.0-stubborn"));
    node.activate(&new, 7, 1_500);
    node.state("rolling back, without a quarantine", |state| {
        let Phase::RollingBack { to, .. } = &state.phase else { return None };
        assert_eq!((to, state.quarantined.len()), (&old, 0));
        Some(())
    });
    assert!(node.who().is_none_or(|(version, _)| version != "0.1.0"), "the old release waits for its turn");
    node.kill_launcher();
    node.start();
    node.serving("0.1.0");
}

fn an_abandoned_trial_is_inconclusive() {
    let node = Node::started();
    let (old, new) = (first_release(&node), node.stage("0.2.0"));
    node.begin_trial(&new, 7);
    node.serving("0.2.0");
    // Not answered: the stop that follows is the answer.
    let abandon = ToLauncher::Abandon { step: step(7), reason: "no quorum in reach".into() };
    let connection = node.connect();
    std::thread::scope(|scope| {
        scope.spawn(|| ask_over(&connection, &serde_json::to_string(&abandon).unwrap()));
        let outcome = node.state("back on the old release", |state| idle_on(state, &old));
        assert_eq!(inconclusive(&outcome), &Cause::Abandoned { reason: "no quorum in reach".into() });
    });
    node.serving("0.1.0");
    node.begin_trial(&new, 8);
    node.serving("0.2.0");
}

fn a_daemon_killed_on_trial_gets_its_next_attempt() {
    let node = Node::started();
    let new = node.stage("0.2.0");
    node.begin_trial(&new, 7);
    let first = node.serving("0.2.0");
    signal(first, libc::SIGKILL);
    node.state("the second attempt", |state| (attempts(state)? == 2).then_some(()));
    let second = node.serving("0.2.0");
    assert_ne!(first, second);
    assert_eq!(
        node.tell_launcher(&ToLauncher::Confirm { step: step(7) }),
        ToDaemon::Confirmed { step: step(7) }
    );
}

fn a_daemon_killed_while_idle_is_restarted() {
    let node = Node::started();
    for _ in 0..3 {
        let pid = node.serving("0.1.0");
        signal(pid, libc::SIGKILL);
        eventually("another daemon", || node.who().filter(|(_, other)| *other != pid));
    }
}

fn a_node_that_cannot_start_refuses_its_clients_and_serves_when_it_can() {
    let mut node = Node::new();
    node.restart_ms_max = 400;
    let (good, bad) = (node.stage("0.1.0"), node.stage("0.1.0-exits"));
    node.write_state(&State::new(bad));
    node.start();
    let queued = eventually("it listens, and starts a daemon", || TcpStream::connect(node.address).ok());
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    eventually("clients are refused", || TcpStream::connect(node.address).err().filter(refused));
    // Whoever came before is told too: nobody hangs.
    let began = Instant::now();
    assert_eq!(ask_over(&queued, "who"), None);
    assert!(began.elapsed() < Duration::from_secs(10), "it was kept waiting");
    node.kill_launcher();
    node.write_state(&State::new(good));
    node.start();
    node.serving("0.1.0");
}

fn a_node_starts_again_though_its_disk_takes_nothing() {
    let mut node = Node::started();
    for _ in 0..2 {
        node.kill_launcher();
        node.file_bytes_max = 0;
        node.start();
        let pid = node.serving("0.1.0");
        signal(pid, libc::SIGKILL);
        eventually("another daemon", || node.who().filter(|(_, other)| *other != pid));
    }
}

fn clients_queue_while_the_daemon_is_away() {
    let node = Node::started();
    let pid = node.serving("0.1.0");
    signal(pid, libc::SIGKILL);
    eventually("the daemon is dead", || (!is_alive(pid)).then_some(()));
    let queued: Vec<_> = (0..20).map(|_| node.connect()).collect();
    for connection in &queued {
        let answer = ask_over(connection, "who").expect("a queued client is served");
        assert!(answer.starts_with("0.1.0 "), "{answer}");
    }
}

fn a_daemon_holds_only_what_it_inherits() {
    let node = Node::started();
    let fds = node.ask("fds").unwrap();
    let lock = node.dir().root().join("lock");
    // The link is open twice (sender and receiver), the listener once, the client that asks once.
    assert_eq!(fds, format!("{} socket socket socket socket", lock.display()));
}

fn the_daemon_dies_with_its_launcher() {
    let mut node = Node::started();
    let pid = node.serving("0.1.0");
    node.kill_launcher();
    eventually("the daemon is dead", || (!is_alive(pid)).then_some(()));
    node.start();
    node.serving("0.1.0");
}

/// A stopped node with two releases and a trial of the second, `attempts` begun.
fn stopped_on_trial(attempts: u32, now_unix_ms: u64) -> (Node, Release, State) {
    let node = Node::new();
    let (old, new) = (node.stage("0.1.0"), node.stage("0.2.0"));
    let activate =
        Event::Activate { release: new, step: step(7), attempts_max: 3, confirm_timeout_ms: 600_000 };
    let mut state = State::new(old.clone()).on(&activate).unwrap();
    for _ in 0..attempts {
        state = state.on(&Event::AttemptStarts { now_unix_ms }).unwrap();
    }
    node.write_state(&state);
    (node, old, state)
}

/// Far in the future: the trial has all its time.
const NO_HURRY: u64 = 1 << 42;

fn a_launcher_killed_before_the_first_attempt_goes_on_with_the_trial() {
    let (mut node, _, _) = stopped_on_trial(0, NO_HURRY);
    node.start();
    node.serving("0.2.0");
    node.state("the first attempt", |state| (attempts(state)? == 1).then_some(()));
}

fn a_launcher_killed_on_trial_goes_on_with_the_next_attempt() {
    let mut node = Node::started();
    let new = node.stage("0.2.0");
    node.begin_trial(&new, 7);
    node.serving("0.2.0");
    node.kill_launcher();
    node.start();
    node.serving("0.2.0");
    node.state("the second attempt", |state| (attempts(state)? == 2).then_some(()));
    assert_eq!(
        node.tell_launcher(&ToLauncher::Confirm { step: step(7) }),
        ToDaemon::Confirmed { step: step(7) }
    );
}

fn a_launcher_killed_in_the_last_attempt_rolls_back() {
    let (mut node, old, _) = stopped_on_trial(3, NO_HURRY);
    node.start();
    node.serving("0.1.0");
    let outcome = node.state("back on the old release", |state| idle_on(state, &old));
    assert!(matches!(outcome.verdict, Verdict::Failed { failure: Failure::Interrupted {}, attempts: 3 }));
}

fn a_launcher_killed_while_rolling_back_runs_the_old_release() {
    let (mut node, old, state) = stopped_on_trial(1, NO_HURRY);
    node.write_state(&state.on(&Event::DeadlineMissed).unwrap());
    node.start();
    node.serving("0.1.0");
    let outcome = node.state("idle on the old release", |state| idle_on(state, &old));
    assert_eq!(inconclusive(&outcome), &Cause::NotConfirmed { confirm_timeout_ms: 600_000 });
}

fn a_trial_whose_time_passed_while_down_is_inconclusive() {
    let (mut node, old, _) = stopped_on_trial(1, 1_000);
    node.start();
    node.serving("0.1.0");
    let outcome = node.state("back on the old release", |state| idle_on(state, &old));
    assert_eq!(inconclusive(&outcome), &Cause::TimePassed {});
}

fn a_launcher_killed_at_any_moment_comes_back() {
    let mut node = Node::started();
    let mut target = node.stage("0.2.0");
    let mut other = first_release(&node);
    for round in 0..12u64 {
        let epoch = 100 + round;
        node.begin_trial(&target, epoch);
        // Each round a little later: during the drain, the start, the trial.
        std::thread::sleep(Duration::from_millis(round * 4));
        node.kill_launcher();
        node.start();
        node.serving(&target.version.to_string());
        node.state("a trial that counts its attempts", |state| {
            (1..=2).contains(&attempts(state)?).then_some(())
        });
        let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(epoch) });
        assert_eq!(confirmed, ToDaemon::Confirmed { step: step(epoch) }, "round {round}");
        node.kill_launcher();
        node.start();
        node.serving(&target.version.to_string());
        std::mem::swap(&mut target, &mut other);
    }
}

fn a_corrupt_state_runs_the_only_slot_and_refuses_upgrades() {
    let mut node = Node::started();
    let pid = node.serving("0.1.0");
    node.kill_launcher();
    eventually("the daemon is dead", || (!is_alive(pid)).then_some(()));
    let torn = fs::read(node.state_path()).unwrap();
    fs::write(node.state_path(), &torn[..torn.len() / 2]).unwrap();
    node.start();
    node.serving("0.1.0");
    let aside = node.dir().root().join("state.corrupt-1");
    assert_eq!(fs::read(&aside).unwrap(), torn[..torn.len() / 2]);
    let new = node.stage("0.2.0");
    let refused = node.activate(&new, 7, 600_000);
    assert!(matches!(refused, ToDaemon::Refused { reason: Refusal::Degraded { .. }, .. }), "{refused:?}");
    let ToDaemon::State { snapshot } = node.tell_launcher(&ToLauncher::QueryState {}) else { panic!() };
    assert!(snapshot.degraded.unwrap().contains("state.corrupt-1"));
}

pub(crate) fn alter(node: &Node, release: &Release) {
    // A new file of that name: the kernel forbids writing to one that runs.
    let path = node.binary(release);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
}

fn a_release_altered_on_disk_is_not_activated() {
    let node = Node::started();
    let new = node.stage("0.2.0");
    alter(&node, &new);
    let unusable = |digest: Digest| match node.tell_launcher(&ToLauncher::Activate {
        digest,
        step: step(7),
        confirm_timeout_ms: 600_000,
    }) {
        ToDaemon::Refused { reason: Refusal::SlotUnusable { problem, .. }, .. } => problem,
        other => panic!("{other:?}"),
    };
    assert!(unusable(new.digest).contains("altered"));
    assert!(unusable(Digest([9; 32])).contains("no slot holds"));
    node.serving("0.1.0");
}

fn a_release_altered_before_its_attempt_is_inconclusive() {
    let (mut node, old, state) = stopped_on_trial(1, NO_HURRY);
    alter(&node, state.to_run());
    node.start();
    node.serving("0.1.0");
    let outcome = node.state("back on the old release", |state| idle_on(state, &old));
    assert!(matches!(inconclusive(&outcome), Cause::SlotUnusable { .. }), "{outcome}");
}

fn an_altered_active_release_is_refused() {
    let node = Node::new();
    let active = node.stage("0.5.0");
    node.write_state(&State::new(active.clone()));
    alter(&node, &active);
    let text = String::from_utf8(node.start_in_vain().stderr).unwrap();
    assert!(text.contains("0.5.0") && text.contains("altered"), "{text}");
}

fn an_altered_active_release_is_filled_again_from_the_launcher() {
    let mut node = Node::new();
    let active = node.stage("0.1.0");
    node.write_state(&State::new(active.clone()));
    alter(&node, &active);
    node.start();
    node.serving("0.1.0");
    assert!(node.store().open_verified(&active.digest).is_ok());
}

fn a_stale_or_repeated_step_is_refused() {
    let node = Node::started();
    let (first, second) = (first_release(&node), node.stage("0.2.0"));
    node.begin_trial(&second, 7);
    node.serving("0.2.0");
    let busy = node.activate(&first, 8, 600_000);
    let under_way = IllegalTransition::TrialUnderWay { release: second, step: step(7) };
    assert_eq!(
        busy,
        ToDaemon::Refused {
            request: Request::Activate { step: step(8) },
            reason: Refusal::Illegal { why: under_way }
        }
    );
    node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    for epoch in [6, 7] {
        let refused = node.activate(&first, epoch, 600_000);
        let ToDaemon::Refused { reason: Refusal::Illegal { why }, .. } = refused else {
            panic!("{refused:?}")
        };
        assert!(matches!(why, IllegalTransition::StepDone { .. }), "{why}");
    }
    let other = node.tell_launcher(&ToLauncher::Confirm { step: step(6) });
    assert!(matches!(other, ToDaemon::Refused { reason: Refusal::Illegal { .. }, .. }), "{other:?}");
    node.serving("0.2.0");
}

fn a_message_that_is_not_understood_is_refused() {
    let node = Node::started();
    let refused = node.tell_launcher(&ToLauncher::Hello { protocol: ironcache_spine::LAUNCHER_PROTOCOL });
    assert!(
        matches!(refused, ToDaemon::Refused { reason: Refusal::NotUnderstood { .. }, .. }),
        "{refused:?}"
    );
}

fn two_launchers_on_one_directory_are_refused() {
    let node = Node::started();
    let text = String::from_utf8(node.start_in_vain().stderr).unwrap();
    assert!(
        text.contains("is in use by process") && text.contains(&node.launcher_id().to_string()),
        "{text}"
    );
    node.serving("0.1.0");
}

fn a_port_in_use_is_named() {
    let node = Node::new();
    let _taken = std::net::TcpListener::bind(node.address).unwrap();
    let text = String::from_utf8(node.start_in_vain().stderr).unwrap();
    assert!(text.contains(&node.address.to_string()) && text.contains("client_addr"), "{text}");
}

fn a_service_manager_is_told_of_the_node_and_its_daemons_are_no_services() {
    let temp = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(temp.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let len = manager.recv(&mut bytes).expect("the manager hears something");
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let until = |what: &str| {
        while !told().starts_with(what) {}
    };
    let mut node = Node::under_a_manager(&temp.path().join("notify"));
    until("READY=1\nSTATUS=started with release 0.1.0");
    let first = node.serving("0.1.0");
    let environment = fs::read(format!("/proc/{first}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        assert!(!environment.contains(variable), "{variable} is the launcher's");
    }
    signal(first, libc::SIGKILL);
    let (beats, began) = (3, Instant::now());
    for _ in 0..beats {
        assert_eq!(told(), "WATCHDOG=1", "of a daemon that died nothing is told");
    }
    assert!(
        began.elapsed() >= Duration::from_millis(1_500),
        "half of its time each, the first at any moment"
    );
    signal(node.launcher_id(), libc::SIGHUP);
    until("RELOADING=1\nMONOTONIC_USEC=");
    until("READY=1");
    signal(node.launcher_id(), libc::SIGTERM);
    until("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=7000000");
    assert_eq!(node.launcher_exit_code(), Some(0));
}

fn a_launcher_takes_the_children_that_it_inherits() {
    let node = Node::inheriting();
    node.serving("0.1.0");
    let children = format!("/proc/{0}/task/{0}/children", node.launcher_id());
    let alone = || {
        let children = fs::read_to_string(&children).unwrap();
        (children.split_whitespace().count() == 1).then_some(())
    };
    eventually("only the daemon is left", alone);
}
