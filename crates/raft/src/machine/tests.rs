//! The machine against its own restart, other copies of the log, and what it must not apply.

use super::*;
use crate::types::Entry;
use futures_util::stream;
use ironcache_control::Command;
use ironcache_formats::levels;
use ironcache_store::LevelFile;
use ironcache_types::{Digest, LevelRange, NodeId, PlanId, Release, RequestId, Version, WireRange};
use openraft::entry::RaftEntry;

const NODE: NodeId = NodeId(1);

/// What the machines here admit.
const ADMITS: LevelRange = levels::RANGE;

fn level(dir: &tempfile::TempDir) -> NodeLevel {
    NodeLevel::new(LevelFile::new(dir.path()), ADMITS).unwrap()
}

fn machine(dir: &tempfile::TempDir) -> StateMachine {
    StateMachine::open(SnapshotStore::new(dir.path().join("snapshot"), NODE), level(dir)).unwrap()
}

fn entry(request: u128, command: &Command) -> EntryBytes {
    entry::seal(command, RequestId(request), ADMITS.min).unwrap()
}

async fn feed(machine: &mut StateMachine, index: u64, entry: EntryBytes) -> io::Result<()> {
    let entry = Entry::new(LogId::new_term_index(1, index), EntryPayload::Normal(entry));
    machine.apply(stream::iter([Ok((entry, None))])).await
}

/// Of the state and the answers, as they are now.
fn hash(machine: &StateMachine) -> u64 {
    let machine = machine.lock();
    state::hash(&machine.control, machine.answers.iter()).unwrap()
}

/// Where the request was applied first, and the code of its refusal.
async fn apply(
    machine: &mut StateMachine,
    index: u64,
    request: u128,
    command: Command,
) -> (u64, Option<String>) {
    feed(machine, index, entry(request, &command)).await.unwrap();
    let Answer { request: _, index, refused } =
        machine.lock().answers.get(RequestId(request)).unwrap().clone();
    (index, refused)
}

fn found() -> Command {
    found_at(ADMITS.max.0)
}

/// A cluster whose one node admits levels up to `max`, so that it begins there.
fn found_at(max: u16) -> Command {
    let release = Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) };
    Command::InitCluster(ironcache_control::InitCluster {
        cluster_id: ironcache_types::ClusterId(9),
        nodes: vec![ironcache_control::NodeSpec {
            member: ironcache_types::Member { node: NODE, incarnation: ironcache_types::Incarnation(1) },
            client_addr: "127.0.0.1:7001".to_owned(),
            peer_addr: "127.0.0.1:17001".to_owned(),
            http_addr: "127.0.0.1:27001".to_owned(),
            tls_port: None,
            role: ironcache_control::NodeRole::Data,
            voter: true,
            shard: Some(ironcache_types::ShardId(0)),
            release,
            levels: LevelRange::new(1, max),
            launcher_protocol: WireRange::CURRENT,
            machine: ironcache_types::MachineId(1),
        }],
        shards: vec![ironcache_control::ShardSpec {
            id: ironcache_types::ShardId(0),
            slots: ironcache_types::SlotSet::part(0, 1),
            nodes: vec![NODE],
        }],
        policy: ironcache_control::Policy::default(),
        security: ironcache_control::NewSecurity::Insecure,
    })
}

fn resume() -> Command {
    Command::Resume { plan: PlanId(1) }
}

#[tokio::test]
async fn a_request_sent_again_gets_its_first_answer_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = machine(&dir);
    let refused = apply(&mut first, 1, 70, resume()).await;
    assert_eq!(refused, (1, Some("no_cluster".to_owned())));
    let founded = apply(&mut first, 2, 71, found()).await;
    assert_eq!(founded, (2, None));
    let hash = hash(&first);

    assert_eq!(apply(&mut first, 3, 70, resume()).await, refused);
    first.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut second = machine(&dir);
    assert_eq!(second.views().borrow().index, 3);
    assert_eq!(apply(&mut second, 4, 71, found()).await, founded);
    assert_eq!(apply(&mut second, 5, 70, resume()).await, refused);
    assert_eq!(self::hash(&second), hash);
    let anew = apply(&mut second, 6, 72, resume()).await;
    assert_eq!(anew, (6, Some("no_plan".to_owned())), "a new request is asked anew");
    assert_ne!(self::hash(&second), hash, "what is remembered is part of the state");
}

#[tokio::test]
async fn every_node_hashes_the_same_entries_however_they_arrive() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut one_by_one, mut at_once) = (machine(&one), machine(&many));
    let command = |index: u64| match index {
        1 => found(),
        _ => Command::RegisterRelease {
            info: ironcache_control::ReleaseInfo {
                release: Release { version: Version::new(2, index, 0), digest: Digest([index as u8; 32]) },
                size_bytes: 1,
                min_from: None,
                levels: LevelRange::new(1, 1),
                launcher_protocol: WireRange::CURRENT,
                hold: ironcache_control::StageHold::None,
            },
        },
    };
    let mut entries = Vec::new();
    let mut hashes = std::collections::BTreeMap::new();
    for index in 1..=6 * HASH_EVERY - 1 {
        apply(&mut one_by_one, index, u128::from(index), command(index)).await;
        let view = one_by_one.views().borrow().clone();
        hashes.insert(index, hash(&one_by_one));
        let kept = (1..=index / HASH_EVERY).rev().take(HASHES_KEPT).map(|at| at * HASH_EVERY);
        let mut expected: Vec<_> = kept.map(|index| StateHash { index, hash: hashes[&index] }).collect();
        expected.reverse();
        assert_eq!(view.hashes, expected, "after entry {index}");
        let entry = entry(u128::from(index), &command(index));
        let log_id = LogId::new_term_index(1, index);
        entries.push(Ok((Entry::new(log_id, EntryPayload::Normal(entry)), None)));
    }
    at_once.apply(stream::iter(entries)).await.unwrap();
    assert_eq!(at_once.views().borrow().hashes, one_by_one.views().borrow().hashes);
    assert_ne!(hashes[&HASH_EVERY], hashes[&(2 * HASH_EVERY)], "the states differ, so the hashes do");
}

#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    let mut slow = machine.get_snapshot_builder().await;
    apply(&mut machine, 2, 71, resume()).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    slow.build_snapshot().await.unwrap();
    assert_eq!(machine.snapshot_index(), Some(2));
    assert_eq!(self::machine(&dir).snapshot_index(), Some(2));
}

#[tokio::test]
async fn a_snapshot_that_is_still_being_built_never_follows_the_one_that_replaced_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let others = machine.snapshot().unwrap();
    apply(&mut machine, 2, 71, resume()).await;
    let mut slow = machine.get_snapshot_builder().await;
    machine.store().replace(&others).unwrap();
    slow.build_snapshot().await.unwrap();
    assert_eq!(self::machine(&dir).snapshot_index(), Some(1));
}

#[tokio::test]
async fn a_damaged_or_foreign_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let path = dir.path().join("snapshot");
    let foreign = SnapshotStore::new(path.clone(), NodeId(2));
    assert!(matches!(foreign.load(), Err(SnapshotError::OtherNode { .. })));
    let good = std::fs::read(&path).unwrap();
    let altered = (0..good.len()).map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        bad
    });
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    for (nth, bad) in altered.chain(cut).chain([[&good[..], &[0]].concat()]).enumerate() {
        std::fs::write(&path, &bad).unwrap();
        let opened = StateMachine::open(SnapshotStore::new(path.clone(), NODE), level(&dir));
        let refused = matches!(opened, Err(MachineError::Snapshot(SnapshotError::Unreadable { .. })));
        assert!(refused, "byte or length {nth} of {}", good.len());
        assert_eq!(std::fs::read(&path).unwrap(), bad, "it stays for people");
    }
}

/// `entry` with some of its bytes changed by its proposer: the CRC fits.
fn altered(entry: &EntryBytes, change: impl FnOnce(&mut [u8])) -> EntryBytes {
    let mut bytes = entry.as_bytes().to_vec();
    change(&mut bytes);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..28]);
    crc.update(&bytes[entry::HEADER_BYTES..]);
    bytes[28..32].copy_from_slice(&crc.finalize().to_le_bytes());
    EntryBytes::check(&bytes).unwrap()
}

/// Neither its kind nor its body means anything to this release.
fn of_level(level: Level, request: u128) -> EntryBytes {
    altered(&entry(request, &resume()), |bytes| {
        bytes[0..2].copy_from_slice(&999_u16.to_le_bytes());
        bytes[4..6].copy_from_slice(&level.0.to_le_bytes());
        bytes[entry::HEADER_BYTES..].fill(0xff);
    })
}

#[tokio::test]
async fn an_entry_above_the_level_is_refused_undecoded_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    let before = hash(&machine);
    feed(&mut machine, 2, of_level(ADMITS.max.next(), 71)).await.unwrap();
    let answer = Answer { request: RequestId(71), index: 2, refused: Some(NOT_YET.to_owned()) };
    assert_eq!(machine.lock().answers.get(RequestId(71)), Some(&answer));
    assert_ne!(hash(&machine), before, "every node has refused it");
    assert_eq!(machine.ended(), None);
}

#[tokio::test]
async fn an_entry_that_has_to_be_readable_and_is_not_ends_the_node_by_name() {
    let unreadable = [
        of_level(ADMITS.max, 71),
        altered(&entry(71, &resume()), |bytes| bytes[2] = 9),
        altered(&entry(71, &resume()), |bytes| bytes[6] = 1),
        altered(&entry(71, &found()), |bytes| bytes[entry::HEADER_BYTES + 20..].fill(0xff)),
    ];
    for entry in unreadable {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(&dir);
        apply(&mut machine, 1, 70, found()).await;
        let before = hash(&machine);
        feed(&mut machine, 2, entry.clone()).await.unwrap_err();
        let ended = machine.ended();
        assert!(matches!(&ended, Some(Ended::Unreadable { index: 2, .. })), "{entry}: {ended:?}");
        assert_eq!(hash(&machine), before, "{entry}: nothing is guessed");
        assert_eq!(machine.applied_state().await.unwrap().0.unwrap().index, 1);
    }
}

#[tokio::test]
async fn the_level_is_in_its_file_before_it_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    let file = LevelFile::new(dir.path());
    assert_eq!(file.read().unwrap(), None);
    // A file that cannot be raised is one that takes no level; the entry is not applied then.
    std::fs::write(dir.path().join("level"), "altered").unwrap();
    feed(&mut machine, 1, entry(70, &found())).await.unwrap_err();
    assert_eq!(machine.ended(), None, "another attempt may succeed");
    assert_eq!(machine.lock().control.cluster_id, None);
    std::fs::remove_file(dir.path().join("level")).unwrap();
    apply(&mut machine, 1, 70, found()).await;
    assert_eq!(file.read().unwrap(), Some(ADMITS.max));
    assert_eq!(machine.level.now(), ADMITS.max);
}

#[tokio::test]
async fn a_level_that_is_not_admitted_changes_nothing_and_ends_the_node() {
    let above = ADMITS.max.next();
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    feed(&mut machine, 1, entry(70, &found_at(above.0))).await.unwrap_err();
    assert_eq!(machine.ended(), Some(Ended::AboveLevel { level: above, admits: ADMITS }));
    let after = machine.views().borrow().clone();
    assert_eq!((after.index, after.state.cluster_id), (0, None));
    assert_eq!(LevelFile::new(dir.path()).read().unwrap(), None);
}

#[tokio::test]
async fn a_snapshot_above_the_levels_changes_nothing_and_ends_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    let before = hash(&machine);
    let above = ADMITS.max.next();
    let header = wire::Header { kind: wire::Kind::Snapshot, version: 9, level: above };
    let sealed = wire::seal(header, &"of a later release".to_owned()).unwrap();
    machine.install_snapshot(&SnapshotMeta::default(), Arc::new(sealed)).await.unwrap_err();
    assert_eq!(machine.ended(), Some(Ended::AboveLevel { level: above, admits: ADMITS }));
    assert_eq!(hash(&machine), before);
    assert_eq!(machine.snapshot_index(), None);
}

#[tokio::test]
async fn a_snapshot_that_is_not_what_its_writer_kept_is_not_installed() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = machine(&dir);
    apply(&mut machine, 1, 70, found()).await;
    let (before, bytes) = {
        let machine = machine.lock();
        let bytes = state::write(&machine.control, [], ADMITS.max).unwrap();
        (state::hash(&machine.control, machine.answers.iter()).unwrap(), bytes)
    };
    let header = wire::Header { kind: wire::Kind::Snapshot, version: 1, level: ADMITS.max };
    let sealed = wire::seal(header, &(state::hash_of(&bytes) ^ 1, bytes)).unwrap();
    let error = machine.install_snapshot(&SnapshotMeta::default(), Arc::new(sealed)).await.unwrap_err();
    let error = ironcache_types::chain(&error);
    assert!(error.contains("and its writer said"), "{error}");
    assert_eq!(hash(&machine), before);
}

#[tokio::test]
async fn a_machine_that_opens_its_snapshot_is_at_its_level_with_the_hash_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = machine(&dir);
    apply(&mut first, 1, 70, found()).await;
    for index in 2..=HASH_EVERY {
        apply(&mut first, index, u128::from(70 + index), resume()).await;
    }
    first.get_snapshot_builder().await.build_snapshot().await.unwrap();
    std::fs::remove_file(dir.path().join("level")).unwrap();
    let second = machine(&dir);
    assert_eq!(second.views().borrow().hashes, first.views().borrow().hashes);
    assert_eq!(LevelFile::new(dir.path()).read().unwrap(), Some(ADMITS.max));
}

/// A cluster at level 1 whose one node runs a plan's target, admits `max` and soaks: what is left is to finalize.
async fn soaking(dir: &tempfile::TempDir, admits: LevelRange, max: Level) -> StateMachine {
    let level = NodeLevel::new(LevelFile::new(dir.path()), admits).unwrap();
    let mut machine =
        StateMachine::open(SnapshotStore::new(dir.path().join("snapshot"), NODE), level).unwrap();
    apply(&mut machine, 1, 70, found_at(1)).await;
    {
        let mut machine = machine.lock();
        let control = Arc::make_mut(&mut machine.control);
        let node = control.nodes.get_mut(&NODE).unwrap();
        node.levels.max = max;
        let target = node.release.clone();
        control.last_plan = PlanId(1);
        control.plan = Some(ironcache_control::Plan {
            id: PlanId(1),
            started_by: ironcache_control::StartedBy::Operator,
            direction: ironcache_control::Direction::Forward,
            origin: target.clone(),
            target,
            turn: control.epoch,
            options: ironcache_control::PlanOptions::default(),
            phase: ironcache_control::Phase::Soaking { since_ms: 7, soaked_ms: 0 },
            epoch: control.epoch,
            start_leader: NODE,
            start_primaries: [].into(),
            steps: Vec::new(),
            handovers: Vec::new(),
            started_at_ms: 6,
        });
    }
    machine
}

fn finalize(machine: &StateMachine, level: Level) -> EntryBytes {
    let plan_epoch = machine.lock().control.plan.as_ref().unwrap().epoch;
    entry(71, &Command::Finalize { plan: PlanId(1), plan_epoch, level, at_ms: 8 })
}

#[tokio::test]
async fn a_finalize_that_raises_is_in_force_once_the_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (admits, next) = (LevelRange::new(1, 2), Level(2));
    let mut machine = soaking(&dir, admits, next).await;
    let entry = finalize(&machine, next);
    // The file cannot be raised: nothing is at the new level, and the entry can be tried again.
    std::fs::write(dir.path().join("level"), "altered").unwrap();
    feed(&mut machine, 2, entry.clone()).await.unwrap_err();
    assert_eq!((machine.ended(), machine.level.now()), (None, Level(1)));
    assert_eq!(machine.lock().control.cluster_level, Level(1));
    std::fs::write(dir.path().join("level"), LevelFile::line(Level(1))).unwrap();
    feed(&mut machine, 2, entry).await.unwrap();
    assert_eq!(machine.lock().control.cluster_level, next);
    assert_eq!(LevelFile::new(dir.path()).read().unwrap(), Some(next));
    assert_eq!(machine.level.now(), next, "from here on it seals at the new level");
}

#[tokio::test]
async fn a_committed_finalize_above_the_range_ends_the_node_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (admits, next) = (LevelRange::new(1, 1), Level(2));
    let mut machine = soaking(&dir, admits, next).await;
    let (entry, before) = (finalize(&machine, next), hash(&machine));
    feed(&mut machine, 2, entry).await.unwrap_err();
    assert_eq!(machine.ended(), Some(Ended::AboveLevel { level: next, admits }));
    assert_eq!(hash(&machine), before);
    assert_eq!(machine.applied_state().await.unwrap().0.unwrap().index, 1);
    assert_eq!(LevelFile::new(dir.path()).read().unwrap(), Some(Level(1)));
}

#[tokio::test]
async fn a_refused_finalize_raises_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let next = Level(2);
    let mut machine = soaking(&dir, LevelRange::new(1, 1), Level(1)).await;
    let entry = finalize(&machine, next);
    feed(&mut machine, 2, entry).await.unwrap();
    let answer = machine.lock().answers.get(RequestId(71)).unwrap().clone();
    assert_eq!(answer.refused.as_deref(), Some("cannot_read"), "the node does not admit the level");
    assert_eq!(LevelFile::new(dir.path()).read().unwrap(), Some(Level(1)));
}

/// Stored at level 1, raised by an entry of level 1, and gone on with at both: what a node reads again when it was killed
/// between a finalize and the writing anew of its log.
#[cfg(feature = "next")]
#[tokio::test]
async fn a_log_is_replayed_across_a_raise() {
    use ironcache_types::NEXT;
    let dir = tempfile::tempdir().unwrap();
    let mut machine = soaking(&dir, ADMITS, NEXT).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let zone = Command::SetZone { node: NODE, zone: "east".to_owned() };
    let zone = |request| entry::seal(&zone, RequestId(request), NEXT).unwrap();
    // Sealed too early, raised, sealed in time, and sealed by a node that has not seen the raise yet.
    let log = [zone(72), finalize(&machine, NEXT), zone(73), entry(74, &resume())];
    let feed_all = async |machine: &mut StateMachine| {
        for (index, entry) in (2..).zip(&log) {
            feed(machine, index, entry.clone()).await.unwrap();
        }
    };
    feed_all(&mut machine).await;
    let refused = machine.lock().answers.get(RequestId(72)).unwrap().refused.clone();
    assert_eq!(refused.as_deref(), Some(NOT_YET));
    assert_eq!(machine.lock().control.nodes[&NODE].zone.as_deref(), Some("east"));
    let before = hash(&machine);
    drop(machine);

    let mut again =
        StateMachine::open(SnapshotStore::new(dir.path().join("snapshot"), NODE), level(&dir)).unwrap();
    assert_eq!(again.lock().control.cluster_level, Level(1), "the snapshot is of before");
    feed_all(&mut again).await;
    assert_eq!((hash(&again), again.level.now()), (before, NEXT));
}
