//! Clients that send before they read, read nothing, or leave while replies wait.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use crate::data::client::{Client, Closing, Room};
use crate::data::output::Excess;
use ironcache_session::Accounts;
use ironcache_settings::OutputLimit;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(60);

fn alone(set: impl Fn(&mut Config)) -> Rc<DataNode> {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    set(&mut config);
    plane.reconfigure(config);
    node(plane)
}

/// Sets `k` to so many bytes.
fn set(bytes: usize) -> String {
    format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n{}\r\n", "v".repeat(bytes))
}

#[tokio::test]
async fn a_client_may_send_all_its_commands_before_it_reads_a_reply() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let mut stream = connect(&node).await;
            let value = "v".repeat(2_000);
            stream.write_all(format!("SET k {value}\r\n").as_bytes()).await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            // Far more in either direction than sockets hold.
            let (commands, reply) = (50_000, format!("${}\r\n{value}\r\n", value.len()));
            let all = b"GET k\r\n".repeat(commands);
            tokio::time::timeout(LONG, stream.write_all(&all)).await.expect("in time").unwrap();
            until(&node, |plane| plane.clients.kept_bytes() > 0).await;
            for _ in 0..commands {
                expect(&mut stream, &reply).await;
            }
            until(&node, |plane| plane.clients.kept_bytes() == 0).await;
        })
        .await;
}

#[tokio::test]
async fn what_is_read_meanwhile_is_answered_behind_a_reply_that_waits() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::InSync);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\n").await.unwrap();
            until(&node, |plane| plane.waiters.first().is_some()).await;
            stream.write_all(b"PING\r\nGET a\r\n").await.unwrap();
            until(&node, |plane| plane.clients.iter().all(|info| info.borrow().kept.output_chunks >= 2))
                .await;
            let mut nothing = [0; 1];
            assert!(stream.try_read(&mut nothing).is_err(), "nothing is said before its turn");
            // The member leaves: what it held back may go.
            let isr_epoch = world.shard().isr_epoch;
            let reason = Reason::new("test", "it is silent");
            world.apply(&Command::RemoveInSync { shard: SHARD, isr_epoch, primary: A, member: B, reason });
            show(&node, &world);
            expect(&mut stream, "+OK\r\n+PONG\r\n$1\r\n1\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_client_above_the_hard_limit_is_closed() {
    LocalSet::new()
        .run_until(async {
            let hard_bytes = 1 << 20;
            let limit = OutputLimit { hard_bytes, ..OutputLimit::default() };
            let node = alone(|config| config.client_output_buffer_limit.normal = limit);
            let mut stream = connect(&node).await;
            stream.write_all(set(100_000).as_bytes()).await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            let ending =
                node.plane.borrow().clients.iter().next().map(|info| Rc::clone(&info.borrow().ending));
            // It reads nothing; the connection may be closed before it has sent all.
            let _ = stream.write_all(&b"GET k\r\n".repeat(2_000)).await;
            until(&node, |plane| plane.clients.is_empty()).await;
            match ending.expect("it is there").ends().await {
                Closing::Output(Excess::Hard { bytes }) => assert!(bytes as u64 > hard_bytes),
                other => panic!("closed because {other}"),
            }
            assert_eq!(node.plane.borrow().clients.kept_bytes(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_client_above_the_soft_limit_for_too_long_is_closed() {
    LocalSet::new()
        .run_until(async {
            let limit = OutputLimit { hard_bytes: 0, soft_bytes: 1 << 20, soft_s: 1 };
            let node = alone(|config| config.client_output_buffer_limit.normal = limit);
            let mut stream = connect(&node).await;
            stream.write_all(set(100_000).as_bytes()).await.unwrap();
            expect(&mut stream, "+OK\r\n").await;
            let _ = stream.write_all(&b"GET k\r\n".repeat(400)).await;
            // It neither sends nor reads any more: nothing but time closes it.
            until(&node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn of_all_clients_the_one_that_takes_most_is_closed() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|config| config.maxmemory_clients = 16 << 20);
            let mut small = connect(&node).await;
            let mut large = connect(&node).await;
            large.write_all(set(100_000).as_bytes()).await.unwrap();
            expect(&mut large, "+OK\r\n").await;
            small.write_all(&b"GET k\r\n".repeat(60)).await.unwrap();
            let _ = large.write_all(&b"GET k\r\n".repeat(4_000)).await;
            until(&node, |plane| plane.clients.len() == 1).await;
            let reply = format!("$100000\r\n{}\r\n", "v".repeat(100_000));
            for _ in 0..60 {
                expect(&mut small, &reply).await;
            }
        })
        .await;
}

#[tokio::test]
async fn replies_that_wait_for_an_acknowledgement_do_not_keep_a_client_that_left() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::InSync);
            world.set_policy(|policy| policy.park_ms_max = 5);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET a 1\r\n").await.unwrap();
            until(&node, |plane| plane.waiters.first().is_some()).await;
            drop(stream);
            until(&node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn a_client_that_has_said_all_it_had_to_say_is_answered() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let mut stream = connect(&node).await;
            let value = "v".repeat(100_000);
            let text = format!("{}{}", set(value.len()), "GET k\r\n".repeat(200));
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            tokio::time::timeout(LONG, stream.read_to_end(&mut all)).await.expect("in time").unwrap();
            assert_eq!(all.len(), "+OK\r\n".len() + 200 * ("$100000\r\n".len() + value.len() + 2));
        })
        .await;
}

#[tokio::test]
async fn a_silent_client_is_closed_after_the_timeout() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|config| config.timeout = 30);
            let mut stream = connect(&node).await;
            stream.write_all(b"PING\r\n").await.unwrap();
            expect(&mut stream, "+PONG\r\n").await;
            let since = node.plane.borrow().coarse_ms;
            node.plane.borrow_mut().clients.end_silent(since + 29_999, 30);
            stream.write_all(b"PING\r\n").await.unwrap();
            expect(&mut stream, "+PONG\r\n").await;
            node.plane.borrow_mut().clients.end_silent(since + 30_000, 30);
            expect_end(&mut stream).await;
        })
        .await;
}

#[test]
fn the_client_that_has_been_here_longest_without_a_command_makes_room() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let addr = "127.0.0.1:1".parse().unwrap();
    let (open, closed) = (Accounts::new(""), Accounts::new("p"));
    let mut connect =
        |now_ms, users: &Accounts| plane.clients.connect(addr, addr, now_ms, users.everybody(), Door::Plain);
    let mut known = connect(0, &open);
    let silent = connect(1_000, &open);
    let mut without_password = connect(2_000, &closed);
    let young = connect(7_000, &open);
    for client in [&mut known, &mut without_password] {
        run(&mut plane, client, "AUTH x");
        client.show(7_000);
    }
    let told = |client: &Client| client.info.borrow().ending.is_told();
    assert_eq!(plane.clients.make_room(5_999), Room::None, "each may be about to say something");
    assert_eq!(plane.clients.make_room(7_000), Room::Made);
    assert!(told(&silent) && !told(&without_password));
    assert_eq!(plane.clients.make_room(7_000), Room::Made);
    assert!(told(&without_password));
    assert_eq!(plane.clients.make_room(7_000), Room::None);
    assert!(!told(&known) && !told(&young));
}
