//! The launcher becomes the one of the release that it runs: same process, same sockets, same daemon.
//!
//! ```text
//!   Confirm: `idle` durable ─> `state` names the new launcher, durable ─> exec of its verified slot
//!     the new one: admits what it finds ──> goes on, tells the daemon the state
//!                  does not             ──> exec of the old one, which goes on and says why it stays
//! ```
//! What is left to the other launcher stands in a memory file whose number is in `IRONCACHE_HANDOVER`. Its first two lines
//! are frozen, so that every launcher can go back from what it does not understand:
//!
//! ```text
//! ironcache-handover 1
//! back 7
//! {"from":"<sha256>","lock":3,"listeners":[…],"daemon":{…},"degraded":null}
//! ```
//! Line 1 names the version of the launcher protocol that the rest is written in: the newest that both launchers speak.
//! Line 2 names the descriptor of the old launcher's binary. The rest is strict JSON. With `IRONCACHE_HANDOVER_REFUSED` in
//! the environment the process is the old launcher again, and the variable says why.
//!
//! The configuration file is read once, by the launcher that goes: `IRONCACHE_HANDOVER_CONFIG` names a second memory file
//! with its text. Both launchers start with that; the file itself is read again at the next start.
//!
//! Descriptors, children and the signal mask survive an exec: nobody is disconnected, nothing is restarted, and a signal
//! that comes in between is pending for the other one.
//!
//! *Invariant:* `state` names the new launcher, durably, before the exec; whatever dies then, the next start runs it.
//! *Invariant:* it begins only while this launcher could start again, with the very text that it leaves: a configuration
//! that neither of the two reads would end the node.
//! *Invariant:* nothing is taken before everything is admitted; a launcher that refuses leaves all as it found it.
//! *Invariant:* a handover that failed is not tried again in this process.

use super::child::Daemon;
use super::exec;
use super::listeners::{self, ListenersError};
use super::signals::StopSignals;
use super::supervisor::Supervisor;
use super::watch::Watch;
use super::{LauncherConfig, LauncherError};
use crate::boot::Boot;
use crate::clock::{self, CLOCK_VARIABLE};
use crate::data_dir::{DataDir, DataDirLock};
use crate::protocol::{self, LAUNCHER_PROTOCOL, Refusal};
use crate::slot_store::{SlotError, SlotStore};
use crate::state::{Event, Phase};
use crate::state_file::{ReadState, StateFile, StateReadError};
use ironcache_store::{DiskError, LevelError, LevelFile, at};
use ironcache_types::{Digest, Release, WireRange, chain};
use rustix::io::FdFlags;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Names the descriptor of the memory file.
pub const HANDOVER_VARIABLE: &str = "IRONCACHE_HANDOVER";
/// Says why the other launcher refused.
pub const HANDOVER_REFUSED_VARIABLE: &str = "IRONCACHE_HANDOVER_REFUSED";
/// Names the descriptor of the memory file with the text of the configuration file.
pub const HANDOVER_CONFIG_VARIABLE: &str = "IRONCACHE_HANDOVER_CONFIG";

const MAGIC: &str = "ironcache-handover";
/// A description has some hundred bytes, and at most one message of the daemon.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// What the daemon asks next, and a roll waits for, is answered by the launcher that it knows; and the nodes that share this
/// machine have their steps behind them by then: the new launcher is hashed, which takes tens of milliseconds of a
/// processor. Longer would only leave the old one there longer.
const CONFIRMED_FIRST: Duration = Duration::from_secs(1);
/// After a state that could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// After a configuration that this launcher could not start with. Nothing waits for another launcher; sooner would only
/// repeat the message.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Set once this process has made what it was left its own.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What one launcher leaves to the other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handover {
    /// The slot of the launcher that goes.
    from: Digest,
    lock: RawFd,
    listeners: Vec<ListenerHandover>,
    daemon: DaemonHandover,
    /// Why upgrades are refused, for as long as they are.
    degraded: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerHandover {
    name: String,
    fd: RawFd,
}

/// A daemon that has greeted and was not asked to stop.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DaemonHandover {
    pid: i32,
    running: Release,
    /// The version of the launcher protocol that it speaks with its launcher.
    protocol: u16,
    ready: bool,
    uptime_ms: u64,
    /// The launcher's end of the link.
    stream: RawFd,
    /// The beginning of a message whose end has not come yet.
    received: Vec<u8>,
}

/// Why a launcher stays though another release is active.
#[derive(Debug, thiserror::Error)]
enum StaysError {
    #[error("the new launcher's slot cannot be used")]
    Slot(#[from] SlotError),
    #[error("the new launcher speaks launcher protocol {theirs}, and this one {ours}")]
    Protocol { theirs: WireRange, ours: WireRange },
    #[error("the configuration as it is now would not let this launcher start again: {problem}")]
    NoWayBack { problem: String },
    #[error("that the new launcher runs could not be made durable")]
    State(#[source] Refusal),
    #[error("the handover could not be prepared")]
    Prepare(#[source] io::Error),
    #[error("the kernel does not execute the new launcher")]
    Exec(#[source] io::Error),
}

/// Why a launcher does not admit what it was left.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    #[error("the handover is written in launcher protocol {theirs}, and this launcher speaks {ours}")]
    Protocol { theirs: u16, ours: WireRange },
    #[error("the handover is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    #[error("the configuration names another data directory now: {}", root.display())]
    OtherDirectory { root: std::path::PathBuf },
    #[error("process {pid} is not this launcher's daemon")]
    NoDaemon { pid: i32 },
    #[error("descriptor {fd} is not open")]
    Closed { fd: RawFd },
    #[error("there is no state that can be read")]
    NoState,
    #[error(transparent)]
    State(#[from] StateReadError),
    #[error(transparent)]
    Level(#[from] LevelError),
    #[error(transparent)]
    Listener(#[from] ListenersError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("a descriptor cannot be made")]
    Io(#[from] io::Error),
}

/// What makes a handover end without any launcher.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("{HANDOVER_VARIABLE} is {value:?}: only a launcher may set it")]
    Variable { value: String },
    #[error("what the old launcher left is not understood: {problem}")]
    Head { problem: &'static str },
    #[error("what the old launcher left cannot be read")]
    Read(#[source] io::Error),
    #[error("what the old launcher left cannot be taken over")]
    Take(#[source] io::Error),
    #[error("the old launcher cannot be run again, and this one does not admit the handover ({refused})")]
    NoWayBack { refused: String, source: io::Error },
    #[error("the other launcher refused the handover ({refused}), and this one cannot go on")]
    NoWayOn { refused: String, source: Box<NotAdmitted> },
}

impl Supervisor {
    /// Hands over to the launcher of the active release, if that is due. Returns if it is not, or if it failed.
    pub(super) fn hand_over_if_due(&mut self, watch: &Watch) {
        let Phase::Idle { active, .. } = &self.state.phase else { return };
        let to = active.digest;
        if to == self.state.launcher || self.stays_for == Some(to) {
            return;
        }
        let now = Instant::now();
        if now < *self.hand_over_not_before.get_or_insert(now + CONFIRMED_FIRST) {
            return;
        }
        let Some(spoken) = watch.settled() else { return };
        let Err(error) = self.hand_over(watch, spoken, to);
        match error {
            StaysError::State(_) => self.hand_over_not_before = Some(now + WRITE_AGAIN),
            StaysError::NoWayBack { .. } => self.hand_over_not_before = Some(now + READ_AGAIN),
            StaysError::Slot(_)
            | StaysError::Protocol { .. }
            | StaysError::Prepare(_)
            | StaysError::Exec(_) => {
                self.stays_for = Some(to);
                self.hand_over_not_before = None;
            }
        }
        tracing::error!(launcher = %self.state.launcher.short(), error = %chain(&error), "the launcher stays the old one");
    }

    fn hand_over(
        &mut self,
        watch: &Watch,
        spoken: u16,
        to: Digest,
    ) -> Result<std::convert::Infallible, StaysError> {
        let text = self.config.way_back.ask().map_err(|problem| StaysError::NoWayBack { problem })?;
        let (artifact, binary) = self.store.artifact(&to)?;
        let theirs = artifact.manifest.launcher_protocol;
        let version = protocol::agree(theirs, LAUNCHER_PROTOCOL)
            .ok_or(StaysError::Protocol { theirs, ours: LAUNCHER_PROTOCOL })?;
        let back = File::open(&self.config.own_exe).map_err(StaysError::Prepare)?;
        let from = self.state.launcher;
        let left = Handover {
            from,
            lock: self.lock.as_fd().as_raw_fd(),
            listeners: self
                .listeners
                .iter()
                .map(|(name, fd)| ListenerHandover { name: name.clone(), fd: fd.as_raw_fd() })
                .collect(),
            daemon: describe(watch, spoken, &self.running),
            degraded: self.degraded.clone(),
        };
        let memory = write_down(version, back.as_raw_fd(), &left).map_err(StaysError::Prepare)?;
        let text = text.map(|text| in_memory(&text)).transpose().map_err(StaysError::Prepare)?;

        self.try_record(&Event::LauncherIs { launcher: to }).map_err(StaysError::State)?;
        tracing::info!(from = %from.short(), to = %to.short(), "the launcher hands over to that of the active release");
        let listeners = self.listeners.iter().map(|(_, fd)| fd.as_fd());
        let stream = watch.daemon.stream();
        let inherited: Vec<_> = [self.lock.as_fd(), back.as_fd(), memory.as_fd()]
            .into_iter()
            .chain(listeners)
            .chain(stream)
            .chain(text.as_ref().map(AsFd::as_fd))
            .collect();
        let error = match for_each(&inherited, FdFlags::empty()) {
            Ok(()) => {
                let number = memory.as_raw_fd().to_string();
                let text = text.as_ref().map(|text| text.as_raw_fd().to_string());
                // A launcher that took its clock anew would see another time than its daemon.
                let variables = [
                    (HANDOVER_VARIABLE, Some(number)),
                    (HANDOVER_CONFIG_VARIABLE, text),
                    (HANDOVER_REFUSED_VARIABLE, None),
                    (CLOCK_VARIABLE, Some(clock::handed_on())),
                ];
                StaysError::Exec(exec::exec(binary.as_fd(), &variables))
            }
            Err(error) => StaysError::Prepare(error),
        };
        if let Err(error) = for_each(&inherited, FdFlags::CLOEXEC) {
            // A daemon closes what it does not inherit, whatever is said here.
            tracing::warn!(%error, "a descriptor stays inheritable");
        }
        self.stays(from);
        Err(error)
    }

    /// The state names the launcher that runs. If that cannot be written, the next start tries the other one again.
    fn stays(&mut self, launcher: Digest) {
        if let Err(refusal) = self.try_record(&Event::LauncherIs { launcher }) {
            tracing::error!(%refusal, "the state names a launcher that did not take over");
        }
    }

    /// The launcher that goes on with what another left, be it the new one or the old one again; `None` if this process
    /// starts afresh. Does not return if this launcher refuses and the old one goes on.
    pub(super) fn arrive(config: &LauncherConfig) -> Result<Option<Self>, LauncherError> {
        let Some(found) = Found::from_env()? else { return Ok(None) };
        let admitted = found.admit(config);
        let refused = found.refused.clone();
        match (admitted, refused) {
            (Ok(admitted), refused) => Ok(Some(Self::take_over(config.clone(), admitted, refused)?)),
            (Err(source), Some(refused)) => {
                Err(HandoverError::NoWayOn { refused, source: Box::new(source) }.into())
            }
            (Err(why), None) => Err(found.go_back(&chain(&why)).into()),
        }
    }

    fn take_over(
        config: LauncherConfig,
        admitted: Admitted,
        refused: Option<String>,
    ) -> Result<Self, LauncherError> {
        let Admitted { dir, left, pid, boot, bound, signals, used_up } = admitted;
        TAKEN.store(true, Ordering::SeqCst);
        // The way back is closed, and the description of no use any more.
        for fd in used_up {
            drop(take(fd)?);
        }
        let lock = DataDirLock::inherited(take(left.lock)?);
        let mut listeners = bound;
        for ListenerHandover { name, fd } in left.listeners {
            listeners.push((name, take(fd)?));
        }
        let DaemonHandover { pid: _, running, protocol, ready, uptime_ms, stream, received } = left.daemon;
        let started =
            Instant::now().checked_sub(Duration::from_millis(uptime_ms)).unwrap_or_else(Instant::now);
        let stream = take(stream)?;
        let daemon = Daemon::adopt(pid, stream, received, started).map_err(HandoverError::Take)?;
        let store = SlotStore::open(&dir)?;
        let mut supervisor = Supervisor::new(config, &dir, lock, signals, listeners, store, boot);
        supervisor.running = running;
        match refused {
            Some(refused) => {
                tracing::error!(refused, "the other launcher does not admit the handover: the old one stays");
                let Phase::Idle { active, .. } = &supervisor.state.phase else {
                    unreachable!("admitted when idle")
                };
                supervisor.stays_for = Some(active.digest);
                supervisor.stays(left.from);
            }
            None => tracing::info!(from = %left.from.short(), "the launcher took over"),
        }
        let mut watch = Watch::adopted(daemon, protocol, ready);
        watch.daemon.tell(&crate::protocol::ToDaemon::State { snapshot: supervisor.snapshot() });
        supervisor.adopted = Some(watch);
        Ok(supervisor)
    }
}

/// Goes back to the launcher that hands over to this process, which cannot go on. Returns if there is none, if what it left
/// was taken already, or if it cannot be run any more.
pub fn refuse_handover(why: &str) -> Result<(), HandoverError> {
    match Found::from_env()? {
        Some(found) if found.refused.is_none() && !TAKEN.load(Ordering::SeqCst) => Err(found.go_back(why)),
        Some(_) | None => Ok(()),
    }
}

/// The text of the configuration file as the other launcher read it, if this process goes on from one that had a file.
pub fn handed_configuration() -> Option<String> {
    std::env::var_os(HANDOVER_VARIABLE)?;
    if TAKEN.load(Ordering::SeqCst) {
        return None;
    }
    // What cannot be read was not left: the file itself is there.
    read_all(configuration_fd()?, usize::MAX).ok()
}

fn configuration_fd() -> Option<RawFd> {
    std::env::var(HANDOVER_CONFIG_VARIABLE).ok()?.parse().ok().filter(|fd| *fd > 2)
}

/// What stands in the memory file.
#[derive(Debug)]
struct Found {
    memory: RawFd,
    back: RawFd,
    version: u16,
    body: String,
    /// The other launcher's words, if this is the old one again.
    refused: Option<String>,
}

/// Everything that a launcher needs to go on; nothing is taken yet.
struct Admitted {
    dir: DataDir,
    left: Handover,
    /// The daemon.
    pid: Pid,
    boot: Boot,
    /// Listeners that the other launcher did not have.
    bound: Vec<(String, OwnedFd)>,
    signals: StopSignals,
    /// The description, the way back, and the text of the configuration file.
    used_up: Vec<RawFd>,
}

impl Found {
    fn from_env() -> Result<Option<Self>, HandoverError> {
        let Some(value) = std::env::var_os(HANDOVER_VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        let memory: RawFd = match value.parse() {
            Ok(fd) if fd > 2 => fd,
            Ok(_) | Err(_) => return Err(HandoverError::Variable { value }),
        };
        let text = read_all(memory, DESCRIPTION_BYTES_MAX).map_err(HandoverError::Read)?;
        let (version, back, body) = split(&text).map_err(|problem| HandoverError::Head { problem })?;
        let refused =
            std::env::var_os(HANDOVER_REFUSED_VARIABLE).map(|why| why.to_string_lossy().into_owned());
        Ok(Some(Found { memory, back, version, body: body.to_owned(), refused }))
    }

    fn admit(&self, config: &LauncherConfig) -> Result<Admitted, NotAdmitted> {
        if !LAUNCHER_PROTOCOL.contains(self.version) {
            return Err(NotAdmitted::Protocol { theirs: self.version, ours: LAUNCHER_PROTOCOL });
        }
        let left: Handover = serde_json::from_str(&self.body).map_err(NotAdmitted::NotUnderstood)?;
        if !LAUNCHER_PROTOCOL.contains(left.daemon.protocol) {
            return Err(NotAdmitted::Protocol { theirs: left.daemon.protocol, ours: LAUNCHER_PROTOCOL });
        }
        let listeners = left.listeners.iter().map(|listener| listener.fd);
        for fd in [left.lock, left.daemon.stream].into_iter().chain(listeners) {
            open(fd)?;
        }
        let dir = DataDir::new(&config.data_dir);
        is_the_lock(&dir, open(left.lock)?)?;
        let pid = our_child(left.daemon.pid)?;
        LevelFile::new(&config.data_dir).admit(config.levels)?;
        let ReadState::Present(state) = StateFile::new(&dir).read()? else {
            return Err(NotAdmitted::NoState);
        };
        if !matches!(state.phase, Phase::Idle { .. }) {
            return Err(NotAdmitted::NoState);
        }
        let boot = Boot { state: *state, degraded: left.degraded.clone() };
        let is_left = |name: &str| left.listeners.iter().any(|listener| listener.name == name);
        let new: Vec<_> = config.listeners.iter().filter(|spec| !is_left(&spec.name)).cloned().collect();
        let bound = listeners::bind(&new)?;
        let used_up = [self.memory, self.back].into_iter().chain(configuration_fd()).collect();
        Ok(Admitted { dir, pid, boot, bound, signals: StopSignals::block()?, left, used_up })
    }

    /// Becomes the old launcher again; returns if that cannot be run.
    fn go_back(&self, why: &str) -> HandoverError {
        let why = why.replace('\0', " ");
        let failed = |source| HandoverError::NoWayBack { refused: why.clone(), source };
        let old = match open(self.back) {
            Ok(old) => old,
            Err(error) => return failed(io::Error::other(error)),
        };
        let number = self.memory.to_string();
        let variables = [
            (HANDOVER_VARIABLE, Some(number)),
            (HANDOVER_REFUSED_VARIABLE, Some(why.clone())),
            (CLOCK_VARIABLE, Some(clock::handed_on())),
        ];
        failed(exec::exec(old, &variables))
    }
}

fn describe(watch: &Watch, protocol: u16, running: &Release) -> DaemonHandover {
    let daemon = &watch.daemon;
    DaemonHandover {
        pid: daemon.pid().as_raw_nonzero().get(),
        running: running.clone(),
        protocol,
        ready: watch.is_ready(),
        uptime_ms: daemon.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        stream: daemon.stream().map_or(-1, |stream| stream.as_raw_fd()),
        received: daemon.received().to_vec(),
    }
}

fn write_down(version: u16, back: RawFd, left: &Handover) -> io::Result<File> {
    let body = serde_json::to_string(left).expect("a handover has only string keys and whole numbers");
    in_memory(&format!("{MAGIC} {version}\nback {back}\n{body}\n"))
}

fn in_memory(text: &str) -> io::Result<File> {
    let memory = rustix::fs::memfd_create(MAGIC, rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// The version, the descriptor of the old launcher, and the rest.
fn split(text: &str) -> Result<(u16, RawFd, &str), &'static str> {
    let (first, after) = text.split_once('\n').ok_or("it has no first line")?;
    let (second, body) = after.split_once('\n').ok_or("it has no second line")?;
    let version = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
    let version = version.and_then(|number| number.parse().ok()).ok_or("its first line names no version")?;
    let back = second.strip_prefix("back ").and_then(|number| number.parse().ok());
    match back {
        Some(back) if back > 2 => Ok((version, back, body)),
        Some(_) | None => Err("its second line names no descriptor of the old launcher"),
    }
}

/// From its beginning, whoever read it before.
fn read_all(fd: RawFd, bytes_max: usize) -> io::Result<String> {
    let fd = open(fd).map_err(io::Error::other)?;
    let file = File::from(fd.try_clone_to_owned()?);
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(bytes_max);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A descriptor that the other launcher left open, looked at before it is taken.
fn open<'a>(fd: RawFd) -> Result<BorrowedFd<'a>, NotAdmitted> {
    // SAFETY: takes numbers only; a number that is not open answers EBADF.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return Err(NotAdmitted::Closed { fd });
    }
    // SAFETY: it is open (just checked), and whoever looks at it closes nothing.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Owns an inherited descriptor, and keeps it from this process's own children.
fn take(fd: RawFd) -> Result<OwnedFd, HandoverError> {
    let left = open(fd).map_err(io::Error::other).map_err(HandoverError::Take)?;
    rustix::io::fcntl_setfd(left, FdFlags::CLOEXEC).map_err(|error| HandoverError::Take(error.into()))?;
    // SAFETY: it is open (just checked), the other launcher left it to this process, and TAKEN in the caller makes us its
    // only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn for_each(fds: &[BorrowedFd<'_>], flags: FdFlags) -> io::Result<()> {
    fds.iter().try_for_each(|fd| Ok(rustix::io::fcntl_setfd(fd, flags)?))
}

/// Is this the lock of the directory that the configuration names now?
fn is_the_lock(dir: &DataDir, lock: BorrowedFd<'_>) -> Result<(), NotAdmitted> {
    let path = dir.lock_path();
    let held = rustix::fs::fstat(lock).map_err(io::Error::from)?;
    match fs::metadata(&path) {
        Ok(named) if (named.dev(), named.ino()) == (held.st_dev, held.st_ino) => Ok(()),
        Ok(_) => Err(NotAdmitted::OtherDirectory { root: dir.root().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(NotAdmitted::OtherDirectory { root: dir.root().to_owned() })
        }
        Err(error) => Err(at("read", &path)(error).into()),
    }
}

/// Also if it has ended meanwhile: its end is still ours to learn.
fn our_child(pid: i32) -> Result<Pid, NotAdmitted> {
    let looked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let child = Pid::from_raw(pid).filter(|pid| rustix::process::waitid(WaitId::Pid(*pid), looked).is_ok());
    child.ok_or(NotAdmitted::NoDaemon { pid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::Version;

    fn left() -> Handover {
        Handover {
            from: Digest([1; 32]),
            lock: 3,
            listeners: vec![ListenerHandover { name: "client".into(), fd: 5 }],
            daemon: DaemonHandover {
                pid: 4711,
                running: Release { version: Version::new(0, 2, 0), digest: Digest([2; 32]) },
                protocol: 1,
                ready: true,
                uptime_ms: 60_000,
                stream: 9,
                received: b"{\"typ".to_vec(),
            },
            degraded: None,
        }
    }

    /// This file never changes: a launcher of this release hands over to the next one, and it to this one.
    #[test]
    fn the_first_version_stays_as_it_is() {
        let memory = write_down(1, 7, &left()).unwrap();
        let text = read_all(memory.as_raw_fd(), DESCRIPTION_BYTES_MAX).unwrap();
        assert_eq!(text, include_str!("../../tests/golden/handover-1"));
        let (version, back, body) = split(&text).unwrap();
        assert_eq!((version, back), (1, 7));
        assert_eq!(serde_json::from_str::<Handover>(body).unwrap(), left());
    }

    #[test]
    fn the_frozen_lines_are_read_whatever_follows() {
        assert_eq!(split("ironcache-handover 9\nback 12\nthe future\n"), Ok((9, 12, "the future\n")));
        for bad in [
            "",
            "ironcache-handover 1\n",
            "ironcache-handover 1\nback 2\n",
            "handover 1\nback 7\n",
            "ironcache-handover x\nback 7\n",
        ] {
            assert!(split(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fuzz_descriptions_are_written_as_they_were_read() {
        let golden = include_str!("../../tests/golden/handover-1");
        let words = ["\n", "back ", "ironcache-handover ", "{", "}", "null", "-1", "2147483648"];
        ironcache_fuzz::Campaign::of("what a launcher leaves").from([golden]).words(words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (version, back, body) = split(&text).map_err(str::to_owned)?;
            assert!(back > 2, "a standard descriptor is nobody's way back");
            let left = serde_json::from_str::<Handover>(body)
                .map_err(|error| ironcache_fuzz::first_words(&error))?;
            let body = serde_json::to_string(&left).unwrap();
            let written = format!("{MAGIC} {version}\nback {back}\n{body}\n");
            let (again, again_back, body) = split(&written).unwrap();
            assert_eq!((again, again_back), (version, back));
            assert_eq!(serde_json::from_str::<Handover>(body).unwrap(), left);
            Ok::<_, String>(())
        });
    }
}
