//! Who executes a command.

use super::*;

#[test]
fn a_command_is_executed_where_its_slot_is_served() {
    let held = Node { owner: Owner::Undecided, ..primary() };
    let lost = Node { owner: Owner::Nobody, ..primary() };
    for (node, get, flush) in [
        (primary(), "run get on 7629", "run flushall"),
        (replica(), "-MOVED 7629 10.0.0.1:7000", "-READONLY You can't write against a read only replica."),
        (held, "Park", "Park"),
        (lost, "-CLUSTERDOWN Hash slot not served", "-READONLY You can't write against a read only replica."),
    ] {
        let requests = [("GET k", get), ("FLUSHALL", flush), ("KEYS *", "run keys"), ("PING", "+PONG")];
        check(&mut session(), &node, &requests);
    }
}

#[test]
fn a_replica_is_read_by_who_asked_for_that() {
    let mut client = session();
    check(
        &mut client,
        &replica(),
        &[
            ("READONLY", "+OK"),
            ("GET k", "run get on 7629"),
            ("SET k 1", "-MOVED 7629 10.0.0.1:7000"),
            ("READWRITE", "+OK"),
            ("GET k", "-MOVED 7629 10.0.0.1:7000"),
        ],
    );
}

#[test]
fn only_writes_wait_for_replicas() {
    let few = Node { enough_in_sync: false, ..primary() };
    let slow = Node { backed_up: true, ..primary() };
    for (node, set) in [(few, "-NOREPLICAS Not enough good replicas to write."), (slow, "Hold")] {
        check(&mut session(), &node, &[("SET k 1", set), ("GET k", "run get on 7629")]);
    }
}

#[test]
fn a_redirect_is_written_as_clients_read_it() {
    let endpoint = Endpoint { host: "::1".to_owned(), port: 6379 };
    let node = Node { owner: Owner::At(endpoint.clone()), ..primary() };
    let mut out = Vec::new();
    let refusal = session().take(&[b"GET", b"k"], &node, &mut out).err();
    let redirect = Redirect { slot: Slot(7629), endpoint };
    assert_eq!(refusal, Some(Refusal::Moved(redirect)));
    assert_eq!(take(&mut session(), &node, "GET k"), "-MOVED 7629 ::1:6379");
    assert!(out.is_empty(), "the text is made where it is written");
}

#[test]
fn what_is_held_back_has_changed_nothing() {
    let mut client = session();
    let held = Node { owner: Owner::Undecided, ..primary() };
    check(&mut client, &primary(), &[("MULTI", "+OK"), ("SET k 1", "+QUEUED")]);
    let before = client.queued_bytes();
    check(&mut client, &held, &[("SET k 2", "Park"), ("SET k 2", "Park"), ("EXEC", "Park")]);
    assert_eq!((client.queued(), client.queued_bytes()), (Some(1), before));
    check(&mut client, &primary(), &[("EXEC", "run all of set on 7629")]);
}

#[test]
fn what_was_given_up_is_never_executed() {
    for (name, exec) in [
        ("SET", "-EXECABORT Transaction discarded because of previous errors."),
        ("Exec", "-ERR EXEC without MULTI"),
    ] {
        let mut client = session();
        check(&mut client, &primary(), &[("MULTI", "+OK"), ("SET k 1", "+QUEUED")]);
        let mut out = Vec::new();
        client.give_up(name.as_bytes(), &"TRYAGAIN a test", &mut out);
        assert_eq!(out, b"-TRYAGAIN a test\r\n");
        check(&mut client, &primary(), &[("EXEC", exec)]);
    }
}
