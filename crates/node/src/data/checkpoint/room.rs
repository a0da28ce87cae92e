//! Room for a checkpoint, before anything is given up for it.
//!
//! ```text
//!  reserve what memory takes ──there──► the node may drain
//!     │ not there
//!  count what it comes to on disk ─► reserve that ──there──► the node may drain
//!                                        └── not there ──► nothing is held, and nothing was given up
//! ```
//! What is reserved is the temporary file itself: nobody takes it meanwhile, and what was too much is cut off when the
//! checkpoint is complete. A file system that reserves nothing (it says so) is believed to have room; that it has not is
//! then seen when the checkpoint is written.

use super::{CheckpointError, PART_BYTES, PART_PREFIX_BYTES, TMP, dump_parts};
use crate::data::plane::Plane;
use ironcache_host::exec::spawn_blocking;
use ironcache_store::disk::{self, File};
use ironcache_types::{SLOT_COUNT, Slot};
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

/// Head, position and end, and what is written while the size is counted: a node that holds the only copy serves until it
/// is sealed.
const SLACK_BYTES: u64 = 1 << 20;

/// Reserves what the checkpoint of this dataset will take.
///
/// # Errors
/// The disk does not give that much: [`CheckpointError::NoRoom`] says how much it is.
pub(crate) async fn make_room(plane: &RefCell<Plane>, data_dir: &Path) -> Result<(), CheckpointError> {
    let tmp = data_dir.join(TMP);
    // Never less than on disk, and known without a look at the keys.
    let in_memory = plane.borrow().keyspace.used_bytes() as u64;
    if reserve(&tmp, in_memory + SLACK_BYTES).await.is_ok() {
        return Ok(());
    }
    let on_disk = size(plane).await?;
    let needed_bytes = on_disk + on_disk / 16 + SLACK_BYTES;
    reserve(&tmp, needed_bytes).await.map_err(|source| CheckpointError::NoRoom { needed_bytes, source })
}

/// What the parts come to, as they are now. Others run in between.
async fn size(plane: &RefCell<Plane>) -> Result<u64, CheckpointError> {
    let (mut bytes, mut out) = (0, Vec::with_capacity(PART_BYTES));
    for slot in 0..SLOT_COUNT {
        {
            let plane = plane.borrow();
            let level = plane.level();
            dump_parts(&plane, Slot(slot), level, &mut out, |part| {
                bytes += (part.len() + PART_PREFIX_BYTES) as u64;
                Ok(())
            })?;
        }
        if slot % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(bytes + (out.len() + PART_PREFIX_BYTES) as u64)
}

async fn reserve(tmp: &Path, bytes: u64) -> io::Result<()> {
    let tmp = tmp.to_owned();
    spawn_blocking(move || reserve_file(&tmp, bytes)).await.map_err(io::Error::other)?
}

fn reserve_file(tmp: &PathBuf, bytes: u64) -> io::Result<()> {
    let file = File::create(tmp)?;
    match disk::reserve(&file, bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            // Half of what is needed helps nobody.
            let _ = disk::remove_file(tmp);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::checkpoint::{HEAD_BYTES, write};
    use crate::data::tests::{A, World, answer, client, plane};
    use crate::data::work::Work;
    use ironcache_control::AckMode;
    use std::fs;

    /// The lengths of the parts of a checkpoint, the end included.
    fn parts(checkpoint: &[u8]) -> Vec<usize> {
        let mut rest = &checkpoint[HEAD_BYTES..];
        let mut parts = Vec::new();
        while let Some((prefix, behind)) = rest.split_first_chunk::<PART_PREFIX_BYTES>() {
            let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
            parts.push(len);
            rest = if len == 0 { &[] } else { &behind[len..] };
        }
        parts
    }

    #[tokio::test]
    async fn one_huge_slot_goes_over_many_parts_and_its_size_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
        let mut client = client(&mut plane);
        for n in 0..300 {
            answer(&mut plane, &mut client, &format!("SET {{tag}}:{n} {}", "x".repeat(20_000)));
        }
        let plane = RefCell::new(plane);
        make_room(&plane, dir.path()).await.unwrap();
        let reserved = fs::metadata(dir.path().join(TMP)).unwrap().len();
        let counted = size(&plane).await.unwrap();
        write(&plane, dir.path(), &Work::default()).await.unwrap().unwrap();
        let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
        let len = checkpoint.len() as u64;
        assert!(
            counted <= len && len < counted + SLACK_BYTES && len < reserved,
            "{counted} {len} {reserved}"
        );
        let parts = parts(&checkpoint);
        assert!(parts.len() >= 6, "{parts:?}");
        assert!(parts.iter().all(|part| *part < PART_BYTES + 21_000), "{parts:?}");
        assert_eq!(*parts.last().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_disk_that_gives_less_holds_nothing_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let error = reserve_file(&dir.path().join(TMP), 1 << 60).unwrap_err();
        assert!(!dir.path().join(TMP).exists(), "{error}");
    }
}
