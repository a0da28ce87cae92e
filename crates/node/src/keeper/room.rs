//! Can anything be appended here? What this node tells the leader of it, so that nobody is asked to keep who cannot.
//!
//! ```text
//!              less than the reserve is free                  the disk refuses
//!   (room) ──────────────────────────────► Full     (any) ────────────────────► Disk
//!      ▲        twice the reserve is free    │                                    │
//!      └─────────────────────────────────────┴──── a write that it took ──────────┘
//! ```
//!
//! *Invariant:* a trouble is told before anybody is let down by it, as far as free space says it beforehand, and ends by
//! proof only.

use super::file::{CannotKeep as Cause, check_free};
use ironcache_api::CannotKeep;
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{DiskError, at};
use ironcache_types::chain;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// A disk that refused is tried again after this: as often as an engine tries that is still wanted.
const TRY_EVERY_MS: u64 = 5_000;
/// What is written to see whether the disk takes anything: a block of most file systems.
const PROBE_BYTES: usize = 4_096;

pub(super) struct Room {
    /// The directory of tails, and the one that it is made in.
    dir: PathBuf,
    data_dir: PathBuf,
    reserve_bytes: u64,
    told: watch::Sender<Option<CannotKeep>>,
    try_at_ms: u64,
}

impl Room {
    pub(super) fn new(
        data_dir: &Path,
        dir: &Path,
        reserve_bytes: u64,
        told: watch::Sender<Option<CannotKeep>>,
    ) -> Self {
        Room { dir: dir.to_owned(), data_dir: data_dir.to_owned(), reserve_bytes, told, try_at_ms: 0 }
    }

    /// Something could not be kept.
    pub(super) fn failed(&mut self, cause: &Cause, now_ms: u64) {
        self.try_at_ms = now_ms.saturating_add(TRY_EVERY_MS);
        self.tell(Some(match cause {
            Cause::Reserve { free_bytes, reserve_bytes } => {
                CannotKeep::Full { free_bytes: *free_bytes, reserve_bytes: *reserve_bytes }
            }
            Cause::Disk(error) => CannotKeep::Disk { error: chain(error) },
        }));
    }

    /// To be called every second or so.
    pub(super) fn look(&mut self, now_ms: u64) {
        let told = self.told.borrow().clone();
        match told {
            None => {
                if let Err(full) = self.free(self.reserve_bytes) {
                    self.tell(Some(full));
                }
            }
            // Room for what others take meanwhile: at the very reserve, a keeper would be asked for and be full again.
            Some(CannotKeep::Full { .. }) => self.tell(self.free(self.reserve_bytes.saturating_mul(2)).err()),
            Some(CannotKeep::Disk { .. } | CannotKeep::Unknown(_)) => {
                if now_ms >= self.try_at_ms {
                    self.try_at_ms = now_ms.saturating_add(TRY_EVERY_MS);
                    let tried = self.probe().err().map(|error| CannotKeep::Disk { error: chain(&error) });
                    self.tell(tried);
                }
            }
        }
    }

    fn tell(&self, cannot: Option<CannotKeep>) {
        self.told.send_if_modified(|told| {
            match (&*told, &cannot) {
                (None, Some(_)) => tracing::warn!(?cannot, "nothing can be kept for other shards here"),
                (Some(_), None) => tracing::info!("what others acknowledge can be kept here again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            let differs = *told != cannot;
            *told = cannot;
            differs
        });
    }

    /// A disk that does not say is believed to have the room: the first write tells.
    fn free(&self, needed_bytes: u64) -> Result<(), CannotKeep> {
        let Ok(dir) = File::open(&self.data_dir) else { return Ok(()) };
        match check_free(&dir, &self.data_dir, needed_bytes) {
            Err(Cause::Reserve { free_bytes, reserve_bytes: _ }) => {
                Err(CannotKeep::Full { free_bytes, reserve_bytes: self.reserve_bytes })
            }
            Ok(()) | Err(Cause::Disk(_)) => Ok(()),
        }
    }

    fn probe(&self) -> Result<(), DiskError> {
        disk::create_dir_all(&self.dir).map_err(at("create", &self.dir))?;
        let path = self.dir.join("probe.tmp");
        let taken = (|| -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all(&[0; PROBE_BYTES])
        })();
        // If it stays it goes with the next start, which removes what was never a tail.
        let _ = disk::remove_file(&path);
        taken.map_err(at("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(dir: &Path, reserve_bytes: u64) -> (Room, watch::Receiver<Option<CannotKeep>>) {
        let (told, heard) = watch::channel(None);
        (Room::new(dir, &dir.join("keeper"), reserve_bytes, told), heard)
    }

    #[test]
    fn a_full_disk_is_told_before_anybody_asks_and_has_to_have_room_to_spare_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut room, heard) = room(dir.path(), 0);
        room.look(0);
        assert_eq!(*heard.borrow(), None);
        room.reserve_bytes = u64::MAX;
        room.look(1);
        let Some(CannotKeep::Full { free_bytes, reserve_bytes }) = heard.borrow().clone() else { panic!() };
        assert_eq!(reserve_bytes, u64::MAX);
        // What is free is the reserve and some more: not enough to begin with.
        room.reserve_bytes = free_bytes / 4 * 3;
        room.look(2);
        assert!(matches!(*heard.borrow(), Some(CannotKeep::Full { .. })));
        room.reserve_bytes = free_bytes / 4;
        room.look(3);
        assert_eq!(*heard.borrow(), None);
    }

    #[test]
    fn a_disk_that_refused_is_believed_again_when_it_has_taken_something() {
        let dir = tempfile::tempdir().unwrap();
        let (mut room, heard) = room(dir.path(), 0);
        let in_the_way = dir.path().join("keeper");
        std::fs::write(&in_the_way, b"no directory").unwrap();
        let cause = disk::create_dir_all(&in_the_way).map_err(at("create", &in_the_way)).unwrap_err();
        room.failed(&Cause::Disk(cause), 100);
        assert!(matches!(*heard.borrow(), Some(CannotKeep::Disk { .. })));
        room.look(100 + TRY_EVERY_MS);
        assert!(matches!(*heard.borrow(), Some(CannotKeep::Disk { .. })), "it still refuses");
        std::fs::remove_file(&in_the_way).unwrap();
        room.look(101 + TRY_EVERY_MS);
        assert!(heard.borrow().is_some(), "it is not asked at every look");
        room.look(100 + 2 * TRY_EVERY_MS);
        assert_eq!(*heard.borrow(), None);
        assert_eq!(std::fs::read_dir(&in_the_way).unwrap().count(), 0, "and nothing of it is left");
    }
}
