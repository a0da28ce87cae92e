//! MULTI, EXEC and WATCH.

use super::*;

#[test]
fn a_transaction_is_handed_on_whole_and_once() {
    let mut client = session();
    check(
        &mut client,
        &primary(),
        &[
            ("MULTI", "+OK"),
            ("SET {a}1 x", "+QUEUED"),
            ("PING", "+QUEUED"),
            ("GET {a}2", "+QUEUED"),
            ("EXEC", "run all of set, ping, get on 15495"),
            ("EXEC", "-ERR EXEC without MULTI"),
            ("DISCARD", "-ERR DISCARD without MULTI"),
        ],
    );
    assert_eq!(client.queued_bytes(), 0);
}

#[test]
fn one_that_may_touch_more_than_its_keys_is_of_no_slot() {
    check(
        &mut session(),
        &primary(),
        &[
            ("MULTI", "+OK"),
            ("SET a x", "+QUEUED"),
            ("FLUSHALL", "+QUEUED"),
            ("EXEC", "run all of set, flushall"),
        ],
    );
}

#[test]
fn what_is_refused_in_between_spoils_it_and_what_is_none_of_it_does_not() {
    for (request, exec) in [
        ("nothing", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET", "-EXECABORT Transaction discarded because of previous errors."),
        ("MSET a 1 b 2", "-EXECABORT Transaction discarded because of previous errors."),
        ("MULTI", "run all of get on 7629"),
        ("WATCH k", "run all of get on 7629"),
    ] {
        let mut client = session();
        check(&mut client, &primary(), &[("MULTI", "+OK"), ("GET k", "+QUEUED")]);
        assert!(take(&mut client, &primary(), request).starts_with('-'), "{request}");
        check(&mut client, &primary(), &[("EXEC", exec), ("EXEC", "-ERR EXEC without MULTI")]);
    }
}

#[test]
fn keys_of_two_slots_are_refused_at_exec() {
    let mut client = session();
    check(
        &mut client,
        &primary(),
        &[
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("GET b", "+QUEUED"),
            ("EXEC", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("EXEC", "-ERR EXEC without MULTI"),
        ],
    );
}

#[test]
fn a_watch_is_disturbed_by_a_write_and_by_another_epoch() {
    let undisturbed = primary();
    let written = Node { written: 5, ..primary() };
    let elsewhere = Node { epoch: Some(Epoch(2)), ..primary() };
    for (node, exec) in [(undisturbed, "run all of get on 7629"), (written, "*-1"), (elsewhere, "*-1")] {
        let mut client = session();
        check(&mut client, &primary(), &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED")]);
        assert_eq!(take(&mut client, &node, "EXEC"), exec);
        assert_eq!(client.watch.len(), 0, "it watches until EXEC");
    }
}

#[test]
fn a_slot_is_watched_once_and_by_what_it_was_first() {
    let mut client = session();
    let written = Node { written: 5, ..primary() };
    take(&mut client, &primary(), "WATCH k");
    for _ in 0..1_000 {
        take(&mut client, &written, "WATCH k k");
    }
    assert_eq!(client.watch.len(), 1);
    check(&mut client, &written, &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "*-1")]);
}

#[test]
fn unwatch_and_discard_forget_what_was_watched() {
    let written = Node { written: 5, ..primary() };
    for forget in [&["UNWATCH"][..], &["MULTI", "DISCARD"]] {
        let mut client = session();
        take(&mut client, &primary(), "WATCH k");
        for request in forget {
            assert_eq!(take(&mut client, &written, request), "+OK");
        }
        check(
            &mut client,
            &written,
            &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "run all of get on 7629")],
        );
    }
}

#[test]
fn a_transaction_has_a_longest_size() {
    let mut client = session();
    check(&mut client, &primary(), &[("MULTI", "+OK"), ("GET k", "+QUEUED")]);
    let too_long = "-ERR a transaction above 805306368 bytes";
    client.transaction.as_mut().unwrap().bytes = COMMAND_BYTES_MAX - 50;
    check(&mut client, &primary(), &[("GET k", too_long)]);
    assert!(take(&mut client, &primary(), "EXEC").starts_with("-EXECABORT"));
}
