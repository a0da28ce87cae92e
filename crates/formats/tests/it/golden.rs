//! One file of bytes for every kind of entry and for every version of state and snapshot.
//!
//! A file changes with a new version only, and then it is a new file: `UPDATE_EXPECT=1 cargo test -p ironcache-formats`
//! writes those of a level that no release has yet, and `cargo run -p xtask -- released` refuses a change of the others.

use crate::examples::{commands_at, full, raised};
use crate::setup::Cluster;
use expect_test::{ExpectFile, expect_file};
use ironcache_control::{Command, ControlState};
use ironcache_formats::entry::{self, EntryBytes, EntryKind};
use ironcache_formats::levels::{self, Format, RANGE};
use ironcache_formats::state::{self, Answer};
use ironcache_formats::{snapshot, wire};
use ironcache_types::{Level, LevelRange, RequestId};
use std::path::PathBuf;

/// The file of what is written at `level`. Those of the feature `next` lie apart, since no release
/// freezes them, and say neither version nor level, which are others after each release.
fn file(name: &str, version: Option<u16>, level: Level) -> ExpectFile {
    let at = match version {
        _ if cfg!(feature = "next") && level == RANGE.max => format!("tests/golden/next/{name}.hex"),
        Some(version) => format!("tests/golden/{name}-v{version}-at-{level}.hex"),
        None => format!("tests/golden/{name}-at-{level}.hex"),
    };
    expect_file![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(at)]
}

fn levels() -> impl Iterator<Item = Level> {
    (RANGE.min.0..=RANGE.max.0).map(Level)
}

#[test]
fn entries_are_what_they_were_and_read_back_as_what_they_say() {
    for kind in EntryKind::ALL {
        for level in levels() {
            let version_at = |level| levels::version_at(Format::Entry(*kind), level);
            let Some(version) = version_at(level) else { continue };
            // A version that the level before has has its file.
            if version_at(Level(level.0 - 1)) == Some(version) {
                continue;
            }
            let golden = file(&format!("entry/{kind}"), Some(version), level);
            let examples = commands_at(*kind, level);
            let request = RequestId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
            let sealed = |command| entry::seal(command, request, level).unwrap();
            let written: Vec<String> =
                examples.iter().map(|command| wire::hex(sealed(command).as_bytes())).collect();
            golden.assert_eq(&written.join("\n"));
            let read: Vec<Command> = golden
                .data()
                .split("\n\n")
                .map(|block| {
                    let entry = EntryBytes::check(&wire::unhex(block)).unwrap();
                    let (id, command) = entry::open(&entry, level).unwrap();
                    assert_eq!((id, EntryKind::of(&command)), (request, *kind));
                    command
                })
                .collect();
            assert_eq!(read, examples, "{kind} at level {level}");
        }
    }
}

fn states(level: Level) -> [(&'static str, ControlState, Vec<Answer>); 3] {
    let (full, answers) = full();
    [
        ("empty", ControlState::default(), Vec::new()),
        ("founded", raised(Cluster::new().state, level), Vec::new()),
        ("full", raised(full, level), answers),
    ]
}

#[test]
fn states_are_what_they_were_and_so_are_their_hashes() {
    for level in levels() {
        for (name, control, answers) in states(level) {
            let bytes = state::write(&control, &answers, level).unwrap();
            let golden = file(&format!("state/{name}"), None, level);
            golden.assert_eq(&format!("{:016x}\n\n{}", state::hash_of(&bytes), wire::hex(&bytes)));
            let text = golden.data();
            let (_, kept) = text.split_once("\n\n").unwrap();
            assert_eq!(state::read(&wire::unhex(kept), level).unwrap(), (control, answers), "{name}");
        }
    }
}

#[test]
fn snapshots_are_what_they_were() {
    for level in levels() {
        let (control, answers) = full();
        let control = raised(control, level);
        let golden = file("snapshot/full", None, level);
        golden.assert_eq(&wire::hex(&snapshot::seal(&control, &answers).unwrap()));
        let opened = snapshot::open(&wire::unhex(&golden.data()), RANGE).unwrap();
        assert_eq!((opened.state, opened.answers), (control, answers));
    }
}

/// The state right before and right after each raise. With one level there is none; the first one above runs this.
#[test]
fn every_raise_turns_one_golden_state_into_another() {
    for level in levels().skip(1) {
        let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
        let before = Level(level.0 - 1);
        cluster.state = raised(cluster.state, before);
        for node in cluster.state.nodes.values_mut() {
            node.levels = LevelRange { min: RANGE.min, max: level };
            node.release = crate::setup::new();
        }
        let plan = cluster.state.plan.as_mut().expect("the cluster rolls");
        plan.phase = ironcache_control::Phase::Soaking { since_ms: 7, soaked_ms: 5 };
        let (id, plan_epoch) = (plan.id, plan.epoch);
        let written =
            |state: &ControlState| wire::hex(&state::write(state, [], state.cluster_level).unwrap());
        file("state/before-the-raise", None, level).assert_eq(&written(&cluster.state));
        cluster.ok(&Command::Finalize { plan: id, plan_epoch, level, at_ms: 8 });
        assert_eq!(cluster.state.cluster_level, level);
        file("state/after-the-raise", None, level).assert_eq(&written(&cluster.state));
    }
}
