//! MULTI and EXEC.

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
fn a_transaction_has_a_longest_size() {
    let mut client = session();
    check(&mut client, &primary(), &[("MULTI", "+OK"), ("GET k", "+QUEUED")]);
    let too_long = "-ERR a transaction above 805306368 bytes";
    client.transaction.as_mut().unwrap().bytes = COMMAND_BYTES_MAX - 50;
    check(&mut client, &primary(), &[("GET k", too_long)]);
    assert!(take(&mut client, &primary(), "EXEC").starts_with("-EXECABORT"));
}

#[test]
fn an_unknown_subcommand_is_not_queued() {
    let requests = [
        ("MULTI", "+OK"),
        ("XGROUP nosuch", "-ERR unknown subcommand 'nosuch'. Try XGROUP HELP."),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ];
    check(&mut session(), &primary(), &requests);
}
