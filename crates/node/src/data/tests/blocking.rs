//! Clients that wait for keys, over real sockets.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use crate::data::blocked::{self, Word};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// A primary on its own, or with a replica that acknowledges only what it is told to.
pub(super) struct Bench {
    pub node: Rc<DataNode>,
    pub world: World,
    link: Option<Link>,
    _proposals: mpsc::UnboundedReceiver<ToControl>,
}

impl Bench {
    pub(super) fn new(world: World, replica: bool) -> Bench {
        let (mut plane, _proposals) = plane(A, &world);
        let link = replica.then(|| attach(&mut plane, B));
        Bench { node: node(plane), world, link, _proposals }
    }

    pub(super) fn alone() -> Bench {
        Bench::new(World::alone(AckMode::Primary), false)
    }

    /// A client that sends this, and whoever was blocked before it and after it.
    pub(super) async fn blocked(&self, command: &str) -> TcpStream {
        let before = self.node.plane.borrow().blocked.len();
        let mut client = self.client(command).await;
        until(&self.node, |plane| plane.blocked.len() == before + 1).await;
        assert_nothing(&mut client);
        client
    }

    pub(super) async fn client(&self, commands: &str) -> TcpStream {
        let mut client = connect(&self.node).await;
        client.write_all(commands.as_bytes()).await.unwrap();
        client
    }

    /// One client's commands, and the replies to them.
    pub(super) async fn run(&self, commands: &str, replies: &str) {
        expect(&mut self.client(commands).await, replies).await;
    }

    pub(super) async fn until_blocked(&self, count: usize) {
        until(&self.node, |plane| plane.blocked.len() == count).await;
    }
}

pub(super) fn assert_nothing(client: &mut TcpStream) {
    let mut byte = [0];
    let read = client.try_read(&mut byte);
    assert!(
        matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "{read:?} {byte:?}"
    );
}

pub(super) async fn with(mut bench: Bench, test: impl AsyncFnOnce(&mut Bench)) {
    LocalSet::new().run_until(test(&mut bench)).await;
}

const A_POPPED: &str = "*2\r\n$1\r\nk\r\n$1\r\na\r\n";
const B_POPPED: &str = "*2\r\n$1\r\nk\r\n$1\r\nb\r\n";

#[tokio::test]
async fn who_waits_is_served_in_order_of_arrival() {
    with(Bench::alone(), async |bench| {
        let mut first = bench.blocked("BLPOP k 0\r\n").await;
        let mut second = bench.blocked("BRPOP other{k} k 0\r\n").await;
        let mut third = bench.blocked("BLPOP k 0\r\n").await;
        bench.run("RPUSH k a b\r\nLLEN k\r\n", ":2\r\n:0\r\n").await;
        expect(&mut first, A_POPPED).await;
        expect(&mut second, B_POPPED).await;
        bench.until_blocked(1).await;
        // Who has been served and asks again is the last.
        let mut last = bench.blocked("BLPOP k 0\r\n").await;
        bench.run("RPUSH k a\r\nRPUSH k b\r\n", ":1\r\n:1\r\n").await;
        expect(&mut third, A_POPPED).await;
        expect(&mut last, B_POPPED).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_is_served_before_exec_ends() {
    with(Bench::alone(), async |bench| {
        let mut waiting = bench.blocked("BLPOP k 0\r\n").await;
        let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
        let popped = format!("{queued}*2\r\n:1\r\n$1\r\nx\r\n");
        bench.run("MULTI\r\nRPUSH k x\r\nLPOP k\r\nEXEC\r\n", &popped).await;
        assert_eq!(bench.node.plane.borrow().blocked.len(), 1);
        let pushed = format!("{queued}*2\r\n:1\r\n:2\r\n:1\r\n");
        bench.run("MULTI\r\nRPUSH k a\r\nRPUSH k b\r\nEXEC\r\nLLEN k\r\n", &pushed).await;
        expect(&mut waiting, A_POPPED).await;
    })
    .await;
}

#[tokio::test]
async fn inside_a_transaction_nobody_waits() {
    with(Bench::alone(), async |bench| {
        let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n$-1\r\n";
        bench.run("MULTI\r\nBLPOP k 0\r\nBLMOVE k k LEFT RIGHT 0\r\nEXEC\r\n", replies).await;
        assert_eq!(bench.node.plane.borrow().blocked.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_moved_serves_who_waits_for_it_there() {
    with(Bench::alone(), async |bench| {
        let mut last = bench.blocked("BLPOP k 0\r\n").await;
        let mut middle = bench.blocked("BRPOPLPUSH m{k} k 0\r\n").await;
        let mut first = bench.blocked("BLMOVE f{k} m{k} LEFT LEFT 0\r\n").await;
        bench.run("RPUSH f{k} a\r\nDBSIZE\r\n", ":1\r\n:0\r\n").await;
        expect(&mut first, "$1\r\na\r\n").await;
        expect(&mut middle, "$1\r\na\r\n").await;
        expect(&mut last, A_POPPED).await;
        let mut renamed = bench.blocked("BLPOP k 0\r\n").await;
        bench.run("RPUSH f{k} a\r\nRENAME f{k} k\r\n", ":1\r\n+OK\r\n").await;
        expect(&mut renamed, A_POPPED).await;
    })
    .await;
}

#[tokio::test]
async fn a_key_that_holds_something_else_serves_nobody() {
    with(Bench::alone(), async |bench| {
        let mut list = bench.blocked("BLPOP k 0\r\n").await;
        let mut zset = bench.blocked("BZPOPMIN k 0\r\n").await;
        bench.run("SET k v\r\nDEL k\r\n", "+OK\r\n:1\r\n").await;
        bench.run("ZADD k 1 m\r\n", ":1\r\n").await;
        expect(&mut zset, "*3\r\n$1\r\nk\r\n$1\r\nm\r\n$1\r\n1\r\n").await;
        bench.until_blocked(1).await;
        assert_nothing(&mut list);
        // Of several keys the one that is ready serves, whatever the others hold by then.
        let mut several = bench.blocked("BLMPOP 0 2 s{k} l{k} LEFT COUNT 2\r\n").await;
        bench.run("SET s{k} v\r\nRPUSH l{k} x y z\r\n", "+OK\r\n:3\r\n").await;
        expect(&mut several, "*2\r\n$4\r\nl{k}\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n").await;
        bench.run("RPUSH k a\r\n", ":1\r\n").await;
        expect(&mut list, A_POPPED).await;
        let mut moving = bench.blocked("BLMOVE k s{k} LEFT LEFT 0\r\n").await;
        bench.run("RPUSH k a\r\nLLEN k\r\n", ":1\r\n:1\r\n").await;
        expect(&mut moving, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn of_several_keys_the_one_that_was_written_first_serves() {
    with(Bench::alone(), async |bench| {
        let mut waiting = bench.blocked("BLPOP a{k} k 0\r\n").await;
        let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n";
        bench.run("MULTI\r\nRPUSH k a\r\nRPUSH a{k} x\r\nEXEC\r\n", replies).await;
        expect(&mut waiting, A_POPPED).await;
    })
    .await;
}

#[tokio::test]
async fn whose_time_is_up_is_told_that_there_is_nothing_and_takes_nothing_later() {
    with(Bench::alone(), async |bench| {
        for (command, reply) in [("BLPOP k 0.01", "*-1\r\n"), ("BLMOVE k k LEFT LEFT 0.01", "*-1\r\n")] {
            let mut client = bench.client(&format!("{command}\r\nPING\r\n")).await;
            expect(&mut client, &format!("{reply}+PONG\r\n")).await;
        }
        assert_eq!(bench.node.plane.borrow().blocked.len(), 0);
        bench.run("RPUSH k a\r\nLLEN k\r\n", ":1\r\n:1\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_popped_for_a_client_that_left() {
    with(Bench::alone(), async |bench| {
        let gone = bench.blocked("BLPOP k 0\r\n").await;
        let mut stays = bench.blocked("BLPOP k 0\r\n").await;
        drop(gone);
        bench.until_blocked(1).await;
        bench.run("RPUSH k a b\r\nLLEN k\r\n", ":2\r\n:1\r\n").await;
        expect(&mut stays, A_POPPED).await;
    })
    .await;
}

#[tokio::test]
async fn what_follows_a_command_that_waits_is_executed_after_it() {
    with(Bench::alone(), async |bench| {
        let mut client = bench.blocked("BLPOP k 0\r\nRPUSH k b\r\nBLPOP k 0\r\nPING\r\n").await;
        bench.run("RPUSH k a\r\n", ":1\r\n").await;
        expect(&mut client, &format!("{A_POPPED}:1\r\n{B_POPPED}+PONG\r\n")).await;
    })
    .await;
}

#[tokio::test]
async fn a_reply_to_who_waited_waits_for_the_replica_like_any_write() {
    with(Bench::new(World::pair(AckMode::InSync), true), async |bench| {
        let mut waiting = bench.blocked("BLPOP k 0\r\n").await;
        let mut pushing = bench.client("RPUSH k a\r\n").await;
        bench.until_blocked(0).await;
        // Everybody who could say something has had its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_nothing(&mut waiting);
        assert_nothing(&mut pushing);
        acknowledge(&mut bench.node.plane.borrow_mut(), bench.link.expect("it has a replica"));
        expect(&mut waiting, A_POPPED).await;
        expect(&mut pushing, ":1\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_sent_to_the_new_primary_once_it_is_known() {
    with(Bench::new(World::pair(AckMode::Primary), true), async |bench| {
        let mut waiting = bench.blocked("BLPOP k 0\r\n").await;
        let handover = bench.world.begin_handover(A, B);
        show(&bench.node, &bench.world);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_nothing(&mut waiting);
        bench.world.promote(handover, Offset(0));
        show(&bench.node, &bench.world);
        expect(&mut waiting, "-MOVED 7629 c2:1\r\n").await;
        let plane = bench.node.plane.borrow();
        assert_eq!((plane.blocked.len(), plane.stats.moved), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn who_waits_through_an_aborted_handover_waits_on() {
    with(Bench::new(World::pair(AckMode::Primary), true), async |bench| {
        let mut waiting = bench.blocked("BLPOP k 0\r\n").await;
        let handover = bench.world.begin_handover(A, B);
        show(&bench.node, &bench.world);
        bench.world.abort(handover);
        show(&bench.node, &bench.world);
        bench.run("RPUSH k a\r\n", ":1\r\n").await;
        expect(&mut waiting, A_POPPED).await;
    })
    .await;
}

/// This node was not primary for a while, and nobody here saw it: what came meanwhile was told to nobody.
#[test]
fn a_new_start_as_primary_looks_at_what_is_waited_for() {
    let mut world = World::pair(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    assert_eq!(run(&mut plane, &mut client, "BLPOP k 0"), (Some(Stop::Blocked), String::new()));
    for (from, to) in [(A, B), (B, A)] {
        let handover = world.begin_handover(from, to);
        plane.apply_view(world.view());
        world.promote(handover, plane.offset());
        plane.apply_view(world.view());
    }
    grant(&mut plane, FOR_EVER);
    let elsewhere = [&b"a"[..]];
    let values = ironcache_keyspace::Items::new(&elsewhere);
    let side = ironcache_keyspace::Side::Tail;
    plane.keyspace.apply(&Effect::ListPush { key: b"k", side, values }).unwrap();
    assert!(plane.is_serving());
    blocked::look_again(&mut plane, &client);
    let seat = client.seat.clone().expect("it is blocked");
    let Some(Word::Served(served)) = seat.take() else { panic!("it is not served") };
    assert_eq!(String::from_utf8(served.reply).unwrap(), A_POPPED);
    assert_eq!((plane.keyspace.len(), served.epoch), (0, plane.primary_epoch()));
}

#[tokio::test]
async fn client_unblock_ends_it_as_it_is_told_to() {
    with(Bench::alone(), async |bench| {
        for (command, how, reply) in [
            ("BLPOP k 0", "", "*-1\r\n"),
            ("BLPOP k 0", " ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
            ("WAIT 3 0", " TIMEOUT", ":0\r\n"),
            ("WAIT 3 0", " ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
        ] {
            let mut waiting = bench.blocked(&format!("{command}\r\n")).await;
            let id = bench.node.plane.borrow().clients.iter().map(|info| info.borrow().id).max();
            let id = id.expect("it is connected");
            let unblock = format!("CLIENT UNBLOCK {id}{how}\r\n");
            bench.run(&format!("{unblock}{unblock}CLIENT UNBLOCK 999999\r\n"), ":1\r\n:0\r\n:0\r\n").await;
            expect(&mut waiting, reply).await;
            bench.until_blocked(0).await;
        }
        bench.run("RPUSH k a\r\nLLEN k\r\n", ":1\r\n:1\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_shown_and_counted_and_is_not_taken_for_silent() {
    with(Bench::alone(), async |bench| {
        let mut waiting = bench.blocked("BLPOP k 0\r\n").await;
        let mut asking = client(&mut bench.node.plane.borrow_mut());
        let mut ask = |command: &str| answer(&mut bench.node.plane.borrow_mut(), &mut asking, command);
        let list = ask("CLIENT LIST");
        let line = list.lines().find(|line| line.contains("cmd=blpop")).expect("it is listed");
        assert!(line.contains(" flags=b "), "{line}");
        assert!(ask("INFO clients").contains("blocked_clients:1\r\n"));
        bench.node.plane.borrow_mut().clients.end_silent(u64::MAX, 1);
        bench.run("RPUSH k a\r\n", ":1\r\n").await;
        expect(&mut waiting, A_POPPED).await;
        assert!(ask("INFO clients").contains("blocked_clients:0\r\n"));
        assert!(!ask("CLIENT LIST").contains(" flags=b "));
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stops_closes_who_waits() {
    with(Bench::alone(), async |bench| {
        let mut waiting = bench.client("PING\r\nBLPOP k 0\r\n").await;
        expect(&mut waiting, "+PONG\r\n").await;
        bench.until_blocked(1).await;
        bench.node.drain_until.set(Some(tokio::time::Instant::now()));
        bench.node.drain.notify_waiters();
        expect_end(&mut waiting).await;
        bench.until_blocked(0).await;
    })
    .await;
}
