//! The file `snapshot`: the replicated state at one log index, in an envelope.
//!
//! *Invariant:* written as a whole and durable before anyone learns of it, so before the log is purged; one that is read
//! is made durable before it is used.

use crate::bodies::{BodyError, v1};
use crate::types::{LogId, SnapshotMeta};
use ironcache_formats::wire::{self, Header, Kind, WireError};
use ironcache_store::{DiskError, read_durably, replace_durably};
use ironcache_types::{Level, NodeId};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A snapshot in memory: what it covers, the level that it is sealed at, and a sealed snapshot of `ironcache_formats`.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub meta: SnapshotMeta,
    pub level: Level,
    pub data: Arc<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the raft snapshot cannot be read")]
    Read(#[source] DiskError),
    #[error("the raft snapshot cannot be written")]
    Write(#[from] DiskError),
    #[error("the raft snapshot cannot be sealed")]
    Unsealed { source: WireError },
    #[error(
        "the raft snapshot {} is damaged or was written by a newer release; restore it from an intact copy, or \
         remove this node from the cluster and add a new one",
        path.display()
    )]
    Unreadable { path: PathBuf, source: WireError },
    #[error("the raft snapshot {} holds an unusable membership", path.display())]
    Membership { path: PathBuf, source: BodyError },
    #[error("the raft snapshot {} belongs to node {found}, and this is node {expected}", path.display())]
    OtherNode { path: PathBuf, found: NodeId, expected: NodeId },
}

/// Where the snapshot of one node lives; clones share it.
///
/// *Invariant:* an older snapshot never replaces a newer one: openraft may build one while it installs
/// another, and the log behind the newer one may be purged already.
/// *Invariant:* after [`replace`](SnapshotStore::replace) nothing is written by this process: openraft builds in a task of
/// its own, which may outlive raft.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    path: PathBuf,
    node: NodeId,
    /// What the file covers; held while it is written.
    covers: Arc<Mutex<Option<LogId>>>,
    /// It was replaced. Changed and looked at with `covers` held.
    sealed: Arc<AtomicBool>,
}

impl SnapshotStore {
    pub(crate) fn new(path: PathBuf, node: NodeId) -> Self {
        SnapshotStore { path, node, covers: Arc::default(), sealed: Arc::default() }
    }

    pub(crate) fn load(&self) -> Result<Option<Stored>, SnapshotError> {
        let Some(bytes) = read_durably(&self.path).map_err(SnapshotError::Read)? else { return Ok(None) };
        let (node, stored) = from_bytes(&bytes, &self.path)?;
        if node != self.node {
            return Err(SnapshotError::OtherNode {
                path: self.path.clone(),
                found: node,
                expected: self.node,
            });
        }
        *self.covers.lock().unwrap_or_else(PoisonError::into_inner) = stored.meta.last_log_id;
        Ok(Some(stored))
    }

    /// Returns when this snapshot, a newer one, or the one that replaced all is durable. The file is of the level of what it
    /// holds. Blocks.
    pub(crate) fn save(&self, stored: &Stored) -> Result<(), SnapshotError> {
        let mut covers = self.covers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sealed.load(Ordering::Relaxed) || stored.meta.last_log_id < *covers {
            return Ok(());
        }
        replace_durably(&self.path, &to_bytes(self.node, stored)?)?;
        *covers = stored.meta.last_log_id;
        Ok(())
    }

    /// Whatever the file covers, it is this snapshot from now on: what was there was made of the log otherwise than the
    /// others made it. What is still being built here is not written any more, even if this fails. Blocks.
    pub(crate) fn replace(&self, stored: &Stored) -> Result<(), SnapshotError> {
        let mut covers = self.covers.lock().unwrap_or_else(PoisonError::into_inner);
        self.sealed.store(true, Ordering::Relaxed);
        replace_durably(&self.path, &to_bytes(self.node, stored)?)?;
        *covers = stored.meta.last_log_id;
        Ok(())
    }
}

/// The file of `node`, at the level of what it holds.
pub(crate) fn to_bytes(node: NodeId, stored: &Stored) -> Result<Vec<u8>, SnapshotError> {
    let Stored { meta, level, data } = stored;
    let file = v1::SnapshotFile { node: node.0, meta: meta.into(), data: data.as_ref().clone() };
    Header::at(Kind::SnapshotFile, *level)
        .map_err(WireError::from)
        .and_then(|header| wire::seal(header, &file))
        .map_err(|source| SnapshotError::Unsealed { source })
}

/// Whose file it is, and what it holds; `path` is where the bytes are from.
pub(crate) fn from_bytes(bytes: &[u8], path: &Path) -> Result<(NodeId, Stored), SnapshotError> {
    let unreadable = |source| SnapshotError::Unreadable { path: path.to_owned(), source };
    // Every level is at version 1 so far.
    let file = wire::open(Kind::SnapshotFile, bytes).and_then(|opened| opened.body());
    let v1::SnapshotFile { node, meta, data } = file.map_err(unreadable)?;
    let meta = SnapshotMeta::try_from(meta)
        .map_err(|source| SnapshotError::Membership { path: path.to_owned(), source })?;
    let level = wire::level_of(&data).map_err(unreadable)?;
    Ok((NodeId(node), Stored { meta, level, data: Arc::new(data) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::reseal;
    use ironcache_fuzz::{Campaign, Folder, of_golden, refused_stays};

    /// Of the golden file.
    const NODE: NodeId = NodeId(9);

    #[test]
    fn fuzz_a_snapshot_is_what_was_written_or_its_file_stays_as_it_is() {
        let folder = Folder::new();
        let path = folder.path().join("snapshot");
        // The golden file, with a state in it that is one.
        let golden = of_golden(include_str!("../tests/golden/snapshot_file.hex"));
        let body = wire::open(Kind::SnapshotFile, &golden).and_then(|opened| opened.body());
        let v1::SnapshotFile { node, meta, data: _ } = body.expect("the golden file can be read");
        let data = of_golden(include_str!("../../formats/tests/golden/snapshot/full-at-1.hex"));
        let header = Header::at(Kind::SnapshotFile, Level::FIRST).expect("the first level has snapshots");
        let whole =
            wire::seal(header, &v1::SnapshotFile { node, meta, data }).expect("what was read can be written");
        let found = from_bytes(&whole, &path).map(|(node, _)| node);
        assert_eq!(found.ok(), Some(NODE));
        Campaign::of("files of snapshots").from([whole]).resealed(reseal).run(|bytes| {
            let load = |path: &Path| SnapshotStore::new(path.to_owned(), NODE).load();
            let stored = match refused_stays(&path, bytes, load) {
                Ok(stored) => stored.expect("the file is there"),
                Err(SnapshotError::Unreadable { source, path: _ }) => {
                    return Err(format!("unreadable: {:?}", std::mem::discriminant(&source)));
                }
                Err(error) => return Err(format!("{:?}", std::mem::discriminant(&error))),
            };
            let written = to_bytes(NODE, &stored).expect("what was read can be written");
            let (node, again) = from_bytes(&written, &path).expect("what is written can be read");
            assert_eq!(node, NODE);
            assert!(again.meta == stored.meta && again.level == stored.level && again.data == stored.data);
            Ok(())
        });
    }
}
