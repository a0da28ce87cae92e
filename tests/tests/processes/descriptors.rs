//! Nodes that are started with few descriptors, and more clients than those.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CLIENTS: usize = 1_000;
const REPLICA: usize = 1;

/// The product, started by a shell that has lowered its limits.
fn limited(dir: &Path, ulimit: &str) -> PathBuf {
    let path = dir.join("limited");
    std::fs::write(&path, format!("#!/bin/sh\nulimit {ulimit} && exec {PRODUCT} \"$@\"\n"))
        .expect("a file can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
    path
}

/// As a kubelet asks.
fn probe(cluster: &Cluster, path: &str) -> String {
    let mut stream = TcpStream::connect(cluster.nodes[0].http_addr()).expect("a node takes connections");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket can be set so");
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap_or_else(|error| panic!("{path} is not answered: {error}"));
    said.lines().next().unwrap_or_default().to_owned()
}

/// Clients that say nothing: those who are let in, and how many are told that they are not.
async fn idle(cluster: &Cluster) -> (Vec<TcpStream>, usize) {
    let addr = cluster.nodes[0].client_addr();
    let mut streams: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let stream = TcpStream::connect(&addr).expect("a node takes connections");
            stream.set_nonblocking(true).expect("a socket can be set so");
            stream
        })
        .collect();
    let mut told = 0;
    until("every client is let in, or told", async || {
        streams.retain_mut(|stream| {
            let mut said = [0; 64];
            match stream.read(&mut said) {
                // It made room for another one.
                Ok(0) => false,
                Ok(read) => {
                    assert_eq!(&said[..read], b"-ERR max number of clients reached\r\n");
                    told += 1;
                    false
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    true
                }
            }
        });
        (clients(cluster).await? >= streams.len() as u64).then_some(())
    })
    .await;
    (streams, told)
}

async fn clients(cluster: &Cluster) -> Option<u64> {
    Some(cluster.status(0).await?.data.clients)
}

/// A node with few descriptors and a crowd of clients: how many of them were let in, and told that they were not.
async fn crowded(ulimit: &str) -> (Cluster, usize, usize) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mut spec = Spec::new(&limited(dir.path(), ulimit).display().to_string(), 1, 1).in_sync();
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    load.until_more(40).await;
    let (idle, told) = idle(&cluster).await;
    for path in ["/livez", "/readyz", "/status"] {
        assert_eq!(probe(&cluster, path), "HTTP/1.1 200 OK", "{path}");
    }
    // A peer that comes back needs descriptors, too.
    cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("the replica's daemon runs");
    load.until_more(40).await;
    cluster.until_whole().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(probe(&cluster, path), "HTTP/1.1 200 OK", "{path}");
    }
    load.finish(&cluster).await.assert_unseen();
    (cluster, idle.len(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_the_soft_limit_of_descriptors_are_served_and_keep_no_peer_out() {
    let (_cluster, idle, told) = crowded("-Sn 1024").await;
    assert_eq!((idle, told), (CLIENTS, 0), "the soft limit is raised");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_hard_limit_of_descriptors_fewer_clients_are_let_in_and_keep_no_peer_out() {
    let (cluster, idle, told) = crowded("-n 1024").await;
    assert!(told >= 200 && idle < 1_024 - 224, "{idle} were let in, {told} told");
    let log = cluster.nodes[0].log_text();
    assert!(
        log.contains("too few descriptors for maxclients (ulimit -n): fewer clients are let in"),
        "{log}"
    );
}
