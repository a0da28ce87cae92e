//! Signals as a descriptor to poll: every one whose default would end the launcher at once, and with it the node.
//!
//! *Invariant:* no signal that can be caught ends a node but in good order. A terminal that closes (SIGHUP) ends none:
//! it has the daemon read its files again.

use ironcache_store::DiskError;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What is sent to stop a node, to say that a terminal closed, or that a child ended: blocked in this thread and readable
/// here. The launcher has one thread.
#[derive(Debug)]
pub(super) struct StopSignals {
    fd: OwnedFd,
}

/// What the signals ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub stop: bool,
    /// The daemon is to read its files again.
    pub reread: bool,
}

/// Whoever sends one of these wants the node to end: in good order, whatever its default is.
const STOPPING: [libc::c_int; 5] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

impl StopSignals {
    pub(super) fn block() -> Result<Self, DiskError> {
        let fd = Self::open().map_err(|source| DiskError {
            action: "make a signal descriptor for",
            path: "SIGTERM".into(),
            source,
        })?;
        Ok(StopSignals { fd })
    }

    fn open() -> io::Result<OwnedFd> {
        // SAFETY: `set` is initialised by sigemptyset before anything reads it, and outlives the
        // calls; signalfd answers a descriptor that is ours alone.
        unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut set);
            for signal in STOPPING.into_iter().chain([libc::SIGHUP, libc::SIGCHLD]) {
                libc::sigaddset(&mut set, signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }

    /// Takes what is pending.
    pub(super) fn take(&self) -> Taken {
        let mut taken = Taken::default();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: all zeros is a value of it.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        // SAFETY: the struct is ours and as long as stated; the kernel writes whole ones.
        while unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size) } > 0 {
            let signal = info.ssi_signo.cast_signed();
            if STOPPING.contains(&signal) {
                taken.stop = true;
            } else if signal == libc::SIGHUP {
                tracing::info!("SIGHUP: files of certificates are read again; SIGTERM is what stops a node");
                taken.reread = true;
            }
        }
        taken
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
