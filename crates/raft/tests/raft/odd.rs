//! A node that made something else of the log than the others begins anew from what they made of it.

use crate::commands::{init_cluster, register};
use crate::servers::{BOUND, Server, admitted, leader, options, position, three};
use ironcache_formats::snapshot as state_snapshot;
use ironcache_formats::wire::{self, Header, Kind};
use ironcache_raft::bodies::v1::SnapshotFile;
use ironcache_raft::{HASH_EVERY, ReloadError, StateHash};
use ironcache_types::{Level, LevelRange};
use std::path::Path;

/// As if memory had failed, or a release had a defect: the state in the file is another one, and vouches for itself.
fn make_odd(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let mut file: SnapshotFile = wire::open(Kind::SnapshotFile, &bytes).unwrap().body().unwrap();
    let mut snapshot = state_snapshot::open(&file.data, LevelRange::new(1, 1)).unwrap();
    snapshot.state.policy.settle_ms += 1;
    file.data = state_snapshot::seal(&snapshot.state, snapshot.answers.iter()).unwrap();
    let header = Header::at(Kind::SnapshotFile, Level::FIRST).unwrap();
    std::fs::write(path, wire::seal(header, &file).unwrap()).unwrap();
}

/// Entries, until every node has hashed one more of the indexes at which all do: what each has there.
async fn hashes(servers: &[Server]) -> Vec<StateHash> {
    static LIVES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1_000);
    let mut index = 0;
    let mut common = 0;
    while common == 0 || index < common {
        let life = LIVES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        index = servers[0].node.propose(register(1, life)).await.unwrap().index;
        if common == 0 {
            common = index.next_multiple_of(HASH_EVERY);
        }
    }
    let mut all = Vec::new();
    for server in servers {
        server.applied(common).await;
        let hashes = server.node.applied().borrow().hashes.clone();
        all.push(*hashes.iter().find(|hash| hash.index == common).expect("it was hashed just now"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_node_begins_anew_from_the_others_snapshot_and_is_odd_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = three(dir.path(), |_| {}).await;
    servers[0].node.propose(init_cluster()).await.unwrap();
    let all = hashes(&servers).await;
    assert!(all.iter().all(|hash| *hash == all[0]), "{all:?}");

    // A follower: who leads is not odd.
    let led_by = leader(&servers).await;
    let at = servers.iter().position(|server| server.id != led_by).unwrap();
    let odd = servers.remove(at);
    let (id, covers) = (odd.id, odd.node.view().last_applied.unwrap());
    odd.node.snapshot_file(covers).await.unwrap();
    let addr = odd.kill().await;
    make_odd(&dir.path().join(format!("node-{}", id.0)).join("snapshot"));
    servers.insert(at, Server::start(options(id.0, dir.path()), Some(addr)).await);
    admitted(&servers).await;
    let differ = hashes(&servers).await;
    let common = differ[(at + 1) % 3];
    assert_eq!(common, differ[(at + 2) % 3]);
    assert_ne!(common.hash, differ[at].hash, "it is odd, and nothing else shows it");

    let odd = servers.remove(at);
    let leads = &servers[position(&servers, leader(&servers).await)];
    for covers in [leads.node.applied().borrow().index + 1_000, u64::MAX] {
        let refused = leads.node.snapshot_file(covers).await.unwrap_err();
        assert!(matches!(refused, ReloadError::Ahead { .. }), "{refused}");
    }
    odd.applied(leads.node.applied().borrow().index).await;
    let file = leads.node.snapshot_file(odd.node.has_to_cover()).await.unwrap();
    for byte in (0..file.len()).step_by(5) {
        let mut altered = file.clone();
        altered[byte] ^= 0x20;
        assert!(odd.node.taken_over(&altered).is_err(), "byte {byte}");
    }
    let taken = odd.node.taken_over(&file).unwrap();
    assert_eq!(taken.from(), leads.id);
    let refused = odd.node.begin_anew(taken.clone()).await.unwrap_err();
    assert!(matches!(refused, ReloadError::StillRunning), "{refused}");
    let node = odd.node.clone();
    let addr = odd.kill().await;
    node.begin_anew(taken).await.unwrap();
    drop(node);
    servers.insert(at, Server::start(options(id.0, dir.path()), Some(addr)).await);
    admitted(&servers).await;
    let all = tokio::time::timeout(BOUND, hashes(&servers)).await.unwrap();
    assert!(all.iter().all(|hash| *hash == all[0]), "{all:?}");
    for server in servers {
        server.kill().await;
    }
}
