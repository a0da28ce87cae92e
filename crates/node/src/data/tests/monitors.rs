//! MONITOR: messages that answer no request.

use super::connections::{connect, expect, until};
use super::*;
use ironcache_settings::OutputLimit;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(20);

/// The next lines, without the time and the address.
async fn lines(stream: &mut BufReader<TcpStream>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        tokio::time::timeout(LONG, stream.read_line(&mut line)).await.expect("in time").unwrap();
        lines.push(line.split_once("] ").map_or(line.trim_end(), |(_, shown)| shown.trim_end()).to_owned());
    }
    lines
}

async fn monitor(node: &Rc<DataNode>) -> BufReader<TcpStream> {
    let mut stream = connect(node).await;
    stream.write_all(b"MONITOR\r\n").await.unwrap();
    expect(&mut stream, "+OK\r\n").await;
    BufReader::new(stream)
}

fn alone(set: impl Fn(&mut Config)) -> Rc<DataNode> {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    set(&mut config);
    plane.reconfigure(config);
    node(plane)
}

#[tokio::test]
async fn a_monitor_that_asks_nothing_is_shown_what_others_execute() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let (mut first, mut second) = (monitor(&node).await, monitor(&node).await);
            let mut client = connect(&node).await;
            let sent = b"SET k v\r\nGET\r\nnothing\r\nMULTI\r\nINCR n\r\nPING\r\nEXEC\r\nAUTH me secret\r\nCONFIG GET x\r\nWAIT 0 0\r\nPING x\r\n";
            client.write_all(sent).await.unwrap();
            // What is refused before it is executed, and what an administrator does, is not shown; what is queued, when it runs.
            let expected =
                ["\"SET\" \"k\" \"v\"", "\"MULTI\"", "\"INCR\" \"n\"", "\"PING\"", "\"EXEC\"", "\"WAIT\" \"0\" \"0\"", "\"PING\" \"x\""];
            assert_eq!(lines(&mut first, expected.len()).await, expected);
            assert_eq!(lines(&mut second, expected.len()).await, expected);
        })
        .await;
}

#[tokio::test]
async fn a_monitor_goes_on_being_answered_and_a_reset_ends_it() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let (mut watcher, mut client) = (monitor(&node).await, connect(&node).await);
            watcher.write_all(b"PING own\r\nRESET\r\nGET k\r\n").await.unwrap();
            let shown = lines(&mut watcher, 5).await;
            assert_eq!(shown, ["$3", "own", "\"PING\" \"own\"", "+RESET", "$-1"]);
            client.write_all(b"SET k 1\r\n").await.unwrap();
            expect(&mut client, "+OK\r\n").await;
            watcher.write_all(b"GET k\r\n").await.unwrap();
            assert_eq!(lines(&mut watcher, 2).await, ["$1", "1"]);
        })
        .await;
}

#[tokio::test]
async fn a_monitor_is_shown_commands_while_it_waits_itself() {
    LocalSet::new()
        .run_until(async {
            let (mut plane, _proposals) = plane(A, &World::pair(AckMode::Primary));
            attach(&mut plane, B);
            let node = node(plane);
            let (mut watcher, mut client) = (monitor(&node).await, connect(&node).await);
            watcher.write_all(b"WAIT 5 0\r\n").await.unwrap();
            until(&node, |plane| plane.stats.commands == 2).await;
            client.write_all(b"ECHO hello\r\n").await.unwrap();
            assert_eq!(lines(&mut watcher, 2).await, ["\"WAIT\" \"5\" \"0\"", "\"ECHO\" \"hello\""]);
        })
        .await;
}

#[tokio::test]
async fn a_monitor_that_reads_nothing_is_ended_and_nobody_waits_for_it() {
    LocalSet::new()
        .run_until(async {
            let limit = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 0, soft_s: 0 };
            let node = alone(|config| config.client_output_buffer_limit.normal = limit);
            let _watcher = monitor(&node).await;
            let mut client = connect(&node).await;
            let echo = format!("SET k {}\r\n", "v".repeat(60_000));
            // More than the socket's buffers and the limit hold.
            for _ in 0..400 {
                client.write_all(echo.as_bytes()).await.unwrap();
                expect(&mut client, "+OK\r\n").await;
            }
            until(&node, |plane| plane.clients.len() == 1).await;
            assert!(!node.plane.borrow().clients.is_monitored());
        })
        .await;
}
