//! The end of the data plane: what was received is answered, clients go, the dataset goes to the disk.
//!
//! ```text
//!  Drain ─► only copy, and no room? ──yes──► Stays: it serves on
//!              │ no
//!              ▼
//!  clients go ─► sealed ─► checkpoint written ──────────────────────► Settled
//!                             │ not: others hold it ────────────────► Settled
//!                             │ not: only copy, asked to stay ──────► unsealed, Stays: it serves on
//!                             └ not: only copy, asked to end anyway ► Lost
//! ```
//! *Invariant (I23):* a node that the log knows to hold the only copy gives nothing up before there is room for its
//! checkpoint; and if that cannot be written in the end, it serves on.
//! *Invariant:* it ends without that checkpoint only when it is told so twice, or when nothing advances any more; and says
//! so.

use super::DataNode;
use super::admission::start_accepting;
use super::checkpoint::{self, CheckpointError};
use ironcache_shard::{Event, is_only_copy};
use ironcache_types::chain;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a node is to do whose dataset is nowhere else, and cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Stay, if the log knows of no other copy.
    OrStay,
    /// Stay, if this node is the primary, whatever the log says: it is the log that this node lost.
    OrStayWithoutLog,
    /// End all the same.
    IfPossible,
}

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// The dataset is in the checkpoint, or with another node.
    Settled,
    /// This node serves on.
    Stays { why: String },
    /// The only copy ends with this process.
    Lost { why: String },
}

/// A replica writes its checkpoint while its clients and the cluster's maps still reach it: all that it answers is where
/// to go. A primary first answers what it has received, since that has to be in the checkpoint.
pub(super) async fn drain(node: &Rc<DataNode>, timeout: Duration, keep: Keep) -> Drained {
    // The checkpoint is newer than any snapshot, and needs the room.
    let _no_snapshot = node.beside.hold().await;
    if is_needed(node, keep)
        && keep != Keep::IfPossible
        && let Err(error) = checkpoint::make_room(&node.plane, &node.data_dir).await
    {
        return Drained::Stays { why: chain(&error) };
    }
    let is_primary = node.plane.borrow().primary().is_some();
    let early = if is_primary { None } else { Some(write(node).await) };
    node.accepting.take().iter().for_each(JoinHandle::abort);
    node.drain_until.set(Some(Instant::now() + timeout));
    // What has arrived is answered, also what a pause held back.
    node.plane.borrow_mut().pause.end();
    node.drain.notify_waiters();
    node.acked.notify_waiters();
    // Connections that were just executing see the flag before they read again.
    while !node.plane.borrow().clients.is_empty() && Instant::now() < node.drain_deadline() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let written = match early {
        Some(written) => written,
        None => write(node).await,
    };
    let Err(error) = written else { return Drained::Settled };
    let why = chain(&error);
    match (is_needed(node, keep), keep) {
        (false, _) => {
            tracing::error!(
                error = why,
                "no new checkpoint; what this node holds is on its disk already, or with another node"
            );
            Drained::Settled
        }
        (true, Keep::OrStay | Keep::OrStayWithoutLog) => {
            serve_on(node);
            Drained::Stays { why }
        }
        (true, Keep::IfPossible) => Drained::Lost { why },
    }
}

/// Is the dataset on this node the only one that is known?
fn is_needed(node: &DataNode, keep: Keep) -> bool {
    let plane = node.plane.borrow();
    let by_the_log = is_only_copy(&plane.view.state, plane.me);
    let without_log = keep == Keep::OrStayWithoutLog && plane.primary().is_some();
    // What was read and not changed since needs no writing.
    (by_the_log || without_log)
        && !(plane.engine.holds_what_it_read() && checkpoint::lies_there(&node.data_dir))
}

/// From here on nothing is executed and nothing applied: it would be acknowledged, and not be in the checkpoint.
async fn write(node: &Rc<DataNode>) -> Result<(), CheckpointError> {
    node.on(Event::Sealed);
    let _disk = node.disk.lock().await;
    match checkpoint::write(&node.plane, &node.data_dir, &node.work).await? {
        Some(keys) => tracing::info!(keys, "checkpoint written"),
        None => tracing::info!("no whole dataset to write a checkpoint of"),
    }
    Ok(())
}

/// Nothing was executed since the dataset was sealed, and nothing on the disk says that it ends there.
fn serve_on(node: &Rc<DataNode>) {
    node.drain_until.set(None);
    node.on(Event::Unsealed);
    start_accepting(node);
}
