//! The dataset on disk: whole, once, or not at all.

use super::*;
use crate::data::checkpoint::{CheckpointError, load, write};
use std::fs;
use std::path::Path;

fn written(dir: &Path) -> (Offset, u64) {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..100 {
        answer(&mut plane, &mut client, &format!("SET key:{n} value"));
    }
    answer(&mut plane, &mut client, "RPUSH list a b c");
    answer(&mut plane, &mut client, "SET volatile v PXAT 99999999999999");
    let keys = write(&plane, dir).unwrap().unwrap();
    (plane.offset(), keys)
}

#[tokio::test]
async fn a_checkpoint_is_read_back_once() {
    let dir = tempfile::tempdir().unwrap();
    let (offset, keys) = written(dir.path());
    let checkpoint = load(dir.path()).await.unwrap().unwrap();
    assert_eq!((checkpoint.offset, checkpoint.keyspace.len() as u64), (offset, keys));
    assert_eq!(keys, 102);
    let volatile = checkpoint.keyspace.get(b"volatile").unwrap();
    assert_eq!(volatile.expire_at_ms(), Some(99_999_999_999_999));
    assert!(load(dir.path()).await.unwrap().is_none(), "it would be overtaken by what was applied since");
}

#[tokio::test]
async fn every_altered_byte_and_every_cut_is_refused_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
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
        let error = load(dir.path()).await.err().expect("it is damaged");
        assert!(!matches!(error, CheckpointError::Io(_)), "{error}");
        assert!(!path.exists() && dir.path().join("checkpoint.damaged").exists());
    }
}

#[test]
fn half_a_dataset_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::pair(AckMode::InSync);
    let (plane, _proposals) = plane(B, &world);
    assert_eq!(write(&plane, dir.path()).unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
