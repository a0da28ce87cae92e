//! The dataset on disk: whole, once, or not at all.

use super::*;
use crate::data::checkpoint::{CheckpointError, load, write};
use std::fs;
use std::path::Path;

/// The cluster of [`World`].
const MINE: Option<ClusterId> = Some(ClusterId(7));

async fn written(dir: &Path) -> (Offset, u64) {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..100 {
        answer(&mut plane, &mut client, &format!("SET key:{n} value"));
    }
    answer(&mut plane, &mut client, "RPUSH list a b c");
    answer(&mut plane, &mut client, "SET volatile v PXAT 99999999999999");
    let offset = plane.offset();
    let keys = write(&RefCell::new(plane), dir).await.unwrap().unwrap();
    (offset, keys)
}

#[tokio::test]
async fn a_checkpoint_is_read_back_once() {
    let dir = tempfile::tempdir().unwrap();
    let (offset, keys) = written(dir.path()).await;
    let checkpoint = load(dir.path(), MINE).await.unwrap().unwrap();
    assert_eq!((checkpoint.offset, checkpoint.keyspace.len() as u64), (offset, keys));
    assert_eq!(keys, 102);
    let volatile = checkpoint.keyspace.get(b"volatile").unwrap();
    assert_eq!(volatile.expire_at_ms(), Some(99_999_999_999_999));
    assert!(
        load(dir.path(), MINE).await.unwrap().is_none(),
        "it would be overtaken by what was applied since"
    );
}

#[tokio::test]
async fn others_run_while_a_checkpoint_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..500 {
        answer(&mut plane, &mut client, &format!("SET key:{n} {}", "x".repeat(20_000)));
    }
    plane.seal();
    let (plane, turns) = (RefCell::new(plane), Cell::new(0));
    let others = async {
        loop {
            // Nobody holds the plane for longer than a part takes.
            assert!(plane.try_borrow_mut().is_ok());
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let keys = tokio::select! {
        keys = write(&plane, dir.path()) => keys.unwrap(),
        () = others => unreachable!("it never ends"),
    };
    assert_eq!(keys, Some(500));
    assert!(turns.get() >= 9, "{} turns beside 10 MB", turns.get());
}

#[tokio::test]
async fn every_altered_byte_and_every_cut_is_refused_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await;
    let path = dir.path().join("checkpoint");
    let good = fs::read(&path).unwrap();
    let mut bad: Vec<Vec<u8>> = (0..good.len())
        .step_by(11)
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            bytes
        })
        .collect();
    bad.extend((0..good.len()).step_by(97).map(|len| good[..len].to_vec()));
    for bytes in bad {
        fs::write(&path, bytes).unwrap();
        let error = load(dir.path(), MINE).await.err().expect("it is damaged");
        assert!(!matches!(error, CheckpointError::Io(_)), "{error}");
        assert!(!path.exists() && dir.path().join("checkpoint.damaged").exists());
    }
}

#[tokio::test]
async fn half_a_dataset_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::pair(AckMode::InSync);
    let (plane, _proposals) = plane(B, &world);
    assert_eq!(write(&RefCell::new(plane), dir.path()).await.unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_checkpoint_of_another_cluster_is_set_aside_and_not_resumed_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    // The raft state of a node without a cluster was erased, or never was: what lies there is of somebody else.
    for mine in [Some(ClusterId(8)), None] {
        written(dir.path()).await;
        let before = fs::read(&path).unwrap();
        let error = load(dir.path(), mine).await.err().expect("it is of cluster 7");
        assert!(matches!(error, CheckpointError::OtherCluster { found: ClusterId(7), .. }), "{error}");
        assert!(!path.exists());
        assert_eq!(fs::read(dir.path().join("checkpoint.other-cluster")).unwrap(), before, "kept for people");
    }
}

/// This file never changes: each later release reads it.
#[tokio::test]
async fn the_first_format_stays_readable() {
    let golden = include_str!("golden/checkpoint-1.hex").trim();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET key value PXAT 99999999999999");
    answer(&mut plane, &mut client, "RPUSH list a b");
    let offset = plane.offset();
    write(&RefCell::new(plane), dir.path()).await.unwrap().unwrap();
    let hex: String = fs::read(&path).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, golden);
    let bytes: Vec<u8> =
        (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap()).collect();
    fs::write(&path, bytes).unwrap();
    let read = load(dir.path(), MINE).await.unwrap().unwrap();
    assert_eq!((read.offset, read.keyspace.len()), (offset, 2));
    assert_eq!(read.keyspace.get(b"key").unwrap().expire_at_ms(), Some(99_999_999_999_999));
}
