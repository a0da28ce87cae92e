//! Nodes that start at another address than last time, and copies of their data directories.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Node, Ports, Spec, until};
use std::path::Path;

const REPLICA: usize = 1;

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    spec
}

/// Waits until node `index` serves, and the cluster says where.
async fn is_back(cluster: &Cluster, index: usize) {
    let back = until("the node answers where it is now", async || cluster.status(index).await).await;
    let client_addr = cluster.nodes[index].client_addr();
    cluster
        .until_cluster("the node is ready, in sync, and known where it is", |status| {
            let node = &status.control.nodes[&back.node];
            let here = node.incarnation == back.incarnation && node.client_addr == client_addr;
            let ready = status.nodes.get(&back.node).is_some_and(|brief| brief.ready);
            let mut shards = status.control.shards.values();
            let in_sync = node.shard.is_none() || shards.any(|shard| shard.in_sync.contains(&node.member()));
            (here && ready && in_sync).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_at_other_ports_is_found_and_serves() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start_plain(&cluster).await;
    // The replica, the primary (which also leads raft), the witness; each misses entries of the log while it is away.
    for index in [REPLICA, 0, 2] {
        assert!(cluster.nodes[index].stop().success());
        cluster.until_cluster("somebody leads", |status| Some(status.leader)).await;
        load.until_more(20).await;
        let ports = Ports::free(1)[0];
        assert_ne!(ports, cluster.nodes[index].ports);
        cluster.nodes[index].start_again_at(ports);
        is_back(&cluster, index).await;
        load.is_at(cluster.nodes[index].client_addr());
        load.until_more(20).await;
    }
    assert!(cluster.nodes[REPLICA].log_text().contains("the cluster knows where this node is"));
    // Now that all have moved, each of the two still takes over from the other.
    for index in [0, REPLICA] {
        assert!(cluster.nodes[index].stop().success());
        load.until_more(20).await;
        cluster.nodes[index].start_again();
        is_back(&cluster, index).await;
    }
    load.finish(&cluster).await.assert_unseen();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), &target).expect("it can be copied")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_running_nodes_directory_does_not_take_its_place() {
    let cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let before = cluster.status(REPLICA).await.expect("it answers");
    copy(&cluster.nodes[REPLICA].data_dir, &cluster.dir().join("node-9"));
    let ports = Ports::free(1)[0];
    let copied = Node::start(Path::new(PRODUCT), cluster.dir(), 9, ports, vec!["--insecure=yes".to_owned()]);
    let said = format!(
        "is that of node {}, which runs at 127.0.0.1:{} now, and this one would be at 127.0.0.1:{}",
        before.node, cluster.nodes[REPLICA].ports.peer, ports.peer
    );
    until("the copy says why it does not start", async || copied.log_text().contains(&said).then_some(()))
        .await;
    assert!(copied.log_text().contains("Start a new node with an empty --data-dir"), "{}", copied.log_text());
    // It was tried again by its launcher, and nothing came of it.
    until("the copy was started twice", async || {
        (copied.log_text().matches(&said).count() >= 2).then_some(())
    })
    .await;
    load.until_more(50).await;
    let after = cluster.status(REPLICA).await.expect("it answers");
    assert_eq!((after.incarnation, after.pid), (before.incarnation, before.pid));
    let registered = cluster.cluster().await.expect("it answers").control.nodes[&before.node].incarnation;
    assert_eq!(registered, before.incarnation);
    drop(copied);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}
