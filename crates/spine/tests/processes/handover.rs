//! The launcher becomes that of the release that runs: handed over, refused, killed on the way, and after a pod restart.

use crate::node::{Node, ask_over, eventually, is_alive, signal, step};
use ironcache_spine::{LevelFile, Phase, State, StateFile, ToDaemon, ToLauncher};
use ironcache_types::{Digest, Level, LevelRange, Manifest, Release};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const ALL: &[(&str, fn())] = cases! {
    the_launcher_follows_a_confirmed_release_and_nobody_notices
    the_launcher_goes_back_with_an_older_release
    a_signal_and_a_dead_daemon_find_the_new_launcher
    a_trial_is_run_by_the_old_launcher
    a_launcher_that_refuses_the_handover_gives_it_back
    what_the_old_launcher_read_is_what_either_goes_on_with
    a_launcher_that_cannot_be_executed_leaves_the_old_one
    a_launcher_that_was_altered_leaves_the_old_one
    a_launcher_killed_before_it_named_the_new_one_hands_over_later
    a_launcher_killed_after_it_named_the_new_one_is_replaced_by_it
    a_launcher_killed_right_after_the_exec_comes_back
    a_launcher_killed_at_any_moment_after_a_confirm_comes_back
    the_image_of_a_pod_makes_way_for_the_launcher_that_the_state_names
    an_old_image_makes_way_though_it_cannot_read_the_state
    an_old_image_that_can_neither_read_nor_make_way_says_so
    an_old_launcher_that_the_level_outgrew_before_it_handed_over_makes_way
    a_state_that_names_a_missing_launcher_is_run_by_whoever_reads_it
};

/// Rolls to `release`, and expects that it is confirmed.
fn roll(node: &Node, release: &Release, epoch: u64) -> u32 {
    node.begin_trial(release, epoch);
    let pid = node.serving(&release.version.to_string());
    let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(epoch) });
    assert_eq!(confirmed, ToDaemon::Confirmed { step: step(epoch) });
    pid
}

/// The file that the launcher's process executes.
fn launcher_exe(node: &Node) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{}/exe", node.launcher_id())).unwrap()
}

#[track_caller]
fn launched_by(node: &Node, release: &Release) {
    let slot = node.binary(release);
    eventually(&format!("the launcher of {release}"), || (launcher_exe(node) == slot).then_some(()));
}

fn launcher_in_state(node: &Node) -> Digest {
    StateFile::new(&node.dir()).head().unwrap().unwrap().launcher
}

/// A stopped node that was rolled from 0.1.0 to `version` and confirmed, its launcher still the old one.
fn stopped_before_the_handover(version: &str) -> (Node, Release, Release) {
    let node = Node::new();
    let (old, new) = (node.stage("0.1.0"), node.stage(version));
    let phase = Phase::Idle { active: new.clone(), rollback: Some(old.clone()) };
    node.write_state(&State { phase, ..State::new(old.clone()) });
    (node, old, new)
}

fn the_launcher_follows_a_confirmed_release_and_nobody_notices() {
    let node = Node::started();
    let (launcher, new) = (node.launcher_id(), node.stage("0.2.0"));
    node.begin_trial(&new, 7);
    let daemon = node.serving("0.2.0");
    // From here on the daemon stays, and every client is served.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = ask_over(&node.connect(), "who").expect("every client is served");
                assert_eq!(answer, format!("0.2.0 {daemon}"));
                served += 1;
            }
            served
        });
        node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
        launched_by(&node, &new);
        eventually("the new launcher is heard", || {
            let ToDaemon::State { snapshot } = node.tell_launcher(&ToLauncher::QueryState {}) else {
                return None;
            };
            (snapshot.state.launcher == new.digest).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        assert!(client.join().unwrap() > 0);
    });
    assert_eq!(node.serving("0.2.0"), daemon, "the daemon was not restarted");
    assert_eq!(node.launcher_id(), launcher, "the process is the same");
    assert_eq!(fs::read_to_string(format!("/proc/{launcher}/comm")).unwrap().trim(), "ironcache");
    assert_eq!(launcher_in_state(&node), new.digest);
}

fn what_the_old_launcher_read_is_what_either_goes_on_with() {
    for (version, goes_on) in [("0.2.0", "0.2.0 good\n"), ("0.2.0-refuses", "0.1.0 good\n")] {
        let node = Node::started();
        let file = |name: &str| node.dir().root().join(name);
        fs::write(file("config"), "good").unwrap();
        roll(&node, &node.stage(version), 7);
        // A file is there before what is written into it.
        let line = || fs::read_to_string(file("went-on-with")).ok().filter(|seen| seen.ends_with('\n'));
        let seen = eventually("a launcher that goes on", line);
        assert_eq!(seen, goes_on);
        assert_eq!(fs::read_to_string(file("config")).unwrap(), "spoilt");
        // What both can read no more keeps the next one from being tried, and the node as it is.
        let next = node.stage("0.3.0");
        let daemon = roll(&node, &next, 8);
        assert_eq!(node.serving("0.3.0"), daemon);
    }
}

fn the_launcher_goes_back_with_an_older_release() {
    let node = Node::started();
    let (old, new) = (node.stage("0.1.0"), node.stage("0.2.0"));
    for (epoch, release) in [(7, &new), (8, &old), (9, &new), (10, &old)] {
        roll(&node, release, epoch);
        launched_by(&node, release);
    }
    node.serving("0.1.0");
}

fn a_signal_and_a_dead_daemon_find_the_new_launcher() {
    let mut node = Node::started();
    let new = node.stage("0.2.0");
    let first = roll(&node, &new, 7);
    launched_by(&node, &new);
    signal(first, libc::SIGKILL);
    let second = eventually("another daemon", || node.who().filter(|(_, pid)| *pid != first)).1;
    let fds = node.ask("fds").unwrap();
    let lock = node.dir().root().join("lock");
    assert_eq!(fds, format!("{} socket socket socket socket", lock.display()), "it holds what it inherits");
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(0));
    assert!(!is_alive(second));
}

fn a_trial_is_run_by_the_old_launcher() {
    let node = Node::started();
    let (old, before) = (node.stage("0.1.0"), launcher_exe(&node));
    node.begin_trial(&node.stage("0.2.0"), 7);
    node.serving("0.2.0");
    node.tell_launcher(&ToLauncher::QueryState {});
    assert_eq!(launcher_exe(&node), before);
    assert_eq!(launcher_in_state(&node), old.digest);
}

fn the_old_one_stays(node: &Node, old: &Release, new: &Release, daemon: u32) {
    let ToDaemon::State { snapshot } = node.tell_launcher(&ToLauncher::QueryState {}) else { panic!() };
    assert_eq!(snapshot.state.launcher, old.digest);
    assert_eq!(node.serving(&new.version.to_string()), daemon, "the daemon was not restarted");
    // And it is a whole launcher: it rolls on.
    let next = node.stage("0.3.0");
    roll(node, &next, 8);
    launched_by(node, &next);
}

fn a_launcher_that_refuses_the_handover_gives_it_back() {
    let node = Node::started();
    let (old, new) = (node.stage("0.1.0"), node.stage("0.2.0-refuses"));
    let daemon = roll(&node, &new, 7);
    let refused = node.dir().root().join("refused");
    eventually("the new launcher was there", || refused.exists().then_some(()));
    eventually("the old launcher is back", || (launcher_in_state(&node) == old.digest).then_some(()));
    the_old_one_stays(&node, &old, &new, daemon);
    assert_eq!(fs::read_to_string(refused).unwrap(), "x", "it was tried once");
}

fn a_launcher_that_cannot_be_executed_leaves_the_old_one() {
    let node = Node::started();
    let (old, new) = (node.stage("0.1.0"), node.stage("0.2.0"));
    node.begin_trial(&new, 7);
    let daemon = node.serving("0.2.0");
    fs::set_permissions(node.binary(&new), fs::Permissions::from_mode(0o644)).unwrap();
    let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    assert_eq!(confirmed, ToDaemon::Confirmed { step: step(7) });
    the_old_one_stays(&node, &old, &new, daemon);
}

fn a_launcher_that_was_altered_leaves_the_old_one() {
    let node = Node::started();
    let (old, new) = (node.stage("0.1.0"), node.stage("0.2.0"));
    node.begin_trial(&new, 7);
    let daemon = node.serving("0.2.0");
    crate::cases::alter(&node, &new);
    let confirmed = node.tell_launcher(&ToLauncher::Confirm { step: step(7) });
    assert_eq!(confirmed, ToDaemon::Confirmed { step: step(7) });
    the_old_one_stays(&node, &old, &new, daemon);
}

fn a_launcher_killed_before_it_named_the_new_one_hands_over_later() {
    let (mut node, old, new) = stopped_before_the_handover("0.2.0");
    assert_eq!(launcher_in_state(&node), old.digest);
    node.start();
    node.serving("0.2.0");
    launched_by(&node, &new);
    assert_eq!(launcher_in_state(&node), new.digest);
}

fn a_launcher_killed_after_it_named_the_new_one_is_replaced_by_it() {
    let (mut node, old, new) = stopped_before_the_handover("0.2.0");
    let phase = Phase::Idle { active: new.clone(), rollback: Some(old) };
    node.write_state(&State { phase, ..State::new(new.clone()) });
    node.start();
    node.serving("0.2.0");
    launched_by(&node, &new);
}

fn a_launcher_killed_right_after_the_exec_comes_back() {
    let mut node = Node::started();
    let new = node.stage("0.2.0-dies");
    let daemon = roll(&node, &new, 7);
    assert_eq!(node.launcher_exit_code(), None, "it killed itself");
    eventually("its daemon is dead too", || (!is_alive(daemon)).then_some(()));
    assert_eq!(launcher_in_state(&node), new.digest);
    node.start();
    node.serving("0.2.0-dies");
    launched_by(&node, &new);
}

fn a_launcher_killed_at_any_moment_after_a_confirm_comes_back() {
    let mut node = Node::started();
    let (mut target, mut other) = (node.stage("0.2.0"), node.stage("0.1.0"));
    for round in 0..12u64 {
        roll(&node, &target, 100 + round);
        // Each round a little later: before the state is written, about the exec, after it.
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        node.kill_launcher();
        node.start();
        node.serving(&target.version.to_string());
        launched_by(&node, &target);
        std::mem::swap(&mut target, &mut other);
    }
}

fn the_image_of_a_pod_makes_way_for_the_launcher_that_the_state_names() {
    let mut node = Node::started();
    let new = node.stage("0.2.0");
    roll(&node, &new, 7);
    launched_by(&node, &new);
    signal(node.launcher_id(), libc::SIGTERM);
    assert_eq!(node.launcher_exit_code(), Some(0));
    node.start();
    node.serving("0.2.0");
    assert_eq!(launcher_exe(&node), node.binary(&new));
}

/// A state of a format that no release knows yet.
fn write_future_state(node: &Node, run: &Release, launcher: &Release) {
    let before = "ironcache-state 9 crc32 ";
    let after = format!("\nrun {}\nlauncher {}\nwhat is to come\n", run.digest, launcher.digest);
    let crc = crc32fast::hash(format!("{before}{after}").as_bytes());
    fs::write(node.state_path(), format!("{before}{crc:08x}{after}")).unwrap();
}

fn an_old_image_makes_way_though_it_cannot_read_the_state() {
    let mut node = Node::new();
    // The launcher of the future, as far as this test needs it, says that it was run.
    let future = node.stage("9.0.0-future");
    write_future_state(&node, &future, &future);
    // Nor does it admit the level.
    fs::write(node.dir().root().join("level"), LevelFile::line(Level(99))).unwrap();
    node.start();
    assert_eq!(node.launcher_exit_code(), Some(9));
}

/// The machine died right after a finalize, and the launcher had not handed over yet: what is started again is the old one.
fn an_old_launcher_that_the_level_outgrew_before_it_handed_over_makes_way() {
    let mut node = Node::new();
    let own = node.manifest();
    let above = Level(own.levels.max.0 + 1);
    let next = Manifest { levels: LevelRange { max: above, ..own.levels }, ..own };
    let (old, new) = (node.stage("0.1.0"), node.stage_as("9.0.0-future", next));
    let phase = Phase::Idle { active: new, rollback: Some(old.clone()) };
    node.write_state(&State { phase, ..State::new(old) });
    fs::write(node.dir().root().join("level"), LevelFile::line(above)).unwrap();
    node.start();
    assert_eq!(node.launcher_exit_code(), Some(9), "the launcher of the future was run");
}

fn an_old_image_that_can_neither_read_nor_make_way_says_so() {
    let node = Node::new();
    let own = node.stage("0.1.0");
    write_future_state(&node, &own, &own);
    let text = String::from_utf8(node.start_in_vain().stderr).unwrap();
    assert!(text.contains("format 9"), "{text}");
}

fn a_state_that_names_a_missing_launcher_is_run_by_whoever_reads_it() {
    let mut node = Node::new();
    let own = node.stage("0.1.0");
    node.write_state(&State { launcher: Digest([9; 32]), ..State::new(own.clone()) });
    node.start();
    node.serving("0.1.0");
    launched_by_copy(&node);
    eventually("the state is mended", || (launcher_in_state(&node) == own.digest).then_some(()));
}

/// Started from outside of the slots, and handed over to the same binary in its slot or not at all.
fn launched_by_copy(node: &Node) {
    let exe = launcher_exe(node);
    assert!(exe == node.executable("0.1.0") || exe.ends_with("ironcache"), "{}", exe.display());
}
