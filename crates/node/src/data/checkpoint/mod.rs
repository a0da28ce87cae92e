//! The dataset on disk: written when the node drains, and, where configured, beside the running node; read when it starts.
//!
//! ```text
//!  checkpoint := head · part* · end          snapshot: the same bytes, under another name (`beside`)
//!  head := version, level and cluster: `head`
//!  part := len u32 · crc32 u32 · effects of the head's level
//!  end  := what it is a copy of: `end`
//! ```
//! Little-endian. Written to a temporary name, synced, renamed, and the directory synced. The parts, applied in order to an
//! empty keyspace, give the dataset at the position that the end names. Of two copies the one that is further is read: of the
//! newer line of primaries, and then the longer.
//!
//! Neither side holds more of it in memory than a part and one value: a slot may go over several parts. What is written is
//! synced piece by piece, so that its progress is that of the disk; both sides count it ([`Work`]), and who waits for
//! them goes by that.
//!
//! Reading consumes nothing: the file stays until the log says that another copy is held (`retention`), or until the
//! next one replaces it. So one may be found that is older than what this node held when its last life was killed. That
//! is no danger: its (lineage, offset) say exactly what it holds, a prefix of what the shard's primary has or had. It is
//! resumed from there, or synced in full; and it is taken for the whole of a shard only if nobody, this node included,
//! has owned the shard since it was written (its last epoch is the shard's).
//!
//! *Invariant:* a checkpoint is used whole or not at all.
//! *Invariant:* one of a version or level that this release does not read stays as it is, under its name; only damage,
//! and another cluster's, is set aside. Nothing is deleted that was not read.
//! *Invariant:* a checkpoint of another cluster is never resumed from: its epochs and offsets may coincide with this
//! cluster's, and say nothing about them.

mod beside;
mod end;
#[cfg(test)]
mod fuzz;
mod head;
mod retention;
mod room;

pub(super) use beside::run as keep_snapshots;
#[cfg(test)]
pub(super) use beside::take as take_snapshot;
pub(crate) use beside::{Beside, Snapshots};
pub(super) use retention::let_go;
pub(super) use room::make_room;

use super::plane::Plane;
use super::work::Work;
use crate::clock::unix_ms;
use end::{END_BYTES_MAX, End};
use head::{HEAD_BYTES, Head, VERSION, read_head};
use ironcache_host::exec::spawn_blocking;
use ironcache_keyspace::{EffectError, Keyspace, apply_effects};
use ironcache_replication::{PositionError, SavedPosition};
use ironcache_shard::Held;
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{DiskError, publish, rename_durably};
use ironcache_types::{ClusterId, Epoch, Level, LevelRange, Offset, SLOT_COUNT, Slot, chain};
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const TMP: &str = "checkpoint.tmp";
/// A part is closed when it has this size: a few ms to apply, between which the thread serves others.
const PART_BYTES: usize = 1 << 20;
/// What is written is synced in pieces of this size. Larger, and a slow disk shows no progress for longer than others
/// wait for it (10 s at 1.6 MB/s); smaller, and a fast one waits for its queue to run empty each time.
const SYNC_BYTES: usize = 16 << 20;
/// Length and checksum of a part.
const PART_PREFIX_BYTES: usize = 8;

/// A copy of the dataset in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    /// Written at a stop.
    Checkpoint,
    /// Written beside the running node.
    Snapshot,
}

impl Copy {
    const ALL: [Copy; 2] = [Copy::Checkpoint, Copy::Snapshot];

    pub(super) fn name(self) -> &'static str {
        match self {
            Copy::Checkpoint => "checkpoint",
            Copy::Snapshot => "snapshot",
        }
    }

    pub(super) fn path(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.name())
    }
}

/// What a life began with.
pub(super) struct Checkpoint {
    pub level: Level,
    pub keyspace: Keyspace,
    pub begun: Begun,
}

/// Where it was read from, and what that says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub copy: Copy,
    pub held: Held,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error("the checkpoint cannot be read or written")]
    Io(#[from] io::Error),
    #[error("the checkpoint cannot be made durable")]
    Disk(#[from] DiskError),
    #[error("the file does not start as a checkpoint does")]
    NotACheckpoint,
    #[error("the checkpoint is written in version {found}; this release reads version {VERSION}")]
    Version { found: u16 },
    #[error("the checkpoint is written at level {found}; this release admits levels {admits}")]
    Level { found: Level, admits: LevelRange },
    #[error("the checkpoint's head is damaged: its checksum is {found:08x}, its bytes give {computed:08x}")]
    Head { found: u32, computed: u32 },
    #[error(
        "the checkpoint is of cluster {found}, and this node belongs to {}",
        mine.map_or_else(|| "none yet".to_owned(), |mine| format!("cluster {mine}"))
    )]
    OtherCluster { found: ClusterId, mine: Option<ClusterId> },
    #[error("the checkpoint's position is damaged")]
    Position(#[from] PositionError),
    #[error(
        "part {part} of the checkpoint is damaged: its checksum is {found:08x}, its bytes give {computed:08x}"
    )]
    Checksum { part: usize, found: u32, computed: u32 },
    #[error("the checkpoint's end is damaged: its checksum is {found:08x}, its bytes give {computed:08x}")]
    End { found: u32, computed: u32 },
    #[error("the checkpoint ends in the middle of part {part}")]
    Torn { part: usize },
    #[error("part {part} of the checkpoint cannot be applied")]
    Effect { part: usize, source: EffectError },
    #[error("the checkpoint needs {} MB, and its disk does not give them", needed_bytes.div_ceil(1_000_000))]
    NoRoom { needed_bytes: u64, source: io::Error },
    #[error("the checkpoint holds {found} keys and says {expected}")]
    Count { found: u64, expected: u64 },
}

/// What becomes of a checkpoint that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another release reads it, or the disk does later.
    Stays,
    /// It is of no use to anybody.
    Damaged,
    OtherCluster,
}

impl CheckpointError {
    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Io(_) | Self::Disk(_) | Self::NoRoom { .. } | Self::Version { .. } | Self::Level { .. } => {
                Fate::Stays
            }
            // Its checksum is right: it says what whoever wrote it meant.
            Self::Position(PositionError::Version { .. }) | Self::Effect { .. } => Fate::Stays,
            Self::OtherCluster { .. } => Fate::OtherCluster,
            Self::NotACheckpoint
            | Self::Head { .. }
            | Self::Position(
                PositionError::Truncated { .. }
                | PositionError::NotAPosition
                | PositionError::Checksum { .. }
                | PositionError::Shape
                | PositionError::Lineage(_)
                | PositionError::OutsideLineage { .. },
            )
            | Self::Checksum { .. }
            | Self::End { .. }
            | Self::Torn { .. }
            | Self::Count { .. } => Fate::Damaged,
        }
    }
}

/// Is there a checkpoint under its name?
pub(super) fn lies_there(data_dir: &Path) -> bool {
    disk::exists(&Copy::Checkpoint.path(data_dir)).unwrap_or(false)
}

/// Writes the dataset, at the level that this node has applied; answers the number of keys, or `None` if this node holds
/// no whole dataset. It has to be sealed: others run between the parts, and while the disk works. What was there before
/// is replaced, or stays as it is.
pub(super) async fn write(
    plane: &RefCell<Plane>,
    data_dir: &Path,
    work: &Work,
) -> Result<Option<u64>, CheckpointError> {
    write_at(unix_ms(), plane, data_dir, work).await
}

pub(super) async fn write_at(
    now_ms: u64,
    plane: &RefCell<Plane>,
    data_dir: &Path,
    work: &Work,
) -> Result<Option<u64>, CheckpointError> {
    let Some((head, end)) = begin_and_end(&plane.borrow(), now_ms) else { return Ok(None) };
    let keys = end.keys;
    let (path, tmp) = (Copy::Checkpoint.path(data_dir), data_dir.join(TMP));
    let written = match write_to(&tmp, plane, head, &end, work).await {
        Ok(file) => replace(file, tmp.clone(), path).await,
        Err(error) => Err(error),
    };
    if written.is_err() {
        // Half a checkpoint takes room from whoever needs it. The first error is the one to tell.
        let _ = disk::remove_file(&tmp);
    }
    written.map(|()| Some(keys))
}

/// What the checkpoint of a dataset says that stays as it is; `None` if it is not whole.
fn begin_and_end(plane: &Plane, now_ms: u64) -> Option<(Head, End)> {
    let saved = plane.engine.saved_position()?;
    // What was read and not changed since is what it was.
    let read = plane.engine.unchanged();
    let taken_ms = read.map_or(now_ms, |read| read.taken_ms);
    let sealed_by = match plane.primary() {
        Some(_) => Some(plane.me.incarnation),
        None => read.and_then(|read| read.sealed_by),
    };
    let head = Head { level: plane.level(), cluster: plane.view.state.cluster_id? };
    Some((head, End { sealed_by, taken_ms, keys: plane.keyspace.len() as u64, saved }))
}

async fn write_to(
    tmp: &Path,
    plane: &RefCell<Plane>,
    head: Head,
    end: &End,
    work: &Work,
) -> Result<File, CheckpointError> {
    // Not emptied: what was reserved for it is there (`room`).
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(tmp)?;
    file.write_all(&head.encode())?;
    let mut out = Vec::with_capacity(PART_BYTES + (PART_BYTES >> 2));
    let (mut len, mut synced) = (HEAD_BYTES, 0);
    for slot in 0..SLOT_COUNT {
        let full = out.len() >= PART_BYTES;
        dump_parts(&plane.borrow(), Slot(slot), head.level, &mut out, |part| {
            len += part.len() + PART_PREFIX_BYTES;
            write_part(&mut file, part)
        })?;
        if len - synced >= SYNC_BYTES {
            let piece = file.try_clone()?;
            spawn_blocking(move || piece.sync_data()).await.map_err(io::Error::other)??;
            work.add(len - synced);
            synced = len;
        } else if full {
            tokio::task::yield_now().await;
        }
    }
    if !out.is_empty() {
        len += out.len() + PART_PREFIX_BYTES;
        write_part(&mut file, &out)?;
    }
    let end = end.encode();
    file.write_all(&end)?;
    len += end.len();
    file.set_len(len as u64)?;
    work.add(len - synced);
    Ok(file)
}

/// Hands whole parts of the slot to `write`, and leaves what fills none in `out`. A part ends between two effects, of which
/// the largest is one value.
fn dump_parts(
    plane: &Plane,
    slot: Slot,
    level: Level,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let mut failed = None;
    plane.keyspace.dump_slot_by(slot, level, out, |out| {
        if out.len() >= PART_BYTES && failed.is_none() {
            failed = write(out).err();
            out.clear();
        }
    });
    failed.map_or(Ok(()), Err)
}

/// Makes the new file durable, and then the checkpoint.
async fn replace(file: File, tmp: PathBuf, path: PathBuf) -> Result<(), CheckpointError> {
    let durable = spawn_blocking(move || {
        let durable = publish(&file, &tmp, &path);
        if durable.is_err() && !disk::exists(&tmp).unwrap_or(true) {
            // It may be there after a power cut or not; and by then this node may have served on. What says that the
            // dataset ended here must not be found.
            let _ = disk::remove_file(&path);
        }
        durable.map_err(io::Error::other)
    });
    Ok(durable.await.map_err(io::Error::other)??)
}

fn write_part(file: &mut File, part: &[u8]) -> Result<(), CheckpointError> {
    let len = u32::try_from(part.len()).map_err(|_| io::Error::other("one value is larger than 4 GiB"))?;
    file.write_all(&len.to_le_bytes())?;
    file.write_all(&crc32fast::hash(part).to_le_bytes())?;
    Ok(file.write_all(part)?)
}

/// Reads the copy that is further, if there is one, and leaves it where it is; if that cannot be used, the other one. A
/// damaged one is set aside as `<name>.damaged`, and one of another cluster than `mine` as `<name>.other-cluster`; a node
/// that belongs to none has no copy of its own. Lets other tasks run between the parts.
///
/// # Errors
/// There is one, and none can be used: of the one that is further. What is wrong with another is told in the log.
pub(super) async fn load(
    data_dir: &Path,
    mine: Option<ClusterId>,
    levels: LevelRange,
    work: &Work,
) -> Result<Option<Checkpoint>, CheckpointError> {
    let (dir, tmps) = (data_dir.to_owned(), [data_dir.join(TMP), data_dir.join(beside::TMP)]);
    let found = spawn_blocking(move || {
        for tmp in tmps {
            // What a killed process left. Nobody reads it; whether it could be removed is seen when the next is written.
            let _ = disk::remove_file(tmp);
        }
        Copy::ALL.map(|copy| (copy, skim(&copy.path(&dir), mine, levels)))
    });
    let mut found: Vec<_> = found.await.map_err(io::Error::other)?.into_iter().collect();
    // What does not even say what it is comes first, to be dealt with; then the one that is further, and of equals the
    // checkpoint.
    found.sort_by_key(|(_, skimmed)| {
        skimmed.as_ref().ok().map(|end| std::cmp::Reverse(end.as_ref().and_then(reach)))
    });
    let mut failed: Option<CheckpointError> = None;
    for (copy, skimmed) in found {
        let read = match skimmed {
            Ok(None) => continue,
            Ok(Some(_)) => read_whole(copy, data_dir, mine, levels, work).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(checkpoint) => {
                if let Some(error) = failed {
                    let name = copy.name();
                    tracing::error!(
                        error = chain(&error),
                        "a copy of the dataset cannot be used; this node begins with its {name}"
                    );
                }
                let Held { offset, taken_ms, .. } = checkpoint.begun.held;
                tracing::info!(keys = checkpoint.keyspace.len(), %offset, taken_ms, "{} read", copy.name());
                return Ok(Some(checkpoint));
            }
            Err(error) => {
                match error.fate() {
                    Fate::Stays => {}
                    Fate::Damaged => set_aside(copy, data_dir, "damaged")?,
                    Fate::OtherCluster => set_aside(copy, data_dir, "other-cluster")?,
                }
                if let Some(second) = failed.replace(error).and_then(|first| failed.replace(first)) {
                    tracing::error!(error = chain(&second), "nor can its {} be used", copy.name());
                }
            }
        }
    }
    failed.map_or(Ok(None), Err)
}

/// How far a copy goes: the newest primary whose start it has reached, and the offset.
fn reach(end: &End) -> Option<(Epoch, Offset)> {
    let offset = end.saved.position.offset;
    let reached = end.saved.lineage.entries().iter().rev().find(|(_, start)| *start <= offset);
    reached.map(|(epoch, _)| (*epoch, offset))
}

fn set_aside(copy: Copy, data_dir: &Path, as_what: &str) -> Result<(), DiskError> {
    let path = copy.path(data_dir);
    rename_durably(&path, &path.with_extension(as_what))
}

/// The end of a copy whose head and lengths are in order, without what is in its parts; `None`: there is none.
fn skim(path: &Path, mine: Option<ClusterId>, levels: LevelRange) -> Result<Option<End>, CheckpointError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    read_whose(&mut file, mine, levels)?;
    for part in 0.. {
        match Prefix::read(&mut file, part)? {
            Prefix { len: 0, crc } => return read_end(&mut file, crc).map(Some),
            Prefix { len, .. } => file.seek(SeekFrom::Current(len.into()))?,
        };
    }
    unreachable!("the parts are endless, and the loop returns")
}

async fn read_whole(
    copy: Copy,
    data_dir: &Path,
    mine: Option<ClusterId>,
    levels: LevelRange,
    work: &Work,
) -> Result<Checkpoint, CheckpointError> {
    let mut file = BufReader::with_capacity(PART_BYTES, File::open(copy.path(data_dir))?);
    let level = read_whose(&mut file, mine, levels)?;
    let mut keyspace = Keyspace::new();
    let mut bytes = Vec::new();
    for part in 0.. {
        let Prefix { len, crc: found } = Prefix::read(&mut file, part)?;
        if len == 0 {
            let End { sealed_by, taken_ms, keys: expected, saved } = read_end(&mut file, found)?;
            let found = keyspace.len() as u64;
            if found != expected {
                return Err(CheckpointError::Count { found, expected });
            }
            let SavedPosition { position, lineage } = saved;
            let held = Held { lineage, offset: position.offset, sealed_by, taken_ms };
            let begun = Begun { copy, held };
            return Ok(Checkpoint { level, keyspace, begun });
        }
        bytes.clear();
        // The length may be garbage: memory follows what is there, not what is claimed.
        if file.by_ref().take(len.into()).read_to_end(&mut bytes)? as u64 != u64::from(len) {
            return Err(CheckpointError::Torn { part });
        }
        let computed = crc32fast::hash(&bytes);
        if computed != found {
            return Err(CheckpointError::Checksum { part, found, computed });
        }
        apply_effects(&mut keyspace, &bytes, level)
            .map_err(|source| CheckpointError::Effect { part, source })?;
        work.add(bytes.len() + PART_PREFIX_BYTES);
        tokio::task::yield_now().await;
    }
    unreachable!("the parts are endless, and the loop returns")
}

/// The level of a copy that is this cluster's.
fn read_whose(
    file: &mut impl Read,
    mine: Option<ClusterId>,
    levels: LevelRange,
) -> Result<Level, CheckpointError> {
    let mut head = [0; HEAD_BYTES];
    let got = read_up_to(file, &mut head)?;
    let Head { level, cluster: found } = read_head(&head[..got], levels)?;
    if mine == Some(found) { Ok(level) } else { Err(CheckpointError::OtherCluster { found, mine }) }
}

/// Of a part, or of the end.
struct Prefix {
    len: u32,
    crc: u32,
}

impl Prefix {
    fn read(file: &mut impl Read, part: usize) -> Result<Self, CheckpointError> {
        let mut prefix = [0; PART_PREFIX_BYTES];
        if read_up_to(file, &mut prefix)? < prefix.len() {
            return Err(CheckpointError::Torn { part });
        }
        let number =
            |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        Ok(Prefix { len: number(0), crc: number(4) })
    }
}

fn read_end(file: &mut impl Read, found: u32) -> Result<End, CheckpointError> {
    let mut body = Vec::new();
    file.take(END_BYTES_MAX as u64).read_to_end(&mut body)?;
    End::decode(&body, found)
}

fn read_up_to(file: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buf.len() {
        match file.read(&mut buf[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}
