//! A node that has no memory left, and no key that may go for more.

use super::*;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
const ABORTED: &str =
    "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.";

fn full() -> Node {
    Node { out_of_memory: true, ..primary() }
}

#[test]
fn what_may_take_more_memory_is_refused_and_everything_else_goes_on() {
    check(
        &mut session(),
        &full(),
        &[
            ("SET a x", OOM),
            ("LPUSH a x", OOM),
            ("GET a", "run get on 15495"),
            ("DEL a", "run del on 15495"),
            ("EXPIRE a 1", "run expire on 15495"),
            ("FLUSHALL", "run flushall"),
            ("INFO", "answer Info"),
        ],
    );
}

#[test]
fn whoever_serves_the_key_is_told_first() {
    check(
        &mut session(),
        &Node { out_of_memory: true, ..replica() },
        &[("SET a x", "-MOVED 15495 10.0.0.1:7000")],
    );
}

#[test]
fn nothing_is_queued_and_so_nothing_is_executed() {
    let mut client = session();
    check(&mut client, &full(), &[("MULTI", "+OK"), ("GET a", OOM), ("SET a x", OOM)]);
    check(
        &mut client,
        &full(),
        &[("EXEC", "-EXECABORT Transaction discarded because of previous errors."), ("GET a", "run get on 15495")],
    );
}

#[test]
fn an_exec_of_what_may_take_more_is_refused_and_ends_the_transaction() {
    let mut client = session();
    check(&mut client, &primary(), &[("MULTI", "+OK"), ("SET a x", "+QUEUED")]);
    check(&mut client, &full(), &[("EXEC", ABORTED), ("EXEC", "-ERR EXEC without MULTI")]);
    check(&mut client, &primary(), &[("MULTI", "+OK"), ("DEL a", "+QUEUED")]);
    check(&mut client, &full(), &[("EXEC", "run all of del on 15495")]);
}

#[test]
fn what_may_name_a_key_is_asked_where_that_is() {
    check(
        &mut session(),
        &replica(),
        &[
            ("OBJECT ENCODING a", "-MOVED 15495 10.0.0.1:7000"),
            ("MEMORY USAGE a", "-MOVED 15495 10.0.0.1:7000"),
            ("READONLY", "+OK"),
            ("OBJECT ENCODING a", "answer Object"),
            ("MEMORY USAGE a", "answer Memory"),
            ("READWRITE", "+OK"),
            ("MEMORY DOCTOR", "answer Memory"),
            ("OBJECT HELP", "answer Object"),
        ],
    );
    let undecided = Node { owner: Owner::Undecided, serves_reads: false, ..primary() };
    check(&mut session(), &undecided, &[("OBJECT FREQ a", "Park"), ("MEMORY STATS", "answer Memory")]);
}
