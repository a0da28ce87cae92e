//! What is answered later.

use super::*;

fn woken(client: &mut Session, wake: Wake, node: &Node) -> (Woken, String) {
    let mut out = Vec::new();
    let woken = client.wake(wake, node, &mut out);
    (woken, String::from_utf8(out).unwrap())
}

fn still() -> (Woken, String) {
    (Woken::Still, String::new())
}

fn answered(reply: &str) -> (Woken, String) {
    (Woken::Answered, reply.to_owned())
}

#[test]
fn a_wait_is_answered_when_enough_replicas_hold_the_last_write() {
    let mut client = session();
    client.wrote(Offset(100));
    check(&mut client, &primary(), &[("WAIT 2 500", "Blocked")]);
    assert_eq!(client.blocked_ms_max(), Some(500));
    let node = |holders| Node { holders, ..primary() };
    assert_eq!(woken(&mut client, Wake::Look, &node(0)), still());
    assert_eq!(woken(&mut client, Wake::Look, &node(1)), still());
    assert_eq!(woken(&mut client, Wake::Look, &node(2)), answered(":2\r\n"));
    assert_eq!(client.blocked_ms_max(), None);
}

#[test]
fn a_wait_whose_time_is_up_says_how_many_do() {
    let mut client = session();
    check(&mut client, &primary(), &[("WAIT 2 0", "Blocked")]);
    assert_eq!(client.blocked_ms_max(), None, "for ever");
    let node = Node { holders: 1, ..primary() };
    assert_eq!(woken(&mut client, Wake::TimeIsUp, &node), answered(":1\r\n"));
}

#[test]
fn a_wait_at_a_primary_that_is_none_any_more_says_how_many_were_known_to() {
    for after in [replica(), Node { epoch: Some(Epoch(3)), ..primary() }] {
        let mut client = session();
        check(&mut client, &primary(), &[("WAIT 2 0", "Blocked")]);
        assert_eq!(woken(&mut client, Wake::Look, &Node { holders: 1, ..primary() }), still());
        assert_eq!(woken(&mut client, Wake::Look, &Node { holders: 2, ..after }), answered(":1\r\n"));
    }
}

#[test]
fn a_wait_that_is_none_is_refused() {
    check(&mut session(), &replica(), &[("WAIT 1 0", "-ERR WAIT cannot be used with replica instances.")]);
    check(
        &mut session(),
        &primary(),
        &[
            ("WAIT x 0", "-ERR value is not an integer or out of range"),
            ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
            ("WAIT 1 -1", "-ERR timeout is negative"),
        ],
    );
}

#[test]
fn inside_a_transaction_nothing_waits() {
    let mut client = session();
    let node = Node { holders: 1, ..primary() };
    for (name, expected) in [("wait", ":1\r\n"), ("monitor", "")] {
        let spec = ironcache_command::lookup(name.as_bytes()).unwrap();
        let mut out = Vec::new();
        let turn = client.server(spec, &[name.as_bytes(), b"5", b"0"], Within::Transaction, &node, &mut out);
        assert!(matches!(turn, Ok(Turn::Answered) | Err(Refusal::MonitorInTransaction)), "{name}");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    assert_eq!(client.blocked_ms_max(), None);
    assert_eq!(client.listens(), Listens::Nothing);
}

#[test]
fn a_command_that_may_wait_is_run_first_and_refused_as_any_write() {
    let mut client = session();
    check(
        &mut client,
        &primary(),
        &[("BLPOP k 0", "run blpop on 7629, or wait"), ("LPOP k", "run lpop on 7629")],
    );
    check(&mut client, &replica(), &[("BLPOP k 0", "-MOVED 7629 10.0.0.1:7000")]);
    check(
        &mut client,
        &Node { enough_in_sync: false, ..primary() },
        &[("BLPOP k 0", "-NOREPLICAS Not enough good replicas to write.")],
    );
    check(&mut client, &Node { backed_up: true, ..primary() }, &[("BLPOP k 0", "Hold")]);
    check(&mut client, &Node { owner: Owner::Undecided, ..primary() }, &[("BLPOP k 0", "Park")]);
}

fn on_keys(timeout_ms: u64) -> Session {
    let mut client = session();
    client.block_on(ironcache_command::lookup(b"blpop").unwrap(), Slot(7629), timeout_ms);
    client
}

#[test]
fn who_waits_for_keys_waits_until_the_slot_is_served_elsewhere() {
    let mut client = on_keys(0);
    assert_eq!((client.is_blocked(), client.blocked_ms_max()), (true, None));
    for node in [primary(), Node { owner: Owner::Undecided, ..primary() }] {
        assert_eq!(woken(&mut client, Wake::Look, &node), still());
    }
    let (how, written) = woken(&mut client, Wake::Look, &replica());
    assert!(matches!(how, Woken::Refused(Refusal::Moved(_))), "{how:?}");
    assert_eq!((written.as_str(), client.is_blocked()), ("", false));
}

#[test]
fn a_read_waits_at_a_replica_if_its_client_reads_there() {
    for (readonly, command, stays) in
        [(true, "xread", true), (true, "xreadgroup", false), (false, "xread", false)]
    {
        let mut client = session();
        if readonly {
            check(&mut client, &replica(), &[("READONLY", "+OK")]);
        }
        client.block_on(ironcache_command::lookup(command.as_bytes()).unwrap(), Slot(7629), 0);
        let (how, _) = woken(&mut client, Wake::Look, &replica());
        assert_eq!(how == Woken::Still, stays, "{command}, {readonly}: {how:?}");
    }
}

#[test]
fn who_waits_for_keys_is_answered_that_there_is_nothing_or_that_another_client_ended_it() {
    let mut client = on_keys(10);
    assert_eq!(client.blocked_ms_max(), Some(10));
    assert_eq!(woken(&mut client, Wake::TimeIsUp, &primary()), answered("*-1\r\n"));
    assert!(!client.is_blocked());
    let timeout = Wake::Unblock(Unblock::Timeout);
    assert_eq!(woken(&mut on_keys(0), timeout, &primary()), answered("*-1\r\n"));
    let error = (Woken::Refused(Refusal::Unblocked), String::new());
    assert_eq!(woken(&mut on_keys(0), Wake::Unblock(Unblock::Error), &primary()), error);
    let mut client = session();
    check(&mut client, &primary(), &[("WAIT 2 0", "Blocked")]);
    assert_eq!(woken(&mut client, Wake::Unblock(Unblock::Error), &primary()), error);
    check(&mut client, &primary(), &[("WAIT 2 0", "Blocked")]);
    assert_eq!(woken(&mut client, timeout, &primary()), answered(":0\r\n"));
}

#[test]
fn client_unblock_names_a_client_and_perhaps_how() {
    check(
        &mut session(),
        &primary(),
        &[
            ("CLIENT UNBLOCK 9", "answer Unblock { id: 9, by: Timeout }"),
            ("CLIENT UNBLOCK 9 timeout", "answer Unblock { id: 9, by: Timeout }"),
            ("CLIENT UNBLOCK 9 ERROR", "answer Unblock { id: 9, by: Error }"),
            ("CLIENT UNBLOCK 9 x", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
            ("CLIENT UNBLOCK", "-ERR wrong number of arguments for 'client|unblock' command"),
            (
                "CLIENT UNBLOCK 9 ERROR x",
                "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
            ),
        ],
    );
}
