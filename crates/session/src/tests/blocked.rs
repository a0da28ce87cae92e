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
