//! CLIENT KILL, PAUSE and REPLY.

use super::*;

#[test]
fn kill_takes_an_address_or_pairs() {
    let client = || session();
    let kill = |told| Kill {
        id: None,
        addr: None,
        local_addr: None,
        which: Which::All,
        user: None,
        itself: Itself::Spared,
        told,
    };
    for (request, expected) in [
        (
            "CLIENT KILL h:1",
            Kill { addr: Some("h:1".to_owned()), itself: Itself::Included, ..kill(Told::Whether) },
        ),
        ("CLIENT KILL ID 4", Kill { id: Some(4), ..kill(Told::Count) }),
        (
            "client kill laddr h:2 type pubsub skipme no user default",
            Kill {
                local_addr: Some("h:2".to_owned()),
                which: Which::Of(Class::PubSub),
                user: Some(b"default".to_vec()),
                itself: Itself::Included,
                ..kill(Told::Count)
            },
        ),
    ] {
        assert_eq!(take(&mut client(), &primary(), request), format!("answer {:?}", Query::Kill(expected)));
    }
    check(
        &mut client(),
        &primary(),
        &[
            ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
            ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL foo bar", "-ERR syntax error"),
            ("CLIENT KILL ID 1 ID", "-ERR syntax error"),
            ("CLIENT KILL SKIPME maybe", "-ERR syntax error"),
            ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
            ("CLIENT KILL USER nosuch", "-ERR No such user 'nosuch'"),
        ],
    );
}

#[test]
fn pause_says_what_is_wrong_with_it() {
    check(
        &mut session(),
        &primary(),
        &[
            ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
            ("CLIENT PAUSE -1", "-ERR timeout is negative"),
            ("CLIENT PAUSE 0 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("CLIENT PAUSE 7", "answer Pause { what: All, for_ms: 7 }"),
            ("CLIENT PAUSE 7 write", "answer Pause { what: Writes, for_ms: 7 }"),
            ("CLIENT UNPAUSE", "answer Unpause"),
        ],
    );
}

#[test]
fn a_pause_of_writes_holds_what_would_write_and_nothing_else() {
    let (mut client, free) = (session(), primary());
    let paused = Node { paused: Some(Paused::Writes), ..primary() };
    check(&mut client, &paused, &[("SET k v", "Pause"), ("GET k", "run get on 7629"), ("PING", "+PONG")]);
    check(
        &mut client,
        &paused,
        &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "run all of get on 7629")],
    );
    check(&mut client, &free, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    check(&mut client, &paused, &[("EXEC", "Pause"), ("EXEC", "Pause")]);
    check(&mut client, &free, &[("EXEC", "run all of set on 7629")]);
}

#[test]
fn a_pause_of_all_holds_all() {
    let (mut client, free) = (session(), primary());
    let paused = Node { paused: Some(Paused::All), ..primary() };
    for request in ["GET k", "PING", "CLIENT UNPAUSE", "MULTI"] {
        check(&mut client, &paused, &[(request, "Pause")]);
    }
    check(&mut client, &free, &[("MULTI", "+OK")]);
}

#[test]
fn a_reply_is_dropped_until_it_is_asked_for_or_the_next_alone() {
    let (mut client, node) = (session(), primary());
    let mut is_dropped = |request: &str| {
        take(&mut client, &node, request);
        let is_mute = client.is_mute();
        if is_mute {
            client.dropped();
        }
        is_mute
    };
    for (request, expected) in [
        ("CLIENT REPLY SKIP", true),
        ("PING", true),
        ("PING", false),
        ("CLIENT REPLY SKIP", true),
        ("CLIENT REPLY SKIP", true),
        ("PING", true),
        ("CLIENT REPLY OFF", true),
        ("PING", true),
        ("CLIENT REPLY SKIP", true),
        ("PING", true),
        ("PING", true),
        ("CLIENT REPLY ON", false),
        ("CLIENT REPLY foo", false),
        ("CLIENT REPLY OFF", true),
        ("RESET", false),
    ] {
        assert_eq!(is_dropped(request), expected, "{request}");
    }
}

#[test]
fn nobody_is_tracked() {
    check(
        &mut session(),
        &primary(),
        &[
            ("CLIENT GETREDIR", ":-1"),
            ("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
            ("CLIENT NO-EVICT foo", "-ERR syntax error"),
            ("CLIENT NO-EVICT on", "+OK"),
        ],
    );
}

#[test]
fn a_shutdown_is_queued_in_no_transaction() {
    check(
        &mut session(),
        &primary(),
        &[
            ("MULTI", "+OK"),
            ("SHUTDOWN NOSAVE", "-ERR Command not allowed inside a transaction"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
}
