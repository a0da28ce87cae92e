//! Libraries of functions: who changes them has seen them, and the log bounds how many there are.

use crate::setup::Cluster;
use ironcache_control::{Applied, Command, Libraries};
use ironcache_types::{Epoch, Level};
use std::collections::{BTreeMap, BTreeSet};

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.state.cluster_level = Libraries::SINCE;
    cluster
}

fn change(seen: Epoch, set: &[(&str, &str)], deleted: &[&str]) -> Command {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Command::ChangeLibraries {
        seen,
        by: b"default".to_vec(),
        set: set.iter().map(|(name, code)| (bytes(name), bytes(code))).collect(),
        deleted: deleted.iter().map(|name| bytes(name)).collect(),
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.state.libraries.by_name.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn libraries_are_set_and_deleted_and_each_change_takes_an_epoch() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "on"), ("bob", "off")], &[]));
    let first = cluster.state.libraries.epoch;
    assert_eq!((names(&cluster), first), (vec!["ada".to_owned(), "bob".to_owned()], cluster.state.epoch));
    cluster.ok(&change(first, &[("ada", "off")], &["bob", "nobody"]));
    assert_eq!(cluster.state.libraries.by_name.get(&b"ada"[..]), Some(&b"off".to_vec()));
    assert_eq!(names(&cluster), ["ada"]);
    assert!(cluster.state.libraries.epoch > first);
}

#[test]
fn who_has_not_seen_the_libraries_as_they_are_changes_nothing() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "on")], &[]));
    cluster.refused(&change(Epoch(0), &[("ada", "off")], &[]), "stale_epoch");
    cluster.refused(&change(Epoch(0), &[], &["ada"]), "stale_epoch");
}

#[test]
fn what_changes_nothing_is_no_change() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "on")], &[]));
    let before = cluster.state.clone();
    assert_eq!(cluster.ok(&change(before.libraries.epoch, &[("ada", "on")], &["bob"])), Applied::Unchanged);
    assert_eq!(cluster.state, before, "the audit chain included");
}

#[test]
fn below_their_level_there_are_no_libraries() {
    let mut cluster = cluster();
    cluster.state.cluster_level = Level(Libraries::SINCE.0 - 1);
    cluster.refused(&change(Epoch(0), &[("ada", "on")], &[]), "not_yet");
}

#[test]
fn there_is_a_bound_to_how_many_there_are_and_to_what_they_take() {
    let mut cluster = cluster();
    let user = |at: usize| (at.to_string().into_bytes(), Vec::new());
    let many = |count: usize| Command::ChangeLibraries {
        seen: Epoch(0),
        by: Vec::new(),
        set: (0..count).map(user).collect(),
        deleted: BTreeSet::new(),
    };
    cluster.refused(&many(Libraries::COUNT_MAX + 1), "too_many_libraries");
    let set = BTreeMap::from([(b"ada".to_vec(), vec![b'x'; Libraries::BYTES_MAX - 2])]);
    let large = Command::ChangeLibraries { seen: Epoch(0), by: Vec::new(), set, deleted: BTreeSet::new() };
    cluster.refused(&large, "too_many_libraries");
    cluster.ok(&many(Libraries::COUNT_MAX));
}

#[test]
fn the_audit_chain_names_libraries_and_holds_no_code() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "#!lua name=ada")], &["bob"]));
    let record = cluster.state.audit.records.back().expect("it was an order");
    assert_eq!(record.act, "libraries-changed");
    let words: Vec<_> = record.details.iter().map(|(word, value)| (word.as_str(), value.as_str())).collect();
    assert_eq!(words, [("deleted", "bob"), ("set", "ada"), ("user", "default")]);
}
