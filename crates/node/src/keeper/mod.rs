//! The keeper's shell: holds tails of other shards' streams in files, on a thread of its own.
//!
//! ```text
//!  applied state ─► engine ─► dial ─► link: Hello{Keep} ─► frames ─► write(2) ─► Ack ─► the primary
//!                     ▲                                       │
//!                     │                                       ▼
//!  peer port ─► Hello{Follow} of a shard that is kept here ─► serve: frames off the file, then Fence ─► a returning node
//! ```
//!
//! What may be done is decided by [`Keepers`](ironcache_shard::keeper::Keepers); here are sockets, files and timers. The
//! files are of [`file`], the link to a primary of [`link`], and to a returning node of [`serve`].
//!
//! *Invariant:* a thread of its own: a slow disk holds up nobody but the shards whose tails are on it.
//! *Invariant:* what is acknowledged lies in the file.

mod desk;
mod file;
mod link;
mod room;
mod serve;

use crate::data::LinkSocket;
use crate::doors::Doors;
use desk::Desk;
pub(crate) use file::RESERVE_BYTES;
use ironcache_api::CannotKeep;
use ironcache_host::exec;
use ironcache_raft::AppliedView;
use ironcache_shard::keeper::Event;
use ironcache_types::{ClusterId, LevelRange, Member};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_local;

/// The thread's name.
pub(crate) const THREAD: &str = "ironcache-keeper";

/// How often the engine is told that time passes.
const TICK: Duration = Duration::from_millis(500);

/// What the keeper's thread needs to start.
pub(crate) struct KeeperOptions {
    pub me: Member,
    /// The cluster that this node has joined.
    pub cluster: Option<ClusterId>,
    pub data_dir: PathBuf,
    /// What this release reads and writes.
    pub levels: LevelRange,
    /// Free space that is left to others.
    pub reserve_bytes: u64,
    pub views: watch::Receiver<Arc<AppliedView>>,
    /// How other nodes are reached.
    pub doors: Arc<Doors>,
}

/// The keeper, as other threads reach it. It ends with the last clone.
#[derive(Clone)]
pub(crate) struct KeeperHandle {
    links: mpsc::UnboundedSender<LinkSocket>,
    cannot_keep: watch::Receiver<Option<CannotKeep>>,
    leaving: Arc<Notify>,
}

impl KeeperHandle {
    /// Hands over a connection on which a node of a shard that may be kept here says hello.
    pub(crate) fn link(&self, socket: LinkSocket) {
        // A thread that has ended takes the daemon with it.
        let _ = self.links.send(socket);
    }

    /// The node stops soon: it begins to keep nothing more.
    pub(crate) fn leave(&self) {
        self.leaving.notify_one();
    }

    /// Why nothing can be kept here, if so.
    pub(crate) fn cannot_keep(&self) -> Option<CannotKeep> {
        self.cannot_keep.borrow().clone()
    }
}

/// Starts the thread. A panic on it ends the process.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn start(options: KeeperOptions) -> std::io::Result<KeeperHandle> {
    let (links, receiver) = mpsc::unbounded_channel();
    let (told, cannot_keep) = watch::channel(None);
    let leaving = Arc::new(Notify::new());
    let leaves = Arc::clone(&leaving);
    // It ends with the last handle: nobody waits for it.
    exec::apart(THREAD, move || run(options, told, receiver, leaves))?;
    Ok(KeeperHandle { links, cannot_keep, leaving })
}

async fn run(
    options: KeeperOptions,
    told: watch::Sender<Option<CannotKeep>>,
    mut links: mpsc::UnboundedReceiver<LinkSocket>,
    leaves: Arc<Notify>,
) {
    let views = options.views.clone();
    let desk = Rc::new(Desk::new(options, told));
    desk.read_back();
    spawn_local(watch_views(Rc::clone(&desk), views));
    spawn_local(tick(Rc::clone(&desk)));
    let leaver = Rc::clone(&desk);
    spawn_local(async move {
        leaves.notified().await;
        leaver.on(Event::Leaving);
    });
    while let Some(socket) = links.recv().await {
        spawn_local(serve::serve(Rc::clone(&desk), socket));
    }
}

async fn watch_views(desk: Rc<Desk>, mut views: watch::Receiver<Arc<AppliedView>>) {
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        desk.apply(&view);
        if views.changed().await.is_err() {
            return;
        }
    }
}

async fn tick(desk: Rc<Desk>) {
    loop {
        desk.look_for_room();
        tokio::time::sleep(TICK).await;
        desk.on(Event::Tick);
    }
}

#[cfg(test)]
mod tests;
