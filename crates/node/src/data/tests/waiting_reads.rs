//! `XREAD` and `XREADGROUP` that wait, over real sockets.

use super::blocking::{Bench, assert_nothing, with};
use super::connections::{expect, until};
use super::memory::replica_of;
use super::*;
use crate::data::clockwork;

/// An entry of the stream `k`, as a read of it alone answers.
fn one(id: &str) -> String {
    format!("*1\r\n*2\r\n$1\r\nk\r\n{}", entries(&[id]))
}

fn entries(ids: &[&str]) -> String {
    let entry = |id: &&str| format!("*2\r\n${}\r\n{id}\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", id.len());
    format!("*{}\r\n{}", ids.len(), ids.iter().map(entry).collect::<String>())
}

const CREATE: (&str, &str) = ("XGROUP CREATE k g $ MKSTREAM\r\n", "+OK\r\n");
const OF_GROUP: &str = "XREADGROUP GROUP g me BLOCK 0 STREAMS k >\r\n";
const KEY_GONE: &str = "-UNBLOCKED the stream key no longer exists\r\n";
const GROUP_GONE: &str = "-NOGROUP the consumer group this client was blocked on no longer exists\r\n";

#[tokio::test]
async fn everybody_who_reads_is_given_what_was_added_after_its_own_id() {
    with(Bench::alone(), async |bench| {
        bench.run("XADD k 1-1 f v\r\n", "$3\r\n1-1\r\n").await;
        let mut new = bench.blocked("XREAD BLOCK 0 STREAMS k $\r\n").await;
        let mut counted = bench.blocked("XREAD COUNT 1 BLOCK 0 STREAMS other{k} k 0 1-1\r\n").await;
        let mut later = bench.blocked("XREAD BLOCK 0 STREAMS k 2-1\r\n").await;
        bench.run("XADD k 2-1 f v\r\n", "$3\r\n2-1\r\n").await;
        expect(&mut new, &one("2-1")).await;
        expect(&mut counted, &one("2-1")).await;
        bench.until_blocked(1).await;
        assert_nothing(&mut later);
        let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$3\r\n3-1\r\n$3\r\n4-1\r\n";
        bench.run("MULTI\r\nXADD k 3-1 f v\r\nXADD k 4-1 f v\r\nEXEC\r\n", queued).await;
        let both = format!("*1\r\n*2\r\n$1\r\nk\r\n{}", entries(&["3-1", "4-1"]));
        expect(&mut later, &both).await;
    })
    .await;
}

/// Also if there is nothing of it by then, as in Redis.
#[tokio::test]
async fn what_was_added_and_went_within_one_transaction_is_told_as_nothing() {
    with(Bench::alone(), async |bench| {
        let mut waiting = bench.blocked("XREAD BLOCK 0 STREAMS k $\r\n").await;
        bench.run("XADD k MAXLEN 0 1-1 f v\r\nXSETID k 5-1\r\n", "$3\r\n1-1\r\n+OK\r\n").await;
        expect(&mut waiting, "*1\r\n*2\r\n$1\r\nk\r\n*0\r\n").await;
        let mut waiting = bench.blocked("XREAD BLOCK 0 STREAMS k $\r\n").await;
        bench.run("XSETID k 7-1\r\nPING\r\n", "+OK\r\n+PONG\r\n").await;
        assert_nothing(&mut waiting);
        bench.until_blocked(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_group_gives_each_entry_to_who_came_first_and_its_replica_knows() {
    with(Bench::alone(), async |bench| {
        bench.run(CREATE.0, CREATE.1).await;
        let mut first = bench.blocked(OF_GROUP).await;
        let mut second = bench.blocked("XREADGROUP GROUP g you BLOCK 0 COUNT 1 STREAMS k >\r\n").await;
        let mut forgets = bench.blocked("XREADGROUP GROUP g it NOACK BLOCK 0 STREAMS k >\r\n").await;
        bench.run("XADD k 1-1 f v\r\nXADD k 2-1 f v\r\n", "$3\r\n1-1\r\n$3\r\n2-1\r\n").await;
        expect(&mut first, &one("1-1")).await;
        expect(&mut second, &one("2-1")).await;
        bench.until_blocked(1).await;
        bench.run("XADD k 3-1 f v\r\n", "$3\r\n3-1\r\n").await;
        expect(&mut forgets, &one("3-1")).await;
        let pending = "*4\r\n:2\r\n$3\r\n1-1\r\n$3\r\n2-1\r\n*2\r\n*2\r\n$2\r\nme\r\n$1\r\n1\r\n*2\r\n$3\r\nyou\r\n$1\r\n1\r\n";
        bench.run("XPENDING k g\r\n", pending).await;
        let plane = bench.node.plane.borrow();
        assert_eq!(replica_of(&plane).fingerprint(), plane.keyspace.fingerprint());
    })
    .await;
}

#[tokio::test]
async fn who_reads_for_a_group_is_told_that_there_is_none_any_more() {
    with(Bench::alone(), async |bench| {
        for (commands, replies, told) in [
            ("DEL k\r\n", ":1\r\n", KEY_GONE),
            ("RENAME k l{k}\r\n", "+OK\r\n", KEY_GONE),
            ("SET k v\r\n", "+OK\r\n", KEY_GONE),
            ("FLUSHALL\r\n", "+OK\r\n", KEY_GONE),
            ("PEXPIRE k -1\r\n", ":1\r\n", KEY_GONE),
            ("XGROUP DESTROY k g\r\n", ":1\r\n", GROUP_GONE),
            (
                "MULTI\r\nDEL k\r\nXADD k 1-1 f v\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$3\r\n1-1\r\n",
                GROUP_GONE,
            ),
        ] {
            bench.run(CREATE.0, CREATE.1).await;
            let mut of_group = bench.blocked(OF_GROUP).await;
            let mut alone = bench.blocked("XREAD BLOCK 0 STREAMS k 1-1\r\n").await;
            bench.run(commands, replies).await;
            expect(&mut of_group, told).await;
            bench.until_blocked(1).await;
            assert_nothing(&mut alone);
            bench.run("FLUSHALL\r\nXADD k 2-1 f v\r\nFLUSHALL\r\n", "+OK\r\n$3\r\n2-1\r\n+OK\r\n").await;
            expect(&mut alone, &one("2-1")).await;
        }
        let plane = bench.node.plane.borrow();
        assert_eq!(plane.blocked.len(), 0);
        // What they are told is an error of theirs, as if they had come now.
        let codes = plane.statistics.tally.codes();
        assert_eq!((codes.get("UNBLOCKED"), codes.get("NOGROUP")), (Some(&5), Some(&2)));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_expires_tells_who_reads_for_a_group() {
    with(Bench::alone(), async |bench| {
        bench.run(CREATE.0, CREATE.1).await;
        let mut waiting = bench.blocked(OF_GROUP).await;
        bench.run("PEXPIRE k 1\r\n", ":1\r\n").await;
        until(&bench.node, |plane| {
            plane.keyspace.next_deadline_ms().is_none_or(|at| at < crate::clock::wall_ms())
        })
        .await;
        clockwork::expire(&bench.node);
        expect(&mut waiting, KEY_GONE).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_for_a_stream_in_a_transaction_or_for_what_is_there() {
    with(Bench::alone(), async |bench| {
        bench.run(CREATE.0, CREATE.1).await;
        let commands = format!("MULTI\r\nXREAD BLOCK 0 STREAMS k $\r\n{OF_GROUP}EXEC\r\n");
        bench.run(&commands, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n*-1\r\n").await;
        let history = "XREADGROUP GROUP g me BLOCK 0 STREAMS k 0\r\n";
        bench.run(history, "*1\r\n*2\r\n$1\r\nk\r\n*0\r\n").await;
        bench.run("XREAD STREAMS k $\r\nXREAD BLOCK 1 STREAMS k $\r\n", "*-1\r\n*-1\r\n").await;
        let refused = "-NOGROUP No such key 'k' or consumer group 'h' in XREADGROUP with GROUP option\r\n";
        bench.run("XREADGROUP GROUP h me BLOCK 0 STREAMS k >\r\n", refused).await;
        assert_eq!(bench.node.plane.borrow().blocked.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_stream_is_sent_to_the_new_primary() {
    with(Bench::new(World::pair(AckMode::Primary), true), async |bench| {
        bench.run(CREATE.0, CREATE.1).await;
        let mut of_group = bench.blocked(OF_GROUP).await;
        let mut alone = bench.blocked("XREAD BLOCK 0 STREAMS k $\r\n").await;
        let handover = bench.world.begin_handover(A, B);
        show(&bench.node, &bench.world);
        let at = bench.node.plane.borrow().offset();
        bench.world.promote(handover, at);
        show(&bench.node, &bench.world);
        expect(&mut of_group, "-MOVED 7629 c2:1\r\n").await;
        expect(&mut alone, "-MOVED 7629 c2:1\r\n").await;
    })
    .await;
}
