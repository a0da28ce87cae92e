//! What a launcher is told at its start.

use ironcache_types::LevelRange;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct LauncherConfig {
    pub data_dir: PathBuf,
    pub listeners: Vec<ListenerSpec>,
    /// What the daemon gets after `ironcache server-daemon`.
    pub child_args: Vec<OsString>,
    /// Added to the launcher's own environment for the daemon.
    pub child_env: Vec<(OsString, OsString)>,
    /// What a first start installs: `/proc/self/exe`.
    pub own_exe: PathBuf,
    /// The levels that this release admits.
    pub levels: LevelRange,
    pub limits: LauncherLimits,
    pub way_back: WayBack,
}

impl LauncherConfig {
    pub fn new(data_dir: impl Into<PathBuf>, levels: LevelRange) -> Self {
        LauncherConfig {
            data_dir: data_dir.into(),
            listeners: Vec::new(),
            child_args: Vec::new(),
            child_env: Vec::new(),
            own_exe: PathBuf::from("/proc/self/exe"),
            levels,
            limits: LauncherLimits::default(),
            way_back: WayBack::new(|| Ok(None)),
        }
    }
}

/// Could a launcher of this release start with the configuration as it is at this moment? It is asked before another
/// launcher takes over, and answers the text of the configuration file that it read, if there is one: the other launcher
/// reads that text, and so does this one if the other refuses, whatever is written to the file meanwhile.
#[derive(Clone)]
pub struct WayBack(Rc<dyn Fn() -> Result<Option<String>, String>>);

impl WayBack {
    pub fn new(ask: impl Fn() -> Result<Option<String>, String> + 'static) -> Self {
        WayBack(Rc::new(ask))
    }

    /// # Errors
    /// What keeps it from starting, for people.
    pub(super) fn ask(&self) -> Result<Option<String>, String> {
        (self.0)()
    }
}

impl fmt::Debug for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WayBack")
    }
}

/// One listening socket that outlives the daemons.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// What the daemon finds it by: "client", "tls", "peer", "http".
    pub name: String,
    /// The configuration key that chose the address, for error messages.
    pub key: String,
    pub address: SocketAddr,
}

/// Times and counts. The defaults suit small shared machines.
#[derive(Clone, Debug)]
pub struct LauncherLimits {
    /// Starts of a release on trial. One would make any accident a verdict on the release.
    pub attempts_max: u32,
    /// From the start until `Ready` while on trial, and until the first message always. Shorter
    /// condemns a release for a slow disk; longer delays the rollback of one that never serves.
    pub ready_timeout_ms: u64,
    /// How often the daemon is asked to send `Heartbeat`.
    pub heartbeat_ms: u64,
    /// A daemon whose ticks stand still for this long counts as hung. Shorter kills daemons on a machine that is
    /// merely overloaded; longer leaves a hung one in place.
    pub hang_timeout_ms: u64,
    /// From `Stop`, or from the last advance after it, until a daemon that does not end counts as stuck; SIGTERM comes
    /// at half of it, SIGKILL a moment after it. Shorter cuts off a disk that pauses; longer only delays the end of a
    /// node that is lost anyway.
    pub stop_timeout_ms: u64,
    /// The pause before the second restart in a row; there is none before the first, since others wait for the node. It
    /// doubles for a daemon that dies young.
    pub restart_ms_min: u64,
    pub restart_ms_max: u64,
    /// A daemon that was ready for this long did not die young.
    pub stable_ms: u64,
    /// From a pause of this length on nobody is kept waiting for the next daemon: clients and peers are refused, and go
    /// elsewhere. Shorter refuses those whom the second or third start would have served; longer lets them hang.
    pub refuse_from_ms: u64,
    /// How long to wait for the daemon of a killed launcher to be dead too.
    pub lock_wait_ms: u64,
}

impl Default for LauncherLimits {
    fn default() -> Self {
        LauncherLimits {
            attempts_max: 3,
            ready_timeout_ms: 30_000,
            heartbeat_ms: 200,
            hang_timeout_ms: 5_000,
            stop_timeout_ms: 10_000,
            restart_ms_min: 10,
            restart_ms_max: 5_000,
            stable_ms: 5_000,
            refuse_from_ms: 100,
            lock_wait_ms: 1_000,
        }
    }
}

impl LauncherLimits {
    pub(crate) fn ready_timeout(&self) -> Duration {
        Duration::from_millis(self.ready_timeout_ms)
    }

    pub(crate) fn hang_timeout(&self) -> Duration {
        Duration::from_millis(self.hang_timeout_ms)
    }

    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_timeout_ms)
    }

    /// The pause before the next restart, after one of `last` and a daemon that was ready for `served`.
    pub(crate) fn restart_pause(&self, last: Option<Duration>, served: Duration) -> Duration {
        let min = Duration::from_millis(self.restart_ms_min);
        match last {
            Some(last) if served < Duration::from_millis(self.stable_ms) => {
                (last * 2).clamp(min, Duration::from_millis(self.restart_ms_max).max(min))
            }
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Is this pause too long for clients and peers to wait in?
    pub(crate) fn refuses_in(&self, pause: Duration) -> bool {
        pause >= Duration::from_millis(self.refuse_from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_follows_at_once_and_those_of_what_dies_young_are_slow() {
        let limits = LauncherLimits::default();
        let young = Duration::from_millis(3);
        let mut pauses = vec![limits.restart_pause(None, young)];
        for _ in 0..10 {
            pauses.push(limits.restart_pause(pauses.last().copied(), young));
        }
        let pauses_ms: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(pauses_ms, [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000]);
        let refused = pauses.iter().filter(|pause| limits.refuses_in(**pause)).count();
        assert_eq!(refused, 6, "150 ms of pauses are waited in, not more");
        assert_eq!(limits.restart_pause(pauses.last().copied(), Duration::from_secs(60)), Duration::ZERO);
    }
}
