//! The dataset on disk across a planned restart: written when the node drains, read when it starts.
//!
//! ```text
//!  checkpoint := head · position (lineage, epoch, offset; crc) · part* · end
//!  head := magic · version u16 · cluster id u128 · crc32 u32 of what is before it
//!  part := len u32 · crc32 u32 · effects that rebuild some slots
//!  end  := 0 u32 · crc32 u32 of the key count · key count u64
//! ```
//! Little-endian. Written to a temporary name, synced, renamed, and the directory synced.
//!
//! *Invariant:* a checkpoint is used once, and whole or not at all: it is taken away before anything newer is
//! applied.
//! *Invariant:* a checkpoint of another cluster is never resumed from: its epochs and offsets may coincide with this
//! cluster's, and say nothing about them.

use super::plane::Plane;
use super::role::Role;
use ironcache_keyspace::{EffectError, Keyspace, apply_effects};
use ironcache_replication::{Lineage, PositionError, SavedPosition};
use ironcache_types::{ClusterId, Offset, SLOT_COUNT, Slot};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

const NAME: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"ic-ckpt\n";
/// The format that this build writes and reads.
const VERSION: u16 = 1;
const HEAD_BYTES: usize = MAGIC.len() + 2 + 16 + 4;
/// A part is closed when it has this size: a few ms to apply, between which the thread serves others.
const PART_BYTES: usize = 1 << 20;
/// Bound of what is read for the position: a capped lineage is about a kilobyte.
const POSITION_BYTES_MAX: usize = 16 << 10;

pub struct Checkpoint {
    pub keyspace: Keyspace,
    pub lineage: Lineage,
    pub offset: Offset,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint cannot be read or written")]
    Io(#[from] io::Error),
    #[error("the file does not start as a checkpoint does")]
    NotACheckpoint,
    #[error("the checkpoint is written in version {found}; this release reads version {VERSION}")]
    Version { found: u16 },
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
    #[error("the checkpoint holds {found} keys and says {expected}")]
    Count { found: u64, expected: u64 },
}

/// Writes the dataset; answers the number of keys, or `None` if this node holds no whole dataset. It has to be sealed:
/// others run between the parts, and while the disk works.
pub async fn write(plane: &RefCell<Plane>, data_dir: &Path) -> Result<Option<u64>, CheckpointError> {
    let mut out = Vec::with_capacity(PART_BYTES + (PART_BYTES >> 2));
    {
        let plane = plane.borrow();
        let saved = match &plane.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.saved_position().ok().flatten(),
            Role::Primary(primary) => SavedPosition::at(&primary.lineage, plane.offset()),
        };
        let (Some(saved), Some(cluster)) = (saved, plane.view.state.cluster_id) else { return Ok(None) };
        out.extend_from_slice(&head(cluster));
        saved.encode(&mut out);
    }
    let (path, tmp) = (data_dir.join(NAME), data_dir.join("checkpoint.tmp"));
    let mut file = File::create(&tmp)?;
    file.write_all(&out)?;
    out.clear();
    let mut keys = 0u64;
    for slot in 0..SLOT_COUNT {
        keys += plane.borrow().keyspace.dump_slot(Slot(slot), &mut out) as u64;
        if out.len() >= PART_BYTES {
            write_part(&mut file, &out)?;
            out.clear();
            tokio::task::yield_now().await;
        }
    }
    if !out.is_empty() {
        write_part(&mut file, &out)?;
    }
    let count = keys.to_le_bytes();
    file.write_all(&0u32.to_le_bytes())?;
    file.write_all(&crc32fast::hash(&count).to_le_bytes())?;
    file.write_all(&count)?;
    let dir = data_dir.to_owned();
    let durable = tokio::task::spawn_blocking(move || {
        file.sync_all()?;
        fs::rename(&tmp, &path)?;
        File::open(dir)?.sync_all()
    });
    durable.await.map_err(io::Error::other)??;
    Ok(Some(keys))
}

fn head(cluster: ClusterId) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let crc_at = HEAD_BYTES - 4;
    head[..8].copy_from_slice(&MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[10..crc_at].copy_from_slice(&cluster.0.to_le_bytes());
    let crc = crc32fast::hash(&head[..crc_at]);
    head[crc_at..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// The cluster that a head names.
fn read_head(head: &[u8]) -> Result<ClusterId, CheckpointError> {
    if !head.starts_with(&MAGIC) {
        return Err(CheckpointError::NotACheckpoint);
    }
    let head: &[u8; HEAD_BYTES] = head.try_into().map_err(|_| CheckpointError::Torn { part: 0 })?;
    let (covered, crc) = head.split_at(HEAD_BYTES - 4);
    let found = u32::from_le_bytes(crc.try_into().expect("it ends with four bytes"));
    let computed = crc32fast::hash(covered);
    if found != computed {
        return Err(CheckpointError::Head { found, computed });
    }
    let found = u16::from_le_bytes([head[8], head[9]]);
    if found != VERSION {
        return Err(CheckpointError::Version { found });
    }
    Ok(ClusterId(u128::from_le_bytes(covered[10..].try_into().expect("sixteen bytes are left"))))
}

fn write_part(file: &mut File, part: &[u8]) -> Result<(), CheckpointError> {
    let len = u32::try_from(part.len()).map_err(|_| io::Error::other("one slot is larger than 4 GiB"))?;
    file.write_all(&len.to_le_bytes())?;
    file.write_all(&crc32fast::hash(part).to_le_bytes())?;
    Ok(file.write_all(part)?)
}

/// Reads the checkpoint, if there is one, and takes it away. A damaged one is set aside as
/// `checkpoint.damaged`, and one of another cluster than `mine` as `checkpoint.other-cluster`; a node that belongs to
/// none has no checkpoint of its own. Lets other tasks run between the parts.
pub async fn load(data_dir: &Path, mine: Option<ClusterId>) -> Result<Option<Checkpoint>, CheckpointError> {
    let path = data_dir.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let loaded = read(BufReader::with_capacity(PART_BYTES, file), mine).await;
    match &loaded {
        Ok(checkpoint) => {
            tracing::info!(keys = checkpoint.keyspace.len(), offset = %checkpoint.offset, "checkpoint read");
            fs::remove_file(&path)?;
        }
        Err(CheckpointError::OtherCluster { .. }) => {
            fs::rename(&path, data_dir.join("checkpoint.other-cluster"))?;
        }
        Err(_) => fs::rename(&path, data_dir.join("checkpoint.damaged"))?,
    }
    File::open(data_dir)?.sync_all()?;
    loaded.map(Some)
}

async fn read(mut file: impl Read, mine: Option<ClusterId>) -> Result<Checkpoint, CheckpointError> {
    let mut head = [0; HEAD_BYTES];
    let got = read_up_to(&mut file, &mut head)?;
    let found = read_head(&head[..got])?;
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
        let mut prefix = [0; 8];
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
            return Ok(Checkpoint { keyspace, lineage, offset: position.offset });
        }
        apply_effects(&mut keyspace, &bytes).map_err(|source| CheckpointError::Effect { part, source })?;
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
