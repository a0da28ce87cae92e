//! The dataset on disk across a planned restart: written when the node drains, read when it starts.
//!
//! ```text
//!  checkpoint := head · position (lineage, epoch, offset; crc) · part* · end
//!  head := version, level and cluster: `head`
//!  part := len u32 · crc32 u32 · effects of the head's level that rebuild some slots
//!  end  := 0 u32 · crc32 u32 of the key count · key count u64
//! ```
//! Little-endian. Written to a temporary name, synced, renamed, and the directory synced.
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

mod head;
mod retention;
mod room;

pub(super) use retention::let_go;
pub(super) use room::make_room;

use super::plane::Plane;
use super::work::Work;
use head::{HEAD_BYTES, Head, VERSION, read_head};
use ironcache_host::exec::spawn_blocking;
use ironcache_keyspace::{EffectError, Keyspace, apply_effects};
use ironcache_replication::{Lineage, PositionError, SavedPosition};
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::sync_dir;
use ironcache_types::{ClusterId, Level, LevelRange, Offset, SLOT_COUNT, Slot};
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "checkpoint";
const TMP: &str = "checkpoint.tmp";
/// A part is closed when it has this size: a few ms to apply, between which the thread serves others.
const PART_BYTES: usize = 1 << 20;
/// What is written is synced in pieces of this size. Larger, and a slow disk shows no progress for longer than others
/// wait for it (10 s at 1.6 MB/s); smaller, and a fast one waits for its queue to run empty each time.
const SYNC_BYTES: usize = 16 << 20;
/// Length and checksum of a part.
const PART_PREFIX_BYTES: usize = 8;
/// Bound of what is read for the position: a capped lineage is about a kilobyte.
const POSITION_BYTES_MAX: usize = 16 << 10;

pub(super) struct Checkpoint {
    pub level: Level,
    pub keyspace: Keyspace,
    pub lineage: Lineage,
    pub offset: Offset,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error("the checkpoint cannot be read or written")]
    Io(#[from] io::Error),
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
            Self::Io(_) | Self::NoRoom { .. } | Self::Version { .. } | Self::Level { .. } => Fate::Stays,
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
            | Self::Torn { .. }
            | Self::Count { .. } => Fate::Damaged,
        }
    }
}

/// Is there a checkpoint under its name?
pub(super) fn lies_there(data_dir: &Path) -> bool {
    disk::exists(&data_dir.join(NAME)).unwrap_or(false)
}

/// Writes the dataset, at the level that this node has applied; answers the number of keys, or `None` if this node holds
/// no whole dataset. It has to be sealed: others run between the parts, and while the disk works. What was there before
/// is replaced, or stays as it is.
pub(super) async fn write(
    plane: &RefCell<Plane>,
    data_dir: &Path,
    work: &Work,
) -> Result<Option<u64>, CheckpointError> {
    let (level, begin) = {
        let plane = plane.borrow();
        let (Some(saved), Some(cluster)) = (plane.engine.saved_position(), plane.view.state.cluster_id)
        else {
            return Ok(None);
        };
        let level = plane.level();
        let mut begin = Head { level, cluster }.encode().to_vec();
        saved.encode(&mut begin);
        (level, begin)
    };
    let (path, tmp) = (data_dir.join(NAME), data_dir.join(TMP));
    let written = match write_to(&tmp, plane, level, &begin, work).await {
        Ok((file, keys)) => replace(file, tmp.clone(), path).await.map(|()| keys),
        Err(error) => Err(error),
    };
    if written.is_err() {
        // Half a checkpoint takes room from whoever needs it. The first error is the one to tell.
        let _ = disk::remove_file(&tmp);
    }
    written.map(Some)
}

async fn write_to(
    tmp: &Path,
    plane: &RefCell<Plane>,
    level: Level,
    begin: &[u8],
    work: &Work,
) -> Result<(File, u64), CheckpointError> {
    // Not emptied: what was reserved for it is there (`room`).
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(tmp)?;
    file.write_all(begin)?;
    let mut out = Vec::with_capacity(PART_BYTES + (PART_BYTES >> 2));
    let (mut keys, mut len, mut synced) = (0u64, begin.len(), 0);
    for slot in 0..SLOT_COUNT {
        let full = out.len() >= PART_BYTES;
        keys += dump_parts(&plane.borrow(), Slot(slot), level, &mut out, |part| {
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
    let count = keys.to_le_bytes();
    file.write_all(&0u32.to_le_bytes())?;
    file.write_all(&crc32fast::hash(&count).to_le_bytes())?;
    file.write_all(&count)?;
    len += PART_PREFIX_BYTES + count.len();
    file.set_len(len as u64)?;
    work.add(len - synced);
    Ok((file, keys))
}

/// Hands whole parts of the slot to `write`, and leaves what fills none in `out`; answers the number of keys. A part ends
/// between two effects, of which the largest is one value.
fn dump_parts(
    plane: &Plane,
    slot: Slot,
    level: Level,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    let mut failed = None;
    let keys = plane.keyspace.dump_slot_by(slot, level, out, |out| {
        if out.len() >= PART_BYTES && failed.is_none() {
            failed = write(out).err();
            out.clear();
        }
    });
    failed.map_or(Ok(keys as u64), Err)
}

/// Makes the new file durable, and then the checkpoint.
async fn replace(file: File, tmp: PathBuf, path: PathBuf) -> Result<(), CheckpointError> {
    let durable = spawn_blocking(move || {
        file.sync_all()?;
        disk::rename(&tmp, &path)?;
        let durable = path.parent().map_or(Ok(()), sync_dir);
        if durable.is_err() {
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

/// Reads the checkpoint, if there is one, and leaves it where it is. A damaged one is set aside as
/// `checkpoint.damaged`, and one of another cluster than `mine` as `checkpoint.other-cluster`; a node that belongs to
/// none has no checkpoint of its own. Lets other tasks run between the parts.
pub(super) async fn load(
    data_dir: &Path,
    mine: Option<ClusterId>,
    levels: LevelRange,
    work: &Work,
) -> Result<Option<Checkpoint>, CheckpointError> {
    let tmp = data_dir.join(TMP);
    // What a killed process left. Nobody reads it; whether it could be removed is seen when the next one is written.
    let _ = spawn_blocking(move || disk::remove_file(tmp)).await;
    let path = data_dir.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let loaded = read(BufReader::with_capacity(PART_BYTES, file), mine, levels, work).await;
    match &loaded {
        Ok(checkpoint) => {
            tracing::info!(keys = checkpoint.keyspace.len(), offset = %checkpoint.offset, "checkpoint read");
        }
        Err(error) => match error.fate() {
            Fate::Stays => {}
            Fate::Damaged => set_aside(data_dir, "checkpoint.damaged")?,
            Fate::OtherCluster => set_aside(data_dir, "checkpoint.other-cluster")?,
        },
    }
    loaded.map(Some)
}

fn set_aside(data_dir: &Path, name: &str) -> io::Result<()> {
    disk::rename(data_dir.join(NAME), data_dir.join(name))?;
    sync_dir(data_dir).map_err(io::Error::other)
}

async fn read(
    mut file: impl Read,
    mine: Option<ClusterId>,
    levels: LevelRange,
    work: &Work,
) -> Result<Checkpoint, CheckpointError> {
    let mut head = [0; HEAD_BYTES];
    let got = read_up_to(&mut file, &mut head)?;
    let Head { level, cluster: found } = read_head(&head[..got], levels)?;
    if mine != Some(found) {
        return Err(CheckpointError::OtherCluster { found, mine });
    }
    let mut position = vec![0; POSITION_BYTES_MAX];
    let got = read_up_to(&mut file, &mut position)?;
    position.truncate(got);
    let (saved, used) = SavedPosition::decode(&position)?;
    let rest = position.split_off(used);
    let mut file = io::Cursor::new(rest).chain(file);
    let mut keyspace = Keyspace::new();
    let mut bytes = Vec::new();
    for part in 0.. {
        let torn = |_| CheckpointError::Torn { part };
        let mut prefix = [0; PART_PREFIX_BYTES];
        file.read_exact(&mut prefix).map_err(torn)?;
        let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
        let found = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
        bytes.clear();
        // The length may be garbage: memory follows what is there, not what is claimed.
        let wanted = if len == 0 { 8 } else { u64::from(len) };
        if file.by_ref().take(wanted).read_to_end(&mut bytes)? as u64 != wanted {
            return Err(CheckpointError::Torn { part });
        }
        let computed = crc32fast::hash(&bytes);
        if computed != found {
            return Err(CheckpointError::Checksum { part, found, computed });
        }
        if len == 0 {
            let expected = u64::from_le_bytes(bytes[..].try_into().expect("eight bytes were read"));
            let found = keyspace.len() as u64;
            if found != expected {
                return Err(CheckpointError::Count { found, expected });
            }
            let SavedPosition { position, lineage } = saved;
            return Ok(Checkpoint { level, keyspace, lineage, offset: position.offset });
        }
        apply_effects(&mut keyspace, &bytes, level)
            .map_err(|source| CheckpointError::Effect { part, source })?;
        work.add(bytes.len() + PART_PREFIX_BYTES);
        tokio::task::yield_now().await;
    }
    unreachable!("the parts are endless, and the loop returns")
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
