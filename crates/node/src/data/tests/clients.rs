//! CLIENT KILL, PAUSE, REPLY and LIST, over real sockets.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

fn alone() -> Rc<DataNode> {
    node(plane(A, &World::alone(AckMode::Primary)).0)
}

async fn say(stream: &mut TcpStream, commands: &str, replies: &str) {
    stream.write_all(commands.as_bytes()).await.unwrap();
    expect(stream, replies).await;
}

#[tokio::test]
async fn who_is_killed_is_closed_and_who_asks_is_answered_first() {
    LocalSet::new()
        .run_until(async {
            let node = alone();
            let (mut asking, mut other) = (connect(&node).await, connect(&node).await);
            say(&mut asking, "CLIENT ID\r\n", ":1\r\n").await;
            say(&mut other, "CLIENT ID\r\n", ":2\r\n").await;
            say(&mut asking, "CLIENT KILL ID 9\r\n", ":0\r\n").await;
            say(&mut asking, "CLIENT KILL 1.2.3.4:5\r\n", "-ERR No such client\r\n").await;
            say(&mut asking, "CLIENT KILL TYPE normal\r\n", ":1\r\n").await;
            expect_end(&mut other).await;
            let mut third = connect(&node).await;
            say(&mut third, "PING\r\n", "+PONG\r\n").await;
            let addr = third.local_addr().unwrap();
            say(&mut asking, &format!("CLIENT KILL {addr}\r\n"), "+OK\r\n").await;
            expect_end(&mut third).await;
            asking.write_all(b"CLIENT KILL ID 1 SKIPME no\r\nPING\r\n").await.unwrap();
            expect(&mut asking, ":1\r\n").await;
            expect_end(&mut asking).await;
            until(&node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn a_pause_of_writes_holds_them_until_it_ends() {
    LocalSet::new()
        .run_until(async {
            let node = alone();
            let (mut asking, mut writing) = (connect(&node).await, connect(&node).await);
            say(&mut asking, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n").await;
            say(&mut writing, "GET k\r\nSET k v\r\n", "$-1\r\n").await;
            // What comes before the write is answered; the write is not executed.
            say(&mut asking, "GET k\r\nDBSIZE\r\n", "$-1\r\n:0\r\n").await;
            say(&mut asking, "CLIENT UNPAUSE\r\n", "+OK\r\n").await;
            expect(&mut writing, "+OK\r\n").await;
            say(&mut asking, "GET k\r\n", "$1\r\nv\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_pause_of_all_ends_by_itself() {
    LocalSet::new()
        .run_until(async {
            let node = alone();
            let ticks = spawn_local(crate::data::clockwork::run(Rc::clone(&node)));
            let mut asking = connect(&node).await;
            say(&mut asking, "CLIENT PAUSE 30\r\nPING\r\n", "+OK\r\n+PONG\r\n").await;
            assert_eq!(node.plane.borrow().pause.what(), None);
            ticks.abort();
        })
        .await;
}

#[test]
fn nothing_expires_while_clients_are_paused() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    let mut at_ms = 0;
    while plane.keyspace.is_empty() {
        // Soon, and not before it is there.
        at_ms = crate::clock::wall_ms() + 20;
        answer(&mut plane, &mut client, &format!("SET k v PXAT {at_ms}"));
    }
    answer(&mut plane, &mut client, "CLIENT PAUSE 100000 WRITE");
    while crate::clock::wall_ms() <= at_ms + 1 {
        std::hint::spin_loop();
    }
    plane.statistics.stopwatch.set();
    let end = plane.offset();
    assert_eq!(answer(&mut plane, &mut client, "GET k"), "$-1\r\n", "it is hidden");
    let node = node(plane);
    crate::data::clockwork::expire(&node);
    assert_eq!(node.plane.borrow().offset(), end, "and no deletion was written");
    node.plane.borrow_mut().pause.end();
    crate::data::clockwork::expire(&node);
    assert_ne!(node.plane.borrow().offset(), end);
}

#[tokio::test]
async fn replies_are_dropped_as_the_client_says() {
    LocalSet::new()
        .run_until(async {
            let node = alone();
            let mut stream = connect(&node).await;
            let commands = "CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\nCLIENT REPLY OFF\r\nPING\r\nSET k v\r\nWAIT 0 0\r\n\
                            nothing\r\nCLIENT REPLY ON\r\nGET k\r\n";
            say(&mut stream, commands, "$1\r\na\r\n+OK\r\n$1\r\nv\r\n").await;
            // What was not told was counted.
            let stats = node.plane.borrow().statistics.tally.errors();
            assert_eq!(stats, 1);
        })
        .await;
}

#[test]
fn a_client_that_is_not_to_be_evicted_stays() {
    use crate::data::client::Kept;
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut large, small) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut large, "CLIENT NO-EVICT on");
    large.show(0);
    let kept = |bytes| Kept { output_bytes: bytes, ..Kept::default() };
    plane.clients.account(&large, kept(1_000), 1_100);
    plane.clients.account(&small, kept(200), 1_100);
    let is_told = |client: &Client| client.info.borrow().ending.is_told();
    assert_eq!((is_told(&large), is_told(&small)), (false, true));
}

#[test]
fn a_line_of_client_list_has_every_field_of_redis_in_its_order() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    let line = answer(&mut plane, &mut client, "CLIENT LIST");
    let fields: Vec<&str> =
        line.split([' ', '\n']).filter_map(|field| Some(field.split_once('=')?.0)).collect();
    // Of 7.0.15; the last two are of 7.2.
    let of_redis = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp \
                    obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";
    assert_eq!(fields, of_redis.split_whitespace().collect::<Vec<_>>());
    assert!(line.contains(" argv-mem=10 ") && line.contains(" cmd=client|list "), "{line}");
}
