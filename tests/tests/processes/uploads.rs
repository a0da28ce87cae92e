//! Many who hand a node a binary at once: two are taken in, whatever each of them says it will send.

use crate::PRODUCT;
use crate::crowds::{GROWTH_MAX_BYTES, resident_bytes};
use ironcache_tests::{Cluster, Spec, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const CROWD: usize = 12;
/// What the product takes in at a time.
const AT_ONCE: usize = 2;
/// What each of those sends, of the gigabyte that it announces. Kept in memory it would be above the bound.
const SENT_BYTES: u64 = 48 << 20;
const _: () = assert!(AT_ONCE as u64 * SENT_BYTES > GROWTH_MAX_BYTES);

/// What is in the directory where binaries come in.
fn coming_in(cluster: &Cluster) -> Vec<u64> {
    let staged: PathBuf = cluster.nodes[0].data_dir.join("staged");
    let files = std::fs::read_dir(staged).expect("the directory is there");
    files.map(|file| file.expect("it can be listed").metadata().map_or(0, |file| file.len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binaries_that_come_in_together_take_little_memory_and_no_more_disk_than_two_of_them() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let before = resident_bytes(&cluster, 0);
    let head =
        format!("POST /v1/releases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30);
    let mut all: Vec<TcpStream> = (0..CROWD)
        .map(|_| {
            let mut stream =
                TcpStream::connect(cluster.nodes[0].http_addr()).expect("a node takes connections");
            stream.write_all(head.as_bytes()).expect("a head is taken");
            stream.set_nonblocking(true).expect("a socket can be set so");
            stream
        })
        .collect();
    // Whoever is beyond the bound is told before a byte of a body is here.
    let mut refused = Vec::new();
    until("all but two are told", async || {
        all.retain_mut(|stream| {
            let mut said = [0; 4096];
            let Ok(read @ 1..) = stream.read(&mut said) else { return true };
            refused.push(String::from_utf8_lossy(&said[..read]).into_owned());
            false
        });
        (all.len() == AT_ONCE).then_some(())
    })
    .await;
    for said in &refused {
        assert!(said.starts_with("HTTP/1.1 409") && said.contains("\"uploads\""), "{said}");
        assert!(said.contains("other binaries are coming in on this node; try again in a moment"), "{said}");
    }
    let piece = vec![7; 1 << 20];
    let mut most = before;
    for stream in &mut all {
        stream.set_nonblocking(false).expect("a socket can be set so");
        stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a socket can be set so");
        for _ in 0..SENT_BYTES >> 20 {
            stream.write_all(&piece).expect("the node takes it in");
            most = most.max(resident_bytes(&cluster, 0));
        }
    }
    until("what was sent is on the disk", async || {
        (coming_in(&cluster).iter().sum::<u64>() >= AT_ONCE as u64 * SENT_BYTES).then_some(())
    })
    .await;
    most = most.max(resident_bytes(&cluster, 0));
    assert_eq!(coming_in(&cluster), [SENT_BYTES; AT_ONCE]);
    eprintln!("resident: {} KiB before, {} KiB at most", before >> 10, most >> 10);
    assert!(most - before < GROWTH_MAX_BYTES, "{before} bytes became {most}");
    // They leave, and nothing of it stays.
    drop(all);
    until("nothing half received stays", async || coming_in(&cluster).is_empty().then_some(())).await;
}
