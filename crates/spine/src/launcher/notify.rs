//! What the service manager that started this node is told: lines in a datagram to the socket that it names (`sd_notify(3)`).
//!
//! ```text
//!   the first daemon is ready   ─► READY=1
//!   work advances before that   ─► EXTEND_TIMEOUT_USEC     (a checkpoint of 100 GB is no start that failed)
//!   SIGHUP                      ─► RELOADING=1, READY=1
//!   asked to stop               ─► STOPPING=1, EXTEND_TIMEOUT_USEC, and again while work advances
//!   half a watchdog's time      ─► WATCHDOG=1
//! ```
//! The launcher vouches for itself alone: it is the one that watches the daemon, and restarts it. A daemon that was replaced
//! in a roll, or died and was started again, is nothing to tell a service manager: the node is the launcher's process.
//!
//! *Invariant:* the daemon inherits none of the variables: it is no service of its own.
//! *Invariant:* a manager that does not listen holds nothing up, and ends nothing.

use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The variables that tell of a service manager.
pub(super) const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG_USEC, WATCHDOG_PID];
const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Work advances with every heartbeat. Told more often, it would only wake the manager; seldom, and a deadline of seconds
/// might pass in between.
const EXTEND_EVERY: Duration = Duration::from_secs(1);
/// The manager's patience is longer than ours by this: whoever is stuck is ended here, with words.
const OURS_FIRST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
    told_ready: bool,
    extended: Option<Instant>,
    /// That it does not listen is said once.
    is_deaf: bool,
}

#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Notify {
    /// By this process' environment.
    pub(super) fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        Notify::by(variable, std::process::id(), Instant::now()).unwrap_or_else(|error| {
            tracing::warn!(%error, "{SOCKET} names no socket that can be spoken to: the service manager is told nothing");
            Notify::nobody()
        })
    }

    fn nobody() -> Self {
        Notify { manager: None, watchdog: None, told_ready: false, extended: None, is_deaf: false }
    }

    fn by(
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
        own_pid: u32,
        now: Instant,
    ) -> io::Result<Self> {
        let Some(address) = variable(SOCKET).filter(|address| !address.is_empty()) else {
            return Ok(Notify::nobody());
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let manager = Some((socket, address_of(&address)?));
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        // A variable that went through another process is about that one.
        let is_ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(own_pid));
        let watchdog = number(WATCHDOG_USEC).filter(|usec| is_ours && *usec > 0).map(|usec| {
            let every = Duration::from_micros(usec / 2);
            Watchdog { every, next: now }
        });
        Ok(Notify { manager, watchdog, told_ready: false, extended: None, is_deaf: false })
    }

    /// A daemon is ready. Said of the first one.
    pub(super) fn ready(&mut self, status: &str) {
        if !std::mem::replace(&mut self.told_ready, true) {
            self.tell(&format!("READY=1\nSTATUS={status}"));
        }
    }

    /// The daemon reads its files again, which takes it a moment, and no one waits for that.
    pub(super) fn reloaded(&mut self) {
        if self.told_ready {
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_usec()));
            self.tell("READY=1");
        }
    }

    /// The node ends; what is left to do may take `within` without that anything advances.
    pub(super) fn stopping(&mut self, within: Duration, now: Instant) {
        self.extended = Some(now);
        self.tell(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={}", usec(within)));
    }

    /// What the manager waits for has advanced, and may take `within` until it does again.
    pub(super) fn advanced(&mut self, is_stopping: bool, within: Duration, now: Instant) {
        let is_waited_for = is_stopping || !self.told_ready;
        if is_waited_for && self.extended.is_none_or(|at| now >= at + EXTEND_EVERY) {
            self.extended = Some(now);
            self.tell(&format!("EXTEND_TIMEOUT_USEC={}", usec(within)));
        }
    }

    /// When the watchdog is due next.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.next)
    }

    /// The launcher's loop turns.
    pub(super) fn beat(&mut self, now: Instant) {
        let Some(Watchdog { every, next }) = &mut self.watchdog else { return };
        if now >= *next {
            *next = now + *every;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&mut self, lines: &str) {
        let Some((socket, address)) = &self.manager else { return };
        match socket.send_to_addr(lines.as_bytes(), address) {
            Ok(_) => self.is_deaf = false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_deaf, true) {
                    tracing::warn!(%error, "the service manager does not listen");
                }
            }
        }
    }
}

/// A path, or a name in the abstract namespace, which is written with `@`.
fn address_of(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(address),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
}

/// When it is, by the clock that the manager's log has.
fn monotonic_usec() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

fn usec(within: Duration) -> u128 {
    (within + OURS_FIRST).as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    struct Manager(UnixDatagram, tempfile::TempDir);

    impl Manager {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
            socket.set_nonblocking(true).unwrap();
            Manager(socket, dir)
        }

        fn notify(&self, others: &[(&str, &str)]) -> Notify {
            let path = self.1.path().join("notify").into_os_string();
            let given = |name: &str| match name {
                SOCKET => Some(path.clone()),
                _ => others.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value)),
            };
            Notify::by(given, 7, Instant::now()).unwrap()
        }

        fn told(&self) -> Option<String> {
            let mut bytes = [0; 512];
            let len = self.0.recv(&mut bytes).ok()?;
            Some(String::from_utf8(bytes[..len].to_vec()).unwrap())
        }
    }

    #[test]
    fn only_the_first_ready_daemon_is_told_of() {
        let manager = Manager::new();
        let mut notify = manager.notify(&[]);
        notify.ready("runs 1.0.0");
        notify.ready("runs 1.1.0");
        assert_eq!(manager.told().as_deref(), Some("READY=1\nSTATUS=runs 1.0.0"));
        assert_eq!(manager.told(), None);
    }

    #[test]
    fn a_start_and_a_stop_that_advance_have_more_time_and_nothing_else_has() {
        let manager = Manager::new();
        let mut notify = manager.notify(&[]);
        let (now, within) = (Instant::now(), Duration::from_secs(10));
        notify.advanced(false, within, now);
        assert_eq!(manager.told().as_deref(), Some("EXTEND_TIMEOUT_USEC=15000000"));
        notify.advanced(false, within, now + EXTEND_EVERY / 2);
        assert_eq!(manager.told(), None, "a moment later");
        notify.ready("");
        assert!(manager.told().unwrap().starts_with("READY=1"));
        let later = now + EXTEND_EVERY * 2;
        notify.advanced(false, within, later);
        assert_eq!(manager.told(), None, "nobody waits");
        notify.stopping(within, later);
        assert_eq!(
            manager.told().as_deref(),
            Some("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=15000000")
        );
        notify.advanced(true, within, later + EXTEND_EVERY);
        assert_eq!(manager.told().as_deref(), Some("EXTEND_TIMEOUT_USEC=15000000"));
    }

    #[test]
    fn a_reload_is_told_with_its_beginning_and_end_once_the_node_is_ready() {
        let manager = Manager::new();
        let mut notify = manager.notify(&[]);
        notify.reloaded();
        assert_eq!(manager.told(), None, "it would say that the node is ready");
        notify.ready("");
        manager.told().unwrap();
        notify.reloaded();
        let began = manager.told().unwrap();
        let usec = began.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0, "{began}");
        assert_eq!(manager.told().as_deref(), Some("READY=1"));
    }

    #[test]
    fn the_watchdog_hears_of_every_half_of_its_time() {
        let manager = Manager::new();
        let mut notify = manager.notify(&[(WATCHDOG_USEC, "2000000"), (WATCHDOG_PID, "7")]);
        let now = notify.next_beat().unwrap();
        notify.beat(now);
        assert_eq!(manager.told().as_deref(), Some("WATCHDOG=1"));
        assert_eq!(notify.next_beat(), Some(now + Duration::from_secs(1)));
        notify.beat(now + Duration::from_millis(999));
        assert_eq!(manager.told(), None);
        notify.beat(now + Duration::from_millis(1_000));
        assert!(manager.told().is_some());
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed() {
        let manager = Manager::new();
        let notify = manager.notify(&[(WATCHDOG_USEC, "2000000"), (WATCHDOG_PID, "8")]);
        assert_eq!(notify.next_beat(), None);
    }

    #[test]
    fn a_manager_without_a_file_is_spoken_to_and_one_that_is_gone_ends_nothing() {
        let name = format!("ironcache-notify-{}", std::process::id());
        let there = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let given = |wanted: &str| (wanted == SOCKET).then(|| OsString::from(format!("@{name}")));
        let mut notify = Notify::by(given, 7, Instant::now()).unwrap();
        notify.ready("");
        let mut bytes = [0; 64];
        let len = there.recv(&mut bytes).unwrap();
        assert!(bytes[..len].starts_with(b"READY=1"));
        drop(there);
        notify.stopping(Duration::ZERO, Instant::now());
        assert!(notify.is_deaf);
        let nowhere = |wanted: &str| (wanted == SOCKET).then(|| OsString::from("relative"));
        assert!(Notify::by(nowhere, 7, Instant::now()).is_err());
    }

    #[test]
    fn fuzz_what_a_service_manager_puts_into_the_environment() {
        let given = ["/run/notify\n20000000\n7", "@abstract/name\n1\n8", "@\n0\n"];
        ironcache_fuzz::Campaign::of("a service manager's variables")
            .from(given)
            .words(["@", "/", "\0"])
            .run(|bytes| {
                let mut lines = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
                let named: Vec<_> =
                    [SOCKET, WATCHDOG_USEC, WATCHDOG_PID].into_iter().zip(&mut lines).collect();
                let of = |wanted: &str| {
                    named.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_os_string())
                };
                let mut notify = Notify::by(of, 7, Instant::now()).map_err(|error| error.kind())?;
                let is_fed = notify.next_beat().is_some();
                // An hour before and behind: what is announced may be as long as the number says.
                notify.beat(Instant::now() + Duration::from_secs(3600));
                Ok::<_, io::ErrorKind>((notify.manager.is_some(), is_fed))
            });
    }
}
