//! Garbage on every port, altered artifacts, damaged and foreign files.

use crate::PRODUCT;
use crate::rolls::assert_all_run;
use ironcache_api::{Outcome, WaitingOn};
use ironcache_tests::{Cluster, Load, Signal, Spec, THIS, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const REPLICA: usize = 1;
const WITNESS: usize = 2;
const TARGET: &str = ironcache_tests::NEXT;

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    spec
}

/// Sends bytes, and reads what comes until the node closes or `answer_bytes` are there. With 0 of them the
/// connection is closed for writing behind what was sent.
fn exchange(port: u16, bytes: &[u8], answer_bytes: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time above zero");
    // The node may close before it has read everything: that is its right.
    let _ = stream.write_all(bytes);
    if answer_bytes == 0 {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer_bytes == 0 || answer.len() < answer_bytes {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the node neither answers nor closes: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_any_port_is_answered_right_or_dropped_and_the_node_goes_on() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let ports = cluster.nodes[0].ports;
    let daemon = cluster.nodes[0].daemon_pid();
    for port in [ports.peer, ports.http] {
        exchange(port, &noise(100_000), 0);
        exchange(port, b"GET /status HTTP/1.1\r\nHost: 127.0.0.1", 0);
        exchange(
            port,
            b"POST /v1/upgrade/plan HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{\"target\"",
            0,
        );
    }
    let bad = exchange(
        ports.http,
        b"POST /v1/upgrade/plan HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{]}",
        usize::MAX,
    );
    assert!(bad.starts_with("HTTP/1.1 400") && bad.contains("\"error\""), "{bad}");
    let no_door = exchange(
        ports.peer,
        b"GET /replication HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        usize::MAX,
    );
    assert!(no_door.starts_with("HTTP/1.1 426"), "{no_door}");
    exchange(
        ports.peer,
        &[
            &b"GET /replication HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: ironcache-replication\r\n\r\n"[..],
            &noise(10_000),
        ]
        .concat(),
        0,
    );

    for (sent, answered) in [
        (&b"*3\r\n$-5\r\n"[..], "-ERR Protocol error"),
        (b"*1\r\n$999999999999\r\n", "-ERR Protocol error"),
        (b"*99999999999\r\n", "-ERR Protocol error"),
        (b"*1\r\n!4\r\nPING\r\n", "-ERR Protocol error"),
        (b"GET \"unbalanced\r\n", "-ERR Protocol error"),
    ] {
        let answer = exchange(ports.client, sent, 0);
        assert!(answer.starts_with(answered), "{:?}: {answer}", String::from_utf8_lossy(sent));
    }
    exchange(ports.client, &noise(100_000), 0);
    // A wrong command is no broken connection: what follows on it is answered.
    let answer = exchange(
        ports.client,
        b"*1\r\n$3\r\nGET\r\n*1\r\n$4\r\nNOPE\r\n*1\r\n$4\r\nPING\r\n",
        "-ERR wrong number of arguments for 'get' command\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n+PONG\r\n"
            .len(),
    );
    let lines: Vec<_> = answer.lines().collect();
    assert_eq!(lines[0], "-ERR wrong number of arguments for 'get' command");
    assert!(lines[1].starts_with("-ERR unknown command 'NOPE'"), "{answer}");
    assert_eq!(lines[2], "+PONG");

    assert_eq!(cluster.nodes[0].daemon_pid(), daemon, "the daemon was restarted");
    cluster.until_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_release_is_not_staged() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let script = cluster.dir().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").expect("a file can be written");
    let output = cluster.cli(&["release", "stage", script.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("carries no version stamp"), "{output:?}");

    // Past the command, straight to the node.
    let http = cluster.nodes[0].ports.http;
    let post = |length: usize, body: &[u8]| {
        let head = format!(
            "POST /v1/releases HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer_bytes = if body.len() == length { usize::MAX } else { 0 };
        exchange(http, &[head.as_bytes(), body].concat(), answer_bytes)
    };
    let unstamped = post(9, b"#!/bin/sh");
    assert!(unstamped.starts_with("HTTP/1.1 400") && unstamped.contains("no version stamp"), "{unstamped}");
    let whole = std::fs::read(PRODUCT).expect("the product was built");
    let half = &whole[..whole.len() / 2];
    let cut = post(half.len(), half);
    assert!(cut.starts_with("HTTP/1.1 400") && cut.contains("the file is cut"), "{cut}");
    post(whole.len(), half);
    let listed = cluster.client().releases().await.expect("the cluster answers");
    assert!(listed.iter().all(|known| known.release.version.to_string() == THIS), "{listed:?}");
    let left = std::fs::read_dir(cluster.nodes[0].data_dir.join("staged")).expect("the directory is there");
    assert_eq!(left.count(), 0, "half an upload is left");
}

/// The file of a release's binary on node `index`.
fn slot_of(cluster: &Cluster, index: usize, digest: &ironcache_types::Digest) -> PathBuf {
    cluster.nodes[index].data_dir.join("slots").join(digest.to_string()).join("ironcache")
}

fn alter(path: &Path) {
    let mut bytes = std::fs::read(path).expect("the file is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(path, bytes).expect("the file can be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_artifact_is_refused_and_a_sound_one_taken_where_there_is_one() {
    let cluster = Cluster::start(&trio()).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    // The replica sleeps while the other two get the release, and both are altered there.
    cluster.nodes[REPLICA].signal_daemon(Signal::STOP);
    let digest = cluster.stage(TARGET).await.release.digest;
    for index in [0, WITNESS] {
        until("the node holds the release", async || {
            (cluster.nodes[index].log_text().contains("artifact staged")).then_some(())
        })
        .await;
    }
    let sound = std::fs::read(slot_of(&cluster, 0, &digest)).expect("the first node holds it");
    for index in [0, WITNESS] {
        alter(&slot_of(&cluster, index, &digest));
    }
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT);
    let plan = cluster.set_target(TARGET, None).await;

    let refused = || cluster.nodes[REPLICA].log_text().matches("artifact not fetched").count();
    until("the altered artifact was refused twice", async || (refused() >= 2).then_some(())).await;
    assert!(!slot_of(&cluster, REPLICA, &digest).exists());
    let about = WaitingOn::Artifact { node: ids[REPLICA], held_by: 2, nodes: 3 };
    cluster
        .until_upgrade("the plan says what it waits for", |status| {
            status.waiting_on.contains(&about).then_some(())
        })
        .await;
    assert_all_run(&cluster, THIS).await;

    // One sound copy is enough: the witness finds its own altered when it is to run it, and fetches it anew.
    std::fs::write(slot_of(&cluster, 0, &digest), &sound).expect("the file can be written");
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    assert!(cluster.nodes[WITNESS].log_text().contains("was altered"));
    load.finish(&cluster).await.assert_nothing_lost();
    assert_all_run(&cluster, TARGET).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_foreign_files_are_refused_by_name_or_recovered_as_stated() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let wal = |cluster: &Cluster, index: usize| cluster.nodes[index].data_dir.join("raft/raft.wal");

    // A tail that was torn by a power cut is cut off, and written again by the leader.
    cluster.nodes[REPLICA].stop();
    let mut file =
        std::fs::OpenOptions::new().append(true).open(wal(&cluster, REPLICA)).expect("the log is there");
    std::io::Write::write_all(&mut file, &[0x5a; 37]).expect("it can be written");
    cluster.nodes[REPLICA].start_again();
    cluster.until_whole().await;

    // A bad record with good ones behind it is corruption: nothing is cut off, and the position is named.
    cluster.nodes[WITNESS].stop();
    let sound = std::fs::read(wal(&cluster, WITNESS)).expect("the log is there");
    let mut bad = sound.clone();
    bad[sound.len() / 2] ^= 0x01;
    std::fs::write(wal(&cluster, WITNESS), &bad).expect("the log can be written");
    cluster.nodes[WITNESS].start_again();
    refuses(&mut cluster, WITNESS, "the raft log is corrupt: the bytes at ").await;
    assert_eq!(std::fs::read(wal(&cluster, WITNESS)).expect("the log is there"), bad);
    std::fs::write(wal(&cluster, WITNESS), &sound).expect("the log can be written");
    cluster.until_whole().await;

    // The raft directory of another node.
    let raft = |cluster: &Cluster, index: usize| cluster.nodes[index].data_dir.join("raft");
    cluster.nodes[WITNESS].stop();
    let aside = cluster.dir().join("aside");
    std::fs::rename(raft(&cluster, WITNESS), &aside).expect("it can be moved");
    std::fs::create_dir(raft(&cluster, WITNESS)).expect("it can be made");
    std::fs::copy(wal(&cluster, 0), wal(&cluster, WITNESS)).expect("it can be copied");
    cluster.nodes[WITNESS].start_again();
    refuses(&mut cluster, WITNESS, "the raft log is not usable: it belongs to node").await;
    cluster.nodes[WITNESS].stop();
    std::fs::remove_dir_all(raft(&cluster, WITNESS)).expect("it can be removed");
    std::fs::rename(&aside, raft(&cluster, WITNESS)).expect("it can be moved");

    // A second process on the data directory of a node that runs.
    let output = cluster.cli(&[
        "server",
        "--port",
        "1",
        "--data-dir",
        cluster.nodes[0].data_dir.to_str().expect("a plain path"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");

    // A corrupt `state`: the only sound binary runs, and upgrades are refused until the file was looked at.
    let state = cluster.nodes[WITNESS].data_dir.join("state");
    std::fs::write(&state, "ironcache-state 1 crc32 0000").expect("it can be written");
    cluster.nodes[WITNESS].start_again();
    let degraded = until("the node says that it runs degraded", async || {
        cluster.status(WITNESS).await?.launcher.degraded
    })
    .await;
    assert!(degraded.contains("state.corrupt-1"), "{degraded}");
    cluster.until_whole().await;
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, None).await;
    cluster
        .until_upgrade("the plan says what it waits for", |status| {
            let corrupt = |wait: &WaitingOn| {
                matches!(wait, WaitingOn::CannotUpgrade { reason, .. } if reason.reason.contains("state.corrupt-1"))
            };
            status.waiting_on.iter().any(corrupt).then_some(())
        })
        .await;
    std::fs::remove_file(cluster.nodes[WITNESS].data_dir.join("state.corrupt-1")).expect("it can be removed");
    cluster.nodes[WITNESS].stop();
    cluster.nodes[WITNESS].start_again();
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    load.finish(&cluster).await.assert_nothing_lost();
    assert_all_run(&cluster, TARGET).await;
}

/// Waits until node `index` has said why it does not start; its launcher goes on trying.
async fn refuses(cluster: &mut Cluster, index: usize, why: &str) {
    until(why, async || cluster.nodes[index].log_text().contains(why).then_some(())).await;
    assert!(cluster.status(index).await.is_none());
}
