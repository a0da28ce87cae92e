//! What the tasks of the keeper's thread share: the engine, the files, and who is linked.
//!
//! *Invariant:* actions are performed in the order in which the engine gave them, before anything else happens.

use super::file::{CannotKeep as Cause, TailFile, dir_of};
use super::room::Room;
use super::{KeeperOptions, link};
use crate::doors::Doors;
use ironcache_api::CannotKeep;
use ironcache_control::ControlState;
use ironcache_raft::AppliedView;
use ironcache_shard::keeper::{Action, Event, Keepers};
use ironcache_store::clock::boottime_ms;
use ironcache_store::disk;
use ironcache_types::{ClusterId, Epoch, LevelRange, Member, ShardId, chain};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, spawn_local};

pub(super) struct Desk {
    pub me: Member,
    pub levels: LevelRange,
    pub doors: Arc<Doors>,
    cluster: Option<ClusterId>,
    pub dir: PathBuf,
    pub reserve_bytes: u64,
    room: RefCell<Room>,
    pub state: RefCell<Shared>,
    /// The applied state advanced.
    pub changed: Notify,
    /// A tail grew, or ended.
    pub grown: Notify,
}

pub(super) struct Shared {
    pub engine: Keepers,
    pub view: Arc<ControlState>,
    pub files: BTreeMap<(ShardId, Epoch), TailFile>,
    /// The handover for which whoever is served is told that nothing follows.
    pub fences: BTreeMap<ShardId, Epoch>,
    /// Links to primaries.
    links: BTreeMap<ShardId, AbortHandle>,
    /// Links to returning nodes.
    served: BTreeMap<(ShardId, Member), AbortHandle>,
}

impl Desk {
    pub(super) fn new(options: KeeperOptions, told: watch::Sender<Option<CannotKeep>>) -> Self {
        let KeeperOptions { me, cluster, data_dir, levels, reserve_bytes, views, doors } = options;
        let dir = dir_of(&data_dir);
        Self {
            me,
            levels,
            doors,
            cluster,
            room: RefCell::new(Room::new(&data_dir, &dir, reserve_bytes, told)),
            dir,
            reserve_bytes,
            state: RefCell::new(Shared {
                engine: Keepers::new(me),
                view: Arc::clone(&views.borrow().state),
                files: BTreeMap::new(),
                fences: BTreeMap::new(),
                links: BTreeMap::new(),
                served: BTreeMap::new(),
            }),
            changed: Notify::new(),
            grown: Notify::new(),
        }
    }

    /// What earlier lives of this node left.
    pub(super) fn read_back(&self) {
        let (Some(cluster), Ok(entries)) = (self.cluster, disk::read_dir(&self.dir)) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some() {
                // Half a head: nothing was ever acknowledged of it.
                let _ = disk::remove_file(&path);
                continue;
            }
            match TailFile::open(&path, cluster, self.reserve_bytes) {
                Ok(file) => {
                    let (head, kept) = (file.head(), file.kept());
                    let shard = head.shard;
                    tracing::info!(%shard, epoch = %kept.epoch, from = %kept.from, end = %kept.whole, "a kept tail was read back");
                    let mut shared = self.state.borrow_mut();
                    shared.files.insert((shard, kept.epoch), file);
                    // Nothing is to be done before a state is applied.
                    let _ = shared.engine.on(Event::Found { shard, file: kept }, boottime_ms());
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), error = chain(&error), "a kept tail cannot be used, and stays where it is");
                }
            }
        }
    }

    pub(super) fn apply(self: &Rc<Self>, view: &AppliedView) {
        self.state.borrow_mut().view = Arc::clone(&view.state);
        self.on(Event::Applied(Arc::clone(&view.state)));
        self.changed.notify_waiters();
    }

    /// Tells the engine, and performs what it says. What only a link can do is answered.
    pub(super) fn on(self: &Rc<Self>, event: Event) -> Vec<Action> {
        let actions = self.state.borrow_mut().engine.on(event, boottime_ms());
        let mut left = Vec::new();
        for action in actions {
            left.extend(self.perform(action));
        }
        left
    }

    fn perform(self: &Rc<Self>, action: Action) -> Option<Action> {
        let mut shared = self.state.borrow_mut();
        match action {
            Action::Dial { shard, primary, epoch } => {
                let task = spawn_local(link::keep(Rc::clone(self), shard, primary, epoch));
                if let Some(earlier) = shared.links.insert(shard, task.abort_handle()) {
                    earlier.abort();
                }
            }
            Action::HangUp { shard } => {
                if let Some(link) = shared.links.remove(&shard) {
                    link.abort();
                }
            }
            Action::Fence { shard, handover } => {
                tracing::info!(%shard, %handover, "the shard is recovered through what this node keeps: nothing is added to it");
                shared.fences.insert(shard, handover);
                self.grown.notify_waiters();
            }
            Action::Lift { shard } => {
                shared.fences.remove(&shard);
            }
            Action::EndServing { shard } => {
                shared.served.retain(|(of, _), link| {
                    let ends = *of == shard;
                    if ends {
                        link.abort();
                    }
                    !ends
                });
            }
            Action::Remove { shard, epoch } => {
                if let Some(file) = shared.files.remove(&(shard, epoch)) {
                    match file.remove() {
                        Ok(()) => {
                            tracing::info!(%shard, %epoch, "what was kept is held by enough others, and goes")
                        }
                        Err(error) => {
                            tracing::warn!(%shard, %epoch, error = chain(&error), "a kept tail cannot be removed")
                        }
                    }
                }
            }
            Action::GiveUp { .. }
            | Action::Acknowledge { .. }
            | Action::Serve { .. }
            | Action::Refuse { .. } => {
                return Some(action);
            }
        }
        None
    }

    /// The leader is told whether anything can be kept here.
    pub(super) fn look_for_room(&self) {
        self.room.borrow_mut().look(boottime_ms());
    }

    pub(super) fn cannot_keep(&self, cause: &Cause) {
        self.room.borrow_mut().failed(cause, boottime_ms());
    }

    /// From here on this task is ended when nobody is to be served any more, or the same node says hello anew.
    pub(super) fn serving(&self, shard: ShardId, member: Member, task: AbortHandle) {
        if let Some(earlier) = self.state.borrow_mut().served.insert((shard, member), task) {
            earlier.abort();
        }
    }

    /// Of the cluster, as it is known now.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.state.borrow().view.cluster_id
    }
}
