//! The daemon's life: start, serve, drain, end.
//!
//! ```text
//!  launcher ─► listeners, state ─┐
//!  data dir ─► identity, raft ───┼─► data thread · peer port · HTTP port · agent · leader's loop
//!                                └─► Ready, heartbeats ─► … ─► Stop ─► drain, checkpoint, exit 0
//!                                                              │  ▲
//!                                      no room for the only copy  └─ there is room now; asked again: exit 23
//! ```
//! Raft registers this life while the data thread reads the checkpoint: two threads, and neither waits for the other.
//!
//!
//! *Invariant:* starting needs no quorum and no network.
//! *Invariant:* a task that ends while the daemon runs ends the daemon, by name (see [`crate::tasks`]).
//! *Invariant:* the heartbeat comes from another thread than the data thread, and tells what that one has done: a hang is
//! seen, and a slow command is none.
//! *Invariant:* a deadline runs only while nothing advances, and nothing that advances is cut off.
//! *Invariant (I23):* a node that holds the only copy of a dataset ends without a checkpoint only when it is asked twice or
//! when nothing advances, and then with an exit code of its own.

use crate::agent::Agent;
use crate::app::{App, Parts};
use crate::config::Config;
use crate::data::{self, Asked, DataHandle, DataOptions, Door, Drained, Keep, ToControl};
use crate::descriptors;
use crate::doorkeeper::Port;
use crate::doors::{self, Doors};
use crate::ground::Wants;
use crate::identity::{self, IdentityError};
use crate::keeper::{self, KeeperOptions};
use crate::launcher::{self, Stop};
use crate::tasks::{Ends, How, TaskEnded, Tasks, share_panic};
use crate::{doorkeeper, http, lead, lease, messages, moved, odd, peer, removed};
use ironcache_control::Command;
use ironcache_formats::levels;
use ironcache_host::exec::spawn_blocking;
use ironcache_host::net::Bound;
use ironcache_raft::{Admission, Ended, OpenError, Proposed, RaftNode, RaftOptions, TakenOver};
use ironcache_spine::{
    DaemonExit, DataDir, DiskError, Inherited, LauncherLink, LevelError, LevelFile, LinkError, LinkSender,
    SlotStore, Snapshot, StopReason, ToLauncher,
};
use ironcache_store::disk;
use ironcache_types::{Member, NodeId, Release, Version, chain};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Why a daemon did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Level(#[from] LevelError),
    #[error(transparent)]
    Launcher(#[from] LinkError),
    #[error("the launcher passed no {name} listener")]
    NoListener { name: &'static str },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Copy(#[from] moved::CopyError),
    #[error(transparent)]
    Raft(#[from] OpenError),
    #[error(transparent)]
    Slots(#[from] DiskError),
    #[error(transparent)]
    Doors(#[from] doors::StartError),
    #[error("{what}")]
    Io { what: &'static str, source: io::Error },
    #[error(transparent)]
    DataStopped(#[from] crate::data::DataStopped),
    #[error(transparent)]
    Task(#[from] TaskEnded),
    #[error(
        "raft had stopped on this node ({why}), and the disk takes its log again: a new process takes over"
    )]
    RaftEnded { why: String },
    #[error(
        "this node held another control state than most others; it begins anew from the snapshot of node {from}, of entry \
         {covers}: a new process takes over"
    )]
    BeginsAnew { from: NodeId, covers: u64 },
    #[error("this node holds another control state than most others, and theirs was not taken over")]
    NotTakenOver(#[from] odd::BeginAnewError),
    /// Nothing was changed by what could not be applied, and another attempt would end the same way.
    #[error("raft has ended on this node")]
    CannotGoOn(#[source] Ended),
    #[error("the only copy of this node's dataset could not be written, and ends with this process: {why}")]
    DatasetLost { why: String },
    #[error("a daemon is started by its launcher: run `ironcache server`")]
    NoLauncher,
}

impl DaemonError {
    /// How the daemon's process ends: what its launcher goes by.
    pub fn exit(&self) -> DaemonExit {
        match self {
            DaemonError::Level(LevelError::Above { .. })
            | DaemonError::CannotGoOn(Ended::AboveLevel { .. }) => DaemonExit::AboveLevel,
            DaemonError::Raft(error) if error.above_level().is_some() => DaemonExit::AboveLevel,
            DaemonError::Raft(error) if error.went_back() => DaemonExit::LogWentBack,
            DaemonError::Level(LevelError::Below { .. }) => DaemonExit::BelowLevel,
            DaemonError::Launcher(error) => error.exit(),
            DaemonError::DatasetLost { .. } => DaemonExit::DatasetLost,
            DaemonError::Level(LevelError::Unreadable { .. } | LevelError::Disk(_))
            | DaemonError::CannotGoOn(Ended::Unreadable { .. } | Ended::Raft { .. })
            | DaemonError::NoListener { .. }
            | DaemonError::Identity(_)
            | DaemonError::Copy(_)
            | DaemonError::Raft(_)
            | DaemonError::Slots(_)
            | DaemonError::Doors(_)
            | DaemonError::Io { .. }
            | DaemonError::DataStopped(_)
            | DaemonError::Task(_)
            | DaemonError::RaftEnded { .. }
            | DaemonError::BeginsAnew { .. }
            | DaemonError::NotTakenOver(_)
            | DaemonError::NoLauncher => DaemonExit::Failed,
        }
    }
}

/// How often a disk that failed the log is tried again.
const DISK_LOOK: Duration = Duration::from_secs(1);
/// Some hundred entries: with less room a new process would stop as this one did.
const PROBE_BYTES: usize = 256 << 10;

/// How often it is looked whether the checkpoint is read, in ms.
const LOADING_LOOK_MS: u64 = 10;
/// How often it is looked whether what is waited for has advanced. Far below any deadline, and no load.
const ADVANCE_LOOK: Duration = Duration::from_millis(100);
/// A node that stays looks this often whether it may go. Sooner would only count its dataset again and again.
const STAY_LOOK: Duration = Duration::from_millis(500);
/// Raft has nothing to put in order but its threads; a disk that hangs would keep them.
const RAFT_ENDS: Duration = Duration::from_millis(500);
/// A candidate whose process was replaced during the handover is back on the link within this. Longer would only
/// delay the stop of a shard's last node.
const ATTACHES_AGAIN: Duration = Duration::from_millis(500);

/// Runs the daemon until its launcher, or a signal, tells it to stop.
///
/// # Errors
/// What kept it from starting. `config` is resolved; `version` is what this binary says of itself.
#[cfg(not(turmoil))]
pub fn run_daemon(mut config: Config, version: Version) -> Result<(), DaemonError> {
    // Before anything is read or written: a directory above this release is not touched.
    let level = LevelFile::new(&config.data_dir);
    level.admit(levels::RANGE)?;
    let inherited = Inherited::from_env()?.ok_or(DaemonError::NoLauncher)?;
    die_with_the_data_thread();
    let io = |what| move |source| DaemonError::Io { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Raft, HTTP and the loops: little work, passed on from task to task. On one thread that is a queue; on two,
        // each step would wake the other thread. What takes long runs on threads of its own.
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(io("the runtime cannot start"))?;
    let Inherited { mut listeners, link, snapshot, .. } = inherited;
    let mut take = |name| listeners.remove(name).ok_or(DaemonError::NoListener { name });
    let (peer, http) = (take("peer")?, take("http")?);
    let client = match (config.port, take("client")) {
        (0, still) => {
            warn_of_still_listening("port", still.is_ok());
            None
        }
        (_, bound) => Some(bound?),
    };
    let tls = match (config.tls_port, take("tls"), &client) {
        (0, still, _) => {
            warn_of_still_listening("tls-port", still.is_ok());
            None
        }
        (_, Ok(bound), _) => Some(bound),
        // The setting is newer than the launcher, which listens where it was told at its start.
        (port, Err(_), Some(_)) => {
            tracing::warn!(
                port,
                "tls-port is not served yet: the launcher listens on it from its next start on"
            );
            config.tls_port = 0;
            None
        }
        (_, Err(error), None) => return Err(error),
    };
    let front = Front { client, tls, peer, http, link, snapshot };
    let ended = runtime.block_on(serve(config, version, level, front));
    // A download or a hash that is still running is of no use any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// The setting is newer than the launcher, which listens where it was told at its start.
#[cfg(not(turmoil))]
fn warn_of_still_listening(setting: &str, still: bool) {
    if still {
        tracing::warn!(
            setting,
            "it is 0 now, and the launcher listens there until its next start: who connects is not answered"
        );
    }
}

/// A panic on the data thread leaves a dataset that may be half changed, and tokio would go on with the other tasks; on the
/// keeper's, a tail of which nobody knows how far it was written.
/// So the process ends: the launcher starts another one, and what was acknowledged is on the replicas.
#[cfg(not(turmoil))]
fn die_with_the_data_thread() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if [Some(data::THREAD), Some(keeper::THREAD)].contains(&thread.name()) {
            std::process::abort();
        }
    }));
}

/// What a daemon has of whoever starts it.
pub(crate) struct Front {
    /// `None`, as of the next, if there is no such port.
    pub client: Option<Bound>,
    pub tls: Option<Bound>,
    pub peer: Bound,
    pub http: Bound,
    pub link: LauncherLink,
    pub snapshot: Snapshot,
}

pub(crate) async fn serve(
    config: Config,
    version: Version,
    level: LevelFile,
    front: Front,
) -> Result<(), DaemonError> {
    #[cfg(turmoil)]
    let mut given = crate::simulated::Given::take();
    let wants = Wants::of(&config);
    let config = Arc::new(descriptors::fit(config));
    let Front { client, tls, peer, http, link, snapshot } = front;
    // Before raft runs: two processes of one identity would each vote.
    let doors = Arc::new(Doors::of(&config)?);
    moved::refuse_a_copy(&config, doors.clone()).await?;
    let me = identity::begin_life(&config.data_dir, &config.peer_addr())?;
    let release = Release { version: version.clone(), digest: snapshot.running.digest };
    tracing::info!(node = %me.node, address = %config.client_addr(), incarnation = %me.incarnation, %release, "starting");

    let raft = RaftNode::open(RaftOptions {
        timers: config.timers(),
        level,
        is_member: identity::is_member(&config.data_dir)?,
        dial: doors.clone(),
        may_join: doors.clone(),
        ..RaftOptions::new(me, config.data_dir.join("raft"))
    })
    .await?;
    doors.attach(raft.applied());
    doors.check(me.node, raft.cluster().is_some())?;
    tell_code(&doors);
    #[cfg(turmoil)]
    given.show(me, raft.applied());
    let (launcher_known, launcher) = watch::channel(launcher::view(&snapshot));
    let (to_control, proposals) = mpsc::unbounded_channel();
    let (outbox, postman) = messages::pair();
    let (data, data_thread) = data::start(DataOptions {
        config: Arc::clone(&config),
        me,
        cluster: raft.cluster(),
        version,
        levels: levels::RANGE,
        listeners: client
            .map(|bound| (Door::Plain, bound))
            .into_iter()
            .chain(tls.map(|bound| (Door::Tls, bound)))
            .collect(),
        launcher: launcher.clone(),
        views: raft.applied(),
        to_control,
        contact: raft.contact(),
        outbox,
        doors: Arc::clone(&doors),
        random: identity::random()?,
    })
    .map_err(|source| DaemonError::Io { what: "the data thread cannot start", source })?;
    let keeper = keeper::start(KeeperOptions {
        me,
        cluster: raft.cluster(),
        data_dir: config.data_dir.clone(),
        levels: levels::RANGE,
        reserve_bytes: keeper::RESERVE_BYTES,
        views: raft.applied(),
        doors: Arc::clone(&doors),
    })
    .map_err(|source| DaemonError::Io { what: "the keeper's thread cannot start", source })?;
    let mut tasks = Tasks::default();
    tasks.spawn("keys", Ends::Never, Arc::clone(&doors).watch());
    tasks.spawn("join code", Ends::Done, Arc::clone(&doors).forget_code(doors::CODE_KEPT_FOR));
    tasks.spawn("proposals", Ends::Never, propose_all(raft.clone(), proposals));

    let slots = Arc::new(SlotStore::open(&DataDir::new(&config.data_dir))?);
    let (stop, mut stops) = mpsc::unbounded_channel();
    let (sender, receiver) = link.split();
    let (refused, refusals) = mpsc::unbounded_channel();
    let listening = launcher::listen(
        receiver,
        sender.clone(),
        launcher_known,
        stop,
        refused,
        #[cfg(turmoil)]
        given.orders,
    );
    listening.map_err(|source| DaemonError::Io { what: "the launcher's thread cannot start", source })?;
    let (current, log_is_current) = watch::channel(false);
    tasks.spawn("log watch", Ends::Done, watch_log(raft.clone(), me, Arc::clone(&config), current));
    let app = Arc::new(App::new(Parts {
        config: Arc::clone(&config),
        wants,
        me,
        release,
        log_is_current,
        raft,
        data,
        keeper,
        slots,
        launcher,
        client: ironcache_host::http::Client::new(doors.clone(), ironcache_host::http::Waits::default()),
        doors: Arc::clone(&doors),
    }));
    let port = |name, bound, limits, refuse, refused: &Arc<http::Refusals>| {
        let (doors, refused) = (Arc::clone(&doors), Arc::clone(refused));
        let options = doorkeeper::Options { name, limits, refuse, doors, refused };
        Port::open(bound, &options)
            .map_err(|source| DaemonError::Io { what: "the thread of a port cannot start", source })
    };
    let peers =
        port("peer door", peer, doorkeeper::PEER, peer::not_taken as doorkeeper::Refuse, &app.refused_peers)?;
    tasks.spawn("peer port", Ends::Never, peers.serve(peer::router(&app)));
    let callers =
        port("http door", http, doorkeeper::HTTP, http::not_taken as doorkeeper::Refuse, &app.refused)?;
    tasks.spawn("http port", Ends::Never, callers.serve(http::router(Arc::clone(&app))));
    tasks.spawn("hangups", Ends::Never, reread_at_hangups(app.data.clone(), hangups()));
    tasks.spawn("unknown keys", Ends::Never, doors::follow(Arc::clone(&app)));
    tasks.spawn("lead", Ends::Never, lead::run(Arc::clone(&app)));
    tasks.spawn("messages", Ends::Never, messages::run(Arc::clone(&app), postman));
    tasks.spawn("lease", Ends::Never, lease::keep(Arc::clone(&app)));
    tasks.spawn("removed", Ends::Done, removed::watch(Arc::clone(&app)));
    tasks.spawn("ready", Ends::Done, tell_ready(app.data.clone(), sender.clone()));
    let mut beating = tokio::spawn(heartbeat(app.data.clone(), sender.clone(), snapshot.heartbeat_ms));
    let agent = Agent::new(Arc::clone(&app), sender, app.launcher.clone(), refusals);
    tasks.spawn("agent", Ends::Never, agent.run());

    let ended = loop {
        let asked = tokio::select! {
            taken = odd::taken_over(&app) => break take_over(&app, taken, &mut stops).await,
            // Without its data thread this process is of no use; a new one is.
            _ = &mut beating => return Err(DaemonError::DataStopped(crate::data::DataStopped)),
            ended = task_ended(&mut tasks, &app) => Err(ended.into()),
            ended = raft_ended(&app) => Err(ended),
            Some(stop) = stops.recv() => Ok(stop),
            () = terminated() => Ok(Stop { reason: StopReason::Operator, deadline: Duration::from_secs(5) }),
        };
        match asked {
            Ok(stop) => {
                tracing::info!(reason = ?stop.reason, "stopping");
                break leave(&app, stop, &mut stops).await;
            }
            // Nothing can be handed over without the log or with a part of this node missing, and this may be the only
            // whole dataset: it is kept.
            Err(raft_ended) => match drain(&app, Keep::OrStayWithoutLog).await {
                Drained::Settled => break Err(raft_ended),
                Drained::Stays { why } => app.stays(why),
                Drained::Lost { why } => break Err(DaemonError::DatasetLost { why }),
            },
        }
        tokio::time::sleep(DISK_LOOK).await;
    };
    app.data.stop();
    // It has nothing left to do but to return; if a disk holds it, nobody waits.
    let _ = tokio::time::timeout(RAFT_ENDS, spawn_blocking(move || data_thread.join())).await;
    ended
}

/// Whoever starts a new node has to carry its code to where the cluster is created, or the node added.
fn tell_code(doors: &Doors) {
    if let (Some(code), None) = (doors.code_to_tell(), doors.binding()) {
        // For a person, and for scripts that start nodes: a line of its own in the output.
        println!("join code: {code}");
        tracing::info!("this node belongs to no cluster, and obeys whoever proves its join code");
    }
}

/// This node made something else of the log than most others. It gives its roles away, ends, and leaves theirs for the next
/// process.
async fn take_over(
    app: &Arc<App>,
    taken: TakenOver,
    stops: &mut mpsc::UnboundedReceiver<Stop>,
) -> Result<(), DaemonError> {
    let (from, covers) = (taken.from(), taken.covers());
    tracing::error!(
        %from, covers,
        "this node holds another control state than most others: it ends, and its next process begins from theirs"
    );
    let stop = Stop { reason: StopReason::Operator, deadline: Duration::from_secs(5) };
    leave(app, stop, stops).await?;
    odd::begin_anew(app, taken).await?;
    Err(DaemonError::BeginsAnew { from, covers })
}

/// Returns when a task has ended that should not have. Without raft, what follows it has nothing to do any more: that is
/// [`raft_ended`]'s to judge.
async fn task_ended(tasks: &mut Tasks, app: &App) -> TaskEnded {
    loop {
        let ended = tasks.ended().await;
        if ended.how == How::Returned && app.raft.view().stopped.is_some() {
            tracing::warn!(task = ended.task, "a task has ended with raft");
            continue;
        }
        return ended;
    }
}

/// Returns when raft has stopped and another process has to go on: at once if what stopped it was an entry or a snapshot;
/// if it was a full disk, say, when a new process could go on with the log. Until then this one serves what it may serve
/// without: it could not even start again.
async fn raft_ended(app: &App) -> DaemonError {
    let why = match app.raft.ended().await {
        Ended::Raft { why } => why,
        ended @ (Ended::AboveLevel { .. } | Ended::Unreadable { .. }) => {
            return DaemonError::CannotGoOn(ended);
        }
    };
    tracing::error!(
        why,
        "raft has stopped on this node: it takes part in nothing any more, and is not ready. Make room on its disk, or \
         mend it; the node then starts again by itself"
    );
    loop {
        tokio::time::sleep(DISK_LOOK).await;
        // What the disk lost of the log nobody knows: the next process reads one that was written anew.
        if let Err(error) = app.raft.mend_log().await {
            tracing::debug!(%error, "the log cannot be written anew yet");
            continue;
        }
        let probe = app.config.data_dir.join("raft").join("probe");
        let works = spawn_blocking(move || takes_a_log(&probe)).await;
        match works {
            Ok(Ok(())) => return DaemonError::RaftEnded { why },
            Ok(Err(error)) => tracing::debug!(%error, "the disk takes no log yet"),
            Err(error) => tracing::error!(%error, "the disk was not tried"),
        }
    }
}

/// Can something be written here, and made durable?
fn takes_a_log(probe: &Path) -> io::Result<()> {
    let tried = disk::File::create(probe).and_then(|mut file| {
        io::Write::write_all(&mut file, &[0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = disk::remove_file(probe);
    tried.and(removed)
}

/// Hands the data plane's proposals to raft. Their outcomes are seen in the applied state; a rejection is
/// told to whoever asked.
async fn propose_all(raft: RaftNode, mut proposals: mpsc::UnboundedReceiver<ToControl>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            asked = proposals.recv() => match asked {
                Some(asked) => drop(under_way.spawn(propose(raft.clone(), asked))),
                None => return,
            },
            Some(ended) = under_way.join_next() => drop(share_panic(ended)),
        }
    }
}

async fn propose(raft: RaftNode, ToControl { command, rejected, asked }: ToControl) {
    if let Some(Asked { origin, outcome }) = asked {
        let answer = match raft.propose(origin.asks(command)).await {
            Ok(Proposed { index, outcome }) => Ok((index, outcome.map(drop))),
            Err(error) => Err(chain(&error)),
        };
        // Whoever asked may have gone meanwhile.
        let _ = outcome.send(answer);
        return;
    }
    match raft.propose(command.clone()).await {
        Ok(proposed) => {
            if let (Err(rejection), Some(rejected)) = (proposed.outcome, rejected) {
                // Whoever asked may have lost its role meanwhile.
                let _ = rejected.send(rejection);
            }
        }
        Err(error) => tracing::warn!(?command, %error, "a proposal has no outcome"),
    }
}

/// Tells that this process has applied up to a commit index that a leader confirmed after it started, and that the others
/// have admitted this life. Not before the cluster has accepted where this process is: until then it may be a copy of a node
/// that runs elsewhere, and what follows (its registration) would depose that one.
async fn watch_log(raft: RaftNode, me: Member, config: Arc<Config>, current: watch::Sender<bool>) {
    moved::tell(&raft, me, config.peer_addr()).await;
    let mut leadership = raft.view_changes();
    loop {
        // Without a leader there is nobody to ask; a pristine node waits here until it is a member.
        if leadership.borrow_and_update().leader.is_some() && raft.catch_up().await.is_ok() {
            break;
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    let mut admission = raft.admission();
    let decided = |now: &Admission| matches!(now, Admission::Admitted | Admission::WentBack(_));
    let admitted = admission.wait_for(decided).await.is_ok_and(|now| *now == Admission::Admitted);
    // One whose log went back never registers; its readiness says so.
    if !admitted {
        return;
    }
    if let Some(cluster) = raft.cluster() {
        let noted = spawn_blocking(move || identity::note_member(&config.data_dir, cluster)).await;
        if let Some(Err(error)) = share_panic(noted) {
            let error = chain(&error);
            tracing::warn!(
                error,
                "a loss of this node's log would not be noticed: it is not noted that it is a member"
            );
        }
    }
    current.send_replace(true);
}

/// Tells the launcher how far the data thread has come, at each interval and without waiting for that thread. Returns
/// when it is gone.
async fn heartbeat(data: DataHandle, launcher: LinkSender, every_ms: u64) {
    let mut looked_at = None;
    loop {
        let (ticks, work_bytes) = (data.ticks(), data.work_bytes());
        // An idle thread ticks when it is looked at. One that has not ticked since has a look before it already.
        if looked_at != Some(ticks) {
            looked_at = Some(ticks);
            if data.look().is_err() {
                return;
            }
        }
        if launcher.send(&ToLauncher::Heartbeat { ticks, work_bytes }).is_err() {
            // A launcher that is gone is noticed by whoever listens to it.
            return std::future::pending().await;
        }
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
    }
}

/// Tells the launcher `Ready` once the checkpoint is read: every moment until then is one more without an upgraded node.
async fn tell_ready(data: DataHandle, launcher: LinkSender) {
    while let Ok(snapshot) = data.snapshot().await {
        if snapshot.loaded {
            // A launcher that is gone is noticed by whoever listens to it.
            let _ = launcher.send(&ToLauncher::Ready {});
            return;
        }
        tokio::time::sleep(Duration::from_millis(LOADING_LOOK_MS)).await;
    }
}

async fn terminated() {
    // Nobody signals a simulated process: it is told to stop, or killed.
    if cfg!(turmoil) {
        return std::future::pending().await;
    }
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "SIGTERM cannot be caught; only the launcher can stop this node gently");
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP, which the launcher passes on: files that the operator has changed are read again.
async fn reread_at_hangups(data: DataHandle, hangups: Option<Signal>) {
    if let Some(mut hangups) = hangups {
        while hangups.recv().await.is_some() {
            data.reread();
        }
    }
    std::future::pending().await
}

/// Caught from here on; until then it is ignored, as the launcher has it.
fn hangups() -> Option<Signal> {
    if cfg!(turmoil) {
        return None;
    }
    signal(SignalKind::hangup())
        .inspect_err(
            |error| tracing::error!(%error, "SIGHUP cannot be caught: files are not read anew at it"),
        )
        .ok()
}

/// Gives roles away if there is somebody to take them, then drains and writes the checkpoint. A node that holds the only
/// copy and cannot write it serves on meanwhile, until there is room or somebody to take it; `stops` tells that it is
/// asked again.
///
/// # Errors
/// [`DaemonError::DatasetLost`], when it was asked again or nothing advanced any more.
async fn leave(
    app: &Arc<App>,
    stop: Stop,
    stops: &mut mpsc::UnboundedReceiver<Stop>,
) -> Result<(), DaemonError> {
    app.leave();
    let asked_at = Instant::now();
    let stays_until = asked_at + stop.deadline;
    match stop.reason {
        StopReason::Operator => {
            // Half of the time for courtesies: the checkpoint matters more.
            if tokio::time::timeout(stop.deadline / 2, give_roles_away(app, stop.deadline * 2 / 5))
                .await
                .is_err()
            {
                tracing::warn!("leadership was not handed over in time");
            }
        }
        // The log has taken the roles already.
        StopReason::Activate | StopReason::RollBack => {}
    }
    let (mut keep, mut since) = (Keep::OrStay, asked_at);
    let left = loop {
        let why = match while_it_advances(app, stop.deadline, since, drain(app, keep)).await {
            Some(Drained::Settled) => break Ok(()),
            Some(Drained::Lost { why }) => break Err(DaemonError::DatasetLost { why }),
            None if ironcache_shard::is_only_copy(&app.raft.applied().borrow().state, app.me) => {
                let why = "the disk takes nothing any more".to_owned();
                break Err(DaemonError::DatasetLost { why });
            }
            None => {
                tracing::warn!("not everything was put in order: nothing advanced any more");
                break Ok(());
            }
            Some(Drained::Stays { why }) => why,
        };
        app.stays(why);
        let look_again = async {
            // Somebody may be in sync by now.
            let _ = tokio::time::timeout(ATTACHES_AGAIN, hand_my_shard_over(app)).await;
            tokio::time::sleep(STAY_LOOK).await;
        };
        tokio::select! {
            Some(_) = stops.recv() => keep = Keep::IfPossible,
            () = look_again => if Instant::now() >= stays_until { keep = Keep::IfPossible },
        }
        since = Instant::now();
    };
    if tokio::time::timeout(RAFT_ENDS, app.raft.shutdown()).await.is_err() {
        tracing::warn!("raft did not end in time");
    }
    left
}

/// What comes of `work`; `None` when nothing of a dataset was written for `limit`: from `since` on, or from the last advance.
async fn while_it_advances<T>(
    app: &App,
    limit: Duration,
    mut since: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut bytes = app.data.work_bytes();
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(ADVANCE_LOOK) => {
                let now = app.data.work_bytes();
                if now != bytes {
                    (bytes, since) = (now, Instant::now());
                } else if since.elapsed() >= limit {
                    return None;
                }
            }
        }
    }
}

/// Lets clients go, and writes the checkpoint.
async fn drain(app: &App, keep: Keep) -> Drained {
    let timeout = Duration::from_millis(app.config.drain_timeout_ms);
    match app.data.drain(timeout, keep).await {
        Ok(drained) => drained,
        Err(stopped) if ironcache_shard::is_only_copy(&app.raft.applied().borrow().state, app.me) => {
            Drained::Lost { why: stopped.to_string() }
        }
        Err(stopped) => {
            tracing::error!(error = %stopped, "not drained");
            Drained::Settled
        }
    }
}

async fn give_roles_away(app: &Arc<App>, for_the_shard: Duration) {
    if tokio::time::timeout(for_the_shard, hand_my_shard_over(app)).await.is_err() {
        tracing::warn!("nobody took this node's shard in time");
    }
    let raft = app.raft.view();
    let others = raft.voters.iter().filter(|n| **n != app.me.node);
    let next = others.max_by_key(|n| raft.matched.get(n).copied());
    if let (true, Some(next)) = (raft.is_leader, next)
        && let Err(error) = app.raft.transfer_leader(*next).await
    {
        tracing::warn!(%error, "leadership was not handed over");
    }
}

/// Returns when this node owns no shard any more, or when nobody could take it. An attempt that was aborted is made
/// again, with another candidate if there is one, for as long as the caller waits.
async fn hand_my_shard_over(app: &Arc<App>) {
    let mut views = app.raft.applied();
    let mut attempts: BTreeMap<Member, u32> = BTreeMap::new();
    let mut last_attempt: Option<Instant> = None;
    // Where the log answered the last proposal. The leader may be another node: until this one has applied as much,
    // its view says nothing of the attempt.
    let mut answered_at = 0;
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let Some(shard) = view.state.shard_of_node(app.me.node).filter(|s| s.is_primary(app.me)) else {
            return;
        };
        if view.index < answered_at || shard.handover.is_some() {
            if views.changed().await.is_err() {
                return;
            }
            continue;
        }
        // During a plan rather one on the target, that need not be handed over from again.
        let target = view.state.plan.as_ref().map(|plan| plan.target.digest);
        let is_on_target = |m: &Member| view.state.nodes.get(&m.node).map(|n| n.release.digest) == target;
        let least_tried =
            shard.in_sync_replicas().min_by_key(|to| (attempts.get(to).copied(), !is_on_target(to)));
        let Some(to) = least_tried else {
            // Until somebody is in sync this node goes on serving; so waiting costs no client anything.
            let may_return = last_attempt.is_some_and(|at| at.elapsed() < ATTACHES_AGAIN);
            if !may_return && !app.data.snapshot().await.is_ok_and(|data| !data.status.replicas.is_empty()) {
                return;
            }
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(Duration::from_millis(LOADING_LOOK_MS)) => {}
            }
            continue;
        };
        let attempt = attempts.entry(to).or_default();
        // A member that did not take over a moment ago gets a longer moment each time.
        tokio::time::sleep(Duration::from_millis(view.state.policy.handover_timeout_ms) * *attempt).await;
        *attempt += 1;
        last_attempt = Some(Instant::now());
        let command = Command::BeginHandover {
            shard: shard.id,
            shard_epoch: shard.epoch,
            from: app.me,
            to,
            plan: None,
        };
        match app.raft.propose(command).await {
            Ok(proposed) => {
                answered_at = proposed.index;
                if let Err(rejection) = proposed.outcome {
                    tracing::info!(%rejection, %to, "no handover begins; looking again");
                }
            }
            Err(error) => {
                tracing::warn!(%error, %to, "it is unknown whether a handover began; looking again")
            }
        }
    }
}
