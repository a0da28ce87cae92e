//! The daemon in the simulated world: as `run_daemon` runs it, on a host of turmoil's.
//!
//! What a launcher is to it: it has handed over listeners and a state without a trial, and tells it when to stop.

use crate::config::Config;
use crate::daemon::{DaemonError, Front, serve};
use ironcache_formats::levels;
use ironcache_host::net::Bound;
use ironcache_raft::AppliedView;
use ironcache_spine::{LAUNCHER_PROTOCOL, LauncherLink, LevelFile, Snapshot, State};
use ironcache_types::{Member, Release, Version};
use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

thread_local! {
    static ORDERS: RefCell<Option<UnboundedReceiver<Duration>>> = const { RefCell::new(None) };
    static SHOWN: RefCell<Option<Shown>> = const { RefCell::new(None) };
}

/// Told every state that the daemon has applied.
pub type Shown = Box<dyn Fn(Member, &AppliedView)>;

/// Of the daemon that is starting now: it takes them before it waits for anything, and hosts take turns.
pub(crate) struct Given {
    pub orders: Option<UnboundedReceiver<Duration>>,
    shown: Option<Shown>,
}

impl Given {
    pub(crate) fn take() -> Self {
        Given { orders: ORDERS.take(), shown: SHOWN.take() }
    }

    /// Shows what is applied from here on.
    pub(crate) fn show(&mut self, me: Member, mut views: watch::Receiver<Arc<AppliedView>>) {
        let Some(shown) = self.shown.take() else { return };
        tokio::task::spawn_local(async move {
            loop {
                let view = Arc::clone(&views.borrow_and_update());
                shown(me, &view);
                if views.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// One life of a daemon. `orders` tells it to stop within a time. To be called on a `LocalSet`.
///
/// # Errors
/// As `run_daemon`'s.
pub async fn run_simulated(
    config: Config,
    release: Release,
    orders: UnboundedReceiver<Duration>,
    shown: Shown,
) -> Result<(), DaemonError> {
    let level = LevelFile::new(&config.data_dir);
    level.admit(levels::RANGE)?;
    let io = |source| DaemonError::Io { what: "no pair of sockets can be made", source };
    let (ours, theirs) = UnixStream::pair().map_err(io)?;
    let link = LauncherLink::new(ours).map_err(io)?;
    let version: Version = release.version.clone();
    let snapshot = Snapshot {
        running: release.clone(),
        state: State::new(release),
        degraded: None,
        heartbeat_ms: 1_000,
        launcher_protocol: LAUNCHER_PROTOCOL,
    };
    let front = Front {
        client: Some(Bound(config.port)),
        tls: None,
        peer: Bound(config.peer_port),
        http: Bound(config.http_port),
        link,
        snapshot,
    };
    ORDERS.set(Some(orders));
    SHOWN.set(Some(shown));
    let ended = serve(config, version, level, front).await;
    // What was sent to it lies there unread.
    drop(theirs);
    ended
}
