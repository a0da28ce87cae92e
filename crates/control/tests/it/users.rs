//! Users: who changes them has seen them, and the log bounds how many there are.

use crate::setup::Cluster;
use ironcache_control::{Applied, Command, Users};
use ironcache_types::{Epoch, Level};
use std::collections::{BTreeMap, BTreeSet};

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.state.cluster_level = Users::SINCE;
    cluster
}

fn change(seen: Epoch, set: &[(&str, &str)], deleted: &[&str]) -> Command {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Command::ChangeUsers {
        seen,
        by: b"default".to_vec(),
        set: set.iter().map(|(name, rules)| (bytes(name), bytes(rules))).collect(),
        deleted: deleted.iter().map(|name| bytes(name)).collect(),
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.state.users.by_name.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn users_are_set_and_deleted_and_each_change_takes_an_epoch() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "on"), ("bob", "off")], &[]));
    let first = cluster.state.users.epoch;
    assert_eq!((names(&cluster), first), (vec!["ada".to_owned(), "bob".to_owned()], cluster.state.epoch));
    cluster.ok(&change(first, &[("ada", "off")], &["bob", "nobody"]));
    assert_eq!(cluster.state.users.by_name.get(&b"ada"[..]), Some(&b"off".to_vec()));
    assert_eq!(names(&cluster), ["ada"]);
    assert!(cluster.state.users.epoch > first);
}

#[test]
fn who_has_not_seen_the_users_as_they_are_changes_nothing() {
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
    assert_eq!(cluster.ok(&change(before.users.epoch, &[("ada", "on")], &["bob"])), Applied::Unchanged);
    assert_eq!(cluster.state, before, "the audit chain included");
}

#[test]
fn below_their_level_there_are_no_users() {
    let mut cluster = cluster();
    cluster.state.cluster_level = Level(Users::SINCE.0 - 1);
    cluster.refused(&change(Epoch(0), &[("ada", "on")], &[]), "not_yet");
}

#[test]
fn there_is_a_bound_to_how_many_there_are_and_to_what_they_take() {
    let mut cluster = cluster();
    let user = |at: usize| (at.to_string().into_bytes(), Vec::new());
    let many = |count: usize| Command::ChangeUsers {
        seen: Epoch(0),
        by: Vec::new(),
        set: (0..count).map(user).collect(),
        deleted: BTreeSet::new(),
    };
    cluster.refused(&many(Users::COUNT_MAX + 1), "too_many_users");
    let set = BTreeMap::from([(b"ada".to_vec(), vec![b'x'; Users::BYTES_MAX - 2])]);
    let large = Command::ChangeUsers { seen: Epoch(0), by: Vec::new(), set, deleted: BTreeSet::new() };
    cluster.refused(&large, "too_many_users");
    cluster.ok(&many(Users::COUNT_MAX));
}

#[test]
fn the_audit_chain_names_users_and_holds_no_rules() {
    let mut cluster = cluster();
    cluster.ok(&change(Epoch(0), &[("ada", "on #0123")], &["bob"]));
    let record = cluster.state.audit.records.back().expect("it was an order");
    assert_eq!(record.act, "users-changed");
    let words: Vec<_> = record.details.iter().map(|(word, value)| (word.as_str(), value.as_str())).collect();
    assert_eq!(words, [("deleted", "bob"), ("set", "ada"), ("user", "default")]);
}
