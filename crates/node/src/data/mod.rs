//! The data plane: one thread with its own runtime, on which the dataset, every client connection and every
//! replication link live.
//!
//! ```text
//!   control plane (other threads)                    this thread
//!   watch<AppliedView> ───────────────────────────►  Plane::apply_view
//!   DataHandle ──── link, status, drain ──────────►  requests
//!   ToControl ◄──── commands to be committed ──────  handover, in-sync set, promotion
//! ```
//!
//! *Invariant:* the dataset is reached from this thread only, without a lock: a command executes in one go.
//! *Invariant:* nothing on this thread waits for raft or for a disk while it serves.
//! *Invariant:* it ticks with every command and every request, and inside whatever takes long; nobody else ticks for it.

mod acks;
mod admission;
mod blocked;
mod checkpoint;
mod client;
mod clockwork;
mod connection;
mod dispatch;
mod follower;
mod inbox;
mod leaving;
mod link_io;
mod link_stream;
mod memory;
mod orders;
mod output;
mod pause;
mod perform;
mod plane;
mod pubsub;
mod pulse;
mod refusal;
mod scripts;
mod server_commands;
mod site;
mod source;
mod statistics;
mod stats;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod tracking;
mod trouble;
mod users;
mod walk;
mod work;

pub(crate) use leaving::{Drained, Keep};
pub(crate) use link_io::{
    FrameReader, LinkError, Next, Opened, REPLICATION_PATH, REPLICATION_UPGRADE, SYNC_SILENCE_MAX, open, say,
    within,
};
pub(crate) use link_stream::{LinkStream, LinkWrite};
pub(crate) use memory::Usage;
#[cfg(test)]
pub(crate) use plane::Ordered;
pub(crate) use plane::{Asked, ToControl};
pub(crate) use refusal::Refusal as HelloRefusal;
pub(crate) use source::{HELLO_TIMEOUT, LinkSocket, PING_EVERY, SEND_BYTES, VIEW_TIMEOUT, only_as_itself};
pub(crate) use stats::Stats;
#[cfg(test)]
pub(crate) use tls::{HANDSHAKE_BYTES_MAX, HANDSHAKE_WITHIN, HANDSHAKES_MAX, HANDSHAKES_SIGNED_MAX};
pub(crate) use trouble::Trouble;
#[cfg(test)]
pub(crate) use users::FILE_BYTES_MAX as ACL_FILE_BYTES_MAX;

use crate::config::Config;
use crate::doors::Doors;
use crate::launcher::LauncherView;
use crate::messages::Outbox;
use bytes::Bytes;
use ironcache_api::DataStatus;
use ironcache_host::exec::{self, Apart};
use ironcache_host::net::Bound;
use ironcache_keyspace::progress::{self, Ticks};
use ironcache_raft::{AppliedView, Contact};
use ironcache_shard::{Event, Grant};
use ironcache_spine::boottime_ms;
use ironcache_types::{ClusterId, LevelRange, Member, Version, chain};
use plane::Plane;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;
use work::Work;

/// The data thread's name.
pub(crate) const THREAD: &str = "ironcache-data";

/// What the tasks of the data thread share.
pub(crate) struct DataNode {
    pub plane: RefCell<Plane>,
    /// Role, routing or a handover changed: what is held back tries again.
    pub changed: Rc<Notify>,
    /// The stream grew, or a link has something to send.
    pub feed: Rc<Notify>,
    /// A replica acknowledged, or took more of the stream.
    pub acked: Rc<Notify>,
    pub drain: Rc<Notify>,
    /// Tells the primary how far a long frame is.
    pub pulse: pulse::Pulse,
    drain_until: Cell<Option<Instant>>,
    /// The client listeners, and the tasks that accept from them while the node does not drain.
    listeners: Vec<(Door, Bound)>,
    accepting: RefCell<Vec<JoinHandle<()>>>,
    /// Of handshakes.
    places: Arc<Semaphore>,
    /// Of those among them that are signed for.
    turns: Arc<Semaphore>,
    /// Somebody asks for the files of TLS to be read again.
    reread: Notify,
    /// What was read, received or written of a dataset.
    pub work: Work,
    pub data_dir: PathBuf,
    /// Whether this process is a trial.
    pub launcher: watch::Receiver<LauncherView>,
    /// Held while the checkpoint is written or removed: one after the other.
    pub disk: tokio::sync::Mutex<()>,
    /// Whose copies are read.
    pub cluster: Option<ClusterId>,
    pub beside: checkpoint::Beside,
    pub doors: Arc<Doors>,
}

impl DataNode {
    pub(crate) fn is_draining(&self) -> bool {
        self.drain_until.get().is_some()
    }

    pub(crate) fn drain_deadline(&self) -> Instant {
        self.drain_until.get().unwrap_or_else(Instant::now)
    }
}

/// What the data thread needs to start.
pub(crate) struct DataOptions {
    pub config: Arc<Config>,
    pub me: Member,
    /// The cluster that this node has joined: whose checkpoint it may resume from.
    pub cluster: Option<ClusterId>,
    pub version: Version,
    /// What this release reads and writes.
    pub levels: LevelRange,
    /// By TLS or not; each at most once.
    pub listeners: Vec<(Door, Bound)>,
    /// What the launcher said last.
    pub launcher: watch::Receiver<LauncherView>,
    pub views: watch::Receiver<Arc<AppliedView>>,
    pub to_control: mpsc::UnboundedSender<ToControl>,
    /// When a leader was last heard of.
    pub contact: Contact,
    /// Takes messages to other nodes.
    pub outbox: Outbox,
    /// How other nodes are reached.
    pub doors: Arc<Doors>,
    /// Seed for what need not be secret.
    pub random: u64,
}

/// What is shown of the data plane.
#[derive(Clone, Debug)]
pub(crate) struct DataSnapshot {
    pub status: DataStatus,
    pub stats: Stats,
    pub used_bytes: u64,
    pub memory: Usage,
    /// 0: none.
    pub maxmemory: u64,
    pub parked: u32,
    /// On a replica that follows its primary: the log index that this one has applied, as it said last.
    pub primary_applied: Option<u64>,
    /// The log index whose state the data plane acts on.
    pub index: u64,
    /// Is the checkpoint read, and the role that of the applied state?
    pub settled: bool,
    /// Is the checkpoint read, or known to be absent?
    pub loaded: bool,
    /// Why it does not do for its clients what the log says it does.
    pub trouble: Option<Trouble>,
    /// Of the snapshot on the disk, Unix ms.
    pub snapshot_taken_ms: Option<u64>,
    /// Was the last one given up?
    pub snapshot_failed: bool,
    /// Messages of channels that were dropped on the way to another node.
    pub messages_dropped: u64,
}

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Plain,
    Tls,
}

/// A connection that was accepted, before anything came by it.
enum Entrance {
    Plain,
    /// A handshake has to come first, and has this place until it is done.
    Tls(OwnedSemaphorePermit),
}

impl Entrance {
    fn door(&self) -> Door {
        match self {
            Entrance::Plain => Door::Plain,
            Entrance::Tls(_) => Door::Tls,
        }
    }
}

enum Request {
    /// The files of TLS, whether they have changed or not.
    Reread,
    Link(LinkSocket),
    Grant(Grant),
    /// Messages that another node brings, as they came.
    Hear {
        body: Bytes,
        done: oneshot::Sender<()>,
    },
    Snapshot(oneshot::Sender<DataSnapshot>),
    /// It is received by a thread that does not hang: that is all it is for.
    Look,
    Leave,
    Drain {
        timeout: Duration,
        keep: Keep,
        done: oneshot::Sender<Drained>,
    },
    Stop,
}

/// The data plane, as other threads reach it. Clones share it.
#[derive(Clone)]
pub(crate) struct DataHandle {
    requests: mpsc::UnboundedSender<Request>,
    ticks: Ticks,
    /// What was seen of them.
    seen: Arc<Mutex<Seen>>,
    work: Work,
}

/// When the ticks were last seen to have changed.
struct Seen {
    ticks: u64,
    at_ms: u64,
}

impl Seen {
    fn silence_ms(&mut self, ticks: u64, now_ms: u64) -> u64 {
        if ticks != self.ticks {
            *self = Seen { ticks, at_ms: now_ms };
        }
        now_ms.saturating_sub(self.at_ms)
    }
}

/// The data thread is gone: the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data plane has stopped")]
pub struct DataStopped;

impl DataHandle {
    /// Hands over a connection on which a replica says hello.
    pub(crate) fn link(&self, socket: LinkSocket) -> Result<(), DataStopped> {
        self.requests.send(Request::Link(socket)).map_err(|_| DataStopped)
    }

    /// The leader has granted this life a lease.
    pub(crate) fn grant(&self, grant: Grant) {
        // A data thread that has stopped answers nobody.
        let _ = self.requests.send(Request::Grant(grant));
    }

    /// Messages of channels, as another node sent them: to whoever listens here. Returns when they are heard.
    pub(crate) async fn hear(&self, body: Bytes) -> Result<(), DataStopped> {
        let (done, heard) = oneshot::channel();
        self.requests.send(Request::Hear { body, done }).map_err(|_| DataStopped)?;
        heard.await.map_err(|_| DataStopped)
    }

    /// For how long the data thread has not ticked, in ms. A slow command ticks. The heartbeat looks often: by so much at
    /// most it is too high.
    pub(crate) fn silence_ms(&self) -> u64 {
        self.look_at(self.ticks.count())
    }

    pub(crate) async fn snapshot(&self) -> Result<DataSnapshot, DataStopped> {
        let (answer, snapshot) = oneshot::channel();
        self.requests.send(Request::Snapshot(answer)).map_err(|_| DataStopped)?;
        snapshot.await.map_err(|_| DataStopped)
    }

    /// The node stops soon: it may not be promoted any more.
    pub(crate) fn leave(&self) {
        // Stopped already is as good.
        let _ = self.requests.send(Request::Leave);
    }

    /// Grows with everything that the data thread does, and inside what takes long: it stands still while the thread
    /// hangs. Waits for nobody.
    pub(crate) fn ticks(&self) -> u64 {
        let ticks = self.ticks.count();
        self.look_at(ticks);
        ticks
    }

    fn look_at(&self, ticks: u64) -> u64 {
        // Held to compare two numbers.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).silence_ms(ticks, boottime_ms())
    }

    /// Bytes of a dataset that were read, received or written; it stands still while nothing of that is under way.
    pub(crate) fn work_bytes(&self) -> u64 {
        self.work.bytes()
    }

    /// Has the data thread tick, as soon as it does anything.
    pub(crate) fn look(&self) -> Result<(), DataStopped> {
        self.requests.send(Request::Look).map_err(|_| DataStopped)
    }

    /// Answers what was received, lets clients go, and writes the checkpoint. One at a time.
    pub(crate) async fn drain(&self, timeout: Duration, keep: Keep) -> Result<Drained, DataStopped> {
        let (done, drained) = oneshot::channel();
        self.requests.send(Request::Drain { timeout, keep, done }).map_err(|_| DataStopped)?;
        drained.await.map_err(|_| DataStopped)
    }

    /// Has the files of TLS read again.
    pub(crate) fn reread(&self) {
        // Stopped already is as good.
        let _ = self.requests.send(Request::Reread);
    }

    pub(crate) fn stop(&self) {
        // Gone already is as good as stopped.
        let _ = self.requests.send(Request::Stop);
    }
}

/// Starts the data thread: it accepts clients at once.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn start(options: DataOptions) -> std::io::Result<(DataHandle, Apart)> {
    let (requests, receiver) = mpsc::unbounded_channel();
    let (work, begun) = (Work::default(), std::sync::mpsc::channel());
    let (of_thread, its_work) = (begun.0, work.clone());
    let thread = exec::apart(THREAD, move || {
        // Whoever starts it waits for this.
        let _ = of_thread.send(progress::of_this_thread());
        async move {
            if let Err(error) = run(options, receiver, its_work).await {
                tracing::error!(%error, "the data plane cannot start");
            }
        }
    })?;
    let ticks = begun.1.recv().map_err(std::io::Error::other)?;
    let seen = Arc::new(Mutex::new(Seen { ticks: 0, at_ms: boottime_ms() }));
    Ok((DataHandle { requests, ticks, seen, work }, thread))
}

async fn run(
    options: DataOptions,
    mut requests: mpsc::UnboundedReceiver<Request>,
    work: Work,
) -> std::io::Result<()> {
    let DataOptions {
        config,
        me,
        cluster,
        version,
        levels,
        listeners,
        launcher,
        views,
        to_control,
        contact,
        outbox,
        doors,
        random,
    } = options;
    let data_dir = config.data_dir.clone();
    let mut plane = Plane::new(config, me, version, levels, to_control, random);
    plane.contact = contact;
    plane.outbox = outbox;
    plane.keepalive = doors.keepalive.clone();
    plane.is_member = cluster.is_some();
    let node = Rc::new(DataNode {
        plane: RefCell::new(plane),
        changed: Rc::new(Notify::new()),
        feed: Rc::new(Notify::new()),
        acked: Rc::new(Notify::new()),
        drain: Rc::new(Notify::new()),
        pulse: pulse::Pulse::of_this_thread(),
        drain_until: Cell::new(None),
        listeners,
        accepting: RefCell::default(),
        places: Arc::new(Semaphore::new(tls::AT_ONCE)),
        turns: Arc::new(Semaphore::new(tls::proved_at_once())),
        reread: Notify::new(),
        work,
        data_dir,
        launcher,
        disk: tokio::sync::Mutex::new(()),
        cluster,
        beside: checkpoint::Beside::default(),
        doors,
    });
    node.pulse.report()?;
    tls::begin(&node).await;
    admission::start_accepting(&node);
    spawn_local(tls::follow(Rc::clone(&node)));
    spawn_local(watch_views(Rc::clone(&node), views));
    spawn_local(load(Rc::clone(&node)));
    spawn_local(clockwork::run(Rc::clone(&node)));
    spawn_local(follower::run(Rc::clone(&node)));
    spawn_local(end_silent_clients(Rc::clone(&node)));
    while let Some(request) = requests.recv().await {
        progress::tick();
        match request {
            Request::Look => {}
            Request::Reread => node.reread.notify_one(),
            Request::Link(socket) => {
                spawn_local(source::serve(Rc::clone(&node), socket));
            }
            Request::Grant(grant) => node.on(Event::Granted(grant)),
            Request::Hear { body, done } => {
                if let Err(error) = node.plane.borrow_mut().hear(&body) {
                    tracing::warn!(%error, "messages of another node are not heard");
                }
                // Whoever asked may have given up meanwhile.
                let _ = done.send(());
            }
            Request::Snapshot(answer) => {
                // Whoever asked may have given up meanwhile.
                let _ = answer.send(status::snapshot(&node.plane.borrow()));
            }
            Request::Leave => node.on(Event::Leaving),
            Request::Drain { timeout, keep, done } => {
                let node = Rc::clone(&node);
                spawn_local(async move {
                    // Nobody waits for it any more when the process was told to end at once.
                    let _ = done.send(leaving::drain(&node, timeout, keep).await);
                });
            }
            Request::Stop => break,
        }
    }
    Ok(())
}

/// `timeout` is in seconds.
const SILENT_EVERY: Duration = Duration::from_secs(1);

async fn end_silent_clients(node: Rc<DataNode>) {
    loop {
        tokio::time::sleep(SILENT_EVERY).await;
        let mut plane = node.plane.borrow_mut();
        let (now_ms, for_s) = (plane.coarse_ms, plane.config.timeout);
        plane.clients.end_silent(now_ms, for_s);
        let limits = plane.config.client_output_buffer_limit;
        plane.clients.end_excess(limits, Instant::now());
    }
}

async fn watch_views(node: Rc<DataNode>, mut views: watch::Receiver<Arc<AppliedView>>) {
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let errands = node.plane.borrow_mut().apply_view(view);
        node.run(errands);
        // Whoever has ordered something waits for it to be applied here.
        node.changed.notify_waiters();
        if views.changed().await.is_err() {
            return;
        }
    }
}

async fn load(node: Rc<DataNode>) {
    let levels = node.plane.borrow().levels;
    let loaded = checkpoint::load(&node.data_dir, node.cluster, levels, &node.work).await;
    let (keyspace, begun) = match loaded {
        Ok(Some(checkpoint)) => {
            node.plane.borrow_mut().begin_at(checkpoint.level);
            spawn_local(checkpoint::let_go(Rc::clone(&node), checkpoint.begun.clone()));
            (checkpoint.keyspace, Some(checkpoint.begun))
        }
        Ok(None) => (ironcache_keyspace::Keyspace::new(), None),
        Err(error) => {
            let became = match error.fate() {
                checkpoint::Fate::Stays => "it stays where it is",
                checkpoint::Fate::Damaged => "it is set aside as .damaged",
                checkpoint::Fate::OtherCluster => "it is set aside as .other-cluster",
            };
            let error = chain(&error);
            tracing::error!(
                error,
                became,
                "the checkpoint cannot be used; the dataset comes from the primary"
            );
            (ironcache_keyspace::Keyspace::new(), None)
        }
    };
    let errands = {
        let mut plane = node.plane.borrow_mut();
        let mut errands = plane.loaded(keyspace, begun.map(|begun| begun.held));
        let view = Arc::clone(&plane.view);
        errands.extend(plane.apply_view(view));
        errands
    };
    node.run(errands);
    // What lies there is read: it may be replaced.
    checkpoint::keep_snapshots(node).await;
}

/// The shard would stay with a primary that never serves. Ended, this process makes room for its next life, whose
/// registration takes the role away; what it holds is kept for that.
async fn give_up(node: Rc<DataNode>) {
    if node.plane.borrow().engine.is_sealed() {
        return;
    }
    let drained = leaving::drain(&node, Duration::ZERO, Keep::IfPossible).await;
    panic!(
        "the log made this process primary of its shard, and it does not hold what it was to begin with ({drained:?})"
    );
}
