//! Crowds of strangers at the three doors of a node: silent, slow, or halfway through something.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// At each door.
const CROWD: usize = 1_000;
/// What the whole crowd may cost a node.
pub(crate) const GROWTH_MAX_BYTES: u64 = 64 << 20;
const REPLICA: usize = 1;

/// What a stranger says, and then no more.
type Said = fn(usize) -> Vec<u8>;

fn at_client(i: usize) -> Vec<u8> {
    match i % 3 {
        0 => Vec::new(),
        1 => b"*1\r\n$4\r\nPI".to_vec(),
        _ => b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf a val".to_vec(),
    }
}

fn at_http(i: usize) -> Vec<u8> {
    match i % 3 {
        0 => Vec::new(),
        1 => b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: a he".to_vec(),
        _ => post("/v1/upgrade/plan", 8 << 20, 300 << 10),
    }
}

fn at_peer(i: usize) -> Vec<u8> {
    match i % 4 {
        0 => Vec::new(),
        1 => b"GET /node/report HTTP/1.1\r\nHost: 127.0".to_vec(),
        2 => post("/raft/snapshot", 60 << 20, 3 << 20),
        _ => [
            &b"GET /replication HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: ironcache-replication\r\n\r\n"[..],
            // A hello of which only the first bytes come.
            &[200, 0, 0, 0, 1, 2, 3, 4, 1],
        ]
        .concat(),
    }
}

/// With bodies as large as the port takes them.
fn at_insecure_peer(i: usize) -> Vec<u8> {
    match i % 4 {
        2 => post("/raft/snapshot", 16 << 20, 3 << 20),
        _ => at_peer(i),
    }
}

/// The head of a ClientHello of TLS 1.3, and no more.
const HALF_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];

fn at_keyed_http(i: usize) -> Vec<u8> {
    match i % 4 {
        0 => HALF_HELLO.to_vec(),
        1 => post("/v1/join/prove", 8 << 20, 300 << 10),
        _ => at_http(i),
    }
}

fn at_keyed_peer(i: usize) -> Vec<u8> {
    match i % 4 {
        0 => HALF_HELLO.to_vec(),
        _ => at_peer(i),
    }
}

/// The head, and `sent` bytes of a body of `len`.
fn post(path: &str, len: usize, sent: usize) -> Vec<u8> {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + sent, b' ');
    bytes
}

/// Connections that come again as often as the node closes them, until this is dropped.
struct Crowd {
    leave: Arc<AtomicBool>,
    /// Of those that are open or were closed: how often somebody came.
    came: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn at(port: u16, said: Said) -> Self {
        let (leave, came, open) = (Arc::default(), Arc::default(), Arc::default());
        let crowd = (Arc::clone(&leave), Arc::clone(&came), Arc::clone(&open));
        let thread = std::thread::spawn(move || crowd_at(port, said, crowd));
        Crowd { leave, came, open, thread: Some(thread) }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the crowd could not go on");
    }
}

fn crowd_at(
    port: u16,
    said: Said,
    (leave, came, open): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    // What each has left to say: the node takes as much as it likes.
    let mut places: Vec<Option<(TcpStream, Vec<u8>)>> = (0..CROWD).map(|_| None).collect();
    while !leave.load(Ordering::Relaxed) {
        for (i, place) in places.iter_mut().enumerate() {
            if place.as_mut().is_some_and(|(stream, left)| goes_on(stream, left)) {
                continue;
            }
            // It may be full: then it is tried again.
            *place = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1))
                .ok()
                .map(|stream| {
                    stream.set_nonblocking(true).expect("a socket can be set so");
                    came.fetch_add(1, Ordering::Relaxed);
                    (stream, said(i))
                });
            if let Some((stream, left)) = place {
                goes_on(stream, left);
            }
            if i % 32 == 0 {
                // The machine has other work to do.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        open.store(places.iter().flatten().count(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Is the connection still open? Says what the node takes of what is left to say.
fn goes_on(stream: &mut TcpStream, left: &mut Vec<u8>) -> bool {
    while !left.is_empty() {
        match stream.write(left) {
            Ok(sent) => drop(left.drain(..sent)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    match stream.read(&mut [0; 1024]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// What a daemon's memory comes to at most, while this is there.
struct Watch {
    leave: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    fn on(cluster: &Cluster, index: usize) -> Self {
        let leave = Arc::new(AtomicBool::new(false));
        let (told, daemon) = (Arc::clone(&leave), daemon(cluster, index));
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !told.load(Ordering::Relaxed) {
                most = most.max(resident_bytes_of(daemon));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        Watch { leave, thread }
    }

    fn end(self) -> u64 {
        self.leave.store(true, Ordering::Relaxed);
        self.thread.join().expect("the daemon goes on")
    }
}

fn daemon(cluster: &Cluster, index: usize) -> i32 {
    cluster.nodes[index].daemon_pid().expect("the daemon runs").as_raw_nonzero().get()
}

pub(crate) fn resident_bytes(cluster: &Cluster, index: usize) -> u64 {
    resident_bytes_of(daemon(cluster, index))
}

fn resident_bytes_of(daemon: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{daemon}/status")).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
    kib * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_every_door_cost_little_and_keep_nobody_out() {
    let doors: [Said; 3] = [at_client, at_http, at_peer];
    crowds_at(trio(), doors).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_without_a_key_cost_little_and_keep_nobody_out_where_keys_are_asked_for() {
    let doors: [Said; 3] = [at_client, at_keyed_http, at_keyed_peer];
    crowds_at(trio().keyed(), doors).await;
}

/// The dearest that strangers can be: nobody asks them for a key, and each sends half of as much as the port takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_of_the_largest_bodies_at_every_door_cost_an_insecure_node_little() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let (before, ports) = (resident_bytes(&cluster, 0), cluster.nodes[0].ports);
    let watch = Watch::on(&cluster, 0);
    let crowds = [
        Crowd::at(ports.client, at_client),
        Crowd::at(ports.http, at_http),
        Crowd::at(ports.peer, at_insecure_peer),
    ];
    // At the HTTP and the peer port others have come in their place by then.
    let most_came = [CROWD, 2 * CROWD, 2 * CROWD];
    until("everybody has come", async || {
        crowds.iter().zip(most_came).all(|(crowd, most)| crowd.came() >= most).then_some(())
    })
    .await;
    let most = watch.end();
    eprintln!("resident: {} KiB before, {} KiB at most", before >> 10, most >> 10);
    assert!(most.saturating_sub(before) < GROWTH_MAX_BYTES, "{before} bytes became {most}");
}

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]).in_sync();
    spec.witnesses = 1;
    spec
}

/// A crowd at each door of the first node of three, while clients, operators and peers go on.
async fn crowds_at(spec: Spec, [client, http, peer]: [Said; 3]) {
    let cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    load.until_more(40).await;
    let (daemon, before) = (cluster.nodes[0].daemon_pid(), resident_bytes(&cluster, 0));
    let ports = cluster.nodes[0].ports;
    let watch = Watch::on(&cluster, 0);
    let crowds = [Crowd::at(ports.client, client), Crowd::at(ports.http, http), Crowd::at(ports.peer, peer)];
    until("everybody has come", async || crowds.iter().all(|crowd| crowd.came() >= CROWD).then_some(()))
        .await;
    // Clients: on connections that there were, and on new ones.
    load.until_more(100).await;
    let second = Load::start(&cluster).await;
    second.until_more(40).await;
    // Operators: questions and orders, through the node that is crowded.
    for ms in ["301", "302", "303"] {
        let seed = cluster.nodes[0].http_addr();
        let said = cluster
            .cli_command(&["cluster", "policy", "set", "handover-timeout-ms", ms])
            .env("IRONCACHE_SEED", seed)
            .output()
            .expect("the binary can be started");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    // Peers: one that comes back attaches through the crowd, and the log goes on.
    cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("the replica's daemon runs");
    load.until_more(40).await;
    cluster.until_whole().await;
    let most = watch.end();
    let came: Vec<usize> = crowds.iter().map(Crowd::came).collect();
    let open: Vec<usize> = crowds.iter().map(|crowd| crowd.open.load(Ordering::Relaxed)).collect();
    eprintln!(
        "resident: {} KiB before, {} KiB at most; came {came:?}, open at the end {open:?}",
        before >> 10,
        most >> 10
    );
    assert!(most.saturating_sub(before) < GROWTH_MAX_BYTES, "{before} bytes became {most}");
    assert!(came[1] > CROWD && came[2] > CROWD, "nobody was shown out: {came:?}");
    drop(crowds);
    assert_eq!(cluster.nodes[0].daemon_pid(), daemon, "the daemon was restarted");
    second.finish(&cluster).await.assert_unseen();
    load.finish(&cluster).await.assert_unseen();
}
