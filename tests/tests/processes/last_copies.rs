//! What a node holds that nobody else holds: stops that take long, disks that are full, processes killed right after
//! their start, and commands that take longer than a hang.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Signal, Spec, until};
use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::time::{Duration, Instant};

/// Of a value, and how many of them are written where the dataset has to be large.
const VALUE_BYTES: usize = 1 << 20;

async fn connect(cluster: &Cluster, index: usize) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{}/", cluster.nodes[index].client_addr()))
        .expect("a plain address");
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(120)));
    until("the node takes a connection", async || {
        client.get_multiplexed_async_connection_with_config(&patient).await.ok()
    })
    .await
}

/// `count` values of a megabyte.
pub(crate) async fn fill(cluster: &Cluster, count: usize) {
    let mut client = connect(cluster, 0).await;
    let value = vec![b'x'; VALUE_BYTES];
    for n in 0..count {
        redis::cmd("SET")
            .arg(format!("large:{n}"))
            .arg(&value)
            .exec_async(&mut client)
            .await
            .expect("it is served");
    }
}

pub(crate) async fn keys(cluster: &Cluster, index: usize) -> usize {
    let mut client = connect(cluster, index).await;
    redis::cmd("DBSIZE").query_async(&mut client).await.expect("it is answered")
}

/// A node whose daemon writes no file beyond this: for the daemon a disk that is full.
pub(crate) fn limit_files(daemon: Pid, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(daemon), Resource::Fsize, limit).expect("a process of ours can be limited");
}

/// What a process has handed to `write` so far; 0 once it has ended.
fn bytes_written(pid: Pid) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", pid.as_raw_nonzero())).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.and_then(|written| written.parse().ok()).unwrap_or_default()
}

pub(crate) async fn why_not_ready(cluster: &Cluster, index: usize) -> Option<String> {
    let url = format!("http://{}/readyz", cluster.nodes[index].http_addr());
    let answer = reqwest::get(url).await.ok()?;
    if answer.status().is_success() { None } else { answer.text().await.ok() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_takes_longer_than_the_stop_timeout_is_written_whole() {
    const LARGE: usize = 300;
    // Four of the pauses below, and far below the whole of them.
    const STOP_MS: u64 = 1_500;
    let spec = Spec::new(PRODUCT, 1, 0).with(&[("stop-timeout-ms", STOP_MS), ("drain-timeout-ms", 1)]);
    let mut cluster = Cluster::start(&spec).await;
    fill(&cluster, LARGE).await;
    let daemon = cluster.nodes[0].daemon_pid().expect("it runs");
    let mut written = bytes_written(daemon);
    cluster.nodes[0].signal_launcher(Signal::TERM);
    let asked = Instant::now();
    // A slow disk: each time the daemon has written some megabytes, it waits for a while.
    let status = loop {
        if let Some(status) = cluster.nodes[0].has_ended() {
            break status;
        }
        let now = bytes_written(daemon);
        if now > written + (8 << 20) {
            written = now;
            let _ = rustix::process::kill_process(daemon, Signal::STOP);
            tokio::time::sleep(Duration::from_millis(300)).await;
            // It cannot have ended meanwhile, unless it was killed.
            let _ = rustix::process::kill_process(daemon, Signal::CONT);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(status.code(), Some(0), "{}", cluster.nodes[0].log_tail());
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(STOP_MS * 2), "it took {took:?}: nothing was tried");
    cluster.nodes[0].start_again();
    cluster.until_whole().await;
    assert_eq!(keys(&cluster, 0).await, LARGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_copy_serves_on_while_its_disk_is_full_and_stops_when_there_is_room() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("stop-timeout-ms", 3_600_000)])).await;
    fill(&cluster, 24).await;
    let daemon = cluster.nodes[0].daemon_pid().expect("it runs");
    limit_files(daemon, Some(8 << 20));
    cluster.nodes[0].signal_launcher(Signal::TERM);
    let why = until("the node says that it stays", async || {
        why_not_ready(&cluster, 0).await.filter(|why| why.contains("the only copy"))
    })
    .await;
    assert!(why.contains("the checkpoint needs 2"), "{why}");
    // It serves, and what it acknowledges now is kept as well.
    let mut client = connect(&cluster, 0).await;
    redis::cmd("SET").arg("later").arg("v").exec_async(&mut client).await.expect("it serves on");
    drop(client);
    assert!(!cluster.nodes[0].data_dir.join("checkpoint").exists());
    limit_files(daemon, None);
    assert_eq!(cluster.nodes[0].ended().code(), Some(0), "{}", cluster.nodes[0].log_tail());
    cluster.nodes[0].start_again();
    cluster.until_whole().await;
    assert_eq!(keys(&cluster, 0).await, 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_copy_that_is_given_up_has_an_exit_code_of_its_own() {
    // Asked twice, or after a time in which nothing advanced.
    for (stop_ms, asked) in [(3_600_000, 2), (1_000, 1)] {
        let mut cluster =
            Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("stop-timeout-ms", stop_ms)])).await;
        fill(&cluster, 24).await;
        limit_files(cluster.nodes[0].daemon_pid().expect("it runs"), Some(8 << 20));
        cluster.nodes[0].signal_launcher(Signal::TERM);
        if asked == 2 {
            until("the node says that it stays", async || {
                why_not_ready(&cluster, 0).await.filter(|why| why.contains("the only copy"))
            })
            .await;
            cluster.nodes[0].signal_launcher(Signal::TERM);
        }
        assert_eq!(cluster.nodes[0].ended().code(), Some(23), "{}", cluster.nodes[0].log_tail());
        let said = cluster.nodes[0].log_text();
        assert!(said.contains("holds the only copy") && said.contains("it is lost"), "{said}");
        let left = cluster.nodes[0].data_dir.join("checkpoint.tmp");
        assert!(!left.exists(), "half a checkpoint takes room from whoever needs it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_survives_kills_right_after_the_start_and_before_it_is_served() {
    let mut spec = Spec::new(PRODUCT, 1, 0);
    spec.witnesses = 2;
    let mut cluster = Cluster::start(&spec).await;
    fill(&cluster, 20).await;
    for index in 0..3 {
        assert!(cluster.nodes[index].stop().success());
    }
    // Alone it has no quorum: it reads its dataset, and waits.
    cluster.nodes[0].start_again();
    let mut killed: Vec<Pid> = Vec::new();
    for kill in 0..4 {
        let daemon = until("a new daemon runs", async || {
            cluster.nodes[0].daemon_pid().filter(|pid| !killed.contains(pid))
        })
        .await;
        if kill % 2 == 1 {
            until("it has read its checkpoint", async || {
                let read = cluster.nodes[0].log_text().matches("checkpoint read").count();
                (read > kill / 2).then_some(())
            })
            .await;
        }
        rustix::process::kill_process(daemon, Signal::KILL).expect("it runs");
        killed.push(daemon);
    }
    for index in 1..3 {
        cluster.nodes[index].start_again();
    }
    cluster.until_whole().await;
    assert_eq!(keys(&cluster, 0).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_takes_longer_than_a_hang_and_a_lease_is_answered_and_nobody_is_killed() {
    const HANG_MS: u64 = 800;
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("hang-timeout-ms", HANG_MS)])).await;
    let daemon = cluster.nodes[0].daemon_pid();
    let mut client = connect(&cluster, 0).await;
    let elements: Vec<String> = (0..400_000).map(|n| format!("element-{n}")).collect();
    redis::cmd("RPUSH").arg("list").arg(&elements).exec_async(&mut client).await.expect("it is served");
    let transaction = |commands: u128| {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for _ in 0..commands {
            pipe.cmd("LREM").arg("list").arg(0).arg("absent");
        }
        pipe
    };
    let began = Instant::now();
    let _: Vec<i64> = transaction(100).query_async(&mut client).await.expect("it is executed");
    // As many as take about six times as long as a daemon may hang.
    let count = 100 * 6 * u128::from(HANG_MS) / began.elapsed().as_millis().max(1);
    let began = Instant::now();
    let removed: Vec<i64> = transaction(count).query_async(&mut client).await.expect("it is executed");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(HANG_MS * 3 / 2), "{count} took {took:?}: nothing was tried");
    assert_eq!(removed.iter().sum::<i64>(), 0);
    assert_eq!(cluster.nodes[0].daemon_pid(), daemon, "{}", cluster.nodes[0].log_tail());
    assert_eq!(keys(&cluster, 0).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_takes_nothing_starts_and_says_what_it_lacks() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    const REPLICA: usize = 1;
    let limited = cluster.nodes[REPLICA].launcher_pid();
    // The next daemon inherits it.
    limit_files(limited, Some(0));
    let killed = cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("it runs");
    let why = until("the new process says that it is not ready", async || {
        why_not_ready(&cluster, REPLICA).await.filter(|why| why.contains("raft has stopped on this node"))
    })
    .await;
    let daemon = cluster.nodes[REPLICA].daemon_pid().filter(|daemon| *daemon != killed);
    assert!(daemon.is_some(), "{why}: it starts, and is not restarted again and again");
    // Room again, for both: the node comes back by itself.
    limit_files(limited, None);
    limit_files(daemon.expect("it runs"), None);
    cluster.until_whole().await;
}
