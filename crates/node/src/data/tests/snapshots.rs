//! Copies that are written beside the running node: of one moment, never clean, and the older one until the newer is there.

use super::*;
use crate::data::checkpoint::{Checkpoint, CheckpointError, Copy, load, take_snapshot, write};
use crate::data::status;
use crate::data::work::Work;
use ironcache_api::Holding;
use std::fs;
use std::path::Path;

const MINE: Option<ClusterId> = Some(ClusterId(7));

async fn read(dir: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
    load(dir, MINE, LEVELS, &Work::default()).await
}

/// A is primary of what is in `dir`, with some keys: small ones, a large slot and a large value.
fn filled(dir: &Path, world: &World) -> (Rc<DataNode>, Client) {
    let (mut plane, _proposals) = plane(A, world);
    let mut client = client(&mut plane);
    for n in 0..2_000 {
        answer(&mut plane, &mut client, &format!("SET key:{n} {}", "v".repeat(500)));
        answer(&mut plane, &mut client, &format!("SET {{t}}{n} {}", "x".repeat(500)));
    }
    answer(&mut plane, &mut client, &format!("SET {{t}}long {}", "y".repeat(2 << 20)));
    (node_in(dir.to_owned(), plane), client)
}

#[tokio::test]
async fn a_snapshot_is_the_dataset_as_it_is_at_its_end_whatever_is_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    let (node, mut client) = filled(dir.path(), &world);
    let (mut rounds, mut moments) = (0usize, std::collections::BTreeMap::new());
    let writes = async {
        loop {
            {
                let plane = &mut *node.plane.borrow_mut();
                for command in [
                    format!("SET {{t}}{} changed", rounds % 2_000),
                    format!("DEL {{t}}{}", 1_999 - rounds % 2_000),
                    format!("SET key:{} changed", (rounds * 37) % 3_000),
                    format!("RENAME {{t}}{} {{t}}{}", 700 + rounds % 100, 100 + rounds % 100),
                    format!("APPEND {{t}}long {rounds}"),
                    format!("RPUSH list:{} {rounds}", rounds % 50),
                    "MULTI".to_owned(),
                    "INCR {t}count".to_owned(),
                    format!("SADD {{t}}set {rounds}"),
                    "EXEC".to_owned(),
                ] {
                    run(plane, &mut client, &command);
                }
            }
            rounds += 1;
            moments.extend(Some(&*node.plane.borrow()).map(|now| (now.offset(), now.keyspace.fingerprint())));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let end = tokio::select! {
        biased;
        end = take_snapshot(&node) => end.unwrap(),
        () = writes => unreachable!("it never ends"),
    };
    assert!(rounds > 8, "{rounds}: it has to be under way while commands come");
    let snapshot = read(dir.path()).await.unwrap().unwrap();
    let Begun { copy, held: Held { offset, sealed_by, .. } } = snapshot.begun;
    assert_eq!((copy, offset, sealed_by), (Copy::Snapshot, end.saved.position.offset, None));
    assert_eq!(Some(&snapshot.keyspace.fingerprint()), moments.get(&offset), "of {} moments", moments.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// The next life of `me`, which begins with what lies in `dir`.
async fn next_life(me: Member, world: &mut World, dir: &Path) -> (Plane, Vec<Command>) {
    let me = world.restart(me);
    let (to_control, mut proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, super::FOR_EVER);
    let read = read(dir).await.unwrap().expect("a copy lies there");
    plane.begin_at(read.level);
    plane.loaded(read.keyspace, Some(read.begun.held));
    plane.apply_view(world.view());
    (plane, std::iter::from_fn(|| proposals.try_recv().ok()).map(|p| p.command).collect())
}

#[tokio::test]
async fn what_began_with_a_snapshot_is_never_taken_for_all_that_there_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::alone(AckMode::Primary);
    let epoch = world.shard().epoch;
    let (node, mut client) = filled(dir.path(), &world);
    let offset = take_snapshot(&node).await.unwrap().saved.position.offset;
    answer(&mut node.plane.borrow_mut(), &mut client, "SET acknowledged and-lost");
    // Killed. The next life stops in order before anybody decided anything, and what it writes is no better.
    let mut taken = None;
    for _ in 0..3 {
        let (plane, proposed) = next_life(A, &mut world, dir.path()).await;
        assert_eq!(proposed, [], "it does not reclaim");
        let Some(Holding::UpTo { epoch: held, offset: up_to, as_of_ms: Some(as_of_ms) }) =
            status::snapshot(&plane).status.holds
        else {
            panic!("it says what it holds, and of when that is")
        };
        assert_eq!((held, up_to), (epoch, offset));
        assert_eq!(*taken.get_or_insert(as_of_ms), as_of_ms, "a copy of it is not younger");
        write(&RefCell::new(plane), dir.path(), &Work::default()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_does_not_displace_a_newer_checkpoint_and_a_newer_one_is_begun_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::alone(AckMode::Primary);
    let (node, mut client) = filled(dir.path(), &world);
    take_snapshot(&node).await.unwrap();
    answer(&mut node.plane.borrow_mut(), &mut client, "SET later v");
    let end = node.plane.borrow().offset();
    node.plane.borrow_mut().on(Event::Sealed);
    write(&node.plane, dir.path(), &Work::default()).await.unwrap().unwrap();
    let (mut plane, proposed) = next_life(A, &mut world, dir.path()).await;
    assert!(matches!(proposed[..], [Command::Reclaim { end: all, .. }] if all == end), "{proposed:?}");
    // It serves again, and now the snapshot is the newer one.
    world.apply(&proposed[0]);
    plane.apply_view(world.view());
    let mut client = super::client(&mut plane);
    let (epoch, start) = (world.shard().epoch, end);
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start });
    plane.apply_view(world.view());
    answer(&mut plane, &mut client, "SET later still");
    let node = node_in(dir.path().to_owned(), plane);
    let taken = take_snapshot(&node).await.unwrap();
    let read = read(dir.path()).await.unwrap().unwrap().begun;
    assert_eq!((read.copy, read.held.offset), (Copy::Snapshot, taken.saved.position.offset));
    assert!(dir.path().join("checkpoint").exists());
}

#[tokio::test]
async fn a_copy_that_cannot_be_used_leaves_the_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    let (node, mut client) = filled(dir.path(), &world);
    take_snapshot(&node).await.unwrap();
    let older = node.plane.borrow().offset();
    answer(&mut node.plane.borrow_mut(), &mut client, "SET later v");
    write(&node.plane, dir.path(), &Work::default()).await.unwrap().unwrap();
    let path = dir.path().join("checkpoint");
    let good = fs::read(&path).unwrap();
    // In a part, where only reading it all finds it.
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    for bad in [bad, good[..good.len() - 1].to_vec(), good[..10].to_vec()] {
        fs::write(&path, &bad).unwrap();
        let read = read(dir.path()).await.unwrap().unwrap().begun;
        assert_eq!((read.copy, read.held.offset), (Copy::Snapshot, older));
        assert!(fs::read(dir.path().join("checkpoint.damaged")).unwrap() == bad);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn one_that_is_given_up_leaves_the_older_one_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::pair(AckMode::Primary);
    let (node, mut client) = filled(dir.path(), &world);
    take_snapshot(&node).await.unwrap();
    let before = fs::read(dir.path().join("snapshot")).unwrap();
    answer(&mut node.plane.borrow_mut(), &mut client, "SET later v");
    let stays = || {
        assert!(fs::read(dir.path().join("snapshot")).unwrap() == before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    };
    // The node stops.
    let stopped = async {
        tokio::task::yield_now().await;
        node.beside.hold().await
    };
    let (taken, held) = tokio::join!(take_snapshot(&node), stopped);
    assert!(taken.unwrap_err().to_string().contains("stops"));
    stays();
    drop(held);
    // What takes the place of a full disk here.
    fs::create_dir(dir.path().join("snapshot.tmp")).unwrap();
    assert!(take_snapshot(&node).await.is_err());
    fs::remove_dir(dir.path().join("snapshot.tmp")).unwrap();
    stays();
    // Writes outrun the disk by a whole backlog.
    let outrun = async {
        tokio::task::yield_now().await;
        let plane = &mut *node.plane.borrow_mut();
        let end = plane.offset();
        plane.backlog.reset(Offset(end.0 + 1));
    };
    let (taken, ()) = tokio::join!(take_snapshot(&node), outrun);
    assert!(ironcache_types::chain(&taken.unwrap_err()).to_string().contains("backlog"));
    stays();
    // Deposed, and not known to be of the shard's history any more.
    let isr_epoch = world.shard().isr_epoch;
    let shard_epoch = world.shard().epoch;
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    show(&node, &world);
    assert!(take_snapshot(&node).await.is_err());
    stays();
}

#[tokio::test]
async fn a_dataset_that_was_replaced_meanwhile_is_not_half_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    let (node, _client) = filled(dir.path(), &world);
    let replaced = async {
        tokio::task::yield_now().await;
        node.plane.borrow_mut().replaced += 1;
    };
    let (taken, ()) = tokio::join!(take_snapshot(&node), replaced);
    assert!(taken.is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
