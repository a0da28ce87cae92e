//! WATCH.

use super::*;
use crate::watch::WATCHED_BYTES_MAX;

/// A client that watches `k`, at a node where that looks so; then it comes to EXEC at `after`.
fn exec(looked: Looked, between: impl FnOnce(&Watches), after: impl FnOnce(&mut Node)) -> &'static str {
    let mut node = Node { looked, ..primary() };
    let mut client = session();
    check(&mut client, &node, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED")]);
    between(&node.watches);
    after(&mut node);
    let exec = take(&mut client, &node, "EXEC");
    assert!(node.watches.is_empty(), "it watches until EXEC");
    match exec.as_str() {
        "*-1" => "disturbed",
        "run all of get on 7629" => "run",
        other => panic!("{other}"),
    }
}

#[test]
fn a_watch_is_disturbed_by_a_change_of_its_key_and_by_another_epoch() {
    for change in [KeyChange::Written, KeyChange::Deleted] {
        assert_eq!(
            exec(Looked::Present, |watches| watches.changed(b"k", change, || true), |_| ()),
            "disturbed"
        );
        assert_eq!(
            exec(Looked::Absent, |watches| watches.changed(b"k", change, || true), |_| ()),
            "disturbed"
        );
        assert_eq!(exec(Looked::Present, |watches| watches.changed(b"j", change, || true), |_| ()), "run");
    }
    assert_eq!(exec(Looked::Present, |_| (), |node| node.epoch = Some(Epoch(2))), "disturbed");
    assert_eq!(exec(Looked::Present, |_| (), |_| ()), "run");
}

#[test]
fn what_expires_has_changed_and_what_had_expired_before_has_not() {
    assert_eq!(exec(Looked::Present, |_| (), |node| node.looked = Looked::Expired), "disturbed");
    assert_eq!(exec(Looked::Expired, |_| (), |_| ()), "run");
    let deleted = |watches: &Watches| watches.changed(b"k", KeyChange::Deleted, || false);
    assert_eq!(exec(Looked::Expired, deleted, |node| node.looked = Looked::Absent), "run");
    let made_again = |watches: &Watches| {
        deleted(watches);
        watches.changed(b"k", KeyChange::Written, || true);
    };
    assert_eq!(exec(Looked::Expired, made_again, |node| node.looked = Looked::Present), "disturbed");
}

#[test]
fn to_clear_all_disturbs_who_watches_what_existed() {
    let cleared = |watches: &Watches| watches.cleared(|_| false);
    assert_eq!(exec(Looked::Present, cleared, |_| ()), "disturbed");
    assert_eq!(exec(Looked::Absent, cleared, |_| ()), "run");
    assert_eq!(exec(Looked::Expired, cleared, |node| node.looked = Looked::Absent), "run");
}

#[test]
fn a_key_that_was_made_meanwhile_is_one_that_exists() {
    let node = Node { looked: Looked::Absent, ..primary() };
    let (mut early, mut late) = (session(), Session::new(8, Accounts::new("").everybody()));
    take(&mut early, &node, "WATCH k");
    node.watches.changed(b"k", KeyChange::Written, || true);
    take(&mut late, &node, "WATCH k");
    node.watches.cleared(|_| false);
    for client in [&mut early, &mut late] {
        check(client, &node, &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "*-1")]);
    }
}

#[test]
fn a_key_is_watched_once_and_as_it_was_at_first() {
    let mut client = session();
    let node = primary();
    take(&mut client, &node, "WATCH k");
    let bytes = client.queued_bytes();
    node.watches.changed(b"k", KeyChange::Written, || true);
    for _ in 0..1_000 {
        take(&mut client, &node, "WATCH k k");
    }
    assert_eq!(client.queued_bytes(), bytes);
    check(&mut client, &node, &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "*-1")]);
}

#[test]
fn who_stops_watching_is_forgotten_and_others_are_not() {
    let node = primary();
    for forget in [&["UNWATCH"][..], &["MULTI", "DISCARD"], &["MULTI", "EXEC x"], &["RESET"], &[]] {
        let (mut client, mut other) = (session(), Session::new(8, Accounts::new("").everybody()));
        take(&mut client, &node, "WATCH k");
        take(&mut other, &node, "WATCH k");
        for request in forget {
            take(&mut client, &node, request);
        }
        if forget.is_empty() {
            drop(client);
        } else {
            assert_eq!(client.queued_bytes(), 0);
        }
        assert!(!node.watches.is_empty());
        node.watches.changed(b"k", KeyChange::Written, || true);
        check(&mut other, &node, &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "*-1")]);
        assert!(node.watches.is_empty());
    }
}

#[test]
fn what_a_client_watches_has_a_bound() {
    let mut client = session();
    let node = primary();
    let long = "k".repeat(WATCHED_BYTES_MAX / 4);
    for i in 0..3 {
        assert_eq!(take(&mut client, &node, &format!("WATCH {i}{long}")), "+OK");
    }
    assert_eq!(
        take(&mut client, &node, &format!("WATCH 3{long}")),
        "-ERR a client watches 4194304 bytes of keys at most"
    );
    assert!(client.queued_bytes() <= WATCHED_BYTES_MAX);
    check(&mut client, &node, &[("WATCH k", "+OK"), ("UNWATCH", "+OK")]);
    assert!(node.watches.is_empty());
}
