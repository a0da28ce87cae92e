//! Connections whose other end may vanish: the system asks after each of them.
//!
//! Linux says of every socket of this machine what it waits for.

use super::keyed::{self, Talk, http};
use super::support::{self, TestNode};
use ironcache_api::ClusterStatus;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BOUND: Duration = Duration::from_secs(30);
/// `st` of a socket of which both ends are there.
const ESTABLISHED: &str = "01";
/// `tr` of one that is to be asked after, and has nothing on its way.
const KEPT_ALIVE: &str = "02";

struct Socket {
    local: u16,
    remote: u16,
    /// When the other end is asked after, if nothing is heard of it.
    probe_in: Option<Duration>,
}

/// Every established connection over IPv4.
fn sockets() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |addr: &str| u16::from_str_radix(addr.split_once(':').unwrap().1, 16).unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = rows.filter(|row| row[3] == ESTABLISHED);
    established
        .map(|row| {
            let (timer, when) = row[5].split_once(':').unwrap();
            let hundredths = u64::from_str_radix(when, 16).unwrap();
            let probe_in = (timer == KEPT_ALIVE).then(|| Duration::from_millis(10 * hundredths));
            Socket { local: port(row[1]), remote: port(row[2]), probe_in }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_of_a_node_with_keys_is_kept_alive_whoever_made_it() {
    let (nodes, admin) = keyed::founded(2).await;
    // An operator, whose question goes on to the leader.
    let mut operator = Talk::open(&admin, &http(follower(&nodes))).await;
    operator.get("/v1/cluster").await.read::<ClusterStatus>();
    until_all_are_kept_alive(&nodes, operator.local.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_of_a_node_without_keys_is_kept_alive_whoever_made_it() {
    let nodes = support::founded(2).await;
    let mut operator = TcpStream::connect(http(follower(&nodes))).await.unwrap();
    operator.write_all(b"GET /v1/cluster HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut said = [0; 15];
    operator.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 200 OK");
    until_all_are_kept_alive(&nodes, operator.local_addr().unwrap().port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_is_set_holds_for_every_connection_that_begins_after_it() {
    let nodes = support::founded(1).await;
    let mut client = TcpStream::connect(("127.0.0.1", nodes[0].app.config.port)).await.unwrap();
    client.write_all(b"CONFIG SET tcp-keepalive 77\r\n").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
    for port in [nodes[0].app.config.http_port, nodes[0].app.config.peer_port] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let own = stream.local_addr().unwrap().port();
        let give_up = Instant::now() + BOUND;
        loop {
            let accepted = sockets().into_iter().find(|socket| (socket.local, socket.remote) == (port, own));
            if accepted.and_then(|socket| socket.probe_in).is_some_and(|probe_in| probe_in.as_secs() <= 77) {
                break;
            }
            assert!(Instant::now() < give_up, "a connection to {port} is asked after as before");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn follower(nodes: &[TestNode]) -> &TestNode {
    let leader = nodes[0].app.raft.view_changes().borrow().leader.expect("somebody leads");
    nodes.iter().find(|node| node.id() != leader).expect("there are two")
}

/// All that these nodes accepted or dialled, when a client has come, too; `own` is a port of the test's.
async fn until_all_are_kept_alive(nodes: &[TestNode], own: u16) {
    let mut client = TcpStream::connect(("127.0.0.1", nodes[0].app.config.port)).await.unwrap();
    client.write_all(b"PING\r\n").await.unwrap();
    client.read_exact(&mut [0; 7]).await.unwrap();
    let own = [own, client.local_addr().unwrap().port()];
    let configs = nodes.iter().map(|node| &node.app.config);
    let ports: BTreeMap<u16, &str> = configs
        .flat_map(|of| [(of.port, "client"), (of.peer_port, "peer"), (of.http_port, "http")])
        .collect();
    let most = Duration::from_secs(nodes[0].app.config.tcp_keepalive);
    let wanted = [
        ("client", "accepted"),
        ("http", "accepted"),
        ("http", "dialled"),
        ("peer", "accepted"),
        ("peer", "dialled"),
    ];
    let give_up = Instant::now() + BOUND;
    loop {
        // Of each kind: how many there are, and how many of them are asked after.
        let mut kinds: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for Socket { local, remote, probe_in } in sockets() {
            let kind = match (ports.get(&local), ports.get(&remote)) {
                (Some(kind), _) => (*kind, "accepted"),
                (None, Some(kind)) if !own.contains(&local) => (*kind, "dialled"),
                (None, _) => continue,
            };
            let (all, kept) = kinds.entry(kind).or_default();
            *all += 1;
            *kept += usize::from(probe_in.is_some_and(|probe_in| probe_in <= most));
        }
        // One that has something on its way is waited for otherwise, for a moment.
        if kinds.keys().eq(&wanted) && kinds.values().all(|(all, kept)| all == kept) {
            return;
        }
        assert!(Instant::now() < give_up, "of so many, so many are asked after: {kinds:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
