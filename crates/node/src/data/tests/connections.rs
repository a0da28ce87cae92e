//! Connections over real sockets.

use super::*;
use crate::data::Entrance;
use crate::data::admission::admit;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(20);

pub(super) async fn connect(node: &Rc<DataNode>) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (stream, accepted) = tokio::join!(connecting, listener.accept());
    let (served, addr) = accepted.unwrap();
    admit(node, served, addr, Entrance::Plain);
    stream.unwrap()
}

pub(super) async fn expect(stream: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    tokio::time::timeout(LONG, stream.read_exact(&mut read)).await.expect("in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&read), text);
}

pub(super) async fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.expect("in time");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

pub(super) async fn until(node: &DataNode, holds: impl Fn(&Plane) -> bool) {
    let waiting = async {
        while !holds(&node.plane.borrow()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("in time");
}

#[tokio::test]
async fn a_parked_command_is_executed_once_after_an_abort() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::Primary);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            let handover = world.begin_handover(A, B);
            show(&node, &world);
            // Behind a reply that is sent at once.
            stream.write_all(b"PING\r\nINCR n\r\n").await.unwrap();
            expect(&mut stream, "+PONG\r\n").await;
            until(&node, |plane| plane.parked == 1).await;
            show(&node, &world);
            until(&node, |plane| plane.parked == 1).await;
            world.abort(handover);
            show(&node, &world);
            expect(&mut stream, ":1\r\n").await;
            stream.write_all(b"GET n\r\n").await.unwrap();
            expect(&mut stream, "$1\r\n1\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_parked_command_is_redirected_and_never_executed_after_a_promotion() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::Primary);
            let (plane, _proposals) = plane(A, &world);
            let node = node(plane);
            let mut stream = connect(&node).await;
            let handover = world.begin_handover(A, B);
            show(&node, &world);
            stream.write_all(b"INCR n\r\n").await.unwrap();
            until(&node, |plane| plane.parked == 1).await;
            world.promote(handover, Offset(0));
            show(&node, &world);
            expect(&mut stream, "-MOVED ").await;
            assert_eq!(node.plane.borrow().keyspace.len(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_parked_command_whose_client_closed_is_never_executed_whatever_is_unread_behind_it() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::Primary);
            // Only the end of the connection ends this.
            world.set_policy(|policy| policy.park_ms_max = u64::from(u32::MAX));
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            let handover = world.begin_handover(A, B);
            show(&node, &world);
            stream.write_all(b"INCR a\r\nINCR b\r\n").await.unwrap();
            until(&node, |plane| plane.parked == 1).await;
            // Nobody reads these while the first one is held back.
            stream.write_all(&b"INCR c\r\n".repeat(3_000)).await.unwrap();
            drop(stream);
            until(&node, |plane| plane.clients.is_empty()).await;
            world.abort(handover);
            show(&node, &world);
            let plane = node.plane.borrow();
            assert_eq!((plane.keyspace.len(), plane.offset(), plane.parked), (0, Offset(0), 0));
        })
        .await;
}

#[tokio::test]
async fn waiting_for_a_client_to_leave_costs_nothing_while_its_bytes_are_unread() {
    #[derive(Default)]
    struct Wakes(AtomicUsize);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (stream, accepted) = tokio::join!(connecting, listener.accept());
    let (mut stream, (served, _)) = (stream.unwrap(), accepted.unwrap());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let (served, _to) = served.into_split();
    let mut gone = std::pin::pin!(ironcache_host::net::gone(&served));
    let mut look = || gone.as_mut().poll(&mut Context::from_waker(&waker));
    for _ in 0..10 {
        stream.write_all(b"INCR n\r\n").await.unwrap();
        served.readable().await.unwrap();
        assert!(look().is_pending());
    }
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    drop(stream);
    let waiting = async {
        while look().is_pending() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("in time");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_command_parked_for_too_long_is_answered_and_never_executed() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::Primary);
            world.set_policy(|policy| policy.park_ms_max = 5);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            let handover = world.begin_handover(A, B);
            show(&node, &world);
            stream.write_all(b"INCR n\r\n").await.unwrap();
            let text = "-TRYAGAIN the shard has no primary at the moment; the command was not executed\r\n";
            expect(&mut stream, text).await;
            world.abort(handover);
            show(&node, &world);
            stream.write_all(b"GET n\r\n").await.unwrap();
            expect(&mut stream, "$-1\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn nothing_is_executed_once_the_checkpoint_is_begun() {
    LocalSet::new()
        .run_until(async {
            let world = World::alone(AckMode::Primary);
            let (plane, _proposals) = plane(A, &world);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\n").await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            node.on(Event::Sealed);
            let sealed_at = node.plane.borrow().offset();
            stream.write_all(b"SET b 2\r\n").await.unwrap();
            expect_end(&mut stream).await;
            assert_eq!(node.plane.borrow().offset(), sealed_at);
        })
        .await;
}

#[tokio::test]
async fn a_replica_says_where_to_go_while_its_checkpoint_is_written() {
    LocalSet::new()
        .run_until(async {
            let world = World::pair(AckMode::Primary);
            let node = node(following(&world));
            let mut stream = connect(&node).await;
            node.on(Event::Sealed);
            stream.write_all(b"SET a 1\r\nPING\r\n").await.unwrap();
            expect(&mut stream, "-MOVED 15495 ").await;
            let mut rest = vec![0; 64];
            let read = tokio::time::timeout(LONG, stream.read(&mut rest)).await.expect("in time").unwrap();
            assert!(rest[..read].ends_with(b"+PONG\r\n"), "{}", String::from_utf8_lossy(&rest[..read]));
        })
        .await;
}

#[tokio::test]
async fn a_reply_that_waited_is_never_sent_by_a_deposed_primary() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::InSync);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\n").await.unwrap();
            until(&node, |plane| plane.waiters.first().is_some()).await;
            world.restart(A);
            show(&node, &world);
            expect_end(&mut stream).await;
        })
        .await;
}

#[tokio::test]
async fn wait_ends_with_the_role() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::alone(AckMode::Primary);
            let (plane, _proposals) = plane(A, &world);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\nWAIT 1 0\r\n").await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            world.restart(A);
            show(&node, &world);
            expect(&mut stream, ":0\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_let_go() {
    LocalSet::new()
        .run_until(async {
            let world = World::alone(AckMode::Primary);
            let (plane, _proposals) = plane(A, &world);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\nWAIT 1 0\r\n").await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            drop(stream);
            until(&node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn a_connection_shows_when_it_was_last_active() {
    LocalSet::new()
        .run_until(async {
            let (plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
            let node = node(plane);
            let mut stream = connect(&node).await;
            for now_ms in [5_000, 6_000] {
                node.plane.borrow_mut().coarse_ms = now_ms;
                stream.write_all(b"MULTI\r\nPING\r\nDISCARD\r\nMULTI\r\nPING\r\n").await.unwrap();
                expect(&mut stream, "+OK\r\n+QUEUED\r\n+OK\r\n+OK\r\n+QUEUED\r\n").await;
                until(&node, |plane| {
                    plane.clients.iter().all(|info| {
                        let info = info.borrow();
                        info.last_active_ms == now_ms && info.queued == Some(1)
                    })
                })
                .await;
                stream.write_all(b"DISCARD\r\n").await.unwrap();
                expect(&mut stream, "+OK\r\n").await;
            }
        })
        .await;
}

#[tokio::test]
async fn the_coarse_clock_follows_the_real_one() {
    LocalSet::new()
        .run_until(async {
            let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
            plane.coarse_ms = 0;
            let node = node(plane);
            spawn_local(crate::data::clockwork::run(Rc::clone(&node)));
            until(&node, |plane| plane.coarse_ms > 0).await;
        })
        .await;
}

#[tokio::test]
async fn an_http_request_is_cut_off_before_its_body() {
    LocalSet::new()
        .run_until(async {
            let (plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
            let node = node(plane);
            for (request, reply) in [
                ("POST / HTTP/1.1\r\nSET a 1\r\n", ""),
                ("*1\r\n$4\r\npost\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n", ""),
                (
                    "PUT / HTTP/1.1\r\nHOST: here\r\nSET a 1\r\n",
                    "-ERR unknown command 'PUT', with args beginning with: '/' 'HTTP/1.1' \r\n",
                ),
            ] {
                let mut stream = connect(&node).await;
                stream.write_all(request.as_bytes()).await.unwrap();
                expect(&mut stream, reply).await;
                expect_end(&mut stream).await;
                assert_eq!(node.plane.borrow().keyspace.len(), 0, "{request}");
            }
        })
        .await;
}
