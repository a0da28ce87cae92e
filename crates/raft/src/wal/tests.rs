//! The log against openraft's own suite, against every damage of its file, and against power cuts.

use super::file::{DiskFile, LogFile};
use super::record::Record;
use super::*;
use crate::level::NodeLevel;
use crate::machine::StateMachine;
use crate::snapshot::SnapshotStore;
use crate::types::{Membership, PeerAddr, TypeConfig};
use ironcache_formats::levels;
use ironcache_store::LevelFile;
use openraft::entry::RaftEntry;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, StorageError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

const NODE: NodeId = NodeId(7);

/// A file in memory, as the kernel shows it and as the disk holds it. Clones share it: a process that is killed and
/// started again reads what the kernel shows; after a power cut there is what the disk holds.
#[derive(Clone, Default)]
struct MemoryFile {
    state: Arc<Mutex<Memory>>,
    fail_sync: Arc<AtomicBool>,
}

#[derive(Default)]
struct Memory {
    exists: bool,
    content: Vec<u8>,
    disk: Vec<u8>,
    /// What is dirty, from here to the end of `content`. A failed sync leaves nothing dirty and nothing written.
    dirty_from: usize,
    syncs: usize,
    replaced: usize,
    distrusted: bool,
    noted: Option<u64>,
}

impl Memory {
    fn flush(&mut self) {
        self.disk.resize(self.dirty_from, 0);
        self.disk.extend_from_slice(&self.content[self.dirty_from..]);
        self.dirty_from = self.content.len();
    }
}

impl MemoryFile {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap()
    }

    fn content(&self) -> Vec<u8> {
        self.memory().content.clone()
    }

    /// The machine after a power cut: of the dirty bytes, the first `kept` are there.
    fn after_power_cut(&self, kept: usize) -> MemoryFile {
        let memory = self.memory();
        let dirty = &memory.content[memory.dirty_from..];
        let content = [&memory.disk[..], &dirty[..kept.min(dirty.len())]].concat();
        let file = MemoryFile::with(content);
        file.memory().distrusted = memory.distrusted;
        file.memory().noted = memory.noted;
        file
    }

    /// All of it on the disk.
    fn with(content: Vec<u8>) -> MemoryFile {
        let file = MemoryFile::default();
        let (disk, dirty_from) = (content.clone(), content.len());
        *file.memory() = Memory { exists: true, content, disk, dirty_from, ..Memory::default() };
        file
    }

    /// What a process left that was killed between its last write, from `dirty_from` on, and the sync.
    fn killed_before_sync(content: Vec<u8>, dirty_from: usize) -> MemoryFile {
        let file = MemoryFile::with(content);
        file.memory().disk.truncate(dirty_from);
        file.memory().dirty_from = dirty_from;
        file
    }
}

impl LogFile for MemoryFile {
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let memory = self.memory();
        Ok(memory.exists.then(|| memory.content.clone()))
    }

    fn settle(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory().content.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut memory = self.memory();
        if self.fail_sync.load(Ordering::Relaxed) {
            memory.dirty_from = memory.content.len();
            return Err(io::Error::other("the disk is gone"));
        }
        memory.flush();
        memory.syncs += 1;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut memory = self.memory();
        memory.content.truncate(len as usize);
        memory.dirty_from = memory.dirty_from.min(len as usize);
        memory.flush();
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.fail_sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        let mut memory = self.memory();
        *memory = Memory {
            exists: true,
            content: bytes.to_vec(),
            disk: bytes.to_vec(),
            dirty_from: bytes.len(),
            syncs: memory.syncs,
            replaced: memory.replaced + 1,
            distrusted: false,
            noted: memory.noted,
        };
        Ok(())
    }

    fn distrust(&mut self) -> io::Result<()> {
        self.memory().distrusted = true;
        Ok(())
    }

    fn is_distrusted(&mut self) -> io::Result<bool> {
        Ok(self.memory().distrusted)
    }

    fn note_synced(&mut self, next: u64) -> io::Result<()> {
        self.memory().noted = Some(next);
        Ok(())
    }

    fn noted(&mut self) -> Option<u64> {
        self.memory().noted
    }
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn entry(term: u64, index: u64) -> Entry {
    let members = std::collections::BTreeMap::from([(7, PeerAddr("127.0.0.1:17001".to_owned()))]);
    let membership = Membership::new(vec![[7].into()], members).unwrap();
    let payload =
        if index.is_multiple_of(2) { EntryPayload::Blank } else { EntryPayload::Membership(membership) };
    Entry::new(id(term, index), payload)
}

/// A callback and where its verdict arrives.
fn watched() -> (Done, Receiver<io::Result<()>>) {
    let (sent, received) = channel();
    (Box::new(move |result| drop(sent.send(result))), received)
}

fn append(wal: &Wal, term: u64, indexes: std::ops::RangeInclusive<u64>) -> io::Result<()> {
    let (done, durable) = watched();
    wal.append(indexes.map(|index| entry(term, index)).collect(), done)?;
    durable.recv().unwrap()
}

fn vote(wal: &Wal, term: u64) -> io::Result<()> {
    let (done, durable) = watched();
    wal.save_vote(Vote::new(term, 7), done)?;
    durable.recv().unwrap()
}

fn admit(wal: &Wal, life: u64) -> io::Result<()> {
    let (done, durable) = watched();
    wal.save_life(Incarnation(life), done)?;
    durable.recv().unwrap()
}

/// Vote, life, cluster, what is purged, the last entry, all entries.
type Content =
    (Option<Vote>, Option<Incarnation>, Option<ClusterId>, Option<LogId>, Option<LogId>, Vec<Entry>);

/// Everything a log says, to compare two of them.
fn content(wal: &Wal) -> Content {
    (wal.vote(), wal.life(), wal.cluster(), wal.purged(), wal.last(), wal.entries(..))
}

/// A log with every kind of record, each in a frame of its own, and where each frame ends.
fn full_file() -> (MemoryFile, Vec<usize>) {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    let mut ends = vec![file.content().len()];
    let mut frame = |wal: &Wal, written: io::Result<()>| {
        written.unwrap();
        // A durable vote behind it: what has no callback of its own is in the file by now.
        vote(wal, ends.len() as u64).unwrap();
        ends.push(file.content().len());
    };
    let (done, joined) = watched();
    wal.save_cluster(ClusterId(5), done).unwrap();
    frame(&wal, joined.recv().unwrap());
    frame(&wal, admit(&wal, 1));
    frame(&wal, append(&wal, 1, 1..=6));
    frame(&wal, wal.truncate_after(Some(id(1, 4))));
    frame(&wal, append(&wal, 2, 5..=9));
    frame(&wal, wal.save_committed(Some(id(2, 8))));
    frame(&wal, wal.purge(id(1, 3)));
    frame(&wal, append(&wal, 2, 10..=11));
    wal.stop();
    (file, ends)
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(DiskFile::new(dir.path().join("raft.wal")), NODE).unwrap();
        let level = NodeLevel::new(LevelFile::new(dir.path()), levels::RANGE).unwrap();
        let machine =
            StateMachine::open(SnapshotStore::new(dir.path().join("snapshot"), NODE), level).unwrap();
        Ok((dir, LogStore::new(wal), machine))
    }
}

#[test]
fn the_suite_of_openraft_passes() {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(Suite::test_all(Builder))
        .unwrap();
}

#[test]
fn a_log_reads_back_what_was_written() {
    let (file, _) = full_file();
    let wal = Wal::open(file, NODE).unwrap();
    let (vote, life, cluster, purged, last, entries) = content(&wal);
    assert_eq!((vote, cluster), (Some(Vote::new(8, 7)), Some(ClusterId(5))));
    assert_eq!(life, Some(Incarnation(1)));
    assert_eq!((purged, last, wal.committed()), (Some(id(1, 3)), Some(id(2, 11)), Some(id(2, 8))));
    let ids: Vec<LogId> = entries.iter().map(|entry| entry.log_id).collect();
    assert_eq!(ids, [id(1, 4), id(2, 5), id(2, 6), id(2, 7), id(2, 8), id(2, 9), id(2, 10), id(2, 11)]);
    assert_eq!(entries[1], entry(2, 5));
}

#[test]
fn the_table_of_levels_says_which_version_is_written() {
    use ironcache_formats::levels::{Format, RANGE, version_at, versions_read};
    assert_eq!(version_at(Format::Wal, RANGE.max), Some(frame::VERSION));
    assert_eq!(versions_read(Format::Wal), Some((frame::VERSION, frame::VERSION)));
}

#[test]
fn the_file_is_what_it_was_when_the_format_was_made() {
    let first = [
        Record::Cluster(ClusterId(0xc0ffee)),
        Record::Vote(Vote::new_committed(3, 7).into()),
        Record::Life(Incarnation(4 << 32 | 5)),
        Record::Entry((&entry(3, 1)).into()),
        Record::Entry((&entry(3, 2)).into()),
        Record::Entry((&entry(3, 3)).into()),
    ];
    let second = [
        Record::Truncate(Some(id(3, 2).into())),
        Record::Committed(Some(id(3, 2).into())),
        Record::Purge(id(3, 1).into()),
    ];
    let file = [
        frame::header(NODE, 0),
        frame::encode(0, &encode(&first).unwrap()),
        frame::encode(1, &encode(&second).unwrap()),
    ]
    .concat();
    let golden = expect_test::expect_file!["../../tests/golden/wal.hex"];
    golden.assert_eq(&ironcache_formats::wire::hex(&file));
    let wal = Wal::open(MemoryFile::with(ironcache_formats::wire::unhex(&golden.data())), NODE).unwrap();
    assert_eq!((wal.cluster(), wal.vote()), (Some(ClusterId(0xc0ffee)), Some(Vote::new_committed(3, 7))));
    assert_eq!((wal.purged(), wal.committed()), (Some(id(3, 1)), Some(id(3, 2))));
    assert_eq!(wal.life(), Some(Incarnation(4 << 32 | 5)));
    assert_eq!(wal.entries(..), [entry(3, 2)]);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_written_over() {
    let (file, _) = full_file();
    let whole = file.content();
    let (frames, tail) = frame::scan(&whole, 0);
    assert_eq!(tail, Tail::Clean);
    let starts: Vec<usize> = frames.iter().map(|frame| frame.at).collect();
    for len in frame::HEADER_BYTES..whole.len() {
        let torn = MemoryFile::with(whole[..len].to_vec());
        let wal = Wal::open(torn.clone(), NODE).unwrap_or_else(|error| panic!("cut to {len}: {error}"));
        let kept = *starts.iter().rev().find(|start| **start <= len).unwrap();
        let kept = if starts.contains(&len) { len } else { kept };
        assert_eq!(torn.content().len(), kept, "cut to {len}");
        let at_frame_end = Wal::open(MemoryFile::with(whole[..kept].to_vec()), NODE).unwrap();
        assert_eq!(content(&wal), content(&at_frame_end), "cut to {len}");
        vote(&wal, 99).unwrap();
        wal.stop();
        assert_eq!(Wal::open(torn, NODE).unwrap().vote(), Some(Vote::new(99, 7)), "cut to {len}");
    }
}

#[test]
fn a_tail_of_zeros_or_garbage_is_torn() {
    let (file, _) = full_file();
    for tail in [vec![0; 4096], vec![0xff; 300], (0..200).collect()] {
        let torn = MemoryFile::with([file.content(), tail].concat());
        let wal = Wal::open(torn, NODE).unwrap();
        assert_eq!(content(&wal), content(&Wal::open(file.clone(), NODE).unwrap()));
    }
}

#[test]
fn any_byte_altered_before_the_last_frame_is_refused_and_nothing_is_changed() {
    let (file, _) = full_file();
    let whole = file.content();
    let (frames, _) = frame::scan(&whole, 0);
    let last = frames.last().unwrap().at;
    for at in 0..last {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        let damaged = MemoryFile::with(bytes.clone());
        let error = Wal::open(damaged.clone(), NODE).expect_err("altered byte is found");
        if at < frame::HEADER_BYTES {
            assert!(matches!(error, WalError::Header(_)), "byte {at}: {error}");
        } else {
            let frame = frames.iter().rev().find(|frame| frame.at <= at).unwrap();
            assert!(matches!(error, WalError::Corrupt { at, .. } if at == frame.at), "byte {at}: {error}");
            assert!(error.to_string().contains(&frame.at.to_string()), "the text says where");
        }
        assert_eq!(damaged.content(), bytes, "byte {at}");
    }
}

#[test]
fn a_frame_that_is_missing_or_repeated_is_refused() {
    let (file, _) = full_file();
    let whole = file.content();
    let (frames, _) = frame::scan(&whole, 0);
    let (second, third) = (frames[1].at, frames[2].at);
    let missing = [&whole[..second], &whole[third..]].concat();
    assert!(matches!(Wal::open(MemoryFile::with(missing), NODE), Err(WalError::Corrupt { .. })));
    let repeated = [&whole[..third], &whole[second..]].concat();
    assert!(matches!(Wal::open(MemoryFile::with(repeated), NODE), Err(WalError::Corrupt { .. })));
}

#[test]
fn a_log_of_another_node_or_format_is_refused() {
    let (file, _) = full_file();
    let error = Wal::open(file.clone(), NodeId(8)).unwrap_err();
    assert!(matches!(error, WalError::Header(HeaderError::OtherNode { found: NODE, .. })), "{error}");
    let mut later = file.content();
    later[4] = 9;
    let damaged = Wal::open(MemoryFile::with(later.clone()), NODE).unwrap_err();
    assert!(matches!(damaged, WalError::Header(HeaderError::Checksum)), "a bit of the version: {damaged}");
    let crc = crc32fast::hash(&later[..frame::HEADER_BYTES - 4]);
    later[frame::HEADER_BYTES - 4..frame::HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    let newer = MemoryFile::with(later.clone());
    let error = Wal::open(newer.clone(), NODE).unwrap_err();
    assert!(matches!(error, WalError::Header(HeaderError::Version { found: 9 })), "{error}");
    assert_eq!(newer.content(), later, "nothing is changed");
    assert!(Wal::open(MemoryFile::with(b"REDIS0011".to_vec()), NODE).is_err());
    assert!(Wal::open(MemoryFile::with(vec![]), NODE).is_err());
}

#[test]
fn a_record_of_an_unknown_kind_is_refused() {
    let mut records = Vec::new();
    Record::Vote(Vote::new(3, 7).into()).encode_into(&mut records).unwrap();
    records[0] = 200;
    let bytes = [frame::header(NODE, 0), frame::encode(0, &records)].concat();
    let error = Wal::open(MemoryFile::with(bytes), NODE).unwrap_err();
    let kind = matches!(error, WalError::Record { source: RecordError::UnknownKind { kind: 200 }, .. });
    assert!(kind, "{error}");
}

#[test]
fn a_hole_is_refused_in_memory_and_on_disk() {
    let wal = Wal::open(MemoryFile::default(), NODE).unwrap();
    append(&wal, 1, 1..=2).unwrap();
    assert!(append(&wal, 1, 4..=4).is_err());
    let mut records = Vec::new();
    for index in [1, 3] {
        Record::Entry((&entry(1, index)).into()).encode_into(&mut records).unwrap();
    }
    let bytes = [frame::header(NODE, 0), frame::encode(0, &records)].concat();
    assert!(matches!(Wal::open(MemoryFile::with(bytes), NODE), Err(WalError::Index { .. })));
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    for kept in 0..60 {
        let file = MemoryFile::default();
        let wal = Wal::open(file.clone(), NODE).unwrap();
        vote(&wal, 3).unwrap();
        append(&wal, 3, 1..=5).unwrap();
        let acknowledged = content(&wal);
        // Not acknowledged: it may survive, in part or not at all, but it may harm nothing.
        let unsynced = encode(&[Record::Vote(Vote::new(4, 7).into())]).unwrap();
        file.clone().append(&frame::encode(2, &unsynced)).unwrap();
        let back = Wal::open(file.after_power_cut(kept), NODE).unwrap();
        let (vote, life, cluster, purged, last, entries) = content(&back);
        assert!(vote == acknowledged.0 || vote == Some(Vote::new(4, 7)));
        assert_eq!((life, cluster, purged), (None, None, None));
        assert_eq!((last, entries), (acknowledged.4, acknowledged.5.clone()));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    vote(&wal, 1).unwrap();
    file.fail_sync.store(true, Ordering::Relaxed);
    assert!(vote(&wal, 2).is_err());
    // The disk seems to be well again. What it lost meanwhile nobody knows.
    file.fail_sync.store(false, Ordering::Relaxed);
    let size = file.content().len();
    assert!(append(&wal, 2, 1..=1).is_err());
    assert!(vote(&wal, 3).is_err());
    wal.purge(id(1, 1)).unwrap();
    wal.stop();
    assert_eq!(file.content().len(), size, "and nothing more is written");
    assert_eq!(Wal::open(file.after_power_cut(0), NODE).unwrap().vote(), Some(Vote::new(1, 7)));
}

#[test]
fn what_a_killed_process_left_unsynced_is_durable_before_it_is_read_back() {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    vote(&wal, 1).unwrap();
    wal.stop();
    let synced = file.content();
    let unsynced = encode(&[Record::Vote(Vote::new(2, 7).into())]).unwrap();
    let whole = [&synced[..], &frame::encode(1, &unsynced)].concat();
    let left = MemoryFile::killed_before_sync(whole, synced.len());
    let wal = Wal::open(left.clone(), NODE).unwrap();
    assert_eq!(
        wal.vote(),
        Some(Vote::new(2, 7)),
        "by which this process may answer at once, without a write"
    );
    let back = Wal::open(left.after_power_cut(0), NODE).unwrap();
    assert_eq!(back.vote(), wal.vote(), "or it could vote once more in that term");
}

#[test]
fn after_a_failed_sync_the_next_process_writes_the_file_anew() {
    for mended in [false, true] {
        let file = MemoryFile::default();
        let wal = Wal::open(file.clone(), NODE).unwrap();
        vote(&wal, 1).unwrap();
        file.fail_sync.store(true, Ordering::Relaxed);
        assert!(vote(&wal, 2).is_err());
        assert!(wal.failure().borrow().is_some());
        file.fail_sync.store(false, Ordering::Relaxed);
        if mended {
            let (done, written) = watched();
            wal.mend(done).unwrap();
            written.recv().unwrap().unwrap();
            assert!(vote(&wal, 3).is_err(), "this process has said that it acknowledges nothing");
        }
        wal.stop();
        // The kernel shows vote 2 and calls it clean; it is on no disk.
        let next = Wal::open(file.clone(), NODE).unwrap();
        assert_eq!(next.vote(), Some(Vote::new(2, 7)));
        append(&next, 2, 1..=1).unwrap();
        next.stop();
        let back = Wal::open(file.after_power_cut(0), NODE).unwrap();
        assert_eq!((back.vote(), back.last()), (Some(Vote::new(2, 7)), Some(id(2, 1))), "mended: {mended}");
    }
}

#[test]
fn a_log_that_cannot_be_made_durable_is_readable_and_acknowledges_nothing() {
    let (file, _) = full_file();
    file.fail_sync.store(true, Ordering::Relaxed);
    let wal = Wal::open(file.clone(), NODE).unwrap();
    assert_eq!(wal.last(), Some(id(2, 11)));
    assert!(wal.failure().borrow().is_some(), "it is told at once");
    file.fail_sync.store(false, Ordering::Relaxed);
    assert!(vote(&wal, 99).is_err(), "what it would stand on is not on the disk");
    wal.stop();
    vote(&Wal::open(file, NODE).unwrap(), 99).unwrap();
}

#[test]
fn a_log_whose_end_was_cut_or_overwritten_is_refused_by_name() {
    let (file, _) = full_file();
    let whole = file.content();
    let (frames, _) = frame::scan(&whole, 0);
    let synced = file.clone().noted().unwrap();
    assert_eq!(synced, frames.len() as u64);
    for frame in &frames {
        let cut = whole[..frame.at].to_vec();
        let mut zeroed = whole.clone();
        zeroed[frame.at..].fill(0);
        for content in [cut, zeroed] {
            let damaged = MemoryFile::with(content.clone());
            damaged.clone().note_synced(synced).unwrap();
            let error = Wal::open(damaged.clone(), NODE).unwrap_err();
            let found = frame.sequence;
            assert!(matches!(error, WalError::WentBack { found: at, .. } if at == found), "{error}");
            assert_eq!(damaged.content(), content, "nothing is changed");
        }
    }
}

#[test]
fn the_note_of_what_is_synced_stays_true_over_compactions_and_restarts() {
    let file = MemoryFile::default();
    let mut last = 0;
    for round in 1..=4 {
        let wal = Wal::open(file.clone(), NODE).unwrap();
        let first = wal.last().map_or(1, |id| id.index + 1);
        append(&wal, round, first..=first + 49_999).unwrap();
        wal.purge(id(round, first + 49_990)).unwrap();
        vote(&wal, round).unwrap();
        wal.stop();
        let noted = file.clone().noted().unwrap();
        assert!(noted > last, "of two states of one log the later one has the higher sequence");
        last = noted;
    }
    assert!(file.memory().replaced > 1, "it was compacted");
}

#[test]
fn many_appends_share_a_sync() {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    let held = file.memory();
    let durable: Vec<_> = (1..=100)
        .map(|index| {
            let (done, durable) = watched();
            wal.append(vec![entry(1, index)], done).unwrap();
            durable
        })
        .collect();
    drop(held);
    for durable in durable {
        durable.recv().unwrap().unwrap();
    }
    assert!(file.memory().syncs <= 3, "{} syncs", file.memory().syncs);
}

#[test]
fn a_committed_index_is_written_without_a_sync_of_its_own_and_at_last() {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    append(&wal, 1, 1..=3).unwrap();
    wal.save_committed(Some(id(1, 2))).unwrap();
    wal.save_committed(Some(id(1, 3))).unwrap();
    wal.stop();
    assert!(file.memory().syncs <= 2);
    assert_eq!(Wal::open(file, NODE).unwrap().committed(), Some(id(1, 3)));
}

#[test]
fn purging_keeps_the_file_small_and_what_is_live() {
    let file = MemoryFile::default();
    let wal = Wal::open(file.clone(), NODE).unwrap();
    vote(&wal, 1).unwrap();
    let mut next = 1;
    while file.memory().replaced < 4 {
        append(&wal, 1, next..=next + 999).unwrap();
        next += 1000;
        wal.purge(id(1, next - 10)).unwrap();
        vote(&wal, next).unwrap();
        assert!(next < 10_000_000, "it is compacted at last");
    }
    assert!(file.content().len() < 2 * DEAD_BYTES_MAX as usize + (100 << 10), "{}", file.content().len());
    append(&wal, 2, next..=next).unwrap();
    let before = content(&wal);
    wal.stop();
    let after = content(&Wal::open(file, NODE).unwrap());
    assert_eq!(after, before);
    assert_eq!(after.3, Some(id(1, next - 10)));
}

#[test]
fn a_compaction_on_disk_leaves_one_file_that_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raft.wal");
    let wal = Wal::open(DiskFile::new(path.clone()), NODE).unwrap();
    append(&wal, 1, 1..=90_000).unwrap();
    let long = std::fs::metadata(&path).unwrap().len();
    wal.purge(id(1, 89_990)).unwrap();
    append(&wal, 1, 90_001..=90_001).unwrap();
    let before = content(&wal);
    wal.stop();
    assert!(std::fs::metadata(&path).unwrap().len() < long / 100);
    assert_eq!(content(&Wal::open(DiskFile::new(path), NODE).unwrap()), before);
}
