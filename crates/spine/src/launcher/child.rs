//! The one daemon process: how it is started, heard and ended.
//!
//! *Invariant:* the daemon dies with its launcher (PR_SET_PDEATHSIG). A daemon that outlived it
//! would meet the next launcher's daemon on one data directory: two writers of one log, two
//! owners of one incarnation's files. The kernel binds the signal to the *thread* that forks, so a
//! launcher spawns from the thread that runs it to the end.
//! *Invariant:* the daemon inherits the listeners, the lock and its link; every other descriptor is
//! closed by exec.

use super::handover::{HANDOVER_CONFIG_VARIABLE, HANDOVER_REFUSED_VARIABLE, HANDOVER_VARIABLE};
use super::notify;
use crate::clock::{self, CLOCK_VARIABLE};
use crate::link::{CONTROL_NAME, FDS_VARIABLE, LOCK_NAME};
use crate::protocol::{self, MESSAGE_BYTES_MAX, ToDaemon};
use crate::slot_store::VerifiedBinary;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The first argument of every daemon.
pub const DAEMON_VERB: &str = "server-daemon";

/// What a daemon is started with, besides its binary.
pub(super) struct Inheritance<'a> {
    pub listeners: &'a [(String, OwnedFd)],
    pub lock: BorrowedFd<'a>,
    pub args: &'a [OsString],
    pub env: &'a [(OsString, OsString)],
}

#[derive(Debug)]
pub(super) struct Daemon {
    pid: Pid,
    has_been_reaped: bool,
    pidfd: OwnedFd,
    stream: UnixStream,
    stream_is_open: bool,
    received: Vec<u8>,
    pub started: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot start the daemon")]
pub struct SpawnError(#[from] io::Error);

/// A line from the daemon, or the end of what can be read as lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Lines(Vec<Vec<u8>>),
    /// No message is this long.
    Overlong {
        len_bytes: usize,
    },
}

impl Daemon {
    pub(super) fn spawn(binary: &VerifiedBinary, inheritance: &Inheritance<'_>) -> Result<Self, SpawnError> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let mut inherited: Vec<(&str, RawFd)> =
            inheritance.listeners.iter().map(|(name, fd)| (name.as_str(), fd.as_raw_fd())).collect();
        inherited.push((LOCK_NAME, inheritance.lock.as_raw_fd()));
        inherited.push((CONTROL_NAME, theirs.as_raw_fd()));
        let variable: Vec<String> = inherited.iter().map(|(name, fd)| format!("{name}:{fd}")).collect();

        let mut command = Command::new(format!("/proc/self/fd/{}", binary.file.as_raw_fd()));
        command
            .arg0("ironcache")
            .arg(DAEMON_VERB)
            .args(inheritance.args)
            .envs(inheritance.env.iter().map(|(key, value)| (key, value)))
            .env(FDS_VARIABLE, variable.join(","))
            .env(CLOCK_VARIABLE, clock::handed_on())
            .env_remove(HANDOVER_VARIABLE)
            .env_remove(HANDOVER_CONFIG_VARIABLE)
            .env_remove(HANDOVER_REFUSED_VARIABLE)
            .stdin(Stdio::null());
        for variable in notify::VARIABLES {
            command.env_remove(variable);
        }
        let fds: Vec<RawFd> = inherited.iter().map(|(_, fd)| *fd).collect();
        let launcher = std::process::id();
        // SAFETY: `prepare` makes system calls only; it neither allocates nor takes a lock.
        unsafe { command.pre_exec(move || prepare(&fds, launcher)) };

        let mut child = spawn_when_closed_for_writing(&mut command)?;
        match Daemon::of(Pid::from_child(&child), stream, Vec::new(), Instant::now()) {
            Ok(daemon) => Ok(daemon),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// The daemon that another launcher started in this very process, and the launcher's end of its link.
    pub(super) fn adopt(pid: Pid, stream: OwnedFd, received: Vec<u8>, started: Instant) -> io::Result<Self> {
        let stream = UnixStream::from(stream);
        stream.set_nonblocking(true)?;
        Daemon::of(pid, stream, received, started)
    }

    /// `pid` is a child of this process that nobody else waits for.
    fn of(pid: Pid, stream: UnixStream, received: Vec<u8>, started: Instant) -> io::Result<Self> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Daemon { pid, has_been_reaped: false, pidfd, stream, stream_is_open: true, received, started })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The beginning of a message whose end has not come yet.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What to poll for messages: nothing, once the daemon has closed its end.
    pub(super) fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.stream_is_open.then(|| self.stream.as_fd())
    }

    /// Takes every whole line that came; does not wait.
    pub(super) fn hear(&mut self) -> Heard {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.stream_is_open = false;
                    break;
                }
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!(pid = self.id(), %error, "the link to the daemon broke");
                    self.stream_is_open = false;
                    break;
                }
            }
            if self.received.len() > MESSAGE_BYTES_MAX * 2 {
                break;
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
            let mut line: Vec<u8> = self.received.drain(..=end).collect();
            line.pop();
            if line.len() > MESSAGE_BYTES_MAX {
                return Heard::Overlong { len_bytes: line.len() };
            }
            lines.push(line);
        }
        if self.received.len() > MESSAGE_BYTES_MAX {
            return Heard::Overlong { len_bytes: self.received.len() };
        }
        Heard::Lines(lines)
    }

    /// Sends without waiting. A daemon that lets its buffer fill reads nothing; it is found by its
    /// silence or its drain timeout, so that a message to it is lost is only logged.
    pub(super) fn tell(&mut self, message: &ToDaemon) {
        if let Err(error) = self.stream.write_all(&protocol::encode(message)) {
            tracing::warn!(pid = self.id(), %error, ?message, "the daemon did not take a message");
        }
    }

    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(super) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Nobody signals after `reap`, so the id is still ours.
        if let Err(error) = rustix::process::kill_process(self.pid, signal) {
            tracing::warn!(pid = self.id(), %error, ?signal, "the daemon did not take a signal");
        }
    }

    /// True once the daemon has ended. Its id stays ours until [`Daemon::reap`].
    pub(super) fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// How the daemon ended; waits for that.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    self.has_been_reaped = true;
                    return Ok(ExitStatus::from_raw(status.as_raw()));
                }
                // Only without waiting is there no answer.
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A daemon is never left running without its launcher's eye on it.
impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_been_reaped {
            self.kill();
            // Waits for a process that was just killed; a failure leaves a zombie to our own parent.
            let _ = self.reap();
        }
    }
}

/// Runs in a child between fork and exec.
fn prepare(inherited: &[RawFd], parent: u32) -> io::Result<()> {
    let check = |result: libc::c_int| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: system calls on numbers and on a local set; nothing is allocated.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // The parent may have died before the line above: then no signal will come.
        if libc::getppid() as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // A terminal's ^C reaches the launcher only, which stops the daemon in good order.
        check(libc::setpgid(0, 0))?;
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        // A hangup that is passed on ends no daemon that does not catch it, or not yet: it starts with this.
        if libc::signal(libc::SIGHUP, libc::SIG_IGN) == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        // Everything above stderr closes at exec but for what is inherited. A kernel older than
        // 5.11 answers an error: then only our own descriptors do, which are all opened so.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        for &fd in inherited {
            check(libc::fcntl(fd, libc::F_SETFD, 0))?;
        }
    }
    Ok(())
}

/// A binary that was just written can be open for writing in a process that forked meanwhile and
/// has not reached its exec; that lasts a moment.
fn spawn_when_closed_for_writing(command: &mut Command) -> io::Result<Child> {
    let give_up = Instant::now() + Duration::from_millis(500);
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}
