//! The dataset on disk: whole, or not at all, and there until another copy is held.

use super::*;
use crate::data::checkpoint::{CheckpointError, let_go, load, write, write_at};
use crate::data::work::Work;
use expect_test::expect_file;
use futures_util::FutureExt;
use ironcache_replication::Position;
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
    let keys = write(&RefCell::new(plane), dir, &Work::default()).await.unwrap().unwrap();
    (offset, keys)
}

#[tokio::test]
async fn reading_a_checkpoint_consumes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (offset, keys) = written(dir.path()).await;
    assert_eq!(keys, 102);
    let before = fs::read(dir.path().join("checkpoint")).unwrap();
    fs::write(dir.path().join("checkpoint.tmp"), b"half of another one").unwrap();
    for _ in 0..2 {
        let checkpoint = load(dir.path(), MINE, LEVELS, &Work::default()).await.unwrap().unwrap();
        assert_eq!((checkpoint.begun.held.offset, checkpoint.keyspace.len() as u64), (offset, keys));
        let volatile = checkpoint.keyspace.get(b"volatile").unwrap();
        assert_eq!(volatile.expire_at_ms(), Some(99_999_999_999_999));
        assert_eq!(fs::read(dir.path().join("checkpoint")).unwrap(), before);
        assert!(!dir.path().join("checkpoint.tmp").exists(), "it only takes room");
    }
}

/// One life of a node that begins with what lies in `dir` and applies the world: its plane, and what it proposes.
async fn life(me: Member, world: &World, dir: &Path) -> (Plane, Vec<Command>) {
    let (to_control, mut proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, super::FOR_EVER);
    match load(dir, MINE, LEVELS, &Work::default()).await.unwrap() {
        Some(read) => {
            plane.begin_at(read.level);
            plane.loaded(read.keyspace, Some(read.begun.held));
        }
        None => drop(plane.loaded(Keyspace::new(), None)),
    }
    plane.apply_view(world.view());
    (plane, std::iter::from_fn(|| proposals.try_recv().ok()).map(|p| p.command).collect())
}

#[tokio::test]
async fn an_owner_that_is_killed_while_it_waits_for_a_quorum_finds_its_dataset_again() {
    let dir = tempfile::tempdir().unwrap();
    let (end, keys) = written(dir.path()).await;
    let mut world = World::alone(AckMode::Primary);
    // Everybody was stopped, and this node is back alone: it knows the log of before.
    for incarnation in 11..14 {
        let (plane, proposed) =
            life(Member { incarnation: Incarnation(incarnation), ..A }, &world, dir.path()).await;
        assert_eq!((plane.keyspace.len() as u64, proposed), (keys, vec![]));
    }
    let me = world.restart(Member { incarnation: Incarnation(14), ..A });
    let (plane, proposed) = life(me, &world, dir.path()).await;
    assert_eq!(plane.keyspace.len() as u64, keys);
    let (shard, shard_epoch) = (SHARD, world.shard().epoch);
    assert_eq!(proposed, [Command::Reclaim { shard, shard_epoch, member: me, of: A.incarnation, end }]);
}

#[tokio::test]
async fn a_checkpoint_from_before_the_last_ownership_is_not_taken_for_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (end, keys) = written(dir.path()).await;
    let mut world = World::alone(AckMode::Primary);
    let written_in = world.shard().epoch;
    let me = world.restart(A);
    let (mut plane, proposed) = life(me, &world, dir.path()).await;
    world.apply(&proposed[0]);
    plane.apply_view(world.view());
    let mut client = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut client, "SET newer v"), "+OK\r\n");
    assert!(plane.offset() > end);
    // Killed, and nobody else held that write.
    let me = world.restart(me);
    let (mut plane, proposed) = life(me, &world, dir.path()).await;
    assert_eq!(proposed, [], "what lies there lacks acknowledged writes");
    assert_eq!(plane.keyspace.len() as u64, keys);
    let position = Position { lineage_epoch: written_in, offset: end };
    assert_eq!(cursor(&mut plane).position(), Ok(Some(position)), "it says what it holds");
}

#[tokio::test]
async fn a_checkpoint_goes_when_the_set_is_two_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await;
    let path = dir.path().join("checkpoint");
    let mut world = World::alone(AckMode::Primary);
    let (plane, _proposals) = plane(A, &world);
    let node = node_in(dir.path().to_owned(), plane);
    let mut going =
        Box::pin(let_go(Rc::clone(&node), from_checkpoint(Lineage::new(Epoch(1), Offset(0)), Offset(0))));
    assert_eq!((&mut going).now_or_never(), None);
    let isr_epoch = world.shard().isr_epoch;
    world.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B });
    assert_eq!((&mut going).now_or_never(), None, "nothing was applied yet");
    assert!(path.exists());
    show(&node, &world);
    going.await;
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_node_wrote_when_it_stopped_is_not_removed_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::pair(AckMode::InSync);
    let (plane, _proposals) = plane(A, &world);
    let node = node_in(dir.path().to_owned(), plane);
    // The removal is about to begin, and then the node is stopped.
    let disk = node.disk.lock().await;
    let mut going =
        Box::pin(let_go(Rc::clone(&node), from_checkpoint(Lineage::new(Epoch(1), Offset(0)), Offset(0))));
    assert_eq!((&mut going).now_or_never(), None);
    node.on(Event::Sealed);
    write(&node.plane, dir.path(), &Work::default()).await.unwrap().unwrap();
    drop(disk);
    going.await;
    assert!(dir.path().join("checkpoint").exists());
}

#[tokio::test]
async fn a_checkpoint_that_another_release_wrote_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    written(dir.path()).await;
    let good = fs::read(&path).unwrap();
    let above = LEVELS.max.next();
    let said_of_level =
        format!("the checkpoint is written at level {above}; this release admits levels {LEVELS}");
    // (where in the head, what is there, what is said of it)
    let foreign = [
        (8, 2, "the checkpoint is written in version 2; this release reads version 1"),
        (10, above.0 as u8, &said_of_level),
    ];
    for (at, number, said) in foreign {
        let mut bytes = good.clone();
        bytes[at] = number;
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let error = load(dir.path(), MINE, LEVELS, &Work::default()).await.err().expect("it cannot be read");
        assert_eq!(error.to_string(), said);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was set aside");
        // A node without a dataset writes nothing over it.
        let (plane, _proposals) = plane(B, &World::pair(AckMode::InSync));
        assert_eq!(write(&RefCell::new(plane), dir.path(), &Work::default()).await.unwrap(), None);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_node_that_has_not_applied_the_raise_again_writes_no_lower_level() {
    let dir = tempfile::tempdir().unwrap();
    let raised = LEVELS.max.next();
    let admits = LevelRange { max: raised, ..LEVELS };
    let mut world = World::alone(AckMode::Primary);
    world.raise(raised);
    let (mut before, _proposals) = plane(A, &world);
    let mut client = client(&mut before);
    answer(&mut before, &mut client, "SET key value");
    write(&RefCell::new(before), dir.path(), &Work::default()).await.unwrap().unwrap();
    let read = load(dir.path(), MINE, admits, &Work::default()).await.unwrap().unwrap();
    assert_eq!(read.level, raised);
    // The log that is applied so far ends before the raise, and the node is stopped.
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let me = Member { incarnation: Incarnation(11), ..A };
    let mut after = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), admits, to_control, 1);
    grant(&mut after, super::FOR_EVER);
    after.begin_at(read.level);
    after.loaded(read.keyspace, Some(read.begun.held));
    after.apply_view(World::alone(AckMode::Primary).view());
    write(&RefCell::new(after), dir.path(), &Work::default()).await.unwrap().unwrap();
    assert_eq!(load(dir.path(), MINE, admits, &Work::default()).await.unwrap().unwrap().level, raised);
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    written(dir.path()).await;
    let before = fs::read(&path).unwrap();
    // What takes the place of a full disk here.
    fs::create_dir(dir.path().join("checkpoint.tmp")).unwrap();
    let (plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    assert!(matches!(
        write(&RefCell::new(plane), dir.path(), &Work::default()).await,
        Err(CheckpointError::Io(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
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
    plane.on(Event::Sealed);
    let (plane, turns, work) = (RefCell::new(plane), Cell::new(0), Work::default());
    let others = async {
        loop {
            // Nobody holds the plane for longer than a part takes.
            assert!(plane.try_borrow_mut().is_ok());
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let keys = tokio::select! {
        keys = write(&plane, dir.path(), &work) => keys.unwrap(),
        () = others => unreachable!("it never ends"),
    };
    assert_eq!(keys, Some(500));
    assert!(turns.get() >= 9, "{} turns beside 10 MB", turns.get());
    let len = fs::metadata(dir.path().join("checkpoint")).unwrap().len();
    assert_eq!(work.bytes(), len, "what is durable was counted, and nothing else");
}

/// The bytes of a copy of a few keys of each kind.
async fn small() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    for command in
        ["SET k v PXAT 99999999999999", "RPUSH list a b", "HSET hash f v", "SADD set a", "ZADD zset 1 a"]
    {
        answer(&mut plane, &mut client, command);
    }
    write(&RefCell::new(plane), dir.path(), &Work::default()).await.unwrap().unwrap();
    fs::read(dir.path().join("checkpoint")).unwrap()
}

#[tokio::test]
async fn every_altered_byte_every_cut_and_every_addition_is_refused_and_set_aside() {
    let good = small().await;
    let altered = (0..good.len()).flat_map(|at| {
        [0x01, 0x80, 0xff].map(|mask| {
            let mut bytes = good.clone();
            bytes[at] ^= mask;
            bytes
        })
    });
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let longer = [[good.clone(), vec![0]].concat(), [good.clone(), good.clone()].concat()];
    let dir = tempfile::tempdir().unwrap();
    for name in ["checkpoint", "snapshot"] {
        let path = dir.path().join(name);
        for bytes in altered.clone().chain(cut.clone()).chain(longer.clone()) {
            fs::write(&path, bytes).unwrap();
            let error = load(dir.path(), MINE, LEVELS, &Work::default()).await.err().expect("it is damaged");
            assert!(!matches!(error, CheckpointError::Io(_) | CheckpointError::Disk(_)), "{error}");
            assert!(!path.exists() && path.with_extension("damaged").exists(), "{error}");
        }
    }
}

proptest::proptest! {
    /// Whole checksums around anything: what is in them was written by nobody, and is still no panic.
    #[test]
    fn what_nobody_wrote_is_refused(
        parts in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40), 0..3),
        end in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut bytes = runtime.block_on(small())[..32].to_vec();
        let mut put = |len: usize, body: &[u8]| {
            bytes.extend_from_slice(&(len as u32).to_le_bytes());
            bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
            bytes.extend_from_slice(body);
        };
        parts.iter().for_each(|part| put(part.len(), part));
        put(0, &end);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("checkpoint"), bytes).unwrap();
        let loaded = runtime.block_on(load(dir.path(), MINE, LEVELS, &Work::default()));
        proptest::prop_assert!(loaded.is_err());
    }
}

#[tokio::test]
async fn half_a_dataset_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::pair(AckMode::InSync);
    let (plane, _proposals) = plane(B, &world);
    assert_eq!(write(&RefCell::new(plane), dir.path(), &Work::default()).await.unwrap(), None);
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
        let error = load(dir.path(), mine, LEVELS, &Work::default()).await.err().expect("it is of cluster 7");
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
    let mut world = World::alone(AckMode::Primary);
    world.raise(Level::FIRST);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET key value PXAT 99999999999999");
    answer(&mut plane, &mut client, "RPUSH list a b");
    let offset = plane.offset();
    write_at(1_700_000_000_000, &RefCell::new(plane), dir.path(), &Work::default()).await.unwrap().unwrap();
    let hex: String = fs::read(&path).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    expect_file!["golden/checkpoint-1.hex"].assert_eq(&format!("{hex}\n"));
    let bytes: Vec<u8> =
        (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap()).collect();
    fs::write(&path, bytes).unwrap();
    let read = load(dir.path(), MINE, LEVELS, &Work::default()).await.unwrap().unwrap();
    assert_eq!((read.begun.held.offset, read.keyspace.len()), (offset, 2));
    assert_eq!(read.keyspace.get(b"key").unwrap().expire_at_ms(), Some(99_999_999_999_999));
}
