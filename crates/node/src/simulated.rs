//! The daemon in the simulated world: as `run_daemon` runs it, on a host of turmoil's.
//!
//! Its launcher is the simulation's: it has handed over listeners and a snapshot of its state, and says what a launcher
//! says. What the daemon says to it goes through the link of a release, as it is encoded there.

use crate::config::Config;
use crate::daemon::{DaemonError, Front, serve};
use ironcache_formats::levels;
use ironcache_host::net::Bound;
use ironcache_raft::AppliedView;
use ironcache_spine::{LauncherLink, LevelFile, Snapshot, ToDaemon, ToLauncher};
use ironcache_types::Member;
use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

thread_local! {
    static ORDERS: RefCell<Option<UnboundedReceiver<ToDaemon>>> = const { RefCell::new(None) };
    static SHOWN: RefCell<Option<Shown>> = const { RefCell::new(None) };
}

/// What a daemon has of its launcher.
#[derive(Debug)]
pub struct SimulatedLauncher {
    /// The answer to its greeting.
    pub snapshot: Snapshot,
    /// What the launcher says from then on.
    pub orders: UnboundedReceiver<ToDaemon>,
    /// Where it hears the daemon.
    pub hears: UnboundedSender<ToLauncher>,
}

/// How often the link is looked at: as often as anything happens in the simulation.
const LINK_LOOK: Duration = Duration::from_millis(1);

/// Told every state that the daemon has applied.
pub type Shown = Box<dyn Fn(Member, &AppliedView)>;

/// Of the daemon that is starting now: it takes them before it waits for anything, and hosts take turns.
pub(crate) struct Given {
    pub orders: Option<UnboundedReceiver<ToDaemon>>,
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

/// One life of a daemon. To be called on a `LocalSet`.
///
/// # Errors
/// As `run_daemon`'s.
pub async fn run_simulated(
    config: Config,
    launcher: SimulatedLauncher,
    shown: Shown,
) -> Result<(), DaemonError> {
    let SimulatedLauncher { snapshot, orders, hears } = launcher;
    let level = LevelFile::new(&config.data_dir);
    level.admit(levels::RANGE)?;
    let io = |source| DaemonError::Io { what: "no pair of sockets can be made", source };
    let (ours, theirs) = UnixStream::pair().map_err(io)?;
    let link = LauncherLink::new(ours).map_err(io)?;
    theirs.set_nonblocking(true).map_err(io)?;
    tokio::task::spawn_local(pass_on(theirs, hears));
    let version = snapshot.running.version.clone();
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
    serve(config, version, level, front).await
}

/// Hands what the daemon says to its launcher, until either is gone.
async fn pass_on(mut link: UnixStream, hears: UnboundedSender<ToLauncher>) {
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match link.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => said.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LINK_LOOK).await,
            Err(error) => return tracing::error!(%error, "the simulated link cannot be read"),
        }
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(message) => {
                    if hears.send(message).is_err() {
                        return;
                    }
                }
                Err(error) => tracing::error!(%error, "the daemon said what no launcher understands"),
            }
        }
    }
}
