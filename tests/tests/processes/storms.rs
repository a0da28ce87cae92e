//! Strangers who make a node compute: hellos of TLS without end, and whole requests that nobody may make.

use crate::PRODUCT;
use crate::crowds::{GROWTH_MAX_BYTES, resident_bytes};
use ironcache_api::Outcome;
use ironcache_tests::{Cluster, Load, NEXT, Signal, Spec, until};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A second, at each port: several times what the places of a door turn over in the time that a handshake may take.
const HELLOS_A_SECOND: u64 = 320;
/// More than a door has places.
const HELD: usize = 200;
const REPLICA: usize = 1;

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]).in_sync().keyed();
    spec.witnesses = 1;
    spec
}

/// A whole hello of TLS 1.3 (RFC 8446, section 4.1.2): who answers it draws a key, agrees on a secret and signs.
fn hello() -> Vec<u8> {
    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).expect("it is short").to_be_bytes(), bytes].concat()
    }
    let extension = |kind: u16, bytes: &[u8]| [&kind.to_be_bytes()[..], &sized(bytes)].concat();
    // X25519's base point is as good a public key as any.
    let mut key = [0; 32];
    key[0] = 9;
    let extensions = [
        extension(43, &[2, 3, 4]),
        extension(10, &sized(&[0, 0x1d])),
        extension(13, &sized(&[8, 7])),
        extension(51, &sized(&[&[0, 0x1d][..], &sized(&key)].concat())),
    ];
    let body =
        [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1]), &[1, 0], &sized(&extensions.concat())].concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[0x16, 3, 1][..], &sized(&message)].concat()
}

/// Somebody who sends hellos, and nothing more, until this is dropped.
struct Storm {
    leave: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    fn at(port: u16) -> Self {
        let (leave, sent, answered) = (Arc::default(), Arc::default(), Arc::default());
        let shared = (Arc::clone(&leave), Arc::clone(&sent), Arc::clone(&answered));
        let thread = std::thread::spawn(move || storm_at(port, shared));
        Storm { leave, sent, answered, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the storm could not go on");
    }
}

fn storm_at(port: u16, (leave, sent, answered): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)) {
    let (hello, mut held) = (hello(), VecDeque::new());
    while !leave.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(1_000_000 / HELLOS_A_SECOND));
        let to = ([127, 0, 0, 1], port).into();
        // It is not there while its node is replaced.
        let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { continue };
        stream.set_nonblocking(true).expect("a socket can be set so");
        if stream.write(&hello).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
            held.push_back(stream);
        }
        if held.len() > HELD
            && let Some(mut oldest) = held.pop_front()
        {
            let mut first = [0];
            // The first record of a server's hello.
            if oldest.read(&mut first).is_ok_and(|read| read == 1 && first == [0x16]) {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a node has counted of refusals with `code` at one of its ports.
async fn refused(cluster: &Cluster, family: &str, code: &str) -> u64 {
    let url = format!("http://{}/metrics", cluster.nodes[0].http_addr());
    let text = until("the crowded node shows its metrics", async || {
        reqwest::get(&url).await.ok()?.error_for_status().ok()?.text().await.ok()
    })
    .await;
    let of_code = format!("code=\"{code}\"");
    let line = text.lines().find(|line| line.contains(family) && line.contains(&of_code));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_without_end_hold_up_neither_operators_nor_peers_nor_a_roll() {
    let cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    cluster.stage(NEXT).await;
    let ports = cluster.nodes[0].ports;
    let storms = [Storm::at(ports.http), Storm::at(ports.peer)];
    until("the storm is there, and is answered", async || {
        let is_there = |storm: &Storm| {
            storm.sent.load(Ordering::Relaxed) > 3 * HELD && storm.answered.load(Ordering::Relaxed) > 0
        };
        storms.iter().all(is_there).then_some(())
    })
    .await;
    let told_in_time = async || {
        for _ in 0..3 {
            let seed = cluster.nodes[0].http_addr();
            let said = cluster.cli_command(&["cluster", "status"]).env("IRONCACHE_SEED", seed).output();
            let said = said.expect("the binary can be started");
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
    };
    told_in_time().await;
    // A member that comes back calls the crowded node, and attaches.
    cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("the replica's daemon runs");
    load.until_more(40).await;
    cluster.until_whole().await;
    for family in ["attempts_refused", "peers_refused"] {
        let (strangers, known) = (
            refused(&cluster, family, "made_room").await,
            refused(&cluster, family, "known_made_room").await,
        );
        eprintln!("{family}: {strangers} strangers made room, and {known} who are known");
        assert!(strangers > 0 && known == 0, "{family}: {strangers} strangers, {known} known");
    }
    let plan = cluster.set_target(NEXT, None).await;
    let (_, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    told_in_time().await;
    for family in ["attempts_refused", "peers_refused"] {
        assert_eq!(refused(&cluster, family, "known_made_room").await, 0, "{family}");
    }
    drop(storms);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}

/// The largest body that the port takes of anybody, and one that a parser's message would quote.
fn whole_request(path: &str) -> Vec<u8> {
    const BODY: usize = 8 << 20;
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {BODY}\r\n\r\n{{\"proof\":\"")
            .into_bytes();
    let head = bytes.len() - "{\"proof\":\"".len();
    while bytes.len() < head + BODY - 2 {
        bytes.extend(b"\\\"");
    }
    bytes.truncate(head + BODY - 2);
    bytes.extend(b"\"}");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_requests_of_strangers_cost_a_node_little_new_or_not() {
    const STRANGERS: usize = 60;
    let mut cluster = Cluster::start(&trio()).await;
    let new = cluster.start_another().await;
    for (index, path) in [
        (0, "/v1/join/prove"),
        (0, "/v1/join/bind"),
        (0, "/v1/upgrade/plan"),
        (new, "/v1/join/prove"),
        (new, "/v1/join/bind"),
    ] {
        let (port, before) = (cluster.nodes[index].ports.http, resident_bytes(&cluster, index));
        let request = Arc::new(whole_request(path));
        let strangers = (0..STRANGERS).map(|_| {
            let request = Arc::clone(&request);
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is there");
                let within = Some(Duration::from_secs(10));
                stream.set_write_timeout(within).expect("a socket can be set so");
                // Nothing of an answer is read before all of them have sent what is taken.
                let _ = stream.write_all(&request);
                stream
            })
        });
        let strangers: Vec<_> = strangers.collect();
        let mut most = before;
        until("all have sent what is taken", async || {
            most = most.max(resident_bytes(&cluster, index));
            strangers.iter().all(JoinHandle::is_finished).then_some(())
        })
        .await;
        let streams: Vec<_> = strangers.into_iter().map(|it| it.join().expect("it has sent")).collect();
        most = most.max(resident_bytes(&cluster, index));
        eprintln!("{path} at {index}: {} KiB before, {} KiB at most", before >> 10, most >> 10);
        assert!(most.saturating_sub(before) < GROWTH_MAX_BYTES, "{path}: {before} bytes became {most}");
        for mut stream in streams {
            // A reset under unread bytes says as much as an answer.
            let mut said = [0; 12];
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket can be set so");
            if stream.read_exact(&mut said).is_ok() {
                assert!(said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
            }
        }
    }
    let said = cluster.cli(&["cluster", "status"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
