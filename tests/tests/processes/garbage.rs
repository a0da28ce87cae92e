//! What is almost a request, at each door: sound ones that were cut, altered, repeated and mixed, by a seed. The node answers or
//! closes, goes on, and nothing of the cluster's state changes.
//!
//! `GARBAGE_SEED` repeats a run, `GARBAGE_CASES` makes it longer.

use crate::PRODUCT;
use ironcache_api::ControlView;
use ironcache_tests::{Cluster, Load, Spec};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// At each door. A minute of all three on a small machine takes some ten times as many.
const CASES: u64 = 1_500;
/// More than any node takes to answer, or to close on, what came with the end of its sender's stream.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// xorshift64*: nothing here needs a better one.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").into_bytes()
}

fn for_clients() -> Vec<Vec<u8>> {
    let commands: [&[u8]; 10] = [
        b"*3\r\n$3\r\nSET\r\n$9\r\ngarbage:k\r\n$5\r\nvalue\r\n",
        b"*2\r\n$3\r\nGET\r\n$9\r\ngarbage:k\r\n",
        b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nEXEC\r\n",
        b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
        b"*5\r\n$4\r\nZADD\r\n$9\r\ngarbage:z\r\n$2\r\nNX\r\n$3\r\n1.5\r\n$1\r\na\r\n",
        b"*4\r\n$9\r\nZRANGE\r\n\r\n$9\r\ngarbage:z\r\n$1\r\n0\r\n$2\r\n-1\r\n",
        b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$4\r\nname\r\n",
        b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n",
        b"SET garbage:inline \"a \\x41 b\"\r\nGET garbage:inline\r\n",
        b"*-1\r\n*0\r\n$-1\r\n",
    ];
    commands.map(<[u8]>::to_vec).to_vec()
}

/// None of them does anything as it stands: what is asked for does not exist.
fn for_operators() -> Vec<Vec<u8>> {
    vec![
        get("/status"),
        get("/v1/cluster"),
        get("/metrics"),
        get("/v1/upgrade?x=%41%zz"),
        post("/v1/upgrade/plan", br#"{"target":"99.0.0","dry_run":true,"max_parallel":1,"settle_ms":5}"#),
        post("/v1/policy", br#"{"set":{"no-such-key":"1"}}"#),
        post("/v1/cluster/nodes/remove", br#"{"node":"00000000000000ff","force":false}"#),
        post("/v1/releases/allow", br#"{"version":"99.0.0-rc.1+x"}"#),
        post("/v1/releases", b"\x7fELF\x02\x01\x01 an executable that is none"),
        b"POST /v1/upgrade/plan HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"
            .to_vec(),
    ]
}

fn for_peers() -> Vec<Vec<u8>> {
    let upgrade = "GET /replication HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: ironcache-replication\r\n\r\n";
    // A hello's frame, of another cluster: its checksum is made to fit nothing.
    let hello: Vec<u8> =
        [60, 0, 0, 0, 1, 2, 3, 4, 1].into_iter().chain((0..60_u8).map(|i| i.wrapping_mul(7))).collect();
    let mut all = vec![
        [upgrade.as_bytes(), &hello].concat(),
        get("/node/report"),
        get("/artifacts/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ];
    // Envelopes: a magic, a kind, a version, a level, a length, a checksum, each of some bytes.
    let envelope: Vec<u8> = (0..200_u32).map(|i| (i.wrapping_mul(37) >> 2) as u8).collect();
    for path in ["append", "vote", "pre-vote", "snapshot", "transfer", "forward"] {
        all.push(post(&format!("/raft/{path}"), &envelope));
    }
    all.push(post("/lease", &envelope));
    all
}

/// One of `sound`, altered a few times.
fn almost(sound: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = sound[dice.below(sound.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + dice.below(8)).min(bytes.len()))),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            3 => drop(bytes.splice(at..at, std::iter::repeat_n(dice.below(256) as u8, dice.below(40)))),
            4 => drop(bytes.splice(at..at, sound[dice.below(sound.len())].iter().copied())),
            5 => {
                // What was a length is another one.
                let digits =
                    [&b"-1"[..], b"0", b"9999999999999999999999", b"4294967296", b"536870913", b"00"];
                drop(bytes.splice(at..at, digits[dice.below(digits.len())].iter().copied()));
            }
            6 => {
                let piece: Vec<u8> = bytes[at..(at + 20).min(bytes.len())].to_vec();
                for _ in 0..dice.below(50) {
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
            }
            _ => bytes.extend((0..dice.below(300)).map(|_| dice.below(256) as u8)),
        }
    }
    bytes
}

/// Sends, closes for writing, and reads to the end: so the node has answered, or closed.
fn exchange(port: u16, bytes: &[u8]) -> Result<(), std::io::Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    // The node may close before it has read everything: that is its right.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    loop {
        match stream.read(&mut [0; 64 << 10]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// What no stranger may change.
fn kept(control: &ControlView) -> String {
    let ControlView { cluster_id, cluster_level, nodes, shards, releases, .. } = control;
    format!("{cluster_id:?} {cluster_level:?} {nodes:#?} {shards:#?} {releases:#?}")
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_almost_a_request_is_answered_or_closed_on_and_changes_nothing() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("hang-timeout-ms", 60_000)])).await;
    let load = Load::start(&cluster).await;
    load.until_more(20).await;
    let daemon = cluster.nodes[0].daemon_pid();
    let before = cluster.until_cluster("it answers", |status| Some(kept(&status.control))).await;
    let (seed, cases) = (number("GARBAGE_SEED", 7), number("GARBAGE_CASES", CASES));
    let ports = cluster.nodes[0].ports;
    for (port, sound) in
        [(ports.client, for_clients()), (ports.http, for_operators()), (ports.peer, for_peers())]
    {
        let done = tokio::task::spawn_blocking(move || {
            for case in 0..cases {
                let mut dice = Dice((seed << 32 | (case + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let bytes = almost(&sound, &mut dice);
                if let Err(error) = exchange(port, &bytes) {
                    panic!(
                        "port {port}, GARBAGE_SEED={seed}, case {case}: {error}\n{}",
                        bytes.escape_ascii()
                    );
                }
            }
        });
        done.await.expect("every case is answered or closed on");
        assert_eq!(cluster.nodes[0].daemon_pid(), daemon, "the daemon was restarted (GARBAGE_SEED={seed})");
    }
    load.until_more(20).await;
    let after = cluster.until_cluster("it answers", |status| Some(kept(&status.control))).await;
    assert_eq!(before, after, "GARBAGE_SEED={seed}");
    load.finish(&cluster).await.assert_unseen();
}
