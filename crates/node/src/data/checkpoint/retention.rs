//! How long the checkpoint that a life began from is kept: it may be the last copy of its shard on any disk.
//!
//! What the log has to say for that, `shard/src/copies.rs` knows.
//!
//! *Invariant (I23):* it goes when the log says that another copy at least as new is held, not when it is read.
//! *Invariant:* only what this life has read is removed: neither what it could not read, nor what it wrote itself.

use super::{super::DataNode, Begun, Copy};
use ironcache_host::exec::spawn_blocking;
use ironcache_replication::Lineage;
use ironcache_shard::{CheckpointFate, Held, OnTrial, fate_of_checkpoint};
use ironcache_store::{remove_durably, rename_durably};
use ironcache_types::{Offset, chain};
use std::rc::Rc;

/// `<name>.cut-off`: where a copy of a branch that was cut off is kept, for whoever wants something back of it. One of each:
/// the newest.
const CUT_OFF: &str = "cut-off";

/// Removes the copy that was read, once it may go. A node that stops before leaves it where it is; its own checkpoint then
/// takes the place. A snapshot goes so only if none are taken any more: the next one takes its place, and until then it is
/// what outlives all nodes.
pub(crate) async fn let_go(node: Rc<DataNode>, begun: Begun) {
    let Begun { copy, held: Held { lineage, offset, .. } } = begun;
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        if node.plane.borrow().engine.is_sealed() {
            return;
        }
        let fate = fate(&node, &lineage, offset);
        let is_kept = copy == Copy::Snapshot && node.plane.borrow().config.snapshot_interval_s > 0;
        if fate == CheckpointFate::IsSetAside || fate == CheckpointFate::Goes && !is_kept {
            let _disk = node.disk.lock().await;
            // While it was waited for, the node may have begun to write its own.
            if node.plane.borrow().engine.is_sealed() || node.plane.borrow().snapshots.has_replaced(copy) {
                return;
            }
            let path = copy.path(&node.data_dir);
            let to = path.with_extension(CUT_OFF);
            let is_cut_off = fate == CheckpointFate::IsSetAside;
            let act = move || if is_cut_off { rename_durably(&path, &to) } else { remove_durably(&path) };
            let name = copy.name();
            match spawn_blocking(act).await {
                Ok(Ok(())) if is_cut_off => {
                    tracing::warn!(%offset, "the shard went on without a part of the {name}: it is kept as {name}.{CUT_OFF}");
                }
                Ok(Ok(())) => tracing::info!("the {name} is removed: others hold as much"),
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "the {name} stays"),
                Err(error) => tracing::warn!(%error, "the {name} was not removed"),
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
