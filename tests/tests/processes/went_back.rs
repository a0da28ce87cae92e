//! A node whose log is older than what it has promised, or gone: named, and it counts for nothing.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use ironcache_types::{Epoch, Incarnation};
use std::path::Path;

const REPLICA: usize = 1;
const WITNESS: usize = 2;
/// How a daemon, and its launcher, end when the node must not go on.
const WENT_BACK: i32 = 25;

fn trio() -> Spec {
    let timers = [("heartbeat-ms", 50), ("election-min-ms", 150), ("election-max-ms", 300)];
    let mut spec = Spec::new(PRODUCT, 1, 1).in_sync().with(&timers);
    spec.witnesses = 1;
    spec
}

/// `to` becomes what `from` is, with everything in it.
fn put_back(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => put_back(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), &target).expect("it can be copied")),
        }
    }
}

async fn readyz(cluster: &Cluster, index: usize) -> Option<(u16, String)> {
    let answer = reqwest::get(format!("http://{}/readyz", cluster.nodes[index].http_addr())).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// The newest life of the replica's node that the log has.
async fn registered(cluster: &Cluster) -> Incarnation {
    let nodes = cluster.cluster().await.expect("the cluster answers").control.nodes;
    let addr = cluster.nodes[REPLICA].client_addr();
    let node = nodes.values().find(|node| node.client_addr == addr);
    node.expect("the replica is a member").incarnation
}

async fn epoch(cluster: &Cluster) -> Epoch {
    cluster.cluster().await.expect("the cluster answers").control.epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_older_copy_of_its_directory_is_named_and_its_epochs_never_go_back() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start_plain(&cluster).await;
    load.until_more(50).await;
    let own = cluster.nodes[REPLICA].data_dir.clone();
    let (older, newest) = (cluster.dir().join("older"), cluster.dir().join("newest"));
    assert!(cluster.nodes[REPLICA].stop().success());
    put_back(&own, &older);
    // Another life of it registers, and follows the log further than the copy does.
    let first = registered(&cluster).await;
    cluster.nodes[REPLICA].start_again();
    until("the next life has registered", async || {
        (registered(&cluster).await > first && readyz(&cluster, REPLICA).await?.0 == 200).then_some(())
    })
    .await;
    cluster.until_whole().await;
    assert!(cluster.nodes[REPLICA].stop().success());
    put_back(&own, &newest);
    let before = epoch(&cluster).await;

    // Twice: what the first start leaves behind makes it no better.
    put_back(&older, &own);
    for _ in 0..2 {
        cluster.nodes[REPLICA].start_again();
        until("the node says that its log went back", async || {
            let (status, why) = readyz(&cluster, REPLICA).await?;
            (status == 503 && why.contains("log went back") && why.contains("as a new node")).then_some(())
        })
        .await;
        let told = cluster.status(REPLICA).await.expect("it answers").raft.went_back;
        assert!(told.is_some_and(|why| why.contains("counts for no vote")), "in its status too");
        load.until_more(20).await;
        assert!(epoch(&cluster).await >= before, "no epoch went back");
        cluster.nodes[REPLICA].signal_launcher(Signal::KILL);
        cluster.nodes[REPLICA].ended();
    }
    assert!(cluster.nodes[REPLICA].log_text().contains("takes part in nothing any more"), "and in its log");

    // With no third one, nothing is committed by its help.
    cluster.nodes[REPLICA].start_again();
    cluster.nodes[WITNESS].signal_launcher(Signal::KILL);
    cluster.nodes[WITNESS].ended();
    until("the primary has no majority", async || {
        let (status, why) = readyz(&cluster, 0).await?;
        (status == 503 && why.contains("leader")).then_some(())
    })
    .await;
    cluster.nodes[REPLICA].signal_launcher(Signal::KILL);
    cluster.nodes[REPLICA].ended();

    // Its own directory makes it a member again.
    put_back(&newest, &own);
    for index in [REPLICA, WITNESS] {
        cluster.nodes[index].start_again();
    }
    cluster.until_whole().await;
    assert!(epoch(&cluster).await >= before);
    load.until_more(20).await;
    load.finish(&cluster).await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_log_or_with_one_that_was_cut_does_not_start() {
    let mut cluster = Cluster::start(&trio()).await;
    let own = cluster.nodes[REPLICA].data_dir.clone();
    let newest = cluster.dir().join("newest");
    // A start after the one that made it a member: that it is one is in `node.json` by then.
    assert!(cluster.nodes[REPLICA].stop().success());
    put_back(&own, &newest);
    let before = epoch(&cluster).await;

    let wal = own.join("raft/raft.wal");
    let whole = std::fs::read(&wal).expect("it has a log");
    for (damage, said) in [
        (None, "there is no `raft.wal`"),
        (Some(whole[..whole.len() - 40].to_vec()), "its end was cut"),
        (Some([&whole[..whole.len() - 40], &[0; 40][..]].concat()), "its end was cut"),
    ] {
        put_back(&newest, &own);
        match damage {
            None => std::fs::remove_dir_all(own.join("raft")).expect("it is there"),
            Some(bytes) => std::fs::write(&wal, bytes).expect("it can be written"),
        }
        cluster.nodes[REPLICA].start_again();
        assert_eq!(cluster.nodes[REPLICA].ended().code(), Some(WENT_BACK), "{said}");
        let log = cluster.nodes[REPLICA].log_text();
        assert!(log.contains("log went back") && log.contains(said), "{log}");
    }
    assert!(epoch(&cluster).await >= before);

    put_back(&newest, &own);
    cluster.nodes[REPLICA].start_again();
    cluster.until_whole().await;
}
