//! Deadlines: daemons that hang, work for long, are paused with the whole node, or are told to stop.

use crate::cases::attempts;
use crate::node::{Node, eventually, is_alive, signal, step, voluntary_switches};
use ironcache_spine::{Phase, Refusal, State, ToDaemon, ToLauncher};
use ironcache_types::Digest;
use std::time::{Duration, Instant};

pub(crate) const ALL: &[(&str, fn())] = cases! {
    a_hung_daemon_is_restarted
    a_daemon_that_heartbeats_and_does_nothing_is_hung
    a_pause_of_the_whole_node_is_no_hang
    a_pause_takes_no_time_from_a_stop
    a_release_that_loads_for_longer_than_its_time_is_not_blamed
    sigterm_stops_the_daemon_in_good_order
    every_other_signal_stops_the_daemon_in_good_order_and_a_closed_terminal_does_not
    a_stop_on_trial_costs_no_attempt
    a_stubborn_daemon_is_killed_at_the_end_of_its_time
    a_stop_that_advances_has_all_the_time_it_needs
    a_dataset_that_is_lost_has_an_exit_code_of_its_own
    asked_a_second_time_a_daemon_stays_no_longer
    a_daemon_that_exits_cleanly_stops_its_node
};

fn a_hung_daemon_is_restarted() {
    let mut node = Node::new();
    node.hang_ms = 500;
    node.start();
    let pid = node.serving("0.1.0");
    signal(pid, libc::SIGSTOP);
    eventually("another daemon", || node.who().filter(|(_, other)| *other != pid));
    assert!(!is_alive(pid));
}

fn a_daemon_that_heartbeats_and_does_nothing_is_hung() {
    let mut node = Node::new();
    node.hang_ms = 500;
    node.write_state(&State::new(node.stage("0.1.0-stuck")));
    node.start();
    let pid = node.serving("0.1.0-stuck");
    eventually("another daemon", || node.who().filter(|(_, other)| *other != pid));
    assert!(!is_alive(pid));
}

/// The whole node stands still for so long, as on a machine that is suspended, frozen, or moved to another host. The launcher
/// comes back first, and has looked at its timers before the daemon runs.
fn pause(node: &Node, daemon: u32, time: Duration) {
    let launcher = node.launcher_id();
    signal(daemon, libc::SIGSTOP);
    signal(launcher, libc::SIGSTOP);
    let began = Instant::now();
    eventually("the pause is over", || (began.elapsed() > time).then_some(()));
    let slept = || voluntary_switches(launcher);
    let before = slept();
    signal(launcher, libc::SIGCONT);
    eventually("the launcher has looked, and sleeps again", || (slept() > before).then_some(()));
    signal(daemon, libc::SIGCONT);
}

fn a_pause_of_the_whole_node_is_no_hang() {
    let mut node = Node::new();
    node.hang_ms = 2_000;
    node.start();
    let pid = node.serving("0.1.0");
    for _ in 0..2 {
        pause(&node, pid, Duration::from_millis(4_000));
        assert_eq!(node.serving("0.1.0"), pid);
    }
}

fn a_pause_takes_no_time_from_a_stop() {
    let mut node = Node::new();
    (node.hang_ms, node.stop_ms) = (2_000, 6_000);
    node.write_state(&State::new(node.stage("0.1.0-stays")));
    node.start();
    let pid = node.serving("0.1.0-stays");
    signal(node.launcher_id(), libc::SIGTERM);
    until_it_stops(&node);
    pause(&node, pid, Duration::from_millis(8_000));
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(23), "it ended by itself");
}

/// Reading a dataset takes as long as it takes: neither the time to be ready nor that of a confirmation runs meanwhile.
fn a_release_that_loads_for_longer_than_its_time_is_not_blamed() {
    let mut node = Node::new();
    node.ready_ms = 1_500;
    node.start();
    node.serving("0.1.0");
    let new = node.stage("0.2.0-loads");
    assert_eq!(node.activate(&new, 7, 1_500), ToDaemon::Activating { step: step(7) });
    node.serving("0.2.0-loads");
    let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    assert_eq!(confirmed, ToDaemon::Confirmed { step: step(7) });
    node.state("idle on the new one, at the first attempt", |state| {
        matches!(&state.phase, Phase::Idle { active, .. } if *active == new).then_some(())
    });
}

fn sigterm_stops_the_daemon_in_good_order() {
    for stop in [libc::SIGTERM, libc::SIGINT] {
        let mut node = Node::started();
        let pid = node.serving("0.1.0");
        signal(node.launcher_id(), stop);
        assert_eq!(node.launcher_exit_code(), Some(0));
        assert!(!is_alive(pid));
    }
}

fn every_other_signal_stops_the_daemon_in_good_order_and_a_closed_terminal_does_not() {
    for stop in [libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2] {
        let mut node = Node::started();
        let pid = node.serving("0.1.0");
        signal(node.launcher_id(), libc::SIGHUP);
        // The launcher looks at signals before it looks at messages.
        assert!(matches!(node.tell_launcher(&ToLauncher::QueryState {}), ToDaemon::State { .. }));
        assert_eq!(node.serving("0.1.0"), pid);
        signal(node.launcher_id(), stop);
        assert_eq!(node.launcher_exit_code(), Some(0));
        assert!(!is_alive(pid));
    }
}

fn a_stop_on_trial_costs_no_attempt() {
    let mut node = Node::started();
    let new = node.stage("0.2.0");
    node.begin_trial(&new, 7);
    for _ in 0..4 {
        node.serving("0.2.0");
        signal(node.launcher_id(), libc::SIGTERM);
        assert_eq!(node.launcher_exit_code(), Some(0));
        node.state("no attempt is counted", |state| (attempts(state)? == 0).then_some(()));
        node.start();
    }
    node.serving("0.2.0");
}

fn a_stubborn_daemon_is_killed_at_the_end_of_its_time() {
    let mut node = Node::new();
    let stubborn = node.stage("0.1.0-stubborn");
    node.write_state(&State::new(stubborn));
    node.start();
    let pid = node.serving("0.1.0-stubborn");
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(24), "nobody knows what it left undone");
    assert!(!is_alive(pid));
}

/// A node that runs from the release of this version.
fn running(version: &str, stop_ms: u64) -> Node {
    let mut node = Node::new();
    node.stop_ms = stop_ms;
    node.write_state(&State::new(node.stage(version)));
    node.start();
    node.serving(version);
    node
}

fn a_stop_that_advances_has_all_the_time_it_needs() {
    let mut node = running("0.1.0-writes", 700);
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(0));
}

fn a_dataset_that_is_lost_has_an_exit_code_of_its_own() {
    let mut node = running("0.1.0-loses", 20_000);
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(23));
}

fn until_it_stops(node: &Node) {
    eventually("the launcher has taken the signal", || {
        let answer = node.tell_launcher(&ToLauncher::Activate {
            digest: Digest([9; 32]),
            step: step(7),
            confirm_timeout_ms: 1,
        });
        matches!(answer, ToDaemon::Refused { reason: Refusal::Stopping {}, .. }).then_some(())
    });
}

fn asked_a_second_time_a_daemon_stays_no_longer() {
    let mut node = running("0.1.0-stays", 600_000);
    signal(node.launcher_id(), libc::SIGTERM);
    until_it_stops(&node);
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(23));
}

fn a_daemon_that_exits_cleanly_stops_its_node() {
    let mut node = Node::started();
    node.ask("exit");
    assert_eq!(node.launcher_exit_code(), Some(0));
}
