//! How long the checkpoint that a life began from is kept: it may be the last copy of its shard on any disk.
//!
//! What the log has to say for that, `shard/src/copies.rs` knows.
//!
//! *Invariant (I23):* it goes when the log says that another copy at least as new is held, not when it is read.
//! *Invariant:* only what this life has read is removed: neither what it could not read, nor what it wrote itself.

use super::{super::DataNode, NAME};
use ironcache_host::exec::spawn_blocking;
use ironcache_replication::Lineage;
use ironcache_shard::{CheckpointFate, OnTrial, fate_of_checkpoint};
use ironcache_store::disk;
use ironcache_store::{DiskError, at, sync_dir};
use ironcache_types::{Offset, chain};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// Where a checkpoint of a branch that was cut off is kept, for whoever wants something back of it. One: the newest.
const CUT_OFF: &str = "checkpoint.cut-off";

/// Removes the checkpoint that was read, which ended at `offset`, once it may go. A node that stops before leaves it where
/// it is; its own checkpoint then takes the place.
pub(crate) async fn let_go(node: Rc<DataNode>, lineage: Lineage, offset: Offset) {
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        if node.plane.borrow().engine.is_sealed() {
            return;
        }
        let fate = fate(&node, &lineage, offset);
        if fate != CheckpointFate::Stays {
            let _disk = node.disk.lock().await;
            // While it was waited for, the node may have begun to write its own.
            if node.plane.borrow().engine.is_sealed() {
                return;
            }
            let path = node.data_dir.join(NAME);
            let to = node.data_dir.join(CUT_OFF);
            let act =
                move || if fate == CheckpointFate::IsSetAside { rename(&path, &to) } else { remove(&path) };
            match spawn_blocking(act).await {
                Ok(Ok(())) if fate == CheckpointFate::IsSetAside => {
                    tracing::warn!(%offset, "the shard went on without a part of the checkpoint: it is kept as {CUT_OFF}");
                }
                Ok(Ok(())) => tracing::info!("the checkpoint is removed: others hold as much"),
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "the checkpoint stays"),
                Err(error) => tracing::warn!(%error, "the checkpoint was not removed"),
            }
            return;
        }
        change.await;
    }
}

/// A trial ends before the log takes its node into a set: no change of the launcher's has to be waited for.
fn fate(node: &DataNode, lineage: &Lineage, offset: Offset) -> CheckpointFate {
    let on_trial = if node.launcher.borrow().trial.is_some() { OnTrial::Yes } else { OnTrial::No };
    let plane = node.plane.borrow();
    fate_of_checkpoint(&plane.view.state, plane.me, lineage, offset, on_trial)
}

fn rename(path: &Path, to: &Path) -> Result<(), DiskError> {
    disk::rename(path, to).map_err(at("rename", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn remove(path: &Path) -> Result<(), DiskError> {
    match disk::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("remove", path)(error)),
    }
    path.parent().map_or(Ok(()), sync_dir)
}
