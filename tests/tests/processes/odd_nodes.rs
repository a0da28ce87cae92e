//! A node that holds another control state than the others finds its way back to theirs.

use crate::PRODUCT;
use ironcache_formats::snapshot;
use ironcache_formats::wire::{self, Header, Kind};
use ironcache_raft::bodies::v1::SnapshotFile;
use ironcache_tests::{Cluster, Load, Spec, until};
use ironcache_types::{LEVELS, Level, NodeId};
use std::path::Path;

const REPLICA: usize = 1;

/// As if its memory had failed, or its release had a defect: another state, in a file that vouches for itself.
fn make_odd(file: &Path) {
    let bytes = std::fs::read(file).expect("it has a snapshot");
    let mut of_raft: SnapshotFile =
        wire::open(Kind::SnapshotFile, &bytes).and_then(|opened| opened.body()).expect("it is whole");
    let mut snapshot = snapshot::open(&of_raft.data, LEVELS).expect("it is whole");
    snapshot.state.removed.push_back(NodeId(99));
    of_raft.data = snapshot::seal(&snapshot.state, snapshot.answers.iter()).expect("it can be written");
    let header = Header::at(Kind::SnapshotFile, Level::FIRST).expect("there is such a level");
    std::fs::write(file, wire::seal(header, &of_raft).expect("it can be written"))
        .expect("it can be written");
}

/// Of the control state, at one and the same entry.
async fn hashes_agree(cluster: &Cluster) -> Option<()> {
    let first = cluster.status(0).await?;
    for index in 1..cluster.nodes.len() {
        let other = cluster.status(index).await?;
        let same =
            (other.raft.last_applied, &other.state_hash) == (first.raft.last_applied, &first.state_hash);
        same.then_some(())?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_node_takes_over_what_the_others_hold_and_nothing_is_lost() {
    let mut spec = Spec::new(PRODUCT, 1, 1).in_sync();
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    let load = Load::start_plain(&cluster).await;
    load.until_more(50).await;
    let status = cluster.status(REPLICA).await.expect("it answers");
    let url = format!("http://{}/node/snapshot?covers={}", status.peer_addr, status.raft.last_applied);
    assert!(reqwest::get(url).await.expect("it answers").status().is_success(), "it takes a snapshot");
    assert!(cluster.nodes[REPLICA].stop().success());
    make_odd(&cluster.nodes[REPLICA].data_dir.join("raft/snapshot"));
    cluster.nodes[REPLICA].start_again();
    let odd = until("it is back, and nothing shows what it holds", async || {
        let now = cluster.status(REPLICA).await?;
        (now.incarnation > status.incarnation && now.data.in_sync).then_some(now)
    })
    .await;

    // Entries, until all have hashed their states at one index.
    let mut days = 0;
    let said = "its next process begins from theirs";
    until("it is told, and begins anew", async || {
        days = days % 7 + 1;
        cluster.set_policy("finalize-after-s", &(days * 86_400).to_string()).await;
        cluster.nodes[REPLICA].log_text().contains(said).then_some(())
    })
    .await;
    until("its next process serves", async || {
        let status = cluster.status(REPLICA).await?;
        (status.incarnation > odd.incarnation && status.data.in_sync).then_some(())
    })
    .await;
    cluster.until_whole().await;
    until("all hold the same state", async || hashes_agree(&cluster).await).await;
    let kept = cluster.nodes[REPLICA].data_dir.join("reloaded");
    assert!(std::fs::read_to_string(kept).expect("it is noted").contains(&status.release.digest.to_string()));
    load.until_more(50).await;
    load.finish(&cluster).await.assert_nothing_lost();
}
